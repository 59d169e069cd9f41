"""Strategies for the types of plain Python: scalars, choices, containers, records of every style, unions."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from datetime import date, timedelta, timezone
from typing import Any, NamedTuple

import attrs
import pandas as pd
import pydantic
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from strategies import Strategies, compare, register, same, values

from model_envelope.inference.overlaps import with_tags
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.values.moments import time_zone
from model_envelope.runtime.codec.values.scalars import INTEGERS
from model_envelope.runtime.registry import register_type

Definitions = Mapping[str, s.Type]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Corner(enum.Enum):
    NEAR = (0, 0)
    FAR = (1, 1)


class Day(enum.Enum):
    FIRST = date(2020, 1, 1)
    LAST = date(2020, 12, 31)


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Crate:
    first: Any
    second: Any = None
    third: Any = dataclasses.field(init=False)


@dataclasses.dataclass(frozen=True)
class Stamp:
    first: Any
    second: Any = None


@attrs.define
class Case:
    _first: Any
    second: Any = None


class Form(pydantic.BaseModel):
    inner: Any = pydantic.Field(alias="first")
    second: Any = None


class Pair(NamedTuple):
    first: Any
    second: Any = None


class Plain:
    def __init__(self, first: Any, second: Any = None) -> None:
        self.first, self.second = first, second


class Token:
    """A class that nothing tells how to make."""

    held: tuple[Any, Any]


def _token(first: Any, second: Any = None) -> Token:
    made = Token()
    made.held = (first, second)
    return made


register_type(
    Token,
    {"first": Any, "second": Any},
    make=_token,
    read=lambda token: dict(zip(("first", "second"), token.held, strict=True)),
)


TREE = s.Record(
    (s.Field("value", s.Scalar("int64")), s.Field("children", s.List(s.Reference("Tree")), required=False)),
)
CHAIN = s.Record((s.Field("value", s.Scalar("string")), s.Field("rest", s.Reference("Chain", nullable=True))))
DEFINITIONS: Definitions = {"Tree": TREE, "Chain": CHAIN}

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))

_OTHERS: dict[str, SearchStrategy[Any]] = {
    "null": st.none(),
    "bool": st.booleans(),
    "string": TEXT,
    "bytes": st.binary(max_size=6),
    "date": st.dates(),
    "time": st.times() | st.times(timezones=ZONES),
    "timedelta": st.timedeltas(),
    "uuid": st.uuids(),
}


def _scalar_types(_inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Type]:
    nullable = st.booleans()
    zones = st.sampled_from([None, "", "UTC", "Europe/Berlin", "+05:30"])
    return st.one_of(
        st.builds(s.Scalar, st.sampled_from([*_OTHERS, *INTEGERS]), nullable),
        st.builds(
            s.Scalar,
            st.sampled_from(["float16", "float32", "float64", "complex64", "complex128", "decimal"]),
            nullable,
            non_finite=st.booleans(),
        ),
        st.builds(s.Scalar, st.just("datetime"), nullable, timezone=zones),
        st.builds(s.Scalar, st.just("period"), nullable, unit=st.sampled_from(["D", "M", "Y"])),
    ).map(lambda kind: dataclasses.replace(kind, nullable=True) if kind.dtype == "null" else kind)


def _floats(dtype: str, *, non_finite: bool) -> SearchStrategy[float]:
    return st.floats(width=int(dtype[5:]), allow_nan=non_finite, allow_infinity=non_finite)  # type: ignore[arg-type]


def _scalar_values(kind: s.Scalar, _definitions: Definitions) -> SearchStrategy[Any]:
    if kind.dtype in INTEGERS:
        return st.integers(*INTEGERS[kind.dtype])
    if kind.dtype.startswith("float"):
        return _floats(kind.dtype, non_finite=kind.non_finite)
    if kind.dtype.startswith("complex"):
        part = _floats("float32" if kind.dtype == "complex64" else "float64", non_finite=kind.non_finite)
        return st.builds(complex, part, part)
    if kind.dtype == "decimal":
        numbers = st.decimals(allow_nan=kind.non_finite, allow_infinity=kind.non_finite)
        return numbers.filter(lambda number: not number.is_snan())
    if kind.dtype == "datetime":
        if kind.timezone is None:
            return st.datetimes()
        # Where clocks go back one local time is two moments, and Python holds neither for equal.
        return st.datetimes(
            min_value=pd.Timestamp("1901-01-01").to_pydatetime(),
            max_value=pd.Timestamp("2037-01-01").to_pydatetime(),
            timezones=ZONES if not kind.timezone else st.just(time_zone(kind.timezone)),
            allow_imaginary=False,
        ).filter(lambda moment: moment.fold == 0)
    if kind.dtype == "period":
        return st.integers(0, 400).map(lambda number: pd.Period(ordinal=number, freq=kind.unit))
    return _OTHERS[kind.dtype]


_CODES = st.integers(-9, 9) | NAMES | st.booleans() | st.floats(0.25, 0.75)
_ENUMS: dict[str, tuple[type[enum.Enum], tuple[Any, ...], str | None]] = {
    "Colour": (Colour, ("red", "blue"), None),
    "Level": (Level, (1, 2), None),
    "Corner": (Corner, ("NEAR", "FAR"), None),
    "Day": (Day, ("2020-01-01", "2020-12-31"), "date"),
    "Rights": (Rights, (0, 1, 2, 3), None),
}


def _choice_types(_inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Type]:
    literal = st.lists(_CODES, min_size=1, max_size=3, unique_by=lambda code: (type(code), code)).map(tuple)
    return st.builds(s.Choice, literal, st.booleans()) | st.builds(
        lambda name, nullable: s.Choice(
            _ENUMS[name][1], nullable, enum=f"strategies_python:{name}", dtype=_ENUMS[name][2]
        ),
        st.sampled_from(sorted(_ENUMS)),
        st.booleans(),
    )


def _choice_values(kind: s.Choice, _definitions: Definitions) -> SearchStrategy[Any]:
    if kind.enum is None:
        return st.sampled_from(kind.values)
    cls = _ENUMS[kind.enum.rpartition(":")[2]][0]
    return st.sampled_from([Rights(value) for value in range(4)] if cls is Rights else list(cls))


def _any_values(_kind: s.Any, _definitions: Definitions) -> SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
    )


def _plain_keys() -> SearchStrategy[s.Type]:
    """Give types whose values can be hashed, and equal themselves."""
    scalars = _scalar_types(st.nothing()).map(lambda kind: dataclasses.replace(kind, non_finite=False))
    leaves = scalars | _choice_types(st.nothing())
    tuples = st.lists(leaves, max_size=2).map(lambda items: s.Tuple(tuple(items)))
    return leaves | tuples | st.builds(s.List, leaves, variadic=st.just(True))


def _list_values(kind: s.List, definitions: Definitions) -> SearchStrategy[Any]:
    found = st.lists(values(kind.item, definitions), max_size=3)
    return found.map(tuple) if kind.variadic else found


def _set_values(kind: s.Set, definitions: Definitions) -> SearchStrategy[Any]:
    found = st.lists(values(kind.item, definitions), max_size=3)
    return found.map(frozenset if kind.frozen else set)


def _map_values(kind: s.Map, definitions: Definitions) -> SearchStrategy[Any]:
    return st.dictionaries(values(kind.key, definitions), values(kind.value, definitions), max_size=3)


_CLASSES: dict[s.Style, tuple[type, ...]] = {
    s.Style.DATACLASS: (Crate, Stamp),
    s.Style.ATTRS: (Case,),
    s.Style.PYDANTIC: (Form,),
    s.Style.NAMEDTUPLE: (Pair,),
    s.Style.OBJECT: (Plain,),
    s.Style.REGISTERED: (Token,),
}


def _record_types(inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Type]:
    fields = st.builds(s.Field, NAMES, inner, st.booleans())
    dicts = st.builds(
        lambda found, nullable: s.Record(tuple(found), nullable),
        st.lists(fields, max_size=3, unique_by=lambda field: field.name),
        st.booleans(),
    )
    classes = st.sampled_from([(style, cls) for style, known in _CLASSES.items() for cls in known])
    return dicts | st.builds(_class_record, classes, inner, inner, st.booleans()) | _intervals()


def _class_record(found: tuple[s.Style, type], first: s.Type, second: s.Type, nullable: bool) -> s.Record:
    style, cls = found
    fields = [s.Field("first", first), s.Field("second", second, required=False)]
    if cls is Crate:
        fields.append(s.Field("third", second, required=False))
    return s.Record(tuple(fields), nullable, f"strategies_python:{cls.__name__}", style)


def _intervals() -> SearchStrategy[s.Type]:
    ends = st.sampled_from([s.Scalar("int64"), s.Scalar("float64")])
    return st.builds(
        lambda end, closed: s.Record((s.Field("left", end), s.Field("right", end)), cls=closed, style=s.Style.INTERVAL),
        ends,
        st.sampled_from(["left", "right", "both", "neither"]),
    )


def _record_values(kind: s.Record, definitions: Definitions) -> SearchStrategy[Any]:
    drawn = {field.name: values(field.type, definitions) for field in kind.fields}
    if kind.style is s.Style.DICT:
        optional = {field.name: drawn[field.name] for field in kind.fields if not field.required}
        return st.fixed_dictionaries(
            {name: found for name, found in drawn.items() if name not in optional}, optional=optional
        )
    if kind.style is s.Style.INTERVAL:
        return st.tuples(drawn["left"], drawn["right"]).map(lambda ends: pd.Interval(*sorted(ends), closed=kind.cls))
    cls = next(cls for known in _CLASSES.values() for cls in known if kind.cls == f"strategies_python:{cls.__name__}")
    return st.fixed_dictionaries(drawn).map(lambda found: _made(cls, found))


def _made(cls: type, found: dict[str, Any]) -> Any:
    third = found.pop("third", None)
    made = _token(**found) if cls is Token else cls(**found)
    if cls is Crate:
        made.third = third
    return made


def _union_types(inner: SearchStrategy[s.Type]) -> SearchStrategy[s.Type]:
    return st.builds(_union, st.lists(inner, min_size=2, max_size=3), st.booleans())


def _union(found: list[s.Type], nullable: bool) -> s.Type:
    options: list[s.Type] = []
    for kind in found:
        if _is_option(kind) and s.with_nullable(kind, nullable=False) not in options:
            options.append(s.with_nullable(kind, nullable=False))
    return with_tags(s.Union(tuple(options or [s.Scalar("int64")]), nullable), DEFINITIONS)


def _is_option(kind: s.Type) -> bool:
    return not isinstance(kind, s.Any) and not (isinstance(kind, s.Scalar) and kind.dtype == "null")


def _union_values(kind: s.Union, definitions: Definitions) -> SearchStrategy[Any]:
    return st.one_of([values(option, definitions) for option in kind.options])


def _reference_values(kind: s.Reference, definitions: Definitions) -> SearchStrategy[Any]:
    return st.deferred(lambda: values(definitions[kind.name], definitions))


register(s.Scalar, Strategies(_scalar_types, _scalar_values))
register(s.Choice, Strategies(_choice_types, _choice_values))
register(s.Any, Strategies(lambda _inner: st.just(s.Any()), _any_values))
register(
    s.Reference,
    Strategies(
        lambda _inner: st.builds(s.Reference, st.sampled_from(sorted(DEFINITIONS)), st.booleans()), _reference_values
    ),
)
register(
    s.List,
    Strategies(lambda inner: st.builds(s.List, inner, st.booleans(), st.booleans()), _list_values, leaf=False),
)
register(
    s.Set,
    Strategies(lambda _inner: st.builds(s.Set, _plain_keys(), st.booleans(), st.booleans()), _set_values, leaf=False),
)
register(
    s.Tuple,
    Strategies(
        lambda inner: st.builds(s.Tuple, st.lists(inner, max_size=3).map(tuple), st.booleans()),
        lambda kind, definitions: st.tuples(*(values(item, definitions) for item in kind.items)),
        leaf=False,
    ),
)
register(
    s.Map,
    Strategies(lambda inner: st.builds(s.Map, _plain_keys(), inner, st.booleans()), _map_values, leaf=False),
)
register(s.Record, Strategies(_record_types, _record_values, leaf=False))
register(s.Union, Strategies(_union_types, _union_values, leaf=False))

compare(complex, lambda one, other: same(one.real, other.real) and same(one.imag, other.imag))
for _cls in (Crate, Stamp, Form, Plain, Token):
    compare(_cls, lambda one, other: same(vars(one), vars(other)))
compare(Case, lambda one, other: same(attrs.asdict(one, recurse=False), attrs.asdict(other, recurse=False)))
