"""Files and folders as outputs: what is refused and why, faults of disks, options, partitions, and who may write."""

import json
import os
import random
import signal
import subprocess
import sys

import fsspec
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from model_envelope.scoring.location import read_location
from model_envelope.scoring.sinks import locking, open_sink
from model_envelope.scoring.tables import CannotWrite, InvalidJob, Part, Run

ROWS = pa.table({"a": range(10), "b": ["x", None] * 5, "day": pa.array([0, 1] * 5, pa.int32()).cast(pa.date32())})


def write(url, rows=ROWS, *, identity="job", mode="error", parts=2, by=(), options=None, facts=None):
    sink = open_sink(read_location(str(url), options), partition_by=by)
    try:
        done = sink.open(Run(identity, "run", parts, facts or {}), rows.schema, mode)
        for part in range(parts):
            if part not in done:
                with sink.part(Part(part, f"part {part}")) as writer:
                    for batch in rows.to_batches():
                        writer.write(batch)
        return sink.commit()
    finally:
        sink.close()


def refused(url, code, **more):
    with pytest.raises(CannotWrite) as error:
        write(url, **more)
    assert error.value.code == code
    assert error.value.hint
    return error.value


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


# What is there already


def test_a_folder_that_is_missing_is_named(tmp_path):
    error = refused(tmp_path / "no" / "out.parquet", "output.parent")
    assert str(tmp_path / "no") in error.message
    assert tree(tmp_path) == {}


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "out.parquet", "output.parent")


@pytest.mark.parametrize("name", ["x" * 250 + ".parquet", "x" * 300 + "/"])
def test_a_name_that_is_too_long_is_refused(tmp_path, name):
    refused(f"{tmp_path}/{name}", "output.name")
    assert tree(tmp_path) == {}


def test_nobody_replaces_a_device(tmp_path):
    refused("csv:/dev/null/", "output.special", mode="overwrite")
    os.mkfifo(tmp_path / "pipe.csv")
    refused(tmp_path / "pipe.csv", "output.special", mode="overwrite")


@pytest.mark.parametrize("mode", ["error", "overwrite"])
def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path, mode):
    (tmp_path / "out.parquet").mkdir()
    refused(tmp_path / "out.parquet", "output.exists", mode=mode)
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "output.exists", mode=mode)
    assert (tmp_path / "file").read_text() == "x"


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    (tmp_path / "out").mkdir()
    assert write(tmp_path / "out").rows == 20


@pytest.mark.parametrize("name", ["notes.txt", ".git/config", "_delta_log/0.json", "sub/part-0.parquet"])
def test_a_folder_with_other_things_is_not_overwritten(tmp_path, name):
    write(tmp_path / "out", identity="first")
    (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / name).write_text("dear")
    before = tree(tmp_path / "out")
    refused(tmp_path / "out", "output.foreign", mode="overwrite")
    assert tree(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_other_programs_leave_in_a_folder_of_tables_is_replaced_with_it(tmp_path):
    (tmp_path / "out" / "day=1").mkdir(parents=True)
    for name in ("_SUCCESS", ".part-0.snappy.parquet.crc", "part-0.snappy.parquet", "day=1/x.parquet"):
        (tmp_path / "out" / name).write_text("old")
    write(tmp_path / "out", mode="overwrite")
    assert sorted(tree(tmp_path / "out")) == ["_envelope_batch.json", "part-00000.parquet", "part-00001.parquet"]


def test_files_beside_the_output_are_left_alone(tmp_path):
    (tmp_path / "other.txt").write_text("dear")
    write(tmp_path / "out", identity="first")
    write(tmp_path / "out", identity="second", mode="overwrite")
    assert (tmp_path / "other.txt").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.txt", "out"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "real" / "data.csv")
    write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "real" / "data.csv").is_file()


def test_nothing_is_appended_to_a_file(tmp_path):
    with pytest.raises(InvalidJob) as error:
        write(tmp_path / "out.csv", mode="append")
    assert error.value.code == "job.mode"


def test_a_delta_table_is_not_appended_to_as_a_folder(tmp_path):
    (tmp_path / "out" / "_delta_log").mkdir(parents=True)
    assert "delta:" in refused(tmp_path / "out", "output.foreign", mode="append").hint


# Done already


