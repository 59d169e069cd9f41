"""The only launcher of programs.

Everything that the toolchain starts goes through here, so that an interrupt ends it, a time limit holds, nothing is
started through a shell, and a failure is told with the command that can be repeated by hand.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from model_envelope.foundation.errors import ToolFailed, ToolMissing

GRACE = 5.0
"""Seconds between asking a program to end and ending it."""


@dataclass(frozen=True)
class Finished:
    """How a program ended. ``returncode`` is negative for a signal, as in :mod:`subprocess`."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.returncode == 0 and not self.timed_out

    def tail(self, lines: int = 20) -> str:
        """Give the last lines of what it said, for an error message."""
        said = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return "\n".join(said[-lines:])


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Give this process' environment with some variables set, or removed where the value is None."""
    variables = dict(os.environ)
    for name, value in (changes or {}).items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    return variables


def run(
    command: Iterable[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    on_error_line: Callable[[str], None] | None = None,
) -> Finished:
    """Run a program to its end and give what it said.

    ``on_line`` is called with each line of standard output while the program runs, ``on_error_line`` with each of
    standard error, each from a thread of its own. The program runs in a session of its
    own: on an interrupt, after ``timeout`` seconds, and when it has ended itself the whole group is ended, so that no
    grandchild stays behind.

    Raises :class:`ToolMissing` where the program does not exist.
    """
    with Running(command, cwd=cwd, env=env, stdin=stdin, on_line=on_line, on_error_line=on_error_line) as running:
        return running.finish(timeout)


class Running:
    """A program that was started, and what it says meanwhile; as a context manager it does not outlive the block.

    Raises :class:`ToolMissing` where the program does not exist.
    """

    def __init__(
        self,
        command: Iterable[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        on_error_line: Callable[[str], None] | None = None,
    ) -> None:
        self.command = tuple(str(word) for word in command)
        self._stdin = stdin
        self._out: list[str] = []
        self._err: list[str] = []
        self._process = start(
            self.command, cwd=cwd, env=env, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL
        )
        self._readers = [
            threading.Thread(target=_read, args=arguments, daemon=True)
            for arguments in (
                (self._process.stdout, self._out, on_line),
                (self._process.stderr, self._err, on_error_line),
            )
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process.returncode is None:
            stop(self._process)

    def finish(self, timeout: float | None = None) -> Finished:
        """Wait until it ends, for ``timeout`` seconds at most; then it is ended, and all that it started."""
        process = self._process
        timed_out = False
        if self._stdin is not None and process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.write(self._stdin)
                process.stdin.close()
        try:
            process.wait(timeout)
            end_group(process)
        except subprocess.TimeoutExpired:
            timed_out = True
            stop(process)
        for reader in self._readers:
            reader.join(GRACE)
        return Finished(self.command, process.returncode, "".join(self._out), "".join(self._err), timed_out)


def _read(stream: IO[bytes] | None, said: list[str], on_line: Callable[[str], None] | None) -> None:
    assert stream is not None
    with stream:
        for raw in stream:
            line = raw.decode("utf-8", "replace")
            said.append(line)
            if on_line:
                on_line(line.rstrip("\n"))


def start(
    command: Iterable[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own and give it back running; end it with :func:`stop`.

    Raises :class:`ToolMissing` where the program does not exist.
    """
    words = [str(word) for word in command]
    try:
        return subprocess.Popen(
            words, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ToolMissing(
            f"`{words[0]}` cannot be started: {error.strerror}",
            code="tool.missing",
            hint="`envelope doctor` says what this machine has and how to get what is missing",
        ) from None


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a started program and all that it started: politely first, then for good."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue
        break
    end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a program that has ended left running."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def failed(finished: Finished, what: str, *, code: str, hint: str | None = None) -> ToolFailed:
    """Make the error for a program that failed: what it was for, how it ended, the end of what it said."""
    how = "took too long and was ended" if finished.timed_out else f"ended with {finished.returncode}"
    return ToolFailed(
        f"{what}: `{Path(finished.command[0]).name}` {how}",
        code=code,
        detail=finished.tail(),
        hint=hint or f"to see it fail by itself: `{shlex.join(finished.command)}`",
    )
