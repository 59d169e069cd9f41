import collections
import dataclasses
import enum
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    Self,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt
import pandas as pd
import pydantic
import pytest
import typing_extensions

from model_envelope.inference.annotations import Reader, type_from
from model_envelope.inference.holes import Filling, NoSample
from model_envelope.inference.scopes import Scope, scope_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature

INTEGER = s.Scalar("int64")
FLOAT = s.Scalar("float64")
TEXT = s.Scalar("string")
NULL = s.Scalar("null", nullable=True)

UserId = NewType("UserId", int)
T = TypeVar("T")
Bound = TypeVar("Bound", bound=int)
Constrained = TypeVar("Constrained", int, str)
Json = Union[None, bool, int, str, list["Json"], dict[str, "Json"]]  # noqa: UP007


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Word(enum.StrEnum):
    YES = "yes"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Corner(enum.Enum):
    LOW = (0, 0)
    HIGH = (1, 1)


class Day(enum.Enum):
    FIRST = date(2020, 1, 1)


class Wide(enum.Flag):
    A, B, C, D, E, F, G, H, J = (2**bit for bit in range(9))


class Empty(enum.Enum):
    pass


class Movie(TypedDict, total=False):
    title: typing_extensions.Required[str]
    year: int


class Sequel(Movie):
    part: typing_extensions.ReadOnly[int]
    note: "typing_extensions.NotRequired[str]"


class Pair(NamedTuple):
    x: int
    y: str = "none"


Old = collections.namedtuple("Old", ["a", "b"], defaults=[1])  # noqa: PYI024  people's code has them


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    label: str | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    norm: float = dataclasses.field(init=False)
    _: dataclasses.KW_ONLY
    late: bool = True


@dataclasses.dataclass
class WithInit:
    x: int
    seed: dataclasses.InitVar[int]


@attrs.define
class Account:
    _owner: str
    amount: Decimal = Decimal(0)
    history: list[int] = attrs.field(factory=list)
    stamp: int = attrs.field(init=False, default=7)


class User(pydantic.BaseModel):
    name: str = pydantic.Field(alias="userName")
    age: int = pydantic.Field(gt=0, description="in years")
    tags: list[str] = pydantic.Field(default_factory=list)
    nick: str | None = None


@dataclasses.dataclass
class Tree:
    value: int
    children: "list[Tree]" = dataclasses.field(default_factory=list)


class Chain(TypedDict):
    value: int
    rest: "Chain | None"


@dataclasses.dataclass
class Even:
    odd: "Odd | None"


@dataclasses.dataclass
class Odd:
    even: Even | None


@dataclasses.dataclass
class Node:
    parent: Self | None = None


@dataclasses.dataclass
class Box(Generic[T]):
    item: T


@dataclasses.dataclass
class IntBox(Box[int]):
    count: int


@dataclasses.dataclass
class Framed:
    frame: pd.DataFrame
    scale: float


class Cat(TypedDict):
    kind: Literal["cat"]
    lives: int


class Dog(TypedDict):
    kind: Literal["dog"]
    lives: int


class Parcel:
    __hash__ = None

    def __init__(self, width: int, label: "str | None" = None) -> None:
        self.width, self.label = width, label


class Strange:
    def __init__(self, width: int, height: "float") -> None: ...


@dataclasses.dataclass
class Mutable:
    x: int


def record(*fields, cls=None, style=s.Style.DICT):
    made = tuple(item if isinstance(item, s.Field) else s.Field(*item) for item in fields)
    return s.Record(made, cls=f"{__name__}:{cls}" if cls else None, style=style)


def named(name):
    return f"{__name__}:{name}"


