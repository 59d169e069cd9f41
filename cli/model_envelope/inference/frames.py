"""The type of a pandas table or series, column by column, all rows read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from model_envelope.inference.columns import NULLABLE, untyped
from model_envelope.inference.values import name as short_name
from model_envelope.inference.values import type_of, unify
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions
from model_envelope.runtime.codec.tables.columns.choices import spell_categories
from model_envelope.runtime.codec.tables.columns.column import categories_kind, kind_of_dtype, values_for
from model_envelope.runtime.codec.tables.columns.dtypes import arrow_storage, dtype_of, is_arrow, storage_of
from model_envelope.runtime.codec.tables.pandas import labels_of, merely_counts
from model_envelope.runtime.codec.values.keys import encode_key, spell
from model_envelope.runtime.codec.values.scalars import Refused
from model_envelope.runtime.errors import EnvelopeError, InvalidSignature, Problem

SUPPORTED = (
    "numbers, strings, booleans, categories, dates and times, durations, periods, intervals or lists and objects"
)


def table_type(frame: Any, path: str) -> s.Table:
    """Find the type of a data frame.

    Unnamed row numbers say nothing that a model could know, and are left out; any other index is part of the table.

    Raises :class:`InvalidSignature` with every column that a signature cannot say.
    """
    problems: list[Problem] = []
    if not len(frame.columns):
        raise _refused(path, "no columns", "at least one column", "signature.empty-table")
    taken: set[str] = set()
    index = _index(frame.index, path, taken, problems)
    columns = []
    declared = frame.attrs.get(NULLABLE, ())
    for at, key in enumerate(frame.columns):
        column = _column(frame.iloc[:, at], key, path, taken, problems)
        if column is not None and column.key is None and column.name in declared:
            column = replace(column, type=s.with_nullable(column.type))
        if column is not None:
            columns.append(column)
    if problems:
        raise untyped(path, problems)
    table = s.Table(tuple(columns), tuple(index))
    table = replace(table, levels=_levels(frame.columns, table))
    if not labels_of(table).equals(frame.columns):
        raise _refused(
            path, f"column names of the type {frame.columns.dtype}", "names that JSON can say", "signature.column-name"
        )
    return table


def series_type(series: Any, path: str) -> s.Series:
    """Find the type of a series, with its index where that says something.

    Raises :class:`InvalidSignature` where a signature cannot say it.
    """
    problems: list[Problem] = []
    taken: set[str] = set()
    index = _index(series.index, path, taken, problems) if hasattr(series, "index") else []
    if problems:
        raise InvalidSignature(
            f"the index of {path} has no type that a signature can say", code=problems[0].code, problems=problems
        )
    kind, storage = cell_type(series, path)
    if series.name is None or isinstance(series.name, str):
        return s.Series(kind, storage, series.name, index=tuple(index))
    try:
        return s.Series(kind, storage, spell(series.name, taken), index=tuple(index), key=encode_key(series.name))
    except Refused as refused:
        raise _refused(path, f"the name {series.name!r}", str(refused), "signature.column-name") from None


def _index(index: Any, path: str, taken: set[str], problems: list[Problem]) -> list[s.Column]:
    """Give the levels of an index; none where it merely counts the rows."""
    if merely_counts(index):
        return []
    levels = []
    for at, name in enumerate(index.names):
        usual = "index" if index.nlevels == 1 else f"level_{at}"
        key = name if name is not None else _Unnamed(usual)
        level = _column(index.get_level_values(at), key, path, taken, problems)
        if level is not None:
            levels.append(level)
    return levels


class _Unnamed:
    """A level of an index without a name, and what it is called in JSON."""

    def __init__(self, name: str) -> None:
        self.name = name


def _column(series: Any, key: Any, path: str, taken: set[str], problems: list[Problem]) -> s.Column | None:
    try:
        name = spell(key.name if isinstance(key, _Unnamed) else key, taken)
        taken.add(name)
        written = encode_key(None if isinstance(key, _Unnamed) else key)
    except Refused as refused:
        problems.append(Problem(path, f"the column name {key!r:.60}", str(refused), "signature.column-name"))
        return None
    try:
        kind, storage = cell_type(series, f"{path}.{name}")
    except EnvelopeError as error:
        problems.extend(error.problems or [Problem(f"{path}.{name}", error.message, SUPPORTED, error.code)])
        return None
    return s.Column(name, kind, storage, key=None if written == name else written)


def _levels(labels: Any, table: s.Table) -> tuple[Any, ...]:
    """Give names and dtypes of the levels of the column names, where they say more than the names themselves."""
    arrays = [labels.get_level_values(at) for at in range(labels.nlevels)]
    inferred = labels_of(table)
    if inferred.nlevels != labels.nlevels:
        return tuple({"name": encode_key(array.name), "storage": storage_of(array.dtype)} for array in arrays)
    same = [inferred.get_level_values(at).dtype == array.dtype for at, array in enumerate(arrays)]
    if all(same) and all(name is None for name in labels.names):
        return ()
    return tuple(
        encode_key(array.name) if equal else {"name": encode_key(array.name), "storage": storage_of(array.dtype)}
        for array, equal in zip(arrays, same, strict=True)
    )


def cell_type(series: Any, path: str) -> tuple[s.Type, str]:
    """Find the type of the values of a series or index, and its dtype as text.

    Raises :class:`InvalidSignature` where a signature cannot say it.
    """
    dtype = series.dtype
    storage = storage_of(dtype)
    if storage == "object":
        return _object_type(series, path)
    if storage == "category":
        return _category_type(series, path)
    _check_storage(dtype, storage, path)
    null = bool(series.isna().any())
    if is_arrow(storage):
        return _arrow_type(series, path), storage
    kind = kind_of_dtype(dtype)
    if kind is None:
        raise _refused(path, f"the dtype {dtype}", SUPPORTED, "signature.storage")
    if isinstance(kind, s.Scalar) and kind.dtype.startswith(("float", "complex")):
        kind = replace(kind, non_finite=_has_infinity(series) or (kind.dtype.startswith("complex") and null))
        null = null and not kind.dtype.startswith("complex")
    if isinstance(kind, s.Record):
        kind = _intervals(kind, series.array)
    declared = storage[0] in "IUF" or storage == "boolean" or storage.startswith("string")
    return s.with_nullable(kind, nullable=null or declared), storage


def _check_storage(dtype: Any, storage: str, path: str) -> None:
    """Refuse a dtype that its text does not bring back: a time zone without a name, an extension of a third party."""
    try:
        same = dtype_of(storage) == dtype
    except (Refused, EnvelopeError, TypeError, ValueError, AttributeError):
        same = False
    if not same:
        raise _refused(path, f"the dtype {dtype}", SUPPORTED, "signature.storage")


def _intervals(kind: s.Record, array: Any) -> s.Record:
    """Admit infinities as ends, where there are some."""
    ends = [field.type for field in kind.fields]
    if not any(isinstance(end, s.Scalar) and end.dtype.startswith("float") for end in ends):
        return kind
    if not any(_has_infinity(side) for side in (array.left, array.right)):
        return kind
    return replace(kind, fields=tuple(replace(field, type=_non_finite(field.type)) for field in kind.fields))


def _non_finite(kind: s.Type) -> s.Type:
    return replace(kind, non_finite=True) if isinstance(kind, s.Scalar) else kind


def _has_infinity(series: Any) -> bool:
    import numpy as np

    if series.dtype.kind == "c":
        return not bool(np.isfinite(np.asarray(series)).all())
    return bool(np.isinf(series.to_numpy(dtype=np.float64, na_value=np.nan)).any())


def _arrow_type(series: Any, path: str) -> s.Type:
    from model_envelope.inference import arrow_tables

    found = arrow_tables.series_type(series.array.__arrow_array__(), path)
    if found.storage != arrow_storage(storage_of(series.dtype)):
        raise _refused(path, f"the dtype {series.dtype}", SUPPORTED, "signature.storage")
    return s.with_nullable(found.item)


def _category_type(series: Any, path: str) -> tuple[s.Type, str]:
    import pandas as pd

    dtype = series.dtype
    categories = dtype.categories
    if not len(categories):
        raise _refused(path, "no categories", "at least one category", "signature.empty-column")
    null = bool(series.isna().any())
    plain = spell_categories(categories, None)
    simple = all(type(value) in {str, int, bool} or (type(value) is float and math.isfinite(value)) for value in plain)
    if simple and pd.Index(plain).dtype == categories.dtype:
        return s.Choice(tuple(plain), nullable=null, ordered=bool(dtype.ordered)), "category"
    storage = storage_of(categories.dtype)
    _check_storage(categories.dtype, storage, path)
    kind = categories_kind(storage)
    if kind is None or (storage == "object" and not (simple and set(map(type, plain)) == {str})):
        raise _refused(path, f"categories of the dtype {categories.dtype}", "plain values", "signature.category")
    values = spell_categories(categories, values_for(kind, storage, Definitions()))
    spelled = kind.dtype if isinstance(kind, s.Scalar) and kind.dtype not in _JSON else None
    return (
        s.Choice(tuple(values), nullable=null, ordered=bool(dtype.ordered), dtype=spelled),
        f"category[{storage}]",
    )


_JSON = {"string", "bool", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def _object_type(series: Any, path: str) -> tuple[s.Type, str]:
    missing = series.isna().tolist()
    values = series.tolist()
    nulls = [value for value, null in zip(values, missing, strict=True) if null is True]
    storage = _object_storage(nulls)
    present = [(at, value) for at, (value, null) in enumerate(zip(values, missing, strict=True)) if null is not True]
    if not present:
        found = "nothing but nulls" if nulls else "no values"
        raise _refused(path, found, "at least one value, or a dtype that says its type", "signature.empty-column")
    plain = {str: "string", bool: "bool"}
    kinds = {type(value) for _, value in present}
    if len(kinds) == 1 and (known := plain.get(next(iter(kinds)))):
        return s.Scalar(known, nullable=bool(nulls)), storage
    kind = _unified([(type_of(value, f"{path}[{at}]"), at) for at, value in present], path)
    return s.with_nullable(kind, nullable=kind.nullable or bool(nulls)), storage


def _object_storage(nulls: Sequence[Any]) -> str:
    """Say how objects are missing: as the first of them is."""
    if not nulls or nulls[0] is None:
        return "object"
    first = nulls[0]
    return f"object[{'nan' if isinstance(first, float) else 'NaT' if str(first) == 'NaT' else 'NA'}]"


def _unified(kinds: Sequence[tuple[s.Type, int]], path: str) -> s.Type:
    distinct: list[tuple[s.Type, int]] = []
    for kind, at in kinds:
        if not any(kind == known for known, _ in distinct):
            distinct.append((kind, at))
    found = distinct[0][0]
    for kind, _ in distinct[1:]:
        try:
            found = unify(found, kind, path)
        except InvalidSignature:
            rows = " and ".join(f"{short_name(kind)} (row {at})" for kind, at in distinct[:3])
            raise _refused(path, f"values of different types: {rows}", "one type", "signature.mixed-types") from None
    return found


def _refused(path: str, found: str, expected: str, code: str) -> InvalidSignature:
    return InvalidSignature(
        f"{path} has {found}, expected {expected}", code=code, problems=[Problem(path, found, expected, code)]
    )
