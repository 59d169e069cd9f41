"""Which option of a union a value is for: by the class of a Python object, by the looks of a JSON value.

Neither is a validation. Packing has made sure that no two options of a union without tags admit the same JSON; what is
found here says which codec to ask, so that its problems name the place, and so that nested unions cost no more than
their payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import codec_for
from model_envelope.runtime.codec.values.choices import class_named
from model_envelope.runtime.codec.values.scalars import INTEGERS, scalars_of
from model_envelope.runtime.errors import Problems

Definitions = Mapping[str, s.Type]

LOOKS = 2
"""How many levels of a JSON value are looked at."""


def belongs(kind: s.Type, value: Any, definitions: Definitions) -> bool:
    """Tell whether a Python object is just what a type stands for: of its class, and so are its parts."""
    if value is None:
        return kind.nullable or isinstance(kind, s.Any) or (isinstance(kind, s.Scalar) and kind.dtype == "null")
    match kind:
        case s.Scalar():
            return _is_scalar(kind, value)
        case s.Choice():
            return not codec_problems(kind, value, definitions) and (
                isinstance(value, class_named(kind.enum)) if kind.enum else not isinstance(value, Enum)
            )
        case s.List():
            wanted = tuple if kind.variadic else list
            return type(value) is wanted and all(belongs(kind.item, item, definitions) for item in value)
        case s.Set():
            made = frozenset if kind.frozen else set
            return type(value) is made and all(belongs(kind.item, item, definitions) for item in value)
        case s.Tuple():
            return (
                type(value) is tuple
                and len(value) == len(kind.items)
                and all(belongs(item, one, definitions) for item, one in zip(kind.items, value, strict=True))
            )
        case s.Map():
            return isinstance(value, dict) and all(
                belongs(kind.key, key, definitions) and belongs(kind.value, item, definitions)
                for key, item in value.items()
            )
        case s.Record():
            return _is_record(kind, value, definitions)
        case s.Union():
            return any(belongs(option, value, definitions) for option in kind.options)
        case s.Reference():
            return belongs(definitions[kind.name], value, definitions)
        case s.Table() | s.Series() | s.Tensor():
            own = _library(value) == kind.flavor.value and _has_index(kind, value)
            return own and not codec_problems(kind, value, definitions)
    return True


def _is_scalar(kind: s.Scalar, value: Any) -> bool:
    if kind.dtype not in scalars_of(type(value)):
        return kind.dtype == "period" and not codec_problems(kind, value, {})
    if kind.dtype == "datetime":
        return (value.tzinfo is None) == (kind.timezone is None)
    return not codec_problems(kind, value, {})


def _is_record(kind: s.Record, value: Any, definitions: Definitions) -> bool:
    if kind.cls and kind.style is not s.Style.INTERVAL:
        return type(value) is class_named(kind.cls)
    if kind.style is s.Style.INTERVAL:
        return type(value).__name__ == "Interval"
    if type(value) is not dict:
        return False
    fields = {field.name: field for field in kind.fields}
    return (
        value.keys() <= fields.keys()
        and all(name in value for name, field in fields.items() if field.required)
        and all(belongs(fields[name].type, item, definitions) for name, item in value.items())
    )


def codec_problems(kind: s.Type, value: Any, definitions: Definitions) -> bool:
    """Tell whether a value cannot be written as a type."""
    problems = Problems()
    codec_for(kind, definitions).encode(value, "$", problems)
    return bool(problems)


def _has_index(kind: s.Type, value: Any) -> bool:
    """Tell whether a pandas object has an index that says something where its type has one, and only there."""
    if not isinstance(kind, s.Table | s.Series) or kind.flavor is not s.Flavor.PANDAS or not hasattr(value, "index"):
        return True
    from model_envelope.runtime.codec.tables.pandas import merely_counts

    return bool(kind.index) != merely_counts(value.index)


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def looks_like(kind: s.Type, value: Any, definitions: Definitions, depth: int = LOOKS) -> bool:
    """Tell whether a JSON value may be of a type, as far as its first levels show.

    Never false for a value that the type admits.
    """
    if isinstance(kind, s.Any) or (value is None and kind.nullable):
        return True
    match kind:
        case s.Scalar() | s.Choice():
            return _decodes(kind, value)
        case s.List() | s.Set():
            return type(value) is list and (
                depth == 0 or all(looks_like(kind.item, item, definitions, depth - 1) for item in value)
            )
        case s.Tuple():
            return (
                type(value) is list
                and len(value) == len(kind.items)
                and (
                    depth == 0
                    or all(
                        looks_like(item, one, definitions, depth - 1)
                        for item, one in zip(kind.items, value, strict=True)
                    )
                )
            )
        case s.Record():
            return type(value) is dict and _looks_like_record(kind, value, definitions, depth)
        case s.Map():
            return type(value) in {dict, list}
        case s.Union() if kind.tags:
            return type(value) is dict and value.get("type") in kind.tags
        case s.Union():
            return any(looks_like(option, value, definitions, depth) for option in kind.options)
        case s.Reference():
            return looks_like(definitions[kind.name], value, definitions, depth)
        case s.Table():
            return type(value) is dict or _looks_like_rows(kind, value)
        case s.Series() if kind.index:
            return looks_like(series_table(kind), value, definitions, depth)
        case s.Series():
            return type(value) is list
        case s.Tensor():
            return type(value) is dict if kind.layout and type(value) is dict else _looks_like_array(kind, value)


def series_table(kind: s.Series) -> s.Table:
    """Give the table that a series with an index travels as."""
    from model_envelope.runtime.codec.tables.pandas import value_name

    return s.Table((s.Column(value_name(kind), kind.item, kind.storage),), kind.index, kind.flavor)


def _decodes(kind: s.Scalar | s.Choice, value: Any) -> bool:
    if isinstance(kind, s.Choice):
        return any(type(value) is type(known) and value == known for known in kind.values)
    if kind.dtype in INTEGERS and type(value) is not int:
        return False
    problems = Problems()
    codec_for(kind, {}).decode(value, "$", problems)
    return not problems


def _looks_like_record(kind: s.Record, value: dict[str, Any], definitions: Definitions, depth: int) -> bool:
    fields = {field.name: field for field in kind.fields}
    if not value.keys() <= fields.keys() or any(field.required and name not in value for name, field in fields.items()):
        return False
    return depth == 0 or all(
        looks_like(fields[name].type, item, definitions, depth - 1) for name, item in value.items()
    )


def _looks_like_rows(kind: s.Table, value: Any) -> bool:
    if type(value) is not list or not all(type(row) is dict for row in value):
        return False
    names = {column.name for column in (*kind.index, *kind.columns)}
    return not value or value[0].keys() == names


def _looks_like_array(kind: s.Tensor, value: Any) -> bool:
    for size in kind.shape:
        if type(value) is not list or (size is not None and len(value) != size):
            return False
        if not value:
            return True
        value = value[0]
    return type(value) is not dict and (type(value) is not list or kind.dtype.startswith("complex"))
