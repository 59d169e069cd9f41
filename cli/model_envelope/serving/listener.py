"""The listening socket: takes connections as long as there is room for them, and comes to an end without losing any.

asyncio's and uvloop's own servers cannot be paused, and uvloop's is closed for good when there are no files left.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
from collections.abc import Callable, Collection

from model_envelope.serving.binding import BACKLOG
from model_envelope.serving.connection import Connection

log = logging.getLogger("model_envelope.serving")

MOST_FILES = 1024 * 1024
"""Files that this process asks to be allowed at most: some libraries go through all numbers up to the limit."""

BURST = 64
PAUSE = 0.1
"""Seconds until accepting is tried again where there was no room."""

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Accepts connections on a socket that other processes may accept on too. Lives on the event loop."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], Connection],
        connections: Collection[Connection],
        *,
        most: int,
        shared: bool,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._connections = connections
        self._most = most
        # One at a time lets the other processes have their share.
        self._burst = 1 if shared else BURST
        self._tasks: set[asyncio.Task[object]] = set()
        self._pausing: asyncio.TimerHandle | None = None
        self._full = False
        self._accepting = False
        self._took = -math.inf

    @property
    def busy(self) -> bool:
        """Whether a connection was accepted within the last second."""
        return asyncio.get_running_loop().time() - self._took < 1.0

    @property
    def connecting(self) -> bool:
        """Whether connections were accepted that are not set up yet."""
        return bool(self._tasks)

    def start(self) -> None:
        """Begin to accept; that it has begun already does not matter."""
        if not self._accepting:
            self._accepting = True
            self._listening.listen(BACKLOG)
            self._listening.setblocking(False)
            self._read()

    def finish(self) -> None:
        """Take what the kernel has accepted by now, and accept no more; the socket is closed."""
        if self._accepting:
            self._stop_reading()
            try:
                while self._accept():
                    continue
            except OSError as error:
                log.warning("connections that waited could not be accepted: %s", error.strerror)
        self._accepting = False
        self._listening.close()

    def _read(self) -> None:
        self._pausing = None
        if self._accepting:
            asyncio.get_running_loop().add_reader(self._listening.fileno(), self._take)

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listening.fileno())
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None

    def _pause(self, why: str) -> None:
        if not self._full:
            log.warning("%s: new connections wait", why)
        self._full = True
        self._stop_reading()
        self._pausing = asyncio.get_running_loop().call_later(PAUSE, self._read)

    def _take(self) -> None:
        """Accept what waits, up to a burst, so that the connections that are there get their turn."""
        for _ in range(self._burst):
            if len(self._connections) + len(self._tasks) >= self._most:
                self._make_room()
                self._pause(f"{len(self._connections)} connections are open, as many as there may be")
                return
            try:
                if not self._accept():
                    return
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._make_room()
                self._pause(f"cannot accept a connection ({error.strerror})")
                return
        self._full = False

    def _accept(self) -> bool:
        """Accept a connection; False where none waits."""
        try:
            connected, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionError:
            return True  # it has gone while it waited
        connected.setblocking(False)
        loop = asyncio.get_running_loop()
        self._took = loop.time()
        task: asyncio.Task[object] = loop.create_task(self._connect(connected))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _connect(self, connected: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connected)
        except OSError as error:
            log.debug("a connection could not be set up: %s", error)
            connected.close()

    def _make_room(self) -> None:
        """Close those connections on which nothing has happened for a second."""
        now = asyncio.get_running_loop().time()
        for connection in list(self._connections):
            connection.close_if_quiet(now, 1.0)


def allow_files() -> int:
    """Raise how many files this process may open as far as it may, and give how many connections that leaves room for.

    The model, the log and the libraries need files too.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # macOS has a limit of its own below the one that it tells
            log.debug("the limit of open files stays at %d: %s", soft, error)
        else:
            soft = wanted
    files = MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return max(1, files - max(64, files // 8)) if files > 128 else max(1, files // 2)
