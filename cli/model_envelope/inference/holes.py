"""Places in an annotated type that only samples can fill: a DataFrame's columns, an array's shape, whether NaN occurs.

Reading annotations gives a type with :class:`Hole` in it. :class:`Filling` walks samples along that type, notes what
stands at each hole, and then gives the type without holes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import Any

from model_envelope.inference.overlaps import with_tags
from model_envelope.inference.values import type_of, unify_all
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import codec_for, describe
from model_envelope.runtime.codec.values.belonging import belongs, looks_like
from model_envelope.runtime.codec.values.records import ABSENT, maker_of
from model_envelope.runtime.codec.values.scalars import NON_FINITE, plain
from model_envelope.runtime.errors import InvalidSignature, Problem, Problems

_numbers = count(1)


class NoSample(Exception):
    """A hole stands where no sample has anything, and it has no type of its own."""


@dataclass(frozen=True)
class Rule:
    """What may stand at a hole, and what type it then has.

    ``fallback`` is the type without samples, None where there is none. ``make`` turns a JSON sample into the object
    that the annotation names.
    """

    expected: str
    fallback: s.Type | None
    accepts: Callable[[Any], bool] = lambda _value: True
    narrow: Callable[[Sequence[Any], str], s.Type] | None = None
    make: Callable[[Any], Any] = lambda value: value
    refusal: InvalidSignature | None = None
    """Why nothing can stand here at all."""


@dataclass(frozen=True)
class Hole(s.Any):
    """A place that samples fill."""

    nullable: bool = False
    rule: Rule = Rule("anything", s.Any())
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True)
class PythonDefault:
    """A default that is written as JSON once its type is known."""

    value: Any


def float_hole() -> Hole:
    """Give the hole of a float: samples tell whether NaN and the infinities occur."""
    return Hole(rule=Rule("a number", s.Scalar("float64"), _is_number, _non_finite("float64")))


def complex_hole() -> Hole:
    """Give the hole of a complex number."""
    return Hole(rule=Rule("a complex number", s.Scalar("complex128"), _is_complex, _non_finite("complex128")))


def decimal_hole() -> Hole:
    """Give the hole of a Decimal, which may be NaN too."""
    accepts = lambda value: isinstance(value, Decimal)  # noqa: E731  beside its like
    return Hole(rule=Rule("a Decimal", s.Scalar("decimal"), accepts, _non_finite("decimal")))


def _is_number(value: Any) -> bool:
    return isinstance(plain(value), int | float) and not isinstance(value, bool)


def _is_complex(value: Any) -> bool:
    return isinstance(plain(value), int | float | complex) and not isinstance(value, bool)


def _non_finite(dtype: str) -> Callable[[Sequence[Any], str], s.Type]:
    return lambda values, _path: s.Scalar(dtype, non_finite=any(_is_non_finite(plain(value)) for value in values))


def _is_non_finite(value: Any) -> bool:
    match value:
        case float():
            return not math.isfinite(value)
        case complex():
            return not (math.isfinite(value.real) and math.isfinite(value.imag))
        case Decimal():
            return not value.is_finite()
        case list():
            return any(map(_is_non_finite, value))
    return isinstance(value, str) and value in NON_FINITE


def holes_of(kind: s.Type) -> list[Hole]:
    """List the holes of a type that samples only narrow; references are not followed."""
    if isinstance(kind, Hole):
        return [kind] if kind.rule.narrow else []
    return [hole for part in parts_of(kind) for hole in holes_of(part)]


def parts_of(kind: s.Type) -> tuple[s.Type, ...]:
    """List the types directly within a type."""
    match kind:
        case s.List() | s.Set():
            return (kind.item,)
        case s.Tuple():
            return kind.items
        case s.Map():
            return (kind.key, kind.value)
        case s.Record():
            return tuple(item.type for item in kind.fields)
        case s.Union():
            return kind.options
    return ()


class Filling:
    """Fills the holes of types that share ``definitions``, from samples that are Python objects or JSON values."""

    def __init__(self, definitions: Mapping[str, s.Type], *, is_json: bool = False) -> None:
        self.definitions = definitions
        self.is_json = is_json
        self.found: dict[int, list[tuple[Any, str]]] = {}
        self.broken: dict[str, Exception] = {}

    def see_default(self, kind: s.Type, value: Any, path: str) -> None:
        """Note what a default has: it may be NaN, but it does not describe what a DataFrame is."""
        beside = Filling(self.definitions)
        beside.see(kind, value, path)
        narrowing = {hole.number for part in (kind, *self.definitions.values()) for hole in holes_of(part)}
        for number in narrowing & beside.found.keys():
            self.found.setdefault(number, []).extend(beside.found[number])

    def see(self, kind: s.Type, value: Any, path: str) -> None:
        """Note what a sample has at the holes of a type. What does not fit is left for the codec to find."""
        if isinstance(kind, Hole):
            if value is not None or kind.rule.fallback == s.Any():
                self.found.setdefault(kind.number, []).append((value, path))
            return
        if value is None:
            return
        match kind:
            case s.List() | s.Set():
                for at, item in enumerate(_items(value)):
                    self.see(kind.item, item, f"{path}[{at}]")
            case s.Tuple():
                for at, (item, one) in enumerate(zip(kind.items, _items(value), strict=False)):
                    self.see(item, one, f"{path}[{at}]")
            case s.Map():
                for key, item in _pairs(value):
                    self.see(kind.key, key, f"{path}.{key}")
                    self.see(kind.value, item, f"{path}.{key}")
            case s.Record():
                self._see_record(kind, value, path)
            case s.Union():
                self._see_union(kind, value, path)
            case s.Reference():
                self.see(self.definitions[kind.name], value, path)

    def _see_record(self, kind: s.Record, value: Any, path: str) -> None:
        if isinstance(value, Mapping):
            found = value
        elif self.is_json:
            return
        else:
            maker = maker_of(kind)
            found = {item.name: maker.read(value, item.name) for item in kind.fields}
        for item in kind.fields:
            if item.name in found and found[item.name] is not ABSENT:
                self.see(item.type, found[item.name], f"{path}.{item.name}")

    def _see_union(self, kind: s.Union, value: Any, path: str) -> None:
        if self.is_json and isinstance(value, dict) and value.keys() == {"type", "value"}:
            self._see_union(kind, value["value"], f"{path}.value")
            return
        for option in kind.options:
            if self._fits(option, value):
                self.see(option, value, path)
                return

    def _fits(self, kind: s.Type, value: Any) -> bool:
        if isinstance(kind, Hole):
            return value is None if kind.rule.refusal else kind.rule.accepts(self._made(kind, value))
        if value is None:
            return kind.nullable
        if self.is_json:
            return looks_like(kind, value, self.definitions)
        match kind:
            case s.List():
                return type(value) is (tuple if kind.variadic else list) and all(
                    self._fits(kind.item, item) for item in value
                )
            case s.Set():
                return isinstance(value, set | frozenset) and all(self._fits(kind.item, item) for item in value)
            case s.Tuple():
                return (
                    isinstance(value, tuple)
                    and len(value) == len(kind.items)
                    and all(map(self._fits, kind.items, value))
                )
            case s.Map():
                return isinstance(value, dict) and all(
                    self._fits(kind.key, key) and self._fits(kind.value, item) for key, item in value.items()
                )
        return belongs(kind, value, self.definitions)

    def _made(self, hole: Hole, value: Any) -> Any:
        if not self.is_json:
            return value
        try:
            return hole.rule.make(value)
        except Exception:  # noqa: BLE001  libraries refuse JSON in any way that they like
            return value

    def fill(self, kind: s.Type) -> s.Type:
        """Give the type without holes.

        Raises :class:`NoSample` where a hole stays empty, :class:`InvalidSignature` where a sample does not fit it.
        """
        match kind:
            case Hole():
                return self._fill_hole(kind)
            case s.List() | s.Set():
                return replace(kind, item=self.fill(kind.item))
            case s.Tuple():
                return replace(kind, items=tuple(map(self.fill, kind.items)))
            case s.Map():
                return replace(kind, key=self.fill(kind.key), value=self.fill(kind.value))
            case s.Record():
                return replace(kind, fields=tuple(replace(item, type=self.fill(item.type)) for item in kind.fields))
            case s.Union():
                return self._fill_union(kind)
            case s.Reference() if kind.name in self.broken:
                raise self.broken[kind.name]
        return kind

    def _fill_hole(self, hole: Hole) -> s.Type:
        rule, seen = hole.rule, self.found.get(hole.number, [])
        if rule.refusal:
            raise rule.refusal
        if not seen:
            if rule.fallback is None:
                raise NoSample(rule.expected)
            return _noted(rule.fallback, hole)
        path = seen[0][1]
        made = [(self._made(hole, value), where) for value, where in seen]
        wrong = [
            Problem(where, f"{describe(value)} in the sample", f"{rule.expected} by the annotation", "sample.type")
            for value, where in made
            if value is not None and not rule.accepts(value) and rule.narrow is None
        ]
        if wrong:
            raise InvalidSignature("annotation and sample disagree", code="signature.disagreement", problems=wrong[:8])
        if rule.narrow:
            return _noted(rule.narrow([value for value, _ in made], path), hole)
        return _noted(self._kind_of(made, path), hole)

    def _kind_of(self, made: Sequence[tuple[Any, str]], path: str) -> s.Type:
        try:
            return unify_all([type_of(value, where) for value, where in made], path)
        except InvalidSignature as error:
            problems = Problems()
            for value, where in made:
                codec_for(s.Any(), {}).encode(value, where, problems)
            # Whoever writes Any within a container means that its items may be of several types.
            if problems or len(made) == 1 or error.code != "signature.mixed-types":
                raise
            return s.Any()

    def _fill_union(self, kind: s.Union) -> s.Type:
        filled: list[s.Type] = []
        missing: Exception | None = None
        for option in kind.options:
            try:
                found = self.fill(option)
            except NoSample as error:
                missing = error
            except InvalidSignature as error:
                if not (isinstance(option, Hole) and option.rule.refusal):
                    raise
                missing = missing or error
            else:
                filled.append(found)
        if not filled:
            raise missing or NoSample("a union")
        nullable = kind.nullable or any(option.nullable for option in filled)
        return union_of(filled, nullable=nullable, metadata=kind.metadata)

    def finish(self, kind: s.Type) -> s.Type:
        """Give a filled type its tags, and its fields their defaults as JSON; inner types first."""
        match kind:
            case s.List() | s.Set():
                return replace(kind, item=self.finish(kind.item))
            case s.Tuple():
                return replace(kind, items=tuple(map(self.finish, kind.items)))
            case s.Map():
                return replace(kind, key=self.finish(kind.key), value=self.finish(kind.value))
            case s.Record():
                return replace(kind, fields=tuple(map(self._finish_field, kind.fields)))
            case s.Union():
                inner = replace(kind, options=tuple(map(self.finish, kind.options)))
                return with_tags(inner, self.definitions)
        return kind

    def _finish_field(self, item: s.Field) -> s.Field:
        kind = self.finish(item.type)
        if not isinstance(item.default, PythonDefault):
            return replace(item, type=kind)
        return replace(item, type=kind, default=written_default(kind, item.default.value, self.definitions))

    def fill_definitions(self) -> None:
        """Fill the named types; one that cannot be filled is missed only by those that refer to it."""
        filled: dict[str, s.Type] = {}
        for name, kind in self.definitions.items():
            try:
                filled[name] = self.fill(kind)
            except (NoSample, InvalidSignature) as error:
                self.broken[name] = error
        spreading = True
        while spreading:
            spreading = False
            for name, kind in filled.items():
                bad = references(kind) & self.broken.keys()
                if bad and name not in self.broken:
                    self.broken[name] = self.broken[min(bad)]
                    spreading = True
        self.definitions = filled

    def finish_definitions(self, used: Sequence[s.Type]) -> Mapping[str, s.Type]:
        """Finish the named types and give those that ``used`` refer to, by way of others too."""
        self.definitions = {name: self.finish(kind) for name, kind in self.definitions.items()}
        reached: set[str] = set()
        new = {name for kind in used for name in references(kind)}
        while new:
            reached |= new
            new = {name for key in new for name in references(self.definitions[key])} - reached
        return {name: kind for name, kind in self.definitions.items() if name in reached}


def references(kind: s.Type) -> set[str]:
    """Name the definitions that a type refers to directly."""
    if isinstance(kind, s.Reference):
        return {kind.name}
    return {name for part in parts_of(kind) for name in references(part)}


def written_default(kind: s.Type, value: Any, definitions: Mapping[str, s.Type]) -> Any:
    """Write a default as JSON; None where JSON cannot write it: it is Python's own affair then, and stays there."""
    problems = Problems()
    written = codec_for(kind, definitions).encode(value, "$", problems)
    return None if problems else written


