import json
import math

import numpy as np
import pandas as pd
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_tables import columns

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.requests import decode_request
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


MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def drawn(data, cls):
    strategies.load()
    kind = data.draw(strategies.REGISTRY[cls, s.Flavor.PANDAS].types(st.nothing()), label="type")
    return kind, data.draw(strategies.values(kind), label="value")


@MANY
@given(st.data())
def test_every_table_that_a_signature_admits_comes_back_in_all_orientations(data):
    kind, frame = drawn(data, s.Table)
    codec = MethodCodec(s.Method((s.Parameter("X", kind),), kind), {})
    rows = parse_json(dump_json(codec.encode_arguments({"X": frame})))["X"]
    names = [column.name for column in (*kind.index, *kind.columns)]
    columns = {name: [row[name] for row in rows] for name in reversed(names)}
    split = {"columns": names, "data": [[row[name] for name in names] for row in rows]}
    for written in (rows, columns, split):
        assert strategies.same(codec.decode({"X": written}).positional[0], frame)
    assert strategies.same(decode_request(codec, dump_json({"X": rows})).positional[0], frame)


@MANY
@given(st.data())
def test_every_series_that_a_signature_admits_comes_back(data):
    kind, series = drawn(data, s.Series)
    codec = MethodCodec(s.Method((s.Parameter("y", kind),), kind), {})
    raw = dump_json(codec.encode_arguments({"y": series}))
    assert strategies.same(codec.decode(parse_json(raw)).positional[0], series)


ODD = st.sampled_from(
    [None, True, 0, -1, 300, 2**63, 2**70, 10**400, 0.5, 1.0, "", "a", "b", "NaN", "Infinity", "2020-01-01", "2020-01",
     "2020-02-30T00:00:00", "2020-01-01T00:00:00", "2020-01-01T00:00:00.5", "2020-01-01T24:00:00",
     "1500-01-01T00:00:00", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00+25:00", "9999-12-31T23:59:59-01:00",
     "0001-01-01T00:00:00+01:00", "0000-01-01T00:00:00", "2020-01-01T0:00:00Z", "2020-01-01x00:00:00", "P1D",
     "PT0.1S", "P", [], [1], ["a"], {}, {"left": 0, "right": 1}, {"left": 1, "right": 0}, {"left": 0}, "(0, 1]",
     float("inf"), "\ud800"]
)  # fmt: skip


@MANY
@given(st.data())
def test_a_column_is_refused_exactly_for_the_values_that_are_told(data):
    strategies.load()
    kind, storage = data.draw(columns(), label="column")
    values = data.draw(st.lists(ODD, min_size=1, max_size=4), label="values")
    codec = MethodCodec(s.Method((s.Parameter("X", s.Table((s.Column("c", kind, storage),))),), s.Any()), {})

    def told(rows):
        try:
            assert len(codec.decode({"X": [{"c": value} for value in rows]}).positional[0]) == len(rows)
        except InvalidPayload as refused:
            return {int(problem.path[4:].partition("]")[0]) for problem in refused.problems}
        return set()

    bad = told(values)
    assert bad == {at for at, value in enumerate(values) if told([value])}
    good = [value for at, value in enumerate(values) if at not in bad]
    assert told(good) == set()


@MANY
@given(st.data())
def test_both_roads_of_a_request_agree(data):
    kind, frame = drawn(data, s.Table)
    codec = MethodCodec(s.Method((s.Parameter("X", kind),), kind), {})
    rows = codec.encode_arguments({"X": frame})["X"]
    if rows:
        row = data.draw(st.sampled_from(rows))
        row[data.draw(st.sampled_from([*row, "unknown"]))] = data.draw(ODD)
    raw = json.dumps({"X": rows}).replace("Infinity,", "1e400,").encode()
    roads = []
    for decode in (lambda: decode_request(codec, raw), lambda: codec.decode(parse_json(raw))):
        try:
            roads.append(decode().positional[0])
        except InvalidPayload as refused:
            roads.append(refused.to_document())
    assert strategies.same(*roads)


