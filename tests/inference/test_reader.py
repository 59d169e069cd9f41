"""Files of samples: what they become, what columns are said to be, and what is wrong with the bad ones."""

import datetime as dt
import json
import subprocess
import sys
import zipfile
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model_envelope.inference.columns import parse_override
from model_envelope.inference.reader import READERS, read
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature, from_document

PEOPLE = "age,zip,since,score,member\n1,01234,2020-01-31,1.5,true\n,98765,2020-02-01T10:00:00,,\n"


def read_csv(folder, text, *overrides):
    path = folder / "samples.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, [parse_override(one) for one in overrides])


def refused(action, *arguments):
    with pytest.raises(InvalidSignature) as caught:
        action(*arguments)
    return caught.value


FRAME = pd.DataFrame({"a": [1, 2], "b": pd.array([1, None], dtype="Int64"), "c": pd.Categorical(["x", "y"])})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.parquet", FRAME.to_parquet),
        ("x.feather", FRAME.to_feather),
        ("x.arrow", FRAME.to_feather),
        ("stream.arrow", lambda path: write_stream(path, pa.Table.from_pandas(FRAME))),
    ],
)
def test_tables_come_back_with_their_dtypes(tmp_path, name, write):
    write(tmp_path / name)
    pd.testing.assert_frame_equal(read(tmp_path / name), FRAME)


def write_stream(path, table):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def test_arrays_and_plain_values(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3))
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.zeros(2))
    (tmp_path / "x.json").write_text('{"a": [1, null]}')
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    assert read(tmp_path / "x.npy").tolist() == [0, 1, 2]
    assert {name: array.tolist() for name, array in read(tmp_path / "x.npz").items()} == {"a": [0, 1, 2], "b": [0, 0]}
    assert read(tmp_path / "x.json") == {"a": [1, None]}
    assert read(tmp_path / "x.jsonl") == [{"a": 1}, {"a": 2}]
    assert {".csv", ".ndjson"} < READERS.keys()


def test_dates_in_a_csv_stay_strings_until_they_are_said_to_be_dates(tmp_path):
    frame = read_csv(tmp_path, PEOPLE)
    assert type_of(frame).columns[2].type == s.Scalar("string")
    frame = read_csv(tmp_path, PEOPLE, "since=datetime")
    assert frame["since"].tolist() == [pd.Timestamp("2020-01-31"), pd.Timestamp("2020-02-01T10:00")]


def test_what_columns_are_said_to_be_they_are(tmp_path):
    given = ["age=int64?", "zip=string", "since=datetime64[ns]", "score=float64?", "member=bool?"]
    frame = read_csv(tmp_path, PEOPLE, *given)
    assert frame["age"].dtype == "Int64"
    assert frame["zip"].tolist() == ["01234", "98765"]
    assert frame["member"].dtype == "boolean"
    table = type_of(frame)
    assert [column.type.nullable for column in table.columns] == [True, False, False, True, True]
    assert table.columns[2].type == s.Scalar("datetime", unit="ns")


def test_a_question_mark_admits_null_though_no_row_shows_it(tmp_path):
    table = type_of(read_csv(tmp_path, "a,b\n1,x\n2,y\n", "a=float64?", "b=string?"))
    assert table.columns[0] == s.Column("a", s.Scalar("float64", nullable=True), "float64")
    assert table.columns[1] == s.Column("b", s.Scalar("string", nullable=True), "string")


@pytest.mark.parametrize(
    ("given", "text", "values"),
    [
        ("date", "2020-01-31", dt.date(2020, 1, 31)),
        ("decimal", "1.10", Decimal("1.10")),
        ("timedelta", "P1DT0H0M0S", pd.Timedelta(1, "D")),
        ("category", "x", "x"),
        ("period[M]", "2020-01", pd.Period("2020-01", "M")),
        ("datetime64[us, UTC]", "2020-01-31T10:00:00Z", pd.Timestamp("2020-01-31T10:00", tz="UTC")),
        ("UInt8", "255", 255),
        ("boolean", "true", True),
        ("str", "007", "007"),
    ],
)
def test_types_by_their_names_in_pandas_and_in_signatures(tmp_path, given, text, values):
    assert read_csv(tmp_path, f"a,b\n{text},1\n", f"a={given}")["a"].tolist() == [values]


def test_columns_of_other_files_take_types_too(tmp_path):
    FRAME.to_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", [parse_override("a=float32")])["a"].dtype == "float32"
    error = refused(read, tmp_path / "x.parquet", [parse_override("c=int64")])
    assert error.problems[0].path == "$.c"


@pytest.mark.parametrize(
    ("given", "path", "found"),
    [
        ("age=int64", "$[1].age", "null"),
        ("zip=int64", "$[0].zip", 'the string "01234"'),
        ("since=date", "$[1].since", 'the string "2020-02-01T10:00:00"'),
        ("zip=datetime", "$[0].zip", 'the string "01234"'),
        ("score=string", "$[1].score", "null"),
        ("age=money", "$.age", "the type `money`"),
        ("age=int64[pyarrow]", "$.age", "the type `int64[pyarrow]`"),
    ],
)
def test_values_that_are_not_what_they_are_said_to_be_are_named(tmp_path, given, path, found):
    error = refused(read_csv, tmp_path, PEOPLE, given)
    assert error.code == "samples.column-type"
    assert (error.problems[0].path, error.problems[0].found) == (path, found)


