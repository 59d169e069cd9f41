"""Runs the app on uvicorn, drains on SIGTERM, and ends with an exit code that says why."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn, cast

import uvicorn

from model_envelope.runtime import ending
from model_envelope.runtime.errors import ExitCode
from model_envelope.serving.app import create_app
from model_envelope.serving.binding import AGAIN, SETTLE, SETTLE_BUSY, refuse_new
from model_envelope.serving.connection import CLOSE, Connection, State
from model_envelope.serving.listener import Listener, allow_files
from model_envelope.serving.service import Phase, Service
from model_envelope.serving.settings import Settings

log = logging.getLogger("model_envelope.serving")

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than load balancers keep theirs, since they should close first."""

QUIET = 1.0
"""Seconds without a request after which a connection is closed at the end: a client may have one on its way.

Twice as many where there was none yet: who connects is about to ask.
"""


COLLECT_AFTER = 25_000
"""How many new objects there are before the garbage collector looks at them."""


@dataclass(frozen=True)
class Place:
    """Where a server listens. ``shared`` with other workers, ``early`` if it accepts before the model is ready."""

    listening: socket.socket
    url: str
    shared: bool = False
    early: bool = True


class Server(uvicorn.Server):
    """uvicorn's server with an end of its own: nothing that was accepted is lost, as long as there is time for it."""

    def __init__(self, config: uvicorn.Config, service: Service, settings: Settings, place: Place) -> None:
        super().__init__(config)
        self.server_state: State = State()
        self.service = service
        self.settings = settings
        self.place = place
        self.listener: Listener | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.told: float | None = None
        """When it was told to end, by the monotonic clock."""
        self.cut_off = 0
        """How many requests were not answered in time at the end."""

    @property
    def open(self) -> set[Connection]:
        """The connections that are open."""
        return cast("set[Connection]", self.server_state.connections)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to end; at once if told again, but for a worker, whose supervisor looks after that.

        A signal may come while the log is being written, and writing is not to be entered twice: so nothing is written
        here, but by the event loop as soon as it comes to it.
        """
        now = time.monotonic()
        if self.told is None:
            self.told = now
            self.should_exit = True
            if self.loop is None:
                self._begin_to_end(sig)
            else:
                self.loop.call_soon_threadsafe(self._begin_to_end, sig)
        elif now - self.told > AGAIN and not self.place.shared:
            os.write(2, f"{signal.Signals(sig).name} again: ending at once\n".encode())
            os._exit(128 + sig)

    def _begin_to_end(self, sig: int) -> None:
        log.info("%s: finishing what is under way", signal.Signals(sig).name)
        self.service.drain()
        self._say_close()

    def _say_close(self) -> None:
        """Let every answer from now on say that it is the last one on its connection."""
        self.server_state.draining = True
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        for connection in list(self.open):
            connection.drain()

    def accept(self) -> None:
        """Begin to accept connections."""
        if self.listener is not None and self.told is None:
            self.listener.start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Start the app, and accept connections unless only a ready server may."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets=[])

        def connection() -> Connection:
            state = self.lifespan.state
            return Connection(self.config, self.server_state, state, _loop=asyncio.get_running_loop())

        self.listener = Listener(
            self.place.listening, connection, self.open, most=allow_files(), shared=self.place.shared
        )
        if self.told is not None:
            self._say_close()
        elif self.place.early:
            self.accept()

    async def on_tick(self, counter: int) -> bool:
        """Look after connections that are late, once a second."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.open):
                connection.close_if_late(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Take no more, answer what was accepted, and stop the app."""
        assert self.listener is not None
        if self.told is None:
            self.listener.finish()
        else:
            await self._drain(self.listener, self.told)
        await self.lifespan.shutdown()

    async def _drain(self, listener: Listener, told: float) -> None:
        deadline = told + self.settings.grace
        await asyncio.sleep(told + self.settings.drain_delay - time.monotonic())
        if not self.place.shared:  # else others go on accepting there, or the supervisor has seen to it
            refuse_new(self.place.listening)
        settle = SETTLE_BUSY if listener.busy else SETTLE
        await asyncio.sleep(min(settle, deadline - time.monotonic()))
        listener.finish()
        loop = asyncio.get_running_loop()
        while (self.open or listener.connecting) and time.monotonic() < deadline:
            for connection in list(self.open):
                connection.close_if_late(loop.time())
                connection.close_if_quiet(loop.time(), QUIET if connection.asked else 2 * QUIET)
            await asyncio.sleep(0.02)
        left = [connection for connection in self.open if not connection.idle]
        self.cut_off = len(left)
        if left:
            asked = Counter("{method} {path}".format(**{"path": "", **connection.scope}) for connection in left)
            told_of = ", ".join(f"{count} of {what:.200}" for what, count in asked.most_common(5))
            log.error("not finished within %g s, and cut off: %s", self.settings.grace, told_of)


def serve(service: Service, settings: Settings, place: Place, announce: Callable[[Any], None]) -> ExitCode:
    """Serve until told to end; ``announce`` gets one document when the service is ready.

    Gives ``FAILED`` where requests had to be cut off at the end. Raises what the service failed with where it could not
    be made ready.
    """

    def started() -> None:
        if service.failure is not None:
            server.should_exit = True
        elif service.phase is Phase.READY:
            _collect_less()
            server.accept()
            if not place.shared:
                log.info("listening on %s", place.url)
            announce({"event": "ready", "url": place.url, "digest": service.envelope.digest})

    config = uvicorn.Config(
        create_app(service, settings, started),
        http=Connection,
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE,
    )
    server = Server(config, service, settings, place)
    # uvicorn sets its own while it runs, and these again when it is done.
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, server.handle_exit)
    server.run(sockets=[])
    if service.failure is not None:
        raise service.failure
    return ExitCode.FAILED if server.cut_off else ExitCode.OK


def _collect_less() -> None:
    """Leave what is there for good out of the garbage collector's rounds, and let it look at more that is new at once.

    A request of a thousand rows makes thousands of objects that are gone with it: with Python's usual thresholds each
    such request had all modules and the model looked through, which took a sixth of its time.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


def leave(code: int, service: Service) -> NoReturn:
    """End the process; for good where the model still works on something that nobody waits for any more."""
    _flush()
    if service.worker.busy:
        os._exit(code)
    ending.leave(code)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
