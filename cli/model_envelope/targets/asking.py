"""Asks a running service over HTTP, as its clients do."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from model_envelope.foundation.errors import ToolFailed
from model_envelope.runtime.codec import dump_json, parse_json
from model_envelope.runtime.errors import InvalidPayload, ModelFailed
from model_envelope.runtime.reading import Sample

TIMEOUT = 300.0

# A proxy of the machine is for the world outside, never for a service on it.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def why_not_ready(url: str) -> str:
    """Ask once whether a service is ready: empty where it is, else what came back."""
    try:
        with _opener.open(f"{url}/readyz", timeout=5) as response:
            return "" if response.status == 200 else f"HTTP {response.status}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def wait_until_ready(url: str, check: Callable[[], None], said: Callable[[], str], *, seconds: float = 180.0) -> None:
    """Wait until a service is ready; ``check`` is called in between and raises where it has ended meanwhile.

    Raises :class:`ToolFailed` (``service.not-ready``) after ``seconds``, with what the service has ``said``.
    """
    until = time.monotonic() + seconds
    pause = 0.02
    while reason := why_not_ready(url):
        check()
        if time.monotonic() > until:
            raise ToolFailed(
                f"the service at {url} was not ready after {seconds:.0f} s ({reason})",
                code="service.not-ready",
                detail=said(),
                hint="what the service said stands above",
            )
        time.sleep(pause)
        pause = min(0.25, pause * 1.5)


def asker(url: str) -> Callable[[Sample], Any]:
    """Give what asks a sample of a service, for a replay.

    It raises :class:`ModelFailed` (``service.refused``) for any other status than 200, with what the service said.
    """

    def ask(sample: Sample) -> Any:
        request = urllib.request.Request(  # noqa: S310  the address is ours
            f"{url}/{sample.method}", dump_json(sample.body), {"Content-Type": "application/json"}
        )
        try:
            with _opener.open(request, timeout=TIMEOUT) as response:
                return parse_json(response.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")
            raise ModelFailed(
                f"the service answered `{sample.method}` with {error.code}", code="service.refused", detail=said[:2000]
            ) from None
        except (OSError, InvalidPayload) as error:
            raise ModelFailed(f"the service did not answer `{sample.method}`: {error}", code="service.silent") from None

    return ask
