"""Reads a table or a query of a database.

The table stands after the URL (``postgresql://host/db#sales.flights``), or the option ``query=SELECT ...`` says what is
read. Options:

``key=COLUMN``
    An integer column, without nulls, by whose ranges the table is cut into parts, so that a killed job goes on after
    the last one. ``part_rows`` is how many numbers a range has (1,000,000). Rows of one part come in the order of the
    key; where it is not unique, equal ones come as the database likes.
``order_by=COLUMN, COLUMN DESC``
    The order of the one part that there is without a key. Without it the order is the database's, and may differ from
    one run to the next: such a job starts over when it was killed.

Each part is read in a transaction of its own, by a cursor that holds a few batches. What the table was is told by the
number of its rows, the greatest key, and in PostgreSQL the sum of the transactions that wrote them; of a query without
a key nobody can tell. Columns are read with their own types; what Arrow has no type for is read as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from model_envelope.scoring.databases import Connection, connect
from model_envelope.scoring.databases.tables import check_options, table_name
from model_envelope.scoring.databases.told import telling
from model_envelope.scoring.location import Location
from model_envelope.scoring.sources.selecting import columns_read, cut
from model_envelope.scoring.tables import PART_ROWS, Batch, InvalidJob, InvalidTable, Part, Wanted

_MOST_PARTS = 10_000
_OPTIONS = ("query", "key", "part_rows", "order_by")
_ORDER = re.compile(r"(?P<name>.+?)(?:\s+(?P<way>ASC|DESC))?", re.IGNORECASE | re.DOTALL)


def open_source(location: Location) -> SqlSource:
    """Give the source of a table or a query."""
    check_options(location, _OPTIONS)
    query = location.options.get("query", "").strip().rstrip(";")
    if bool(query) == bool(location.table):
        raise InvalidJob(
            f"{location.shown} names {'a table and a query' if query else 'no table'}",
            code="job.location",
            hint="either the table after the URL, postgresql://host/db#schema.table, or the option query=SELECT ...",
        )
    if "key" in location.options and "order_by" in location.options:
        raise InvalidJob(
            "a table with a key is read in the order of the key",
            code="job.option",
            hint="leave out key or order_by",
        )
    return SqlSource(location, query)


class SqlSource:
    """A table or a query of a database."""

    def __init__(self, location: Location, query: str) -> None:
        self.name = f"{location.shown} (query)" if query else location.shown
        self._location = location
        self._query = query
        self._table = () if query else table_name(location.table)
        self._key = location.options.get("key", "")
        self._part_rows = _positive(location.options.get("part_rows", str(PART_ROWS)))
        with self._reading("it cannot be read") as connection:
            if self._table and not connection.exists(self._table):
                raise InvalidTable(
                    f"there is no table {location.shown}",
                    code="table.missing",
                    hint="look at its name and schema, and whether the user may see it; names are told as they stand",
                )
            self._relation = self._from(connection)
            self._schema = connection.schema(self._relation, self._table)
            self._order = self._ordered(connection)
            self._parts = self._planned(connection)

    def schema(self) -> pa.Schema:
        """Give all columns."""
        return pa.schema([pa.field(field.name, field.type) for field in self._schema])

    def parts(self) -> Sequence[Part]:
        """Give its parts."""
        return [part for part, _ in self._parts]

    def batches(self, part: Part, wanted: Wanted) -> Iterator[Batch]:
        """Read a part in a transaction of its own."""
        names = columns_read(self.schema(), wanted)
        schema = pa.schema([self._schema.field(name) for name in names])
        with self._reading(f"{part.name} cannot be read") as connection:
            rest = f"{self._parts[part.index][1]} {self._order}".strip()
            yield from cut(connection.stream(self._relation, schema, rest, wanted.rows), wanted, part.name)

    def state(self) -> Mapping[str, str]:
        """Count the rows, and tell what else shows that they changed."""
        if self._query and not self._key:
            return {}
        with self._reading("it cannot be counted") as connection:
            counted = "count(*)"
            if self._key:
                counted += f", max({connection.quoted(self._key)})"
            found = connection.execute(f"SELECT {counted} FROM {self._relation}")[0]
            told = dict(zip(("rows", "greatest"), map(str, found), strict=False))
            return told | (connection.version(self._table) if self._table else {})

    @contextmanager
    def _reading(self, what: str) -> Iterator[Connection]:
        connection = connect(self._location)
        try:
            with telling(
                self._location,
                connection,
                InvalidTable,
                "table.unreadable",
                what,
                "try the same with the database's own client",
            ):
                connection.begin(write=False)
                yield connection
        finally:
            connection.close()

    def _from(self, connection: Connection) -> str:
        if self._query:
            return f"(\n{self._query}\n) AS {connection.quoted('model_envelope_query')}"
        return ".".join(map(connection.quoted, self._table))

    def _ordered(self, connection: Connection) -> str:
        said = self._key or self._location.options.get("order_by", "")
        if not said:
            return ""
        columns = [said] if self._key else said.split(",")
        words = []
        for column in columns:
            found = _ORDER.fullmatch(column.strip()) if not self._key else None
            name = found["name"] if found else column
            if name not in self._schema.names:
                raise InvalidJob(
                    f"{self.name} has no column {name} to order it by",
                    code="job.option",
                    hint=f"it has {', '.join(self._schema.names[:50])}",
                )
            words.append(f"{connection.quoted(name)} {(found and found['way']) or 'ASC'}")
        return f"ORDER BY {', '.join(words)}"

    def _planned(self, connection: Connection) -> list[tuple[Part, str]]:
        if not self._key:
            return [(Part(0, "the whole table" if self._table else "the whole query"), "")]
        if not pa.types.is_integer(self._schema.field(self._key).type):
            raise InvalidJob(
                f"the column {self._key} is {self._schema.field(self._key).type}, which cuts {self.name} into no parts",
                code="job.option",
                hint="key names a column of integers",
            )
        key = connection.quoted(self._key)
        least, greatest, rows, keys = connection.execute(
            f"SELECT min({key}), max({key}), count(*), count({key}) FROM {self._relation}"
        )[0]
        if rows != keys:
            raise InvalidTable(
                f"{rows - keys} rows of {self.name} have no {self._key}, and would be in no part",
                code="table.key",
                hint="name a column without nulls as key, or none",
            )
        if not rows:
            return [(Part(0, "no rows", 0), "")]
        size = self._part_rows
        while greatest // size - least // size >= _MOST_PARTS:
            size *= 2
        parts = []
        for index, at in enumerate(range(least // size, greatest // size + 1)):
            first, after = at * size, (at + 1) * size
            where = f"WHERE {key} >= {first} AND {key} <= {after - 1}"
            parts.append((Part(index, f"{self._key} from {first} to {after - 1}"), where))
        return parts


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InvalidJob(f"part_rows is {text}", code="job.option", hint="it is a number, 1 at least")
    return int(text)
