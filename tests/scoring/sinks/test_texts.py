"""CSV and JSON Lines are the text that the codec writes, and the fast road writes what the slow one would."""

import datetime as dt
import json
import math
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.runtime.codec.arrow.types import plain_values
from model_envelope.runtime.codec.csv import write_sheet
from model_envelope.runtime.codec.text import dump_json
from model_envelope.scoring.sinks.texts import CsvLines, JsonLines, speller

MOMENTS = st.integers(-62_135_596_800, 253_402_300_799)


def in_unit(unit):
    digits = {"s": 1, "ms": 10**3, "us": 10**6}.get(unit, 10**9)
    seconds = MOMENTS if unit != "ns" else st.integers(-9_000_000_000, 9_000_000_000)
    fractions = st.one_of(st.just(0), st.integers(0, digits - 1))
    return st.builds(lambda second, fraction: second * digits + fraction, seconds, fractions)


def times(unit):
    return st.integers(0, 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit] - 1)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int8(): st.integers(-128, 127),
    pa.bool_(): st.booleans(),
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.string(): st.one_of(TEXT, st.text('a",;\r\n\\\ufeff\t\x00\x1f\x7f', max_size=4)),
    pa.large_string(): TEXT,
    pa.date32(): st.dates(),
    pa.decimal128(12, 4): st.decimals(-(10**7), 10**7, places=4),
    pa.binary(): st.binary(max_size=6),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["", "a", 'b"', "c,d"]),
    pa.dictionary(pa.int8(), pa.float64()): st.sampled_from([0.5, 1e20, 3.0]),
    **{pa.timestamp(unit): in_unit(unit) for unit in ("s", "ms", "us", "ns")},
    **{pa.timestamp(unit, "UTC"): in_unit(unit) for unit in ("s", "us")},
    pa.timestamp("us", "Europe/Berlin"): st.integers(-(10**15), 10**16),
    pa.time32("s"): times("s"),
    pa.time32("ms"): times("ms"),
    pa.time64("us"): times("us"),
    pa.time64("ns"): times("ns"),
    pa.duration("us"): st.integers(-(10**16), 10**16),
    pa.null(): st.none(),
}
NESTED = {
    pa.list_(pa.float64()): st.lists(st.one_of(st.none(), st.floats()), max_size=3),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): st.fixed_dictionaries({"a": st.integers(0, 9), "b": TEXT}),
    pa.map_(pa.string(), pa.int64()): st.dictionaries(TEXT, st.integers(0, 9), max_size=3).map(
        lambda d: list(d.items())
    ),
    pa.map_(pa.int64(), pa.bool_()): st.dictionaries(st.integers(0, 9), st.booleans(), max_size=3).map(
        lambda d: list(d.items())
    ),
    pa.list_(pa.timestamp("ms")): st.lists(in_unit("ms"), max_size=2),
}


def array_of(values, kind):
    if pa.types.is_temporal(kind) and not pa.types.is_date(kind):
        whole = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        return pa.array(values, whole).cast(kind)
    return pa.array(values, kind)


def expected(array):
    spell = speller(array.type)
    return [None if value is None else spell(value) for value in plain_values(array)]


@st.composite
def arrays(draw, kinds):
    kind = draw(st.sampled_from(list(kinds)))
    return array_of(draw(st.lists(st.one_of(st.none(), kinds[kind]), min_size=1, max_size=6)), kind)


@given(arrays(VALUES))
def test_a_column_of_csv_is_what_the_codec_writes(array):
    batch = pa.record_batch([array, pa.array(range(len(array)))], names=['a "b"', "n"])
    lines = CsvLines(",")
    found = lines.header(batch.schema.names) + bytes(lines.rows(batch))
    assert found == write_sheet(batch.schema.names, list(zip(expected(array), range(len(array)), strict=True)))


@given(arrays(VALUES | NESTED))
def test_a_line_of_json_is_what_the_codec_writes(array):
    batch = pa.record_batch([array, pa.array(["x"] * len(array))], names=['a "b"', "ü"])
    rows = [{'a "b"': value, "ü": "x"} for value in expected(array)]
    assert bytes(JsonLines().rows(batch)) == b"".join(dump_json(row) + b"\n" for row in rows)


@given(arrays(VALUES))
def test_a_slice_is_written_as_its_rows(array):
    batch = pa.record_batch([array], names=["a"])
    whole = bytes(JsonLines().rows(batch)).splitlines()
    cut = batch.slice(len(array) // 2)
    assert bytes(JsonLines().rows(cut)).splitlines() == whole[len(array) // 2 :]


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (pa.array([9_007_199_254_740_993, -(2**63)]), ["9007199254740993", "-9223372036854775808"]),
        (pa.array([1.0, 1e16, 1e-5, 0.1, -0.0]), ["1.0", "1e+16", "1e-05", "0.1", "-0.0"]),
        (pa.array([math.nan, math.inf, -math.inf, None]), ['"NaN"', '"Infinity"', '"-Infinity"', "null"]),
        (pa.array([dt.date(2020, 2, 29), dt.date(1, 1, 1)]), ['"2020-02-29"', '"0001-01-01"']),
        (pa.array([dt.datetime(2020, 2, 29, 1, 2, 3, 500_000)]), ['"2020-02-29T01:02:03.500"']),  # noqa: DTZ001
        (pa.array([0], pa.timestamp("s", "UTC")), ['"1970-01-01T00:00:00+00:00"']),
        (pa.array([dt.time(1, 2, 3)]), ['"01:02:03"']),
        (pa.array([dt.timedelta(seconds=90)]), ['"P0DT0H1M30S"']),
        (pa.array([Decimal("1.10")]), ['"1.10"']),
        (pa.array([b"\x00\xff"]), ['"AP8="']),
        (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([UUID(int=5).bytes], pa.binary(16))),
            ['"00000000-0000-0000-0000-000000000005"'],
        ),
        (pa.array(["ä\n\"'", ""]), ['"ä\\n\\"\'"', '""']),
    ],
    ids=str,
)
def test_values_are_spelled_as_json_spells_them(array, text):
    found = bytes(JsonLines().rows(pa.record_batch([array], names=["a"]))).decode().splitlines()
    assert found == [f'{{"a":{item}}}' for item in text]
    assert all("a" in json.loads(line) for line in found)


def test_another_delimiter_is_what_is_quoted():
    batch = pa.record_batch([pa.array(["a;b", "a,b", "", None])], names=["x;y"])
    lines = CsvLines(";")
    assert lines.header(["x;y", "z"]) == b'"x;y";z\r\n'
    assert bytes(lines.rows(batch)) == b'"a;b"\r\na,b\r\n""\r\n\r\n'


@pytest.mark.parametrize(
    "array",
    [
        pa.array([3_000_000], pa.date32()),
        pa.array([10**12], pa.timestamp("s")),
        pa.array([-(10**17)], pa.timestamp("us")),
    ],
)
def test_a_year_of_five_digits_is_refused_not_written(array):
    with pytest.raises(ValueError, match="four digits"):
        JsonLines().rows(pa.record_batch([array], names=["a"]))
