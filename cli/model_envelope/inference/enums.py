"""Enums and literals as choices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from uuid import UUID

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.values.scalars import INTEGERS, ScalarCodec, scalars_of
from model_envelope.runtime.errors import InvalidSignature, Problems

BITS = 8
"""Of how many bits a flag may be: every combination is one value of the choice."""

_SPELLED = (bytes, date, time, datetime, timedelta, Decimal, UUID)


def enum_choice(cls: type[Enum], path: str = "$") -> s.Choice:
    """Give the choice of an enum: the values of its members; where JSON cannot say those, their names.

    A flag's values are those of all combinations.

    Raises :class:`InvalidSignature` (``signature.enum``) for an enum without members or a flag of many bits.
    """
    name = f"{cls.__module__}:{cls.__qualname__}"
    members = list(cls)
    if not members:
        raise _refused(path, name, "has no members", "give it at least one member")
    if issubclass(cls, Flag):
        return s.Choice(_combinations(cls, path), enum=name)
    values = [member.value for member in members]
    found = _choice(values)
    if found is None:
        return s.Choice(tuple(member.name for member in members), enum=name)
    return s.Choice(found.values, enum=name, dtype=found.dtype)


def literal_choices(values: Iterable[Any], path: str) -> tuple[s.Choice, ...]:
    """Give the choices that literal values make: plain ones, members of each enum, bytes."""
    plain: list[Any] = []
    spelled: list[Any] = []
    members: dict[type[Enum], list[Any]] = {}
    for value in values:
        if isinstance(value, Enum):
            members.setdefault(type(value), []).append(value)
        else:
            (spelled if isinstance(value, _SPELLED) else plain).append(value)
    found = [choice for group in (plain, spelled) if group and (choice := _choice(group))]
    for cls, chosen in members.items():
        whole = enum_choice(cls, path)
        by_name = whole.dtype is None and whole.values == tuple(member.name for member in cls)
        codes = _choice([member.name if by_name else member.value for member in chosen])
        found.append(s.Choice(codes.values if codes else (), enum=whole.enum, dtype=whole.dtype))
    return tuple(found)


def _choice(values: list[Any]) -> s.Choice | None:
    """Give the choice of these values; None where JSON cannot say them, or not all in one way."""
    if all(_is_plain(value) for value in values):
        return s.Choice(tuple(values))
    classes = {type(value) for value in values}
    if len(classes) != 1 or not classes <= set(_SPELLED):
        return None
    zoned = "" if getattr(values[0], "tzinfo", None) is not None else None
    dtype = scalars_of(classes.pop())[0]
    if zoned is not None and dtype == "datetime":
        return None
    codec, problems = ScalarCodec(s.Scalar(dtype)), Problems()
    written = tuple(codec.encode(value, "$", problems) for value in values)
    return None if problems else s.Choice(written, dtype=dtype)


def _is_plain(value: Any) -> bool:
    if type(value) is int:
        return INTEGERS["int64"][0] <= value <= INTEGERS["int64"][1]
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in {str, bool}


def _combinations(cls: type[Flag], path: str) -> tuple[int, ...]:
    bits = [member.value for member in cls]
    if len(bits) > BITS:
        name = f"{cls.__module__}:{cls.__qualname__}"
        raise _refused(path, name, f"is a flag of {len(bits)} bits", f"take its integer value, or at most {BITS} bits")
    found = {0}
    for bit in bits:
        found |= {value | bit for value in found}
    return tuple(sorted(found))


def _refused(path: str, name: str, what: str, hint: str) -> InvalidSignature:
    return InvalidSignature(
        f"{path} is the enum `{name}`, which {what}: a signature cannot say it", code="signature.enum", hint=hint
    )
