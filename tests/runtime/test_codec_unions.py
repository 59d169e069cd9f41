"""Unions of tables, arrays and records: which option a value is for."""

import dataclasses
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from strategies_tables import TEXT_STORAGE

from model_envelope.inference.overlaps import overlap, tag_of, with_tags
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, codec_for, dump_json, parse_json
from model_envelope.runtime.errors import Problems

INTEGER = s.Scalar("int64")
FLOAT = s.Scalar("float64")
TEXT = s.Scalar("string")
TABLE = s.Table((s.Column("a", INTEGER, "int64"),))
SERIES = s.Series(INTEGER, "int64")
MATRIX = s.Tensor("float64", (None, 2), batch=0)
POINT = s.Tensor("float64", (2,))
SPARSE = s.Tensor("float64", (None, 2), flavor=s.Flavor.SCIPY, layout="csr")


@dataclasses.dataclass
class Point:
    x: int


RECORD = s.Record((s.Field("x", INTEGER),), cls=f"{__name__}:Point", style=s.Style.DATACLASS)
TREES = {"Tree": s.Record((s.Field("below", s.List(s.Reference("Tree"))),)), "Null": s.with_nullable(INTEGER)}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (TABLE, MATRIX, True),  # no rows
        (TABLE, POINT, False),
        (TABLE, s.Map(TEXT, INTEGER), False),
        (TABLE, s.Map(TEXT, s.List(INTEGER)), True),
        (TABLE, s.Record((s.Field("a", s.List(INTEGER)),)), True),
        (TABLE, s.Record((s.Field("columns", s.List(TEXT)), s.Field("data", s.Any()))), True),
        (SERIES, POINT, True),
        (s.Series(TEXT, TEXT_STORAGE), POINT, False),
        (MATRIX, s.Tuple((POINT, POINT)), True),
        (POINT, s.Tensor("float64", (3,)), False),
        (SPARSE, RECORD, False),
        (s.Tensor("float64", ()), FLOAT, True),
        (s.Tensor("float64", ()), TEXT, False),
        (s.Scalar("float64", non_finite=True), TEXT, True),
        (s.Scalar("float64", non_finite=True), s.Scalar("decimal", non_finite=True), True),
        (s.Scalar("float64", non_finite=True), s.Scalar("date"), False),
        (s.Scalar("datetime"), s.Scalar("datetime", timezone=""), False),
        (s.Scalar("bytes"), s.Scalar("date"), False),
        (s.Scalar("bytes"), s.Scalar("timedelta"), True),
        (s.Scalar("period", unit="D"), s.Scalar("date"), True),
        (s.Scalar("bool"), INTEGER, False),
        (s.Any(), INTEGER, True),
        (s.with_nullable(INTEGER), s.with_nullable(TEXT), True),
        (s.Reference("Null"), s.Union((s.with_nullable(TEXT), FLOAT)), True),
        (s.Reference("Tree"), s.Reference("Tree"), True),
        (s.Choice((None,)), s.Scalar("null"), True),
        (s.Choice(("2020-01",)), s.Scalar("period", unit="M"), True),
        (s.Union((s.Scalar("date"), TEXT), tags=("date", "string")), TEXT, False),
        (
            s.Union((s.Scalar("date"), TEXT), tags=("date", "string")),
            s.Record((s.Field("type", TEXT), s.Field("value", TEXT))),
            True,
        ),
        (s.Union((INTEGER, TEXT)), s.Scalar("date"), True),
    ],
)
def test_whether_two_types_admit_the_same_json(one, other, alike):
    assert overlap(one, other, TREES) is alike
    assert overlap(other, one, TREES) is alike


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        (TABLE, "pandas.table"), (SPARSE, "scipy.tensor"), (RECORD, "Point"), (s.Reference("m:Tree"), "Tree"),
        (s.Tuple((INTEGER, TEXT)), "tuple[int64, string]"), (s.Set(INTEGER, frozen=True), "frozenset[int64]"),
        (s.Choice((1,), enum="m:Size"), "Size"), (s.Any(), "any"),
    ],
)  # fmt: skip
def test_tags_are_the_names_that_people_know(kind, tag):
    assert tag_of(kind) == tag