def test_unknown_columns_are_ignored_where_that_is_asked_for():
    table = type_of(pd.DataFrame({"a": [1]}))
    codec = MethodCodec(s.Method((s.Parameter("X", table),), table), {}, extra_columns="ignore")
    expected = pd.DataFrame({"a": [1]})
    for written in ([{"a": 1, "b": 2}], {"a": [1], "b": [2]}, {"columns": ["b", "a"], "data": [[2, 1]]}):
        pd.testing.assert_frame_equal(codec.decode({"X": written}).positional[0], expected)
        raw = dump_json({"X": written})
        pd.testing.assert_frame_equal(decode_request(codec, raw).positional[0], expected)


def test_what_is_wrong_beside_a_missing_column_is_told_too():
    assert problems_of({"X": [{**GOOD, "age": "1"}, {name: GOOD[name] for name in GOOD if name != "city"}]}) == {
        ("$.X[0].age", "payload.type"),
        ("$.X[1].city", "payload.missing"),
    }
    assert problems_of({"X": {"age": ["1"], "zip": [1]}}) >= {
        ("$.X.age[0]", "payload.type"),
        ("$.X.city", "payload.missing"),
        ("$.X.zip", "payload.unknown"),
    }
    assert problems_of({"X": {"columns": ["age"], "data": [["1"], [1, 2]]}}) >= {
        ("$.X.data[0].age", "payload.type"),
        ("$.X.data[1]", "payload.type"),
        ("$.X.columns.city", "payload.missing"),
    }


def test_answers_of_another_dtype_are_written_where_they_are_of_the_type():
    table = type_of(pd.DataFrame({"a": [1.5, 2.5], "b": pd.array([1, None], dtype="Int64"), "c": ["x", "y"]}))
    codec = MethodCodec(s.Method((), table), {})
    other = pd.DataFrame({"a": [1, 2], "b": [1, 2], "c": pd.Series(["x", "y"], dtype="string")})
    assert codec.encode(other) == [{"a": 1.0, "b": 1, "c": "x"}, {"a": 2.0, "b": 2, "c": "y"}]
    with pytest.raises(InvalidAnswer) as caught:
        codec.encode(pd.DataFrame({"a": ["x", "y"], "b": [1.5, 2.0], "c": [1, 2]}))
    assert len(caught.value.problems) == 6


def test_moments_of_another_unit_are_written_where_the_sealed_one_can_hold_them():
    codec = MethodCodec(s.Method((), type_of(pd.Series(pd.to_datetime(["2020-01-01"])).astype("datetime64[s]"))), {})
    whole = pd.Series(pd.to_datetime(["2020-01-01T00:00:01"])).astype("datetime64[ns]")
    assert codec.encode(whole) == ["2020-01-01T00:00:01"]
    with pytest.raises(InvalidAnswer):
        codec.encode(whole + pd.Timedelta(1, "ms"))


@pytest.mark.parametrize(
    "answer",
    [pd.Series([1.5], name="y"), pd.DataFrame({"y": [1]}), [1], pd.Series([1], index=pd.Index([1], name="other"))],
)
def test_a_series_that_is_another_is_refused(answer):
    kind = type_of(pd.Series([1], name="y", index=pd.Index(["x"], name="i")))
    with pytest.raises(InvalidAnswer):
        MethodCodec(s.Method((), kind), {}).encode(answer)


def test_a_hundred_problems_are_enough():
    codec = codec_of(pd.DataFrame({"a": [1]}))
    with pytest.raises(InvalidPayload) as caught:
        codec.decode({"X": [{"a": "x"}] * 5000})
    assert len(caught.value.problems) == 100
    assert "5000 problems" in caught.value.message


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_there_is_no_year_0(unit):
    column = s.Column("c", s.Scalar("datetime", nullable=True, unit=unit), f"datetime64[{unit}]")
    codec = MethodCodec(s.Method((s.Parameter("X", s.Table((column,))),), s.Any()), {})
    with pytest.raises(InvalidPayload) as refused:
        codec.decode({"X": [{"c": None}, {"c": "0000-01-01T00:00:00"}]})
    assert [problem.path for problem in refused.value.problems] == ["$.X[1].c"]
