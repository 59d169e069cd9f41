import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import codec_for, dump_json, parse_json
from model_envelope.runtime.errors import InvalidPayload, Problems


def decode(kind, value):
    problems = Problems()
    found = codec_for(kind, {}).decode(value, "$.x", problems)
    return found, [(problem.path, problem.code) for problem in problems.items]


def encode(kind, value):
    problems = Problems()
    found = codec_for(kind, {}).encode(value, "$.x", problems)
    return found, [(problem.path, problem.code) for problem in problems.items]


VALUES = {
    "bool": st.booleans(),
    "int8": st.integers(-128, 127),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint8": st.integers(0, 255),
    "uint64": st.integers(0, 2**64 - 1),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(st.characters(codec="utf-8")),
    "bytes": st.binary(),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False),
    "date": st.dates(),
    "time": st.times(),
    "uuid": st.uuids(),
}


@given(st.data())
def test_every_value_comes_back_equal_through_json_text(data):
    dtype = data.draw(st.sampled_from(sorted(VALUES)))
    value = data.draw(VALUES[dtype])
    written, problems = encode(s.Scalar(dtype), value)
    assert problems == []
    assert decode(s.Scalar(dtype), parse_json(dump_json(written))) == (value, [])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int64", "3"), ("int64", 3.7), ("int64", 1e20), ("int64", True), ("int64", 2**63), ("int8", 128),
        ("uint8", -1), ("float64", "3"), ("float64", True), ("float64", "NaN"), ("float64", 10**400), ("float32", 1e39),
        ("bool", 1), ("bool", "true"), ("string", 1), ("string", ["a"]), ("date", "2020-02-30"),
        ("date", "20200101"), ("datetime", "2020-01-01"), ("datetime", "2020-01-01T00:00:00Z"), ("uuid", "x"),
        ("bytes", "***"), ("decimal", "one"), ("timedelta", "1"), ("null", 0),
    ],
)  # fmt: skip
def test_nothing_is_coerced(dtype, value):
    _, problems = decode(s.Scalar(dtype), value)
    assert problems == [("$.x", "payload.type")]


@pytest.mark.parametrize("dtype", ["int64", "float64", "string", "bool", "date"])
def test_null_is_told_apart_from_a_wrong_type(dtype):
    assert decode(s.Scalar(dtype), None)[1] == [("$.x", "payload.null")]
    assert decode(s.Scalar(dtype, nullable=True), None) == (None, [])


def test_integers_beyond_2_to_the_53_stay_exact():
    assert decode(s.Scalar("int64"), parse_json(b"9007199254740993"))[0] == 9007199254740993


def test_nan_and_infinities_travel_as_strings_where_the_signature_allows_them():
    kind = s.Scalar("float64", non_finite=True)
    assert encode(kind, math.inf) == ("Infinity", [])
    assert decode(kind, "-Infinity") == (-math.inf, [])
    assert math.isnan(decode(kind, "NaN")[0])
    assert encode(s.Scalar("float64"), math.nan)[1] == [("$.x", "answer.type")]


def test_datetimes_with_and_without_offset_are_two_types():
    aware = s.Scalar("datetime", timezone="")
    assert decode(aware, "2020-01-01T12:00:00+00:00")[0] == datetime(2020, 1, 1, 12, tzinfo=UTC)
    assert decode(aware, "2020-01-01T12:00:00")[1] == [("$.x", "payload.type")]


def test_scalars_become_the_python_objects_that_people_expect():
    assert decode(s.Scalar("date"), "2020-02-29")[0] == date(2020, 2, 29)
    assert decode(s.Scalar("time"), "23:59:01")[0] == time(23, 59, 1)
    assert decode(s.Scalar("timedelta"), "PT1M30S")[0] == timedelta(seconds=90)
    assert decode(s.Scalar("decimal"), "0.10")[0] == Decimal("0.10")
    assert decode(s.Scalar("uuid"), "12345678-1234-5678-1234-567812345678")[0] == UUID(
        int=0x12345678123456781234567812345678
    )


def test_a_choice_tells_true_from_one():
    kind = s.Choice((1, "a"))
    assert decode(kind, 1) == (1, [])
    assert decode(kind, True)[1] == [("$.x", "payload.choice")]
    assert decode(kind, [1])[1] == [("$.x", "payload.choice")]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1,]", b"NaN", b"[Infinity]", b"-Infinity", b"\xff", b"1" * 10_000, b"[" * 100_000, b"'a'", b"1 2"],
)
def test_what_is_no_json_is_refused_as_malformed(text):
    with pytest.raises(InvalidPayload) as caught:
        parse_json(text)
    assert caught.value.code == "payload.malformed"
    assert len(str(caught.value)) < 400


def test_of_duplicate_keys_the_last_wins():
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}
