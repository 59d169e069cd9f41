"""Finding files: what is there, what is not, what may not be read, and what is missing to reach it."""

import sys
import uuid
from datetime import date

import fsspec
import pyarrow as pa
import pytest
from source_cases import arrow_bytes, csv_bytes, jsonl_bytes, parquet_bytes

from model_envelope.runtime.errors import ExitCode
from model_envelope.scoring.filtering import read_filter
from model_envelope.scoring.location import read_location
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import InvalidJob, InvalidTable, Wanted

TABLE = pa.table({"x": [1, 2]})
MAKE = {"parquet": parquet_bytes, "csv": csv_bytes, "jsonl": jsonl_bytes, "arrow": arrow_bytes}


def source_of(text, **options):
    return open_source(read_location(str(text), options))


def rows_of(source):
    parts = source.parts()
    found = [list(source.batches(part, Wanted({"x": pa.int64()}))) for part in parts]
    return [row["x"] for batches in found for batch in batches for row in batch.data.to_pylist()]


@pytest.fixture(params=MAKE)
def kind(request):
    return request.param


@pytest.mark.parametrize("url", ["{folder}/no.{kind}", "file://{folder}/no.{kind}", "memory://no/no.{kind}"])
def test_what_is_not_there_is_told(tmp_path, kind, url):
    with pytest.raises(InvalidTable, match="there is no file or folder") as caught:
        source_of(url.format(folder=tmp_path, kind=kind))
    assert caught.value.code == "table.missing"
    assert f"no.{kind}" in caught.value.message


@pytest.mark.parametrize("pattern", ["*.{kind}", "no/*.{kind}", "**/x.{kind}", "day=[12]/*.{kind}"])
def test_a_pattern_that_nothing_fits_is_told(tmp_path, kind, pattern):
    (tmp_path / "other.txt").touch()
    with pytest.raises(InvalidTable, match="no file fits") as caught:
        source_of(f"{tmp_path}/{pattern.format(kind=kind)}")
    assert caught.value.code == "table.missing"


def test_a_folder_without_a_table_is_told(tmp_path, kind):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidTable, match=f"has no {kind} file") as caught:
        source_of(f"{kind}:{tmp_path}")
    assert caught.value.code == "table.empty"


def test_a_folder_of_another_format_is_told_with_its_name(tmp_path):
    (tmp_path / "t.csv").write_bytes(csv_bytes(TABLE))
    with pytest.raises(InvalidTable, match="has no parquet file") as caught:
        source_of(tmp_path)
    assert f"csv:{tmp_path}" in caught.value.hint


def test_a_delta_table_is_not_read_as_its_files(tmp_path):
    (tmp_path / "_delta_log").mkdir()
    (tmp_path / "_delta_log" / "00000000000000000000.json").write_text("{}")
    (tmp_path / "part-0.parquet").write_bytes(parquet_bytes(TABLE))
    with pytest.raises(InvalidTable, match="is a Delta table") as caught:
        source_of(tmp_path)
    assert caught.value.hint == f"name it as one: delta:{tmp_path}"


def test_a_file_that_is_another_format_is_told(tmp_path, kind):
    (tmp_path / f"t.{kind}").write_bytes(b"\x00\xff\xfe not at all\n" * 3)
    with pytest.raises(InvalidTable) as caught:
        rows_of(source_of(tmp_path / f"t.{kind}"))
    assert f"t.{kind}" in str(caught.value)


def test_patterns_find_files_at_any_depth(tmp_path):
    for at, place in enumerate(("a/1.csv", "a/b/2.csv", "c/3.csv", "a/x.txt", ".hidden/4.csv")):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(csv_bytes(pa.table({"x": [at]})))
    for pattern, found in {
        "*/?.csv": [0, 2],
        "**/*.csv": [0, 1, 2],
        "a/**/*.csv": [0, 1],
        "**": [0, 1, 2],
        "[ab]": [0, 1],
        "[!a]/*.csv": [2],
    }.items():
        assert sorted(rows_of(source_of(f"csv:{tmp_path}/{pattern}"))) == found, pattern


