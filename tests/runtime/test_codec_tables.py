import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload

MOMENTS = st.datetimes(pd.Timestamp("1700-01-01").to_pydatetime(), pd.Timestamp("2200-01-01").to_pydatetime())
COLUMNS = {
    "int64": (st.integers(-(2**63), 2**63 - 1), "int64"),
    "int16": (st.integers(-(2**15), 2**15 - 1), "int16"),
    "uint64": (st.integers(0, 2**64 - 1), "uint64"),
    "Int64": (st.none() | st.integers(-(2**63), 2**63 - 1), "Int64"),
    "float64": (st.none() | st.floats(allow_nan=False), "float64"),
    "float32": (st.floats(width=32, allow_nan=False), "float32"),
    "bool": (st.booleans(), "bool"),
    "boolean": (st.none() | st.booleans(), "boolean"),
    "string": (st.none() | st.text(st.characters(codec="utf-8")), "string"),
    "category": (st.none() | st.sampled_from(["a", "b", "ü"]), "category"),
    "datetime": (MOMENTS, "datetime64[us]"),
    "moment": (MOMENTS, "datetime64[us, Europe/Berlin]"),
}


def codec_of(frame, returns=None):
    table = type_of(frame, "$")
    return MethodCodec(s.Method((s.Parameter("X", table),), returns or table), {})


@st.composite
def frames(draw):
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(1, 5))
    columns = {}
    for name in names:
        values, storage = COLUMNS[name]
        drawn = draw(st.lists(values, min_size=rows, max_size=rows))
        if "Berlin" in storage:
            columns[name] = pd.Series(pd.to_datetime(drawn, utc=True)).astype(storage)
        elif storage == "category":
            columns[name] = pd.Series(pd.Categorical(drawn, categories=["a", "b", "ü"]))
        else:
            columns[name] = pd.Series(drawn, dtype=storage)
    return pd.DataFrame(columns)


@settings(deadline=None)
@given(frames())
def test_every_frame_comes_back_equal_in_all_three_orientations(frame):
    codec = codec_of(frame)
    body = parse_json(dump_json(codec.encode_arguments({"X": frame})))
    rows = body["X"]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    split = {"columns": list(columns), "data": [list(row.values()) for row in rows]}
    for written in (rows, columns, split, [dict(reversed(row.items())) for row in rows]):
        found = codec.decode({"X": written}).positional[0]
        pd.testing.assert_frame_equal(found, frame, check_exact=True)
    assert codec.encode(frame) == rows


def mixed():
    return pd.DataFrame(
        {
            "age": pd.array([1, None], dtype="Int64"),
            "height": [1.5, float("nan")],
            "city": pd.Categorical(["b", "a"], categories=["a", "b"]),
            "name": ["x", "y"],
            "when": pd.to_datetime(["2020-01-01T10:00:00", "2020-01-02"], format="ISO8601"),
        }
    )


def problems_of(body):
    with pytest.raises(InvalidPayload) as caught:
        codec_of(mixed()).decode(body)
    return {(problem.path, problem.code) for problem in caught.value.problems}


GOOD = {"age": 1, "height": 1, "city": "a", "name": "x", "when": "2020-01-01T10:00:00"}


def test_all_problems_come_at_once_each_with_its_path():
    body = {
        "X": [
            {**GOOD, "age": "1", "city": "c"},
            {**GOOD, "height": "tall", "name": None, "when": "yesterday"},
            {**GOOD, "age": 3.7},
            {**GOOD, "age": 2**63},
        ],
        "Y": 1,
    }
    assert problems_of(body) == {
        ("$.Y", "payload.unknown"),
        ("$.X[0].age", "payload.type"),
        ("$.X[0].city", "payload.choice"),
        ("$.X[1].height", "payload.type"),
        ("$.X[1].name", "payload.null"),
        ("$.X[1].when", "payload.type"),
        ("$.X[2].age", "payload.type"),
        ("$.X[3].age", "payload.type"),
    }


