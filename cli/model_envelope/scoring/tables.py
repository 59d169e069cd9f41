"""What sources and sinks of tables are: the two axes of a job.

A source is cut into parts, the same ones in the same order whenever it is planned while the source is the same. A part
is what a job can go on after: a sink that can resume stages each part by itself, durably, and gives all of them to the
world at once when the last is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from model_envelope.runtime.errors import EnvelopeError, ExitCode, Problem

if TYPE_CHECKING:
    import pyarrow as pa

Mode = Literal["error", "overwrite", "append"]
"""What is done with an output that is there already."""


class InvalidJob(EnvelopeError):
    """A job that makes no sense: a setting, or one that does not go with another."""

    exit_code = ExitCode.USAGE


class MissingPackage(InvalidJob):
    """A package that a source or a sink needs is not installed (``job.extra``)."""

    exit_code = ExitCode.TOOL


class Unreachable(EnvelopeError):
    """A database or a store does not answer, or went away while it was asked."""

    exit_code = ExitCode.TOOL


class InvalidTable(EnvelopeError):
    """A table cannot be read, or is not what the job needs: a column that is missing, a file that is cut short."""


class CannotWrite(EnvelopeError):
    """An output cannot be written: it exists, is taken by another job, or there is no room for it."""


class Changed(EnvelopeError):
    """The input is not what it was when the job began."""


PART_ROWS = 1_000_000
"""A source that can be cut anywhere is cut into parts of at least so many rows."""


@dataclass(frozen=True)
class Part:
    """A piece of a source. ``name`` is how messages call it; ``rows`` are counted before any filter, where known."""

    index: int
    name: str
    rows: int | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be scored.

    ``row`` is its number in the part (from 0, after the filter, broken ones counted), ``text`` the line as it stands
    in a text file where it could not be taken apart, ``values`` its columns as JSON where it could.
    """

    row: int
    problems: tuple[Problem, ...]
    text: str | None = None
    values: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Batch:
    """Some rows of a part, one after the other. ``rows`` are the numbers of the rows of ``data`` in the part."""

    data: pa.RecordBatch
    first: int
    """Number, in the part, of the first row that this batch is made of (broken ones counted)."""
    broken: tuple[BadRow, ...] = ()
    """Rows that the source could not read. They are not in ``data``, and lie between ``first`` and the next batch's."""

    def rows(self) -> range | Sequence[int]:
        """Give the number in the part of each row of ``data``."""
        if not self.broken:
            return range(self.first, self.first + self.data.num_rows)
        bad = {item.row for item in self.broken}
        return [at for at in range(self.first, self.first + self.data.num_rows + len(bad)) if at not in bad]


@dataclass(frozen=True)
class Wanted:
    """What a job wants of a source.

    ``types`` are the columns, in this order, with the Arrow type that a source without types of its own (CSV, JSON
    Lines) makes of their text; None takes what the source finds. ``where`` is a filter, an Arrow expression. ``rows``
    is the size of a batch: batches have that many rows but for the last of a part, whatever the source is made of, so
    that a part is always cut alike.
    """

    types: Mapping[str, pa.DataType | None]
    rows: int = 65_536
    where: object | None = None
    """A ``pyarrow.compute.Expression``."""


class Source(Protocol):
    """A table that can be read."""

    name: str
    """How messages and the report call it: without credentials."""

    def schema(self) -> pa.Schema:
        """Give all columns that it has. Raises :class:`InvalidTable`."""
        ...

    def parts(self) -> Sequence[Part]:
        """Give its parts; one at least, also where it has no rows."""
        ...

    def batches(self, part: Part, wanted: Wanted) -> Iterator[Batch]:
        """Read a part. Raises :class:`InvalidTable` where that cannot be done, with the file and the row group."""
        ...

    def state(self) -> Mapping[str, str]:
        """Tell what it is now: by file its size, time and checksum or e-tag, or the version of a table.

        A job compares what this is at its end, and when it goes on, with what it was when it began; an empty mapping
        says that nobody can tell.
        """
        ...


@dataclass(frozen=True)
class Run:
    """What a sink knows of the job: ``identity`` is the same for the same job (envelope, method, input, settings)."""

    identity: str
    id: str
    parts: int
    """How many parts the source has."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What is noted with the output where its format has a place for it: envelope digest, method, run id."""


@dataclass(frozen=True)
class Written:
    """What a sink holds after a job: rows, bytes, and files with the sha256 of each, as far as it knows these."""

    rows: int
    files: Mapping[str, str] = field(default_factory=dict)
    bytes: int = 0
    version: str = ""
    """The version of a table that has some."""


class PartWriter(Protocol):
    """Takes the rows of one part, in order."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows. Raises :class:`CannotWrite`."""
        ...


class Sink(Protocol):
    """A place that a table is written to."""

    name: str
    guarantee: str
    """One sentence that the report and the documentation tell: when rows appear, and what a killed job leaves."""

    def open(self, run: Run, schema: pa.Schema, mode: Mode) -> frozenset[int]:
        """Take the output for this job, and give the parts that an earlier run of the same job has staged already.

        Raises :class:`CannotWrite`: ``output.exists`` in mode ``error``, ``output.busy`` where another job has it,
        ``output.schema`` where rows of another schema are there in mode ``append``. An earlier run of the same job that
        had committed is not done again: then all parts are given, and :meth:`commit` gives what was written.
        """
        ...

    def part(self, part: Part) -> AbstractContextManager[PartWriter]:
        """Give what one part is written with. Left without an exception, the part is staged durably; else it is gone.

        Parts come in the order of the source, one at a time.
        """
        ...

    def commit(self) -> Written:
        """Let the world see all parts. Killed at any moment of it, the same job can be run again and completes it."""
        ...

    def close(self) -> None:
        """Let go of the output. What is staged stays for the same job to go on with; nothing else does."""
        ...
