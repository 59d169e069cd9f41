"""The databases that tables are read from and written to; a module a kind, and one contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import urlsplit

import pyarrow as pa

from model_envelope.scoring.location import Location

_MODULES = {"postgresql": "postgresql", "postgres": "postgresql", "sqlite": "sqlite", "duckdb": "duck"}

OPTIONS: Mapping[str, tuple[str, ...]] = {"duckdb": ("memory_limit",)}
"""What can be said of databases of one kind alone, by the scheme of their URLs."""


class Connection(Protocol):
    """An open connection. Statements come whole: names and values are quoted by who writes them.

    Every method may raise one of ``errors``; :func:`told.telling` makes of these what a user is told.
    """

    errors: tuple[type[Exception], ...]
    transactional: bool
    """Whether tables can be made, dropped and renamed in a transaction."""

    def begin(self, *, write: bool) -> None:
        """Begin a transaction; one that only reads sees the database as it is now, until its end."""

    def commit(self) -> None:
        """End the transaction: all of it is there."""

    def rollback(self) -> None:
        """End the transaction: nothing of it is there. Never raises."""

    def close(self) -> None:
        """Close it, without what is not committed. Never raises."""

    def alive(self) -> bool:
        """Tell whether the database still answers."""

    def lock(self, name: str) -> bool:
        """Take a name for as long as the connection lasts; False where another has it."""

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, and give its few rows."""

    def quoted(self, name: str) -> str:
        """Give the name of a table or a column as statements have it."""

    def exists(self, table: Sequence[str]) -> bool:
        """Tell whether there is such a table or view."""

    def required(self, table: Sequence[str]) -> frozenset[str]:
        """Give the columns of a table that must be given: not nullable, and without a default."""

    def version(self, table: Sequence[str]) -> dict[str, str]:
        """Tell what changes when rows of a table do, beside their number, where that is cheap to know."""

    def schema(self, relation: str, table: Sequence[str]) -> pa.Schema:
        """Give the columns of what stands after FROM; ``table`` is its name where it is a table."""

    def stream(self, relation: str, schema: pa.Schema, rest: str, rows: int) -> Iterator[pa.RecordBatch]:
        """Read columns of a relation in pieces of about ``rows``; ``rest`` are WHERE and ORDER BY."""

    def held(self, type_: pa.DataType) -> pa.DataType:
        """Give the type that holds all values of another. Raises ``columns.Unfit``."""

    def declared(self, type_: pa.DataType) -> str:
        """Give the SQL type of a held type."""

    def insert(self, table: Sequence[str], batch: pa.RecordBatch) -> None:
        """Add rows to a table whose columns have these types."""


class Broken(Exception):
    """A stream of rows that ended in the middle: Arrow tells it with errors of its own."""


def unbroken(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Give the batches of a stream. Raises :class:`Broken` where it ends in the middle."""
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:
        raise Broken(str(error)) from None


def fetched(
    cursor: Any, schema: pa.Schema, rows: int, array: Callable[[Sequence[Any], pa.Field], pa.Array]
) -> Iterator[pa.RecordBatch]:
    """Give the rows that a cursor has, some at a time, and close it; ``array`` makes the values of a column one."""
    try:
        while got := cursor.fetchmany(min(rows, 16_384)):
            columns = list(zip(*got, strict=True))[: len(schema)]
            arrays = [array(values, field) for values, field in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
    finally:
        cursor.close()


def connect(location: Location, *, write: bool = False) -> Connection:
    """Open a database; SQLite and DuckDB make their file only to write.

    A URL that names a driver (``postgresql+psycopg://``), and each database that has no module here, goes through
    SQLAlchemy. Raises ``Unreachable``, and ``MissingPackage`` where the driver is not installed.
    """
    module = _MODULES.get(urlsplit(location.url).scheme, "alchemy")
    connection: Connection = import_module(f"{__name__}.{module}").connect(location, write=write)
    return connection


def literal(text: str) -> str:
    """Give a text as statements have it."""
    return "'" + text.replace("'", "''") + "'"
