"""Jobs from files to files: what stands on the disk at the end, and after the job was killed at any moment."""

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scoring.conftest import people

from model_envelope.scoring import engine
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import read_location
from model_envelope.scoring.tables import CannotWrite, Changed, InvalidJob, InvalidTable


def numbered(first, rows):
    ages = [None if at % 997 == 0 else float(at % 80 + 14) for at in range(first, first + rows)]
    ages = [14.0 if age in {99.0, 13.0} else age for age in ages]
    return people(*ages, id=pa.array(range(first, first + rows), pa.int64()))


def dataset(folder: Path, parts=6, rows=5_000) -> Path:
    folder.mkdir()
    for at in range(parts):
        pq.write_table(pa.Table.from_batches([numbered(at * rows, rows)]), folder / f"people-{at}.parquet")
    return folder


def job(envelope, source, output, **settings):
    places = {"input": read_location(str(source)), "output": read_location(str(output))}
    return Job(envelope=envelope, **places, **{"workers": 1} | settings)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def tables(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(folder).items() if name.endswith(".parquet")}


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "arrow"])
def test_a_file_becomes_a_file_of_any_format(envelope, tmp_path, ending):
    source = tmp_path / "people.parquet"
    pq.write_table(pa.Table.from_batches([people(1, 2, 3, id=pa.array([7, 8, 9]))]), source)
    report = engine.score(job(envelope, source, tmp_path / f"scores.{ending}", keep=("id",)))
    back = engine.score(job(envelope, source, tmp_path / "again.parquet", keep=("id",)))
    assert (report.rows.scored, back.rows.scored) == (3, 3)
    wanted = {"id": [7, 8, 9], "score": [2.0, 4.0, 6.0]}
    assert pq.read_table(tmp_path / "again.parquet").to_pydict() == wanted
    assert (tmp_path / f"scores.{ending}").stat().st_size > 0


def test_columns_of_text_become_what_the_model_wants(envelope, tmp_path):
    (tmp_path / "people.csv").write_text("name,age,id\na,1,7\nb,2.5,8\n")
    engine.score(job(envelope, tmp_path / "people.csv", tmp_path / "out.parquet", keep=("age", "id")))
    wanted = {"age": [1, 2.5], "id": ["7", "8"], "score": [2.0, 5.0]}
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == wanted


def test_rows_are_chosen_by_a_filter(envelope, tmp_path):
    source = dataset(tmp_path / "in", parts=2, rows=50)
    report = engine.score(job(envelope, source, tmp_path / "out", where="id >= 40 and id < 60", keep=("id",)))
    assert pq.read_table(tmp_path / "out").column("id").to_pylist() == list(range(40, 60))
    assert report.rows.read == 20


def test_a_dataset_becomes_a_folder_with_the_same_bytes_every_time(envelope, tmp_path):
    source = dataset(tmp_path / "in")
    settings = {"keep": ("id",), "batch_rows": 2_000, "on_bad_row": "quarantine"}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        report = engine.score(
            job(
                envelope,
                source,
                tmp_path / f"{name}/out/",
                quarantine=read_location(str(tmp_path / f"{name}/bad/")),
                workers=2 if name == "two" else 1,
                **settings,
            )
        )
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
    assert report.rows.refused == pq.read_table(tmp_path / "one/bad").num_rows == 31
    assert pq.read_table(tmp_path / "one/out").num_rows == 30_000 - 31


def test_an_output_that_exists_is_told_before_anything_is_read(envelope, tmp_path):
    source = dataset(tmp_path / "in", parts=1)
    (tmp_path / "out.parquet").write_bytes(b"precious")
    with pytest.raises(CannotWrite) as error:
        engine.score(job(envelope, source, tmp_path / "out.parquet"))
    assert error.value.code == "output.exists"
    assert (tmp_path / "out.parquet").read_bytes() == b"precious"


def test_a_job_that_writes_over_its_input_is_refused(envelope, tmp_path):
    source = dataset(tmp_path / "in", parts=1)
    with pytest.raises(InvalidJob) as error:
        engine.score(job(envelope, source, str(source) + "/", mode="overwrite"))
    assert error.value.code == "job.same-place"


def test_a_file_cut_short_in_the_middle_of_a_dataset_leaves_no_output(envelope, tmp_path):
    source = dataset(tmp_path / "in")
    broken = source / "people-3.parquet"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidTable, match=r"people-3\.parquet"):
        engine.score(job(envelope, source, tmp_path / "out/"))
    assert not list((tmp_path / "out").rglob("*.parquet")) if (tmp_path / "out").exists() else True


def test_an_input_that_grows_meanwhile_leaves_no_output(envelope, tmp_path):
    source = dataset(tmp_path / "in", parts=2)

    def grow(event):
        if event["event"] == "progress":
            pq.write_table(pa.Table.from_batches([numbered(0, 10)]), source / "people-9.parquet")

    with pytest.raises(Changed):
        engine.score(job(envelope, source, tmp_path / "out.parquet", on_bad_row="quarantine",
                         quarantine=read_location(str(tmp_path / "bad/"))), report=grow)  # fmt: skip
    assert not (tmp_path / "out.parquet").exists()


def test_the_report_is_written_as_json(envelope, tmp_path):
    source = tmp_path / "people.parquet"
    pq.write_table(pa.Table.from_batches([people(1, 2, 3)]), source)
    engine.score(job(envelope, source, tmp_path / "out.parquet", report=tmp_path / "reports/run.json"))
    document = json.loads((tmp_path / "reports/run.json").read_text())
    written = document["outputs"]["output"]
    assert written["files"]["out.parquet"] == hashlib.sha256((tmp_path / "out.parquet").read_bytes()).hexdigest()
    assert document["input"]["state"]


class Killed:
    """Runs of one job, in processes that can be killed."""

    def __init__(self, envelope, folder):
        self.envelope = envelope
        self.source = dataset(folder / "in")
        self.folder = folder

    def start(self, name, pause):
        place = self.folder / name
        place.mkdir(exist_ok=True)
        arguments = [self.envelope, self.source, f"{place}/out/", f"{place}/bad/", pause]
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("killing.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        return process

    def finish(self, name):
        process = self.start(name, 0)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return json.loads(out)


@pytest.mark.slow
def test_a_job_that_is_killed_at_any_moment_ends_with_the_same_bytes(envelope, tmp_path):
    runs = Killed(envelope, tmp_path)
    runs.finish("whole")
    wanted = tables(tmp_path / "whole")
    assert len(wanted) == 12
    moments = random.Random(8)
    resumed = 0
    for round_ in range(6):
        name = f"killed-{round_}"
        for _ in range(3):
            process = runs.start(name, 0.02)
            time.sleep(moments.uniform(0, 1.2))
            process.kill()
            process.communicate()
        resumed += runs.finish(name)["parts_resumed"]
        assert tables(tmp_path / name) == wanted
    assert resumed > 0
