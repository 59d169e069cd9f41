"""The same job done by both engines: tables, counts, observations and log rows are the same."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import make_envelope, seal

from model_envelope.foundation import carrying
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.reading import read_envelope
from model_envelope.scoring import engine
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import read_location
from model_envelope.scoring.scorer import Scorer
from model_envelope.scoring.sinks.locking import LocalLock
from model_envelope.scoring.spark.engine import Described
from model_envelope.scoring.spark.seen import Merging, Seen

pytestmark = [pytest.mark.spark, pytest.mark.xdist_group("spark")]

MODEL = """
import os
import time
from pathlib import Path

class Model:
    def predict(self, X):
        gate = os.environ.get("GATE_OF_THE_TEST")
        for _ in range(600 if gate and X["amount"].iloc[0] else 0):
            if Path(gate).exists():
                break
            time.sleep(0.1)
        if (X["amount"] == 666.0).any():
            raise ValueError("not this one")
        return X[["number", "day", "grade"]].assign(number=X["number"] + 1)

    def place(self, X):
        return X["amount"].rank(method="first").astype("int64")
"""
NUMBER = s.Column("number", s.Scalar("int64", nullable=True), "Int64")
DAY = s.Column("day", s.Scalar("datetime", unit="us", nullable=True), "datetime64[us]")
GRADE = s.Column("grade", s.Choice(("a", "b", "c"), nullable=True), "category")
AMOUNT = s.Column("amount", s.Scalar("float64"), "float64")
TAKEN = (s.Parameter("X", s.Table((NUMBER, DAY, GRADE, AMOUNT))),)
METHODS = {
    "predict": s.Method(TAKEN, s.Table((NUMBER, DAY, GRADE)), row_wise=s.Answer.YES),
    "place": s.Method(TAKEN, s.Series(s.Scalar("int64"), "int64"), row_wise=s.Answer.NO),
}
SAMPLES = {
    "number": {"count": 5, "nulls": 0, "min": 0, "max": 2**53, "mean": 7.0, "std": 1.0},
    "grade": {"count": 5, "nulls": 0, "distinct": 2, "top": [["a", 3], ["b", 2]]},
    "amount": {"count": 5, "nulls": 0, "min": 0.0, "max": 90.0, "mean": 40.0, "std": 9.0},
}


@pytest.fixture(scope="module")
def envelope(tmp_path_factory) -> Path:
    folder = make_envelope(tmp_path_factory.mktemp("made"), MODEL, METHODS, {}, name="both")
    observed = {"inputs": {"X": {"rows": 5, "columns": SAMPLES}}, "answers": {"columns": SAMPLES}}
    (folder / "observations.json").write_text(json.dumps({"predict": observed, "place": observed}))
    seal(folder)
    return folder


def rows(count: int) -> pa.Table:
    first = dt.datetime.fromisoformat("2013-01-01T06:30:00")
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "number": pa.array([None if at % 7 == 3 else 2**53 + 1 + at for at in range(count)], pa.int64()),
            "day": pa.array([None if at % 11 == 5 else first + dt.timedelta(days=at % 90) for at in range(count)]),
            "grade": pa.array([None if at % 13 == 6 else "abc"[at % 3] for at in range(count)]).dictionary_encode(),
            "amount": pa.array([float(at % 97) for at in range(count)]),
            "born": pa.array([dt.date(1990, 1, 1) + dt.timedelta(days=at) for at in range(count)]),
        }
    )


@pytest.fixture
def both(spark, envelope, tmp_path):
    """A function that does a job with both engines, and gives the folder and the report of each."""
    from model_envelope.scoring.spark import score

    def both(table: pa.Table, files: int = 1, **settings):
        source = tmp_path / "in"
        source.mkdir()
        share = table.num_rows // files
        for at in range(files):
            pq.write_table(table.slice(at * share, share), source / f"{at}.parquet")
        found = []
        for name, do in (("python", engine.score), ("spark", score)):
            home = tmp_path / name
            home.mkdir()
            places = {"output": read_location(f"{home}/out/"), "log": read_location(f"{home}/log/")}
            if settings.get("on_bad_row") == "quarantine":
                places["quarantine"] = read_location(f"{home}/bad/")
            job = Job(envelope, read_location(f"{source}/"), **places, **{"run_id": "r1", **settings})
            found.append((home, do(job)))
        return found

    return both


def read(folder: Path, *, by: str) -> list[dict]:
    return sorted(pq.read_table(folder).to_pylist(), key=lambda row: row[by])


def log_of(home: Path) -> list[dict]:
    """Rows of the log without what tells one run, and one way to cut a table into parts, from another."""
    own = {"request_id", "request_time", "date", "execution_duration_ms", "part", "row_index"}
    found = [{name: value for name, value in row.items() if name not in own} for row in log_rows(home)]
    return sorted(found, key=lambda row: row["request"])


def log_rows(home: Path) -> list[dict]:
    return pq.read_table(home / "log").to_pylist()


def told(report) -> dict:
    document = report.to_document()
    return {name: document[name] for name in ("envelope", "method", "rows", "problems")} | {
        "written": {role: one["rows"] for role, one in document["outputs"].items()}
    }


def alike(found: dict, expected: dict) -> bool:
    """Compare observations. Means merged in another order differ in the last digits, which are few above 2**53."""
    for one, other in ((found[side], expected[side]) for side in ("inputs", "answers")):
        assert one.keys() == other.keys()
        for name, column in one.items():
            rounded = {key: column.get(key, 0.0) for key in ("mean", "std")}
            assert rounded == pytest.approx({key: other[name].get(key, 0.0) for key in rounded}, rel=1e-9, abs=2), name
            assert column | rounded == other[name] | rounded, name
    return True


def test_both_engines_write_and_tell_the_same(both):
    (here, mine), (there, theirs) = both(rows(600), files=3, keep=("id", "born"), workers=1)
    assert read(there / "out", by="id") == read(here / "out", by="id")
    assert read(there / "out", by="id")[0]["number"] == 2**53 + 2
    assert told(theirs) == told(mine)
    assert alike(theirs.observations, mine.observations)
    number = theirs.observations["inputs"]["number"]
    assert (number["count"], number["nulls"], number["observed"]) == (600, 86, 600)
    assert number["baseline"]["max"] == 2**53
    assert theirs.observations["inputs"]["grade"]["unknown_share"] > 0.3
    assert log_of(there) == log_of(here)
    assert len(log_of(there)) == 600
    assert pq.read_schema(next((there / "log").glob("*.parquet"))).remove_metadata().names == (
        pq.read_schema(next((here / "log").glob("*.parquet"))).names
    )
    assert len({(row["part"], row["row_index"]) for row in log_rows(there)}) == 600


def test_bad_rows_are_logged_as_refused_and_observed_by_both(both):
    table = rows(60)
    amounts = [666.0 if at == 7 else None if at == 9 else float(at) for at in range(60)]
    table = table.set_column(4, "amount", pa.array(amounts))
    (here, mine), (there, theirs) = both(table, keep=("id",), on_bad_row="quarantine", workers=1)
    assert told(theirs) == told(mine)
    assert told(theirs)["written"] == {"output": 58, "quarantine": 2, "log": 60}
    assert theirs.observations == mine.observations
    assert log_of(there) == log_of(here)
    refused = [row for row in log_rows(there) if row["status_code"] == 422]
    assert sorted(row["row_index"] for row in refused) == [7, 9]
    assert [row["response"] for row in refused] == [None, None]
    for name in ("row", "values"):
        assert [row[name] for row in read(there / "bad", by="row")] == [
            row[name] for row in read(here / "bad", by="row")
        ]


def test_columns_are_left_out_of_the_log_or_hashed_by_both(both):
    (here, _), (there, _) = both(rows(20), log_without=("amount",), log_hashed=("grade",), workers=1)
    assert log_of(there) == log_of(here)
    request = json.loads(log_rows(there)[0]["request"])
    assert "amount" not in request
    assert request["grade"].startswith("sha256:")


def test_groups_are_observed_and_logged_by_both(both):
    table = rows(120).append_column("shop", pa.array([f"s{at % 4}" for at in range(120)]))
    (here, mine), (there, theirs) = both(table, files=2, method="place", by=("shop",), keep=("id",))
    assert read(there / "out", by="id") == read(here / "out", by="id")
    assert alike(theirs.observations, mine.observations)
    assert log_of(there) == log_of(here)
    assert len({row["request_id"] for row in log_rows(there)}) == 4


def test_an_empty_table_is_observed_as_one(both):
    (_, mine), (_, theirs) = both(rows(0), workers=1)
    assert theirs.observations == mine.observations
    assert theirs.observations["inputs"]["number"]["count"] == 0


def test_a_partition_that_is_asked_again_is_counted_once(envelope):
    seen = Seen.nothing(envelope, Scorer(Described.of(read_envelope(envelope)).methods["place"]))
    for partition in (0, 1, 0):
        again = Seen.nothing(envelope, Scorer(Described.of(read_envelope(envelope)).methods["place"]), partition)
        again.see(rows(10).combine_chunks().to_batches()[0], pa.record_batch({"place": pa.array(range(10))}))
        seen = Merging().addInPlace(seen, again)
    assert seen.rows == 20
    assert seen.to_document()["answers"]["place"]["count"] == 20


def test_progress_tells_the_rows_of_all_while_spark_works(spark, envelope, tmp_path, monkeypatch):
    from model_envelope.scoring.spark import progress, score

    monkeypatch.setattr(progress, "EVERY", 0.05)
    monkeypatch.setitem(spark.sparkContext.environment, "GATE_OF_THE_TEST", str(tmp_path / "gate"))
    pq.write_table(rows(500), tmp_path / "ä b 100%.parquet")
    source = read_location(f"{tmp_path}/ä b 100%.parquet")
    counts = []

    def report(event):
        if event["event"] == "progress":
            counts.append((event["rows"], event["total"]))
            if 0 < event["rows"] < 500:
                (tmp_path / "gate").touch()  # after its first batch the model waits for this to be told

    score(Job(envelope, source, read_location(f"{tmp_path}/out put/"), batch_rows=50), report=report)
    assert counts[0] == (0, 500)
    assert (50, 500) in counts
    assert counts[-1] == (500, 500)
    assert counts == sorted(counts)
    counts.clear()
    score(Job(envelope, source, read_location(f"{tmp_path}/some/"), where="id < 100"), report=report)
    assert (counts[0], counts[-1]) == ((0, None), (100, 100))


@pytest.mark.parametrize("mode", ["error", "overwrite", "append"])
def test_an_output_that_another_job_writes_is_busy(spark, envelope, tmp_path, mode):
    from model_envelope.scoring.spark import score

    pq.write_table(rows(5), tmp_path / "in.parquet")
    job = Job(envelope, read_location(f"{tmp_path}/in.parquet"), read_location(f"{tmp_path}/out/"), mode=mode)
    if mode == "append":
        score(job)
    other = LocalLock("out", str(tmp_path / ".out.envelope-batch"))
    with pytest.raises(EnvelopeError) as caught:
        score(job)
    assert caught.value.code == "output.busy"
    other.release(last=True)
    killed = tmp_path / ".out.envelope-batch" / "spark-killed"
    killed.mkdir(parents=True)
    (killed / "part-00000.parquet").touch()
    report = score(job)
    assert "A second job is refused" in report.outputs["output"].guarantee
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out"]
    assert pq.read_table(tmp_path / "out").num_rows == (10 if mode == "append" else 5)


def test_the_other_engine_finds_the_output_busy_while_spark_writes(spark, envelope, tmp_path):
    from model_envelope.scoring.spark import score

    pq.write_table(rows(5), tmp_path / "in.parquet")
    job = Job(envelope, read_location(f"{tmp_path}/in.parquet"), read_location(f"{tmp_path}/out/"))
    codes = []

    def meanwhile(event):
        if event["event"] == "progress" and not event["rows"]:
            with pytest.raises(EnvelopeError) as caught:
                engine.score(job)
            codes.append(caught.value.code)

    score(job, report=meanwhile)
    assert set(codes) == {"output.busy"}


def test_workers_find_the_code_that_only_the_driver_was_given(spark_home, spark_settings, envelope, tmp_path):
    """As in a clean room: the environment has what the model and Spark need, and not this package."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in (spark_home.parent).iterdir():
        if "envelope" not in path.name and path.suffix != ".pth":
            (packages / path.name).symlink_to(path)
    home = carrying.link(tmp_path / "carried", ["runtime", "scoring"])
    python = Path(sys.executable).resolve()
    pq.write_table(rows(50), tmp_path / "in.parquet")
    words = carrying.arguments(home, "model_envelope.scoring.__main__", isolated=False)
    options = [word for name, value in spark_settings.items() for word in ("--conf", f"{name}={value}")]
    done = subprocess.run(
        [python, *words, envelope, "--engine", "spark", "--input", "in.parquet", "--output", "out/"],
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        | {"PYTHONPATH": str(packages), "PYSPARK_PYTHON": str(python), "SPARK_MASTER": "local[1]"}
        | {"PYSPARK_SUBMIT_ARGS": " ".join([*options, "pyspark-shell"])},
        cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1])["rows_scored"] == 50
    assert "[Stage" not in done.stderr
    assert pq.read_table(tmp_path / "out").num_rows == 50
