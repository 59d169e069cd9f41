"""Rows of text files that cannot be read: those alone are broken, and each says why."""

import gzip
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from model_envelope.scoring.filtering import read_filter
from model_envelope.scoring.location import read_location
from model_envelope.scoring.sources import csv, open_source, textual
from model_envelope.scoring.tables import InvalidJob, InvalidTable, Wanted


def read(path, columns, rows=65_536, where=None, **options):
    """Read a file whole: its rows, their numbers, and what is broken."""
    source = open_source(read_location(str(path), options))
    rows_, numbers, broken = [], [], []
    wanted = Wanted(columns, rows, read_filter(where, source.schema(), columns) if where else None)
    for part in source.parts():
        for batch in source.batches(part, wanted):
            assert batch.data.num_rows == len(batch.rows())
            rows_ += batch.data.to_pylist()
            numbers += batch.rows()
            broken += batch.broken
    return rows_, numbers, broken


def written(folder, name, raw):
    (folder / name).write_bytes(raw)
    return folder / name


NUMBERS = {"a": pa.int64(), "b": pa.float64()}


def test_a_bad_cell_breaks_its_row_alone(tmp_path):
    path = written(tmp_path, "t.csv", b"a,b,c\n1,1.5,x\n3.7,2,y\n3,True,\n4,4.0,z\nx,y,z\n")
    rows, numbers, broken = read(path, NUMBERS)
    assert rows == [{"a": 1, "b": 1.5}, {"a": 4, "b": 4.0}]
    assert numbers == [0, 3]
    assert [item.row for item in broken] == [1, 2, 4]
    assert broken[0].problems[0].to_document() == {
        "path": "$.a[1]",
        "found": "3.7",
        "expected": "an integer of 64 bits",
        "code": "payload.type",
    }
    assert [problem.path for problem in broken[2].problems] == ["$.a[4]", "$.b[4]"]
    assert broken[0].values == {"a": "3.7", "b": "2"}
    assert broken[0].text is None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_that_are_no_records_are_kept_as_they_stand(tmp_path, end):
    lines = ["a,b", "1,1", "2", "3,3,3", "", '4,"4"', '5"5,5', '6,"6" x', '7,"7', "8,8", '"9",9']
    rows, numbers, broken = read(written(tmp_path, "t.csv", end.join(lines).encode()), NUMBERS)
    assert [row["a"] for row in rows] == [1, 4, 8, 9]
    assert numbers == [0, 4, 8, 9]
    assert [(item.row, item.text) for item in broken] == [
        (1, "2"), (2, "3,3,3"), (3, ""), (5, '5"5,5'), (6, '6,"6" x'), (7, '7,"7'),
    ]  # fmt: skip
    assert str(broken[0].problems[0]) == "$[1]: found 1 field, expected 2 fields, as in the header"
    assert "a quote that does not belong" in broken[3].problems[0].found
    assert all(item.problems[0].code == "table.line" and item.values is None for item in broken)


def test_bytes_that_are_no_utf8_break_their_line_alone(tmp_path):
    rows, _, broken = read(
        written(tmp_path, "t.csv", b"a,c\n1,\xc3\xa9\n2,\xe9\n3,x\n"), {"a": pa.int64(), "c": pa.string()}
    )
    assert rows == [{"a": 1, "c": "é"}, {"a": 3, "c": "x"}]
    assert [(item.row, item.text) for item in broken] == [(1, "2,\\xe9")]
    rows, _, broken = read(
        written(tmp_path, "t.jsonl", b'{"c":"\xc3\xa9"}\n{"c":"\xe9"}\n{"c":"x"}\n'), {"c": pa.string()}
    )
    assert [row["c"] for row in rows] == ["é", "x"]
    assert [(item.row, item.text) for item in broken] == [(1, '{"c":"\\xe9"}')]


def test_an_empty_field_is_null_and_a_quoted_one_a_text(tmp_path):
    rows, _, broken = read(written(tmp_path, "t.csv", b'c\n""\n\nNULL\n"a\n\nb"\n'), {"c": pa.string()})
    assert [row["c"] for row in rows] == ["", None, "NULL", "a\n\nb"]
    assert not broken


