"""Types from annotations: what the author of a method said about it. Recognised with typing_inspect where it serves."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import typing
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import typing_inspect

from model_envelope.inference.values import class_name, enum_type
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature

_SCALARS: Mapping[Any, s.Scalar] = {
    None: s.Scalar("null", nullable=True),
    type(None): s.Scalar("null", nullable=True),
    bool: s.Scalar("bool"),
    int: s.Scalar("int64"),
    float: s.Scalar("float64"),
    str: s.Scalar("string"),
    bytes: s.Scalar("bytes"),
    Decimal: s.Scalar("decimal"),
    UUID: s.Scalar("uuid"),
    date: s.Scalar("date"),
    time: s.Scalar("time"),
    datetime: s.Scalar("datetime"),
    timedelta: s.Scalar("timedelta"),
}

_SEQUENCES = frozenset({list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection})
_MAPPINGS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})


def hints_of(function: Any) -> Mapping[str, Any]:
    """Give the resolved annotations of a function; nothing where they cannot be resolved.

    Names that exist only for a type checker cannot be resolved at run time; samples then say what the type is.
    """
    target = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError, AttributeError):
        return {}


def type_from(annotation: Any, path: str) -> s.Type | None:
    """Give the type that an annotation says, or None where samples have to say it (a DataFrame, an array, Any).

    Raises :class:`InvalidSignature` (``signature.unknown-type``) for a class that a signature cannot say.
    """
    if annotation is Any or annotation is inspect.Parameter.empty:
        return None
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if isinstance(annotation, str) or typing_inspect.is_typevar(annotation):
        return None
    if typing_inspect.is_new_type(annotation):
        return type_from(annotation.__supertype__, path)
    if typing.get_origin(annotation) is typing.Annotated:
        return type_from(typing_inspect.get_args(annotation)[0], path)
    if typing_inspect.is_literal_type(annotation):
        values = typing_inspect.get_args(annotation)
        plain = tuple(value for value in values if value is not None)
        return s.Choice(plain, nullable=len(plain) < len(values))
    if typing_inspect.is_union_type(annotation):
        return _union(annotation, path)
    if typing_inspect.is_tuple_type(annotation):
        return _tuple(annotation, path)
    origin = typing_inspect.get_origin(annotation) or annotation
    arguments = typing_inspect.get_args(annotation)
    if origin in _SEQUENCES:
        item = type_from(arguments[0], path) if arguments else None
        return s.List(item) if item else None
    if origin in {set, frozenset, collections.abc.Set}:
        item = type_from(arguments[0], path) if arguments else None
        return s.Set(item, frozen=origin is frozenset) if item else None
    if origin in _MAPPINGS:
        key, value = (type_from(argument, path) for argument in arguments) if arguments else (None, None)
        return s.Map(key, value) if key and value else None
    if isinstance(origin, type):
        return _class(origin, path)
    return None


def _union(annotation: Any, path: str) -> s.Type | None:
    options = [option for option in typing_inspect.get_args(annotation) if option is not type(None)]
    nullable = len(options) < len(typing_inspect.get_args(annotation))
    kinds = [type_from(option, path) for option in options]
    if any(kind is None for kind in kinds):
        return None
    known = tuple(kind for kind in kinds if kind is not None)
    return s.with_nullable(known[0], nullable) if len(known) == 1 else s.Union(known, nullable=nullable)


def _tuple(annotation: Any, path: str) -> s.Type | None:
    arguments = typing_inspect.get_args(annotation)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = type_from(arguments[0], path)
        return s.List(item) if item else None
    kinds = tuple(type_from(argument, path) for argument in arguments)
    known = tuple(kind for kind in kinds if kind is not None)
    return s.Tuple(known) if known and len(known) == len(kinds) else None


def _class(cls: type, path: str) -> s.Type | None:
    if issubclass(cls, Enum):
        return enum_type(cls)
    if typing.is_typeddict(cls):
        required: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
        return _record(cls, {name: name in required for name in cls.__annotations__}, path, named=False)
    if dataclasses.is_dataclass(cls):
        plain = {
            field.name: field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            for field in dataclasses.fields(cls)
        }
        return _record(cls, plain, path, named=True)
    if cls.__module__.partition(".")[0] in {"pandas", "numpy", "polars", "pyarrow", "torch", "scipy"}:
        return None
    if cls in {list, dict, set, tuple, frozenset, object}:
        return None
    raise InvalidSignature(
        f"{path} is annotated as `{cls.__module__}.{cls.__qualname__}`, and a signature has no type for it",
        code="signature.unknown-type",
        hint="annotate with plain types, dataclasses, TypedDicts, NumPy arrays or pandas tables",
    )


def _record(cls: type, fields: Mapping[str, bool], path: str, *, named: bool) -> s.Type | None:
    hints = typing.get_type_hints(cls)
    found = []
    for name, required in fields.items():
        kind = type_from(hints[name], f"{path}.{name}")
        if kind is None:
            return None
        found.append(s.Field(name, kind, required))
    return s.Record(tuple(found), cls=class_name(cls) if named else None)
