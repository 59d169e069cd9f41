"""The type of a value, found by looking at all of it. Classes of libraries are known by name: none is imported."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from importlib import import_module
from types import ModuleType
from typing import Any
from uuid import UUID

from model_envelope.inference.plain_classes import constructor_of, how_to_register, made_anew
from model_envelope.inference.unification import name, unify, unify_all
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import codec_for, describe, under
from model_envelope.runtime.codec.values.records import alias_of
from model_envelope.runtime.codec.values.scalars import INTEGERS
from model_envelope.runtime.errors import InvalidSignature, Problem, Problems
from model_envelope.runtime.registry import registration_of

__all__ = ["class_name", "enum_type", "name", "type_of", "unify", "unify_all"]

_PLAIN: Mapping[type, str] = {
    bool: "bool",
    str: "string",
    bytes: "bytes",
    bytearray: "bytes",
    UUID: "uuid",
    date: "date",
    time: "time",
    timedelta: "timedelta",
}


def type_of(value: Any, path: str = "$") -> s.Type:
    """Find the type of a value; every item of a list and every cell of a table is read.

    Raises :class:`InvalidSignature`: ``signature.unknown-type`` for a class that a signature cannot say,
    ``signature.mixed-types`` where items of one list or column have types that do not go together,
    ``signature.too-deep`` for lists that are nested without end.
    """
    try:
        return _type_of(value, path)
    except RecursionError:
        raise InvalidSignature(
            f"{path} is nested too deeply, or contains itself",
            code="signature.too-deep",
            hint="give flatter samples; a type that contains itself needs an annotation",
        ) from None


def _type_of(value: Any, path: str) -> s.Type:
    cls = type(value)
    if value is None:
        return s.Scalar("null", nullable=True)
    if cls in _PLAIN:
        return s.Scalar(_PLAIN[cls])
    if (registration := registration_of(cls)) is not None:
        return s.Record(_fields(registration.held(value), path), cls=class_name(cls), style=s.Style.REGISTERED)
    if isinstance(value, Enum):
        return enum_type(cls)
    for base in cls.__mro__:
        if home := _FOREIGN.get(_dotted(base)):
            find: Callable[[Any, str], s.Type] = getattr(import_module(f"{__package__}.{home[0]}"), home[1])
            return find(value, path)
    if isinstance(value, int):
        return _integer(value, path)
    if isinstance(value, float):
        return s.Scalar("float64", non_finite=not math.isfinite(value))
    if isinstance(value, complex):
        return s.Scalar("complex128", non_finite=not (math.isfinite(value.real) and math.isfinite(value.imag)))
    if isinstance(value, Decimal):
        return s.Scalar("decimal", non_finite=not value.is_finite())
    if isinstance(value, str):
        return s.Scalar("string")
    if isinstance(value, datetime):
        return s.Scalar("datetime", timezone=None if value.tzinfo is None else "")
    return _container(value, path) or _pandas_scalar(value, path) or _unknown(value, path)


def _container(value: Any, path: str) -> s.Type | None:
    style = style_of(type(value))
    if style is not None and (items := _held(value, style)) is not None:
        return s.Record(_fields(items, path), cls=class_name(type(value)), style=style)
    if isinstance(value, dict):
        return _mapping(value, path)
    if isinstance(value, list):
        return s.List(unify_all([_type_of(item, f"{path}[{at}]") for at, item in enumerate(value)], path))
    if isinstance(value, tuple):
        return s.Tuple(tuple(_type_of(item, f"{path}[{at}]") for at, item in enumerate(value)))
    if isinstance(value, set | frozenset):
        kinds = [_type_of(item, f"{path}[*]") for item in sorted(value, key=repr)]
        return s.Set(unify_all(kinds, path), frozen=isinstance(value, frozenset))
    return None


def style_of(cls: type) -> s.Style | None:
    """Tell how the class of a record is made; None where it is none."""
    if dataclasses.is_dataclass(cls):
        return s.Style.DATACLASS
    if hasattr(cls, "__attrs_attrs__"):
        return s.Style.ATTRS
    if any(_dotted(base) == "pydantic.main.BaseModel" for base in cls.__mro__[1:]):
        return s.Style.PYDANTIC
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return s.Style.NAMEDTUPLE
    return s.Style.OBJECT if constructor_of(cls) is not None else None


def _held(value: Any, style: s.Style) -> Mapping[str, Any] | None:
    """Give what an instance holds, by the names that its class is made with; None where it cannot be made of it."""
    if style is s.Style.OBJECT:
        found = made_anew(value)
        return found[0] if found and _written(found[0]) == _written(found[1]) else None
    return {field: getattr(value, attribute) for field, attribute in _attributes(type(value), style).items()}


def _written(items: Mapping[str, Any]) -> list[Any]:
    """Write values as JSON, to compare them whatever library they are of."""
    kinds = [_type_of(item, "$") for item in items.values()]
    return [codec_for(kind, {}).encode(item, "$", Problems()) for kind, item in zip(kinds, items.values(), strict=True)]


def _attributes(cls: Any, style: s.Style) -> Mapping[str, str]:
    """Give the name of each field, as the class is made with it, and the attribute that holds it."""
    match style:
        case s.Style.DATACLASS:
            return {field.name: field.name for field in dataclasses.fields(cls)}
        case s.Style.ATTRS:
            return {field.alias or field.name: field.name for field in cls.__attrs_attrs__}
        case s.Style.PYDANTIC:
            fields = getattr(cls, "model_fields", None) or cls.__fields__
            return {alias_of(field, name): name for name, field in fields.items()}
    return {field: field for field in cls._fields}


def _integer(value: int, path: str) -> s.Scalar:
    least, most = INTEGERS["int64"]
    if not least <= value <= most:
        found, expected = f"an integer of {value.bit_length()} bits", "at most 64 bits, one of them for the sign"
        raise InvalidSignature(
            f"{path} is {found}, expected {expected}",
            code="signature.integer-range",
            problems=[Problem(path, found, expected, "signature.integer-range")],
            hint="give such numbers as strings or decimals, or as numpy.uint64",
        )
    return s.Scalar("int64")


def _mapping(value: dict[Any, Any], path: str) -> s.Type:
    if all(isinstance(key, str) for key in value):
        return s.Record(_fields(value, path))
    keys = unify_all([_type_of(key, under(path, key)) for key in value], f"{path}.keys")
    return s.Map(keys, unify_all([_type_of(item, under(path, key)) for key, item in value.items()], path))


def _fields(items: Mapping[str, Any], path: str) -> tuple[s.Field, ...]:
    return tuple(s.Field(field, _type_of(item, under(path, field))) for field, item in items.items())


def enum_type(cls: type[Enum]) -> s.Choice:
    """Give the choice of an enum: the values of its members."""
    return s.Choice(tuple(member.value for member in cls), enum=class_name(cls))


def class_name(cls: type) -> str:
    """Name a class as ``module:qualname``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _pandas_scalar(value: Any, path: str) -> s.Type | None:
    if type(value).__module__.partition(".")[0] != "pandas":
        return None
    if type(value).__name__ == "Period":
        return s.Scalar("period", unit=value.freqstr)
    if type(value).__name__ == "Interval":
        ends = _type_of(value.left, f"{path}.left"), _type_of(value.right, f"{path}.right")
        end = unify(*ends, path)
        return s.Record((s.Field("left", end), s.Field("right", end)), cls=value.closed, style=s.Style.INTERVAL)
    return None