POINT = record(
    ("x", FLOAT),
    ("y", FLOAT, False, 0.0),
    ("label", s.Scalar("string", nullable=True), False, None),
    ("tags", s.List(TEXT), False, []),
    ("norm", FLOAT, False),
    ("late", s.Scalar("bool"), False, True),
    cls="Point",
    style=s.Style.DATACLASS,
)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int, INTEGER),
        (float, FLOAT),
        (str, TEXT),
        (bool, s.Scalar("bool")),
        (bytes, s.Scalar("bytes")),
        (complex, s.Scalar("complex128")),
        (None, NULL),
        (type(None), NULL),
        (date, s.Scalar("date")),
        (time, s.Scalar("time")),
        (datetime, s.Scalar("datetime")),
        (pydantic.AwareDatetime, s.Scalar("datetime", timezone="")),
        (pydantic.NaiveDatetime, s.Scalar("datetime")),
        (timedelta, s.Scalar("timedelta")),
        (Decimal, s.Scalar("decimal")),
        (UUID, s.Scalar("uuid")),
        (np.float32, s.Scalar("float32")),
        (np.uint8, s.Scalar("uint8")),
        (Optional[int], s.Scalar("int64", nullable=True)),  # noqa: UP045  the older spelling is in people's code
        (int | None, s.Scalar("int64", nullable=True)),
        (Union[int, str], s.Union((INTEGER, TEXT))),  # noqa: UP007
        (int | str | None, s.Union((INTEGER, TEXT), nullable=True)),
        (int | (str | (bytes | None)), s.Union((INTEGER, TEXT, s.Scalar("bytes")), True, ("int64", "string", "bytes"))),
        (list[int] | Sequence[int], s.List(INTEGER)),
        (list[int], s.List(INTEGER)),
        (typing.List[int], s.List(INTEGER)),  # noqa: UP006
        (Sequence[str], s.List(TEXT)),
        (Iterable[float], s.List(FLOAT)),
        (tuple[int, str], s.Tuple((INTEGER, TEXT))),
        (tuple[()], s.Tuple(())),
        (tuple[int, ...], s.List(INTEGER, variadic=True)),
        (typing.Tuple[int, ...], s.List(INTEGER, variadic=True)),  # noqa: UP006
        (set[int], s.Set(INTEGER)),
        (frozenset[int], s.Set(INTEGER, frozen=True)),
        (AbstractSet[int], s.Set(INTEGER)),
        (dict[str, int], s.Map(TEXT, INTEGER)),
        (Mapping[int, str], s.Map(INTEGER, TEXT)),
        (dict[tuple[int, date], str], s.Map(s.Tuple((INTEGER, s.Scalar("date"))), TEXT)),
        (Literal["a", "b"], s.Choice(("a", "b"))),
        (Literal["a"] | None, s.Choice(("a",), nullable=True)),
        (Literal["a", None], s.Choice(("a",), nullable=True)),  # noqa: PYI061
        (Literal[1, True, "x"], s.Choice((1, True, "x"))),
        (Literal[b"hi"], s.Choice(("aGk=",), dtype="bytes")),
        (Literal[Colour.RED], s.Choice(("red",), enum=named("Colour"))),
        (Literal["a", Size.SMALL], s.Union((s.Choice(("a",)), s.Choice((1,), enum=named("Size"))))),
        (Colour, s.Choice(("red", "blue"), enum=named("Colour"))),
        (Size, s.Choice((1, 2), enum=named("Size"))),
        (Word, s.Choice(("yes",), enum=named("Word"))),
        (Rights, s.Choice((0, 1, 2, 3), enum=named("Rights"))),
        (Corner, s.Choice(("LOW", "HIGH"), enum=named("Corner"))),
        (Day, s.Choice(("2020-01-01",), enum=named("Day"), dtype="date")),
        (Annotated[int, "years", 3, 0.5], s.Scalar("int64", metadata=("years", 3, 0.5))),
        (Annotated[Annotated[int, "a"], "b"], s.Scalar("int64", metadata=("a", "b"))),
        (Annotated[int, ["not", "hashable"]], s.Scalar("int64", metadata=("['not', 'hashable']",))),
        (Annotated[int, object()], s.Scalar("int64", metadata=("object",))),
        (Annotated[int, pydantic.Field(gt=0, description="d")], s.Scalar("int64", metadata=("d", "Gt(gt=0)"))),
        (list[Annotated[str, "inner"]], s.List(s.Scalar("string", metadata=("inner",)))),
        (UserId, INTEGER),
        (Bound, INTEGER),
        (Constrained, s.Union((INTEGER, TEXT))),
        (Final[int], INTEGER),
        (Movie, record(("title", TEXT), ("year", INTEGER, False))),
        (Sequel, record(("title", TEXT), ("year", INTEGER, False), ("part", INTEGER), ("note", TEXT, False))),
        (Pair, record(("x", INTEGER), ("y", TEXT, False, "none"), cls="Pair", style=s.Style.NAMEDTUPLE)),
        (Old, record(("a", s.Any()), ("b", s.Any(), False, 1), cls="Old", style=s.Style.NAMEDTUPLE)),
        (Point, POINT),
        (
            Account,
            record(
                ("owner", TEXT),
                ("amount", s.Scalar("decimal"), False, "0"),
                ("history", s.List(INTEGER), False, []),
                ("stamp", INTEGER, False, 7),
                cls="Account",
                style=s.Style.ATTRS,
            ),
        ),
        (
            User,
            record(
                ("userName", TEXT),
                ("age", s.Scalar("int64", metadata=("in years", "Gt(gt=0)"))),
                ("tags", s.List(TEXT), False, []),
                ("nick", s.Scalar("string", nullable=True), False, None),
                cls="User",
                style=s.Style.PYDANTIC,
            ),
        ),
        (Box[int], record(("item", INTEGER), cls="Box", style=s.Style.DATACLASS)),
        (Box[list[str]], record(("item", s.List(TEXT)), cls="Box", style=s.Style.DATACLASS)),
        (IntBox, record(("item", INTEGER), ("count", INTEGER), cls="IntBox", style=s.Style.DATACLASS)),
        (list, s.List(s.Any())),
        (dict, s.Map(TEXT, s.Any())),
        (dict[str, Any], s.Map(TEXT, s.Any())),
        (typing.Awaitable[int], INTEGER),
        (Any, None),
        (object, None),
        (T, None),
        (npt.ArrayLike, None),
        (pd.DataFrame, None),
        (np.ndarray, None),
        (Framed, None),
        ("NoSuchName", None),
    ],
)
def test_the_type_of_an_annotation(annotation, kind):
    assert type_from(annotation, "$", Scope(globals())) == kind


