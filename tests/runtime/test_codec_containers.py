import dataclasses
import enum
import inspect
import math
from datetime import date
from typing import NamedTuple

import attrs
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, codec_for, dump_json, parse_json
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload, InvalidSignature, Problems
from model_envelope.runtime.predicting import method_of

INTEGER = s.Scalar("int64")
TEXT = s.Scalar("string")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


POINT = s.Record(
    (s.Field("x", s.Scalar("float64")), s.Field("y", s.Scalar("float64"), required=False)), cls=f"{__name__}:Point"
)
TREE = {"Tree": s.Record((s.Field("value", INTEGER), s.Field("children", s.List(s.Reference("Tree")), required=False)))}


def codec(kind, definitions=None):
    return codec_for(kind, definitions or {})


def round_trip(kind, value, definitions=None):
    problems = Problems()
    written = codec(kind, definitions).encode(value, "$", problems)
    found = codec(kind, definitions).decode(parse_json(dump_json(written)), "$", problems)
    assert problems.items == []
    return found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (s.List(INTEGER), [1, 2]),
        (s.List(s.List(INTEGER)), [[1], []]),
        (s.Set(TEXT), {"b", "a"}),
        (s.Set(INTEGER, frozen=True), frozenset({3, 1})),
        (s.Tuple((INTEGER, TEXT)), (1, "a")),
        (s.Map(TEXT, INTEGER), {"a": 1}),
        (s.Map(INTEGER, TEXT), {1: "a", 2: "b"}),
        (s.Map(s.Tuple((INTEGER, INTEGER)), TEXT), {(1, 2): "a"}),
        (s.Record((s.Field("a", INTEGER), s.Field("b", TEXT, required=False))), {"a": 1}),
        (s.Union((INTEGER, TEXT)), "a"),
        (s.Union((INTEGER, s.List(INTEGER))), [1]),
        (s.Choice(("red", "blue"), enum=f"{__name__}:Colour"), Colour.BLUE),
        (s.List(s.with_nullable(INTEGER)), [1, None]),
        (s.Any(), {"a": [1, None, 2.5, "x", True]}),
    ],
)
def test_containers_come_back_equal(kind, value):
    import sys

    sys.modules.setdefault(__name__, inspect.getmodule(Colour) or sys.modules.get(__name__))
    assert round_trip(kind, value) == value


def test_a_type_may_contain_itself():
    tree = {"value": 1, "children": [{"value": 2, "children": []}, {"value": 3}]}
    assert round_trip(s.Reference("Tree"), tree, TREE) == tree
    problems = Problems()
    codec(s.Reference("Tree"), TREE).decode({"value": 1, "children": [{"value": "x"}]}, "$", problems)
    assert [problem.path for problem in problems.items] == ["$.children[0].value"]


@pytest.mark.parametrize(
    ("kind", "value", "path", "code"),
    [
        (s.List(INTEGER), {"0": 1}, "$", "payload.type"),
        (s.List(INTEGER), [1, "2"], "$[1]", "payload.type"),
        (s.Set(INTEGER), [1, 1], "$", "payload.duplicate"),
        (s.Tuple((INTEGER, TEXT)), [1], "$", "payload.length"),
        (s.Map(INTEGER, TEXT), [[1, "a"], [1, "b"]], "$[1][0]", "payload.duplicate"),
        (s.Map(TEXT, INTEGER), {"a": None}, "$.a", "payload.null"),
        (s.Record((s.Field("a", INTEGER),)), {}, "$.a", "payload.missing"),
        (s.Record((s.Field("a", INTEGER),)), {"a": 1, "b": 2}, "$.b", "payload.unknown"),
        (s.Union((INTEGER, TEXT)), 2.5, "$", "payload.type"),
    ],
)
def test_what_does_not_belong_is_named_with_its_path(kind, value, path, code):
    problems = Problems()
    codec(kind).decode(value, "$", problems)
    assert [(problem.path, problem.code) for problem in problems.items] == [(path, code)]


ARRAYS = st.sampled_from(["int64", "uint8", "float64", "bool"]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False} if dtype.startswith("f") else None,
    )
)


