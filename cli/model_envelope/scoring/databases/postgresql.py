"""PostgreSQL through its ADBC driver: COPY in both directions, a stream of Arrow batches."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.scoring.databases import Broken, literal, unbroken
from model_envelope.scoring.databases.told import missing, unreachable
from model_envelope.scoring.location import Location
from model_envelope.scoring.sinks.columns import Unfit
from model_envelope.scoring.tables import CannotWrite, InvalidTable

_PLAIN = {
    *("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar", "name"),
    *("bytea", "date", "timestamp", "timestamptz", "time"),
    *("_bool", "_int2", "_int4", "_int8", "_float4", "_float8", "_text", "_varchar"),
}
"""Types whose values the driver gives as they are; all others are read as text."""
_LOCK_SECONDS = 5
"""How long the server may take to notice that the holder of a lock was killed."""


def connect(location: Location, *, write: bool) -> PostgreSQL:
    """Open it; both directions begin the same way."""
    del write
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise missing("adbc-driver-postgresql", "PostgreSQL") from None
    try:
        return PostgreSQL(dbapi.connect(location.url), dbapi.Error)
    except dbapi.Error as error:
        raise unreachable(location, error) from None


class PostgreSQL:
    """A connection to a PostgreSQL server."""

    transactional = True

    def __init__(self, connection: Any, error: type[Exception]) -> None:
        self.errors: tuple[type[Exception], ...] = (error, Broken)
        self._connection = connection
        self._closed = False

    def begin(self, *, write: bool) -> None:
        """Begin: the driver has done so at the end of the last one."""
        if not write:
            self.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    def rollback(self) -> None:
        """Roll back, where there still is somebody to do so."""
        with suppress(*self.errors):
            self._connection.rollback()

    def close(self) -> None:
        """Close; the server rolls back what is open."""
        if not self._closed:
            self._closed = True
            with suppress(*self.errors):
                self._connection.close()

    def alive(self) -> bool:
        """Ask the server something."""
        try:
            self._connection.rollback()
            self.execute("SELECT 1")
        except self.errors:
            return False
        return True

    def lock(self, name: str) -> bool:
        """Take an advisory lock. The server gives up that of a killed job once it notices its death."""
        until = time.monotonic() + _LOCK_SECONDS
        while not self.execute(take_lock(name))[0][0]:
            if time.monotonic() > until:
                return False
            time.sleep(0.2)
        return True

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def quoted(self, name: str) -> str:
        """Quote a name."""
        return '"' + name.replace('"', '""') + '"'

    def exists(self, table: Sequence[str]) -> bool:
        """Look for a relation."""
        return self.execute(f"SELECT to_regclass({self._name(table)}) IS NOT NULL")[0][0] is True

    def required(self, table: Sequence[str]) -> frozenset[str]:
        """Look into the catalogue."""
        rows = self.execute(
            "SELECT attname::text FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attnotnull "
            f"AND NOT atthasdef AND attidentity = '' AND attrelid = to_regclass({self._name(table)})"
        )
        return frozenset(str(row[0]) for row in rows)

    def version(self, table: Sequence[str]) -> dict[str, str]:
        """Sum up the transactions that wrote the rows: one that was updated has another."""
        kind = self.execute(f"SELECT relkind::text FROM pg_class WHERE oid = to_regclass({self._name(table)})")
        if kind != [("r",)]:
            return {}
        name = ".".join(map(self.quoted, table))
        return {"transactions": str(self.execute(f"SELECT sum(xmin::text::bigint)::text FROM {name}")[0][0])}

    def schema(self, relation: str, table: Sequence[str]) -> pa.Schema:
        """Give the columns as :meth:`stream` reads them, with the type of PostgreSQL beside each."""
        del table
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {relation} LIMIT 0")
            with cursor.fetch_record_batch() as reader:
                found = reader.schema
        return pa.schema([_field(field) for field in found])

    def stream(self, relation: str, schema: pa.Schema, rest: str, rows: int) -> Iterator[pa.RecordBatch]:
        """Read through COPY; the driver cuts by bytes, a few thousand rows at a time."""
        del rows
        columns = ", ".join(self._column(field) for field in schema) or "1"
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {relation} {rest}")
            with cursor.fetch_record_batch() as reader:
                for batch in unbroken(reader):
                    arrays = [_read(array, field) for array, field in zip(batch.columns, schema, strict=False)]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def held(self, type_: pa.DataType) -> pa.DataType:
        """Give the type that a column is written as."""
        if pa.types.is_uint64(type_):
            return pa.decimal128(20, 0)
        if pa.types.is_int8(type_) or pa.types.is_unsigned_integer(type_):
            return {8: pa.int16(), 16: pa.int32(), 32: pa.int64()}[type_.bit_width]
        if pa.types.is_decimal(type_) and type_.precision <= 38 and type_.scale >= 0:
            return pa.decimal128(type_.precision, type_.scale)
        return plain(type_)

    def declared(self, type_: pa.DataType) -> str:
        """Name the type."""
        if pa.types.is_decimal(type_):
            return f"NUMERIC({type_.precision},{type_.scale})"
        return _NAMES[type_]

    def insert(self, table: Sequence[str], batch: pa.RecordBatch) -> None:
        """Copy rows into a table, in the transaction that is open."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) and pc.any(pc.match_substring(column, "\0")).as_py():
                row = pc.index(pc.match_substring(column, "\0"), True).as_py()
                raise CannotWrite(
                    f"the column {name} has a text with a NUL character, which PostgreSQL cannot hold (row {row})",
                    code="output.value",
                    hint="keep that column out, or clean the table that is scored",
                )
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(
                table[-1], batch, mode="append", db_schema_name=table[-2] if len(table) > 1 else None
            )  # fmt: skip

    def _name(self, table: Sequence[str]) -> str:
        return literal(".".join(map(self.quoted, table)))

    def _column(self, field: pa.Field) -> str:
        cast = (field.metadata or {}).get(b"cast", b"").decode()
        return self.quoted(field.name) + (f"::{cast} AS {self.quoted(field.name)}" if cast else "")


