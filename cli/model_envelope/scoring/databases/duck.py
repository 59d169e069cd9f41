"""DuckDB through its own Arrow reader and writer. The file belongs to one process at a time: DuckDB locks it itself.

What DuckDB keeps of the file and what it sorts, joins or has not committed yet takes 256 MB of memory at most and 4 MB
for each column, whatever the number of rows; more than that it puts into files beside the database. The option
``memory_limit=2GB`` says another size, for queries that need more at once.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from model_envelope.scoring.databases import Broken, literal, unbroken
from model_envelope.scoring.databases.postgresql import plain
from model_envelope.scoring.databases.sqlite import database_file
from model_envelope.scoring.databases.told import missing, taken, unreachable
from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import InvalidJob, InvalidTable

_MEMORY, _MEMORY_COLUMN = 256, 4
"""MB that DuckDB may take. Of a wide table it needs some blocks of each column at once, most of all to sort it."""
_THREADS = 2
"""Each needs memory of its own, and waits for the model anyway."""
_widest: dict[Path, int] = {}
"""How many columns were read or written of a file. A process has one limit for it, however often it is opened."""
_said: dict[Path, str] = {}
"""What the option says of a file."""

_NAMES = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("ns"): "TIMESTAMP_NS",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.time64("us"): "TIME",
}


def connect(location: Location, *, write: bool) -> DuckDB:
    """Open a file."""
    try:
        import duckdb
    except ImportError:
        raise missing("duckdb", "DuckDB") from None
    path = database_file(location)
    if not write and not path.is_file():
        raise InvalidTable(f"there is no file {path}", code="table.missing", hint="name a database that is there")
    try:
        try:
            connection = duckdb.connect(str(path), read_only=not write)
        except duckdb.ConnectionException:
            connection = duckdb.connect(str(path))  # this process has it open to write already
        connection.execute("SET TimeZone = 'UTC'")
        _bind(connection, location, path, error=duckdb.Error)
        aside = _aside(connection, path)
    except duckdb.Error as error:
        if "lock" in str(error):
            raise taken(location, str(error), write=write) from None
        raise unreachable(location, error) from None
    return DuckDB(connection, duckdb.Error, path, aside)


def _bind(connection: Any, location: Location, path: Path, *, error: type[Exception]) -> None:
    """Set how much memory DuckDB takes."""
    said = location.options.get("memory_limit")
    try:
        connection.execute(f"SET memory_limit = {literal(said or _limit(path))}")
    except error:
        connection.close()
        raise InvalidJob(
            f"memory_limit is {said}", code="job.option", hint="it is a size as DuckDB has it: 512MB, 2GB"
        ) from None
    if said:
        _said[path] = said
    threads = connection.execute("SELECT current_setting('threads')").fetchone()[0]
    connection.execute(f"SET threads = {min(_THREADS, threads)}")


def _limit(path: Path) -> str:
    return _said.get(path) or f"{_MEMORY + _MEMORY_COLUMN * _widest.get(path, 0)}MB"


def _aside(connection: Any, path: Path) -> Any:
    """Give a folder for what does not fit in memory, where that cannot stand beside the file."""
    if os.access(path.absolute().parent, os.W_OK):
        return None
    folder = tempfile.TemporaryDirectory(prefix="duckdb-", ignore_cleanup_errors=True)
    connection.execute(f"SET temp_directory = {literal(folder.name)}")
    return folder


class DuckDB:
    """A connection to a DuckDB file."""

    transactional = True

    def __init__(self, connection: Any, error: type[Exception], path: Path, aside: Any) -> None:
        self.errors = (error, Broken)
        self._connection = connection
        self._path = path
        self._aside = aside

    def begin(self, *, write: bool) -> None:
        """Begin."""
        del write
        self._connection.begin()

    def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    def rollback(self) -> None:
        """Roll back, where there is something to."""
        with suppress(*self.errors):
            self._connection.rollback()

    def close(self) -> None:
        """Close."""
        self.rollback()
        self._connection.close()
        if self._aside is not None:
            self._aside.cleanup()

    def alive(self) -> bool:
        """Tell that it is: DuckDB runs in this process."""
        return True

    def lock(self, name: str) -> bool:
        """Have it: the whole file belongs to this process."""
        del name
        return True

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement."""
        return list(self._connection.execute(statement).fetchall())

    def quoted(self, name: str) -> str:
        """Quote a name."""
        return '"' + name.replace('"', '""') + '"'

    def exists(self, table: Sequence[str]) -> bool:
        """Look into the catalogue."""
        return bool(self.execute(f"SELECT 1 FROM information_schema.tables WHERE {_where(table)}"))

    def required(self, table: Sequence[str]) -> frozenset[str]:
        """Look into the catalogue."""
        rows = self.execute(
            f"SELECT column_name FROM information_schema.columns WHERE {_where(table)} "
            "AND is_nullable = 'NO' AND column_default IS NULL"
        )
        return frozenset(row[0] for row in rows)

    def version(self, table: Sequence[str]) -> dict[str, str]:
        """Tell nothing: DuckDB has no mark for one table."""
        del table
        return {}

    def schema(self, relation: str, table: Sequence[str]) -> pa.Schema:
        """Give the columns."""
        del table
        with self._connection.sql(f"SELECT * FROM {relation} LIMIT 0").to_arrow_reader(1) as reader:
            return pa.schema([pa.field(field.name, _read(field.type)) for field in reader.schema])

    def stream(self, relation: str, schema: pa.Schema, rest: str, rows: int) -> Iterator[pa.RecordBatch]:
        """Read as DuckDB scans, in the order of the table."""
        self._make_room(len(schema))
        columns = ", ".join(map(self.quoted, schema.names)) or "1"
        with self._connection.sql(f"SELECT {columns} FROM {relation} {rest}").to_arrow_reader(rows) as reader:
            for batch in unbroken(reader):
                arrays = [
                    array if array.type == field.type else array.cast(field.type)
                    for array, field in zip(batch.columns, schema, strict=False)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def held(self, type_: pa.DataType) -> pa.DataType:
        """Give the type that a column is written as."""
        if type_ in _NAMES:
            return type_
        if pa.types.is_decimal(type_) and type_.precision <= 38 and type_.scale >= 0:
            return pa.decimal128(type_.precision, type_.scale)
        return plain(type_)

    def declared(self, type_: pa.DataType) -> str:
        """Name the type."""
        if pa.types.is_decimal(type_):
            return f"DECIMAL({type_.precision},{type_.scale})"
        return _NAMES[type_]

    def insert(self, table: Sequence[str], batch: pa.RecordBatch) -> None:
        """Insert rows, which DuckDB finds by the name of the variable.

        A name that is registered would be a view, which the transaction keeps with its rows until it ends.
        """
        names = ", ".join(map(self.quoted, batch.schema.names))
        into = ".".join(map(self.quoted, table))
        self._make_room(len(batch.schema))
        model_envelope_batch = pa.Table.from_batches([batch])
        self._connection.execute(f"INSERT INTO {into} ({names}) SELECT {names} FROM model_envelope_batch")
        del model_envelope_batch

    def _make_room(self, columns: int) -> None:
        if columns > _widest.get(self._path, 0):
            _widest[self._path] = columns
            self._connection.execute(f"SET memory_limit = {literal(_limit(self._path))}")


def _where(table: Sequence[str]) -> str:
    schema = literal(table[-2]) if len(table) > 1 else "current_schema()"
    return f"table_name = {literal(table[-1])} AND table_schema = {schema}"


def _read(type_: pa.DataType) -> pa.DataType:
    """Read moments with the zone's plain name, and choices as their text."""
    if pa.types.is_timestamp(type_) and type_.tz:
        return pa.timestamp(type_.unit, "UTC")
    return type_.value_type if pa.types.is_dictionary(type_) else type_