def test_lines_of_json_that_are_no_objects_are_broken(tmp_path):
    lines = [
        '{"a":1,"b":2.5}',
        "null",
        "[1]",
        '{"a":2',
        '{"a":3}{"a":4}',
        "",
        '{"a":NaN}',
        '{"a":5,"b":"NaN"}',
        "{}",
        "1",
    ]
    rows, numbers, broken = read(written(tmp_path, "t.jsonl", "\n".join(lines).encode()), NUMBERS)
    assert [row["a"] for row in rows] == [1, 5, None]
    assert numbers == [0, 6, 7]
    assert [item.text for item in broken] == ["null", "[1]", '{"a":2', '{"a":3}{"a":4}', '{"a":NaN}', "1"]
    assert "expected a JSON object" in str(broken[0].problems[0])


@pytest.mark.parametrize("value", ["1.0", '"1"', "true", "1e3", "9223372036854775808", "[1]", "{}"])
def test_json_that_is_no_integer_breaks_its_row(tmp_path, value):
    rows, _, [broken] = read(
        written(tmp_path, "t.jsonl", f'{{"a":1}}\n{{"a":{value},"x":0}}\n'.encode()), {"a": pa.int64()}
    )
    assert rows == [{"a": 1}]
    assert broken.row == 1
    assert broken.problems[0].path == "$.a[1]"
    assert broken.values == {"a": json.loads(value)}


def test_large_integers_stay_exact(tmp_path):
    exact = [2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]
    types = {"a": pa.int64(), "b": pa.uint64()}
    for name, line in (("t.csv", "{},{}"), ("t.jsonl", '{{"a":{},"b":{}}}')):
        text = ("a,b\n" if name == "t.csv" else "") + "".join(line.format(a, exact[3]) + "\n" for a in exact[:3])
        rows, _, broken = read(written(tmp_path, name, text.encode()), types)
        assert rows == [{"a": a, "b": exact[3]} for a in exact[:3]]
        assert not broken


def test_every_type_that_text_can_say_is_read(tmp_path):
    types = {
        "day": pa.date32(),
        "seen": pa.timestamp("ns", tz="Europe/Berlin"),
        "local": pa.timestamp("s"),
        "time": pa.time64("us"),
        "length": pa.duration("ms"),
        "raw": pa.binary(),
        "sum": pa.decimal128(6, 2),
        "half": pa.float16(),
        "tiny": pa.int8(),
        "kind": pa.dictionary(pa.int8(), pa.string()),
        "code": pa.dictionary(pa.int32(), pa.int64()),
        "big": pa.large_string(),
    }
    good = {
        "day": "2020-02-29",
        "seen": "2020-02-29T12:00:00.123456789+02:00",
        "local": "0099-01-01 00:00",
        "time": "23:59:59.5",
        "length": "PT1H0.5S",
        "raw": "aGk=",
        "sum": "1.10",
        "half": 0.5,
        "tiny": -128,
        "kind": "a",
        "code": 7,
        "big": "x",
    }
    bad = {
        "day": "2021-02-29",
        "seen": "2020-02-29T12:00:00",
        "local": "2020-01-01T00:00:00.5",
        "time": "24:00",
        "length": "1h",
        "raw": "aGk",
        "sum": "1.101",
        "half": 70000,
        "tiny": 128,
        "kind": None,
        "code": "7.5",
        "big": None,
    }
    text = "".join(
        ",".join("" if row[name] is None else str(row[name]) for name in types) + "\n" for row in (good, bad)
    )
    found = []
    for name, raw in (
        ("t.csv", ",".join(types) + "\n" + text),
        ("t.jsonl", json.dumps(good) + "\n" + json.dumps(bad) + "\n"),
    ):
        source = open_source(read_location(str(written(tmp_path, name, raw.encode()))))
        [batch] = source.batches(source.parts()[0], Wanted(types))
        assert batch.data.schema.types == list(types.values())
        [broken] = batch.broken
        assert [problem.path for problem in broken.problems] == [
            f"$.{name}[1]" for name in types if bad[name] is not None
        ]
        found.append(batch.data)
    assert found[0] == found[1]
    row = found[0].to_pylist()[0]
    assert row["seen"].value == 1582970400123456789
    assert (row["sum"], row["raw"], row["kind"], row["code"]) == (Decimal("1.10"), b"hi", "a", 7)