@given(ARRAYS)
def test_arrays_come_back_equal(array):
    kind = type_of(array)
    found = round_trip(kind, array)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("value", "path", "code"),
    [
        ([[1, 2], [3]], "$", "payload.ragged"),
        ([1, [2, 3]], "$[0]", "payload.type"),
        ([[1, 2, 3]], "$", "payload.shape"),
        ([[1, [2]]], "$[0][1]", "payload.shape"),
        ([[1, "2"]], "$[0][1]", "payload.type"),
        ([[1, 2], [3, None]], "$[1][1]", "payload.null"),
        ([[1, 2], [3, 2**70]], "$[1][1]", "payload.type"),
        (None, "$", "payload.null"),
    ],
)
def test_a_bad_array_is_refused_with_its_place(value, path, code):
    problems = Problems()
    codec(s.Tensor("int64", (None, 2))).decode(value, "$", problems)
    assert [(problem.path, problem.code) for problem in problems.items] == [(path, code)]


def test_nan_in_an_array_travels_as_null():
    array = np.array([[1.0, np.nan], [np.inf, 2.0]])
    kind = type_of(array)
    problems = Problems()
    assert codec(kind).encode(array, "$", problems) == [[1.0, None], ["Infinity", 2.0]]
    np.testing.assert_array_equal(round_trip(kind, array), array)


def test_an_array_of_another_dtype_or_shape_is_no_answer():
    method = MethodCodec(s.Method((), s.Tensor("float64", (None, 2))), {})
    for answer in (np.zeros((3, 2), dtype="float32"), np.zeros((3, 3)), np.full((1, 2), np.nan), [1, 2]):
        with pytest.raises(InvalidAnswer):
            method.encode(answer)


def arguments_of(function, body):
    kinds = {
        inspect.Parameter.POSITIONAL_ONLY: s.Kind.POSITIONAL,
        inspect.Parameter.POSITIONAL_OR_KEYWORD: s.Kind.NORMAL,
        inspect.Parameter.KEYWORD_ONLY: s.Kind.KEYWORD,
        inspect.Parameter.VAR_POSITIONAL: s.Kind.VARIADIC,
        inspect.Parameter.VAR_KEYWORD: s.Kind.VARIADIC_KEYWORD,
    }
    parameters = tuple(
        s.Parameter(item.name, INTEGER, kinds[item.kind], required=item.default is inspect.Parameter.empty)
        for item in inspect.signature(function).parameters.values()
    )
    found = MethodCodec(s.Method(parameters, INTEGER), {}).decode(body)
    return function(*found.positional, **found.keyword)


def test_arguments_reach_the_parameters_that_they_name():
    def function(a, b=2, c=3, *, d=4):
        return (a, b, c, d)

    assert arguments_of(function, {"a": 1}) == (1, 2, 3, 4)
    assert arguments_of(function, {"a": 1, "c": 9}) == (1, 2, 9, 4)
    assert arguments_of(function, {"d": 7, "a": 1, "b": 0}) == (1, 0, 3, 7)

    def variadic(a, *rest, **named):
        return (a, rest, named)

    assert arguments_of(variadic, {"a": 1, "rest": [2, 3], "named": {"k": 4}}) == (1, (2, 3), {"k": 4})
    with pytest.raises(InvalidPayload):
        arguments_of(function, {})


def test_a_model_without_the_method_says_which_it_has():
    with pytest.raises(Exception, match="no method `score`") as caught:
        method_of({}, "score")
    assert "`keys`" in caught.value.hint


def problems_of(kind, value, definitions=None):
    problems = Problems()
    codec(kind, definitions).decode(value, "$", problems)
    return [(problem.path, problem.code) for problem in problems.items]


def answer_problems(kind, value, definitions=None):
    problems = Problems()
    codec(kind, definitions).encode(value, "$", problems)
    return [(problem.path, problem.code) for problem in problems.items]


@dataclasses.dataclass
class Range:
    low: int
    high: int = 10
    width: int = dataclasses.field(init=False)

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError("low is above high")
        self.width = self.high - self.low


class Person(pydantic.BaseModel):
    full_name: str = pydantic.Field(alias="fullName")
    age: int = pydantic.Field(default=18, gt=0)


@attrs.define
class Account:
    _owner: str
    visits: int = attrs.field(init=False, default=1)


