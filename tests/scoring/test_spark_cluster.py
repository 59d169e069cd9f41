"""A job on a cluster whose worker has nothing but what the driver sends: a real master and a real worker of Spark."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import make_envelope
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.xdist_group("spark")]

MODEL = """
import sys

class Model:
    def predict(self, X):
        import model_envelope.scoring.spark.worker as worker
        return X["text"] + " " + worker.__file__ + " " + __file__
"""
TEXT = s.Table((s.Column("text", s.Scalar("string"), TEXT_STORAGE),))
METHODS = {
    "predict": s.Method((s.Parameter("X", TEXT),), s.Series(s.Scalar("string"), TEXT_STORAGE), row_wise=s.Answer.YES)
}
DRIVER = """
import json, sys
from pathlib import Path
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import Location
from model_envelope.scoring.spark import score

envelope, source, *outputs = map(Path, sys.argv[1:])
for output in outputs:
    report = score(Job(envelope, Location("parquet", str(source)), Location("parquet", str(output))))
    print(json.dumps(report.summary()))
"""


def test_workers_are_sent_the_code_and_the_envelope(cluster, spark_settings, tmp_path):
    envelope = make_envelope(tmp_path, MODEL, METHODS, {}, name="far")
    summaries = drive(cluster, spark_settings, tmp_path, envelope, "one", "two")
    assert [summary["rows_scored"] for summary in summaries] == [2, 2]
    for output in ("one", "two"):
        answers = pq.read_table(tmp_path / output).column("predict").to_pylist()
        assert sorted(answer.split()[0] for answer in answers) == ["a", "b"]
        _, worker, code = answers[0].split()
        assert "/model-envelope-" in worker
        assert ".zip/model_envelope/scoring/spark/worker.py" in worker
        assert str(tmp_path / "work") in code
        assert "/envelope-" in code


def test_workers_run_in_an_environment_that_is_sent_packed(cluster, spark_settings, tmp_path):
    envelope = make_envelope(tmp_path, MODEL.replace("+ __file__", "+ sys.prefix"), METHODS, {}, name="packed")
    archive = pack_environment(tmp_path)
    sent = {"spark.archives": f"{archive}#environment"}
    variables = {"PYSPARK_PYTHON": "./environment/bin/python"}
    drive(cluster, spark_settings | sent, tmp_path, envelope, "out", **variables)
    (answer, _) = pq.read_table(tmp_path / "out").column("predict").to_pylist()
    prefix = answer.split()[-1]
    assert prefix.startswith(str(tmp_path / "work"))
    assert prefix.endswith("/environment")


def drive(cluster, settings, folder, envelope, *outputs, **variables):
    """Score a table of two rows once for each output; gives what the job tells of each."""
    pq.write_table(pa.table({"text": ["a", "b"]}), folder / "in.parquet")
    confs = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    options = [*confs, "--conf", "spark.executor.memory=512m", "pyspark-shell"]
    environment = {**os.environ, "SPARK_MASTER": cluster, "PYSPARK_SUBMIT_ARGS": " ".join(options)}
    environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONWARNINGS": "error::FutureWarning", **variables}
    command = [sys.executable, "-c", DRIVER, envelope, folder / "in.parquet", *(folder / name for name in outputs)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=400, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def pack_environment(folder):
    """Pack an environment with what workers need of other projects, as `venv-pack` does."""
    home = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--copies", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    for name in ("pyarrow", "numpy", "numpy.libs", "pandas", "dateutil", "six.py"):
        found = Path(sysconfig.get_path("platlib"), name)
        if found.is_dir():
            shutil.copytree(found, packages / name, ignore=shutil.ignore_patterns("tests", "__pycache__", "include"))
        elif found.exists():
            shutil.copy(found, packages)
    archive = folder / "environment.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(home, "")
    shutil.rmtree(home)
    return archive
