"""What every form of a signature has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.reading import EnvelopeFiles


@dataclass(frozen=True)
class Written:
    """A signature in one form, and what that form could not say, one line each."""

    document: Any
    lost: tuple[str, ...] = ()


@dataclass
class Losses:
    """Collects what a form cannot say, each reason once with all the places that it holds for."""

    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, place: str) -> None:
        """Note that something of a place is lost."""
        noted = self.places.setdefault(reason, [])
        if place not in noted:
            noted.append(place)

    def lines(self) -> tuple[str, ...]:
        """Give one line a reason."""
        return tuple(f"{reason}: {_some(places)}" for reason, places in self.places.items())


def _some(places: list[str]) -> str:
    shown = ", ".join(f"`{place}`" for place in places[:8])
    return f"{shown} and {len(places) - 8} more" if len(places) > 8 else shown


def resolve(kind: s.Type, definitions: Mapping[str, s.Type], seen: frozenset[str]) -> tuple[s.Type, frozenset[str]]:
    """Put what a reference stands for in its place; :class:`~signature.Any` where it contains itself."""
    while isinstance(kind, s.Reference):
        if kind.name in seen:
            return s.Any(), seen
        seen |= {kind.name}
        kind = s.with_nullable(definitions[kind.name], kind.nullable or definitions[kind.name].nullable)
    return kind, seen


def one_method(envelope: EnvelopeFiles, wanted: str | None, losses: Losses) -> str:
    """Choose the method of a form that knows one only: the one that is wanted, else the first."""
    names = list(envelope.signature.methods)
    chosen = wanted or names[0]
    for name in names:
        if name != chosen:
            losses.add("has one method; these are left out, and `--method` writes them", name)
    return chosen


def value_type(kind: s.Choice) -> s.Scalar:
    """Give the scalar type of the values of a choice."""
    if kind.dtype is not None:
        return s.Scalar(kind.dtype)
    types = {type(value) for value in kind.values}
    if types <= {int}:
        return s.Scalar("int64")
    if types <= {int, float}:
        return s.Scalar("float64")
    return s.Scalar("bool") if types == {bool} else s.Scalar("string")
