"""A job of Spark as a program of its own: how it ends by itself, and when it is told to."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import NUMBER, make_envelope

from model_envelope.runtime import signature as s

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.xdist_group("spark")]

MODEL = """
import os
import time

class Model:
    def predict(self, x):
        if -1.0 in x:
            open(os.environ["ASKED"], "x").close()
            time.sleep(600)
        return [value * 2 for value in x]
"""
METHODS = {"predict": s.Method((s.Parameter("x", s.List(NUMBER)),), s.List(NUMBER), row_wise=s.Answer.YES)}


@pytest.fixture
def start(spark_home, spark_settings, tmp_path):
    """A function that starts a job on a table of these numbers, in a folder of its own."""
    envelope = make_envelope(tmp_path, MODEL, METHODS, {}, name="slow")
    confs = [word for name, value in spark_settings.items() for word in ("--conf", f"{name}={value}")]
    variables = {"SPARK_MASTER": "local[1]", "PYSPARK_SUBMIT_ARGS": " ".join([*confs, "pyspark-shell"])}
    variables |= {"SPARK_LOCAL_IP": "127.0.0.1", "ASKED": str(tmp_path / "asked")}
    started = []

    def start(*numbers):
        (tmp_path / "data").mkdir()
        pq.write_table(pa.table({"x": pa.array(numbers, pa.float64())}), tmp_path / "data" / "in.parquet")
        words = ["--engine", "spark", "--input", "in.parquet", "--output", "out"]
        command = [sys.executable, "-m", "model_envelope.scoring", envelope, *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=tmp_path / "data", env={**os.environ, **variables}, **pipes))
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_that_went_well_warns_of_nothing_that_failed(start, tmp_path):
    process = start(1.0, 2.0)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["rows_written"] == 2
    assert "Failed" not in err
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["in.parquet", "out"]


def test_a_job_that_is_told_to_end_takes_what_spark_does_for_it_along(start, tmp_path):
    process = start(1.0, -1.0)
    deadline = time.monotonic() + 240
    while not (tmp_path / "asked").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "interrupted"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["in.parquet"]
