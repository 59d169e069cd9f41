"""A container of an image: how it is hardened, and what is done with one that runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

PORT = 8080
"""Where the service listens inside its container."""
INSIDE = f"http://127.0.0.1:{PORT}"
"""Where it is asked from inside."""
PYTHON = "/opt/venv/bin/python"
"""The interpreter in every image."""
HARDENED: Mapping[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev"},  # noqa: S108  the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "labels": {"io.modelenvelope.started-by": "envelope"},
}
"""How every container runs here, and should everywhere."""


@dataclass(frozen=True)
class Container:
    """A started container."""

    handle: Any
    url: str = INSIDE

    def exit_code(self) -> int | None:
        """Give the code that it ended with, or None while it runs."""
        self.handle.reload()
        state = self.handle.attrs["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def log(self, lines: int = 60) -> str:
        """Give the end of what it said."""
        said: bytes = self.handle.logs(tail=lines)
        return said.decode("utf-8", "replace")

    def finished(self, *, seconds: float) -> tuple[int | None, bytes, bytes]:
        """Wait until it ends, and give its exit code and what it wrote to standard output and to standard error.

        Where it has not ended after ``seconds`` it is ended, and the code is None.
        """
        late = threading.Event()

        def end() -> None:
            late.set()
            self._kill()

        limit = threading.Timer(seconds, end)
        limit.daemon = True
        limit.start()
        try:
            code = int(self.handle.wait(timeout=None)["StatusCode"])
        finally:
            limit.cancel()
        out, err = (self.handle.logs(stdout=wanted, stderr=not wanted) for wanted in (True, False))
        return None if late.is_set() else code, out, err

    def execute(self, words: Sequence[str], *, seconds: float) -> tuple[bytes, bytes]:
        """Run a program in it and give what that wrote to standard output and to standard error, of any size.

        Where the program has not ended after ``seconds``, or the container ends, it is what there was until then.
        """
        import docker
        from docker.utils.socket import STDERR, STDOUT, frames_iter

        api = self.handle.client.api
        try:
            started = api.exec_create(self.handle.id, list(words))["Id"]
            stream = api.exec_start(started, socket=True)
        except docker.errors.APIError as error:
            if error.status_code == 409:  # it has ended
                return b"", b""
            raise
        limit = threading.Timer(seconds, self._kill)
        limit.daemon = True
        limit.start()
        try:
            said = list(frames_iter(stream, tty=False))
            out, err = (b"".join(part for number, part in said if number == wanted) for wanted in (STDOUT, STDERR))
            return out, err
        finally:
            limit.cancel()
            if (response := getattr(stream, "_response", None)) is not None:  # it holds the connection too
                response.close()
            stream.close()

    def _kill(self) -> None:
        # Whatever comes of it, the container is removed in the end.
        with suppress(Exception):
            self.handle.kill()

    def follow(self) -> Iterator[str]:
        """Give each line that it says until it ends."""
        rest = b""
        stream = self.handle.logs(stream=True, follow=True)
        try:
            for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in lines)
        finally:
            stream.close()