def _unknown(value: Any, path: str) -> s.Type:
    """Say that a class is unknown, and which few lines would make it known."""
    cls = type(value)
    found = describe(value)
    raise InvalidSignature(
        f"{path} is {found}, and a signature has no type for it",
        code="signature.unknown-type",
        problems=[Problem(path, found, "a value that JSON can say", "signature.unknown-type")],
        hint=_HINTS.get(_dotted(cls), "") or _what_to_do(value),
    )


def _what_to_do(value: Any) -> str:
    if type(value).__module__ == "builtins" or isinstance(value, type | ModuleType) or callable(value):
        return "let the method take and give numbers, strings, lists, dicts, dataclasses, arrays or tables"
    return how_to_register(type(value), value)


_FOREIGN: Mapping[str, tuple[str, str]] = {
    "numpy.ndarray": ("arrays", "array_type"),
    "numpy.generic": ("arrays", "scalar_type"),
    "scipy.sparse._base._spbase": ("arrays", "sparse_type"),
    "scipy.sparse._base.spmatrix": ("arrays", "sparse_type"),
    "torch.Tensor": ("arrays", "tensor_type"),
    "pandas.DataFrame": ("frames", "table_type"),
    "pandas.core.frame.DataFrame": ("frames", "table_type"),
    "pandas.Series": ("frames", "series_type"),
    "pandas.core.series.Series": ("frames", "series_type"),
    "polars.dataframe.frame.DataFrame": ("polars_frames", "table_type"),
    "polars.series.series.Series": ("polars_frames", "series_type"),
    "pyarrow.lib.Table": ("arrow_tables", "table_type"),
    "pyarrow.lib.RecordBatch": ("arrow_tables", "table_type"),
    "pyarrow.lib.Array": ("arrow_tables", "series_type"),
    "pyarrow.lib.ChunkedArray": ("arrow_tables", "series_type"),
}
"""Where the type of a library's class is found, by the class' dotted name or that of one it is derived from."""

_HINTS: Mapping[str, str] = {
    "polars.lazyframe.frame.LazyFrame": "give the data frame that it makes: `frame.collect()`",
}
