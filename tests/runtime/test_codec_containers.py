import dataclasses
import enum
import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, codec_for, dump_json, parse_json
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload, Problems
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