def test_lists_and_structs_stand_in_json_lines(tmp_path):
    types = {
        "tags": pa.list_(pa.string()), "spots": pa.list_(pa.int64()), "pair": pa.list_(pa.float64(), 2),
        "point": pa.struct([("x", pa.float64()), ("at", pa.date32())]), "counts": pa.map_(pa.string(), pa.int64()),
    }  # fmt: skip
    line = {
        "tags": ["a", None],
        "spots": [2**53 + 1],
        "pair": [1, 2.5],
        "point": {"x": 1, "at": "2020-01-01"},
        "counts": {"a": 1},
    }
    odd = {"tags": [1], "spots": [1.5], "pair": [1], "point": {"y": 1}, "counts": {"a": "b"}}
    path = written(tmp_path, "t.jsonl", "".join(json.dumps(one) + "\n" for one in (line, odd, {})).encode())
    rows, numbers, [broken] = read(path, types)
    assert numbers == [0, 2]
    assert rows[0]["tags"] == ["a", None]
    assert rows[0]["point"]["at"].year == 2020
    assert rows[0]["counts"] == [("a", 1)]
    assert rows[1] == dict.fromkeys(types)
    assert {problem.path.partition("[1]")[0] for problem in broken.problems} == {f"$.{name}" for name in types}
    assert "$.tags[1][0]" in {problem.path for problem in broken.problems}
    rows, _, _ = read(path, {"spots": pa.list_(pa.int64())})
    assert rows[0]["spots"] == [2**53 + 1]
    with pytest.raises(InvalidTable, match="a field of CSV cannot say"):
        read(written(tmp_path, "t.csv", b"tags\nx\n"), {"tags": types["tags"]})


def test_broken_rows_are_counted_in_batches_and_beside_a_filter(tmp_path):
    lines = [f"{at},{'x' if at % 10 == 3 else at}" for at in range(100)]
    path = written(tmp_path, "t.csv", ("a,b\n" + "\n".join(lines) + "\nlast\n").encode())
    rows, numbers, broken = read(path, NUMBERS, rows=16)
    assert numbers == [row["a"] for row in rows] == [at for at in range(100) if at % 10 != 3]
    assert [item.row for item in broken] == [*range(3, 100, 10), 100]
    assert all(item.problems[0].path == f"$.b[{item.row}]" for item in broken[:-1])
    rows, numbers, broken = read(path, NUMBERS, rows=7, where="a >= 50")
    assert [row["a"] for row in rows] == [at for at in range(50, 100) if at % 10 != 3]
    # Rows that cannot be read cannot be left out either: they stand behind the rows before them that are kept.
    assert [item.row for item in broken] == [0, 1, 2, 3, 4, 8, 18, 28, 38, 48, 55]
    assert sorted([*numbers, *(item.row for item in broken)]) == list(range(56))


def test_a_file_of_broken_rows_alone_is_read_in_batches(tmp_path):
    source = open_source(read_location(str(written(tmp_path, "t.csv", b"a\n" + b"x\n" * 100))))
    batches = list(source.batches(source.parts()[0], Wanted({"a": pa.int64()}, 30)))
    assert [(batch.first, batch.data.num_rows, len(batch.broken)) for batch in batches] == [
        (0, 0, 30), (30, 0, 30), (60, 0, 30), (90, 0, 10),
    ]  # fmt: skip


@pytest.mark.parametrize("block", [1, 2, 3, 5, 17, 64])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_where_blocks_end_makes_no_difference(tmp_path, monkeypatch, block, name):
    if name == "t.csv":
        raw = 'a,b\r\n1,"x, ""y""\r\nz"\r\n2,é\n3"\n4,"5\n6,7\n\n"8","9"'.encode()
    else:
        raw = '{"a":1,"b":"x\\"\\n"}\r\n{"a":"é"}\n\n[\n{"a":4,"b":"é"}'.encode()
    types = {"a": pa.int64(), "b": pa.string()}
    path = written(tmp_path, name, raw)
    whole = read(path, types)
    assert whole[0]
    assert whole[2]
    monkeypatch.setattr(textual, "BLOCK", block)
    monkeypatch.setattr(csv, "BLOCK", block)
    assert read(path, types) == whole


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(textual, "LONGEST", 1 << 20)
    monkeypatch.setattr(csv, "LONGEST", 1 << 20)
    monkeypatch.setattr(textual, "BLOCK", 1 << 16)
    monkeypatch.setattr(csv, "BLOCK", 1 << 16)
    for name, raw in (("t.csv", b"a\n" + b"x" * (3 << 20)), ("t.jsonl", b'{"a":"' + b"x" * (3 << 20))):
        with pytest.raises(InvalidTable, match="a line of more than"):
            read(written(tmp_path, name, raw), {"a": pa.string()})
    rows, _, broken = read(written(tmp_path, "t.csv", b'a\n"never closed\n' + b"x\n" * (1 << 20)), {"a": pa.string()})
    assert [item.text for item in broken] == ['"never closed']
    assert len(rows) == 1 << 20


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"a,b,a\n1,2,3\n", "more than one column a"),
        (b'a,"b\n', "does not begin with a header"),
        (b"\xff\n1\n", "cannot be read as CSV"),
    ],
)
def test_a_header_has_to_be_there(tmp_path, raw, message):
    with pytest.raises(InvalidTable, match=message):
        open_source(read_location(str(written(tmp_path, "t.csv", raw))))