def plain(type_: pa.DataType) -> pa.DataType:
    """Give the type in which databases hold what they nearly all have. Raises :class:`Unfit`."""
    if pa.types.is_dictionary(type_):
        return plain(type_.value_type)
    if pa.types.is_float16(type_):
        return pa.float32()
    if pa.types.is_date(type_):
        return pa.date32()
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", "UTC" if type_.tz else None)
    if pa.types.is_time(type_):
        return pa.time64("us")
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_null(type_):
        return pa.string()
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return pa.binary()
    if type_ in _NAMES:
        return type_
    raise Unfit(type_)


_NAMES = {
    pa.bool_(): "BOOLEAN",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE PRECISION",
    pa.string(): "TEXT",
    pa.binary(): "BYTEA",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.time64("us"): "TIME",
}


def take_lock(name: str) -> str:
    """Give the statement that takes the advisory lock of a name; it gives whether that was free."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    return f"SELECT pg_try_advisory_lock({number}::bigint)"


def _field(field: pa.Field) -> pa.Field:
    """Say how a column is read: as it is, as a number of its precision, or as text."""
    said = field.metadata or {}
    kind = said.get(b"POSTGRESQL:type", b"").decode()
    if kind in _PLAIN:
        return pa.field(field.name, field.type)
    if kind == "oid":
        return pa.field(field.name, pa.int64(), metadata={"cast": "bigint"})
    modifier = int(said.get(b"POSTGRESQL:typmod", b"-1"))
    if kind == "numeric" and modifier >= 4:
        precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
        if precision <= 76 and scale <= precision:
            type_ = pa.decimal128 if precision <= 38 else pa.decimal256
            return pa.field(field.name, type_(precision, scale), metadata={"cast": "text"})
    return pa.field(field.name, pa.string(), metadata={"cast": "text", "kind": kind})


def _read(array: pa.Array, field: pa.Field) -> pa.Array:
    if array.type == field.type:
        return array
    try:
        return pc.cast(array, field.type)
    except pa.ArrowException as error:
        raise InvalidTable(
            f"the column {field.name} has a value that is no {field.type}: {error}",
            code="table.value",
            hint="NaN and infinity have no place in decimals: read it with a query that casts it",
        ) from None
