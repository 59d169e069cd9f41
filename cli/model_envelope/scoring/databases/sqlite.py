"""SQLite through the standard library.

SQLite gives each value a type, not each column: what a column is said to hold when a table is made is held against its
values here, and a value that is something else is told, never bent. A column that says nothing is what all its values
are. Booleans are 0 and 1; dates, times and decimals are text, as SQLite's own functions have them.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.scoring.databases import fetched, literal
from model_envelope.scoring.databases.postgresql import plain
from model_envelope.scoring.databases.told import taken, unreachable
from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import CannotWrite, InvalidJob, InvalidTable

_WAIT_SECONDS = 3
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_MADE_UP = ("BLOB", "NUM")
"""What SQLite 3.41 and newer call columns of views and queries whose type nobody declared."""
_DECLARED: tuple[tuple[str, pa.DataType], ...] = (
    ("BOOL", pa.bool_()),
    ("TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC")),
    ("TIMESTAMPTZ", pa.timestamp("us", "UTC")),
    ("TIMESTAMP", pa.timestamp("us")),
    ("DATETIME", pa.timestamp("us")),
    ("DATE", pa.date32()),
    ("TIME", pa.time64("us")),
    ("INT", pa.int64()),
    ("CHAR", pa.string()),
    ("CLOB", pa.string()),
    ("TEXT", pa.string()),
    ("JSON", pa.string()),
    ("UUID", pa.string()),
    ("BLOB", pa.binary()),
    ("REAL", pa.float64()),
    ("FLOA", pa.float64()),
    ("DOUB", pa.float64()),
)
_OWN = {
    pa.int8(): "INT8",
    pa.int16(): "INT16",
    pa.int32(): "INT32",
    pa.float32(): "FLOAT32",
}
"""What SQLite takes for an integer and a float, and nobody but this module writes."""
_NAMES = {
    **_OWN,
    pa.bool_(): "BOOLEAN",
    pa.int64(): "INTEGER",
    pa.float64(): "REAL",
    pa.string(): "TEXT",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.time64("us"): "TIME",
}


def database_file(location: Location) -> Path:
    """Give the file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    path = unquote(urlsplit(location.url).path)[1:]
    if not path or path == ":memory:":
        raise InvalidJob(
            f"{location.shown} names no file",
            code="job.location",
            hint="three slashes before a relative path, four before an absolute one: sqlite:////data/scores.db#flights",
        )
    return Path(path)


def connect(location: Location, *, write: bool) -> SQLite:
    """Open a file."""
    path = database_file(location)
    if not write and not path.is_file():
        raise InvalidTable(f"there is no file {path}", code="table.missing", hint="name a database that is there")
    mode = "rwc" if write else "ro"
    connection = None
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}",
            uri=True,
            timeout=_WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA schema_version").fetchall()
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        if "locked" in str(error):
            raise taken(location, str(error), write=write) from None
        raise unreachable(location, error) from None
    return SQLite(connection, path.absolute())