def read(annotation, scope=None):
    reader = Reader()
    kind = reader.read(annotation, scope or Scope(globals()), "$")
    filling = Filling(reader.definitions)
    filling.fill_definitions()
    found = filling.fill(kind)
    definitions = filling.finish_definitions([found])
    return filling.finish(found), definitions


def test_types_that_contain_themselves_are_defined_by_name():
    tree = record(
        ("value", INTEGER),
        ("children", s.List(s.Reference(named("Tree"))), False, []),
        cls="Tree",
        style=s.Style.DATACLASS,
    )
    assert read(Tree) == (s.Reference(named("Tree")), {named("Tree"): tree})
    assert read(list[Tree])[0] == s.List(s.Reference(named("Tree")))
    chain = record(("value", INTEGER), ("rest", s.Reference(named("Chain"), nullable=True)))
    assert read(Chain) == (s.Reference(named("Chain")), {named("Chain"): chain})
    _, two = read(Even)
    assert list(two) == [named("Even")]
    node = record(
        ("parent", s.Reference(named("Node"), nullable=True), False, None), cls="Node", style=s.Style.DATACLASS
    )
    assert read(Node)[1] == {named("Node"): node}


def test_an_alias_may_contain_itself():
    kind, definitions = read("Json")
    reference = s.Reference(named("Json"))
    inside = (s.Scalar("bool"), INTEGER, TEXT, s.List(reference), s.Map(TEXT, reference))
    assert kind == reference
    assert definitions == {named("Json"): s.Union(inside, nullable=True)}


@pytest.mark.parametrize(
    ("annotation", "code"),
    [
        (Strange, "signature.unknown-type"),
        (type[int], "signature.unknown-type"),
        (collections.deque, "signature.unknown-type"),
        (Empty, "signature.enum"),
        (Wide, "signature.enum"),
        (set[list[int]], "signature.unhashable"),
        (dict[tuple[int, dict[str, int]], int], "signature.unhashable"),
        (set[Movie], "signature.unhashable"),
        (set[Mutable], "signature.unhashable"),
        (dict[Parcel, int], "signature.unhashable"),
        (WithInit, "signature.init-only"),
    ],
)
def test_what_a_signature_cannot_say_is_refused(annotation, code):
    with pytest.raises(InvalidSignature) as caught:
        type_from(annotation, "$.x")
    assert caught.value.code == code
    assert "$.x" in caught.value.message
    assert caught.value.hint


def test_the_refusal_of_a_class_shows_the_lines_that_register_it():
    with pytest.raises(InvalidSignature, match="Strange") as caught:
        type_from(Strange, "$.x")
    assert 'me.register_type(Strange, {"width": int, "height": float})' in caught.value.hint


def test_a_plain_class_is_a_record_of_what_its_constructor_takes():
    kind = type_from(Parcel, "$.x")
    assert kind == record(
        ("width", INTEGER), s.Field("label", s.Scalar("string", nullable=True), required=False, default=None),
        cls="Parcel", style=s.Style.OBJECT,
    )  # fmt: skip