def test_a_name_with_signs_of_a_pattern_is_a_name_where_it_is_there(tmp_path):
    (tmp_path / "t[1].csv").write_bytes(csv_bytes(TABLE))
    assert rows_of(source_of(tmp_path / "t[1].csv")) == [1, 2]


def test_a_relative_path_is_told_as_it_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.parquet").write_bytes(parquet_bytes(TABLE))
    for text in ("in/t.parquet", "in", "in/*.parquet", "*/t.parquet"):
        [part] = source_of(text).parts()
        assert part.name.removeprefix("./") == "in/t.parquet"
        assert list(source_of(text).state()) == [part.name]


def test_files_of_a_url_are_told_without_credentials():
    name = f"m{uuid.uuid4().hex}"
    with fsspec.open(f"memory://{name}/a/t.csv", "wb") as file:
        file.write(csv_bytes(TABLE))
    for text in (f"csv:memory://{name}", f"memory://{name}/*/t.csv", f"memory://{name}/a/t.csv"):
        source = source_of(text)
        assert rows_of(source) == [1, 2]
        assert [part.name for part in source.parts()] == [f"memory://{name}/a/t.csv"]
        assert list(source.state()) == [f"memory://{name}/a/t.csv"]


def test_without_fsspec_its_urls_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(InvalidJob, match="read through fsspec, which is not installed") as caught:
        source_of("memory://t.csv")
    assert caught.value.code == "job.extra"
    assert caught.value.exit_code == ExitCode.TOOL


def test_a_package_that_a_url_needs_is_told():
    with pytest.raises(InvalidJob, match="not installed") as caught:
        source_of("sftp://somebody:secret@host/t.csv")
    assert caught.value.code == "job.extra"
    assert "secret" not in str(caught.value)


def test_a_scheme_that_there_is_not_is_told():
    with pytest.raises(InvalidJob, match="no place that can be read") as caught:
        source_of("nowhere://t.csv")
    assert caught.value.code == "job.location"


class Closed(fsspec.AbstractFileSystem):
    """Files that may not be read."""

    protocol = "closed"

    def info(self, path, **kwargs):
        return {"name": path, "size": 1, "type": "file", "ETag": '"abc"', "LastModified": "yesterday"}

    def _open(self, path, mode="rb", **kwargs):
        raise PermissionError(13, "Permission denied", path)


@pytest.fixture
def closed(monkeypatch):
    fsspec.register_implementation("closed", Closed, clobber=True)


def test_what_may_not_be_read_is_told(closed):
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(InvalidTable, match="may not be read") as caught:
            source_of(f"closed://{name}")
        assert caught.value.code == "table.permission"
        assert name in caught.value.message


def test_the_state_has_the_tag_of_a_file(closed, monkeypatch):
    monkeypatch.setattr(Closed, "_open", lambda *_, **__: __import__("io").BytesIO(b"x\n1\n"))
    [state] = source_of("closed://t.csv").state().values()
    assert state == 'size=1 mtime=yesterday ETag="abc"'


def test_the_state_tells_new_files_and_touched_ones(tmp_path):
    for at in range(2):
        (tmp_path / f"{at}.csv").write_bytes(csv_bytes(TABLE))
    source = source_of(f"csv:{tmp_path}")
    before = source.state()
    assert list(before) == sorted(before)
    (tmp_path / "2.csv").write_bytes(csv_bytes(TABLE))
    assert len(source.state()) == 3
    assert [part.name[-5:] for part in source.parts()] == ["0.csv", "1.csv"]
    (tmp_path / "2.csv").unlink()
    assert source.state() == before
    (tmp_path / "1.csv").write_bytes(csv_bytes(TABLE))
    assert source.state() != before


@pytest.mark.parametrize("options", [{"delimter": ";"}, {"partitions": "some"}])
def test_an_option_that_there_is_not_is_told(tmp_path, kind, options):
    (tmp_path / f"t.{kind}").write_bytes(MAKE[kind](TABLE))
    with pytest.raises(InvalidJob) as caught:
        source_of(tmp_path / f"t.{kind}", **options)
    assert caught.value.code == "job.option"


