"""Data frames and series of pandas: rows, columns or split in JSON, column by column into arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import columns
from model_envelope.runtime.codec.base import Definitions, describe
from model_envelope.runtime.errors import InvalidSignature, Problems

PathOf = Callable[[int], str]


class TableCodec:
    """A data frame."""

    def __init__(self, kind: s.Table, definitions: Definitions) -> None:
        if kind.flavor is not s.Flavor.PANDAS:
            raise InvalidSignature(f"tables of {kind.flavor.value} cannot be read yet", code="signature.flavor")
        self.kind = kind
        self.columns = {
            column.name: columns.ColumnCodec(column.type, column.storage, definitions)
            for column in (*kind.index, *kind.columns)
        }

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make a data frame of rows ``[{...}]``, columns ``{name: [...]}`` or split ``{"columns": ..., "data": ...}``.

        Columns may come in any order. Missing and unknown ones are told once for the whole table.
        """
        taken = self._take(value, path, problems)
        if taken is None:
            return None
        arrays, path_of = taken
        before = len(problems.items) + problems.dropped
        built = {
            name: codec.decode(arrays[name], _bound(path_of, name), problems) for name, codec in self.columns.items()
        }
        if len(problems.items) + problems.dropped > before:
            return None
        return self._frame(built)

    def _frame(self, built: Mapping[str, Any]) -> Any:
        import pandas as pd

        frame = pd.DataFrame({column.name: built[column.name] for column in self.kind.columns}, copy=False)
        if any(column.key is not None for column in self.kind.columns):
            frame.columns = pd.Index(
                [column.name if column.key is None else column.key for column in self.kind.columns]
            )
        if len(self.kind.index) == 1:
            frame.index = pd.Index(built[self.kind.index[0].name], name=_key(self.kind.index[0]))
        elif self.kind.index:
            levels = [built[level.name] for level in self.kind.index]
            frame.index = pd.MultiIndex.from_arrays(levels, names=[_key(level) for level in self.kind.index])
        return frame

    def _take(
        self, value: Any, path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        """Take the columns out of whichever orientation came, and say how the path of a cell is written in it."""
        if type(value) is list:
            return self._from_rows(value, path, problems)
        if type(value) is dict:
            if value.keys() == {"columns", "data"} and "data" not in self.columns:
                return self._from_split(value, path, problems)
            return self._from_columns(value, path, problems)
        expected = "a table: an array of rows, or an object of columns"
        problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
        return None

    def _from_rows(
        self, rows: list[Any], path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        names = self.columns.keys()
        width = len(names)
        try:
            arrays = {name: [row[name] for row in rows] for name in names}
            if all(type(row) is dict and len(row) == width for row in rows):
                return arrays, lambda name, at: f"{path}[{at}].{name}"
        except (KeyError, TypeError, IndexError):
            arrays = {}
        self._explain_rows(rows, path, problems)
        return None

    def _explain_rows(self, rows: list[Any], path: str, problems: Problems) -> None:
        """Name what is wrong with the rows: columns that all of them lack once, the rest row by row."""
        odd = [at for at, row in enumerate(rows) if type(row) is not dict]
        for at in odd:
            problems.add(f"{path}[{at}]", describe(rows[at]), "an object: one row", "payload.type")
        objects = [(at, row) for at, row in enumerate(rows) if type(row) is dict]
        for name in self.columns:
            lacking = [at for at, row in objects if name not in row]
            if lacking and len(lacking) == len(objects):
                problems.add(f"{path}[*].{name}", "nothing", self._wanted(name), "payload.missing")
                continue
            for at in lacking:
                problems.add(f"{path}[{at}].{name}", "nothing", self._wanted(name), "payload.missing")
        unknown: dict[str, list[int]] = {}
        for at, row in objects:
            for name in row.keys() - self.columns.keys():
                unknown.setdefault(name, []).append(at)
        for name, places in sorted(unknown.items()):
            where = "*" if len(places) == len(objects) else str(places[0])
            problems.add(f"{path}[{where}].{name}", "an unknown column", self._known(), "payload.unknown")

    def _from_columns(
        self, value: dict[str, Any], path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        before = len(problems.items) + problems.dropped
        self._compare_names(value.keys(), path, problems)
        for name in self.columns.keys() & value.keys():
            if type(value[name]) is not list:
                problems.add(f"{path}.{name}", describe(value[name]), "an array: one column", "payload.type")
        if len(problems.items) + problems.dropped > before:
            return None
        lengths = {len(value[name]) for name in self.columns}
        if len(lengths) > 1:
            found = ", ".join(f"{len(value[name])} in {name}" for name in self.columns)
            problems.add(path, f"columns of different lengths ({found})", "columns of one length", "payload.ragged")
            return None
        return value, lambda name, at: f"{path}.{name}[{at}]"

    def _from_split(
        self, value: dict[str, Any], path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        names, data = value["columns"], value["data"]
        if type(names) is not list or not all(type(name) is str for name in names):
            problems.add(f"{path}.columns", describe(names), "an array of column names", "payload.type")
            return None
        if type(data) is not list:
            problems.add(f"{path}.data", describe(data), "an array of rows", "payload.type")
            return None
        before = len(problems.items) + problems.dropped
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.add(f"{path}.columns", f'"{name}" twice', "distinct column names", "payload.duplicate")
        self._compare_names(names, f"{path}.columns", problems)
        for at, row in enumerate(data):
            if type(row) is not list or len(row) != len(names):
                problems.add(f"{path}.data[{at}]", describe(row), f"an array of {len(names)}", "payload.type")
        if len(problems.items) + problems.dropped > before:
            return None
        place = {name: at for at, name in enumerate(names)}
        arrays = {name: [row[place[name]] for row in data] for name in self.columns}
        return arrays, lambda name, at: f"{path}.data[{at}][{place[name]}]"

    def _compare_names(self, names: Any, path: str, problems: Problems) -> None:
        present = set(names)
        for name in self.columns:
            if name not in present:
                problems.add(f"{path}.{name}", "nothing", self._wanted(name), "payload.missing")
        for name in sorted(present - self.columns.keys()):
            problems.add(f"{path}.{name}", "an unknown column", self._known(), "payload.unknown")

    def _wanted(self, name: str) -> str:
        return f"a column of {self.columns[name].expected}"

    def _known(self) -> str:
        return f"one of {', '.join(self.columns)}"

    def encode(self, value: Any, path: str, problems: Problems) -> list[dict[str, Any]] | None:
        """Write a data frame as rows."""
        import pandas as pd

        if not isinstance(value, pd.DataFrame):
            problems.add(path, describe(value), "a pandas.DataFrame", "answer.type")
            return None
        wanted = [column.name if column.key is None else column.key for column in self.kind.columns]
        if list(value.columns) != wanted:
            problems.add(path, f"columns {list(value.columns)}", f"columns {wanted}", "answer.columns")
            return None
        taken: dict[str, Any] = {
            level.name: value.index.get_level_values(at) for at, level in enumerate(self.kind.index)
        }
        taken |= {column.name: value.iloc[:, at] for at, column in enumerate(self.kind.columns)}
        written = {
            name: self.columns[name].encode(series, _bound(lambda name, at: f"{path}[{at}].{name}", name), problems)
            for name, series in taken.items()
        }
        if problems:
            return None
        return [dict(zip(written, row, strict=True)) for row in zip(*written.values(), strict=True)]


class SeriesCodec:
    """One column by itself."""

    def __init__(self, kind: s.Series, definitions: Definitions) -> None:
        if kind.flavor is not s.Flavor.PANDAS:
            raise InvalidSignature(f"series of {kind.flavor.value} cannot be read yet", code="signature.flavor")
        self.kind = kind
        self.column = columns.ColumnCodec(kind.item, kind.storage, definitions)

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make a series of an array."""
        import pandas as pd

        if type(value) is not list:
            expected = f"an array of {self.column.expected}"
            problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
            return None
        before = len(problems.items) + problems.dropped
        built = self.column.decode(value, lambda at: f"{path}[{at}]", problems)
        if len(problems.items) + problems.dropped > before:
            return None
        return pd.Series(built, name=self.kind.name, copy=False)

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Write a series as an array."""
        import pandas as pd

        if not isinstance(value, pd.Series | pd.Index):
            problems.add(path, describe(value), "a pandas.Series", "answer.type")
            return None
        return self.column.encode(value, lambda at: f"{path}[{at}]", problems)


def _bound(path_of: Callable[[str, int], str], name: str) -> PathOf:
    return lambda at: path_of(name, at)


def _key(column: s.Column) -> Any:
    return column.name if column.key is None else column.key
