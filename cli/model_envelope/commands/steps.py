"""Draws progress on stderr: one line a step, with a spinner before it while it runs on a terminal."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, TextIO

from model_envelope.commands.colours import coloured, paint
from model_envelope.foundation.progress import Done, Event, Started


class Steps:
    """The steps of one command. Reports may come from several threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._animated = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._running: dict[str, tuple[str, float]] = {}
        self._status: Any = None
        self._lock = threading.RLock()

    def report(self, event: Event) -> None:
        """Draw one event."""
        with self._lock:
            if isinstance(event, Started):
                began = self._running.get(event.step, ("", time.monotonic()))[1]
                self._running[event.step] = (event.text, began)
            elif isinstance(event, Done):
                _, since = self._running.pop(event.step, ("", None))
                self._line("✓", "green", event.text, since)
            else:
                self._line("note:", "yellow", event.text, None)
            self._spin()

    def say(self, text: str) -> None:
        """Write a line above what runs."""
        with self._lock:
            self._write(text)

    def close(self, *, failed: bool = False) -> None:
        """End the drawing. What still runs has failed, or was never said to be done."""
        with self._lock:
            for text, since in reversed(self._running.values()) if failed else ():
                self._line("✗", "red", text, since)
            self._running.clear()
            self._spin()

    def _line(self, mark: str, style: str, text: str, since: float | None) -> None:
        try:
            mark.encode(self._stream.encoding or "utf-8")
        except UnicodeEncodeError:
            mark = {"✓": "ok:", "✗": "failed:"}.get(mark, mark)
        took = f"  {paint(_duration(time.monotonic() - since), 'dim', self._stream)}" if since is not None else ""
        self._write(f"{paint(mark, style, self._stream)} {text}{took}")

    def _write(self, line: str) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._stream.write(line + "\n")
        self._stream.flush()

    def _spin(self) -> None:
        if not self._animated:
            return
        if not self._running:
            if self._status is not None:
                self._status.stop()
                self._status = None
            return
        from rich.console import Console
        from rich.status import Status
        from rich.text import Text

        text = Text(next(reversed(self._running.values()))[0])
        if self._status is None:
            colours = "auto" if coloured(self._stream) else None
            console = Console(file=self._stream, color_system=colours, highlight=False)  # type: ignore[arg-type]
            self._status = Status(text, console=console, spinner="dots")
            self._status.start()
        else:
            self._status.update(text)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
