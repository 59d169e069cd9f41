"""Data frames and series of pandas, column by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions, describe, under
from model_envelope.runtime.codec.tables.columns.column import ColumnCodec, PathOf
from model_envelope.runtime.codec.tables.columns.dtypes import dtype_of
from model_envelope.runtime.codec.tables.columns.values import kept
from model_envelope.runtime.codec.tables.orientations import Orientations, extra_columns
from model_envelope.runtime.codec.values.keys import decode_key, python_key
from model_envelope.runtime.errors import Problems


class PandasTable:
    """A data frame."""

    def __init__(self, kind: s.Table, definitions: Definitions) -> None:
        self.kind = kind
        self.columns = {
            column.name: ColumnCodec(column.type, column.storage, definitions)
            for column in (*kind.index, *kind.columns)
        }
        self.orientations = orientations_of(self.columns, definitions)
        self._places: dict[tuple[int, ...], Any] = {}

    @cached_property
    def labels(self) -> Any:
        """The names of the columns in Python, as pandas holds them; made once."""
        return labels_of(self.kind)

    def _placed(self, places: tuple[int, ...]) -> Any:
        """Say where the columns of a block stand, as pandas wants it; made once."""
        import numpy as np

        found = self._places.get(places)
        if found is None:
            found = self._places[places] = np.array(places)
        return found

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make a data frame of rows ``[{...}]``, columns ``{name: [...]}`` or split ``{"columns": ..., "data": ...}``.

        Columns may come in any order. Missing and unknown ones are told once for the whole table.
        """
        taken = self.orientations.take(value, path, problems)
        if taken is None:
            return None
        arrays, path_of = taken
        return self.build(arrays, path_of, problems)

    def build(self, arrays: Mapping[str, Sequence[Any]], path_of: Callable[[str, int], str], problems: Problems) -> Any:
        """Make a data frame of the JSON values of its columns."""
        before = len(problems.items) + problems.dropped
        built = {
            name: codec.decode(arrays[name], _bound(path_of, name), problems) for name, codec in self.columns.items()
        }
        if len(problems.items) + problems.dropped > before:
            return None
        return self._frame(built)

    def build_known(self, taken: Mapping[str, Sequence[Any]]) -> Any:
        """Make a data frame of JSON values whose types are right already; None where one is refused all the same."""
        built = {}
        for name, codec in self.columns.items():
            built[name] = codec.decode_known(taken[name])
            if built[name] is None:
                return None
        return self._frame(built)

    def _frame(self, built: Mapping[str, Any]) -> Any:
        import numpy as np
        import pandas as pd

        arrays = [kept(built[column.name]) for column in self.kind.columns]
        index = index_of(self.kind.index, built) if self.kind.index else None
        make = frame_from_blocks()
        if make is not None and arrays and all(map(_is_block, arrays)):
            own = [(at, array) for at, array in enumerate(arrays) if not isinstance(array.dtype, np.dtype)]
            alike: dict[Any, list[int]] = {}
            for at, array in enumerate(arrays):
                if isinstance(array.dtype, np.dtype):
                    alike.setdefault(array.dtype, []).append(at)
            placed = [(array, self._placed((at,))) for at, array in own]
            # Columns of one dtype stand in one block, as pandas would put them sooner or later for the model.
            placed += [
                (np.array([arrays[at] for at in places]), self._placed(tuple(places))) for places in alike.values()
            ]
            return make(placed, pd.RangeIndex(len(arrays[0])) if index is None else index, self.labels)
        frame = pd.DataFrame(dict(enumerate(arrays)), copy=False)
        frame.columns = self.labels
        if index is not None:
            frame.index = index
        return frame

    def encode(self, value: Any, path: str, problems: Problems) -> list[dict[str, Any]] | None:
        """Write a data frame as rows."""
        written = self.encode_columns(value, path, problems)
        if written is None:
            return None
        names = tuple(written)
        return [dict(zip(names, row, strict=True)) for row in zip(*written.values(), strict=True)]

    def encode_columns(self, value: Any, path: str, problems: Problems) -> dict[str, list[Any]] | None:
        """Write each column of a data frame as a list of JSON values."""
        import pandas as pd

        if not isinstance(value, pd.DataFrame):
            problems.add(path, describe(value), "a pandas.DataFrame", "answer.type")
            return None
        found, wanted = list(value.columns), list(self.labels)
        if len(found) != len(wanted) or not value.columns.equals(self.labels):
            problems.add(path, f"columns {_names(found)}", f"columns {_names(wanted)}", "answer.columns")
            return None
        levels = levels_of(value, self.kind.index, path, problems)
        if levels is None:
            return None
        series = (series for _, series in value.items())
        taken = levels | {column.name: one for column, one in zip(self.kind.columns, series, strict=True)}
        before = len(problems.items) + problems.dropped
        written = {
            name: self.columns[name].encode(series, _bound(_in_rows(path), name), problems)
            for name, series in taken.items()
        }
        return None if len(problems.items) + problems.dropped > before else written


