"""Data frames and series of Polars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions
from model_envelope.runtime.codec.tables.cell_tables import CellSeries, CellTable, PathOf
from model_envelope.runtime.codec.tables.cells import Cells
from model_envelope.runtime.codec.tables.storages import Storage, read_storage, word
from model_envelope.runtime.errors import InvalidSignature, Problems


def write_dtype(dtype: Any) -> str | None:
    """Write a dtype as a column's storage; None for one that has no values which JSON could say."""
    import polars as pl

    match dtype:
        case pl.Datetime(time_unit=unit, time_zone=zone):
            return f"Datetime({unit}, {word(zone)})" if zone else f"Datetime({unit})"
        case pl.Duration(time_unit=unit):
            return f"Duration({unit})"
        case pl.Decimal(precision=precision, scale=scale):
            return f"Decimal({precision}, {scale})"
        case pl.Enum():
            return "Enum"
        case pl.List(inner=inner):
            written = write_dtype(inner)
            return written and f"List({written})"
        case pl.Array(inner=inner, size=size):
            written = write_dtype(inner)
            return written and f"Array({written}, {size})"
        case pl.Struct(fields=fields):
            parts = {word(field.name): write_dtype(field.dtype) for field in fields}
            known = [f"{label}: {part}" for label, part in parts.items() if part is not None]
            return f"Struct({', '.join(known)})" if len(known) == len(fields) else None
    name = dtype_name(dtype)
    return name if name in _PLAIN else None


def dtype_name(dtype: Any) -> str:
    """Name a dtype without its parameters; some versions of Polars give classes, others instances."""
    import polars as pl

    return type(dtype).__name__ if isinstance(dtype, pl.DataType) else str(dtype)


_PLAIN = frozenset(
    {
        *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
        *("Float16", "Float32", "Float64", "Boolean", "String", "Binary", "Date", "Time", "Categorical"),
    }
)


def read_dtype(storage: Storage, kind: s.Type | None) -> Any:
    """Make the dtype of a storage. Without ``kind`` it is the plain one that Polars can be built of and cast from."""
    import polars as pl

    match storage.name:
        case "Datetime":
            zone = storage.part(1)
            unit: Any = storage.parts[0][1].name
            return pl.Datetime(unit, zone and zone.name) if kind else pl.Int64()
        case "Duration":
            unit = storage.parts[0][1].name
            return pl.Duration(unit) if kind else pl.Int64()
        case "Time":
            return pl.Time() if kind else pl.Int64()
        case "Decimal":
            return pl.Decimal(int(storage.parts[0][1].name), int(storage.parts[1][1].name))
        case "Categorical":
            return pl.Categorical() if kind else pl.String()
        case "Enum":
            return pl.Enum(list(kind.values)) if isinstance(kind, s.Choice) else pl.String()
        case "List":
            return pl.List(read_dtype(storage.parts[0][1], kind and _item(kind)))
        case "Array":
            inner = read_dtype(storage.parts[0][1], kind and _item(kind))
            return pl.Array(inner, int(storage.parts[1][1].name))
        case "Struct":
            types = {field.name: field.type for field in kind.fields} if isinstance(kind, s.Record) else {}
            return pl.Struct({name or "": read_dtype(part, types.get(name or "")) for name, part in storage.parts})
        case name if name in _PLAIN:
            return getattr(pl, name)()
    raise InvalidSignature(
        f"Polars has no dtype {storage.name!r} that this version knows",
        code="signature.storage",
        hint="the envelope may have been written by a newer version: `pip install --upgrade model-envelope`",
    )


def _item(kind: s.Type) -> s.Type:
    match kind:
        case s.List(item=item) | s.Set(item=item):
            return item
        case s.Tuple(items=items):
            return items[0]
        case s.Tensor(dtype=dtype, shape=shape) if len(shape) > 1:
            return s.Tensor(dtype, shape[1:])
        case s.Tensor(dtype=dtype):
            return s.Scalar(dtype)
    return kind


class PolarsColumn:
    """One column of Polars."""

    def __init__(self, kind: s.Type, storage: str, definitions: Definitions) -> None:
        read = read_storage(storage)
        self.cells = Cells(kind, read, definitions)
        self.dtype = read_dtype(read, kind)
        self.plain = read_dtype(read, None)
        self.storage = storage

    @property
    def expected(self) -> str:
        """Say what a value has to be."""
        return self.cells.expected

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Build the series, or note every value that does not belong in it."""
        before = problems.count
        plain = self.cells.decode(values, path_of, problems)
        return None if problems.count > before else self.build(plain)

    def build(self, plain: list[Any]) -> Any:
        """Build the series of plain values."""
        import polars as pl

        series = pl.Series(values=plain, dtype=self.plain, strict=True)
        return series if self.plain == self.dtype else series.cast(self.dtype, strict=True)

    def encode(self, array: Any, path_of: PathOf, problems: Problems) -> list[Any] | None:
        """Write the series as JSON values."""
        if write_dtype(array.dtype) != self.storage:
            problems.add(path_of(0), f"values of {array.dtype}", f"values of {self.dtype}", "answer.type")
            return None
        plain = array if self.plain == self.dtype else array.cast(self.plain)
        return self.cells.encode(plain.to_list(), path_of, problems)


class Polars:
    """How tables and series of Polars are made and taken apart."""

    def column(self, kind: s.Type, storage: str, definitions: Definitions) -> PolarsColumn:
        """Make the codec of a column."""
        return PolarsColumn(kind, storage, definitions)

    def table(self, kind: s.Table, arrays: Mapping[str, Any]) -> Any:
        """Make a data frame."""
        import polars as pl

        return pl.DataFrame({column.name: arrays[column.name] for column in kind.columns})

    def columns(self, kind: s.Table, value: Any) -> list[tuple[Any, Any]] | None:  # noqa: ARG002
        """Give the columns of a data frame."""
        import polars as pl

        return [(series.name, series) for series in value] if isinstance(value, pl.DataFrame) else None

    def series(self, kind: s.Series, array: Any) -> Any:
        """Give the series its name."""
        return array.alias(kind.name or "")

    def array(self, kind: s.Series, value: Any) -> Any:  # noqa: ARG002
        """Give the series itself."""
        import polars as pl

        return value if isinstance(value, pl.Series) else None

    def called(self, kind: s.Table | s.Series) -> str:
        """Name what the model wants."""
        return "a polars.DataFrame" if isinstance(kind, s.Table) else "a polars.Series"


def table_codec(kind: s.Table, definitions: Definitions) -> Codec:
    """Make the codec of a data frame."""
    return CellTable(kind, definitions, Polars())


def series_codec(kind: s.Series, definitions: Definitions) -> Codec:
    """Make the codec of a series."""
    return CellSeries(kind, definitions, Polars())
