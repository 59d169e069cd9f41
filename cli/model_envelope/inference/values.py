"""The type of a value, found by looking at all of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import describe
from model_envelope.runtime.codec.scalars import INTEGERS
from model_envelope.runtime.errors import InvalidSignature, Problem

_PLAIN: Mapping[type, str] = {
    bool: "bool",
    str: "string",
    bytes: "bytes",
    bytearray: "bytes",
    Decimal: "decimal",
    UUID: "uuid",
    date: "date",
    time: "time",
    timedelta: "timedelta",
}


def type_of(value: Any, path: str = "$") -> s.Type:
    """Find the type of a value; every item of a list and every cell of a table is read.

    Raises :class:`InvalidSignature`: ``signature.unknown-type`` for a class that a signature cannot say,
    ``signature.mixed-types`` where items of one list or column have types that do not go together.
    """
    foreign = _FOREIGN.get(_dotted(type(value)))
    if foreign:
        return foreign(value, path)
    if value is None:
        return s.Scalar("null", nullable=True)
    if type(value) in _PLAIN:
        return s.Scalar(_PLAIN[type(value)])
    if isinstance(value, Enum):
        return enum_type(type(value))
    if isinstance(value, int):
        return _integer(value, path)
    if isinstance(value, float):
        return s.Scalar("float64", non_finite=not math.isfinite(value))
    if isinstance(value, str):
        return s.Scalar("string")
    if isinstance(value, datetime):
        return s.Scalar("datetime", timezone=None if value.tzinfo is None else "")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return _record({name: getattr(value, name) for name in names}, path, class_name(type(value)))
    if isinstance(value, dict):
        return _mapping(value, path)
    if isinstance(value, list):
        return s.List(unify_all([type_of(item, f"{path}[{at}]") for at, item in enumerate(value)], path))
    if isinstance(value, tuple):
        return s.Tuple(tuple(type_of(item, f"{path}[{at}]") for at, item in enumerate(value)))
    if isinstance(value, set | frozenset):
        items = [type_of(item, f"{path}[*]") for item in sorted(value, key=repr)]
        return s.Set(unify_all(items, path), frozen=isinstance(value, frozenset))
    for cls in type(value).__mro__[1:]:
        if foreign := _FOREIGN.get(_dotted(cls)):
            return foreign(value, path)
    raise InvalidSignature(
        f"{path} is {describe(value)}, and a signature has no type for it",
        code="signature.unknown-type",
        hint="let the method take and give numbers, strings, lists, dicts, dataclasses, NumPy arrays or pandas tables",
    )


def _integer(value: int, path: str) -> s.Scalar:
    least, most = INTEGERS["int64"]
    if not least <= value <= most:
        raise InvalidSignature(
            f"{path} is an integer of {value.bit_length()} bits, expected at most 64",
            code="signature.integer-range",
            hint="give such numbers as strings or decimals",
        )
    return s.Scalar("int64")


def _mapping(value: dict[Any, Any], path: str) -> s.Type:
    if all(isinstance(key, str) for key in value):
        return _record(value, path, None)
    keys = unify_all([type_of(key, f"{path}.{key}") for key in value], path)
    return s.Map(keys, unify_all([type_of(item, f"{path}.{key}") for key, item in value.items()], path))


def _record(items: Mapping[str, Any], path: str, cls: str | None) -> s.Record:
    return s.Record(tuple(s.Field(name, type_of(item, f"{path}.{name}")) for name, item in items.items()), cls=cls)


def unify_all(kinds: Sequence[s.Type], path: str) -> s.Type:
    """Find the one type that all of these are; nothing known about an empty list is :class:`~signature.Any`."""
    if not kinds:
        return s.Any()
    found = kinds[0]
    for kind in kinds[1:]:
        found = unify(found, kind, path)
    return found


def unify(one: s.Type, other: s.Type, path: str) -> s.Type:
    """Find the type that admits what two types admit, without letting one stand for another.

    null joins any type, an integer joins a float (JSON has one kind of number), records join field by field.
    """
    if one == other:
        return one
    if _is_null(one) or _is_null(other):
        return s.with_nullable(other if _is_null(one) else one)
    nullable = one.nullable or other.nullable
    match one, other:
        case s.Any(), _:
            return one
        case _, s.Any():
            return other
        case s.Scalar(), s.Scalar():
            non_finite = one.non_finite or other.non_finite
            if one.dtype == other.dtype:
                return dataclasses.replace(one, nullable=nullable, non_finite=non_finite)
            if {one.dtype, other.dtype} == {"int64", "float64"}:
                return s.Scalar("float64", nullable=nullable, non_finite=non_finite)
        case s.List(), s.List():
            return s.List(unify(one.item, other.item, path), nullable=nullable)
        case s.Tuple(), s.Tuple() if len(one.items) == len(other.items):
            pairs = zip(one.items, other.items, strict=True)
            return s.Tuple(tuple(unify(left, right, path) for left, right in pairs), nullable=nullable)
        case s.Choice(), s.Choice() if one.enum == other.enum and one.values == other.values:
            return s.with_nullable(one, nullable)
        case s.Record(), s.Record() if one.cls == other.cls:
            return _unify_records(one, other, path, nullable)
        case s.Tensor(), s.Tensor() if (one.dtype, len(one.shape)) == (other.dtype, len(other.shape)):
            shape = tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))
            return dataclasses.replace(one, shape=shape, non_finite=one.non_finite or other.non_finite)
    raise InvalidSignature(
        f"{path} holds values of different types",
        code="signature.mixed-types",
        problems=[Problem(path, f"{name(one)} and {name(other)}", "one type", "signature.mixed-types")],
        hint="give samples in which each list and column has one type",
    )


def _unify_records(one: s.Record, other: s.Record, path: str, nullable: bool) -> s.Record:
    mine = {field.name: field for field in one.fields}
    theirs = {field.name: field for field in other.fields}
    fields = []
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        if key in mine and key in theirs:
            kind = unify(mine[key].type, theirs[key].type, f"{path}.{key}")
            fields.append(s.Field(key, kind, mine[key].required and theirs[key].required))
        else:
            fields.append(dataclasses.replace(mine.get(key) or theirs[key], required=False))
    return s.Record(tuple(fields), nullable=nullable, cls=one.cls)


def _is_null(kind: s.Type) -> bool:
    return isinstance(kind, s.Scalar) and kind.dtype == "null"


def name(kind: s.Type) -> str:
    """Call a type by its short name: ``int64``, ``list``."""
    return kind.dtype if isinstance(kind, s.Scalar) else kind.kind


def enum_type(cls: type[Enum]) -> s.Choice:
    """Give the choice of an enum: the values of its members."""
    return s.Choice(tuple(member.value for member in cls), enum=class_name(cls))


def class_name(cls: type) -> str:
    """Name a class as ``module:qualname``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _numpy_array(value: Any, path: str) -> s.Type:
    from model_envelope.inference.arrays import array_type

    return array_type(value, path)


