"""What jobs note in a database beside their rows, in the same transactions: ``model_envelope_runs``.

A row a job and output, once all is committed (part -1), and before that one for each part that is. It is what tells a
job that was killed, or is run again, what is there already. ``number`` counts the jobs of the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from model_envelope.scoring.databases import Connection, literal
from model_envelope.scoring.tables import Mode, Run

TABLE = "model_envelope_runs"
_WHOLE = -1


@dataclass(frozen=True)
class Notes:
    """The notes on one output. ``table`` is that output, in whose schema they stand."""

    connection: Connection
    table: Sequence[str]
    run: Run

    @property
    def _name(self) -> str:
        return ".".join(map(self.connection.quoted, (*self.table[:-1], TABLE)))

    @property
    def _mine(self) -> str:
        return f"{self._its} AND identity = {literal(self.run.identity)}"

    @property
    def _its(self) -> str:
        return f"output = {literal(self.table[-1])}"

    def begin(self) -> None:
        """Make the table of notes where there is none."""
        if self.connection.exists((*self.table[:-1], TABLE)):
            return
        self.connection.execute(
            f"CREATE TABLE {self._name} (identity VARCHAR(200) NOT NULL, output VARCHAR(200) NOT NULL, "
            "part BIGINT NOT NULL, rows_written BIGINT NOT NULL, number BIGINT NOT NULL, run VARCHAR(200), "
            "facts VARCHAR(4000), PRIMARY KEY (identity, output, part))"
        )

    def done(self, mode: Mode) -> int | None:
        """Give the rows of this job where it was committed and still stands.

        Rows that were appended stand until the table is replaced, which deletes the notes; a table that a job made or
        replaced is its own only while no later job has written there.
        """
        found = self.connection.execute(
            f"SELECT rows_written, number FROM {self._name} WHERE {self._mine} AND part = {_WHOLE}"
        )
        if not found:
            return None
        rows, number = found[0]
        if mode != "append":
            later = self.connection.execute(
                f"SELECT count(*) FROM {self._name} WHERE {self._its} AND part = {_WHOLE} AND number > {number}"
            )[0][0]
            if later:
                return None
        return int(rows)

    def parts(self) -> dict[int, int]:
        """Give the parts of this job that are committed, with their rows."""
        found = self.connection.execute(
            f"SELECT part, rows_written FROM {self._name} WHERE {self._mine} AND part <> {_WHOLE}"
        )
        return {int(part): int(rows) for part, rows in found}

    def others(self) -> list[str]:
        """Give the jobs that were killed and never ended on this output."""
        found = self.connection.execute(
            f"SELECT DISTINCT identity FROM {self._name} WHERE {self._its} AND part <> {_WHOLE} "
            f"AND identity <> {literal(self.run.identity)}"
        )
        return [str(row[0]) for row in found]

    def add(self, part: int, rows: int) -> None:
        """Note a part."""
        facts = json.dumps(dict(self.run.facts))[:4000]
        self.connection.execute(
            f"INSERT INTO {self._name} (identity, output, part, rows_written, number, run, facts) "
            f"SELECT {literal(self.run.identity)}, {literal(self.table[-1])}, {part}, {rows}, "
            f"coalesce(max(number), 0) + 1, {literal(self.run.id)}, {literal(facts)} FROM {self._name}"
        )

    def end(self, rows: int, *, replaced: bool) -> None:
        """Note that all is there, in place of the parts, and where the table is new, of all that was there before."""
        self.connection.execute(f"DELETE FROM {self._name} WHERE {self._its if replaced else self._mine}")
        self.add(_WHOLE, rows)

    def forget(self, identity: str) -> None:
        """Forget the parts of a job."""
        self.connection.execute(
            f"DELETE FROM {self._name} WHERE {self._its} AND identity = {literal(identity)} AND part <> {_WHOLE}"
        )
