"""What a job did: as a JSON document, as text, and as one line for a scheduler."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_envelope.scoring.tables import CannotWrite, Written

VERSION = 1
STANDS_OUT = 0.01
"""From which share of the rows on the text tells that a column is other than in the samples."""


@dataclass(frozen=True)
class Rows:
    """Rows of this run. ``resumed`` are those of parts that an earlier run had staged; None where nobody can tell."""

    read: int = 0
    scored: int = 0
    refused: int = 0
    resumed: int | None = 0


@dataclass(frozen=True)
class Output:
    """A table that was written: where, what its sink promises, and what it holds now."""

    name: str
    guarantee: str
    written: Written

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        written = self.written
        return {
            "name": self.name,
            "guarantee": self.guarantee,
            "rows": written.rows,
            "bytes": written.bytes,
            "version": written.version,
            "files": dict(written.files),
        }


@dataclass(frozen=True)
class RunReport:
    """One run of a job.

    ``seconds`` are those of each phase; reading, predicting and writing go on at once, so that they may add up to more
    than ``total_seconds``. ``problems`` count, by code, what was wrong with the rows that were refused. ``notes`` are
    sentences about what the engine decided.
    """

    run_id: str
    identity: str
    started: str
    envelope_name: str
    envelope_digest: str
    method: str
    settings: Mapping[str, Any]
    input: Mapping[str, Any]
    rows: Rows
    parts: int
    parts_resumed: int
    total_seconds: float
    seconds: Mapping[str, float]
    workers: int
    outputs: Mapping[str, Output] = field(default_factory=dict)
    problems: Mapping[str, int] = field(default_factory=dict)
    observations: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def rate(self) -> float:
        """Rows a second of this run."""
        return self.rows.read / self.total_seconds if self.total_seconds else 0.0

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "report": VERSION,
            "run_id": self.run_id,
            "identity": self.identity,
            "started": self.started,
            "envelope": {"name": self.envelope_name, "digest": self.envelope_digest},
            "method": self.method,
            "settings": dict(self.settings),
            "input": dict(self.input),
            "rows": vars(self.rows),
            "parts": {"all": self.parts, "resumed": self.parts_resumed},
            "seconds": {"total": round(self.total_seconds, 3)}
            | {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "rows_per_second": round(self.rate, 1),
            "workers": self.workers,
            "outputs": {role: output.to_document() for role, output in self.outputs.items()},
            "problems": dict(self.problems),
            "observations": dict(self.observations),
            "notes": list(self.notes),
        }

    def summary(self) -> dict[str, Any]:
        """Give what a scheduler wants to know, short enough for one line."""
        return {
            "run_id": self.run_id,
            "envelope": self.envelope_digest,
            "method": self.method,
            "rows_read": self.rows.read,
            "rows_scored": self.rows.scored,
            "rows_refused": self.rows.refused,
            "parts": self.parts,
            "parts_resumed": self.parts_resumed,
            "rows_written": self.outputs["output"].written.rows if "output" in self.outputs else 0,
            "output": self.outputs["output"].name if "output" in self.outputs else "",
            "seconds": round(self.total_seconds, 3),
        }

    def text(self) -> str:
        """Tell it to a person."""
        rows = self.rows
        done = f"{rows.scored:,} of {rows.read:,} rows scored in {self.total_seconds:.1f} s ({self.rate:,.0f} rows/s)"
        lines = [
            "nothing was left to score: an earlier run of this job had written all of it"
            if self.parts_resumed == self.parts and not rows.read
            else done + (f", {rows.refused:,} refused" if rows.refused else ""),
            f"  envelope   {self.envelope_name} {self.envelope_digest[:12]}, method {self.method}",
            f"  input      {self.input['name']}",
        ]
        for role, output in self.outputs.items():
            lines.append(f"  {role:10} {output.name}: {output.written.rows:,} rows. {output.guarantee}")
        if 0 < self.parts_resumed < self.parts or (self.parts_resumed and rows.read):
            lines.append(f"  resumed    {self.parts_resumed} of {self.parts} parts were staged by an earlier run")
        lines.append("  seconds    " + ", ".join(f"{name} {taken:.1f}" for name, taken in self.seconds.items()))
        for code, count in self.problems.items():
            lines.append(f"  refused    {count:,} x {code}")
        lines += [f"  note       {note}" for note in self.notes]
        lines += [f"  drift      {line}" for line in self._drift()]
        return "\n".join(lines)

    def _drift(self) -> list[str]:
        found = []
        for side, columns in self.observations.items():
            for name, column in columns.items():
                for key, what in (("outside_share", "outside the range"), ("unknown_share", "not among the values")):
                    if column.get(key, 0) >= STANDS_OUT:
                        found.append(f"{side} {name}: {column[key]:.2%} of the rows are {what} of the samples")
        return found

    def write(self, path: Path) -> None:
        """Write the document to a file, all of it or nothing. Raises :class:`CannotWrite`."""
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.write_text(json.dumps(self.to_document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            staged.replace(path)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise CannotWrite(
                f"the report cannot be written to {path}: {error.strerror or error}",
                code="report.write",
                hint="the table itself is written; name another place with --report",
            ) from None