def test_a_packed_file_that_is_cut_short_is_told(tmp_path):
    packed = gzip.compress(b"a\n" + b"".join(b"%d\n" % at for at in range(100_000)))
    path = written(tmp_path, "t.csv.gz", packed[: len(packed) // 2])
    with pytest.raises(InvalidTable, match=r"t\.csv\.gz cannot be read"):
        read(path, {"a": pa.int64()})
    twice = written(tmp_path, "t.csv.gz", gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    assert read(twice, {"a": pa.int64()})[0] == [{"a": 1}, {"a": 2}]


def test_types_can_be_said_where_the_job_has_none(tmp_path):
    path = written(tmp_path, "t.csv", b"year,seen,zip\n2013,2020-01-01T00:00:00Z,007\n2014,2020-01-01T00:00:00Z,008\n")
    rows, _, _ = read(path, {"zip": None}, where="year > 2013", types="year:int64,seen:timestamp[us, tz=UTC]")
    assert rows == [{"zip": "008"}]
    rows, _, _ = read(path, {"zip": None, "year": None})
    assert rows[0] == {"zip": "007", "year": "2013"}
    with pytest.raises(InvalidJob, match="year:number"):
        read(path, {"zip": None}, types="year:number")


def test_json_lines_say_their_own_types(tmp_path):
    lines = [
        {"i": 1, "f": 1, "t": "a", "l": [1], "o": {"x": 1}, "m": 1, "n": None, "b": True},
        {"i": 2, "f": 1.5, "t": "b", "l": [], "o": {"y": "z"}, "m": [1, "a"], "n": None, "b": False},
    ]
    path = written(tmp_path, "t.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    source = open_source(read_location(str(path)))
    assert dict(zip(source.schema().names, map(str, source.schema().types), strict=True)) == {
        "i": "int64", "f": "double", "t": "string", "l": "list<item: int64>",
        "o": "struct<x: int64, y: string>", "m": "string", "n": "string", "b": "bool",
    }  # fmt: skip
    rows, _, broken = read(path, dict.fromkeys(source.schema().names))
    assert not broken
    assert [row["m"] for row in rows] == ["1", '[1,"a"]']
    assert rows[1]["o"] == {"x": None, "y": "z"}


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "é"])
def test_a_delimiter_is_one_character(tmp_path, delimiter):
    path = written(tmp_path, "t.csv", b"a\n1\n")
    if delimiter == "":
        assert read(path, {"a": pa.int64()}, delimiter=delimiter)[0] == [{"a": 1}]
        return
    with pytest.raises(InvalidJob, match="cannot have the delimiter"):
        read(path, {"a": pa.int64()}, delimiter=delimiter)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_large_file_is_read_little_by_little(tmp_path, name):
    """Also where the size of a batch is small, and some rows are broken."""
    count = 600_000
    with (tmp_path / name).open("w") as file:
        if name == "t.csv":
            file.write("a,b\n")
        line = '%d,"%d.5"\n' if name == "t.csv" else '{"a":%d,"b":%d.5}\n'
        file.writelines(line % (at, at) if at % 50_000 else "broken\n" for at in range(count))
    source = open_source(read_location(str(tmp_path / name)))
    before, peak, rows, broken = pa.total_allocated_bytes(), 0, 0, 0
    for batch in source.batches(source.parts()[0], Wanted(NUMBERS, 10_000)):
        peak = max(peak, pa.total_allocated_bytes() - before)
        rows += batch.data.num_rows
        broken += len(batch.broken)
    assert (rows, broken) == (count - 12, 12)
    assert peak < 24 << 20