class Place(NamedTuple):
    x: int
    y: int = 7


def styled(cls, style, *fields):
    return s.Record(tuple(fields), cls=f"{__name__}:{cls.__name__}", style=style)


RANGE = styled(
    Range,
    s.Style.DATACLASS,
    s.Field("low", INTEGER),
    s.Field("high", INTEGER, required=False, default=10),
    s.Field("width", INTEGER, required=False),
)
PERSON = styled(Person, s.Style.PYDANTIC, s.Field("fullName", TEXT), s.Field("age", INTEGER, required=False))
ACCOUNT = styled(Account, s.Style.ATTRS, s.Field("owner", TEXT), s.Field("visits", INTEGER, required=False))
PLACE = styled(Place, s.Style.NAMEDTUPLE, s.Field("x", INTEGER), s.Field("y", INTEGER, required=False))


@pytest.mark.parametrize(
    ("kind", "body", "value", "written"),
    [
        (RANGE, {"low": 1}, Range(1), {"low": 1, "high": 10, "width": 9}),
        (PERSON, {"fullName": "Ada"}, Person(fullName="Ada"), {"fullName": "Ada", "age": 18}),
        (ACCOUNT, {"owner": "me"}, Account("me"), {"owner": "me", "visits": 1}),
        (PLACE, {"x": 1}, Place(1), {"x": 1, "y": 7}),
    ],
)
def test_a_class_is_made_as_it_wants_with_its_own_defaults(kind, body, value, written):
    problems = Problems()
    assert codec(kind).decode(body, "$", problems) == value
    assert codec(kind).encode(value, "$", problems) == written
    assert not problems


def test_what_a_constructor_does_not_take_is_set_afterwards():
    problems = Problems()
    assert codec(RANGE).decode({"low": 1, "width": 0}, "$", problems).width == 0
    assert codec(ACCOUNT).decode({"owner": "me", "visits": 5}, "$", problems).visits == 5


def test_a_class_that_refuses_its_values_is_a_problem_with_its_own_words():
    problems = Problems()
    codec(s.List(RANGE)).decode([{"low": 1}, {"low": 11}], "$", problems)
    assert [(problem.path, problem.code) for problem in problems.items] == [("$[1]", "payload.refused")]
    assert "low is above high" in problems.items[0].expected
    assert problems_of(PERSON, {"fullName": "Ada", "age": -1}) == [("$", "payload.refused")]


def test_an_instance_of_another_class_is_no_answer():
    assert answer_problems(RANGE, Place(1)) == [("$", "answer.type")]
    assert answer_problems(PLACE, {"x": 1}) == [("$", "answer.type")]
    assert answer_problems(s.Record((s.Field("a", INTEGER),)), {"b": 1}) == [
        ("$.a", "answer.missing"),
        ("$.b", "answer.unknown"),
    ]
    assert answer_problems(s.Record(()), 3) == [("$", "answer.type")]


def test_a_class_that_is_gone_is_named():
    gone = s.Record((), cls="nowhere:Gone", style=s.Style.DATACLASS)
    with pytest.raises(InvalidSignature) as caught:
        codec(gone).decode({}, "$", Problems())
    assert caught.value.code == "signature.no-class"


DATE = s.Scalar("date")
TAGGED = s.Union((DATE, TEXT), tags=("date", "string"))


def test_a_tag_says_which_option_is_meant():
    assert round_trip(TAGGED, "2020-01-31") == "2020-01-31"
    assert round_trip(TAGGED, date(2020, 1, 31)) == date(2020, 1, 31)
    numbers = s.Union((s.Scalar("float64"), INTEGER), tags=("float64", "int64"))
    assert [type(round_trip(numbers, value)) for value in (1, 1.0)] == [int, float]
    many = s.Union((s.List(s.Scalar("float64")), s.List(INTEGER)), tags=("floats", "ints"))
    assert [type(round_trip(many, value)[0]) for value in ([1], [1.0])] == [int, float]


@pytest.mark.parametrize(
    ("value", "path", "code"),
    [
        ("2020-01-31", "$", "payload.type"),
        (None, "$", "payload.null"),
        ({"type": "date"}, "$", "payload.type"),
        ({"type": "time", "value": 1}, "$.type", "payload.tag"),
        ({"type": [], "value": 1}, "$.type", "payload.tag"),
        ({"type": "date", "value": "x"}, "$.value", "payload.type"),
    ],
)
def test_a_bad_tag_is_refused_with_its_place(value, path, code):
    assert problems_of(TAGGED, value) == [(path, code)]


