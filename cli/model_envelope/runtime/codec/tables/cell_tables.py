"""What tables of cells have in common, whichever library is built of them: Polars, Arrow, NumPy's structured arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions, describe
from model_envelope.runtime.codec.tables.orientations import Orientations, extra_columns
from model_envelope.runtime.errors import Problems

PathOf = Callable[[int], str]


class ColumnCodec(Protocol):
    """One column: JSON values to the library's array in one go, and back. Both note every value that is wrong."""

    @property
    def expected(self) -> str:
        """Say what a value has to be."""
        ...

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Build the array."""
        ...

    def encode(self, array: Any, path_of: PathOf, problems: Problems) -> list[Any] | None:
        """Write the array as JSON values."""
        ...


class Library(Protocol):
    """How one library makes tables and series of arrays, and takes them apart."""

    def column(self, kind: s.Type, storage: str, definitions: Definitions) -> ColumnCodec:
        """Make the codec of a column."""
        ...

    def table(self, kind: s.Table, arrays: Mapping[str, Any]) -> Any:
        """Make a table of arrays by the JSON names of its columns."""
        ...

    def columns(self, kind: s.Table, value: Any) -> list[tuple[Any, Any]] | None:
        """Give the names and arrays of a table; None for what is none of this library's."""
        ...

    def series(self, kind: s.Series, array: Any) -> Any:
        """Make a series of an array."""
        ...

    def array(self, kind: s.Series, value: Any) -> Any:
        """Give the array of a series; None for what is none of this library's."""
        ...

    def called(self, kind: s.Table | s.Series) -> str:
        """Name what the model wants."""
        ...


class CellTable:
    """A table of a library, in three orientations."""

    def __init__(self, kind: s.Table, definitions: Definitions, library: Library) -> None:
        self.kind = kind
        self.library = library
        self.columns = {
            column.name: library.column(column.type, column.storage, definitions) for column in kind.columns
        }
        self.orientations = Orientations(
            {name: codec.expected for name, codec in self.columns.items()},
            extra_columns(definitions),
            {name: codec.decode for name, codec in self.columns.items()},
        )

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make the table, or note everything that is wrong with its columns."""
        taken = self.orientations.take(value, path, problems)
        if taken is None:
            return None
        return self.build(*taken, problems)

    def build(self, arrays: Mapping[str, Sequence[Any]], path_of: Callable[[str, int], str], problems: Problems) -> Any:
        """Make the table of the JSON values of its columns."""
        before = problems.count
        built = {
            name: codec.decode(arrays[name], _bound(path_of, name), problems) for name, codec in self.columns.items()
        }
        return None if problems.count > before else self.library.table(self.kind, built)

    def encode(self, value: Any, path: str, problems: Problems) -> list[dict[str, Any]] | None:
        """Write the table as rows."""
        written = self.encode_columns(value, path, problems)
        if written is None:
            return None
        return [dict(zip(written, row, strict=True)) for row in zip(*written.values(), strict=True)]

    def encode_columns(self, value: Any, path: str, problems: Problems) -> dict[str, list[Any]] | None:
        """Write the table as the JSON values of its columns."""
        taken = self.library.columns(self.kind, value)
        if taken is None:
            problems.add(path, describe(value), self.library.called(self.kind), "answer.type")
            return None
        found = [name for name, _ in taken]
        wanted = [column.name if column.key is None else column.key for column in self.kind.columns]
        if found != wanted:
            problems.add(path, f"columns {found}", f"columns {wanted}", "answer.columns")
            return None
        before = problems.count
        written = {
            name: codec.encode(array, _bound(lambda name, at: f"{path}[{at}].{name}", name), problems) or []
            for (name, codec), (_, array) in zip(self.columns.items(), taken, strict=True)
        }
        return None if problems.count > before else written


class CellSeries:
    """One column by itself."""

    def __init__(self, kind: s.Series, definitions: Definitions, library: Library) -> None:
        self.kind = kind
        self.library = library
        self.column = library.column(kind.item, kind.storage, definitions)

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make the series, or note every value that does not belong in it."""
        if type(value) is not list:
            expected = f"an array of {self.column.expected}"
            problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
            return None
        before = problems.count
        built = self.column.decode(value, lambda at: f"{path}[{at}]", problems)
        return None if problems.count > before else self.library.series(self.kind, built)

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Write the series as an array."""
        array = self.library.array(self.kind, value)
        if array is None:
            problems.add(path, describe(value), self.library.called(self.kind), "answer.type")
            return None
        return self.column.encode(array, lambda at: f"{path}[{at}]", problems)


def _bound(path_of: Callable[[str, int], str], name: str) -> PathOf:
    return lambda at: path_of(name, at)
