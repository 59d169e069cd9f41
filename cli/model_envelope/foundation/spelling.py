"""Spells a signature as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from model_envelope.runtime import signature as s

SHOWN = 6
"""How many values of a choice are spelled out."""


def method(name: str, found: s.Method) -> str:
    """Give the head of a method: ``predict(X, k=3)``."""
    words = []
    marked = False
    for parameter in found.parameters:
        if parameter.kind is s.Kind.KEYWORD and not marked:
            words.append("*")
        marked = marked or parameter.kind in {s.Kind.KEYWORD, s.Kind.VARIADIC}
        stars = {s.Kind.VARIADIC: "*", s.Kind.VARIADIC_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.required or stars else f"={json.dumps(parameter.default, ensure_ascii=False)}"
        words.append(f"{stars}{parameter.name}{default}")
    return f"{'async ' if found.is_async else ''}{name}({', '.join(words)})"


def kind(found: s.Type) -> str:
    """Give a type in a few words; what is inside it is :func:`inside`."""
    words = _words(found)
    said = isinstance(found, s.Any) or (isinstance(found, s.Scalar) and found.dtype == "null")
    return f"{words}, or null" if found.nullable and not said else words


def inside(found: s.Type) -> Iterator[tuple[str, s.Type]]:
    """Give the named parts of a type that are worth a line each."""
    match found:
        case s.Table():
            yield from ((f"{column.name} (index)", column.type) for column in found.index)
            yield from ((column.name, column.type) for column in found.columns)
        case s.Record():
            yield from ((part.name if part.required else f"{part.name}?", part.type) for part in found.fields)
        case s.List() | s.Set() if next(inside(found.item), None):
            yield "each", found.item
        case s.Map() if next(inside(found.value), None):
            yield "each value", found.value
        case s.Tuple() if any(next(inside(item), None) for item in found.items):
            yield from ((str(at), item) for at, item in enumerate(found.items))
        case s.Union() if any(next(inside(option), None) for option in found.options):
            yield from (("either" if at == 0 else "or", option) for at, option in enumerate(found.options))


def _words(found: s.Type) -> str:
    match found:
        case s.Scalar():
            if found.timezone == "":
                return f"{found.dtype} with any offset"
            return f"{found.dtype} in {found.timezone}" if found.timezone else found.dtype
        case s.Choice():
            return _choice(found)
        case s.List():
            return f"list of {kind(found.item)}"
        case s.Set():
            return f"set of {kind(found.item)}"
        case s.Tuple():
            return f"tuple of {', '.join(kind(item) for item in found.items)}" if found.items else "empty tuple"
        case s.Map():
            return f"map from {kind(found.key)} to {kind(found.value)}"
        case s.Record() if found.style is s.Style.INTERVAL:
            return f"interval of {kind(found.fields[0].type)}"
        case s.Record():
            return f"{found.cls.rpartition(':')[2] if found.cls else 'object'} of {_count(len(found.fields), 'field')}"
        case s.Union():
            return " or ".join(kind(option) for option in found.options)
        case s.Table():
            return f"{found.flavor.value} table of {_count(len(found.columns), 'column')}"
        case s.Series():
            return f"{found.flavor.value} series of {kind(found.item)}"
        case s.Tensor():
            sizes = (
                "n" if size is None and at == found.batch else "any" if size is None else str(size)
                for at, size in enumerate(found.shape)
            )
            return f"{found.flavor.value} {found.dtype}[{', '.join(sizes)}]"
        case s.Reference():
            return found.name
        case s.Any():
            return "any JSON"


def _choice(found: s.Choice) -> str:
    shown: list[Any] = [json.dumps(value, ensure_ascii=False) for value in found.values[:SHOWN]]
    more = len(found.values) - len(shown)
    return f"one of {', '.join(shown)}{f' and {more} more' if more > 0 else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
