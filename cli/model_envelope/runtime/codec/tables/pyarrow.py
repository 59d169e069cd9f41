"""Tables, record batches, arrays and chunked arrays of pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.types import build, plain_values, read_type, write_type
from model_envelope.runtime.codec.base import Codec, Definitions
from model_envelope.runtime.codec.tables.cell_tables import CellSeries, CellTable, PathOf
from model_envelope.runtime.codec.tables.cells import Cells
from model_envelope.runtime.codec.tables.storages import read_storage
from model_envelope.runtime.errors import Found, Problems


class ArrowColumn:
    """One column of Arrow."""

    def __init__(self, kind: s.Type, storage: str, definitions: Definitions) -> None:
        read = read_storage(storage)
        self.kind = kind
        self.cells = Cells(kind, read, definitions)
        self.type = read_type(read)
        self.storage = storage.removesuffix(" not null")

    @property
    def expected(self) -> str:
        """Say what a value has to be."""
        return self.cells.expected

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Build the array, or note every value that does not belong in it."""
        before = problems.count
        plain = self.cells.decode(values, path_of, problems)
        return None if problems.count > before else build(plain, self.type, self.kind)

    def encode(self, array: Any, path_of: PathOf, problems: Problems) -> list[Any] | None:
        """Write the array as JSON values."""
        if write_type(array.type) != self.storage:
            problems.add(path_of(0), f"values of {array.type}", f"values of {self.type}", "answer.type")
            return None
        try:
            plain = plain_values(array)
        except (ValueError, OverflowError) as error:
            beyond = "a value beyond what Python holds"
            problems.add(path_of(0), Found(f"{beyond} ({error})", beyond), self.expected, "answer.type")
            return None
        return self.cells.encode(plain, path_of, problems)


class PyArrow:
    """How tables and series of pyarrow are made and taken apart."""

    def column(self, kind: s.Type, storage: str, definitions: Definitions) -> ArrowColumn:
        """Make the codec of a column."""
        return ArrowColumn(kind, storage, definitions)

    def table(self, kind: s.Table, arrays: Mapping[str, Any]) -> Any:
        """Make a table or a record batch."""
        import pyarrow as pa

        wanted = {column.name: arrays[column.name] for column in kind.columns}
        schema = pa.schema(
            [
                pa.field(
                    column.name if column.key is None else column.key,
                    wanted[column.name].type,
                    nullable=not column.storage.endswith(" not null"),
                )
                for column in kind.columns
            ]
        )
        cls = pa.RecordBatch if kind.cls == "RecordBatch" else pa.Table
        return cls.from_arrays(list(wanted.values()), schema=schema)

    def columns(self, kind: s.Table, value: Any) -> list[tuple[Any, Any]] | None:
        """Give the columns of a table, each as one array."""
        import pyarrow as pa

        if not isinstance(value, pa.RecordBatch if kind.cls == "RecordBatch" else pa.Table):
            return None
        return list(zip(value.schema.names, map(whole, value.columns), strict=True))

    def series(self, kind: s.Series, array: Any) -> Any:
        """Make an array or a chunked one."""
        import pyarrow as pa

        return pa.chunked_array([array]) if kind.cls == "ChunkedArray" else array

    def array(self, kind: s.Series, value: Any) -> Any:
        """Give the array of an array or a chunked one."""
        import pyarrow as pa

        return whole(value) if isinstance(value, pa.ChunkedArray if kind.cls == "ChunkedArray" else pa.Array) else None

    def called(self, kind: s.Table | s.Series) -> str:
        """Name what the model wants."""
        return f"a pyarrow.{kind.cls or ('Table' if isinstance(kind, s.Table) else 'Array')}"


def whole(array: Any) -> Any:
    """Give one array of a chunked one."""
    import pyarrow as pa

    if not isinstance(array, pa.ChunkedArray):
        return array
    if array.num_chunks == 1:
        return array.chunk(0)
    combined = array.unify_dictionaries().combine_chunks()
    # Some versions give a chunked array of one chunk.
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def table_codec(kind: s.Table, definitions: Definitions) -> Codec:
    """Make the codec of a table or record batch."""
    return CellTable(kind, definitions, PyArrow())


def series_codec(kind: s.Series, definitions: Definitions) -> Codec:
    """Make the codec of an array or a chunked one."""
    return CellSeries(kind, definitions, PyArrow())
