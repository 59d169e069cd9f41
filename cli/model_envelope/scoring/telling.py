"""What a job says while it runs: JSON lines for programs on standard output, plain lines for people beside them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TextIO

EVERY = 30.0
"""Seconds between two lines of progress where nobody draws a bar of them."""
DRAWN = 0.2
"""Seconds between two where somebody does."""


class Lines:
    """Standard output for JSON lines alone: whatever the model prints goes to standard error from now on."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._file: TextIO | None = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)
        self._lock = threading.Lock()

    def write(self, event: Mapping[str, Any]) -> None:
        """Write an event. Where nobody reads any more the job goes on: what counts is its output."""
        with self._lock:
            if self._file is None:
                return
            try:
                self._file.write(json.dumps(event, default=str) + "\n")
                self._file.flush()
            except (BrokenPipeError, OSError):
                with suppress(OSError):
                    self._file.close()
                self._file = None


class Telling:
    """Tells what a job reports; as a context manager it tells again and again how far it is, until the block ends.

    Of ``progress`` (``rows`` that were read, of ``total`` where that is known) it is the latest, with the rows a second
    since the first, and the seconds that are left.
    """

    def __init__(self, lines: Lines, *, supervised: bool) -> None:
        self._lines = lines
        self._supervised = supervised
        self._every = DRAWN if supervised else EVERY
        self._latest: tuple[Mapping[str, Any], float] | None = None
        self._first = (0, 0.0)
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._ticker.join()

    def report(self, event: Mapping[str, Any]) -> None:
        """Take an event, an object with an ``event``; as often as the engine likes, and from any thread."""
        if event["event"] == "progress":
            moment = time.monotonic()
            if self._latest is None:
                self._first = (event["rows"], moment)
            self._latest = (event, moment)
            return
        self._lines.write(event)
        if "text" in event:
            self.say(f"{event['event']}: {event['text']}")

    def say(self, text: str) -> None:
        """Write a line for people, unless the starter tells them."""
        if not self._supervised:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def _tick(self) -> None:
        told = None
        while not self._ended.wait(self._every):
            latest = self._latest
            if latest is None or latest is told:
                continue
            told = latest
            event = self._with_rate(*latest)
            self._lines.write(event)
            self.say(progress_text(event))

    def _with_rate(self, event: Mapping[str, Any], moment: float) -> dict[str, Any]:
        rows, began = self._first
        passed, total = moment - began, event.get("total")
        rate = (event["rows"] - rows) / passed if passed > 0 else 0.0
        left = max(total - event["rows"], 0) / rate if total is not None and rate > 0 else None
        return {**event, "total": total, "rate": round(rate, 1), "left": None if left is None else round(left, 1)}


def progress_text(event: Mapping[str, Any]) -> str:
    """Say how far a job is: ``1,200,000 of 5,000,000 rows, 340,000 rows/s, 11 s left``."""
    of = "" if event["total"] is None else f" of {event['total']:,}"
    left = "" if event["left"] is None else f", {event['left']:,.0f} s left"
    refused = f", {event['refused']:,} refused" if event.get("refused") else ""
    return f"{event['rows']:,}{of} rows, {event['rate']:,.0f} rows/s{refused}{left}"