class PandasSeries:
    """One column by itself, with its index where that says something."""

    def __init__(self, kind: s.Series, definitions: Definitions) -> None:
        self.kind = kind
        self.column = ColumnCodec(kind.item, kind.storage, definitions)
        self.name = None if kind.name is None and kind.key is None else _series_name(kind)
        self.levels = {level.name: ColumnCodec(level.type, level.storage, definitions) for level in kind.index}
        self.value = value_name(kind)
        self.columns = {**self.levels, self.value: self.column}
        self.orientations = orientations_of(self.columns, definitions)

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make a series of an array, or of a table of its index and itself."""
        import pandas as pd

        before = len(problems.items) + problems.dropped
        index = None
        if self.levels:
            taken = self.orientations.take(value, path, problems)
            if taken is None:
                return None
            arrays, path_of = taken
            built = {
                name: codec.decode(arrays[name], _bound(path_of, name), problems)
                for name, codec in self.columns.items()
            }
            array = built[self.value]
            if len(problems.items) + problems.dropped == before:
                index = index_of(self.kind.index, built)
        elif type(value) is not list:
            expected = f"an array of {self.column.expected}"
            problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
        else:
            array = self.column.decode(value, lambda at: f"{path}[{at}]", problems)
        if len(problems.items) + problems.dropped > before:
            return None
        return pd.Series(array, index=index, name=self.name, dtype=array.dtype, copy=False)

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Write a series as an array, or as rows where it has an index."""
        import pandas as pd

        if not isinstance(value, pd.Series | pd.Index):
            problems.add(path, describe(value), "a pandas.Series", "answer.type")
            return None
        if not self.levels:
            return self.column.encode(value, lambda at: f"{path}[{at}]", problems)
        if isinstance(value, pd.Index):
            problems.add(path, describe(value), "a pandas.Series with an index", "answer.type")
            return None
        levels = levels_of(value, self.kind.index, path, problems)
        if levels is None:
            return None
        written = [
            self.columns[name].encode(series, _bound(_in_rows(path), name), problems)
            for name, series in {**levels, self.value: value}.items()
        ]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*written, strict=True)]


@cache
def frame_from_blocks() -> Callable[[Any, Any, Any], Any] | None:
    """Give what makes a data frame of arrays that are in order, without looking at them again; None before pandas 3."""
    try:
        from pandas.api.internals import create_dataframe_from_blocks
    except ImportError:
        return None
    make: Callable[[Any, Any, Any], Any] = create_dataframe_from_blocks
    return make


def _is_block(array: Any) -> bool:
    """Tell whether an array may stand in a frame as it is: moments are held in arrays of two dimensions there."""
    import pandas as pd

    return array.dtype.kind in "biufc" or isinstance(array.dtype, pd.StringDtype | pd.CategoricalDtype)


def orientations_of(columns: Mapping[str, ColumnCodec], definitions: Definitions) -> Orientations:
    """Give what takes these columns out of JSON."""
    return Orientations(
        {name: codec.expected for name, codec in columns.items()},
        extra_columns(definitions),
        {name: codec.decode for name, codec in columns.items()},
    )


def _series_name(kind: s.Series) -> Any:
    return kind.name if kind.key is None else decode_key(kind.key)


def value_name(kind: s.Series) -> str:
    """Name the column of the values of a series that travels with its index."""
    name, taken = kind.name or "value", {level.name for level in kind.index}
    while name in taken:
        name += "#2"
    return name


def labels_of(kind: s.Table) -> Any:
    """Make the Index of the names of a table's columns, in Python."""
    import pandas as pd

    keys = [python_key(column) for column in kind.columns]
    names, storages = [], []
    for level in kind.levels:
        described = isinstance(level, dict) and "name" in level
        names.append(decode_key(level["name"] if described else level))
        storages.append(level["storage"] if described else None)
    if keys and all(isinstance(key, tuple) for key in keys) and (not names or len(names) > 1):
        arrays = [
            pd.Index(list(values), dtype=None if storage is None else dtype_of(storage))
            for values, storage in zip(zip(*keys, strict=True), storages or [None] * len(keys[0]), strict=True)
        ]
        return pd.MultiIndex.from_arrays(arrays, names=names or None)
    dtype = dtype_of(storages[0]) if storages and storages[0] else None
    return pd.Index(keys, dtype=dtype, name=names[0] if names else None, tupleize_cols=False)


def index_of(levels: Sequence[s.Column], built: Mapping[str, Any]) -> Any:
    """Make the index of a table of the arrays of its levels."""
    import pandas as pd

    arrays = [pd.Index(built[level.name], dtype=built[level.name].dtype, name=python_key(level)) for level in levels]
    return arrays[0] if len(arrays) == 1 else pd.MultiIndex.from_arrays(arrays)


def merely_counts(index: Any) -> bool:
    """Tell whether an index says nothing but where a row stands, or stood: whole numbers without a name."""
    return index.nlevels == 1 and index.name is None and index.dtype.kind in "iu" and index.dtype.name.islower()


def levels_of(value: Any, wanted: Sequence[s.Column], path: str, problems: Problems) -> dict[str, Any] | None:
    """Take the levels of the index that the signature has; None, with a problem noted, where they are not there."""
    if not wanted:
        return {}
    names = [python_key(level) for level in wanted]
    if list(value.index.names) != names:
        problems.add(path, f"an index {_names(value.index.names)}", f"an index {_names(names)}", "answer.index")
        return None
    return {level.name: value.index.get_level_values(at) for at, level in enumerate(wanted)}


def _names(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(name) for name in names[:20])
    return f"[{shown}{', …' if len(names) > 20 else ''}]"


def _in_rows(path: str) -> Callable[[str, int], str]:
    return lambda name, at: under(f"{path}[{at}]", name)


def _bound(path_of: Callable[[str, int], str], name: str) -> PathOf:
    return lambda at: path_of(name, at)


table_codec = PandasTable
series_codec = PandasSeries