def test_the_problem_of_a_union_is_that_of_the_option_that_is_meant():
    shapes = s.Union((s.Record((s.Field("r", INTEGER),)), s.Record((s.Field("w", s.List(s.List(s.List(INTEGER)))),))))
    assert problems_of(shapes, {"w": [[["x"]]]}) == [("$.w[0][0][0]", "payload.type")]
    assert problems_of(shapes, {"z": 1}) == [("$", "payload.type")]
    assert answer_problems(shapes, 3) == [("$", "answer.type")]


NESTED = {
    "A": s.Record((s.Field("x", s.Reference("U", nullable=True)), s.Field("kind", s.Choice(("a",))))),
    "B": s.Record((s.Field("x", s.Reference("U", nullable=True)), s.Field("kind", s.Choice(("b",))))),
    "U": s.Union((s.Reference("A"), s.Reference("B"), s.List(s.Reference("U")))),
}


def test_a_union_that_contains_itself_costs_no_more_than_its_payload():
    value = {"kind": "a", "x": "bad"}
    for _ in range(40):
        value = {"kind": "b", "x": value}
    assert problems_of(s.Reference("U"), value, NESTED)


@pytest.mark.parametrize("depth", [2_000, 10_000])
def test_a_payload_that_is_nested_without_end_is_refused(depth):
    method = MethodCodec(s.Method((s.Parameter("x", s.Reference("Tree")),), s.Reference("Tree")), TREE)
    value = {"value": 1}
    for _ in range(depth):
        value = {"value": 1, "children": [value]}
    with pytest.raises(InvalidPayload) as caught:
        method.decode({"x": value})
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [("$", "payload.depth")]
    with pytest.raises(InvalidAnswer) as refused:
        method.encode(value)
    assert refused.value.problems[0].code == "answer.depth"


@pytest.mark.parametrize(
    ("kind", "value", "path", "code"),
    [
        (s.Set(s.Any()), [[1]], "$", "payload.unhashable"),
        (s.Map(s.Any(), INTEGER), [[[1], 1]], "$[0][0]", "payload.unhashable"),
        (s.Map(INTEGER, TEXT), [[1]], "$[0]", "payload.type"),
        (s.Map(INTEGER, TEXT), [["x", 1]], "$[0][0]", "payload.type"),
        (s.Map(TEXT, TEXT), [], "$", "payload.type"),
        (s.Map(TEXT, TEXT), None, "$", "payload.null"),
        (s.Record(()), None, "$", "payload.null"),
        (s.Record(()), {"x" * 10_000: 1}, "$." + "x" * 40 + "…", "payload.unknown"),
        (s.Set(INTEGER), ["x"], "$[0]", "payload.type"),
        (s.Tuple(()), 3, "$", "payload.type"),
    ],
)
def test_odd_payloads_are_refused_with_their_place(kind, value, path, code):
    found = problems_of(kind, value)
    assert found[0] == (path, code)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (s.List(INTEGER), {1}), (s.List(INTEGER, variadic=True), "x"), (s.Set(INTEGER), [1]),
        (s.Tuple((INTEGER,)), [1, 2]), (s.Map(TEXT, INTEGER), [1]), (s.Union((INTEGER, TEXT)), 1.5),
        (s.Choice(("a",)), ["a"]), (s.Choice(("a",)), {"a"}), (s.Any(), {1: 2}), (s.Any(), math.nan),
        (s.Any(), object()),
    ],
)  # fmt: skip
def test_an_answer_of_another_type_is_told(kind, value):
    assert answer_problems(kind, value)


def test_an_option_of_nullable_things_is_null():
    assert round_trip(s.Union((INTEGER, TEXT), nullable=True), None) is None
    assert round_trip(s.Union((s.with_nullable(INTEGER), s.List(INTEGER))), None) is None


def test_a_tuple_of_any_length_is_a_tuple():
    assert round_trip(s.List(INTEGER, variadic=True), (1, 2)) == (1, 2)