@pytest.mark.parametrize("given", ["age", "=int64", "age=", "age=?"])
def test_what_gives_no_type_is_refused(given):
    assert "gives no type" in str(refused(parse_override, given))


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path):
    assert "it has `age`, `zip`" in str(refused(read_csv, tmp_path, PEOPLE, "wage=int64"))


def test_plain_json_takes_no_types_of_columns(tmp_path):
    (tmp_path / "x.json").write_text('[{"a": 1}]')
    assert refused(read, tmp_path / "x.json", [parse_override("a=int64")]).code == "samples.column-type"


def test_an_empty_column_of_a_csv_is_told_with_the_cure(tmp_path):
    error = refused(read_csv, tmp_path, "a,b\n1,\n2,\n")
    assert error.code == "signature.empty-column"
    assert "--column b=float64?" in str(error)
    assert read_csv(tmp_path, "a,b\n1,\n2,\n", "b=float64?")["b"].isna().all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\nGrün\n".encode("latin-1"), "byte 7 (line 2) is no UTF-8"),
        ("a,b\n1\n2,3,4\n", "line 3: found 3 fields"),
        ('a,b\n"1,2\n', "line 2 has a quote that does not belong there, or that is never closed"),
        ("", "it is empty"),
    ],
)
def test_a_csv_that_is_none_is_told_with_the_line(tmp_path, text, said):
    error = refused(read_csv, tmp_path, text)
    assert error.code == "samples.unreadable"
    assert said in str(error)


BINARY = ["parquet", "feather", "arrow", "npy", "npz"]


@pytest.mark.parametrize("ending", BINARY)
def test_a_file_that_is_cut_short_is_told(tmp_path, ending):
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    if ending.startswith("np"):
        (np.save if ending == "npy" else np.savez)(whole, np.arange(1000))
    elif ending == "parquet":
        FRAME.to_parquet(whole)
    else:
        FRAME.to_feather(whole)
    cut.write_bytes(whole.read_bytes()[:-40])
    error = refused(read, cut)
    assert error.code == "samples.unreadable"
    assert "check that the file is whole" in str(error)


@pytest.mark.parametrize("ending", [*BINARY, "csv", "json"])
@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 no samples\n\x80\x81"], ids=["empty", "another kind"])
def test_a_file_that_is_not_what_its_ending_says_is_told(tmp_path, ending, content):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    error = refused(read, path)
    assert error.code == "samples.unreadable"
    assert f"x.{ending} cannot be read as {ending.upper()}: " in error.message
    assert len(str(error)) < 600


def npy_header(shape, version=b"\x01\x00"):
    described = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(described).to_bytes(2, "little") + described


@pytest.mark.parametrize(
    "content",
    [
        npy_header(f"({2**50},)") + bytes(16),
        npy_header(f"({2**62}, {2**62})") + bytes(16),
        npy_header(str((1,) * 100)) + bytes(8),
        b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b" " * 100,
    ],
    ids=["petabytes", "beyond 64 bits", "100 dimensions", "a header of gigabytes"],
)
def test_an_array_that_claims_more_than_it_holds_is_told(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    assert refused(read, tmp_path / "x.npy").code in {"samples.unreadable", "samples.too-large"}


def test_samples_that_take_more_than_the_memory_are_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        file.write(npy_header(f"({2**24},)"))
        for _ in range(2**7):
            file.write(bytes(2**20))
    (tmp_path / "x.json").write_bytes(b"[" + b"[0.5]," * 10**7 + b"1]")
    for name in ("x.npz", "x.json"):
        code = (
            "import sys; from pathlib import Path; from model_envelope.inference import reader, memory;"
            "memory.limit_memory(100 * 2**20); reader.read(Path(sys.argv[1]))"
        )
        run = [sys.executable, "-c", code, str(tmp_path / name)]
        ended = subprocess.run(run, check=False, capture_output=True, text=True)
        assert "InvalidSignature" in ended.stderr
        assert f"{name} holds more than the" in ended.stderr or "Unable to allocate" in ended.stderr


def test_json_that_is_none_is_told_with_the_line(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": NaN}\n')
    assert "line 2: NaN is no JSON" in str(refused(read, tmp_path / "x.jsonl"))


def test_arrays_of_objects_are_refused_they_would_run_code(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object))
    assert refused(read, tmp_path / "x.npy").code == "samples.unreadable"


def test_the_child_reads_a_file_with_the_types_that_were_given(tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    run = [sys.executable, "-m", "model_envelope.inference.reader", str(tmp_path / "x.csv"), str(tmp_path / "out")]
    subprocess.run([*run, "--column=a=Int64"], check=True)
    assert pd.read_pickle(tmp_path / "out")["a"].dtype == "Int64"
    assert subprocess.run([*run, "--column=a=date"], check=False).returncode == 1
    error = from_document(json.loads((tmp_path / "out").read_bytes()))
    assert error.problems[0].path == "$[0].a"
