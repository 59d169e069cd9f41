"""Text becomes what the codec makes of it, and nothing that the codec refuses becomes anything."""

import json
import math
from datetime import date, datetime, timedelta

import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions, codec_for
from model_envelope.runtime.codec.csv import field_reader, write_sheet
from model_envelope.runtime.codec.text import parse_json
from model_envelope.runtime.errors import InvalidPayload, Problems
from model_envelope.scoring.location import read_location
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import Wanted

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

KINDS = {
    pa.int8(): s.Scalar("int8"),
    pa.int64(): s.Scalar("int64"),
    pa.uint64(): s.Scalar("uint64"),
    pa.float32(): s.Scalar("float32", non_finite=True),
    pa.float64(): s.Scalar("float64", non_finite=True),
    pa.bool_(): s.Scalar("bool"),
    pa.date32(): s.Scalar("date"),
    pa.timestamp("us"): s.Scalar("datetime"),
    pa.timestamp("us", tz="UTC"): s.Scalar("datetime", timezone="UTC"),
    pa.string(): s.Scalar("string"),
}
"""An Arrow type, and the type of the codec that says what is read as it."""

numbers = st.one_of(
    st.integers().map(str),
    st.integers(-(2**64), 2**64).map(str),
    st.floats().map(repr),
    st.from_regex(r"[-+]?[0-9]{0,3}(\.[0-9]{0,3})?([eE][-+]?[0-9]{0,3})?", fullmatch=True),
    st.sampled_from(
        ["-0", "-0.0", "0x10", "007", "1_000", "٣", "1e999", "1e-999", "-1e400", "NaN", "nan", "Infinity", "inf"]
    ),
)
moments = st.one_of(
    st.datetimes().map(str),
    st.datetimes(datetime(1600, 1, 1), datetime(2300, 1, 1)).map(datetime.isoformat),  # noqa: DTZ001
    st.dates(date(1600, 1, 1)).map(str),
    st.from_regex(
        r"[12][0-9]{3}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,9})?)?"
        r"(Z|z|[+-][0-2][0-9]:[0-6][0-9])?)?",
        fullmatch=True,
    ),
)
words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(
        ["true", "false", "True", "1", " true", "null", '"', ",", "\n", "\r\n", "a\rb", "\ufeff", "\0", "'"]
    ),
)
texts = st.one_of(numbers, moments, words)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def judged(kind, value):
    """Ask the codec for one value: what it becomes, or that it is refused."""
    if value is None:
        return None
    problems = Problems()
    found = codec_for(kind, Definitions()).decode(value, "$", problems)
    return "refused" if problems else found


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return one == other and type(one) is type(other)


def as_arrow_has_it(type_, value):
    """Floats of 32 bits lose digits, and moments are told in UTC."""
    return pa.scalar(value, type_).as_py() if pa.types.is_floating(type_) and value is not None else value


def read(folder, name, raw, columns, **options):
    (folder / name).write_bytes(raw)
    source = open_source(read_location(str(folder / name), options))
    [batch] = source.batches(source.parts()[0], Wanted(columns))
    rows = dict(zip(batch.rows(), batch.data.to_pylist(), strict=True))
    return rows | {item.row: "refused" for item in batch.broken}


@SETTINGS
@given(st.lists(st.one_of(st.none(), texts), min_size=1, max_size=20))
@example(["1", "-0", "1.0", None, "", "1e5", "12345678901234567890"])
def test_a_field_of_csv_is_what_the_codec_says(tmp_path, cells):
    for type_, kind in KINDS.items():
        rows = read(tmp_path, "t.csv", write_sheet(["x"], [[cell] for cell in cells]), {"x": type_})
        for at, cell in enumerate(cells):
            expected = judged(kind, None if cell is None else field_reader(kind)(cell))
            found = rows[at] if rows[at] == "refused" else rows[at]["x"]
            assert same(found, expected if expected == "refused" else as_arrow_has_it(type_, expected)), (type_, cell)


