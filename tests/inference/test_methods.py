import dataclasses
import enum
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import numpy as np
import pandas as pd
import pytest

from model_envelope.inference.annotations import type_from
from model_envelope.inference.methods import bind, head, parameters_of
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


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int, INTEGER),
        (None, s.Scalar("null", nullable=True)),
        (date, s.Scalar("date")),
        (Optional[int], s.Scalar("int64", nullable=True)),  # noqa: UP045  the older spelling is in people's code
        (int | None, s.Scalar("int64", nullable=True)),
        (Union[int, str], s.Union((INTEGER, TEXT))),  # noqa: UP007
        (list[int], s.List(INTEGER)),
        (Sequence[str], s.List(TEXT)),
        (tuple[int, str], s.Tuple((INTEGER, TEXT))),
        (tuple[int, ...], s.List(INTEGER)),
        (set[int], s.Set(INTEGER)),
        (dict[str, int], s.Map(TEXT, INTEGER)),
        (Mapping[int, str], s.Map(INTEGER, TEXT)),
        (Literal["a", None], s.Choice(("a",), nullable=True)),
        (Annotated[int, "years"], INTEGER),
        (UserId, INTEGER),
        (Colour, s.Choice(("red",), enum=f"{__name__}:Colour")),
        (Movie, s.Record((s.Field("title", TEXT, required=False),))),
        (
            Point,
            s.Record(
                (s.Field("x", s.Scalar("float64")), s.Field("y", s.Scalar("float64"), required=False)),
                cls=f"{__name__}:Point",
            ),
        ),
        (Any, None),
        (pd.DataFrame, None),
        (np.ndarray, None),
        (list, None),
    ],
)
def test_the_type_of_an_annotation(annotation, kind):
    assert type_from(annotation, "$") == kind


def test_a_class_that_a_signature_cannot_say_is_refused():
    with pytest.raises(InvalidSignature, match="Odd"):
        type_from(Odd, "$.x")


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


def test_the_first_rows_are_kept_of_batches_of_equal_length():
    kept = head({"X": pd.DataFrame({"a": range(9)}), "w": np.arange(9), "scale": np.arange(3), "k": 7}, 2)
    assert (len(kept["X"]), len(kept["w"]), len(kept["scale"]), kept["k"]) == (2, 2, 3, 7)
