"""What goes wrong while a table of a database is written or read: killed jobs, killed servers, full disks."""

import random
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pyarrow as pa
import pytest
from scoring.databases import Place, read, run, write

from model_envelope.runtime.errors import ExitCode
from model_envelope.scoring.tables import CannotWrite, InvalidTable, Part, Unreachable, Wanted

PARTS = 12
ROWS = 2000
JOB = f"""
    import os
    import signal
    import sys
    import pyarrow as pa
    from model_envelope.runtime.errors import EnvelopeError
    from model_envelope.scoring.location import read_location
    from model_envelope.scoring.sinks import open_sink
    from model_envelope.scoring.tables import Part, Run

    url, mode, commit, wait, last = sys.argv[1:6]

    def say(*words):
        print(*words, flush=True)
        if " ".join(map(str, words)) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    schema = pa.schema([("n", pa.int64()), ("s", pa.string())])
    sink = open_sink(read_location(url + "#t", {{"commit": commit}}))
    try:
        done = sink.open(Run("sha256:the-job", "1", {PARTS}), schema, mode)
        say("opened")
        if wait == "wait":
            sys.stdin.read()
        for index in range({PARTS}):
            if index not in done:
                with sink.part(Part(index, f"part {{index}}")) as writer:
                    rows = range(index * {ROWS}, (index + 1) * {ROWS})
                    writer.write(pa.record_batch([list(rows), [f"text {{n}}" for n in rows]], schema=schema))
                    say("staging", index)
                say("part", index)
        say("committing")
        sink.commit()
        say("committed")
        sink.close()
    except EnvelopeError as error:
        say("failed", error.code, int(error.exit_code), error)
        sys.exit(int(error.exit_code))
"""
EXPECTED = pa.table({"n": pa.array(range(PARTS * ROWS), pa.int64()), "s": [f"text {n}" for n in range(PARTS * ROWS)]})


