"""Data frames and series of pandas, column by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import columns
from model_envelope.runtime.codec.base import Definitions, describe
from model_envelope.runtime.codec.orientations import Orientations, extra_columns
from model_envelope.runtime.errors import Problems

PathOf = Callable[[int], str]


class PandasTable:
    """A data frame."""

    def __init__(self, kind: s.Table, definitions: Definitions) -> None:
        self.kind = kind
        self.columns = {
            column.name: columns.ColumnCodec(column.type, column.storage, definitions)
            for column in (*kind.index, *kind.columns)
        }
        self.orientations = Orientations(
            {name: codec.expected for name, codec in self.columns.items()}, extra_columns(definitions)
        )

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make a data frame of rows ``[{...}]``, columns ``{name: [...]}`` or split ``{"columns": ..., "data": ...}``.

        Columns may come in any order. Missing and unknown ones are told once for the whole table.
        """
        taken = self.orientations.take(value, path, problems)
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


class PandasSeries:
    """One column by itself."""

    def __init__(self, kind: s.Series, definitions: Definitions) -> None:
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


table_codec = PandasTable
series_codec = PandasSeries