def test_a_class_within_a_function_is_refused():
    @dataclasses.dataclass
    class Local:
        x: int

    with pytest.raises(InvalidSignature) as caught:
        type_from(Local, "$.x")
    assert caught.value.code == "signature.local-class"


@pytest.mark.parametrize(
    ("annotation", "tags"),
    [
        (date | str, ("date", "string")),
        (int | float, ("int64", "float64")),
        (bool | int, ()),
        (int | str, ()),
        (date | datetime, ()),
        (UUID | date | Decimal | timedelta, ()),
        (bytes | Decimal, ("bytes", "decimal")),
        (Literal["a"] | str, ("choice", "string")),  # noqa: PYI051
        (Literal["a", "b"] | int, ()),
        (Literal["2020-01-01"] | date, ("choice", "date")),
        (Literal["a"] | date, ()),
        (list[int] | list[str], ("list[int64]", "list[string]")),
        (list[int] | dict[str, int], ()),
        (list[int] | set[int], ("list[int64]", "set[int64]")),
        (tuple[int, int] | tuple[int, str], ()),
        (tuple[int] | tuple[int, int], ()),
        (tuple[int, int] | list[str], ()),
        (tuple[int, int] | list[int], ("tuple[int64, int64]", "list[int64]")),
        (tuple[float, float] | complex, ("tuple[float64, float64]", "complex128")),
        (Movie | Point, ()),
        (Movie | dict[str, int], ()),
        (Movie | dict[str, str], ("record", "dict[string, string]")),
        (Mutable | Box[int], ()),
        (Mutable | Point, ("Mutable", "Point")),
        (Tree | Chain, ()),
        (Colour | Word, ()),
        (Colour | str, ("Colour", "string")),
        (dict[int, str] | list[int], ("dict[int64, string]", "list[int64]")),
        (list[int] | Annotated[list[int], "other"], ("list[int64]", "list[int64]#2")),
    ],
)
def test_options_that_look_alike_in_json_are_tagged(annotation, tags):
    kind, _ = read(annotation)
    assert isinstance(kind, s.Union)
    assert kind.tags == tags


def test_a_record_told_apart_by_a_literal_needs_no_tag():
    assert read(Cat | Dog)[0].tags == ()


def module(tmp_path, monkeypatch, text, name):
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    imported = __import__(name)
    monkeypatch.setitem(sys.modules, name, imported)
    return imported


