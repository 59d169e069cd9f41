"""A relay between clients and the Docker Engine, which sees what is asked, and can be cut."""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path


class Relay:
    """Forwards a UNIX socket to another one; ``asked`` gets each piece that a client sends, before it goes on."""

    def __init__(self, path: Path, engine: Path, asked: Callable[[bytes], None]) -> None:
        self.url = f"unix://{path}"
        self.engine = str(engine)
        self.asked = asked
        self.open: list[socket.socket] = []
        self.threads: list[threading.Thread] = []
        self.is_cut = False
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen(64)
        self._start(self._accept)

    def cut(self) -> None:
        """Go away as an engine does that dies: whoever is connected is cut off, and nobody answers any more."""
        self.is_cut = True
        for one in [self.listening, *self.open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut, and wait until nothing of it is left."""
        self.cut()
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(10)
        for one in [self.listening, *self.open]:
            one.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self.is_cut:
                client, _ = self.listening.accept()
                self.open.append(client)
                engine = socket.socket(socket.AF_UNIX)
                self.open.append(engine)
                engine.connect(self.engine)
                self._start(self._forward, client, engine, self.asked)
                self._start(self._forward, engine, client, lambda _: None)

    def _forward(self, source: socket.socket, to: socket.socket, seen: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while not self.is_cut and (piece := source.recv(65536)):
                seen(piece)
                if not self.is_cut:
                    to.sendall(piece)
            to.shutdown(socket.SHUT_WR)
