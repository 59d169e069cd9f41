"""Whether two types admit the same JSON, and the tags that tell the options of a union apart where they do.

The answer is exact where JSON decides it (kinds, ranges, lengths, required and known fields, choices), and errs on the
side of an overlap where only a parser could tell (base64 that happens to be a number): a tag too many costs a few
bytes, one too few costs the value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import codec_for
from model_envelope.runtime.codec.values.belonging import series_table
from model_envelope.runtime.codec.values.scalars import COMPLEX, INTEGERS, LARGEST
from model_envelope.runtime.errors import Problems

Definitions = Mapping[str, s.Type]


_ANY = s.Any()


@dataclass(frozen=True)
class _Free:
    """Any JSON at all."""


@dataclass(frozen=True)
class _Array:
    """Arrays: of ``items`` by position, or of any number of ``item``."""

    items: tuple[s.Type, ...] | None = None
    item: s.Type = _ANY
    fixed: int | None = None
    """The length, where all items are of type ``item``."""

    @property
    def length(self) -> int | None:
        return self.fixed if self.items is None else len(self.items)

    def at(self, position: int) -> s.Type:
        return self.item if self.items is None else self.items[position]


@dataclass(frozen=True)
class _Object:
    """Objects: known fields, whether each is required, and the type of all others where there may be others."""

    fields: Mapping[str, tuple[s.Type, bool]]
    others: s.Type | None = None


_Seen = tuple[tuple[s.Type, s.Type], ...]
"""The pairs of types on the way to the present one."""

DEEPEST = 100
"""How many levels down two types are compared before they count as overlapping."""

_Shape = _Free | _Array | _Object | s.Scalar | s.Choice


def with_tags(union: s.Union, definitions: Definitions) -> s.Union:
    """Give a union its tags where two of its options admit the same JSON, and none where they are apart."""
    apart = not any(overlap(one, other, definitions) for one, other in combinations(union.options, 2))
    return replace(union, tags=() if apart else _tags(union.options))


def _tags(options: tuple[s.Type, ...]) -> tuple[str, ...]:
    names = [tag_of(option) for option in options]
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(found)


def tag_of(kind: s.Type) -> str:
    """Name a type as a tag does: ``int64``, ``Point``, ``list[string]``."""
    match kind:
        case s.Scalar():
            return kind.dtype
        case s.Record() if kind.cls:
            return kind.cls.rpartition(":")[2]
        case s.Choice() if kind.enum:
            return kind.enum.rpartition(":")[2]
        case s.Reference():
            return kind.name.rpartition(":")[2]
        case s.List():
            return f"{'tuple' if kind.variadic else 'list'}[{tag_of(kind.item)}]"
        case s.Set():
            return f"{'frozenset' if kind.frozen else 'set'}[{tag_of(kind.item)}]"
        case s.Tuple():
            return f"tuple[{', '.join(map(tag_of, kind.items))}]"
        case s.Map():
            return f"dict[{tag_of(kind.key)}, {tag_of(kind.value)}]"
        case s.Table() | s.Series() | s.Tensor():
            return f"{kind.flavor.value}.{kind.kind}"
    return kind.kind


def overlap(one: s.Type, other: s.Type, definitions: Definitions, seen: _Seen = ()) -> bool:
    """Tell whether some JSON value is admitted by both types."""
    if any(mine is one and theirs is other for mine, theirs in seen):
        return False  # a value is finite: whatever is in both is found without going in circles
    if len(seen) > DEEPEST:
        return True
    seen = (*seen, (one, other))
    if _admits_null(one, definitions) and _admits_null(other, definitions):
        return True
    theirs = list(_shapes(other, definitions))
    return any(_meet(mine, shape, definitions, seen) for mine in _shapes(one, definitions) for shape in theirs)


def _admits_null(kind: s.Type, definitions: Definitions) -> bool:
    if kind.nullable or isinstance(kind, s.Any) or (isinstance(kind, s.Scalar) and kind.dtype == "null"):
        return True
    if isinstance(kind, s.Union) and not kind.tags:
        return any(_admits_null(option, definitions) for option in kind.options)
    if isinstance(kind, s.Reference):
        return _admits_null(definitions[kind.name], definitions)
    return isinstance(kind, s.Choice) and None in kind.values


def _shapes(kind: s.Type, definitions: Definitions) -> Iterator[_Shape]:
    """List what JSON a type admits beside null."""
    match kind:
        case s.Scalar() if kind.dtype in COMPLEX:
            yield _Array(item=s.Scalar(COMPLEX[kind.dtype], non_finite=kind.non_finite), fixed=2)
        case s.Scalar() | s.Choice():
            yield kind
        case s.List() | s.Set():
            yield _Array(item=kind.item)
        case s.Series() if kind.index:
            yield from _table(series_table(kind))
        case s.Series():
            yield _Array(item=kind.item)
        case s.Tuple():
            yield _Array(items=kind.items)
        case s.Map() if isinstance(kind.key, s.Scalar) and kind.key.dtype == "string" and not kind.key.nullable:
            yield _Object({}, kind.value)
        case s.Map():
            yield _Array(item=s.Tuple((kind.key, kind.value)))
        case s.Record():
            yield _Object({field.name: (field.type, field.required) for field in kind.fields})
        case s.Union() if kind.tags:
            for tag, option in zip(kind.tags, kind.options, strict=True):
                yield _Object({"type": (s.Choice((tag,)), True), "value": (option, True)})
        case s.Union():
            for option in kind.options:
                yield from _shapes(option, definitions)
        case s.Reference():
            yield from _shapes(definitions[kind.name], definitions)
        case s.Table():
            yield from _table(kind)
        case s.Tensor():
            yield from _tensor(kind)
        case _:
            yield _Free()


def _table(kind: s.Table) -> Iterator[_Shape]:
    columns = (*kind.index, *kind.columns)
    yield _Array(item=s.Record(tuple(s.Field(column.name, column.type) for column in columns)))
    yield _Object({column.name: (s.List(column.type), True) for column in columns})
    names = s.List(s.Choice(tuple(column.name for column in columns)))
    yield _Object({"columns": (names, True), "data": (s.List(s.List(s.Any())), True)})


def _tensor(kind: s.Tensor) -> Iterator[_Shape]:
    scalar = s.Scalar(kind.dtype, nullable=kind.non_finite, non_finite=kind.non_finite)
    if kind.layout:
        yield _Object({name: (s.List(s.Any()), True) for name in ("shape", "row", "col", "data")})
    if not kind.shape:
        yield scalar
        return
    inner: s.Type = replace(kind, shape=kind.shape[1:], batch=None, layout=None) if len(kind.shape) > 1 else scalar
    yield _Array(item=inner, fixed=kind.shape[0])


def _meet(one: _Shape, other: _Shape, definitions: Definitions, seen: _Seen) -> bool:
    match one, other:
        case (_Free(), _) | (_, _Free()):
            return True
        case _Array(), _Array():
            return _arrays(one, other, definitions, seen)
        case _Object(), _Object():
            return _objects(one, other, definitions, seen)
        case s.Choice(), s.Scalar() | s.Choice():
            return any(_admits(other, value) for value in one.values)
        case s.Scalar(), s.Choice():
            return any(_admits(one, value) for value in other.values)
        case s.Scalar(), s.Scalar():
            return _scalars(one, other)
    return False


def _arrays(one: _Array, other: _Array, definitions: Definitions, seen: _Seen) -> bool:
    lengths = {length for length in (one.length, other.length) if length is not None}
    if len(lengths) > 1:
        return False
    pairs = {}
    for position in range(lengths.pop() if lengths else 0):
        mine, theirs = one.at(position), other.at(position)
        pairs[id(mine), id(theirs)] = (mine, theirs)
        if one.items is None and other.items is None:
            break
    return all(overlap(mine, theirs, definitions, seen) for mine, theirs in pairs.values())


def _objects(one: _Object, other: _Object, definitions: Definitions, seen: _Seen) -> bool:
    for mine, theirs in ((one, other), (other, one)):
        for name, (kind, required) in mine.fields.items():
            if not required:
                continue
            counterpart = theirs.fields.get(name, (theirs.others, False))[0]
            if counterpart is None or not overlap(kind, counterpart, definitions, seen):
                return False
    return True


def _admits(kind: s.Scalar | s.Choice, value: Any) -> bool:
    if isinstance(kind, s.Choice):
        return any(type(value) is type(known) and value == known for known in kind.values)
    problems = Problems()
    codec_for(replace(kind, dtype="string") if kind.dtype == "period" else kind, {}).decode(value, "$", problems)
    return not problems


_APART = frozenset({"date", "datetime", "time", "uuid", "timedelta", "decimal"})
"""Texts of which no two look alike."""


def _scalars(one: s.Scalar, other: s.Scalar) -> bool:
    kinds = {_json_kind(one.dtype), _json_kind(other.dtype)}
    if _says_nan(one) and _says_nan(other):
        return True
    if kinds == {"text"}:
        return _texts(one, other)
    if kinds == {"number", "text"}:
        number, text = (one, other) if _json_kind(one.dtype) == "number" else (other, one)
        return number.non_finite and text.dtype in {"string", "bytes", "period"}
    return len(kinds) == 1  # all ranges of numbers have zero in common


def _says_nan(kind: s.Scalar) -> bool:
    return kind.non_finite and (kind.dtype in LARGEST or kind.dtype == "decimal")


def _texts(one: s.Scalar, other: s.Scalar) -> bool:
    if one.dtype == other.dtype:
        return one.dtype != "datetime" or (one.timezone is None) == (other.timezone is None)
    if {one.dtype, other.dtype} <= _APART:
        return False
    if {one.dtype, other.dtype} & {"string"}:
        return True
    # What is left is base64 or a period beside another; base64 has neither hyphens nor colons.
    return not ("bytes" in {one.dtype, other.dtype} and {one.dtype, other.dtype} & {"date", "datetime", "time", "uuid"})


def _json_kind(dtype: str) -> str:
    if dtype in {"null", "bool"}:
        return dtype
    return "number" if dtype in INTEGERS or dtype in LARGEST else "text"
