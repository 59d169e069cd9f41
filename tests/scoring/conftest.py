"""What the tests of jobs share: models that score tables, and a way to run a job on tables in memory."""

import sys

import pyarrow as pa
import pytest
from handmade import NUMBER, TEXT, make_envelope

from model_envelope.runtime import signature as s
from model_envelope.runtime.predicting import Predictor
from model_envelope.scoring import engine
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import Location

SOURCE = '''
import os


class Model:
    """Works on tables of Arrow: no other package is needed."""

    def predict(self, table):
        import pyarrow as pa

        ages = table.column("age").to_pylist()
        if 13.0 in ages:
            raise ValueError("thirteen brings bad luck")
        if 99.0 in ages:
            os.kill(os.getpid(), 9)
        return pa.table({"score": pa.array([age * 2 for age in ages], pa.float64())})

    def share(self, table):
        import pyarrow as pa

        ages = table.column("age").to_pylist()
        return pa.table({"score": pa.array([age / sum(ages) for age in ages], pa.float64())})

    def total(self, table):
        return 7

    def add(self, age, name):
        return age + len(name)
'''
PEOPLE = s.Table(
    (s.Column("age", NUMBER, "double"), s.Column("name", TEXT, "string")), flavor=s.Flavor.PYARROW, cls="Table"
)
SCORES = s.Table((s.Column("score", NUMBER, "double"),), flavor=s.Flavor.PYARROW, cls="Table")
METHODS = {
    "predict": s.Method((s.Parameter("table", PEOPLE),), SCORES, row_wise=s.Answer.YES),
    "share": s.Method((s.Parameter("table", PEOPLE),), SCORES, row_wise=s.Answer.NO),
    "total": s.Method((s.Parameter("table", PEOPLE),), s.Scalar("int64")),
    "add": s.Method((s.Parameter("age", NUMBER), s.Parameter("name", TEXT)), NUMBER),
}


def people(*ages, names=None, **more) -> pa.RecordBatch:
    names = names or [f"n{at}" for at in range(len(ages))]
    return pa.RecordBatch.from_pydict(
        {"age": pa.array(ages, pa.float64()), "name": pa.array(names, pa.string()), **more}
    )


@pytest.fixture
def envelope(tmp_path):
    return make_envelope(tmp_path, SOURCE, METHODS, {})


@pytest.fixture
def run(envelope, monkeypatch):
    """A function that runs a job on tables in memory: ``run(source, output, quarantine=..., **settings)``."""
    predictor = Predictor.open(envelope)

    def start(source, output, *, quarantine=None, log=None, report=lambda _: None, **settings):
        sinks = {"output": output, "quarantine": quarantine, "log": log}
        monkeypatch.setattr(engine, "open_source", lambda location: source)
        monkeypatch.setattr(engine, "open_sink", lambda location, partition_by=(): sinks[location.url])
        places = {name: Location("parquet", name) for name, sink in sinks.items() if sink is not None}
        settings = {"workers": 1} | settings
        job = Job(envelope=envelope, input=Location("parquet", "input"), **places, **settings)
        return engine.score(job, predictor, report=report)

    yield start
    sys.modules.pop("nothing", None)
