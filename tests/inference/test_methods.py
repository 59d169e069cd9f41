import dataclasses
import enum
from datetime import date
from typing import NewType, TypedDict

import pandas as pd
import pytest

from model_envelope.inference.methods import bind, parameters_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature

INTEGER = s.Scalar("int64")
TEXT = s.Scalar("string")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"


class Movie(TypedDict, total=False):
    title: str


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


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
