"""Any other database through SQLAlchemy and the driver that its URL names: row by row, slower than the rest here.

Columns of a table have the types that it declares; those of a query are what its first thousand rows are.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.scoring.databases import fetched, literal
from model_envelope.scoring.databases.postgresql import plain, take_lock
from model_envelope.scoring.databases.told import missing, unreachable
from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import InvalidTable, MissingPackage

_LOOKED_AT = 1000
_TRANSACTIONAL = ("postgresql", "mssql")


def connect(location: Location, *, write: bool) -> Alchemy:
    """Open it; both directions begin the same way."""
    del write
    try:
        import sqlalchemy
    except ImportError:
        raise missing("sqlalchemy", "this database") from None
    try:
        engine = sqlalchemy.create_engine(location.url, poolclass=sqlalchemy.pool.NullPool)
        return Alchemy(sqlalchemy, engine.connect())
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise MissingPackage(
            f"the driver that {location.shown} asks for is not installed: {error}",
            code="job.extra",
            hint="install it, or name another in the URL: mysql+pymysql://, postgresql+psycopg://",
        ) from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise unreachable(location, error) from None


class Alchemy:
    """A connection of SQLAlchemy."""

    def __init__(self, sqlalchemy: Any, connection: Any) -> None:
        self.errors = (sqlalchemy.exc.SQLAlchemyError,)
        self._sa = sqlalchemy
        self._connection = connection
        self._dialect = connection.dialect
        self.transactional = self._dialect.name in _TRANSACTIONAL

    def begin(self, *, write: bool) -> None:
        """Begin: SQLAlchemy does so with the first statement."""
        del write

    def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    def rollback(self) -> None:
        """Roll back, where there still is somebody to do so."""
        with suppress(*self.errors):
            self._connection.rollback()

    def close(self) -> None:
        """Close."""
        with suppress(*self.errors):
            self._connection.close()

    def alive(self) -> bool:
        """Ask something."""
        try:
            self._connection.rollback()
            self._connection.execute(self._sa.select(self._sa.literal(1)))
        except self.errors:
            return False
        return True

    def lock(self, name: str) -> bool:
        """Take a lock of the server, where it has some by name."""
        if self._dialect.name == "postgresql":
            return self.execute(take_lock(name))[0][0] is True
        if self._dialect.name in {"mysql", "mariadb"}:
            key = hashlib.sha256(name.encode()).hexdigest()[:60]
            return bool(self.execute(f"SELECT GET_LOCK({literal(key)}, 5)")[0][0])
        return True

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement."""
        result = self._connection.exec_driver_sql(statement)
        return [tuple(row) for row in result.fetchall()] if result.returns_rows else []

    def quoted(self, name: str) -> str:
        """Quote a name as this database does."""
        return str(self._dialect.identifier_preparer.quote_identifier(name))

    def exists(self, table: Sequence[str]) -> bool:
        """Look into the catalogue."""
        inspector = self._sa.inspect(self._connection)
        schema = ".".join(table[:-1]) or None
        return bool(inspector.has_table(table[-1], schema=schema)) or table[-1] in inspector.get_view_names(schema)

    def required(self, table: Sequence[str]) -> frozenset[str]:
        """Look into the catalogue."""
        return frozenset(
            str(column["name"])
            for column in self._columns(table)
            if not column["nullable"] and column.get("default") is None and column.get("autoincrement") is not True
        )

    def version(self, table: Sequence[str]) -> dict[str, str]:
        """Tell nothing: there is no mark that all databases have."""
        del table
        return {}

    def schema(self, relation: str, table: Sequence[str]) -> pa.Schema:
        """Give the columns."""
        if table:
            return pa.schema([(column["name"], self._arrow(column["type"])) for column in self._columns(table)])
        result = self._streamed(f"SELECT * FROM {relation}", _LOOKED_AT)
        names = list(result.keys())
        rows = list(itertools.islice(result, _LOOKED_AT))
        result.close()
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return pa.schema([(name, _seen(values)) for name, values in zip(names, columns, strict=True)])

    def stream(self, relation: str, schema: pa.Schema, rest: str, rows: int) -> Iterator[pa.RecordBatch]:
        """Read some rows at a time."""
        columns = ", ".join(map(self.quoted, schema.names)) or "1"
        yield from fetched(self._streamed(f"SELECT {columns} FROM {relation} {rest}", rows), schema, rows, _array)

    def held(self, type_: pa.DataType) -> pa.DataType:
        """Give the type that a column is written as."""
        if pa.types.is_uint64(type_):
            return pa.decimal128(20, 0)
        if pa.types.is_integer(type_):
            return pa.int64()
        if pa.types.is_floating(type_):
            return pa.float64()
        if pa.types.is_decimal(type_) and type_.precision <= 38 and type_.scale >= 0:
            return pa.decimal128(type_.precision, type_.scale)
        return plain(type_)

    def declared(self, type_: pa.DataType) -> str:
        """Name the type as this database does."""
        return str(self._type(type_).compile(dialect=self._dialect))

    def insert(self, table: Sequence[str], batch: pa.RecordBatch) -> None:
        """Insert rows, many in a statement where the driver can."""
        sa = self._sa
        columns = [sa.column(field.name, self._type(field.type)) for field in batch.schema]
        into = sa.table(table[-1], *columns, schema=".".join(table[:-1]) or None)
        self._connection.execute(sa.insert(into), batch.to_pylist())

    def _streamed(self, statement: str, rows: int) -> Any:
        """Ask by a cursor of the server, where it has such; else some drivers take the whole answer into memory."""
        options = {"stream_results": True, "max_row_buffer": rows}
        return self._connection.exec_driver_sql(statement, execution_options=options)

    def _columns(self, table: Sequence[str]) -> list[dict[str, Any]]:
        schema = ".".join(table[:-1]) or None
        return list(self._sa.inspect(self._connection).get_columns(table[-1], schema=schema))

    def _arrow(self, type_: Any) -> pa.DataType:
        types = self._sa.types
        if isinstance(type_, types.Numeric) and not isinstance(type_, types.Float):
            if type_.precision and type_.precision <= 38:
                return pa.decimal128(type_.precision, type_.scale or 0)
            return pa.string()
        if isinstance(type_, types.DateTime):
            return pa.timestamp("us", "UTC" if getattr(type_, "timezone", False) else None)
        known = (
            (types.Boolean, pa.bool_()),
            (types.Integer, pa.int64()),
            (types.Float, pa.float64()),
            (types.Date, pa.date32()),
            (types.Time, pa.time64("us")),
            (types.LargeBinary, pa.binary()),
        )
        return next((arrow for kind, arrow in known if isinstance(type_, kind)), pa.string())

    def _type(self, type_: pa.DataType) -> Any:
        types = self._sa.types
        if pa.types.is_decimal(type_):
            return types.Numeric(type_.precision, type_.scale)
        if pa.types.is_timestamp(type_):
            return types.DateTime(timezone=type_.tz is not None)
        known = {
            pa.bool_(): types.Boolean,
            pa.int64(): types.BigInteger,
            pa.float64(): types.Double,
            pa.binary(): types.LargeBinary,
            pa.date32(): types.Date,
            pa.time64("us"): types.Time,
        }
        return known.get(type_, types.Text)()


def _seen(values: Sequence[Any]) -> pa.DataType:
    try:
        found = pa.array(values).type
    except (pa.ArrowException, TypeError):
        return pa.string()
    return pa.string() if pa.types.is_null(found) or pa.types.is_nested(found) else found


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    try:
        if pa.types.is_string(field.type):
            return pa.array([None if value is None else str(value) for value in values], field.type)
        if pa.types.is_floating(field.type) or pa.types.is_decimal(field.type):
            return pc.cast(pa.array(values), field.type)
        if pa.types.is_integer(field.type) and set(map(type, values)) - {int, bool, type(None)}:
            raise pa.ArrowInvalid("a number with a fraction")
        return pa.array(values, field.type)
    except (pa.ArrowException, TypeError) as error:
        raise InvalidTable(
            f"the column {field.name} has a value that is no {field.type}: {error}",
            code="table.value",
            hint="read a table, whose columns say what they hold, or cast the column in the query",
        ) from None