def test_a_column_that_is_missing_everywhere_is_told_once():
    without = {name: value for name, value in GOOD.items() if name != "city"}
    assert problems_of({"X": [without] * 50}) == {("$.X[*].city", "payload.missing")}


def test_a_column_that_is_missing_in_one_row_is_told_there():
    without = {name: value for name, value in GOOD.items() if name != "city"}
    assert problems_of({"X": [GOOD, without]}) == {("$.X[1].city", "payload.missing")}


def test_unknown_columns_are_refused_in_every_orientation():
    extra = {**GOOD, "zip": 1}
    assert problems_of({"X": [extra]}) == {("$.X[*].zip", "payload.unknown")}
    assert problems_of({"X": {name: [value] for name, value in extra.items()}}) == {("$.X.zip", "payload.unknown")}
    split = {"columns": list(extra), "data": [list(extra.values())]}
    assert problems_of({"X": split}) == {("$.X.columns.zip", "payload.unknown")}


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ([], "$", "payload.type"),
        ({}, "$.X", "payload.missing"),
        ({"X": None}, "$.X", "payload.null"),
        ({"X": 3}, "$.X", "payload.type"),
        ({"X": [1]}, "$.X[0]", "payload.type"),
        ({"X": {**{name: [1] for name in GOOD}, "age": [1, 2]}}, "$.X", "payload.ragged"),
        ({"X": {**{name: [1] for name in GOOD}, "age": 1}}, "$.X.age", "payload.type"),
        ({"X": {"columns": ["age", "age"], "data": []}}, "$.X.columns", "payload.duplicate"),
        ({"X": {"columns": list(GOOD), "data": [[1]]}}, "$.X.data[0]", "payload.type"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(body, path, code):
    assert (path, code) in problems_of(body)


def test_an_empty_table_keeps_its_dtypes():
    frame = codec_of(mixed()).decode({"X": []}).positional[0]
    assert len(frame) == 0
    assert frame.dtypes.astype(str).to_dict() == mixed().dtypes.astype(str).to_dict()


def test_a_million_problems_cost_bounded_memory():
    with pytest.raises(InvalidPayload) as caught:
        codec_of(mixed()).decode({"X": [{**GOOD, "age": "x"}] * 5000})
    assert len(caught.value.problems) == 100
    assert "5000 problems" in caught.value.message


def test_integer_column_names_are_spelled_as_strings_and_come_back():
    frame = pd.DataFrame(np.eye(2))
    codec = codec_of(frame)
    body = codec.encode_arguments({"X": frame})
    assert body == {"X": [{"0": 1.0, "1": 0.0}, {"0": 0.0, "1": 1.0}]}
    pd.testing.assert_frame_equal(codec.decode(body).positional[0], frame, check_column_type=False)


def test_a_named_index_is_part_of_the_table():
    frame = mixed().set_index("name")
    codec = codec_of(frame)
    pd.testing.assert_frame_equal(codec.decode(codec.encode_arguments({"X": frame})).positional[0], frame)


def test_an_answer_of_another_kind_is_refused():
    codec = codec_of(mixed())
    with pytest.raises(InvalidAnswer):
        codec.encode(mixed().drop(columns="age"))
    with pytest.raises(InvalidAnswer):
        codec.encode([1, 2])


def test_infinities_travel_as_strings_and_nan_as_null():
    frame = pd.DataFrame({"x": [math.inf, float("nan"), 1.0]})
    codec = codec_of(frame)
    body = codec.encode_arguments({"X": frame})
    assert body == {"X": [{"x": "Infinity"}, {"x": None}, {"x": 1.0}]}
    pd.testing.assert_frame_equal(codec.decode(body).positional[0], frame)


def test_an_infinity_that_no_sample_had_is_refused():
    with pytest.raises(InvalidPayload):
        codec_of(pd.DataFrame({"x": [1.0]})).decode({"X": [{"x": 10**400}]})
