"""Asks a running service over HTTP, as its clients do, with the standard library alone.

``python -m model_envelope.runtime.asking ENVELOPE --url URL --wait SECONDS`` waits until the service is ready, asks it
the sealed sample of each method, and prints one JSON document on standard output: ``not_ready`` (why it was not, or
empty), ``answers``, by method the ``seconds`` it took and the ``body`` that came back, or the ``error``, and the
``machine`` that this is. It judges nothing: so an image is asked from inside, where its network is cut, and its answers
are compared outside.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_envelope.runtime.codec import dump_json, parse_json
from model_envelope.runtime.errors import EnvelopeError, ExitCode, InvalidPayload, ModelFailed
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import Sample, read_envelope

TIMEOUT = 300.0
"""Seconds for which one answer is waited for."""

# A proxy of the machine is for the world outside, never for a service on it.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def why_not_ready(url: str) -> str:
    """Ask once whether a service is ready: empty where it is, else what came back."""
    try:
        with _opener.open(f"{url}/readyz", timeout=5) as response:
            return "" if response.status == 200 else f"HTTP {response.status}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def wait_until_ready(url: str, *, seconds: float, check: Callable[[], None] = lambda: None) -> str:
    """Wait until a service is ready: empty once it is, else what came back last when ``seconds`` were over.

    ``check`` is called in between, and may raise where the service has ended meanwhile.
    """
    until = time.monotonic() + seconds
    pause = 0.02
    while reason := why_not_ready(url):
        check()
        if time.monotonic() > until:
            return reason
        time.sleep(pause)
        pause = min(0.25, pause * 1.5)
    return ""


def ask(url: str, sample: Sample) -> bytes:
    """Ask a sample of a service and give the body of its answer.

    Raises :class:`ModelFailed`: ``service.refused`` for any other status than 200, with what the service said, and
    ``service.silent`` where it did not answer.
    """
    request = urllib.request.Request(  # noqa: S310  the address is ours
        f"{url}/{sample.method}", dump_json(sample.body), {"Content-Type": "application/json"}
    )
    try:
        with _opener.open(request, timeout=TIMEOUT) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace")
        raise ModelFailed(
            f"the service answered `{sample.method}` with {error.code}", code="service.refused", detail=said[:2000]
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise no_answer(sample.method, error) from None


def read_answer(method: str, body: bytes | str) -> Any:
    """Read the body of an answer. Raises :class:`ModelFailed` (``service.silent``) where it is no JSON."""
    try:
        return parse_json(body.encode("utf-8", "replace") if isinstance(body, str) else body)
    except InvalidPayload as error:
        raise no_answer(method, error) from None


def no_answer(method: str, why: object) -> ModelFailed:
    """Make the error for a method that was asked and did not answer."""
    return ModelFailed(f"the service did not answer `{method}`: {why}", code="service.silent")


def main() -> int:
    """Ask all samples of an envelope; see the module."""
    parser = argparse.ArgumentParser(description="Ask a service the sealed samples of an envelope.")
    parser.add_argument("envelope", type=Path)
    parser.add_argument("--url", required=True, help="where the service listens")
    parser.add_argument("--wait", type=float, default=180.0, help="seconds until it must be ready (%(default)s)")
    arguments = parser.parse_args()
    why = wait_until_ready(arguments.url, seconds=arguments.wait)
    samples = () if why else read_envelope(arguments.envelope).samples
    answers = {sample.method: _asked(arguments.url, sample) for sample in samples}
    json.dump({"not_ready": why, "answers": answers, "machine": Machine.of_this_process().to_document()}, sys.stdout)
    return ExitCode.OK


def _asked(url: str, sample: Sample) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        told = {"body": ask(url, sample).decode("utf-8", "replace")}
    except EnvelopeError as error:
        return {"seconds": time.perf_counter() - began, "error": error.to_document()}
    return {"seconds": time.perf_counter() - began, **told}


if __name__ == "__main__":
    sys.exit(main())