class SQLite:
    """A connection to a SQLite file."""

    errors = (sqlite3.Error,)
    transactional = True

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._locks: list[tuple[int, Path]] = []

    def begin(self, *, write: bool) -> None:
        """Begin; who writes is alone from here on."""
        self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def commit(self) -> None:
        """Commit."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Roll back, where SQLite has not done so by itself."""
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close, and let go of the locks."""
        self.rollback()
        self._connection.close()
        for descriptor, path in self._locks:
            path.unlink(missing_ok=True)
            os.close(descriptor)
        self._locks.clear()

    def alive(self) -> bool:
        """Tell whether the file is still there."""
        return self._path.is_file()

    def lock(self, name: str) -> bool:
        """Lock a file beside the database: transactions end with each part, the job does not."""
        path = self._path.with_name(f".{self._path.name}.{quote(name, safe='')[:80]}.envelope-batch.lock")
        while True:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    self._locks.append((descriptor, path))
                    return True
            os.close(descriptor)  # who had it has deleted it meanwhile

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement."""
        return self._connection.execute(statement).fetchall()

    def quoted(self, name: str) -> str:
        """Quote a name."""
        return '"' + name.replace('"', '""') + '"'

    def exists(self, table: tuple[str, ...]) -> bool:
        """Look into the schema; the file has one, `main`."""
        return table[:-1] in {(), ("main",)} and bool(
            self.execute(f"SELECT 1 FROM pragma_table_info({literal(table[-1])})")
        )

    def required(self, table: Sequence[str]) -> frozenset[str]:
        """Look into the schema; an integer key numbers itself."""
        rows = self.execute(
            f"SELECT name FROM pragma_table_info({literal(table[-1])}) "
            'WHERE "notnull" AND dflt_value IS NULL AND NOT pk'
        )
        return frozenset(row[0] for row in rows)

    def version(self, table: Sequence[str]) -> dict[str, str]:
        """Tell nothing: SQLite has no cheap mark for one table."""
        del table
        return {}

    def schema(self, relation: str, table: Sequence[str]) -> pa.Schema:
        """Give the columns: as they are declared, else as all their values are."""
        self.execute("DROP VIEW IF EXISTS temp.model_envelope_relation")
        self.execute(f"CREATE TEMP VIEW model_envelope_relation AS SELECT * FROM {relation}")
        try:
            name = literal(table[-1] if table else "model_envelope_relation")
            said = self.execute(f"SELECT name, type FROM pragma_table_info({name})")
            own = self.execute(f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = {name} COLLATE NOCASE")
            made_up = () if own else _MADE_UP
            types = {column: None if type_ in made_up else _declared(type_) for column, type_ in said}
            unsaid = [name for name, type_ in types.items() if type_ is None]
            if unsaid:
                types |= self._seen(unsaid)
        finally:
            self.execute("DROP VIEW temp.model_envelope_relation")
        return pa.schema(types.items())

    def stream(self, relation: str, schema: pa.Schema, rest: str, rows: int) -> Iterator[pa.RecordBatch]:
        """Read rows as they come."""
        columns = ", ".join(map(self.quoted, schema.names)) or "1"
        cursor = self._connection.execute(f"SELECT {columns} FROM {relation} {rest}")
        yield from fetched(cursor, schema, rows, _array)

    def held(self, type_: pa.DataType) -> pa.DataType:
        """Give the type that a column is written as."""
        if pa.types.is_uint64(type_):
            return pa.decimal128(20, 0)
        if pa.types.is_unsigned_integer(type_):
            return {8: pa.int16(), 16: pa.int32(), 32: pa.int64()}[type_.bit_width]
        if type_ in _NAMES:
            return type_
        if pa.types.is_decimal(type_) and type_.scale >= 0:
            return type_
        return plain(type_)

    def declared(self, type_: pa.DataType) -> str:
        """Name the type. A decimal is kept as text: SQLite would make a float of it."""
        if pa.types.is_decimal(type_):
            return f"TEXT_DECIMAL({type_.precision},{type_.scale})"
        return _NAMES[type_]

    def insert(self, table: Sequence[str], batch: pa.RecordBatch) -> None:
        """Insert rows."""
        columns = [_values(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
        names = ", ".join(map(self.quoted, batch.schema.names))
        places = ", ".join("?" * len(columns))
        into = ".".join(map(self.quoted, table))
        self._connection.executemany(f"INSERT INTO {into} ({names}) VALUES ({places})", zip(*columns, strict=True))

    def _seen(self, names: Sequence[str]) -> dict[str, pa.DataType]:
        """Look at all values of columns that do not say what they hold."""
        kinds = ("integer", "real", "text", "blob")
        asked = ", ".join(f"max(typeof({self.quoted(name)}) = '{kind}')" for name in names for kind in kinds)
        row = self.execute(f"SELECT {asked} FROM model_envelope_relation")[0]
        types = {}
        for at, name in enumerate(names):
            found = {kind for kind, seen in zip(kinds, row[4 * at : 4 * at + 4], strict=True) if seen}
            types[name] = (
                pa.binary() if found == {"blob"}
                else pa.int64() if found == {"integer"}
                else pa.float64() if found and found <= {"integer", "real"}
                else pa.string()
            )  # fmt: skip
        return types


def _declared(said: str) -> pa.DataType | None:
    said = said.upper()
    number = _DECIMAL.search(said)
    if number and 0 < int(number[1]) <= 76:
        type_ = pa.decimal128 if int(number[1]) <= 38 else pa.decimal256
        return type_(int(number[1]), int(number[2] or 0))
    own = next((type_ for type_, word in _OWN.items() if word == said), None)
    return own or next((type_ for word, type_ in _DECLARED if word in said), None)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Make a column of the values of SQLite, which must be what the column is."""
    type_ = field.type
    try:
        if pa.types.is_boolean(type_):
            numbers = pa.array(values, pa.int64())
            if pc.any(pc.or_(pc.less(numbers, 0), pc.greater(numbers, 1))).as_py():
                raise pa.ArrowInvalid("a boolean is 0 or 1")
            return pc.cast(numbers, type_)
        if pa.types.is_decimal(type_):
            return pa.array([None if value is None else Decimal(str(value)) for value in values], type_)
        if pa.types.is_time(type_):
            return pa.array([None if value is None else time.fromisoformat(value) for value in values], type_)
        if pa.types.is_temporal(type_):
            return pc.cast(pa.array(values, pa.string()), type_)
        kinds = set(map(type, values))
        if pa.types.is_integer(type_) and float in kinds:
            raise pa.ArrowInvalid("a number with a fraction")
        if pa.types.is_string(type_) and kinds & {int, float}:
            values = [str(value) if isinstance(value, int | float) else value for value in values]
        return pa.array(values, type_)
    except (pa.ArrowException, ArithmeticError, ValueError, TypeError) as error:
        raise InvalidTable(
            f"the column {field.name} has a value that is no {type_}: {error}",
            code="table.value",
            hint="SQLite checks no types: correct the value, or read with a query that casts the column",
        ) from None


def _values(name: str, column: pa.Array) -> list[Any]:
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        raise CannotWrite(
            f"the column {name} has a NaN, of which SQLite makes NULL",
            code="output.value",
            hint="write to a file or another database, where NaN stays what it is",
        )
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    elif pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.string())
    return list(column.to_pylist())
