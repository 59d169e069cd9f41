"""The types of Polars data frames and series: by their dtypes, with what all rows show beyond them."""

from __future__ import annotations

from typing import Any

from model_envelope.inference.columns import untyped
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.tables.polars import dtype_name, write_dtype
from model_envelope.runtime.errors import InvalidSignature, Problem


def table_type(frame: Any, path: str) -> s.Table:
    """Find the type of a data frame.

    Raises :class:`InvalidSignature` with every column that a signature cannot say.
    """
    columns: list[s.Column] = []
    problems: list[Problem] = []
    for series in frame:
        try:
            kind, storage = _column(series, f"{path}.{series.name}")
            columns.append(s.Column(series.name, kind, storage))
        except InvalidSignature as error:
            problems.extend(error.problems)
    if problems:
        raise untyped(path, problems)
    return s.Table(tuple(columns), flavor=s.Flavor.POLARS)


def series_type(series: Any, path: str) -> s.Series:
    """Find the type of a series."""
    kind, storage = _column(series, path)
    return s.Series(kind, storage, series.name or None, s.Flavor.POLARS)


def _column(series: Any, path: str) -> tuple[s.Type, str]:
    kind = _type(series, path)
    storage = write_dtype(series.dtype)
    assert storage is not None, "a type was found"
    return kind, storage


def _type(series: Any, path: str) -> s.Type:
    import polars as pl

    null = series.null_count() > 0
    match series.dtype:
        case pl.Null():
            raise refused(path, "nothing but nulls", "a dtype that says its type", "signature.empty-column")
        case pl.List(inner=inner):
            return s.List(_type(_inner(series, inner), f"{path}[*]"), nullable=null)
        case pl.Array(inner=inner, size=size):
            return array_of(_type(_inner(series, inner), f"{path}[*]"), size, s.Flavor.POLARS, null=null)
        case pl.Struct():
            whole = series.filter(series.is_not_null())
            fields = (s.Field(child.name, _type(child, f"{path}.{child.name}")) for child in whole.struct.unnest())
            return s.Record(tuple(fields), nullable=null)
        case pl.Categorical():
            values = tuple(sorted(series.drop_nulls().cast(pl.String()).unique().to_list()))
            return _choice(values, path, null=null, ordered=False)
        case pl.Enum():
            return _choice(tuple(series.dtype.categories.to_list()), path, null=null, ordered=True)
        case pl.Datetime(time_unit=unit, time_zone=zone):
            return s.Scalar("datetime", nullable=null, unit=unit, timezone=zone)
        case pl.Duration(time_unit=unit):
            return s.Scalar("timedelta", nullable=null, unit=unit)
        case pl.Decimal():
            return s.Scalar("decimal", nullable=null)
    name = dtype_name(series.dtype)
    if name == "Time":
        return s.Scalar("time", nullable=null, unit="ns")
    dtype = _DTYPES.get(name)
    if dtype is None:
        expected = "a dtype whose values JSON can say, in at most 64 bits"
        raise refused(path, f"the dtype {series.dtype}", expected, "signature.storage")
    if dtype.startswith("float"):
        finite = series.drop_nulls().is_finite().all()
        return s.Scalar(dtype, nullable=null, non_finite=not finite)
    return s.Scalar(dtype, nullable=null)


def _inner(series: Any, inner: Any) -> Any:
    """Give all items of all lists, one below the other."""
    import polars as pl

    whole = series.drop_nulls()
    if isinstance(series.dtype, pl.Array):
        whole = whole.arr.to_list()
    return whole.filter(whole.list.len() > 0).explode().cast(inner)


def _choice(values: tuple[str, ...], path: str, *, null: bool, ordered: bool) -> s.Choice:
    if not values:
        raise refused(path, "no categories", "at least one category", "signature.empty-column")
    return s.Choice(values, nullable=null, ordered=ordered)


def array_of(item: s.Type, size: int, flavor: s.Flavor, *, null: bool) -> s.Type:
    """Give the type of lists of a fixed length: an array where the items are plain numbers, else a tuple."""
    if isinstance(item, s.Scalar) and not item.nullable and item.dtype.rstrip("0123456789") in _NUMBERS:
        return s.Tensor(item.dtype, (size,), flavor=flavor, nullable=null, non_finite=item.non_finite)
    if isinstance(item, s.Tensor) and not item.nullable:
        return s.Tensor(item.dtype, (size, *item.shape), flavor=flavor, nullable=null, non_finite=item.non_finite)
    return s.Tuple((item,) * size, nullable=null)


def refused(path: str, found: str, expected: str, code: str) -> InvalidSignature:
    """Say that a column has no type, as a table collects it."""
    return InvalidSignature(
        f"{path} has {found}, expected {expected}", code=code, problems=[Problem(path, found, expected, code)]
    )


_NUMBERS = frozenset({"int", "uint", "float", "bool"})
_DTYPES = {
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"Float{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "Boolean": "bool",
    "String": "string",
    "Binary": "bytes",
    "Date": "date",
}
