"""The inference log of a service: what was asked and answered, in the schema that batch jobs write too.

One JSON object a line, in files of a folder: ``date=2026-11-21/<host>-<process>-<number>.jsonl``, by the day of the
request, so that whatever reads partitioned tables reads it. Lines are written by a thread of their own; a request never
waits for that. Where more comes than can be written, lines are dropped and counted (``envelope_log_dropped_total``).
"""

from __future__ import annotations

import logging
import os
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BufferedWriter
from pathlib import Path
from typing import Any

from model_envelope.runtime.codec import parse_json
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.inference_log import Logged, Privacy, json_line
from model_envelope.runtime.predicting import BoundMethod
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.serving.media import Format

log = logging.getLogger("model_envelope.serving")

WAITING = 10_000
"""Requests that may wait to be written."""
WAITING_BYTES = 256_000_000
"""Bytes of bodies that may wait to be written."""
LOGGED_WHOLE = Privacy()
LARGEST_FILE = 256_000_000
"""Bytes of a file, after which the next one begins."""


@dataclass(frozen=True)
class Entry:
    """A request that was answered, as it came and went; ``answer`` is None where it was refused or failed."""

    method: BoundMethod
    raw: bytes
    reads: Format
    answer: bytes | None
    writes: Format
    request_id: str
    status: int
    at: float
    """When it was answered, in seconds since the epoch."""
    seconds: float

    @property
    def size(self) -> int:
        """Bytes of both bodies."""
        return len(self.raw) + len(self.answer or b"")


class InferenceLog:
    """Writes entries to a folder, one in so many of them as ``fraction`` says.

    ``dropped`` is called for each that could not be written. Raises :class:`EnvelopeError` (``serve.inference-log``)
    where the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        envelope: EnvelopeFiles,
        *,
        privacy: Privacy = LOGGED_WHOLE,
        fraction: float = 1.0,
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._fraction = fraction
        self._dropped = dropped
        self._logged = {
            name: Logged.of(envelope, name, "online", privacy=privacy, sampling_fraction=fraction)
            for name in envelope.signature.methods
        }
        # Not the module's own generator, which a model may have seeded: workers would then all choose alike.
        self._random = random.Random(os.urandom(16))  # noqa: S311  a sample, no secret
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._number = 0
        self._day: date | None = None
        self._file: BufferedWriter | None = None
        self._written = 0
        self._told = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            trial = folder / f".{self._name}"
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise _cannot_write(folder, error) from None
        self._thread = threading.Thread(target=self._run, name="inference log", daemon=True)
        self._thread.start()

    def note(self, entry: Entry) -> None:
        """Take in a request; it is written later, in the order of its coming."""
        if self._fraction < 1 and self._random.random() >= self._fraction:
            return
        with self._lock:
            full = self._queue.qsize() >= WAITING or self._waiting_bytes + entry.size > WAITING_BYTES
            if not full:
                self._waiting_bytes += entry.size
        if full:
            self._dropped()
        else:
            self._queue.put(entry)

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, as far as there is time for it."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            entry = self._queue.get()
            if entry is None:
                break
            with self._lock:
                self._waiting_bytes -= entry.size
            try:
                line = json_line(self._row(entry))
            except Exception:
                # A request is logged or counted as lost; whatever was strange about it ends no thread.
                self._dropped()
                log.exception("request %s cannot be written to the inference log", entry.request_id)
                continue
            self._write(line, datetime.fromtimestamp(entry.at, UTC).date())
        if self._file is not None:
            self._file.close()

    def _row(self, entry: Entry) -> dict[str, Any]:
        method = entry.method
        return self._logged[method.name].row(
            _said(method, entry.raw, entry.reads, "parameters"),
            None if entry.answer is None else _said(method, entry.answer, entry.writes, "answer"),
            request_id=entry.request_id,
            time=datetime.fromtimestamp(entry.at, UTC),
            milliseconds=1000 * entry.seconds,
            status=entry.status,
        )

    def _write(self, line: bytes, day: date) -> None:
        try:
            if self._file is None or day != self._day or self._written > LARGEST_FILE:
                self._begin(day)
            assert self._file is not None
            self._file.write(line)
            self._written += len(line)
            if self._queue.empty():
                self._file.flush()
            self._told = False
        except OSError as error:
            self._dropped()
            if not self._told:
                log.error("the inference log cannot be written: %s", _cannot_write(self._folder, error).message)  # noqa: TRY400
            # Once, and again after it could be written.
            self._told = True
            self._file = None

    def _begin(self, day: date) -> None:
        if self._file is not None:
            self._file.close()
        self._number += 1
        place = self._folder / f"date={day.isoformat()}"
        place.mkdir(exist_ok=True)
        self._file = (place / f"{self._name}-{int(time.time())}-{self._number}.jsonl").open("ab")
        self._day, self._written = day, 0


def _said(method: BoundMethod, body: bytes, form: Format, side: Any) -> Any:
    """Give a body as JSON values; CSV, and what cannot be taken apart, as its text."""
    try:
        if form is Format.JSON:
            return parse_json(body)
        if form is Format.ARROW:
            from model_envelope.runtime.codec.arrow.as_json import as_json
            from model_envelope.runtime.codec.arrow.streams import read_stream

            return as_json(method.signature, read_stream(body), side)
    except (EnvelopeError, ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return body.decode("utf-8", "replace")


def _cannot_write(folder: Path, error: OSError) -> EnvelopeError:
    return EnvelopeError(
        f"the inference log cannot be written to {folder}: {error.strerror or error}",
        code="serve.inference-log",
        hint="name a folder that can be written to with --inference-log; in a container mount one, since the rest is "
        "read-only",
    )