def test_an_output_that_was_changed_is_written_anew_or_refused(tmp_path):
    write(tmp_path / "out.csv")
    whole = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").write_bytes(whole[:-1] + b"!")
    refused(tmp_path / "out.csv", "output.exists")
    write(tmp_path / "out.csv", mode="overwrite")
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_rows_that_were_appended_and_taken_away_are_not_appended_again(tmp_path):
    written = write(tmp_path / "out", mode="append")
    (tmp_path / "out" / min(written.files)).unlink()
    refused(tmp_path / "out", "output.changed", mode="append")


def test_overwriting_leaves_this_jobs_rows_alone_there(tmp_path):
    write(tmp_path / "out", mode="append")
    write(tmp_path / "out", identity="another", mode="append")
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 4
    write(tmp_path / "out", mode="overwrite")
    assert pq.read_table(tmp_path / "out").num_rows == 20


def test_another_way_of_writing_is_another_job(tmp_path):
    first = write(tmp_path / "out.parquet")
    second = write(tmp_path / "out.parquet", mode="overwrite", options={"compression": "zstd"})
    assert first.files != second.files


def test_files_are_not_written_again_when_a_job_is_done(tmp_path):
    write(tmp_path / "out", mode="overwrite")
    before = {path: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    write(tmp_path / "out", mode="overwrite")
    assert {path: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == before


# Resuming


def stage(url, identity="job", parts=1):
    sink = open_sink(read_location(str(url)))
    sink.open(Run(identity, "run", 2), ROWS.schema, "error")
    for part in range(parts):
        with sink.part(Part(part, "")) as writer:
            writer.write(ROWS.to_batches()[0])
    sink.close()


def test_a_staged_file_that_was_cut_short_is_written_again(tmp_path):
    stage(tmp_path / "out")
    staged = tmp_path / ".out.envelope-batch" / "staged" / "part-00000.parquet"
    staged.write_bytes(staged.read_bytes()[:-1])
    sink = open_sink(read_location(str(tmp_path / "out")))
    assert sink.open(Run("job", "run", 2), ROWS.schema, "error") == frozenset()
    sink.close()


def test_a_journal_that_was_cut_short_is_as_if_it_were_not_there(tmp_path):
    stage(tmp_path / "out")
    journal = tmp_path / ".out.envelope-batch" / "parts" / "0.json"
    journal.write_bytes(journal.read_bytes()[:10])
    assert write(tmp_path / "out").rows == 20


def test_rows_of_a_job_that_did_not_end_are_dropped_and_that_is_told(tmp_path, caplog):
    stage(tmp_path / "out", identity="first")
    write(tmp_path / "out")
    assert "another job had begun to write there" in caplog.text


def test_a_job_that_is_refused_leaves_what_another_has_staged(tmp_path):
    stage(tmp_path / "out", identity="first")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.parquet").write_text("x")
    refused(tmp_path / "out", "output.exists")
    assert (tmp_path / ".out.envelope-batch" / "parts" / "0.json").is_file()


def test_an_output_that_came_meanwhile_is_not_replaced(tmp_path):
    sink = open_sink(read_location(str(tmp_path / "out.csv")))
    sink.open(Run("job", "run", 1), ROWS.schema, "error")
    with sink.part(Part(0, "")) as writer:
        writer.write(ROWS.to_batches()[0])
    (tmp_path / "out.csv").write_text("of another program")
    with pytest.raises(CannotWrite) as error:
        sink.commit()
    sink.close()
    assert error.value.code == "output.exists"
    assert tree(tmp_path) == {"out.csv": b"of another program"}


# Faults

JOB = """
import json, os, resource, signal, sys
import pyarrow as pa
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.scoring.location import read_location
from model_envelope.scoring.sinks import files, open_sink
from model_envelope.scoring.tables import Part, Run

url, limit, hold = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
schema = pa.schema([("a", pa.int64())])
sink = open_sink(read_location(url))
try:
    done = sink.open(Run("job", "run", 3), schema, "error")
    for part in range(3):
        if part not in done:
            with sink.part(Part(part, "")) as writer:
                # The last part is much larger than the others.
                count = 200_000 if part == 2 else 1_000
                writer.write(pa.record_batch([pa.array(range(part, part + 7 * count, 7))], schema=schema))
            print("staged", part, flush=True)
            if hold == str(part):
                signal.pause()
    sink.commit()
    print("done", flush=True)
except EnvelopeError as error:
    print(error.code, flush=True)
finally:
    sink.close()
"""


def job(url, limit=0, hold=""):
    return subprocess.Popen([sys.executable, "-c", JOB, str(url), str(limit), hold], stdout=subprocess.PIPE, text=True)


def told(url, limit=0):
    with job(url, limit) as process:
        return process.stdout.read().split("\n")[:-1]


@pytest.mark.parametrize("url", ["{}/out/", "{}/out.parquet", "csv:{}/out", "{}/out.jsonl", "{}/out.arrow"])
def test_no_room_is_told_nothing_is_seen_and_the_job_goes_on(tmp_path, url):
    (tmp_path / "full").mkdir()
    (tmp_path / "straight").mkdir()
    assert told(url.format(tmp_path / "full"), 100_000)[-1] == "output.full"
    assert [path for path in (tmp_path / "full").iterdir() if not path.name.startswith(".")] == []
    again = told(url.format(tmp_path / "full"))
    assert again[-1] == "done"
    if "." not in url:
        assert again[0] == "staged 2"
    told(url.format(tmp_path / "straight"))
    assert tree(tmp_path / "full") == tree(tmp_path / "straight")


def test_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only an administrator can mount a small disk")
    try:
        (disk / "ballast").write_bytes(bytes(300_000))
        assert told(f"{disk}/out/") == ["staged 0", "staged 1", "output.full"]
        assert sorted(path.name for path in disk.iterdir()) == [".out.envelope-batch", "ballast"]
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=6m", disk], check=True)
        assert told(f"{disk}/out/") == ["staged 2", "done"]
        found = tree(disk)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    told(f"{disk}/out/")
    assert tree(disk) == found


def test_an_empty_disk_itself_is_an_output(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only an administrator can mount a small disk")
    try:
        (disk / "lost+found").mkdir()
        write(disk, identity="first")
        refused(disk, "output.exists")
        write(disk, ROWS.slice(0, 3), mode="overwrite")
        assert pq.read_table(disk).num_rows == 6
        assert sorted(os.listdir(disk)) == [  # noqa: PTH208
            "_envelope_batch.json", "lost+found", "part-00000.parquet", "part-00001.parquet",
        ]  # fmt: skip
        assert [path.name for path in tmp_path.iterdir()] == ["disk"]
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_folder_that_one_may_not_write_in():
    script = JOB.replace("schema = pa", "os.getuid() or os.setuid(65534)\nschema = pa")
    program = [sys.executable, "-c", script, "/usr/out.parquet", "0", ""]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["output.permission"], done.stderr


def test_an_error_of_the_disk_is_told_as_one(tmp_path, monkeypatch):
    def broken(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    assert "dmesg" in refused(tmp_path / "out.parquet", "output.failed").hint
    monkeypatch.undo()
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    assert write(tmp_path / "out.parquet").rows == 20


# One job at a time


def test_a_second_process_is_told_who_writes(tmp_path):
    with job(tmp_path / "out", hold="0") as first:
        assert first.stdout.readline() == "staged 0\n"
        error = refused(tmp_path / "out", "output.busy", mode="overwrite")
        assert f"process {first.pid} on {os.uname().nodename}" in error.message
        first.send_signal(signal.SIGKILL)
    assert told(tmp_path / "out") == ["staged 1", "staged 2", "done"]


def test_a_worker_that_outlives_its_job_does_not_hold_the_output(tmp_path):
    ready, write_end = os.pipe()
    hold, release = os.pipe()
    script = JOB.replace('print("staged", part, flush=True)', "os.fork() or (os.close(1), os.read(0, 1), os._exit(0))")
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "out"), "0", "0"], stdin=hold) as process:
        os.close(hold)
        while not (tmp_path / ".out.envelope-batch" / "parts" / "0.json").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
        process.kill()
    try:
        assert told(tmp_path / "out")[-1] == "done"
    finally:
        for handle in (ready, write_end, release):
            os.close(handle)


def test_on_an_object_store_a_lock_that_nobody_renews_is_nobodys(monkeypatch):
    fs = fsspec.filesystem("memory")
    lock = "/locks/.out.envelope-batch/lock"
    fs.pipe_file(lock, json.dumps({"pid": 1, "host": "elsewhere", "at": locking.time.time(), "token": "x"}).encode())
    assert "process 1 on elsewhere" in refused("memory://locks/out/", "output.busy").message
    long_ago = locking.time.time() - 10_000
    fs.pipe_file(lock, json.dumps({"pid": 1, "host": "elsewhere", "at": long_ago, "token": "x"}).encode())
    assert write("memory://locks/out/").rows == 20
    assert not fs.exists(lock)


def test_on_an_object_store_a_process_that_is_gone_holds_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    owner = {"pid": process.pid, "host": os.uname().nodename, "at": locking.time.time(), "token": "x"}
    fsspec.filesystem("memory").pipe_file("/gone/.out.envelope-batch/lock", json.dumps(owner).encode())
    assert write("memory://gone/out/").rows == 20


def test_an_object_store_that_fails_is_told(monkeypatch):
    def broken(*arguments, **named):
        raise RuntimeError("SlowDown")

    sink = open_sink(read_location("memory://failing/out/"))
    sink.open(Run("job", "run", 1), ROWS.schema, "error")
    with sink.part(Part(0, "")) as writer:
        writer.write(ROWS.to_batches()[0])
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cp_file", broken)
    with pytest.raises(CannotWrite) as error:
        sink.commit()
    assert "SlowDown" in error.value.message
    sink.close()
    monkeypatch.undo()
    again = open_sink(read_location("memory://failing/out/"))
    assert again.open(Run("job", "run", 1), ROWS.schema, "error") == {0}
    assert again.commit().rows == 10
    again.close()


# Options and formats


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("out.parquet", {"colour": "red"}, "compression, compression_level, row_group_rows"),
        ("out.csv", {"row_group_rows": "5"}, "compression, delimiter, header"),
        ("out.parquet", {"row_group_rows": "none"}, "whole number"),
        ("out.parquet", {"compression": "rar"}, "zstd"),
        ("out.csv", {"delimiter": "--"}, "one character"),
        ("out.csv", {"delimiter": "."}, "one character"),
        ("out.csv.gz", {"compression": "zstd"}, "one of them"),
        ("out.parquet.gz", {}, "compression=gzip"),
        ("out.parquet", {"compression": "snappy", "compression_level": "3"}, "levels"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_what_there_is(url, options, said):
    with pytest.raises(InvalidJob) as error:
        open_sink(read_location(url, options))
    assert error.value.code == "job.option"
    assert said in str(error.value)


def test_options_do_what_they_say(tmp_path):
    write(tmp_path / "out.parquet", options={"compression": "zstd", "compression_level": "9", "row_group_rows": "6"})
    meta = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert [meta.row_group(at).num_rows for at in range(meta.num_row_groups)] == [6, 6, 6, 2]
    assert meta.row_group(0).column(0).compression == "ZSTD"
    write(tmp_path / "out.csv", ROWS.slice(0, 2), parts=1, options={"header": "false", "delimiter": "tab"})
    assert (tmp_path / "out.csv").read_bytes() == b"0\tx\t1970-01-01\r\n1\t\t1970-01-02\r\n"


def test_files_say_what_made_them_and_nothing_of_the_run(tmp_path):
    facts = {"envelope": "flights", "digest": "abc", "method": "predict", "run_id": "r1", "job": "identity"}
    noted = ROWS.replace_schema_metadata({"pandas": "{}"})
    write(tmp_path / "out.parquet", noted, facts=facts)
    assert pq.read_schema(tmp_path / "out.parquet").metadata == {
        b"envelope.envelope": b"flights", b"envelope.digest": b"abc", b"envelope.method": b"predict",
    }  # fmt: skip


@pytest.mark.parametrize("url", ["out.csv", "out.csv.gz"])
def test_csv_refuses_nested_columns_before_anything_is_written(tmp_path, url):
    rows = pa.table({"a": [1], "inner": [[1, 2]]})
    error = refused(tmp_path / url, "output.columns", rows=rows)
    assert [problem.path for problem in error.problems] == ["$.inner"]
    assert "JSON Lines" in error.hint
    assert tree(tmp_path) == {}


def test_a_column_that_stands_twice_is_refused(tmp_path):
    rows = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert "a" in refused(tmp_path / "out.parquet", "output.columns", rows=rows).message


def test_a_type_that_a_format_does_not_have_is_refused_before_anything_is_written(tmp_path):
    rows = pa.table({"a": pa.array([None], pa.month_day_nano_interval())})
    refused(tmp_path / "out.parquet", "output.columns", rows=rows)
    refused(tmp_path / "out.jsonl", "output.columns", rows=rows)
    assert tree(tmp_path) == {}


def test_a_value_that_text_cannot_say_fails_the_part(tmp_path):
    rows = pa.table({"a": pa.array([10**14], pa.timestamp("s"))})
    refused(tmp_path / "out.csv", "output.value", rows=rows)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("end", ["arrow", "arrows"])
def test_dictionaries_of_arrow_grow_from_batch_to_batch(tmp_path, end):
    words = [["a", "b"], ["b", "c", None], ["a"], ["d", "c"]]
    kind = pa.dictionary(pa.int8(), pa.string())
    rows = pa.Table.from_batches([pa.record_batch([pa.array(one).cast(kind)], names=["w"]) for one in words])
    write(tmp_path / f"out.{end}", rows, parts=1, options={"batch_rows": "2"})
    opened = pa.ipc.open_stream if end == "arrows" else pa.ipc.open_file
    found = opened(pa.BufferReader((tmp_path / f"out.{end}").read_bytes())).read_all()
    assert found.schema.field("w").type == kind
    assert found["w"].to_pylist() == [word for one in words for word in one]


# Partitions


def test_partitions_are_folders_that_others_read(tmp_path):
    write(tmp_path / "out", by=("day", "b"))
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.parquet")) == [
        f"day={day}/b={word}/part-0000{part}.parquet"
        for day, word in (("1970-01-01", "x"), ("1970-01-02", "__HIVE_DEFAULT_PARTITION__"))
        for part in (0, 1)
    ]
    found = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").to_table()
    assert sorted(found["a"].to_pylist()) == sorted([*range(10)] * 2)
    assert {(row["b"], row["day"]) for row in found.to_pylist()} == {("x", "1970-01-01"), (None, "1970-01-02")}


def test_values_that_are_no_names_of_files_are_spelled(tmp_path):
    words = ["a/b", "..", "ü", "c=d", "e f", "%", "x:y"]
    write(tmp_path / "out", pa.table({"w": words, "n": range(len(words))}), by=("w",), parts=1)
    found = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").to_table().to_pylist()
    assert {row["n"]: row["w"] for row in found} == dict(enumerate(words))


def test_rows_of_a_partition_keep_their_order(tmp_path):
    chance = random.Random(5)
    rows = pa.table({"g": [chance.randrange(5) for _ in range(100_000)], "n": range(100_000)})
    write(tmp_path / "out", rows, by=("g",), parts=1, options={"row_group_rows": "1000"})
    for group in range(5):
        found = pq.read_table(tmp_path / "out" / f"g={group}" / "part-00000.parquet")["n"].to_pylist()
        assert found == [n for n, g in enumerate(rows["g"].to_pylist()) if g == group]


def test_an_empty_table_has_its_columns_whatever_it_is_partitioned_by(tmp_path):
    write(tmp_path / "out", ROWS.slice(0, 0), by=("b",))
    assert pq.read_table(tmp_path / "out" / "part-00000.parquet").schema.names == ROWS.schema.names


@pytest.mark.parametrize(
    ("by", "rows", "code"),
    [
        (("no",), ROWS, "job.partition"),
        (("a", "b", "day"), ROWS, "job.partition"),
        (("f",), pa.table({"f": [0.5], "n": [1]}), "job.partition"),
        (("a",), pa.table({"a": range(1000), "n": range(1000)}), "output.partitions"),
        (("a",), pa.table({"a": ["", "x"], "n": [1, 2]}), "output.partitions"),
    ],
)
def test_columns_that_name_no_folders_are_refused(tmp_path, by, rows, code):
    with pytest.raises((InvalidJob, CannotWrite)) as error:
        write(tmp_path / "out", rows, by=by)
    assert error.value.code == code
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("url", ["out.parquet", "csv:out"])
def test_only_folders_of_parquet_are_partitioned(url):
    with pytest.raises(InvalidJob):
        open_sink(read_location(url), partition_by=("a",))
