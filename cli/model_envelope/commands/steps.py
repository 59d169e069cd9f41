"""Draws progress on stderr: one line a step.

On a terminal a spinner says what goes on, with a bar where things are counted; elsewhere there is a line for each part,
and every half a minute one that says how many there are.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any, TextIO

from model_envelope.commands.colours import coloured, paint
from model_envelope.foundation.progress import Counted, Doing, Done, Event, Part, Started

PATIENCE = 2.0
"""Seconds after which the spinner says how long what goes on takes already."""
EVERY = 30.0
"""Seconds between two lines that say how far a step is, where no terminal shows it."""
BAR = 30
"""How many characters wide a bar is."""


@dataclass
class _Running:
    """A step that runs: since when, and what it does now, since when."""

    text: str
    since: float
    now: str
    now_since: float
    counted: Counted | None = None
    said: float = 0.0
    """When a line last said how far it is."""

    def __rich__(self) -> Any:
        """Give what stands beside the spinner, at this moment."""
        from rich.text import Text

        if self.counted is not None:
            return self._bar(self.counted)
        passed = time.monotonic() - self.now_since
        return Text(f"{self.now}, {_whole(passed)}" if passed >= PATIENCE else self.now)

    @staticmethod
    def _bar(counted: Counted) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if not counted.total:
            return Text(counted.text)
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(counted.total, counted.done, width=BAR), Text(counted.text))
        return row


class Steps:
    """The steps of one command. Reports may come from several threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._animated = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._running: dict[str, _Running] = {}
        self._status: Any = None
        self._lock = threading.RLock()

    def report(self, event: Event) -> None:
        """Draw one event."""
        with self._lock:
            if isinstance(event, Started):
                now = time.monotonic()
                # A step that is told anew goes on: it began when it was told first.
                before = self._running.get(event.step)
                self._running[event.step] = _Running(event.text, before.since if before else now, event.text, now)
            elif isinstance(event, Doing):
                self._do(event)
            elif isinstance(event, Counted):
                self._count(event)
            elif isinstance(event, Part):
                if not self._animated:
                    self._write(f"  {event.text}  {_duration(event.seconds)}")
            elif isinstance(event, Done):
                running = self._running.pop(event.step, None)
                self._line("✓", "green", event.text, running.since if running else None)
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
            for running in reversed(self._running.values()) if failed else ():
                self._line("✗", "red", running.text, running.since)
            self._running.clear()
            self._spin()

    def _do(self, event: Doing) -> None:
        running = self._running.get(event.step)
        if running is not None and running.now != event.text:
            running.now, running.now_since = event.text, time.monotonic()

    def _count(self, event: Counted) -> None:
        running = self._running.get(event.step)
        if running is None:
            return
        running.counted, now = event, time.monotonic()
        if not self._animated and now - max(running.said, running.since) >= EVERY:
            running.said = now
            self._write(f"  {event.text}")

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

        text: Any = next(reversed(self._running.values()))
        if self._status is None:
            colours = "auto" if coloured(self._stream) else None
            console = Console(file=self._stream, color_system=colours, highlight=False)  # type: ignore[arg-type]
            self._status = Status(text, console=console, spinner="dots")
            self._status.start()
        else:
            self._status.update(text)


def _whole(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else _duration(seconds)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