def union_of(options: Sequence[s.Type], *, nullable: bool, metadata: tuple[Any, ...] = ()) -> s.Type:
    """Make one type of options: each once, unions within it opened, null taken outside."""
    flat: list[s.Type] = []
    for option in options:
        inner = option.options if isinstance(option, s.Union) and not option.metadata else (option,)
        for one in inner:
            stripped = s.with_nullable(one, nullable=False)
            if not (isinstance(one, s.Scalar) and one.dtype == "null") and stripped not in flat:
                flat.append(stripped)
    if not flat:
        return replace(s.Scalar("null", nullable=True), metadata=metadata)
    if len(flat) == 1:
        return replace(flat[0], nullable=nullable, metadata=(*flat[0].metadata, *metadata))
    return s.Union(tuple(flat), nullable=nullable, metadata=metadata)


def _noted(kind: s.Type, hole: Hole) -> s.Type:
    nullable = kind.nullable or hole.nullable
    return replace(kind, nullable=nullable, metadata=(*kind.metadata, *hole.metadata))


def _items(value: Any) -> Sequence[Any]:
    return list(value) if isinstance(value, list | tuple | set | frozenset) else []


def _pairs(value: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    return [(pair[0], pair[1]) for pair in _items(value) if isinstance(pair, list | tuple) and len(pair) == 2]
