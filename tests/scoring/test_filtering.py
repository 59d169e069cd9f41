"""Filters: what they mean, and what they tell of where they make no sense."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from model_envelope.scoring.filtering import columns_of, mask_of, read_filter
from model_envelope.scoring.tables import InvalidJob, InvalidTable

ROWS = pa.table(
    {
        "x": pa.array([1, 2, None, 2**53 + 1], pa.int64()),
        "small": pa.array([1, -2, 3, None], pa.int8()),
        "big": pa.array([2**64 - 1, 0, 1, None], pa.uint64()),
        "f": pa.array([1.5, None, float("nan"), -0.5]),
        "t": pa.array(["a", "", None, "it's"]),
        "b": pa.array([True, False, None, True]),
        "day": pa.array([date(2013, 1, 1), date(2013, 6, 1), None, date(2014, 1, 1)]),
        "seen": pa.array([datetime(2013, 1, 1, tzinfo=UTC), None, datetime(2013, 1, 1, 5, tzinfo=UTC), None])
        .cast(pa.timestamp("us", tz="America/New_York")),
        "local": pa.array([datetime(2013, 1, 1), None, datetime(2013, 1, 2, 3, 4, 5), None]),  # noqa: DTZ001
        "clock": pa.array([time(5), time(6, 30), None, time(0)]),
        "took": pa.array([timedelta(hours=1), timedelta(minutes=1), None, timedelta(0)]),
        "sum": pa.array([Decimal("1.10"), Decimal("2.00"), None, Decimal("-1.00")], pa.decimal128(6, 2)),
        "raw": pa.array([b"hi", b"", None, b"x"]),
        "kind": pa.array(["a", "b", None, "a"]).dictionary_encode(),
        "code": pa.array([7, 8, None, 7]).dictionary_encode(),
        "list": pa.array([[1], [], None, [2]]),
        "odd name": pa.array([1, 2, 3, 4]),
        "a.b": pa.array([1, 2, 3, 4]),
        "class": pa.array([1, 2, 3, 4]),
        "ünï": pa.array([1, 2, 3, 4]),
    }
).to_batches()[0]  # fmt: skip


def kept(text, types=None):
    mask = mask_of(read_filter(text, ROWS.schema, types), ROWS, "t")
    return [at for at, yes in enumerate(mask.to_pylist()) if yes]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("x > 1", [1, 3]),
        ("x == 9007199254740993", [3]),
        ("x == 9007199254740992", []),
        ("x > 1.5", [1, 3]),
        ("x == 2.0", [1]),
        ("x < 1.5 or x >= 1.5", [0, 1, 3]),
        ("x <= 1.5", [0]),
        ("x == 1.5", []),
        ("x != 1.5", [0, 1, 3]),
        ("x > -0.5 and small > -1.5", [0]),
        ("x in (1.5, 2.5)", []),
        ("x > f", [3]),
        ("small < big", [0, 1]),
        ("1 < x <= 2", [1]),
        ("2 > x", [0]),
        ("x != 1", [1, 3]),
        ("not x == 1", [1, 3]),
        ("x is None", [2]),
        ("x is not None", [0, 1, 3]),
        ("x in (1, 2)", [0, 1]),
        ("x in [1, 2.5]", [0]),
        ("x not in {1}", [1, 3]),
        ("not (x in (1,))", [1, 3]),
        ("x in ()", []),
        ("small == -2 or small == +3", [1, 2]),
        ("small < 1000", [0, 1, 2]),
        ("small in (1, 1000)", [0]),
        ("big == 18446744073709551615", [0]),
        ("f > 0", [0]),
        ("f < 0", [3]),
        ("t == 'a' or t == ''", [0, 1]),
        ('t == "it\'s"', [3]),
        ("t in ('a', 'b')", [0]),
        ("b", [0, 3]),
        ("not b", [1]),
        ("b == True and x > 0", [0, 3]),
        ("day >= '2013-06-01'", [1, 3]),
        ("day in ('2013-01-01', '2014-01-01')", [0, 3]),
        ("seen == '2013-01-01T00:00:00Z'", [0]),
        ("seen >= '2013-01-01'", [2]),
        ("seen > '2013-01-01T00:00:00-04:59'", [2]),
        ("local > '2013-01-01'", [2]),
        ("local == '2013-01-02 03:04:05'", [2]),
        ("clock > '05:00'", [1]),
        ("took >= 'PT1H'", [0]),
        ("sum == '1.1' or sum == 2", [0, 1]),
        ("sum < 0", [3]),
        ("raw == 'aGk='", [0]),
        ("kind == 'a'", [0, 3]),
        ("kind in ('b', 'z')", [1]),
        ("code == 8", [1]),
        ("list is None", [2]),
        ("`odd name` > 3", [3]),
        ("a.b == 2", [1]),
        ("`class` == 2 and t != '`class`'", [1]),
        ("ünï == 4", [3]),
        ("x == small", [0]),
        ("x\n  > 1", [1, 3]),
        (" x > 1 ", [1, 3]),
    ],
)
def test_rows_that_are_kept(text, rows):
    assert kept(text) == rows


@pytest.mark.parametrize(
    ("text", "at", "message", "hint"),
    [
        ("", 1, "says nothing", "leave it out"),
        ("x >", 4, "no expression", "x > 3"),
        ("x = 3", 3, "no expression", "x > 3"),
        ("x > 1 and smal == 2", 11, "no column smal", "did you mean small"),
        ("colour == 2", 1, "no column colour", "there are x, small"),
        ("`odd  name` == 2", 1, "no column odd  name", "odd name"),
        ("t > 1 and x == 'a'", 5, "t is string, and 1 is a number", '"1"'),
        ("x == 'a'", 6, "x is int64, and 'a' is a text", "a number"),
        ("ünï == 1 and t == 'ü' and x == 'a'", 32, "x is int64", "a number"),
        ("b == 1", 6, "b is bool", "True or False"),
        ("x == True", 6, "True is a boolean", "a number"),
        ("day > '2013-13-01'", 7, "day is date32[day]", "2013-01-31"),
        ("day > 2013", 7, "2013 is a number", "2013-01-31"),
        ("seen > '2013-01-01T00:00:00'", 8, "timestamp[us, tz=America/New_York]", "with its offset"),
        ("big == -1", 8, "big is uint64", "a number"),
        ("x == 99999999999999999999", 6, "x is int64", "a number"),
        ("sum == '1.101'", 8, "decimal128(6, 2)", "a number"),
        ("x == None", 6, "nothing is equal to None", "x is None"),
        ("x is 3", 6, "None alone", "=="),
        ("x", 1, "no condition", "x > 0"),
        ("3", 1, "no condition", "comparisons"),
        ("x + 1 > 3", 1, "one side has to be a column", "x"),
        ("x > y()", 5, "compared with a value", "numbers"),
        ("x in 3", 6, "a list of values", "x in"),
        ("x in (1, 'a')", 10, "x is int64", "a number"),
        ("list == 3", 1, "has no order", "list is None"),
        ("x == t", 1, "x is int64, and t string", "one type"),
        ("x > 1; import os", 6, "no expression", "x > 3"),
        ("__import__('os').system('true')", 1, "no condition", "comparisons"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(text, at, message, hint):
    with pytest.raises(InvalidJob, match="--where at position") as caught:
        read_filter(text, ROWS.schema)
    error = caught.value
    assert error.code == "job.where"
    assert message in error.message
    assert hint in error.hint
    assert error.message.startswith(f"--where at position {at}:")
    assert error.detail.splitlines()[1] == " " * (at - 1) + "^"


def test_text_has_the_type_that_the_job_makes_of_it():
    schema = pa.schema([("age", pa.string()), ("x", pa.int64())])
    where = read_filter("age > 3", schema, {"age": pa.int64(), "x": pa.string()})
    assert columns_of(where, pa.schema([("age", pa.int64()), ("x", pa.int64())])) == ("age",)
    with pytest.raises(InvalidJob, match="age is string") as caught:
        read_filter("age > 3", schema, {"age": None})
    assert "types=COLUMN:int64" in caught.value.hint


def test_columns_that_a_filter_asks_for():
    for text, found in {
        "x > 1 and not (t is None)": ("x", "t"),
        "a.b == 1": ("a.b",),
        "kind in ('x',)": ("kind",),
        "t == 'x small big'": ("t",),
    }.items():
        assert columns_of(read_filter(text, ROWS.schema), ROWS.schema) == found


def test_a_filter_that_does_not_go_with_the_columns_is_told():
    with pytest.raises(InvalidTable, match="the filter does not go with"):
        columns_of(read_filter("x > 1", ROWS.schema), pa.schema([("x", pa.list_(pa.int64()))]))
    assert kept("x > 1 or f > 1") == [0, 1, 3]


def test_deep_filters_end_in_an_error_or_an_answer():
    assert kept(" and ".join(["x > 1"] * 500)) == [1, 3]
    with pytest.raises(InvalidJob):
        read_filter("not " * 100_000 + "b", ROWS.schema)