def _numpy_scalar(value: Any, path: str) -> s.Type:
    return type_of(value.item(), path) if value.dtype.kind not in "iuf" else _numpy_number(value)


def _numpy_number(value: Any) -> s.Scalar:
    return s.Scalar(str(value.dtype.name), non_finite=value.dtype.kind == "f" and not math.isfinite(float(value)))


def _torch_tensor(value: Any, path: str) -> s.Type:
    from model_envelope.inference.arrays import array_type

    return dataclasses.replace(array_type(value.detach().cpu().numpy(), path), flavor=s.Flavor.TORCH)


def _frame(value: Any, path: str) -> s.Type:
    from model_envelope.inference.frames import table_type

    return table_type(value, path)


def _series(value: Any, path: str) -> s.Type:
    from model_envelope.inference.frames import series_type

    return series_type(value, path)


_FOREIGN: Mapping[str, Callable[[Any, str], s.Type]] = {
    "numpy.ndarray": _numpy_array,
    "numpy.generic": _numpy_scalar,
    "pandas.DataFrame": _frame,
    "pandas.core.frame.DataFrame": _frame,
    "pandas.Series": _series,
    "pandas.core.series.Series": _series,
    "torch.Tensor": _torch_tensor,
}
"""Classes of libraries by dotted name: none of them is imported to recognise one."""
