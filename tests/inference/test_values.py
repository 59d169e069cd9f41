import dataclasses
import enum
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature

INTEGER = s.Scalar("int64")
FLOAT = s.Scalar("float64")
TEXT = s.Scalar("string")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, INTEGER),
        (True, s.Scalar("bool")),
        (1.5, FLOAT),
        (float("nan"), s.Scalar("float64", non_finite=True)),
        ("a", TEXT),
        (b"a", s.Scalar("bytes")),
        (None, s.Scalar("null", nullable=True)),
        (date(2020, 1, 1), s.Scalar("date")),
        (datetime(2020, 1, 1), s.Scalar("datetime")),  # noqa: DTZ001  a naive one is a type of its own
        (datetime(2020, 1, 1, tzinfo=UTC), s.Scalar("datetime", timezone="")),
        (Decimal(1), s.Scalar("decimal")),
        (Colour.RED, s.Choice(("red",), enum=f"{__name__}:Colour")),
        ([1, 2], s.List(INTEGER)),
        ([1, 2.5], s.List(FLOAT)),
        ([1, None], s.List(s.Scalar("int64", nullable=True))),
        ([], s.List(s.Any())),
        ((1, "a"), s.Tuple((INTEGER, TEXT))),
        ({"a": 1}, s.Record((s.Field("a", INTEGER),))),
        ([{"a": 1}, {"a": 2, "b": "x"}], s.List(s.Record((s.Field("a", INTEGER), s.Field("b", TEXT, required=False))))),
        ({1: "a"}, s.Map(INTEGER, TEXT)),
        ({1, 2}, s.Set(INTEGER)),
        (Point(1.0), s.Record((s.Field("x", FLOAT),), cls=f"{__name__}:Point")),
        (np.float32(1), s.Scalar("float32")),
        (np.str_("a"), TEXT),
        (np.zeros((3, 2)), s.Tensor("float64", (None, 2), batch=0)),
        (np.array(["a"], dtype=object), s.Tensor("string", (None,), batch=0)),
    ],
)
def test_the_type_of_a_value(value, kind):
    assert type_of(value) == kind


def column(values, dtype=None):
    return type_of(pd.DataFrame({"c": pd.Series(values, dtype=dtype)})).columns[0]


@pytest.mark.parametrize(
    ("values", "dtype", "kind", "storage"),
    [
        ([1, 2], None, INTEGER, "int64"),
        ([1, None], "Int64", s.Scalar("int64", nullable=True), "Int64"),
        ([1, 2], "Int64", s.Scalar("int64", nullable=True), "Int64"),
        ([1.5, None], None, s.Scalar("float64", nullable=True), "float64"),
        ([True, False], None, s.Scalar("bool"), "bool"),
        (["b", "a"], "category", s.Choice(("a", "b")), "category"),
        (["b", None], "category", s.Choice(("b",), nullable=True), "category"),
        (["2020-01-01", "2020-01-02"], "string", TEXT, "string"),
        (["a", 1.5], object, None, "signature.mixed-types"),
        ([None, None], object, None, "signature.empty-column"),
        ([[1], [2, 3]], object, s.List(INTEGER), "object"),
        ([1 + 2j], None, None, "signature.storage"),
    ],
)
def test_the_type_of_a_column(values, dtype, kind, storage):
    if kind is None:
        with pytest.raises(InvalidSignature) as caught:
            column(values, dtype)
        assert caught.value.code == storage
        assert caught.value.problems[0].path == "$.c"
        return
    found = column(values, dtype)
    assert (found.type, found.storage) == (kind, storage)


def test_strings_that_look_like_dates_stay_strings():
    assert column(["2020-01-01"]).type == TEXT


def test_all_rows_are_read_and_the_odd_one_is_named():
    with pytest.raises(InvalidSignature) as caught:
        column([*["a"] * 1000, 7], object)
    assert "int64 (row 1000)" in caught.value.problems[0].found


def test_all_bad_columns_are_told_at_once():
    frame = pd.DataFrame({"a": pd.Series([1, "x"], dtype=object), "b": [1 + 1j, 2], "c": [1, 2]})
    with pytest.raises(InvalidSignature) as caught:
        type_of(frame)
    assert [problem.path for problem in caught.value.problems] == ["$.a", "$.b"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (object(), "signature.unknown-type"),
        (2**70, "signature.integer-range"),
        ([1, "a"], "signature.mixed-types"),
        (np.array([1j]), "signature.unknown-type"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "signature.column-name"),
        (pd.DataFrame({(1, 2): [1]}), "signature.column-name"),
    ],
)
def test_what_a_signature_cannot_say_is_refused(value, code):
    with pytest.raises(InvalidSignature) as caught:
        type_of(value)
    assert caught.value.code == code