def job(place, *, mode="error", commit="whole", wait="", last="", before=""):
    """Start a job; it is killed once it has said ``last``."""
    code = before + textwrap.dedent(JOB)
    return subprocess.Popen(
        [sys.executable, "-c", code, place.url, mode, commit, wait, last],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(process, code=0):
    said, _ = process.communicate(timeout=120)
    assert process.returncode == code, said
    return said


@pytest.mark.parametrize("commit", ["whole", "parts"])
@pytest.mark.parametrize("line", ["opened", "staging 5", "part 5", "committing", "committed"])
def test_a_job_that_is_killed_ends_with_equal_rows(place, commit, line):
    ended(job(place, commit=commit, last=line), -signal.SIGKILL)
    said = ended(job(place, commit=commit))
    if commit == "parts" and line == "part 5":
        assert "part 5" not in said
        assert "part 6" in said
    assert place.read().equals(EXPECTED)
    assert "part" not in ended(job(place, commit=commit))
    assert place.read().equals(EXPECTED)


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_a_job_that_is_killed_again_and_again(place, mode):
    first = EXPECTED.slice(0, 3)
    write(place.sink(), first, job=run("before"))
    chance = random.Random(f"{place.kind}{mode}")
    for _ in range(4):
        process = job(place, mode=mode, commit="parts")
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.communicate()
        if mode == "overwrite":
            assert place.read().num_rows in {3, EXPECTED.num_rows}
    ended(job(place, mode=mode, commit="parts"))
    expected = EXPECTED if mode == "overwrite" else pa.concat_tables([first, EXPECTED])
    assert place.read().sort_by("n").equals(expected.sort_by("n"))


@pytest.mark.parametrize("commit", ["whole", "parts"])
def test_two_jobs_at_once(place, commit):
    first = job(place, commit=commit, wait="wait")
    assert first.stdout.readline() == "opened\n"
    assert "output.busy" in ended(job(place, commit=commit), ExitCode.FAILED)
    ended(first)
    assert place.read().equals(EXPECTED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("commit", ["whole", "parts"])
def test_the_server_goes_away_while_a_job_writes(postgres, commit, number):
    place = Place("postgresql", postgres.url())
    sink = place.sink(commit=commit)
    sink.open(run("1", 3), EXPECTED.schema, "error")
    with sink.part(Part(0, "one")) as writer:
        writer.write(EXPECTED.to_batches()[0])
    postgres.stop(number)
    try:
        with pytest.raises(Unreachable) as caught, sink.part(Part(1, "two")) as writer:
            writer.write(EXPECTED.to_batches()[0])
        with pytest.raises((Unreachable, CannotWrite)):
            sink.commit()
        sink.close()
        with pytest.raises(Unreachable) as unreachable:
            place.sink().open(run("1", 3), EXPECTED.schema, "error")
    finally:
        postgres.start()
    for error in (caught.value, unreachable.value):
        assert error.exit_code == ExitCode.TOOL
        assert "MARK" not in f"{error}{error.to_document()}"
    with pytest.raises(InvalidTable, match="no table"):
        place.source()
    sink = place.sink(commit=commit)
    assert sink.open(run("1", 3), EXPECTED.schema, "error") == ({0} if commit == "parts" else set())
    sink.close()


def test_the_server_goes_away_at_the_commit(postgres):
    place = Place("postgresql", postgres.url())
    sink = place.sink()
    sink.open(run("1", 1), EXPECTED.schema, "error")
    with sink.part(Part(0, "one")) as writer:
        writer.write(EXPECTED.to_batches()[0])
    postgres.stop()
    try:
        with pytest.raises(Unreachable):
            sink.commit()
        sink.close()
    finally:
        postgres.start()
    assert write(place.sink(), EXPECTED, job=run("1", 1)).rows == EXPECTED.num_rows
    assert place.read().equals(EXPECTED)


def test_the_server_goes_away_while_a_job_reads(postgres):
    postgres.sql("CREATE TABLE t AS SELECT n, repeat('x', 1000) AS s FROM generate_series(1, 100000) AS n")
    source = Place("postgresql", postgres.url()).source()
    batches = source.batches(source.parts()[0], Wanted({"n": None, "s": None}, 1000))
    next(batches)
    postgres.stop()
    try:
        with pytest.raises(Unreachable) as caught:
            list(batches)
        with pytest.raises(Unreachable):
            source.state()
    finally:
        postgres.start()
    assert caught.value.exit_code == ExitCode.TOOL
    assert "MARK" not in f"{caught.value}{caught.value.to_document()}"
    assert read(source).num_rows == 100_000


def test_a_user_who_may_not(postgres):
    postgres.sql("DROP ROLE IF EXISTS guest")
    postgres.sql("CREATE ROLE guest LOGIN PASSWORD 'MARKguest'")
    postgres.sql("GRANT USAGE ON SCHEMA public TO guest")
    postgres.sql("CREATE TABLE secret AS SELECT 1 AS a")
    place = Place("postgresql", re.sub("//.*@", "//guest:MARKguest@", postgres.url()))
    with pytest.raises(InvalidTable, match="permission denied") as caught:
        place.source("secret")
    with pytest.raises(CannotWrite, match="permission denied") as refused:
        place.sink("new").open(run(), EXPECTED.schema, "error")
    assert "MARK" not in f"{caught.value}{refused.value}"
    postgres.sql("DROP OWNED BY guest")
    postgres.sql("DROP ROLE guest")


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_a_disk_that_is_full(tmp_path, scheme):
    place = Place(scheme, f"{scheme}:///{tmp_path}/t.db")
    write(place.sink("old"), EXPECTED.slice(0, 5))
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
    said = ended(job(place, before=limit), ExitCode.FAILED)
    assert "output.full" in said
    ended(job(place))
    assert place.read().equals(EXPECTED)
    assert place.read("old").num_rows == 5


def test_another_program_writes_to_the_file(tmp_path):
    place = Place("sqlite", f"sqlite:///{tmp_path}/t.db")
    write(place.sink(), EXPECTED.slice(0, 5))
    other = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(CannotWrite) as caught:
            place.sink().open(run("2"), EXPECTED.schema, "append")
        with pytest.raises(InvalidTable) as busy:
            place.source()
    finally:
        other.close()
    assert (caught.value.code, busy.value.code) == ("output.busy", "table.busy")
    assert f"sqlite:///{tmp_path}/t.db#t" in str(busy.value)
    assert [path.name for path in tmp_path.iterdir()] == ["t.db"]


def test_a_part_is_written_from_another_thread(place):
    """The engine reads, predicts and writes in threads of its own."""
    sink = place.sink()
    sink.open(run(), EXPECTED.schema, "error")
    failures = []

    def write_part():
        try:
            with sink.part(Part(0, "one")) as writer:
                writer.write(EXPECTED.to_batches()[0])
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=write_part)
    thread.start()
    thread.join()
    assert failures == []
    assert sink.commit().rows == EXPECTED.num_rows
    sink.close()
    assert place.read().equals(EXPECTED)