def test_names_for_type_checkers_only_are_found(tmp_path, monkeypatch):
    (tmp_path / "elsewhere.py").write_text("import dataclasses\n@dataclasses.dataclass\nclass Far:\n    x: int\n")
    found = module(
        tmp_path,
        monkeypatch,
        """
from __future__ import annotations
import typing
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import datetime as dt
    import os.path
    from decimal import Decimal as D
    from elsewhere import Far
    from nowhere import Lost
    Days = list[dt.date]
    Hours: typing.TypeAlias = "dict[str, D]"

def score(day: dt.date, amount: D, far: Far, days: Days, hours: Hours, lost: Lost, sep: os.path.Thing): ...
""",
        "for_checkers",
    )
    scope = scope_of(found.score)
    annotations = found.score.__annotations__
    far = s.Record((s.Field("x", INTEGER),), cls="elsewhere:Far", style=s.Style.DATACLASS)
    assert [type_from(annotations[name], "$", scope) for name in annotations] == [
        s.Scalar("date"),
        s.Scalar("decimal"),
        far,
        s.List(s.Scalar("date")),
        s.Map(TEXT, s.Scalar("decimal")),
        None,
        None,
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is of Python 3.12")
def test_the_type_statement_and_type_parameters(tmp_path, monkeypatch):
    found = module(
        tmp_path,
        monkeypatch,
        """
import dataclasses
import numpy as np
type Json = None | bool | str | list[Json] | dict[str, Json]
type Pair[A] = tuple[A, A]
type Tree[A] = tuple[A, list[Tree[A]]]
type Grid[A] = np.ndarray[tuple[int, ...], np.dtype[A]]
@dataclasses.dataclass
class Box[A]:
    item: A
def score[B: int](x: Json, y: Pair[int], z: Box[str], w: B, t: Tree[int], g: Grid[np.float32]): ...
""",
        "type_statements",
    )
    scope, annotations = scope_of(found.score), found.score.__annotations__
    assert read(annotations["x"], scope)[0] == s.Reference("type_statements:Json")
    assert read(annotations["y"], scope)[0] == s.Tuple((INTEGER, INTEGER))
    assert read(annotations["z"], scope)[0].fields == (s.Field("item", TEXT),)
    assert read(annotations["w"], scope)[0] == INTEGER
    tree = s.Reference("type_statements:Tree[int]")
    assert read(annotations["t"], scope) == (tree, {tree.name: s.Tuple((INTEGER, s.List(tree)))})
    with pytest.raises(InvalidSignature, match="float32"):
        completed(annotations["g"], np.zeros(2), scope=scope)
    assert completed(annotations["g"], np.zeros(2, "f4"), scope=scope) == s.Tensor("float32", (None,), batch=0)


def test_aliases_of_typing_extensions_are_read_on_every_python():
    numbers = typing_extensions.TypeAliasType("numbers", list[int])
    pair = typing_extensions.TypeAliasType("pair", tuple[T, T], type_params=(T,))
    assert type_from(numbers, "$") == s.List(INTEGER)
    assert type_from(pair[int], "$") == s.Tuple((INTEGER, INTEGER))


def completed(annotation, value, *, is_json=False, scope=None):
    reader = Reader()
    kind = reader.read(annotation, scope or Scope(globals()), "$")
    filling = Filling(reader.definitions, is_json=is_json)
    filling.see(kind, value, "$")
    filling.fill_definitions()
    return filling.finish(filling.fill(kind))


FRAME = pd.DataFrame({"a": [1, 2]})
TABLE = s.Table((s.Column("a", INTEGER, "int64"),))


@pytest.mark.parametrize(
    ("annotation", "value", "kind"),
    [
        (float, 1.5, FLOAT),
        (float, float("nan"), s.Scalar("float64", non_finite=True)),
        (complex, complex(1, float("inf")), s.Scalar("complex128", non_finite=True)),
        (Decimal, Decimal("NaN"), s.Scalar("decimal", non_finite=True)),
        (list[float], [1.0, float("inf")], s.List(s.Scalar("float64", non_finite=True))),
        (datetime, datetime(2020, 1, 1, tzinfo=UTC), s.Scalar("datetime", timezone="")),
        (pd.DataFrame, FRAME, TABLE),
        (pd.DataFrame | None, FRAME, s.with_nullable(TABLE)),
        (pd.DataFrame | np.ndarray, FRAME, TABLE),
        (list[pd.DataFrame], [FRAME, FRAME], s.List(TABLE)),
        (dict[str, pd.DataFrame], {"x": FRAME}, s.Map(TEXT, TABLE)),
        (tuple[int, pd.DataFrame], (1, FRAME), s.Tuple((INTEGER, TABLE))),
        (Annotated[pd.DataFrame, "wide"], FRAME, dataclasses.replace(TABLE, metadata=("wide",))),
        (
            Framed,
            Framed(FRAME, 1.0),
            record(("frame", TABLE), ("scale", FLOAT), cls="Framed", style=s.Style.DATACLASS),
        ),
        (npt.NDArray[np.float64], np.zeros((3, 2)), s.Tensor("float64", (None, 2), batch=0)),
        (list[Any], [1, 2], s.List(INTEGER)),
        (dict[str, Any], {"a": 1, "b": "x"}, s.Map(TEXT, s.Any())),
        (dict, {"a": 1, "b": "x"}, record(("a", INTEGER), ("b", TEXT))),
        (npt.ArrayLike, [1.5], s.List(FLOAT)),
        (int | Strange, 3, INTEGER),
        (T, 3, INTEGER),
    ],
)
def test_samples_complete_what_an_annotation_leaves_open(annotation, value, kind):
    assert completed(annotation, value) == kind


@pytest.mark.parametrize(
    ("annotation", "value", "kind"),
    [
        (pd.DataFrame, [{"a": 1}, {"a": 2}], TABLE),
        (list[pd.DataFrame], [[{"a": 1}]], s.List(TABLE)),
        (npt.NDArray[np.float64], [[1, 2]], s.Tensor("float64", (None, 2), batch=0)),
        (float, "NaN", s.Scalar("float64", non_finite=True)),
        (datetime, "2020-01-01T00:00:00Z", s.Scalar("datetime", timezone="")),
        (dict[int, float], [[1, "Infinity"]], s.Map(INTEGER, s.Scalar("float64", non_finite=True))),
        (float | str, 2.5, s.Union((FLOAT, TEXT))),
    ],
)
def test_json_samples_complete_it_too(annotation, value, kind):
    assert completed(annotation, value, is_json=True) == kind


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(pd.DataFrame, np.zeros(3)), (npt.NDArray[np.float64], np.zeros(3, dtype="int64")), (list, {"a": 1})],
)
def test_a_sample_of_another_class_is_refused(annotation, value):
    with pytest.raises(InvalidSignature) as caught:
        completed(annotation, value)
    assert caught.value.code == "signature.disagreement"
    assert "by the annotation" in caught.value.problems[0].expected


