"""The type of a pandas table, column by column, all rows read."""

from __future__ import annotations

from typing import Any

from model_envelope.inference.values import type_of, unify
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.scalars import INTEGERS, LARGEST
from model_envelope.runtime.errors import InvalidSignature, Problem


def table_type(frame: Any, path: str) -> s.Table:
    """Find the type of a data frame.

    An index without a name says nothing that a model could know, and is left out; a named one is kept.

    Raises :class:`InvalidSignature` with every column that a signature cannot say.
    """
    problems: list[Problem] = []
    columns = []
    seen: set[str] = set()
    for at, key in enumerate(frame.columns):
        try:
            column = _column(frame.iloc[:, at], key, f"{path}.{key}")
        except InvalidSignature as error:
            problems.extend(error.problems)
            continue
        if column.name in seen:
            problems.append(
                Problem(path, f"two columns named {column.name}", "distinct names", "signature.column-name")
            )
        seen.add(column.name)
        columns.append(column)
    names = [level for level in frame.index.names if level is not None]
    index: list[s.Column] = []
    if len(names) == frame.index.nlevels:
        index = [_column(frame.index.get_level_values(at), key, f"{path}.{key}") for at, key in enumerate(names)]
    if problems:
        raise InvalidSignature(
            f"{len(problems)} columns of {path} have no type that a signature can say",
            code=problems[0].code,
            problems=problems,
            hint="convert these columns before the samples are given, so that each has one plain type",
        )
    return s.Table(tuple(columns), tuple(index))


def series_type(series: Any, path: str) -> s.Series:
    """Find the type of a series."""
    column = _column(series, "series", path)
    return s.Series(column.type, column.storage, None if series.name is None else str(series.name))


def _column(series: Any, key: Any, path: str) -> s.Column:
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise _refused(path, f"the column name {key!r}", "a string or an integer", "signature.column-name")
    kind = _cell_type(series, path)
    name = key if isinstance(key, str) else str(key)
    return s.Column(name, kind, str(series.dtype), key=None if isinstance(key, str) else int(key))


def _cell_type(series: Any, path: str) -> s.Type:
    dtype = series.dtype
    null = bool(series.isna().any())
    storage = str(dtype)
    if storage == "category":
        values = tuple(_plain(value) for value in dtype.categories)
        if not all(isinstance(value, str | int | float) for value in values):
            raise _refused(
                path, "categories that are no strings or numbers", "strings or numbers", "signature.category"
            )
        if not values:
            raise _refused(path, "no categories", "at least one category", "signature.empty-column")
        return s.Choice(values, nullable=null, ordered=bool(dtype.ordered))
    if storage in {"str", "string"}:
        return s.Scalar("string", nullable=null)
    kind = getattr(dtype, "kind", "O")
    logical = storage.lower()
    if logical in INTEGERS or logical in {"bool", "boolean"}:
        declared = storage[0] in "IU" or storage == "boolean"
        return s.Scalar("bool" if kind == "b" else logical, nullable=null or declared)
    if logical in LARGEST:
        return _float_type(series, logical, null or storage[0] == "F")
    if kind == "M":
        zone = getattr(dtype, "tz", None)
        return s.Scalar("datetime", nullable=null, unit=_unit(dtype), timezone=None if zone is None else str(zone))
    if storage == "object":
        return _object_type(series, path)
    raise _refused(
        path, f"the dtype {storage}", "numbers, strings, booleans, categories or datetimes", "signature.storage"
    )


def _float_type(series: Any, dtype: str, null: bool) -> s.Scalar:
    import numpy as np

    infinite = bool(np.isinf(series.to_numpy(dtype=np.float64, na_value=np.nan)).any())
    return s.Scalar(dtype, nullable=null, non_finite=infinite)


def _object_type(series: Any, path: str) -> s.Type:
    missing = series.isna().tolist()
    kinds: dict[s.Type, int] = {}
    for at, (value, null) in enumerate(zip(series.tolist(), missing, strict=True)):
        kinds.setdefault(s.Scalar("null", nullable=True) if null is True else type_of(value, f"{path}[{at}]"), at)
    known = list(kinds)
    found: s.Type = known[0] if known else s.Any()
    if found == s.Scalar("null", nullable=True) and len(known) == 1:
        raise _refused(
            path, "nothing but nulls", "at least one value, or a dtype that says its type", "signature.empty-column"
        )
    for kind in known[1:]:
        try:
            found = unify(found, kind, path)
        except InvalidSignature:
            rows = " and ".join(f"{_call(kind)} (row {at})" for kind, at in list(kinds.items())[:3])
            raise _refused(path, f"values of different types: {rows}", "one type", "signature.mixed-types") from None
    return found


def _call(kind: s.Type) -> str:
    return kind.dtype if isinstance(kind, s.Scalar) else kind.kind


def _unit(dtype: Any) -> str:
    import numpy as np

    return str(getattr(dtype, "unit", None) or np.datetime_data(dtype)[0])


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _refused(path: str, found: str, expected: str, code: str) -> InvalidSignature:
    return InvalidSignature(
        f"{path} has {found}, expected {expected}", code=code, problems=[Problem(path, found, expected, code)]
    )