@SETTINGS
@given(st.lists(json_values, min_size=1, max_size=80))
@example([0.0, -0.0, 1, 2.5, None, 2**53 + 1, 1e308])
@example([*range(200), "x"])
def test_a_value_of_json_lines_is_what_the_codec_says(tmp_path, values):
    raw = "".join(json.dumps({"x": value, "other": [value]}) + "\n" for value in values)
    raw_utf8 = "".join(json.dumps({"other": {"x": value}, "x": value}, ensure_ascii=False) + "\n" for value in values)
    for type_, kind in KINDS.items():
        for text in (raw, raw_utf8):
            rows = read(tmp_path, "t.jsonl", text.encode("utf-8", "surrogatepass"), {"x": type_})
            for at, value in enumerate(values):
                expected = judged(kind, value)
                found = rows[at] if rows[at] == "refused" else rows[at]["x"]
                assert same(found, expected if expected == "refused" else as_arrow_has_it(type_, expected)), (
                    type_,
                    value,
                )


@SETTINGS
@given(st.data())
def test_a_line_is_json_where_the_codec_says_so(tmp_path, data):
    """Lines that were tampered with: what Arrow admits beyond JSON, and what it would take for two rows or none."""
    odd = st.sampled_from(
        [
            b"{}",
            b"NaN",
            b"\\ud800",
            b"\\u0000",
            b"\\ud83d\\ude00",
            b"\\u00E9",
            b"\\u12",
            b"\xff",
            b"\0",
            b"//",
            b"null",
            b",",
            b"{",
            b"}",
            b'"',
            b"1",
            b"\r",
            b"[",
            b"-0",
        ]
    )
    lines = [b'{"x":7,"y":"b"}']
    for value in data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=12)):
        line = b'{"x":%d,"y":"a","z":{"x":null}}' % value
        at = data.draw(st.one_of(st.none(), st.integers(0, len(line))))
        lines.append(line if at is None else line[:at] + data.draw(odd) + line[at + data.draw(st.integers(0, 2)) :])
    rows = read(
        tmp_path, "t.jsonl", b"\n".join(lines) + b"\n", {"x": pa.int64(), "y": pa.string()}, types="x:int64,y:string"
    )
    for at, line in enumerate(line for line in lines if line.strip(b" \t\r")):
        try:
            value = parse_json(line)
        except InvalidPayload:
            value = None
        fine = isinstance(value, dict)
        x, y = (value.get("x"), value.get("y")) if fine else (None, None)
        refused = not fine or "refused" in {judged(s.Scalar("int64"), x), judged(s.Scalar("string"), y)}
        assert rows[at] == ("refused" if refused else {"x": x, "y": y}), line


@SETTINGS
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "t": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
                "b": st.none() | st.booleans(),
                "d": st.none() | st.dates(),
                "l": st.none() | st.datetimes(timezones=st.just(None)),
            }
        ),
        min_size=1,
        max_size=30,
    )
)
def test_what_is_written_is_read_again(tmp_path, rows):
    types = {
        "i": pa.int64(),
        "f": pa.float64(),
        "t": pa.string(),
        "b": pa.bool_(),
        "d": pa.date32(),
        "l": pa.timestamp("us"),
    }
    plain = [
        {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()} for row in rows
    ]
    found = read(tmp_path, "t.csv", write_sheet(list(types), [[row[name] for name in types] for row in plain]), types)
    assert list(found.values()) == rows
    found = read(tmp_path, "t.jsonl", "".join(json.dumps(row) + "\n" for row in plain).encode(), types)
    assert list(found.values()) == rows


def test_days_far_away_are_read(tmp_path):
    days = [date(1, 1, 1) + timedelta(days=30_000 * at) for at in range(120)]
    text = "".join(f"{day}\n" for day in days)
    rows = read(tmp_path, "t.csv", f"x\n{text}".encode(), {"x": pa.date32()})
    assert [row["x"] for row in rows.values()] == days