def test_datetimes_with_offset_and_without_do_not_mix():
    with pytest.raises(InvalidSignature) as caught:
        completed(list[datetime], [datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)])  # noqa: DTZ001
    assert caught.value.code == "signature.mixed-types"


def test_recursive_types_are_completed_wherever_they_are():
    reader = Reader()
    kind = reader.read(Box["Ring"], Scope(globals()), "$")
    ring = Ring(1.0, Ring(float("nan"), None))
    filling = Filling(reader.definitions)
    filling.see(kind, Box(ring), "$")
    filling.fill_definitions()
    found = filling.fill(kind)
    definitions = filling.finish_definitions([found])
    assert definitions[named("Ring")].fields[0].type == s.Scalar("float64", non_finite=True)


@dataclasses.dataclass
class Ring:
    value: float
    next: "Ring | None"


def test_a_filled_union_of_records_in_json_is_seen_by_its_tag():
    kind = completed(Mutable | Point, {"type": "Mutable", "value": {"x": 1}}, is_json=True)
    assert kind.tags == ("Mutable", "Point")


@dataclasses.dataclass
class Reading:
    value: float
    frames: list[pd.DataFrame]


def test_json_samples_are_seen_through_records_tuples_and_maps():
    body = {"value": "NaN", "frames": [[{"a": 1}]]}
    fields = (s.Field("value", s.Scalar("float64", non_finite=True)), s.Field("frames", s.List(TABLE)))
    reading = s.Record(fields, cls=named("Reading"), style=s.Style.DATACLASS)
    assert completed(Reading, body, is_json=True) == reading
    assert completed(tuple[Reading, int], [body, 1], is_json=True) == s.Tuple((reading, INTEGER))
    assert completed(dict[str, Reading], {"k": body}, is_json=True) == s.Map(TEXT, reading)
    assert completed(Reading | None, body, is_json=True) == s.with_nullable(reading)


@pytest.mark.parametrize(
    ("value", "code"),
    [([1, {1}], "signature.mixed-types"), ([object(), 1], "signature.unknown-type")],
)
def test_items_of_any_type_must_be_sayable(value, code):
    with pytest.raises(InvalidSignature) as caught:
        completed(list[Any], value)
    assert caught.value.code == code


def test_a_pydantic_alias_that_is_a_path_is_refused():
    class Deep(pydantic.BaseModel):
        x: int = pydantic.Field(validation_alias=pydantic.AliasPath("a", 0))

    Deep.__qualname__ = "Deep"
    with pytest.raises(InvalidSignature) as caught:
        type_from(Deep, "$.x")
    assert caught.value.code == "signature.alias"


def test_a_type_that_is_nothing_but_itself_is_refused():
    with pytest.raises(InvalidSignature) as caught:
        type_from("Loop", "$.x", Scope({"Loop": typing.ForwardRef("Loop")}))
    assert caught.value.code == "signature.empty-type"


@pytest.mark.parametrize(
    ("annotation", "value", "kind"),
    [
        (tuple, (1, 2), s.Tuple((INTEGER, INTEGER))),
        (set, {1}, s.Set(INTEGER)),
        (tuple[int, typing_extensions.Unpack[tuple[str, ...]]], (1, "a"), s.Tuple((INTEGER, TEXT))),  # noqa: UP044
        (tuple[int, *tuple[str, ...]], (1, "a"), s.Tuple((INTEGER, TEXT))),
        (int | Any, 3, INTEGER),
        (typing.SupportsFloat, 1.5, FLOAT),
        (pd.Series, pd.Series([1]), s.Series(INTEGER, "int64")),
        (np.number, np.float32(1), s.Scalar("float32")),
        (float | pd.DataFrame, FRAME, s.Union((FLOAT, TABLE))),
    ],
)
def test_what_is_open_takes_the_type_of_the_sample(annotation, value, kind):
    assert completed(annotation, value) == kind


def test_a_table_without_a_sample_cannot_be_said():
    with pytest.raises(NoSample):
        completed(pd.DataFrame, None)
