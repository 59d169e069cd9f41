"""``ledger.jsonl``: the only file of an envelope that grows. One JSON object a line: sealed, tags, metrics.

Each line has an id, a time, an author and the sha256 of the line before, so that a line that is taken out or altered
shows. Lines are appended under a lock. Of two lines about one tag or metric the later one wins; an empty value takes a
tag away; the history of a metric is kept.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import exclusive
from model_envelope.runtime.errors import InvalidEnvelope

NAME = "ledger.jsonl"


@dataclass(frozen=True)
class MetricEntry:
    """One value that a metric had, since when (RFC 3339, UTC) and by whom."""

    name: str
    value: float
    time: str
    author: str


@dataclass(frozen=True)
class Ledger:
    """What the ledger says now. ``sealed`` holds the lines of sealing: digest, time, author, provenance."""

    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    history: tuple[MetricEntry, ...]
    sealed: tuple[Mapping[str, Any], ...]


def read_ledger(envelope: Path) -> Ledger:
    """Read the ledger of an envelope.

    Raises :class:`InvalidEnvelope` (``ledger.damaged``) where a line is malformed or the chain of hashes is broken.
    """
    tags: dict[str, str] = {}
    metrics: dict[str, float] = {}
    history: list[MetricEntry] = []
    sealed: list[Mapping[str, Any]] = []
    for entry in _entries(envelope / NAME):
        if entry["kind"] == "tag":
            tags.update(entry["tags"])
        elif entry["kind"] == "metric":
            metrics.update(entry["metrics"])
            history += [
                MetricEntry(name, value, entry["time"], entry["author"]) for name, value in entry["metrics"].items()
            ]
        elif entry["kind"] == "sealed":
            sealed.append(entry)
    return Ledger({key: value for key, value in tags.items() if value}, metrics, tuple(history), tuple(sealed))


def append_tags(envelope: Path, tags: Mapping[str, str]) -> None:
    """Add tags; an empty value takes one away."""
    if tags:
        LedgerWriter(envelope).append("tag", tags=dict(tags))


def append_metrics(envelope: Path, metrics: Mapping[str, float]) -> None:
    """Add metrics, or correct them.

    Raises :class:`InvalidInput` (``metric.not-a-number``) for a value that is no finite number.
    """
    if metrics:
        LedgerWriter(envelope).append("metric", metrics=checked_metrics(metrics))


def checked_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Give the metrics as plain numbers (NumPy's scalars included); raises :class:`InvalidInput`."""
    checked: dict[str, float] = {}
    for name, value in metrics.items():
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise InvalidInput(
                f"the metric `{name}` is {value!r}, expected a finite number",
                code="metric.not-a-number",
                hint="texts belong into tags",
            )
        checked[str(name)] = number
    return checked


def checked_tags(tags: Mapping[Any, Any]) -> dict[str, str]:
    """Give the tags as strings; raises :class:`InvalidInput` for a name or value that is none."""
    for name, value in tags.items():
        if not isinstance(name, str) or not name or not isinstance(value, str):
            raise InvalidInput(
                f"the tag {name!r} is {value!r}, expected a name and a string",
                code="tag.not-a-string",
                hint="numbers belong into metrics; write `str(value)` where a text is meant",
            )
    return dict(tags)


class LedgerWriter:
    """Appends lines to the ledger of an envelope, one process at a time."""

    def __init__(self, envelope: Path) -> None:
        self.path = envelope / NAME

    def append(self, kind: str, **content: Any) -> None:
        """Append one line; it is on the disk when this returns."""
        with exclusive(self.path):
            previous = _last_line(self.path)
            entry = {
                "id": uuid.uuid4().hex,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "author": author(),
                "kind": kind,
                **content,
                "previous": hashlib.sha256(previous).hexdigest() if previous else None,
            }
            line = json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())


def author() -> str:
    """Name who does this: the user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _entries(path: Path) -> list[Mapping[str, Any]]:
    if not path.is_file():
        return []
    entries = []
    previous = b""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            entry = json.loads(line)
            known, kind = entry["previous"], entry["kind"]
        except (ValueError, KeyError, TypeError):
            raise _damaged(path, number, "it is no line of a ledger") from None
        if known != (hashlib.sha256(previous).hexdigest() if previous else None):
            raise _damaged(path, number, "the line before it was changed or taken out")
        if kind in {"tag", "metric", "sealed"}:
            entries.append(entry)
        previous = line
    return entries


def _last_line(path: Path) -> bytes:
    lines = path.read_bytes().splitlines()
    return lines[-1] if lines else b""


def _damaged(path: Path, number: int, why: str) -> InvalidEnvelope:
    return InvalidEnvelope(
        f"line {number} of {path} cannot be trusted: {why}",
        code="ledger.damaged",
        hint="get the ledger again from where the envelope came from; what is sealed is not touched by it",
    )
