"""The one type of several values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import under
from model_envelope.runtime.errors import InvalidSignature, Problem


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

    null joins any type, an integer joins a float (JSON has one kind of number), tuples of one type of item and of
    different lengths are of any length, records join field by field, tables column by column. An empty list or dict,
    of which nothing is known, joins any other.

    Raises :class:`InvalidSignature` (``signature.mixed-types``) where there is no such type.
    """
    if one == other:
        return one
    if _is_null(one) or _is_null(other):
        return s.with_nullable(other if _is_null(one) else one)
    nullable = one.nullable or other.nullable
    if isinstance(one, s.Any):
        return other
    if isinstance(other, s.Any):
        return one
    match one, other:
        case s.Scalar(), s.Scalar():
            found: s.Type | None = _unify_scalars(one, other, nullable=nullable)
        case s.Tensor(), s.Tensor():
            found = _unify_tensors(one, other, nullable=nullable)
        case s.Choice(), s.Choice() if dataclasses.replace(one, nullable=nullable) == dataclasses.replace(
            other, nullable=nullable
        ):
            found = s.with_nullable(one, nullable)
        case s.Table(), s.Table():
            found = _unify_tables(one, other, path, nullable=nullable)
        case s.Series(), s.Series() if (one.storage, one.flavor, one.cls) == (other.storage, other.flavor, other.cls):
            item = unify(one.item, other.item, path)
            found = dataclasses.replace(one, item=item, nullable=nullable, name=_agreed(one.name, other.name))
        case _:
            found = _unify_containers(one, other, path, nullable=nullable)
    if found is None:
        raise InvalidSignature(
            f"{path} holds values of different types",
            code="signature.mixed-types",
            problems=[Problem(path, f"{name(one)} and {name(other)}", "one type", "signature.mixed-types")],
            hint="give samples in which each list and column has one type",
        )
    return found


def _unify_containers(one: s.Type, other: s.Type, path: str, *, nullable: bool) -> s.Type | None:
    match one, other:
        case s.List(), s.List() if one.variadic == other.variadic:
            return s.List(unify(one.item, other.item, f"{path}[*]"), nullable=nullable, variadic=one.variadic)
        case s.Set(), s.Set() if one.frozen == other.frozen:
            return s.Set(unify(one.item, other.item, f"{path}[*]"), nullable=nullable, frozen=one.frozen)
        case s.Tuple(), s.Tuple() if len(one.items) == len(other.items):
            pairs = enumerate(zip(one.items, other.items, strict=True))
            return s.Tuple(tuple(unify(left, right, f"{path}[{at}]") for at, (left, right) in pairs), nullable=nullable)
        case s.Tuple(), s.Tuple():
            item = unify_all([*one.items, *other.items], f"{path}[*]")
            return s.List(item, nullable=nullable, variadic=True)
        case (s.Tuple(), s.List(variadic=True)) | (s.List(variadic=True), s.Tuple()):
            rows, fixed = (one, other) if isinstance(one, s.List) else (other, one)
            assert isinstance(rows, s.List) and isinstance(fixed, s.Tuple)  # noqa: PT018
            item = unify_all([rows.item, *fixed.items], f"{path}[*]")
            return s.List(item, nullable=nullable, variadic=True)
        case s.Map(), s.Map():
            key, value = unify(one.key, other.key, f"{path}.keys"), unify(one.value, other.value, f"{path}[*]")
            return s.Map(key, value, nullable=nullable)
        case s.Record(), s.Record() if (one.cls, one.style) == (other.cls, other.style):
            return _unify_records(one, other, path, nullable=nullable)
    return None


def _unify_scalars(one: s.Scalar, other: s.Scalar, *, nullable: bool) -> s.Scalar | None:
    non_finite = one.non_finite or other.non_finite
    if dataclasses.replace(one, nullable=nullable, non_finite=non_finite) == dataclasses.replace(
        other, nullable=nullable, non_finite=non_finite
    ):
        return dataclasses.replace(one, nullable=nullable, non_finite=non_finite)
    if {one.dtype, other.dtype} == {"int64", "float64"}:
        return s.Scalar("float64", nullable=nullable, non_finite=non_finite)
    return None


def _unify_tensors(one: s.Tensor, other: s.Tensor, *, nullable: bool) -> s.Tensor | None:
    if len(one.shape) != len(other.shape):
        return None
    shape = tuple(left if left == right else None for left, right in zip(one.shape, other.shape, strict=True))
    both: dict[str, Any] = {
        "shape": shape,
        "nullable": nullable,
        "non_finite": one.non_finite or other.non_finite,
        "storage": _wider(one.storage, other.storage),
    }
    left, right = dataclasses.replace(one, **both), dataclasses.replace(other, **both)
    return left if left == right else None


def _wider(one: str | None, other: str | None) -> str | None:
    """Give the wider of two texts of fixed width (``<U5``); for all other storages the first."""
    if one and other and one[:2] == other[:2] and one[2:].isdigit() and other[2:].isdigit():
        return max(one, other, key=lambda text: int(text[2:]))
    return one if one == other else f"{one} and {other}"


def _unify_records(one: s.Record, other: s.Record, path: str, *, nullable: bool) -> s.Record:
    mine = {field.name: field for field in one.fields}
    theirs = {field.name: field for field in other.fields}
    fields = []
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        if key in mine and key in theirs:
            kind = unify(mine[key].type, theirs[key].type, under(path, key))
            fields.append(s.Field(key, kind, mine[key].required and theirs[key].required))
        else:
            fields.append(dataclasses.replace(mine.get(key) or theirs[key], required=False))
    return dataclasses.replace(one, fields=tuple(fields), nullable=nullable)


def _unify_tables(one: s.Table, other: s.Table, path: str, *, nullable: bool) -> s.Table | None:
    if [(column.name, column.storage) for column in (*one.index, *one.columns)] != [
        (column.name, column.storage) for column in (*other.index, *other.columns)
    ]:
        return None
    joined: dict[str, Any] = {
        "nullable": nullable,
        "index": _unify_columns(one.index, other.index, path),
        "columns": _unify_columns(one.columns, other.columns, path),
    }
    left, right = dataclasses.replace(one, **joined), dataclasses.replace(other, **joined)
    return left if left == right else None


def _unify_columns(one: Sequence[s.Column], other: Sequence[s.Column], path: str) -> tuple[s.Column, ...]:
    return tuple(
        dataclasses.replace(left, type=unify(left.type, right.type, under(path, left.name)))
        for left, right in zip(one, other, strict=True)
    )


def _agreed(one: str | None, other: str | None) -> str | None:
    return one if one == other else None


def _is_null(kind: s.Type) -> bool:
    return isinstance(kind, s.Scalar) and kind.dtype == "null"


def name(kind: s.Type) -> str:
    """Call a type by its short name: ``int64``, ``list``."""
    return kind.dtype if isinstance(kind, s.Scalar) else kind.kind
