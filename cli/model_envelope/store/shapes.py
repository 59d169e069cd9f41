"""The JSON that a type admits: what it is made of, a few examples of it, and whether it admits a value.

Everything is asked of the one codec, so that what is said here of two signatures is what a service does. Classes of the
model's own code are left out of the types first: nothing of an envelope is imported to compare it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, codec_for
from model_envelope.runtime.codec.tables.pandas import value_name
from model_envelope.runtime.codec.values.scalars import INTEGERS
from model_envelope.runtime.errors import Problems

EXAMPLES = 12
"""How many examples of a type are looked at, at most."""

DEPTH = 8
"""How deep an example of a type that contains itself may go."""

PROBES: tuple[Any, ...] = (
    "text", 1, 0.5, True, None, 0, -1, False, "", "other text",
    *(bound + step for least, most in INTEGERS.values() for bound in (least, most) for step in (-1, 0, 1)),
    65505.0, 1e39, -1e300, "NaN", "Infinity", "-Infinity",
    "1.5", "1e400", "-0.0", "AAAA", "AA==", "\u00e4", "2020-01-31", "1970-01-01",
    "0001-01-01", "9999-12-31",
    "12:30:00", "12:30:00.123456", "12:30:00.123456789", "12:30:00+02:00",
    "2020-01-31T12:30:00", "2020-01-31T12:30:00.5", "2020-01-31T12:30:00.123456", "2020-01-31T12:30:00.123456789",
    "2020-01-31T12:30:00Z", "2020-01-31T12:30:00+02:00", "2020-01-31T12:30:00.123456789+00:00",
    "0001-01-01T00:00:00", "9999-12-31T23:59:59", "0001-01-01T00:00:00Z",
    90, 90.5, 1e15, "PT1M30S", "P0DT0H1M30S", "P0DT0H1M30.000000001S", "P999999DT0H0M0S", "-P1DT0H0M0S",
    "2020", "2020-01", "2020Q1", "2020-01-27/2020-02-02", "2020-01-31 12:00", "2020-01-31 12:30",
    "2020-01-31 12:30:15", "12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678",
    [0.5, -1.5], [1e39, 0.0], ["NaN", 0.0], [], {}, [[]], [1, "text"], {"a": 1},
)  # fmt: skip
"""Values that tell scalar types apart: bounds, spellings, and what looks like another type."""


@dataclass(frozen=True)
class Array:
    """A JSON array of one type of item; ``size`` is its length where that is fixed."""

    item: s.Type
    size: int | None = None
    distinct: bool = False


@dataclass(frozen=True)
class Fixed:
    """A JSON array with a type for each place."""

    items: tuple[s.Type, ...]


@dataclass(frozen=True)
class Object:
    """A JSON object with named fields; of each whether it is required."""

    fields: Mapping[str, tuple[s.Type, bool]]


@dataclass(frozen=True)
class Named:
    """A JSON object with any names."""

    value: s.Type


Shape = Array | Fixed | Object | Named

_NONE = object()


class Language:
    """The types of one signature, as the sets of JSON values that they admit."""

    def __init__(self, definitions: Mapping[str, s.Type]) -> None:
        self.definitions = definitions
        self._plain = {name: plain(kind) for name, kind in definitions.items()}
        self._typed = {name: plain(kind, libraries=True) for name, kind in definitions.items()}
        self._codecs: dict[str, Codec] = {}

    def resolve(self, kind: s.Type) -> s.Type:
        """Put what a reference stands for in its place."""
        while isinstance(kind, s.Reference):
            kind = s.with_nullable(self.definitions[kind.name], kind.nullable or self.definitions[kind.name].nullable)
        return kind

    def admits(self, kind: s.Type, value: Any) -> bool:
        """Ask the codec whether a type admits a JSON value.

        Where a library of the model is not here, plain Python values stand for its tables and arrays.
        """
        key = repr(kind)  # and not the type itself: a choice of 1 equals a choice of true
        problems = Problems()
        try:
            if key not in self._codecs:
                self._codecs[key] = codec_for(plain(kind, libraries=True), self._typed)
            self._codecs[key].decode(value, "$", problems)
        except ImportError:
            self._codecs[key] = codec_for(plain(kind), self._plain)
            self._codecs[key].decode(value, "$", problems)
        return not problems

    def example(self, kind: s.Type) -> Any:
        """Give the first example of a type; null where none is known."""
        return next(self.examples(kind), None)

    def examples(self, kind: s.Type, depth: int = 0) -> Iterator[Any]:
        """Give a few different values that a type admits, the plainest first; none where it cannot end in time."""
        if depth > DEPTH:
            return
        kind = self.resolve(kind)
        yield from islice(self._examples(s.with_nullable(kind, False), depth), EXAMPLES)
        if kind.nullable and not isinstance(kind, s.Any | s.Scalar | s.Choice):
            yield None

    def _examples(self, kind: s.Type, depth: int) -> Iterator[Any]:
        if isinstance(kind, s.Union):
            # In turns, so that each option is among the first examples.
            for turn in zip_longest(*(self.examples(option, depth + 1) for option in options(kind)), fillvalue=_NONE):
                yield from (value for value in turn if value is not _NONE)
            return
        shape = shape_of(kind)
        match shape:
            case None:
                values = kind.values if isinstance(kind, s.Choice) else PROBES
                yield from (value for value in values if self.admits(kind, value))
            case Array():
                yield from self._arrays(shape, depth)
            case Fixed():
                yield from self._tuples(shape, depth)
            case Object():
                yield from self._objects(shape, depth)
            case Named():
                yield from ({"key": value} for value in self.examples(shape.value, depth + 1))
                yield {}

    def _arrays(self, shape: Array, depth: int) -> Iterator[list[Any]]:
        items = list(self.examples(shape.item, depth + 1))
        if shape.size is not None:
            yield from ([item] + items[:1] * (shape.size - 1) for item in items if shape.size)
            if not shape.size:
                yield []
            return
        yield from ([item] for item in items[:1])
        yield []
        if not shape.distinct:
            yield items
            yield from ([item, item] for item in items[:1])
        yield from ([item] for item in items[1:])

    def _tuples(self, shape: Fixed, depth: int) -> Iterator[list[Any]]:
        parts = [list(islice(self.examples(item, depth + 1), 3)) for item in shape.items]
        if all(parts):
            first = [part[0] for part in parts]
            yield first
            for at, part in enumerate(parts):
                yield from ([*first[:at], value, *first[at + 1 :]] for value in part[1:])

    def _objects(self, shape: Object, depth: int) -> Iterator[dict[str, Any]]:
        parts = {name: list(islice(self.examples(kind, depth + 1), 3)) for name, (kind, _) in shape.fields.items()}
        required = {name for name, (_, needed) in shape.fields.items() if needed}
        if not all(parts[name] for name in required):
            return
        least = {name: parts[name][0] for name in shape.fields if name in required}
        yield least
        yield {name: values[0] for name, values in parts.items() if values}
        yield from ({**least, name: value} for name, values in parts.items() for value in values[1:])


def same(one: s.Type, other: s.Type) -> bool:
    """Tell whether two types are the same in every detail; for Python alone 1 and true would be equal."""
    return one == other and repr(one) == repr(other)


def shape_of(kind: s.Type) -> Shape | None:
    """Say what JSON a type is made of; None for scalars, choices, free JSON and unions."""
    match kind:
        case s.Series() if kind.index:
            return Array(row(kind))
        case s.List() | s.Series():
            return Array(kind.item)
        case s.Set():
            return Array(kind.item, distinct=True)
        case s.Tuple():
            return Fixed(kind.items)
        case s.Record():
            return Object({field.name: (field.type, field.required) for field in kind.fields})
        case s.Map():
            return Named(kind.value) if by_name(kind) else Array(s.Tuple((kind.key, kind.value)))
        case s.Table():
            return Array(row(kind))
        case s.Tensor() if kind.shape:
            return Array(cell(kind), kind.shape[0])
    return None


def by_name(kind: s.Map) -> bool:
    """Tell whether a map is a JSON object, and not an array of pairs."""
    return isinstance(kind.key, s.Scalar) and kind.key.dtype == "string" and not kind.key.nullable


def row(kind: s.Table | s.Series) -> s.Record:
    """Give a row of a table, or of a series that travels with its index, as a record."""
    if isinstance(kind, s.Table):
        return s.Record(tuple(s.Field(column.name, column.type) for column in (*kind.index, *kind.columns)))
    index = [s.Field(column.name, column.type) for column in kind.index]
    return s.Record((*index, s.Field(value_name(kind), kind.item)))


def cell(kind: s.Tensor) -> s.Tensor:
    """Give what stands at a place of the first axis of an array: an array of one dimension less."""
    storage = kind.storage if kind.flavor is s.Flavor.NUMPY else None
    return s.Tensor(kind.dtype, kind.shape[1:], non_finite=kind.non_finite, storage=storage)


def options(kind: s.Union) -> tuple[s.Type, ...]:
    """Give the options of a union as they are written: a tagged one with its tag."""
    if not kind.tags:
        return kind.options
    return tuple(
        s.Record((s.Field("type", s.Choice((tag,))), s.Field("value", option)))
        for tag, option in zip(kind.tags, kind.options, strict=True)
    )


def plain(kind: s.Type, *, libraries: bool = False) -> s.Type:
    """Give a type that admits the same JSON and makes plain Python values of it, importing nothing.

    With ``libraries`` tables, series and arrays stay what they are, and only classes of the model's code are left out.
    """

    def inner(part: s.Type) -> s.Type:
        return plain(part, libraries=libraries)

    match kind:
        case s.Scalar(timezone=str()):
            return replace(kind, timezone="")  # the library's zones may be no zones of Python; JSON has offsets
        case s.Choice():
            return replace(kind, enum=None)
        case s.List() | s.Set():
            return replace(kind, item=inner(kind.item))
        case s.Tuple():
            return replace(kind, items=tuple(map(inner, kind.items)))
        case s.Map():
            return replace(kind, key=inner(kind.key), value=inner(kind.value))
        case s.Record(style=s.Style.INTERVAL) if libraries:
            return kind  # a class of pandas, whose ends have an order
        case s.Record():
            fields = tuple(replace(field, type=inner(field.type)) for field in kind.fields)
            return replace(kind, fields=fields, cls=None, style=s.Style.DICT)
        case s.Union():
            return replace(kind, options=tuple(map(inner, kind.options)))
        case s.Table() if libraries:
            columns = tuple(
                column if isinstance(column.type, s.Scalar) else replace(column, type=inner(column.type))
                for column in kind.columns
            )
            return replace(kind, columns=columns)
        case s.Table():
            return s.List(inner(row(kind)), nullable=kind.nullable)
        case s.Series() if not libraries:
            return s.List(inner(row(kind) if kind.index else kind.item), nullable=kind.nullable)
        case s.Tensor() if not libraries:
            return _nested(kind)
    return kind


def _nested(kind: s.Tensor) -> s.Type:
    if not kind.shape:
        return s.Scalar(kind.dtype, nullable=kind.nullable or kind.non_finite, non_finite=kind.non_finite)
    part = _nested(cell(kind))
    size = kind.shape[0]
    return s.List(part, nullable=kind.nullable) if size is None else s.Tuple((part,) * size, nullable=kind.nullable)
