import dataclasses
import enum
import functools
import math
from datetime import date
from typing import Required, TypedDict

import pandas as pd
import pytest
from typing_extensions import Unpack

from model_envelope.inference.methods import bind, is_async, merge_definitions, parameters_of, returns_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.errors import InvalidSignature

INTEGER = s.Scalar("int64")
TEXT = s.Scalar("string")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Tree:
    value: int
    children: "list[Tree]" = dataclasses.field(default_factory=list)


class Odd:
    pass


def found(function, samples, *, is_json=False):
    inputs = parameters_of(function, bind(function, samples, is_json=is_json))
    return inputs.parameters, dict(inputs.values)


def score(x: float, y: list[int], k: int = 3, *, label: str | None = None) -> float:
    return x + sum(y) + k


def test_annotations_samples_and_defaults_make_parameters():
    parameters, values = found(score, {"x": 1.0, "y": [1]})
    assert [(item.name, item.type, item.required, item.default) for item in parameters] == [
        ("x", s.Scalar("float64"), True, None),
        ("y", s.List(INTEGER), True, None),
        ("k", INTEGER, False, 3),
        ("label", s.Scalar("string", nullable=True), False, None),
    ]
    assert parameters[3].kind is s.Kind.KEYWORD
    assert values == {"x": 1.0, "y": [1]}


def test_a_sample_that_is_not_keyed_by_parameter_is_the_first_ones():
    def predict(X, check=True):
        return X

    parameters, values = found(predict, pd.DataFrame({"a": [1]}))
    assert [item.name for item in parameters] == ["X"]
    assert list(values) == ["X"]


def test_json_rows_become_a_table_where_nothing_is_annotated():
    parameters, values = found(lambda X: X, [{"a": 1}, {"a": 2}], is_json=True)
    assert isinstance(parameters[0].type, s.Table)
    assert isinstance(values["X"], pd.DataFrame)


def test_json_becomes_what_the_annotation_says():
    def on(day: date) -> int:
        return day.year

    _, values = found(on, {"day": "2020-02-29"}, is_json=True)
    assert values == {"day": date(2020, 2, 29)}


def test_disagreement_shows_both_sides():
    with pytest.raises(InvalidSignature) as caught:
        found(score, {"x": 1.0, "y": [1, "two"]})
    assert caught.value.code == "signature.disagreement"
    assert caught.value.problems[0].path == "$.y[1]"
    assert "by the annotation" in caught.value.problems[0].expected


def test_a_required_parameter_without_sample_is_named():
    def predict(a, b):
        return a

    with pytest.raises(InvalidSignature, match="`b`") as caught:
        found(predict, 1)
    assert caught.value.code == "signature.no-sample"


class Model:
    def __init__(self, offset=0):
        self.offset = offset

    def predict(self, x: int, *, scale: int = 1) -> int:
        return x * scale + self.offset

    def __call__(self, x: float) -> float:
        return x

    @classmethod
    def made(cls, x: int) -> int:
        return x

    @staticmethod
    def plain(x: str) -> str:
        return x


class Waiting:
    async def __call__(self, x: int) -> int:
        return x


async def later(x: int) -> int:
    return x


def counted(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@counted
def wrapped(x: Colour, y: Point = Point(1.0)) -> int:  # noqa: B008  a default of a dataclass is what is looked at
    return 1


class Options(TypedDict, total=False):
    top: int
    exact: Required[bool]


def kinds(function, samples, *, is_json=False):
    parameters, _ = found(function, samples, is_json=is_json)
    return {item.name: (item.type, item.kind, item.required, item.default) for item in parameters}


NORMAL, KEYWORD = s.Kind.NORMAL, s.Kind.KEYWORD


@pytest.mark.parametrize(
    ("function", "sample", "expected"),
    [
        (Model().predict, {"x": 1}, {"x": (INTEGER, NORMAL, True, None), "scale": (INTEGER, KEYWORD, False, 1)}),
        (Model.made, {"x": 1}, {"x": (INTEGER, NORMAL, True, None)}),
        (Model.plain, {"x": "a"}, {"x": (TEXT, NORMAL, True, None)}),
        (Model(), {"x": 1.0}, {"x": (s.Scalar("float64"), NORMAL, True, None)}),
        (
            functools.partial(Model().predict, scale=5),
            {"x": 1},
            {"x": (INTEGER, NORMAL, True, None), "scale": (INTEGER, KEYWORD, False, 5)},
        ),
        (
            functools.partial(Model().predict, 4),
            {"scale": 2},
            {"scale": (INTEGER, KEYWORD, False, 1)},
        ),
        (functools.partial(later), {"x": 1}, {"x": (INTEGER, NORMAL, True, None)}),
    ],
)
def test_every_kind_of_callable_has_its_parameters(function, sample, expected):
    assert kinds(function, sample) == expected


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (later, True),
        (Waiting(), True),
        (functools.partial(later, 1), True),
        (counted(later), True),
        (Model().predict, False),
        (Model(), False),
        (len, False),
    ],
)
def test_coroutines_are_known_before_they_are_called(function, answer):
    assert is_async(function) is answer


def defaults(
    x: int,
    colour: Colour = Colour.RED,
    day: date = date(2020, 2, 29),
    pair: tuple[int, str] = (1, "a"),
    limit: float = math.inf,
    names: list[str] | None = None,
    point: Point = Point(1.0),  # noqa: B008
    odd: int = object(),  # type: ignore[assignment]
) -> int:
    return x


