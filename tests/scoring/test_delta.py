"""Delta tables: what is read is one version, and a job is one commit, once."""

import datetime as dt
import decimal
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from model_envelope.scoring.location import read_location
from model_envelope.scoring.sinks import open_sink
from model_envelope.scoring.sources import delta, open_source
from model_envelope.scoring.tables import CannotWrite, InvalidJob, InvalidTable, Part, Run, Wanted

ROWS = pa.table({"age": pa.array([1, 2, None, 2**53 + 1], pa.int64()), "name": ["a", "b'\"", "é", None]})
RUN = Run("job-1", "run-1", 1, {"envelope": "sha256:1"})


def source(path, **options):
    return open_source(read_location(f"delta:{path}", options))


def read(table, wanted=None):
    wanted = wanted or Wanted(dict.fromkeys(table.schema().names))
    batches = [batch.data for part in table.parts() for batch in table.batches(part, wanted)]
    return pa.Table.from_batches(batches, pa.schema([table.schema().field(name) for name in wanted.types]))


def write(path, rows=ROWS, *, run=RUN, mode="error", partition_by=(), pieces=1):
    sink = open_sink(read_location(f"delta:{path}"), partition_by=partition_by)
    try:
        done = sink.open(run, rows.schema, mode)
        for index in set(range(run.parts)) - done:
            with sink.part(Part(index, f"part {index}")) as writer:
                for batch in rows.to_batches(max_chunksize=max(1, rows.num_rows // pieces)):
                    writer.write(batch)
        return sink.commit()
    finally:
        sink.close()


def test_what_is_written_is_read_back(tmp_path):
    written = write(tmp_path / "t")
    assert (written.rows, written.version) == (4, "0")
    assert read(source(tmp_path / "t")).equals(ROWS)


def test_all_types_are_exact(tmp_path):
    rows = pa.table(
        {
            "int8": pa.array([1, None], pa.int8()),
            "uint64": pa.array([2**64 - 1, None], pa.uint64()),
            "uint32": pa.array([2**32 - 1, None], pa.uint32()),
            "float": pa.array([0.1, None], pa.float64()),
            "bool": [True, None],
            "date": [dt.date(1900, 1, 1), None],
            "zone": pa.array([1_719_835_200_123, None], pa.timestamp("ms", "Europe/Berlin")),
            "local": pa.array([1_719_835_200, None], pa.timestamp("s")),
            "decimal": pa.array([decimal.Decimal("12345678901234567890.12"), None], pa.decimal128(38, 2)),
            "bytes": pa.array([b"\0\xff", None]),
            "kind": pa.array(["x", None]).dictionary_encode(),
            "list": pa.array([[1.5, 2.0], None], pa.list_(pa.float64())),
            "record": pa.array([{"a": 1}, None], pa.struct([("a", pa.int64())])),
        }
    )  # fmt: skip
    write(tmp_path / "t", rows)
    back = read(source(tmp_path / "t"))
    assert back["uint64"].to_pylist() == [decimal.Decimal(2**64 - 1), None]
    assert back["zone"].type == pa.timestamp("us", "UTC")
    same = [name for name in rows.column_names if name != "uint64"]
    for name in same:
        assert back[name].to_pylist() == rows[name].to_pylist(), name


def test_types_that_delta_does_not_have_are_refused_together(tmp_path):
    rows = pa.table({"t": pa.array([1], pa.time64("us")), "d": pa.array([1], pa.duration("us")), "ok": [1]})
    with pytest.raises(CannotWrite) as caught:
        write(tmp_path / "t", rows)
    assert caught.value.code == "output.types"
    assert [problem.path for problem in caught.value.problems] == ["$.t", "$.d"]
    assert not (tmp_path / "t").exists()


def test_a_value_that_would_change_is_refused(tmp_path):
    with pytest.raises(CannotWrite, match="column t") as caught:
        write(tmp_path / "t", pa.table({"t": pa.array([1], pa.timestamp("ns"))}))
    assert caught.value.code == "output.value"
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "t"))


def test_columns_a_filter_and_batches_of_one_size(tmp_path):
    path = tmp_path / "t"
    for first in (0, 70, 140):
        deltalake.write_deltalake(path, pa.table({"n": range(first, first + 70), "s": ["x"] * 70}), mode="append")
    table = source(path)
    (part,) = table.parts()
    assert part.rows == 210
    batches = list(table.batches(part, Wanted({"s": None}, 50, pc.field("n") >= 20)))
    assert [(batch.first, batch.data.num_rows, batch.data.schema.names) for batch in batches] == [
        (0, 50, ["s"]), (50, 50, ["s"]), (100, 50, ["s"]), (150, 40, ["s"])
    ]  # fmt: skip


