"""Serves an envelope on this machine: the same app as in the image, in a local process or in the container itself."""

from __future__ import annotations

import errno
import json
import math
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from model_envelope.foundation import carrying, process
from model_envelope.foundation.errors import InvalidInput, ToolFailed
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.progress import Done, Report, Started, silent
from model_envelope.runtime.errors import from_document
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.store import trust as store_trust
from model_envelope.targets.target import Target
from model_envelope.workflows.render import chosen_target, default_image_name, verified
from model_envelope.workflows.running import program_for

SETTINGS: Mapping[str, str | int | float | bool] = {"grace": 10.0, "log-format": "text"}
"""What is set for a service on this machine unless it is said otherwise; what is in nobody's is the service's own."""


class Place(Enum):
    """Where the service runs."""

    PROCESS = "process"
    DOCKER = "docker"


@dataclass(frozen=True)
class ServeResult:
    """What was served, until it was told to end."""

    url: str
    digest: str
    place: Place
    methods: tuple[str, ...]


Ready = Callable[[ServeResult], None]
Log = Callable[[str], None]


def serve(
    envelope: Path,
    *,
    place: Place = Place.PROCESS,
    host: str = "127.0.0.1",
    port: int = 8080,
    python: Path | None = None,
    trust: bool = False,
    base_image: str | None = None,
    arrow: bool = False,
    settings: Mapping[str, str | int | float | bool] = SETTINGS,
    ready: Ready = lambda _: None,
    log: Log = lambda _: None,
    report: Report = silent,
) -> ServeResult:
    """Serve until interrupted (which is how it ends well) or until the service ends by itself, which is an error.

    In a process it runs in a clean room made from the envelope's lock merged with the service's pins, or in ``python``,
    an interpreter that has what both need; the envelope must have been sealed by this user here, or be trusted
    explicitly. In docker the image is built first, unless it is there. ``arrow`` is as in :func:`render`. Port 0 takes
    any free one. ``settings`` are options of the service (``workers``, ``max-body``: ``python -m model_envelope.serving
    --help`` lists them). ``ready`` is called once it answers, ``log`` with each line that the service writes.

    Raises ``Answered`` where the envelope is not what was sealed, and what the service itself failed with: the port in
    use (``serve.port-in-use``), a model that cannot be loaded, answers that are not the sealed ones.
    """
    files, target = verified(envelope, report), chosen_target("service", ["arrow"] if arrow else [])
    settings = {**SETTINGS, **settings}
    check_address(host, port)
    if place is Place.DOCKER:
        return _in_docker(files, target, host, port, base_image, settings, ready, log, report)
    store_trust.require(files, trusted=trust)
    return _in_process(files, target, host, port, python, settings, ready, log, report)


def check_address(host: str, port: int) -> None:
    """Try to listen on an address, so that one that is taken is told before anything takes time.

    Raises :class:`InvalidInput` (``serve.port-in-use``, ``serve.address``).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise InvalidInput(
                    f"port {port} on {host} is in use",
                    code="serve.port-in-use",
                    hint="end what listens there, or name another port with --port (0 takes any free one)",
                ) from None
            raise InvalidInput(
                f"cannot listen on {host}, port {port}: {error.strerror}",
                code="serve.address",
                hint="name an address of this machine with --host and a free port with --port",
            ) from None


def _in_process(
    files: EnvelopeFiles,
    target: Target,
    host: str,
    port: int,
    python: Path | None,
    settings: Mapping[str, str | int | float | bool],
    ready: Ready,
    log: Log,
    report: Report,
) -> ServeResult:
    with scratch_folder(prefix="envelope-serve-") as scratch:
        home = carrying.link(scratch / "carried", target.packages)
        words = carrying.arguments(
            home,
            "model_envelope.serving.__main__",
            *(files.path, "--host", host, "--port", str(port), "--supervised"),
            *_options(settings),
            isolated=python is None,
        )
        program = program_for(files, target, words, python=python, report=report)
        report(Started("serve", "Loading the model"))
        # It ends when its standard input does, so that it cannot outlive this process.
        child = process.start(program.command, env=program.variables, stdin=subprocess.PIPE)
        with child:  # closes its pipes
            return _attend(child, files, float(settings["grace"]), ready, log, report)


def _options(settings: Mapping[str, str | int | float | bool]) -> list[str]:
    """Write settings as options of the service; a container takes the same, after those of its entry point."""
    words: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", str(value)]
    return words


def _attend(
    child: subprocess.Popen[bytes], files: EnvelopeFiles, grace: float, ready: Ready, log: Log, report: Report
) -> ServeResult:
    """Wait for the service to be ready, say so, and stay until it ends or is interrupted."""
    assert child.stdout is not None
    assert child.stderr is not None
    said: list[str] = []

    def read_log() -> None:
        for raw in child.stderr or ():
            line = raw.decode("utf-8", "replace").rstrip("\n")
            said.append(line)
            del said[:-200]
            log(line)

    reader = threading.Thread(target=read_log, daemon=True)
    reader.start()
    try:
        # The service closes its standard output after the one line that it has for us.
        event = _event(child.stdout.read())
        if event.get("event") == "ready":
            result = ServeResult(event["url"], files.digest, Place.PROCESS, tuple(files.signature.methods))
            report(Done("serve", f"Serving at {result.url}"))
            try:
                ready(result)
                child.wait()
            except KeyboardInterrupt:
                _end(child, grace)
                return result
        child.wait()
    finally:
        process.stop(child)
        reader.join(process.GRACE)
    if "error" in event:
        raise from_document(event["error"])
    raise _ended(child.returncode, said)


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """Let the service finish what is under way; a second interrupt ends it at once."""
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        child.terminate()
        child.wait(grace + 3)


def _event(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _ended(code: int, said: list[str]) -> ToolFailed:
    how = f"by signal {-code}" if code < 0 else f"with {code}"
    return ToolFailed(
        f"the service ended {how} without being told to", code="serve.ended", detail="\n".join(said[-20:])
    )


def _in_docker(
    files: EnvelopeFiles,
    target: Target,
    host: str,
    port: int,
    base_image: str | None,
    settings: Mapping[str, str | int | float | bool],
    ready: Ready,
    log: Log,
    report: Report,
) -> ServeResult:
    from model_envelope.runtime.runtime_digest import runtime_digest
    from model_envelope.targets.engine import Engine
    from model_envelope.targets.labels import OWN
    from model_envelope.workflows.build import build
    from model_envelope.workflows.image_proof import published_until_ready

    image = default_image_name(files, target)
    engine = Engine.connect()
    try:
        with engine.watched():
            labels = engine.labels(image) or {}
            wanted = {"digest": files.digest, "options": ",".join(target.options), "runtime.digest": runtime_digest()}
            if base_image is not None or any(labels.get(OWN + name, "") != value for name, value in wanted.items()):
                build(files.path, options=target.options, image=image, base_image=base_image, report=report)
            report(Started("serve", f"Starting {image}"))
            with engine.running(image, host=host, port=port or None, arguments=_options(settings)) as container:
                published_until_ready(container)
                result = ServeResult(container.url, files.digest, Place.DOCKER, tuple(files.signature.methods))
                report(Done("serve", f"Serving at {result.url} ({image})"))
                with suppress(KeyboardInterrupt):
                    ready(result)
                    for line in container.follow():
                        log(line)
                    raise _ended(container.exit_code() or 0, container.log().splitlines())
                container.handle.stop(timeout=math.ceil(float(settings["grace"])) + 3)
                return result
    finally:
        engine.close()