def test_defaults_of_every_type_are_kept():
    parameters, _ = found(defaults, {"x": 1})
    assert {item.name: item.default for item in parameters if not item.required} == {
        "colour": "red",
        "day": "2020-02-29",
        "pair": [1, "a"],
        "limit": "Infinity",
        "names": None,
        "point": {"x": 1.0, "y": 0.0},
        "odd": None,
    }
    assert next(item.type for item in parameters if item.name == "limit") == s.Scalar("float64", non_finite=True)


def called(function, sample, body):
    inputs = parameters_of(function, bind(function, sample, is_json=False))
    codec = MethodCodec(s.Method(inputs.parameters, s.Any()), inputs.definitions)
    found = codec.decode(body)
    return function(*found.positional, **found.keyword)


def test_what_is_positional_or_variadic_reaches_its_place():
    def only(a: int = 1, b: int = 2, /, *rest: int, c: int = 3, **named: float):
        return (a, b, rest, c, named)

    sample = {"a": 1, "rest": [5], "named": {"k": 0.5}}
    assert called(only, sample, {}) == (1, 2, (), 3, {})
    assert called(only, sample, {"b": 9}) == (1, 9, (), 3, {})
    assert called(only, sample, {"rest": [7, 8]}) == (1, 2, (7, 8), 3, {})
    assert called(only, sample, {"a": 4, "c": 5, "named": {"z": 1.5}}) == (4, 2, (), 5, {"z": 1.5})


def test_what_follows_a_parameter_that_is_not_offered_goes_by_name():
    def hidden(a: int, flag=True, k: int = 3, *rest: int):
        return (a, flag, k, rest)

    parameters, _ = found(hidden, {"a": 1})
    assert [(item.name, item.kind) for item in parameters] == [("a", NORMAL), ("k", KEYWORD)]
    assert called(hidden, {"a": 1}, {"a": 1, "k": 5}) == (1, True, 5, ())


def test_the_keys_of_an_unpacked_typed_dict_are_parameters():
    def rank(x: int, **options: Unpack[Options]):
        return (x, options)

    assert kinds(rank, {"x": 1, "exact": True}) == {
        "x": (INTEGER, NORMAL, True, None),
        "top": (INTEGER, KEYWORD, False, None),
        "exact": (s.Scalar("bool"), KEYWORD, True, None),
    }
    assert called(rank, {"x": 1, "exact": True}, {"x": 1, "exact": False, "top": 3}) == (1, {"exact": False, "top": 3})


def test_disagreements_of_all_parameters_come_at_once():
    def predict(a: int, b: list[str], c: pd.DataFrame):
        return a

    with pytest.raises(InvalidSignature) as caught:
        found(predict, {"a": "1", "b": [2], "c": [1]})
    assert [problem.path for problem in caught.value.problems] == ["$.c", "$.a", "$.b[0]"]
    with pytest.raises(InvalidSignature) as caught:
        found(predict, {"a": "1", "b": [2], "c": pd.DataFrame({"x": [1]})})
    assert [problem.path for problem in caught.value.problems] == ["$.a", "$.b[0]"]
    assert caught.value.code == "signature.disagreement"


def test_a_type_that_contains_itself_comes_with_its_definition():
    def walk(tree: Tree) -> Tree:
        return tree

    inputs = parameters_of(walk, bind(walk, Tree(1, [Tree(2)]), is_json=False))
    reference = s.Reference(f"{__name__}:Tree")
    assert inputs.parameters[0].type == reference
    assert set(inputs.definitions) == {reference.name}
    assert returns_of(walk, Tree(1)) == (reference, inputs.definitions)
    codec = MethodCodec(s.Method(inputs.parameters, reference), inputs.definitions)
    assert codec.decode({"tree": {"value": 1, "children": [{"value": 2}]}}).positional == (Tree(1, [Tree(2)]),)


def test_an_optional_parameter_that_no_signature_can_say_is_left_out():
    def predict(x: int, odd: Odd = None, frame: pd.DataFrame | None = None):
        return x

    assert list(kinds(predict, {"x": 1})) == ["x"]
    with pytest.raises(InvalidSignature, match="Odd"):
        found(predict, {"x": 1, "odd": Odd()})


def test_the_answer_has_the_annotated_type():
    def maybe(x: int) -> int | None:
        return x

    assert returns_of(maybe, 3) == (s.Scalar("int64", nullable=True), {})
    assert returns_of(len, 3) == (INTEGER, {})
    assert returns_of(later, 3) == (INTEGER, {})
    with pytest.raises(InvalidSignature) as caught:
        returns_of(maybe, "three")
    assert caught.value.code == "signature.disagreement"
    assert caught.value.problems[0].expected == "an integer of 64 bits, or null by the annotation"


def test_a_method_without_parameters_takes_no_samples():
    with pytest.raises(InvalidSignature) as caught:
        found(lambda: 1, [1])
    assert caught.value.code == "signature.no-parameters"


def test_a_compiled_function_takes_one_input():
    parameters, values = found(max, 3)
    assert ([item.name for item in parameters], values) == (["input"], {"input": 3})


def test_named_types_of_two_methods_become_the_wider_of_both():
    one = s.Record((s.Field("x", s.Scalar("float64"), required=False, default=1.5),))
    other = s.Record((s.Field("x", s.Scalar("float64", non_finite=True), required=False, default=1.5),))
    assert merge_definitions({"A": one}, {"A": other, "B": INTEGER}) == {"A": other, "B": INTEGER}
    with pytest.raises(InvalidSignature):
        merge_definitions({"A": one}, {"A": INTEGER})