NEW = pc.field("new")


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (None, range(8)),
        (pc.field("id") > 5, (6, 7)),
        (pc.field("day") == dt.date(2024, 1, 1), (0, 2, 4, 6)),
        (pc.field("day").is_null(), (1, 3, 5, 7)),
        (NEW == "x", range(4, 8)),
        (NEW.is_null(), range(4)),
    ],
)
def test_columns_that_came_later_and_partitions_are_filled_in(tmp_path, where, ids):
    days = [dt.date(2024, 1, 1), None] * 2
    old = pa.table({"id": range(4), "day": days, "kind": ["ü/ %", "b", None, "b"], "record": [{"a": 1}] * 4})
    deltalake.write_deltalake(tmp_path / "t", old, partition_by=["day", "kind"])
    new = old.set_column(0, "id", pa.array(range(4, 8))).append_column("new", pa.array(["x"] * 4))
    new = new.set_column(3, "record", pa.array([{"a": 1, "b": "y"}] * 4))
    deltalake.write_deltalake(
        tmp_path / "t", new, mode="append", schema_mode="merge", partition_by=["day", "kind"]
    )  # fmt: skip
    table = source(tmp_path / "t")
    expected = pa.concat_tables([old, new], promote_options="permissive")
    expected = expected.select(table.schema().names).cast(table.schema()).take(list(ids))
    found = read(table, Wanted(dict.fromkeys(table.schema().names), 3, where))
    assert found.sort_by("id").equals(expected)
    narrow = read(table, Wanted({"kind": None}, 3, where))
    assert sorted(map(str, narrow["kind"].to_pylist())) == sorted(map(str, expected["kind"].to_pylist()))


def test_files_make_parts_that_are_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(delta, "PART_ROWS", 100)
    for first in (0, 70, 140):
        deltalake.write_deltalake(tmp_path / "t", pa.table({"n": range(first, first + 70)}), mode="append")
    parts = source(tmp_path / "t").parts()
    assert [(part.index, part.rows) for part in parts] == [(0, 140), (1, 70)]
    assert parts == source(tmp_path / "t").parts()
    assert sorted(read(source(tmp_path / "t"))["n"].to_pylist()) == list(range(210))


def test_an_empty_table_has_one_part(tmp_path):
    write(tmp_path / "t", ROWS.slice(0, 0))
    table = source(tmp_path / "t")
    assert [part.rows for part in table.parts()] == [0]
    assert read(table).equals(ROWS.slice(0, 0))


def test_the_version_is_the_one_that_was_there_when_it_was_opened(tmp_path):
    write(tmp_path / "t")
    table = source(tmp_path / "t")
    before = table.state()
    write(tmp_path / "t", run=Run("job-2", "2", 1), mode="append")
    assert read(table).num_rows == 4
    assert table.state() == before
    assert read(source(tmp_path / "t")).num_rows == 8
    assert source(tmp_path / "t").state() == {"table": before["table"], "version": "1"}
    assert source(tmp_path / "t", version="0").state() == before


def test_a_table_is_read_as_it_was_at_a_time(tmp_path):
    write(tmp_path / "t")
    moment = deltalake.DeltaTable(tmp_path / "t").history()[0]["timestamp"]
    os.utime(tmp_path / "t" / "_delta_log" / f"{0:020}.json", (moment / 1000 - 60, moment / 1000 - 60))
    write(tmp_path / "t", run=Run("job-2", "2", 1), mode="append")
    at = dt.datetime.fromtimestamp(moment / 1000 - 30, dt.UTC).isoformat()
    assert source(tmp_path / "t", timestamp=at).state()["version"] == "0"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"version": "x"}, "job.option"),
        ({"version": "1", "timestamp": "2024-01-01"}, "job.option"),
        ({"timestamp": "yesterday"}, "job.option"),
        ({"delimiter": ";"}, "job.option"),
        ({"version": "7"}, "table.unreadable"),
        ({"version": "-1"}, "job.option"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, code):
    write(tmp_path / "t")
    with pytest.raises((InvalidJob, InvalidTable)) as caught:
        source(tmp_path / "t", **options)
    assert caught.value.code == code