def test_options_for_fsspec_reach_it(tmp_path):
    (tmp_path / "t.csv").write_bytes(csv_bytes(TABLE))
    assert rows_of(source_of((tmp_path / "t.csv").as_uri(), **{"fs.auto_mkdir": "true"})) == [1, 2]


def test_a_damaged_arrow_file_is_told(tmp_path):
    table = pa.table({"x": list(range(1000)), "y": [f"text {at}" for at in range(1000)]})
    for name, stream in (("t.arrow", False), ("t.arrows", True)):
        raw = arrow_bytes(table, stream=stream)
        (tmp_path / name).write_bytes(raw[: len(raw) // 2])
        with pytest.raises(InvalidTable, match=rf"{name} cannot be read"):
            rows_of(source_of(tmp_path / name))
    lying = raw.replace(b"text 1text 2", b"te\xfft 1text 2")
    (tmp_path / "t.arrows").write_bytes(lying)
    source = source_of(tmp_path / "t.arrows")
    with pytest.raises(InvalidTable, match=r"t\.arrows cannot be read in record batch 0"):
        list(source.batches(source.parts()[0], Wanted({"y": None})))


def test_dictionaries_that_grow_are_joined(tmp_path):
    types = pa.dictionary(pa.int32(), pa.string())
    batches = [
        pa.record_batch([pa.array(values, pa.string()).dictionary_encode().cast(types)], names=["x"])
        for values in (["a", "b"], ["c", None, "a"], ["d"])
    ]
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    (tmp_path / "t.arrows").write_bytes(out.getvalue().to_pybytes())
    source = source_of(tmp_path / "t.arrows")
    found = [batch.data.to_pylist() for batch in source.batches(source.parts()[0], Wanted({"x": None}, 4))]
    assert [[row["x"] for row in batch] for batch in found] == [["a", "b", "c", None], ["a", "d"]]


def test_folders_name_columns_of_text_files_in_the_type_that_is_wanted(tmp_path):
    for day in ("2013-01-01", "2013-06-01"):
        (tmp_path / f"day={day}" / "year=2013").mkdir(parents=True)
        (tmp_path / f"day={day}" / "year=2013" / "t.csv").write_bytes(csv_bytes(TABLE))
    source = source_of(f"csv:{tmp_path}")
    assert source.schema().names == ["x", "day", "year"]
    types = {"day": pa.date32(), "year": pa.float64(), "x": pa.int64()}
    where = read_filter("day > '2013-01-01' and x > 1", source.schema(), types)
    found = [batch.data for part in source.parts() for batch in source.batches(part, Wanted(types, where=where))]
    assert [batch.to_pylist() for batch in found] == [[{"day": date(2013, 6, 1), "year": 2013.0, "x": 2}]]
    with pytest.raises(InvalidTable, match="day=2013-01-01, which is no int64") as caught:
        list(source.batches(source.parts()[0], Wanted({"day": pa.int64()})))
    assert caught.value.problems


def test_a_url_may_say_more_beside_a_pattern(tmp_path):
    for at in range(2):
        (tmp_path / f"{at}.csv").write_bytes(csv_bytes(pa.table({"x": [at]})))
    # What is behind the `?` goes to the file system, which knows no such option here.
    with pytest.raises(InvalidJob, match="no place that can be read"):
        source_of("csv:s3://bucket/*.csv?no_such_option=1")
    assert rows_of(source_of(f"{tmp_path.as_uri()}/[01].csv")) == [0, 1]


def test_a_filter_keeps_the_order_of_large_batches(tmp_path):
    rows = 400_000
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(pa.table({"x": pa.array(range(rows), pa.int64())}), 30_000))
    source = source_of(tmp_path / "t.parquet")
    where = read_filter("x >= 1000", source.schema())
    found = list(source.batches(source.parts()[0], Wanted({"x": None}, 250_000, where)))
    assert [batch.data.num_rows for batch in found] == [250_000, 149_000]
    assert [value for batch in found for value in batch.data.column(0).to_pylist()] == list(range(1000, rows))
