"""Strategies for data frames and series of pandas: every dtype, odd column names, indexes that say something."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from strategies import Strategies, compare, register

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.tables.columns.dtypes import dtype_of
from model_envelope.runtime.codec.values.keys import encode_key, python_key, spell
from model_envelope.runtime.codec.values.scalars import INTEGERS

MODERN = not pd.__version__.startswith("2.")
TEXT_STORAGE = "str" if MODERN else "object"
"""What pandas makes of strings by itself."""
TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
FLOATS = {bits: st.floats(width=bits, allow_nan=False, allow_infinity=False) for bits in (16, 32, 64)}
COUNTS = st.integers(-(2**62), 2**62)
YEARS = st.datetimes(pd.Timestamp("1700-01-01").to_pydatetime(), pd.Timestamp("2200-01-01").to_pydatetime())
KEYS = [
    "a",
    "b",
    "a b",
    0,
    1,
    2.5,
    None,
    True,
    ("a", 1),
    ("b", "c"),
    pd.Timestamp("2020-01-01"),
    dt.date(2020, 1, 1),
    "a#2",
]
MOMENTS = ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z")
ENDS = (s.Field("left", s.Scalar("int64")), s.Field("right", s.Scalar("int64")))
INTERVAL = s.Record(ENDS, style=s.Style.INTERVAL)
LIST = s.List(s.Scalar("int64"))
ROWS = st.integers(0, 4)


def _missing(kind: s.Type, storage: str) -> s.Type:
    return (
        s.with_nullable(kind) if storage[0] in "IUF" or storage == "boolean" or storage.startswith("string") else kind
    )


def columns() -> SearchStrategy[tuple[s.Type, str]]:
    """Give any type of a column, and its dtype as text."""
    simple = [
        *((s.Scalar(dtype), dtype) for dtype in INTEGERS),
        *((s.Scalar(dtype), dtype.replace("int", "Int").replace("u", "U")) for dtype in INTEGERS),
        *((s.Scalar(f"float{bits}"), f"float{bits}") for bits in (16, 32, 64)),
        *((s.Scalar(f"float{bits}"), f"Float{bits}") for bits in (32, 64)),
        (s.Scalar("float64", non_finite=True), "float64"),
        (s.Scalar("bool"), "bool"),
        (s.Scalar("bool"), "boolean"),
        (s.Scalar("string"), "object"),
        (s.Scalar("string"), "string"),
        *([(s.Scalar("string"), "str")] if MODERN else []),
        *((s.Scalar("datetime", unit=unit), f"datetime64[{unit}]") for unit in ("s", "ms", "us", "ns")),
        (s.Scalar("datetime", unit="us", timezone="Europe/Berlin"), "datetime64[us, Europe/Berlin]"),
        (s.Scalar("datetime", unit="ns", timezone="UTC"), "datetime64[ns, UTC]"),
        *((s.Scalar("timedelta", unit=unit), f"timedelta64[{unit}]") for unit in ("s", "ms", "us", "ns")),
        *((s.Scalar("period", unit=unit), f"period[{unit}]") for unit in ("M", "D", "Q-DEC", "h")),
        (s.Choice(("b", "a", "ü")), "category"),
        (s.Choice((1, 2, 3), ordered=True), "category"),
        (s.Choice((0.5, 2.0)), "category"),
        (s.Choice(MOMENTS, dtype="datetime"), "category[datetime64[us, UTC]]"),
        (s.Choice(("(0, 1]", "(1, 2]"), ordered=True), "category[interval[int64, right]]"),
        (INTERVAL, "interval[int64, left]"),
        (s.Scalar("float64"), "Sparse[float64, nan]"),
        (s.Scalar("int64"), "Sparse[int64, 0]"),
        (s.Scalar("date"), "object"),
        (s.Scalar("decimal"), "object"),
        (s.Scalar("uuid"), "object"),
        (s.Scalar("int64"), "int64[pyarrow]"),
        (s.Scalar("string"), "utf8[pyarrow]"),
        (LIST, "object"),
        (LIST, "list<int64>[pyarrow]"),
    ]  # fmt: skip
    return st.sampled_from(simple).flatmap(lambda found: st.sampled_from(_nullabilities(*found)))


def _nullabilities(kind: s.Type, storage: str) -> list[tuple[s.Type, str]]:
    kind = _missing(kind, storage)
    exact = storage[:3] in {"int", "uin"} or storage == "bool" or storage.startswith(("interval", "Sparse[int"))
    if kind.nullable or (exact and "pyarrow" not in storage):
        return [(kind, storage)]
    return [(kind, storage), (s.with_nullable(kind), storage)]


def cells(kind: s.Type, storage: str) -> SearchStrategy[Any]:
    """Give the Python values of a column that its array is made of; None where one is missing."""
    found = _cells(kind, storage)
    return st.none() | found if kind.nullable else found


def _cells(kind: s.Type, storage: str) -> SearchStrategy[Any]:
    if isinstance(kind, s.Choice):
        return st.integers(0, len(kind.values) - 1)
    if isinstance(kind, s.List):
        return st.lists(st.integers(-9, 9), max_size=2)
    if isinstance(kind, s.Record):
        return st.integers(-9, 9)
    assert isinstance(kind, s.Scalar)
    if kind.dtype in INTEGERS:
        return st.integers(*INTEGERS[kind.dtype])
    if kind.dtype.startswith("float"):
        return FLOATS[int(kind.dtype[5:])] | (st.sampled_from([np.inf, -np.inf]) if kind.non_finite else st.nothing())
    return {
        "bool": st.booleans(),
        "string": TEXT,
        "datetime": YEARS,
        "timedelta": COUNTS,
        "period": YEARS,
        "date": st.dates(),
        "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-999, max_value=999),
        "uuid": st.uuids(),
    }[kind.dtype]


def stored(kind: s.Type, storage: str, values: list[Any]) -> Any:
    """Make the array of a column the way pandas does it."""
    if isinstance(kind, s.Choice):
        return pd.Categorical.from_codes([-1 if at is None else at for at in values], dtype=_categories(kind, storage))
    if isinstance(kind, s.Record):
        return pd.arrays.IntervalArray.from_arrays(
            np.array(values, dtype="int64"), np.array([value + 1 for value in values], dtype="int64"), closed="left"
        )
    assert isinstance(kind, s.Scalar | s.List)
    if storage == "object":
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return pd.Series(array, dtype=object)
    dtype = dtype_of(storage)
    if isinstance(kind, s.Scalar) and kind.dtype == "timedelta":
        counts = [np.iinfo(np.int64).min if value is None else value for value in values]
        return pd.Series(np.array(counts, dtype="int64").view(f"m8[{kind.unit}]"))
    if isinstance(kind, s.Scalar) and kind.dtype == "datetime":
        plain = pd.Series(np.array(["NaT" if value is None else value.isoformat() for value in values], dtype="M8[us]"))
        unit = plain.astype(f"datetime64[{kind.unit}]")
        return unit.dt.tz_localize("UTC").dt.tz_convert(kind.timezone) if kind.timezone else unit
    if isinstance(kind, s.Scalar) and kind.dtype == "period":
        return pd.array([None if value is None else pd.Period(value, freq=kind.unit) for value in values], dtype=dtype)
    if storage.startswith("Sparse["):
        floats = [np.nan if value is None else value for value in values]
        return pd.arrays.SparseArray(np.array(floats, dtype=dtype.subtype), dtype=dtype)
    return pd.Series(values, dtype=dtype)


def _categories(kind: s.Choice, storage: str) -> pd.CategoricalDtype:
    if storage == "category":
        return pd.CategoricalDtype(list(kind.values), ordered=kind.ordered)
    if "interval" in storage:
        return pd.CategoricalDtype(pd.IntervalIndex.from_breaks([0, 1, 2]), ordered=kind.ordered)
    return pd.CategoricalDtype(pd.DatetimeIndex(["2020-01-01", "2021-01-01"], dtype="datetime64[us, UTC]"))


@st.composite
def _tables(draw: Any) -> s.Table:
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4))
    if all(isinstance(key, tuple) for key in keys):
        keys.append("plain")
    return s.Table(tuple(_spelled(keys, [draw(columns()) for _ in keys])), tuple(draw(_index())))


def _spelled(keys: list[Any], kinds: list[tuple[s.Type, str]]) -> list[s.Column]:
    # The levels of an index take their names first: here they are called so that nothing clashes.
    found: list[s.Column] = []
    for key, (kind, storage) in zip(keys, kinds, strict=True):
        name = spell(key, {column.name for column in found})
        written = encode_key(key)
        found.append(s.Column(name, kind, storage, key=None if written == name else written))
    return found


def _index() -> SearchStrategy[list[s.Column]]:
    level = st.sampled_from(
        [
            (s.Scalar("int64"), "int64"),
            (s.Scalar("datetime", unit="us", timezone="UTC"), "datetime64[us, UTC]"),
            (s.Choice(("x", "y")), "category"),
            (s.Scalar("string"), TEXT_STORAGE),
        ]
    )
    names = st.lists(st.sampled_from(["row", "when", "shop"]), max_size=2, unique=True)
    return names.flatmap(
        lambda names: st.tuples(*[level] * len(names)).map(
            lambda kinds: [s.Column(name, *kind) for name, kind in zip(names, kinds, strict=True)]
        )
    )


@st.composite
def _frames(draw: Any, kind: s.Table) -> pd.DataFrame:
    rows = draw(ROWS)
    arrays = [_drawn(draw, column, rows) for column in kind.columns]
    frame = pd.DataFrame({at: pd.Series(array, dtype=array.dtype) for at, array in enumerate(arrays)})
    frame.columns = pd.Index([python_key(column) for column in kind.columns], tupleize_cols=False)
    if kind.index:
        frame.index = _made_index(draw, kind.index, rows)
    return frame


def _drawn(draw: Any, column: s.Column, rows: int) -> Any:
    values = draw(st.lists(cells(column.type, column.storage), min_size=rows, max_size=rows))
    return stored(column.type, column.storage, values)


def _made_index(draw: Any, levels: tuple[s.Column, ...], rows: int) -> pd.Index:
    made = [(_drawn(draw, level, rows), level.name) for level in levels]
    arrays = [pd.Index(array, dtype=array.dtype, name=name) for array, name in made]
    return arrays[0] if len(arrays) == 1 else pd.MultiIndex.from_arrays(arrays)


@st.composite
def _series_types(draw: Any) -> s.Series:
    kind, storage = draw(columns())
    name = draw(st.sampled_from([None, "y", 0, ("a", 1)]))
    index = tuple(draw(_index()))
    if name is None or isinstance(name, str):
        return s.Series(kind, storage, name, index=index)
    return s.Series(kind, storage, spell(name, ()), index=index, key=encode_key(name))


@st.composite
def _series(draw: Any, kind: s.Series) -> pd.Series:
    rows = draw(ROWS)
    array = _drawn(draw, s.Column("", kind.item, kind.storage), rows)
    name = kind.name if kind.key is None else python_key(s.Column("", kind.item, "", key=kind.key))
    index = _made_index(draw, kind.index, rows) if kind.index else pd.RangeIndex(rows)
    return pd.Series(getattr(array, "array", array), index=index, name=name, dtype=array.dtype)


def _table_values(kind: Any, _definitions: Mapping[str, s.Type]) -> SearchStrategy[Any]:
    return _frames(kind)


def _series_values(kind: Any, _definitions: Mapping[str, s.Type]) -> SearchStrategy[Any]:
    return _series(kind)


def _same_frames(one: Any, other: Any) -> bool:
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    return True


def _same_series(one: Any, other: Any) -> bool:
    pd.testing.assert_series_equal(one, other, check_exact=True)
    return True


register(s.Table, Strategies(lambda _: _tables(), _table_values), s.Flavor.PANDAS)
register(s.Series, Strategies(lambda _: _series_types(), _series_values), s.Flavor.PANDAS)
compare(pd.DataFrame, _same_frames)
compare(pd.Series, _same_series)