def sent(kind, value):
    problems = Problems()
    codec = codec_for(kind, TREES)
    found = codec.decode(parse_json(dump_json(codec.encode(value, "$", problems))), "$", problems)
    assert problems.items == []
    return found


OPTIONS = [
    (TABLE, pd.DataFrame({"a": [1, 2]})),
    (SERIES, pd.Series([1, 2])),
    (MATRIX, np.array([[1.0, 2.0]])),
    (RECORD, Point(3)),
    (s.Set(INTEGER), {1, 2}),
    (s.List(INTEGER), [1, 2]),
    (s.Tuple((INTEGER, INTEGER)), (1, 2)),
    (s.List(INTEGER, variadic=True), (1, 2, 3)),
    (s.Map(INTEGER, TEXT), {1: "a"}),
    (s.Record((s.Field("x", INTEGER), s.Field("y", INTEGER, required=False))), {"x": 1}),
    (s.Scalar("datetime", timezone=""), datetime(2020, 1, 1, tzinfo=UTC)),
    (s.Scalar("date"), date(2020, 1, 1)),
    (s.Choice((True,)), True),
    (s.Reference("Tree"), {"below": [{"below": []}]}),
    (s.Scalar("period", unit="M"), pd.Period("2020-01", "M")),
]


@pytest.mark.parametrize("at", range(len(OPTIONS)))
def test_each_value_goes_by_its_own_option(at):
    union = with_tags(s.Union(tuple(kind for kind, _ in OPTIONS)), TREES)
    value = OPTIONS[at][1]
    problems = Problems()
    written = codec_for(union, TREES).encode(value, "$", problems)
    assert written["type"] == union.tags[at]
    found = sent(union, value)
    assert type(found) is type(value)
    if isinstance(value, pd.DataFrame | pd.Series | np.ndarray):
        assert np.array_equal(found, value)
    else:
        assert found == value


@pytest.mark.parametrize(
    ("options", "body", "option"),
    [
        ((TABLE, s.Map(TEXT, INTEGER)), {"a": [1]}, 0),
        ((TABLE, s.Map(TEXT, INTEGER)), {"a": 1}, 1),
        ((TABLE, s.Tuple((INTEGER,))), [{"a": 1}], 0),
        ((POINT, s.Tensor("float64", (3,))), [1, 2, 3], 1),
        ((s.Series(TEXT, TEXT_STORAGE), POINT), ["a"], 0),
        ((SPARSE, s.Map(TEXT, INTEGER)), {"k": 1}, 1),
        ((s.Union((INTEGER, TEXT), tags=("i", "s")), INTEGER), {"type": "i", "value": 3}, 0),
        ((s.Union((INTEGER, TEXT)), s.List(INTEGER)), [1], 1),
        ((s.Map(INTEGER, TEXT), s.Map(TEXT, TEXT)), {"a": "b"}, 1),
    ],
)
def test_without_tags_the_looks_of_a_value_decide(options, body, option):
    problems, expected = Problems(), Problems()
    found = codec_for(s.Union(options), TREES).decode(body, "$", problems)
    alone = codec_for(options[option], TREES).decode(body, "$", expected)
    assert problems.items == expected.items == []
    assert type(found) is type(alone)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("rows", [0, 1])
def test_of_two_tables_the_one_with_an_index_is_not_taken_for_the_one_without(swapped, rows):
    frames = [pd.DataFrame({"x": [1]}, index=pd.Index(["a"], name="row")), pd.DataFrame({"x": [1]})]
    kinds = [type_of(frame, "$") for frame in frames]
    union = with_tags(s.Union(tuple(reversed(kinds)) if swapped else tuple(kinds)), {})
    codec = MethodCodec(s.Method((s.Parameter("X", union),), union), {})
    for frame in frames:
        body = codec.encode_arguments({"X": frame.head(rows)})
        pd.testing.assert_frame_equal(codec.decode(body).positional[0], frame.head(rows))