def test_no_table_and_no_library(tmp_path, monkeypatch):
    with pytest.raises(InvalidTable, match="no Delta table") as caught:
        source(tmp_path / "nothing")
    assert caught.value.code == "table.missing"
    monkeypatch.setitem(sys.modules, "deltalake", None)
    for opening in (open_source, open_sink):
        with pytest.raises(InvalidJob, match="not installed") as missing:
            opening(read_location(f"delta:{tmp_path}"))
        assert missing.value.code == "job.extra"


def test_a_file_that_is_gone_or_cut_short(tmp_path):
    write(tmp_path / "t")
    table = source(tmp_path / "t")
    (file,) = (tmp_path / "t").glob("*.parquet")
    for damage in (lambda: file.write_bytes(file.read_bytes()[:-20]), file.unlink):
        damage()
        with pytest.raises(InvalidTable, match=file.name) as caught:
            read(table)
        assert caught.value.code == "table.unreadable"


def test_a_store_that_does_not_answer_tells_no_secrets():
    where = read_location(
        "delta:s3://user:MARKpassword@bucket/t?sig=MARKsigned",
        {
            "storage.AWS_SECRET_ACCESS_KEY": "MARKsecret",
            "storage.AWS_ACCESS_KEY_ID": "MARKid",
            "storage.AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "storage.AWS_ALLOW_HTTP": "true",
            "storage.AWS_REGION": "eu-1",
            "storage.max_retries": "0",
        },
    )
    with pytest.raises(InvalidTable) as caught:
        open_source(where)
    sink = open_sink(where)
    with pytest.raises(CannotWrite) as refused:
        sink.open(RUN, ROWS.schema, "error")
    assert "MARK" not in f"{caught.value}{caught.value.to_document()}{refused.value}{sink.name}"


def test_modes(tmp_path):
    write(tmp_path / "t")
    with pytest.raises(CannotWrite) as caught:
        write(tmp_path / "t", run=Run("job-2", "2", 1))
    assert caught.value.code == "output.exists"
    write(tmp_path / "t", run=Run("job-3", "3", 1), mode="append")
    assert read(source(tmp_path / "t")).num_rows == 8
    other = pa.table({"score": [0.5]})
    assert write(tmp_path / "t", other, run=Run("job-4", "4", 1), mode="overwrite").version == "2"
    assert read(source(tmp_path / "t")).equals(other)
    assert read(source(tmp_path / "t", version="1")).num_rows == 8


def test_rows_of_another_schema_are_not_appended(tmp_path):
    write(tmp_path / "t")
    other = pa.table({"age": ["one"], "score": [0.5]})
    with pytest.raises(CannotWrite) as caught:
        write(tmp_path / "t", other, run=Run("job-2", "2", 1), mode="append")
    assert caught.value.code == "output.schema"
    assert sorted(problem.path for problem in caught.value.problems) == ["$.age", "$.name", "$.score"]
    narrow = pa.table({"name": ["x"], "age": pa.array([3], pa.int16())})
    write(tmp_path / "t", narrow, run=Run("job-3", "3", 1), mode="append")
    assert read(source(tmp_path / "t")).filter(pc.field("name") == "x")["age"].to_pylist() == [3]


def test_the_same_job_is_not_written_twice(tmp_path):
    first = write(tmp_path / "t")
    assert write(tmp_path / "t") == first
    append = Run("job-2", "2", 1)
    second = write(tmp_path / "t", run=append, mode="append")
    write(tmp_path / "t", run=Run("job-3", "3", 1), mode="append")
    assert write(tmp_path / "t", run=append, mode="append") == second
    assert read(source(tmp_path / "t")).num_rows == 12
    overwrite = Run("job-4", "4", 1)
    write(tmp_path / "t", run=overwrite, mode="overwrite")
    assert write(tmp_path / "t", run=overwrite, mode="overwrite").version == "3"


def test_a_job_runs_again_where_another_has_replaced_its_rows(tmp_path):
    jobs = {mode: Run(f"job-{mode}", mode, 1) for mode in ("overwrite", "append")}
    write(tmp_path / "t", run=jobs["append"], mode="append")
    write(tmp_path / "t", ROWS.slice(0, 1), run=jobs["overwrite"], mode="overwrite")
    write(tmp_path / "t", run=jobs["append"], mode="append")
    assert read(source(tmp_path / "t")).num_rows == 5
    write(tmp_path / "t", ROWS.slice(0, 1), run=jobs["overwrite"], mode="overwrite")
    assert read(source(tmp_path / "t")).num_rows == 1


