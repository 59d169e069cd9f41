import enum
import math
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
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


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        ("timedelta", "PT0.5S", timedelta(milliseconds=500)),
        ("timedelta", "-P1DT1H", -timedelta(days=1, hours=1)),
        ("timedelta", "P-1DT23H59M59S", timedelta(seconds=-1)),
        ("time", "10:30", time(10, 30)),
        ("time", "10:30:00.5+02:00", time(10, 30, 0, 500_000, timezone(timedelta(hours=2)))),
        ("datetime", "2020-01-01 10:30", datetime(2020, 1, 1, 10, 30)),  # noqa: DTZ001
        ("decimal", "1E+3", Decimal(1000)),
        ("uuid", "ABCDEF00-0000-0000-0000-000000000000", UUID("abcdef00-0000-0000-0000-000000000000")),
        ("complex128", [1, -2.5], complex(1, -2.5)),
    ],
)
def test_the_spellings_that_are_read(dtype, text, value):
    assert decode(s.Scalar(dtype), text) == (value, [])


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        ("timedelta", "P"), ("timedelta", "PT"), ("timedelta", "P1Y"), ("timedelta", "P1M"), ("timedelta", "1D"),
        ("timedelta", "PT0.0000001S"), ("timedelta", "P9999999999D"), ("timedelta", 90), ("date", "2020-W01-1"),
        ("date", "\uff12020-01-01"), ("time", "10"), ("time", "T10:30"), ("time", "25:00"),
        ("datetime", "20200101T101010"),
        ("datetime", "2020-01-01T10:00:00.1234567"), ("decimal", "1_000"), ("decimal", "NaN"), ("decimal", "1e"),
        ("decimal", "1E+9999999999999999999"), ("uuid", "{12345678-1234-5678-1234-567812345678}"),
        ("uuid", "12345678123456781234567812345678"), ("bytes", "aGl="), ("bytes", "aGk"), ("bytes", "é"),
        ("string", "\ud800"), ("complex128", [1]), ("complex128", [1, "2"]), ("complex64", [1e39, 0]),
        ("float16", 70000),
        ("period", "2020-1"), ("period", 2020),
    ],
)  # fmt: skip
def test_no_other_spelling_is_read(dtype, text):
    assert decode(s.Scalar(dtype, unit="M" if dtype == "period" else None), text)[1] == [("$.x", "payload.type")]


class Word(enum.StrEnum):
    YES = "yes"


class Number(enum.IntEnum):
    ONE = 1


class LocalMeanTime(tzinfo):
    def utcoffset(self, moment):
        return None if moment is None else timedelta(minutes=19, seconds=32)

    def dst(self, moment):
        return None


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        (s.Scalar("string"), Word.YES, "yes"),
        (s.Scalar("int64"), Number.ONE, 1),
        (s.Scalar("float64"), Number.ONE, 1.0),
        (s.Scalar("float64"), 3, 3.0),
        (s.Scalar("complex128"), 2, [2.0, 0.0]),
        (s.Scalar("complex128", non_finite=True), complex(math.nan, -math.inf), ["NaN", "-Infinity"]),
        (s.Scalar("decimal", non_finite=True), Decimal("-NaN"), "NaN"),
        (s.Scalar("decimal", non_finite=True), Decimal("-Infinity"), "-Infinity"),
        (s.Scalar("timedelta"), timedelta(days=-1, microseconds=5), "P-1DT0H0M0.000005S"),
        (
            s.Scalar("datetime", timezone=""),
            datetime(1900, 1, 1, 0, 19, 32, tzinfo=LocalMeanTime()),
            "1900-01-01T00:00:00+00:00",
        ),
        (s.Any(), Word.YES, "yes"),
    ],
)
def test_how_answers_are_written(kind, value, written):
    assert encode(kind, value) == (written, [])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (s.Scalar("int64"), 2**63), (s.Scalar("int64"), True), (s.Scalar("int64"), 1.0), (s.Scalar("float64"), 10**400),
        (s.Scalar("float32"), 1e39), (s.Scalar("float64"), "1"), (s.Scalar("string"), "\ud800"), (s.Scalar("bool"), 1),
        (s.Scalar("date"), datetime(2020, 1, 1)),  # noqa: DTZ001
        (s.Scalar("datetime"), datetime(2020, 1, 1, tzinfo=UTC)), (s.Scalar("datetime"), date(2020, 1, 1)),
        (s.Scalar("datetime", timezone=""), datetime.min.replace(tzinfo=LocalMeanTime())),
        (s.Scalar("datetime", timezone=""), datetime(2020, 1, 1)),  # noqa: DTZ001
        (s.Scalar("time"), time(1, tzinfo=LocalMeanTime())), (s.Scalar("decimal"), Decimal("NaN")),
        (s.Scalar("decimal"), 1.5), (s.Scalar("complex64"), 1e39), (s.Scalar("period", unit="M"), "2020-01"),
        (s.Scalar("null"), 0), (s.Any(), "\ud800"),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_its_type_is_told(kind, value):
    assert encode(kind, value)[1] == [("$.x", "answer.type")]


def test_a_moment_moves_to_the_zone_of_its_type():
    found, problems = decode(s.Scalar("datetime", timezone="Europe/Berlin"), "2020-07-01T10:00:00Z")
    assert problems == []
    assert (found.hour, str(found.tzinfo)) == (12, "Europe/Berlin")
    assert decode(s.Scalar("datetime", timezone="Europe/Berlin"), "9999-12-31T23:30:00-01:00")[1]


def test_a_zone_may_be_an_offset():
    found, problems = decode(s.Scalar("datetime", timezone="+05:30"), "2020-07-01T10:00:00Z")
    assert problems == []
    assert (found.isoformat(), found.utcoffset()) == ("2020-07-01T15:30:00+05:30", timedelta(hours=5, minutes=30))


def test_a_choice_of_spelled_values_gives_the_values():
    kind = s.Choice(("2020-01-01",), dtype="date")
    assert decode(kind, "2020-01-01") == (date(2020, 1, 1), [])
    assert encode(kind, date(2020, 1, 1)) == ("2020-01-01", [])
    assert encode(kind, date(2020, 1, 2))[1] == [("$.x", "answer.choice")]
    assert decode(kind, None)[1] == [("$.x", "payload.null")]
