"""How far Spark is, told while it works."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

EVERY = 1.0
"""Seconds between two looks."""


def note(folder: str, partition: int, rows: int) -> None:
    """Note in a worker how many rows of a partition it has asked for. That this fails is no reason for a job to."""
    with suppress(OSError):
        Path(folder, str(partition)).write_bytes(b"%d" % rows)


def noted(folder: str) -> int:
    """Add up what workers have noted."""
    rows = 0
    with suppress(OSError):
        rows = sum(int(path.read_bytes() or 0) for path in Path(folder).iterdir())
    return rows


class Progress:
    """Tells how many rows have been asked for, again and again from :meth:`start` until the block ends.

    Workers on this machine note that after each batch in a folder (:attr:`folder`, empty where they are elsewhere).
    From others it comes with what they have seen (``seen``), at the end of each task: what Spark itself counts, it
    tells no sooner.
    """

    def __init__(self, report: Callable[[Mapping[str, Any]], None], *, seen: Callable[[], int], here: bool) -> None:
        self._report = report
        self._seen = seen
        self._scratch = tempfile.TemporaryDirectory(prefix="model-envelope-progress-") if here else None
        self.folder = self._scratch.name if self._scratch is not None else ""
        self._total: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        if self._scratch is not None:
            self._scratch.cleanup()

    def start(self, total: int | None) -> None:
        """Begin to tell; ``total`` are the rows that there are, where that is known."""
        self._total = total
        self._say(0)
        self._thread.start()

    def end(self, rows: int) -> None:
        """Tell that all is done."""
        self._stop()
        self._total = rows
        self._say(rows)

    def _stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _say(self, rows: int) -> None:
        self._report({"event": "progress", "rows": rows, "total": self._total})

    def _tell(self) -> None:
        most = 0
        while not self._ended.wait(EVERY):
            most = max(most, self._seen(), noted(self.folder) if self.folder else 0)
            self._say(most)