def test_a_part_that_fails_takes_all_with_it(tmp_path):
    sink = open_sink(read_location(f"delta:{tmp_path / 't'}"))
    sink.open(Run("job", "1", 2), ROWS.schema, "error")
    with sink.part(Part(0, "one")) as writer:
        writer.write(ROWS.to_batches()[0])
    with pytest.raises(ZeroDivisionError), sink.part(Part(1, "two")) as writer:
        writer.write(ROWS.to_batches()[0].slice(1 // 0))
    with pytest.raises(CannotWrite, match="starts over"):
        sink.commit()
    sink.close()
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "t"))
    assert write(tmp_path / "t").rows == 4


@pytest.mark.parametrize("mode", ["error", "overwrite"])
def test_two_jobs_at_once(tmp_path, mode):
    if mode == "overwrite":
        write(tmp_path / "t")
    sinks = [open_sink(read_location(f"delta:{tmp_path / 't'}")) for _ in range(2)]
    for at, sink in enumerate(sinks):
        sink.open(Run(f"both-{at}", str(at), 1), ROWS.schema, mode)
        with sink.part(Part(0, "one")) as writer:
            writer.write(ROWS.to_batches()[0])
    sinks[0].commit()
    with pytest.raises(CannotWrite) as caught:
        sinks[1].commit()
    assert caught.value.code == {"error": "output.exists", "overwrite": "output.busy"}[mode]
    for sink in sinks:
        sink.close()
    assert read(source(tmp_path / "t")).num_rows == 4


def test_partitions(tmp_path):
    rows = pa.table(
        {"day": [dt.date(2024, 1, 1), None, dt.date(2024, 1, 1)], "n": [1, 2, 3], "k": ["a b", "ü/=", None]}
    )
    write(tmp_path / "t", rows, partition_by=("day", "k"))
    assert deltalake.DeltaTable(tmp_path / "t").metadata().partition_columns == ["day", "k"]
    assert read(source(tmp_path / "t")).select(rows.column_names).sort_by("n").equals(rows)
    assert sum(part.rows for part in source(tmp_path / "t").parts()) == 3
    write(tmp_path / "t", rows, run=Run("2", "2", 1), mode="append")
    assert read(source(tmp_path / "t")).num_rows == 6
    with pytest.raises(InvalidJob, match="partitioned by day, k"):
        write(tmp_path / "t", rows, run=Run("3", "3", 1), mode="append", partition_by=("k",))
    for wrong in (("nix",), ("day", "k", "n")):
        with pytest.raises(InvalidJob):
            write(tmp_path / "u", rows, partition_by=wrong)


JOB = """
    import sys, time
    import pyarrow as pa
    from model_envelope.scoring.location import read_location
    from model_envelope.scoring.sinks import open_sink
    from model_envelope.scoring.tables import Part, Run

    batch = pa.record_batch({"n": pa.array(range(50_000)), "s": ["text %d" % n for n in range(50_000)]})
    sink = open_sink(read_location("delta:" + sys.argv[1]))
    done = sink.open(Run("killed", "1", 20), batch.schema, "append")
    for index in sorted(set(range(20)) - done):
        with sink.part(Part(index, str(index))) as writer:
            writer.write(batch)
        print(index, flush=True)
    print("committing", flush=True)
    sink.commit()
    print("committed", flush=True)
"""


@pytest.mark.parametrize("moment", ["0", "7", "19", "committing", "committed"])
def test_a_killed_job_left_no_commit_or_a_whole_one(tmp_path, moment):
    path = tmp_path / "t ä"
    write(path, pa.table({"n": [-1], "s": ["first"]}))
    command = [sys.executable, "-c", textwrap.dedent(JOB), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        for line in job.stdout:
            if line.strip() == moment:
                job.send_signal(signal.SIGKILL)
                break
    assert read(source(path)).num_rows in {1, 1_000_001}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert read(source(path)).num_rows == 1_000_001


def test_a_disk_that_is_full(tmp_path):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + textwrap.dedent(JOB)
    done = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path / "t")], capture_output=True, text=True, check=False
    )
    assert "output.full" in done.stderr or "File too large" in done.stderr
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "t"))


def test_deletion_vectors_are_refused(tmp_path, monkeypatch):
    write(tmp_path / "t")

    def refused(self):
        raise deltalake.exceptions.DeltaProtocolError("The table requires reader feature 'deletionVectors'")

    monkeypatch.setattr(deltalake.DeltaTable, "to_pyarrow_dataset", refused)
    with pytest.raises(InvalidTable, match="feature") as caught:
        source(Path(tmp_path / "t"))
    assert "deletionVectors" in str(caught.value)
