"""Strategies for arrays of NumPy and SciPy, and for tables and series of Polars, pyarrow and NumPy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from strategies import Strategies, compare, register

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.types import build, plain_values, read_type
from model_envelope.runtime.codec.tables.numpy import read_fields
from model_envelope.runtime.codec.tables.polars import PolarsColumn
from model_envelope.runtime.codec.tables.storages import read_storage, word
from model_envelope.runtime.codec.values.scalars import INTEGERS

Definitions = Mapping[str, s.Type]
Typed = tuple[s.Type, str]
"""The type of a column and its storage."""

TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
FIELDS = st.lists(st.sampled_from(["a", "b", "a b", 'q"', "c: d", "ü", "data"]), min_size=1, max_size=3, unique=True)
SIZES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
ROWS = st.integers(0, 3)


def plain(kind: s.Type, storage: str) -> SearchStrategy[Any]:
    """Give the plain values of a column: what libraries are built of."""
    found = _plain(kind, storage)
    return st.none() | found if kind.nullable else found


def _plain(kind: s.Type, storage: str) -> SearchStrategy[Any]:
    match kind:
        case s.Choice():
            return st.sampled_from(kind.values)
        case s.List():
            return st.lists(plain(kind.item, _part(storage)), max_size=2)
        case s.Tuple():
            return st.lists(plain(kind.items[0], _part(storage)), min_size=len(kind.items), max_size=len(kind.items))
        case s.Tensor():
            item = s.Scalar(kind.dtype, non_finite=kind.non_finite)
            return st.lists(plain(item, ""), min_size=kind.shape[0], max_size=kind.shape[0])
        case s.Map():
            return st.lists(st.tuples(TEXT, plain(kind.value, "")), max_size=2, unique_by=lambda pair: pair[0])
        case s.Record():
            parts = dict(zip([f.name for f in kind.fields], read_storage(storage).parts, strict=True))
            return st.fixed_dictionaries({f.name: plain(f.type, _text(parts[f.name][1])) for f in kind.fields})
    assert isinstance(kind, s.Scalar)
    return _scalars(kind, storage)


def _part(storage: str) -> str:
    part = read_storage(storage).part(0)
    return _text(part) if part else ""


def _text(storage: Any) -> str:
    parts = [f"{'' if label is None else word(label) + ': '}{_text(part)}" for label, part in storage.parts]
    return f"{word(storage.name)}<{', '.join(parts)}>" if parts else word(storage.name)


def _scalars(kind: s.Scalar, storage: str) -> SearchStrategy[Any]:
    if kind.dtype in INTEGERS:
        return st.integers(*INTEGERS[kind.dtype])
    if kind.dtype.startswith("float"):
        return st.floats(width=int(kind.dtype[5:]), allow_nan=kind.non_finite, allow_infinity=kind.non_finite)
    if kind.dtype == "decimal":
        precision, scale = (int(part.name) for _, part in read_storage(storage).parts)
        most = 10**precision - 1
        return st.integers(-most, most).map(
            lambda digits: Decimal((int(digits < 0), tuple(map(int, str(abs(digits)))), -scale))
        )
    size = SIZES.get(kind.unit or "us", 1)
    if kind.dtype == "datetime":
        least, most = -62_135_596_800 * size, 253_402_300_799 * size
        return st.integers(max(least, -(2**63) + 1), min(most, 2**63 - 1))
    if kind.dtype == "time":
        return st.integers(0, 86_400 * size - 1)
    if kind.dtype == "timedelta":
        return st.integers(-(2**63) + 1, 2**63 - 1)
    if kind.dtype == "bytes" and storage.startswith("fixed"):
        return st.binary(min_size=2, max_size=2)
    others = {"bool": st.booleans(), "string": TEXT, "bytes": st.binary(max_size=3), "date": st.dates()}
    return others[kind.dtype]


def _nested(name: str, item: SearchStrategy[Typed], *, polars: bool) -> SearchStrategy[Typed]:
    opening, closing = "()" if polars else "<>"
    listed = "List" if polars else name
    fixed = "Array" if polars else "fixed_size_list"
    lists = item.map(lambda one: (s.List(one[0]), f"{listed}{opening}{one[1]}{closing}"))
    pairs = item.map(lambda one: (_pair(one[0]), f"{fixed}{opening}{one[1]}, 2{closing}"))

    def record(names: list[str], inner: list[Typed]) -> Typed:
        fields = tuple(s.Field(name, one[0]) for name, one in zip(names, inner, strict=False))
        parts = ", ".join(f"{word(field.name)}: {one[1]}" for field, one in zip(fields, inner, strict=False))
        return s.Record(fields), f"{'Struct' if polars else 'struct'}{opening}{parts}{closing}"

    structs = st.builds(record, FIELDS, st.lists(item, min_size=3, max_size=3))
    return _nullable(lists | pairs | structs)


def _pair(item: s.Type) -> s.Type:
    plain_number = isinstance(item, s.Scalar) and not item.nullable and item.dtype.startswith(("int", "float", "bool"))
    return s.Tensor(item.dtype, (2,), non_finite=item.non_finite) if plain_number else s.Tuple((item, item))


def _nullable(typed: SearchStrategy[Typed]) -> SearchStrategy[Typed]:
    return st.builds(lambda one, null: (s.with_nullable(one[0], null), one[1]), typed, st.booleans())


def _leaves(names: Mapping[str, s.Type]) -> SearchStrategy[Typed]:
    floats = {name for name, kind in names.items() if isinstance(kind, s.Scalar) and kind.dtype.startswith("float")}

    def chosen(name: str, odd: bool) -> Typed:
        kind = names[name]
        return (dataclasses.replace(kind, non_finite=odd) if name in floats else kind), name

    return _nullable(st.builds(chosen, st.sampled_from(sorted(names)), st.booleans()))


ZONES = ("Europe/Berlin", "UTC", "+05:30")
POLARS = {
    **{f"{sign}Int{bits}": s.Scalar(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"Float{bits}": s.Scalar(f"float{bits}") for bits in (16, 32, 64)},
    "Boolean": s.Scalar("bool"),
    "String": s.Scalar("string"),
    "Binary": s.Scalar("bytes"),
    "Date": s.Scalar("date"),
    "Time": s.Scalar("time", unit="ns"),
    **{f"Datetime({unit})": s.Scalar("datetime", unit=unit) for unit in ("ms", "us", "ns")},
    **{f"Datetime(us, {zone})": s.Scalar("datetime", unit="us", timezone=zone) for zone in ZONES[:2]},
    **{f"Duration({unit})": s.Scalar("timedelta", unit=unit) for unit in ("ms", "us", "ns")},
    "Decimal(12, 3)": s.Scalar("decimal"),
    "Categorical": s.Choice(("a", "b", "ü")),
    "Enum": s.Choice(("z", "a"), ordered=True),
}
PYARROW = {
    **{f"{sign}int{bits}": s.Scalar(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "halffloat": s.Scalar("float16"),
    "float": s.Scalar("float32"),
    "double": s.Scalar("float64"),
    "bool": s.Scalar("bool"),
    **{name: s.Scalar("string") for name in ("string", "large_string", "string_view")},
    **{name: s.Scalar("bytes") for name in ("binary", "large_binary", "binary_view", "fixed_size_binary[2]")},
    "date32[day]": s.Scalar("date"),
    "date64[ms]": s.Scalar("date"),
    **{f"time32[{unit}]": s.Scalar("time", unit=unit) for unit in ("s", "ms")},
    **{f"time64[{unit}]": s.Scalar("time", unit=unit) for unit in ("us", "ns")},
    **{f"timestamp[{unit}]": s.Scalar("datetime", unit=unit) for unit in SIZES},
    **{f"timestamp[us, tz={word(zone)}]": s.Scalar("datetime", unit="us", timezone=zone) for zone in ZONES},
    **{f"duration[{unit}]": s.Scalar("timedelta", unit=unit) for unit in SIZES},
    "decimal128(12, 3)": s.Scalar("decimal"),
    "decimal256(50, 3)": s.Scalar("decimal"),
    "dictionary<int32, string>": s.Choice(("b", "a")),
    "dictionary<int8, int64, ordered>": s.Choice((2, 1), ordered=True),
}


def polars_columns() -> SearchStrategy[Typed]:
    return st.recursive(_leaves(POLARS), lambda inner: _nested("List", inner, polars=True), max_leaves=3)


def arrow_columns() -> SearchStrategy[Typed]:
    def nested(inner: SearchStrategy[Typed]) -> SearchStrategy[Typed]:
        lists = st.sampled_from(["list", "large_list", "list_view"])
        return lists.flatmap(lambda name: _nested(name, inner, polars=False))

    maps = _leaves({"double": s.Scalar("float64"), "string": s.Scalar("string")}).map(
        lambda one: (s.Map(s.Scalar("string"), one[0]), f"map<string, {one[1]}>")
    )
    return st.recursive(_leaves(PYARROW), nested, max_leaves=3) | _nullable(maps)


def tables(typed: SearchStrategy[Typed], flavor: s.Flavor, *classes: str) -> SearchStrategy[s.Table]:
    def table(names: list[str], columns: list[Typed], cls: str | None) -> s.Table:
        made = (s.Column(name, *one) for name, one in zip(names, columns, strict=False))
        return s.Table(tuple(made), flavor=flavor, cls=cls)

    return st.builds(table, FIELDS, st.lists(typed, min_size=3, max_size=3), st.sampled_from([None, *classes]))


def _rows(kind: s.Table) -> SearchStrategy[list[list[Any]]]:
    def columns(count: int) -> SearchStrategy[list[list[Any]]]:
        strategies = [plain(one.type, one.storage) for one in kind.columns]
        return st.tuples(*(st.lists(one, min_size=count, max_size=count) for one in strategies)).map(list)

    return ROWS.flatmap(columns)


def polars_series(values: list[Any], kind: s.Type, storage: str) -> Any:
    return PolarsColumn(kind, storage, {}).build(values)  # type: ignore[arg-type]


def arrow_values(values: list[Any], kind: s.Type, storage: str) -> Any:
    return build(values, read_type(read_storage(storage)), kind)


def _polars_table(kind: s.Table, _definitions: Definitions) -> SearchStrategy[Any]:
    def frame(columns: list[list[Any]]) -> Any:
        made = zip(kind.columns, columns, strict=True)
        return pl.DataFrame({one.name: polars_series(values, one.type, one.storage) for one, values in made})

    return _rows(kind).map(frame)


def _arrow_table(kind: s.Table, _definitions: Definitions) -> SearchStrategy[Any]:
    def table(columns: list[list[Any]]) -> Any:
        arrays = [
            arrow_values(values, one.type, one.storage) for one, values in zip(kind.columns, columns, strict=True)
        ]
        cls = pa.RecordBatch if kind.cls else pa.Table
        return cls.from_arrays(arrays, names=[one.name for one in kind.columns])

    return _rows(kind).map(table)


def _series(make: Any, wrap: Any) -> Any:
    def values(kind: s.Series, _definitions: Definitions) -> SearchStrategy[Any]:
        drawn = st.lists(plain(kind.item, kind.storage), max_size=3)
        return drawn.map(lambda found: wrap(kind, make(found, kind.item, kind.storage)))

    return values


register(s.Table, Strategies(lambda _: tables(polars_columns(), s.Flavor.POLARS), _polars_table), s.Flavor.POLARS)
register(
    s.Table,
    Strategies(lambda _: tables(arrow_columns(), s.Flavor.PYARROW, "RecordBatch"), _arrow_table),
    s.Flavor.PYARROW,
)
register(
    s.Series,
    Strategies(
        lambda _: polars_columns().map(lambda one: s.Series(*one, name="x", flavor=s.Flavor.POLARS)),
        _series(polars_series, lambda kind, array: array.alias(kind.name)),
    ),
    s.Flavor.POLARS,
)
register(
    s.Series,
    Strategies(
        lambda _: st.builds(
            lambda one, cls: s.Series(*one, flavor=s.Flavor.PYARROW, cls=cls),
            arrow_columns(),
            st.sampled_from([None, "ChunkedArray"]),
        ),
        _series(arrow_values, lambda kind, array: pa.chunked_array([array]) if kind.cls else array),
    ),
    s.Flavor.PYARROW,
)

TENSORS = (
    *((name, None) for name in (*INTEGERS, "bool", "float16", "float32", "float64", "complex64", "complex128")),
    *(("int32", ">i4"), ("float64", ">f8"), ("string", None), ("string", "<U4"), ("bytes", "|S3")),
    *(("string", text) for text in ("StringDType()", "StringDType(na_object=None)")),
    *(("datetime", f"datetime64[{unit}]") for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns")),
    *(("timedelta", f"timedelta64[{unit}]") for unit in ("Y", "D", "s", "ns", "fs")),
    *((name, "object") for name in ("int64", "bool", "decimal", "date")),
)


def _tensor_types(_inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Tensor]:
    def tensor(named: tuple[str, str | None], shape: list[int], odd: bool, axis: int) -> s.Tensor:
        # What has no value for "nothing" admits none.
        never = named[0].startswith(("int", "uint", "bool", "bytes")) and named[1] != "object"
        odd = odd and not never and named[1] != "<U4" and named[1] != "StringDType()"
        axis = min(axis, len(shape) - 1)
        # Nested JSON arrays say nothing of what lies within an empty one.
        free = tuple(None if at == axis else max(size, int(at < axis)) for at, size in enumerate(shape))
        return s.Tensor(named[0], free, axis if shape else None, non_finite=odd, storage=named[1])

    shapes = st.lists(st.integers(0, 2), max_size=3)
    return st.builds(tensor, st.sampled_from(TENSORS), shapes, st.booleans(), st.sampled_from([0, 0, 1, 2]))


def _tensor_values(kind: s.Tensor, _definitions: Definitions) -> SearchStrategy[Any]:
    def array(count: int) -> SearchStrategy[Any]:
        shape = tuple(count if size is None else size for size in kind.shape)
        total = math.prod(shape)
        return st.lists(_leaf(kind), min_size=total, max_size=total).map(lambda leaves: _array(leaves, kind, shape))

    return ROWS.flatmap(array)


def _leaf(kind: s.Tensor) -> SearchStrategy[Any]:
    if kind.dtype.startswith("complex"):
        half = s.Scalar("float32" if kind.dtype == "complex64" else "float64", non_finite=kind.non_finite)
        return st.builds(complex, _scalars(half, ""), _scalars(half, ""))
    if kind.dtype in {"datetime", "timedelta"}:
        return (st.none() if kind.non_finite else st.nothing()) | st.integers(-1000, 1000)
    null = kind.non_finite and not kind.dtype.startswith("float")
    if kind.dtype == "decimal":
        return (st.none() if null else st.nothing()) | st.decimals(allow_nan=False, allow_infinity=False)
    found = _scalars(s.Scalar(kind.dtype, non_finite=kind.non_finite), "")
    if kind.storage in {"<U4", "|S3"}:
        found = found.filter(lambda text: text[-1:] not in {"\0", b"\0"})
    return (st.none() if null else st.nothing()) | found


def _array(leaves: list[Any], kind: s.Tensor, shape: tuple[int, ...]) -> Any:
    if kind.dtype in {"datetime", "timedelta"}:
        counts = [-(2**63) if leaf is None else leaf for leaf in leaves]
        return np.array(counts, dtype="int64").view(kind.storage).reshape(shape)
    if kind.storage == "object" or (kind.dtype == "string" and kind.storage is None):
        array = np.empty(len(leaves), dtype=object)
        array[:] = leaves
        return array.reshape(shape)
    dtype: Any = kind.storage or kind.dtype
    if dtype.startswith("StringDType"):
        dtype = np.dtypes.StringDType(na_object=None) if "None" in dtype else np.dtypes.StringDType()
    return np.array(leaves, dtype=dtype).reshape(shape)


register(s.Tensor, Strategies(_tensor_types, _tensor_values), s.Flavor.NUMPY)

SPARSE = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def _sparse_types(_inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Tensor]:
    return st.builds(
        lambda dtype, layout, family: s.Tensor(dtype, (None, 2), 0, s.Flavor.SCIPY, layout=layout, storage=family),
        st.sampled_from(["float64", "float32", "int64", "uint8", "bool", "complex128"]),
        st.sampled_from(SPARSE),
        st.sampled_from(["array", "matrix"]),
    )


def _sparse_values(kind: s.Tensor, _definitions: Definitions) -> SearchStrategy[Any]:
    leaf = st.just(0) | _leaf(kind)
    rows = st.lists(st.lists(leaf, min_size=2, max_size=2), min_size=1, max_size=3)
    cls = getattr(sp, f"{kind.layout}_{kind.storage}")
    return rows.map(lambda found: cls(np.array(found, dtype=kind.dtype)))


register(s.Tensor, Strategies(_sparse_types, _sparse_values), s.Flavor.SCIPY)

STRUCTURED = {
    "<i4": s.Scalar("int32"),
    ">i2": s.Scalar("int16"),
    "|b1": s.Scalar("bool"),
    "<f8": s.Scalar("float64", nullable=True, non_finite=True),
    "<U4": s.Scalar("string"),
    "|S3": s.Scalar("bytes"),
    "<M8[us]": s.Scalar("datetime", nullable=True, unit="us"),
    'array("<f4", 2)': s.Tensor("float32", (2,)),
    'struct(x: "<i8", y: "|b1")': s.Record((s.Field("x", s.Scalar("int64")), s.Field("y", s.Scalar("bool")))),
}


def _structured_types(_inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Table]:
    typed = st.sampled_from(sorted(STRUCTURED)).map(lambda storage: (STRUCTURED[storage], storage))
    return tables(typed, s.Flavor.NUMPY, "recarray").filter(
        lambda kind: all(one.name != "data" for one in kind.columns)
    )


def _structured_values(kind: s.Table, _definitions: Definitions) -> SearchStrategy[Any]:
    dtype = read_fields({one.name: one.storage for one in kind.columns})

    def cell(one: s.Column) -> SearchStrategy[Any]:
        if isinstance(one.type, s.Record):
            return st.tuples(st.integers(-(2**63), 2**63 - 1), st.booleans())
        if isinstance(one.type, s.Tensor):
            return st.lists(_scalars(s.Scalar("float32"), ""), min_size=2, max_size=2)
        if one.storage.startswith("<M"):
            return st.integers(-1000, 1000).map(lambda count: np.datetime64(count, "us")) | st.just(
                np.datetime64("NaT", "us")
            )
        found = _scalars(dataclasses.replace(one.type, nullable=False), "")
        return found.filter(lambda text: text[-1:] not in {"\0", b"\0"}) if one.storage in {"<U4", "|S3"} else found

    rows = st.lists(st.tuples(*map(cell, kind.columns)), max_size=3)
    return rows.map(lambda found: np.array(found, dtype=dtype)).map(
        lambda array: array.view(np.recarray) if kind.cls else array
    )


register(s.Table, Strategies(_structured_types, _structured_values), s.Flavor.NUMPY)


def _object_types(_inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Series]:
    items = st.sampled_from([s.List(s.Scalar("int64")), s.Record((s.Field("a", s.Scalar("string")),), nullable=True)])
    return items.map(lambda item: s.Series(item, "object", flavor=s.Flavor.NUMPY))


def _object_values(kind: s.Series, _definitions: Definitions) -> SearchStrategy[Any]:
    one = (
        st.lists(st.integers(-9, 9), max_size=2)
        if isinstance(kind.item, s.List)
        else st.none() | st.fixed_dictionaries({"a": TEXT})
    )

    def array(found: list[Any]) -> Any:
        made = np.empty(len(found), dtype=object)
        for at, value in enumerate(found):
            made[at] = value
        return made

    return st.lists(one, max_size=3).map(array)


register(s.Series, Strategies(_object_types, _object_values), s.Flavor.NUMPY)


def _same_arrays(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return repr(one.tolist()) == repr(other.tolist())


def _same_sparse(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and _same_arrays(one.toarray(), other.toarray())


def _same_arrow(one: Any, other: Any) -> bool:
    if one.schema != other.schema:
        return False
    return all(_same_columns(left, right) for left, right in zip(one.columns, other.columns, strict=True))


def _same_columns(one: Any, other: Any) -> bool:
    chunks = [array.chunks if isinstance(array, pa.ChunkedArray) else [array] for array in (one, other)]
    left, right = ([value for chunk in side for value in plain_values(chunk)] for side in chunks)
    return one.type == other.type and repr(left) == repr(right)


compare(np.ndarray, _same_arrays)
for _base in (sp.spmatrix, sp.sparray):
    compare(_base, _same_sparse)
compare(pl.DataFrame, lambda one, other: one.schema == other.schema and one.equals(other))
compare(pl.Series, lambda one, other: one.name == other.name and one.equals(other, check_dtypes=True))
compare(pa.Table, _same_arrow)
compare(pa.RecordBatch, _same_arrow)
compare(pa.Array, _same_columns)
compare(pa.ChunkedArray, _same_columns)
