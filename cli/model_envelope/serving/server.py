"""Runs the app on uvicorn: binds first, drains on SIGTERM, and ends with an exit code that says why."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from model_envelope.runtime import ending
from model_envelope.runtime.errors import EnvelopeError, ExitCode
from model_envelope.serving.app import create_app
from model_envelope.serving.service import Phase, Service
from model_envelope.serving.settings import Settings

log = logging.getLogger("model_envelope.serving")


class PortInUse(EnvelopeError):
    """The address is taken, or may not be used."""


class _Server(uvicorn.Server):
    """Says that it is not ready from the moment that it was told to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        log.info("%s: finishing what is under way", signal.Signals(sig).name)
        self.service.drain()
        super().handle_exit(sig, frame)


def serve(
    service: Service, *, host: str, port: int, settings: Settings, grace: float, announce: Callable[[Any], None]
) -> ExitCode:
    """Serve until told to end; ``announce`` gets one document when the service is ready.

    Raises :class:`PortInUse`, and what the service failed with where it could not be made ready.
    """
    listening = bind(host, port)
    url = _url(host, listening.getsockname()[1])

    def started() -> None:
        if service.failure is not None:
            server.should_exit = True
        elif service.phase is Phase.READY:
            log.info("listening on %s", url)
            announce({"event": "ready", "url": url, "digest": service.envelope.digest})

    config = uvicorn.Config(
        create_app(service, settings, started),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    server = _Server(config, service)
    # uvicorn raises the signal again once it has shut down; what was asked for is then done, so that is no failure.
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: None)
    server.run(sockets=[listening])
    if service.failure is not None:
        raise service.failure
    return ExitCode.OK


def bind(host: str, port: int) -> socket.socket:
    """Take the address before anything else is done. Port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use",
                code="serve.port-in-use",
                hint="end what listens there, or name another port with --port (0 takes any free one)",
            ) from None
        raise PortInUse(
            f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}",
            code="serve.address",
            hint="name an address of this machine with --host and a free port with --port",
        ) from None
    return listening


def leave(code: int, service: Service) -> None:
    """End the process; for good where the model still works on something that nobody waits for any more."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if service.worker.busy:
        os._exit(code)
    ending.leave(code)


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"
