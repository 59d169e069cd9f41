"""Writes a table of a database, through ADBC, the database's own library or SQLAlchemy.

Options: ``commit=whole`` (default) writes everything in one transaction. ``commit=parts`` ends one with each part, so
that a killed job goes on after the last: into a table of its own (``NAME__`` and the job) that takes its name at the
end, or, in mode ``append``, into the table itself, where each part appears at once. ``nested=json`` writes lists as
JSON text; without it they are refused. Records are always JSON text. Each job leaves a row in the table
``model_envelope_runs``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from model_envelope.scoring.databases.notes import Notes
from model_envelope.scoring.databases.sessions import Session, join
from model_envelope.scoring.databases.tables import check_options, table_name
from model_envelope.scoring.databases.told import telling
from model_envelope.scoring.location import Location
from model_envelope.scoring.sinks.columns import (
    Nowhere,
    as_json,
    check_complete,
    converted,
    differences,
    fitted,
    json_schema,
)
from model_envelope.scoring.tables import CannotWrite, InvalidJob, Mode, Part, PartWriter, Run, Written

_GUARANTEES = {
    "whole": (
        "All rows appear at once, in one transaction. A killed job leaves nothing and starts over; once committed it "
        "is not written again."
    ),
    "parts": (
        "Each part is a transaction, and a killed job goes on after the last. A new table appears at the end; rows "
        "that are appended appear part by part."
    ),
}


def open_sink(location: Location, *, partition_by: tuple[str, ...] = ()) -> SqlSink:
    """Give the sink of a table."""
    check_options(location, ("commit", "nested"))
    for option, known in (("commit", ("whole", "parts")), ("nested", ("json",))):
        if location.options.get(option, known[0]) not in known:
            raise InvalidJob(
                f"{option} is {location.options[option]}", code="job.option", hint=f"it is {' or '.join(known)}"
            )
    if partition_by:
        raise InvalidJob(
            "a table of a database is not partitioned by a job",
            code="job.partition",
            hint="make the table with its partitions, and append to it",
        )
    return SqlSink(location)


class SqlSink:
    """A table of a database."""

    def __init__(self, location: Location) -> None:
        self.name = location.shown
        self._location = location
        self._table = table_name(location.table)
        self._in_parts = location.options.get("commit") == "parts"
        self._as_json = location.options.get("nested") == "json"
        self.guarantee = _GUARANTEES["parts" if self._in_parts else "whole"]
        self._session: Session | None = None
        self._done: Written | None = None
        self._broken = False

    def open(self, run: Run, schema: pa.Schema, mode: Mode) -> frozenset[int]:
        """Take the table, and begin the transaction."""
        self._mode, self._given = mode, json_schema(schema, lists=self._as_json)
        self._session = join(self._location)
        self._connection = self._session.connection
        self._notes = Notes(self._connection, self._table, run)
        self._rows: dict[int, int] = {}
        try:
            with self._telling("it cannot be opened"):
                self._take()
                self._session.enter(self)
                self._notes.begin()
                self._session.leave(self, well=True)
                self._session.enter(self)
                done = self._begin(run)
                if self._in_parts or self._done is not None:
                    self._session.leave(self, well=True)
        except BaseException:
            self.close()
            raise
        return done

    @contextmanager
    def part(self, part: Part) -> Iterator[PartWriter]:
        """Take the rows of a part, with ``commit=parts`` in a transaction of its own."""
        session = self._writing()
        if self._done is not None or part.index in self._rows:
            yield Nowhere()
            return
        self._part_rows = 0
        try:
            with self._telling(f"{part.name} cannot be written"):
                if self._in_parts:
                    session.enter(self)
                yield self
                self._rows[part.index] = self._part_rows
                if self._in_parts:
                    self._notes.add(part.index, self._part_rows)
                    session.leave(self, well=True)
        except BaseException:
            self._rows.pop(part.index, None)
            self._broken = not self._in_parts
            session.leave(self, well=False)
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        rows = converted(as_json(batch, self._given), self._schema, self.name)
        if rows.num_rows:
            self._connection.insert(self._target, rows)
            self._part_rows += rows.num_rows

    def commit(self) -> Written:
        """Commit, or tell what the same job had committed before."""
        if self._done is not None:
            return self._done
        session = self._writing()
        check_complete(self.name, self._notes.run, self._rows)
        rows = sum(self._rows.values())
        try:
            with self._telling("it cannot be committed"):
                session.enter(self)
                if self._target != self._table:
                    self._rename()
                self._notes.end(rows, replaced=self._target != self._table or self._new)
                session.leave(self, well=True)
        except BaseException:
            self._broken = not self._in_parts
            session.leave(self, well=False)
            raise
        self._done = Written(rows=rows)
        return self._done

    def close(self) -> None:
        """Let go of the table; what is not committed is gone."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            with self._telling("it cannot be closed"):
                session.leave(self, well=False)
        finally:
            session.end()

    def _begin(self, run: Run) -> frozenset[int]:
        """Look at what is there, and make room for the rows."""
        there = self._connection.exists(self._table)
        rows = self._notes.done(self._mode) if there else None
        if rows is not None:
            self._done = Written(rows=rows)
            return frozenset(range(run.parts))
        self._schema = fitted(
            self._given,
            self._connection.held,
            self.name,
            "`--output-option nested=json` writes lists as JSON text",
        )
        self._target, self._new = self._table, self._mode == "overwrite" or not there
        if there and self._mode == "error":
            raise CannotWrite(
                f"{self.name} exists already",
                code="output.exists",
                hint="`--mode overwrite` replaces its rows, `--mode append` adds to them",
            )
        existing = self._existing() if there else None
        if there and self._mode == "append":
            self._schema = differences(
                self._schema, existing or pa.schema([]), self.name, self._connection.required(self._table)
            )
        elif self._in_parts:
            self._stage()
            return frozenset(self._rows)
        elif not there:
            self._create(self._table)
        elif existing is not None and existing.equals(self._schema):
            self._connection.execute(f"DELETE FROM {self._quoted(self._table)}")
        else:
            self._drop(self._table)
            self._create(self._table)
        if self._in_parts:
            self._rows = self._notes.parts()
        return frozenset(self._rows)

    def _stage(self) -> None:
        """Go on with the table of an earlier run of this job, or make one; those of other jobs that died go."""
        for other in self._notes.others():
            self._drop(self._staging(other))
            self._notes.forget(other)
        self._target = self._staging(self._notes.run.identity)
        if self._connection.exists(self._target):
            self._rows = self._notes.parts()
        else:
            self._notes.forget(self._notes.run.identity)
            self._create(self._target)

    def _rename(self) -> None:
        """Give the table of the job the name of the output."""
        if self._connection.exists(self._table):
            if self._mode == "error":
                raise CannotWrite(
                    f"another job made {self.name} while this one ran",
                    code="output.exists",
                    hint="`--mode overwrite` replaces its rows, `--mode append` adds to them",
                )
            self._drop(self._table)
        name = self._connection.quoted(self._table[-1])
        self._connection.execute(f"ALTER TABLE {self._quoted(self._target)} RENAME TO {name}")

    def _create(self, table: tuple[str, ...]) -> None:
        self._transactional()
        columns = ", ".join(
            f"{self._connection.quoted(field.name)} {self._connection.declared(field.type)}" for field in self._schema
        )
        self._connection.execute(f"CREATE TABLE {self._quoted(table)} ({columns})")

    def _drop(self, table: tuple[str, ...]) -> None:
        self._transactional()
        self._connection.execute(f"DROP TABLE IF EXISTS {self._quoted(table)}")

    def _existing(self) -> pa.Schema:
        found = self._connection.schema(self._quoted(self._table), self._table)
        return pa.schema([pa.field(field.name, field.type) for field in found])

    def _transactional(self) -> None:
        if not self._connection.transactional:
            raise InvalidJob(
                f"{self.name} cannot be made or replaced: this database makes no tables in a transaction",
                code="job.mode",
                hint="make the table, and use `--mode append`",
            )

    def _quoted(self, table: tuple[str, ...]) -> str:
        return ".".join(map(self._connection.quoted, table))

    def _staging(self, identity: str) -> tuple[str, ...]:
        word = "".join(letter for letter in identity.rpartition(":")[2].lower() if letter.isalnum())[:12]
        return (*self._table[:-1], f"{self._table[-1][:45]}__{word}")

    def _take(self) -> None:
        if self._session is None or not self._session.lock(".".join(self._table)):
            raise CannotWrite(
                f"another job is writing {self.name}",
                code="output.busy",
                hint="wait until it ends, or give this one another output",
            )

    def _writing(self) -> Session:
        if self._session is None or self._broken:
            raise CannotWrite(
                f"{self.name} takes no more rows: a part failed before, or it is closed",
                code="output.failed",
                hint="run the job again",
            )
        return self._session

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        hint = "nothing of it was kept; see to the reason and run the job again"
        with telling(self._location, self._connection, CannotWrite, "output.failed", what, hint):
            yield
