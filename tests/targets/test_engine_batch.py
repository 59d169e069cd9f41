"""Images of jobs, for real: built, proven, and run on tables with nothing to write to but the output."""

import json
import os
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import make_envelope

from model_envelope.foundation.errors import Answered
from model_envelope.runtime.signature import List, Method, Parameter, Scalar
from model_envelope.targets.container import HARDENED
from model_envelope.workflows.build import build

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

BASE_IMAGE = os.environ.get("ENVELOPE_BASE_IMAGE", "python-base:bookworm")
NUMBER = Scalar("float64")
DOUBLES = """
class Model:
    def predict(self, x):
        return [value * 2 for value in x]

    def one(self, x):
        return -x
"""
METHODS = {
    "predict": Method((Parameter("x", List(NUMBER)),), List(NUMBER)),
    "one": Method((Parameter("x", NUMBER),), NUMBER),
}
SAMPLES = {"predict": ({"x": [1.5, -2.0]}, [3.0, -4.0]), "one": ({"x": 1.5}, -1.5)}
ROWS = 1000


@pytest.fixture(scope="module")
def envelope(tmp_path_factory):
    return make_envelope(tmp_path_factory.mktemp("doubles"), DOUBLES, METHODS, SAMPLES, name="doubles")


@pytest.fixture(scope="module")
def image(engine, envelope):
    name = f"envelope-test/doubles-batch:{os.getpid()}"
    result = build(envelope, target="batch", image=name, base_image=BASE_IMAGE)
    assert [(item.method, item.agrees) for item in result.replays] == [("predict", True), ("one", True)]
    assert "runtime code" in {layer.name for layer in result.layers}
    yield name
    engine.forget(name)


@pytest.fixture
def data(tmp_path):
    """A folder with a table, and one that any user may write answers to."""
    folder = tmp_path / "data"
    (folder / "out").mkdir(parents=True)
    (folder / "out").chmod(0o777)
    table = pa.table({"id": pa.array(range(ROWS), pa.int64()), "x": [row / 2 for row in range(ROWS)]})
    pq.write_table(table, folder / "in.parquet")
    return folder


def run(engine, image, data, *arguments, **more):
    """Run a job hardened, without a network, and give its exit code, its last line, and all that it said."""
    volumes = {str(data): {"bind": "/data", "mode": "rw"}}
    with engine.confined(image, arguments=arguments, volumes=volumes, **more) as container:
        assert container.handle.attrs["HostConfig"]["ReadonlyRootfs"] is True
        code, out, err = container.finished(seconds=300)
    said = f"{out.decode()}\n{err.decode()}"
    lines = out.decode().splitlines()
    return code, json.loads(lines[-1]) if lines else {}, said


def answers(folder):
    table = pq.read_table(folder).sort_by("id")
    return table["id"].to_pylist(), table["predict"].to_pylist()


DOUBLED = (list(range(ROWS)), [float(row) for row in range(ROWS)])


def test_an_image_of_a_job_listens_to_nobody_and_says_what_it_is(engine, image):
    found = engine.client.images.get(image)
    config = found.attrs["Config"]
    assert config["Entrypoint"] == ["/opt/venv/bin/python", "-m", "model_envelope.scoring", "/opt/model/envelope"]
    assert not config.get("ExposedPorts")
    assert (config.get("Healthcheck") or {"Test": ["NONE"]})["Test"] == ["NONE"]
    assert (config["StopSignal"], config["User"]) == ("SIGTERM", "10001:0")
    assert engine.labels(image)["io.modelenvelope.target"] == "batch"


# The image's own, one as OpenShift gives them, and root.
@pytest.mark.parametrize("user", [None, "1000650000:0", "0:0"])
def test_it_scores_a_table_hardened_whoever_the_user_is(engine, image, data, user):
    code, last, said = run(
        engine,
        image,
        data,
        *("--input", "/data/in.parquet", "--output", "/data/out/scored", "--keep", "id"),
        **({"user": user} if user else {}),
    )
    assert code == 0, said
    assert last["event"] == "done"
    assert answers(data / "out" / "scored") == DOUBLED


def test_settings_come_as_variables_too(engine, image, data):
    variables = {"ENVELOPE_INPUT": "/data/in.parquet", "ENVELOPE_OUTPUT": "/data/out/one", "ENVELOPE_METHOD": "one"}
    code, _, said = run(engine, image, data, environment=variables)
    assert code == 0, said
    assert pq.read_table(data / "out" / "one")["one"].to_pylist() == [-row / 2 for row in range(ROWS)]


def test_what_a_scheduler_has_to_know_is_the_last_line_and_the_code(engine, image, data):
    pq.write_table(pa.table({"y": [1.0]}), data / "other.parquet")
    code, last, said = run(engine, image, data, "--input", "/data/other.parquet", "--output", "/data/out/none")
    assert code == 1, said
    assert (last["event"], last["error"]["code"]) == ("failed", "table.columns")
    assert not (data / "out" / "none").exists()


def test_answers_that_differ_give_no_name(engine, tmp_path):
    name = f"envelope-test/doubles-wrong:{os.getpid()}"
    wrong = {**SAMPLES, "predict": ({"x": [1.0]}, [3.0])}
    with pytest.raises(Answered) as caught:
        build(make_envelope(tmp_path, DOUBLES, METHODS, wrong, name="doubles"), target="batch", image=name)
    assert caught.value.code == "build.differs"
    assert engine.labels(name) is None


@pytest.mark.slow
def test_with_an_option_it_reads_a_database(engine, envelope, data):
    with sqlite3.connect(data / "in.db") as database:
        database.execute("create table points (id integer, x real)")
        database.executemany("insert into points values (?, ?)", [(row, row / 2) for row in range(ROWS)])
    database.close()
    name = f"envelope-test/doubles-sql:{os.getpid()}"
    try:
        build(envelope, target="batch", options=["sql"], image=name, base_image=BASE_IMAGE)
        assert engine.labels(name)["io.modelenvelope.options"] == "sql"
        words = ("--input", "sqlite:////data/in.db#points", "--output", "/data/out/scored", "--keep", "id")
        code, _, said = run(engine, name, data, *words)
        assert code == 0, said
        assert answers(data / "out" / "scored") == DOUBLED
    finally:
        engine.forget(name)


@pytest.mark.slow
def test_the_image_with_spark_scores_a_table_as_a_user_that_nobody_knows(engine, envelope, data):
    name = f"envelope-test/doubles-spark:{os.getpid()}"
    try:
        result = build(envelope, target="spark", image=name, base_image=BASE_IMAGE)
        assert all(item.agrees for item in result.replays)
        assert "system packages" in {layer.name for layer in result.layers if layer.size}
        handle = engine.client.containers.run(
            name,
            ["--input", "/data/in.parquet", "--output", "/data/out/scored", "--keep", "id"],
            detach=True,
            environment={"SPARK_MASTER": "local[2]"},
            volumes={str(data): {"bind": "/data", "mode": "rw"}},
            network_mode="none",
            **{**HARDENED, "tmpfs": {"/tmp": "rw,exec,nosuid,nodev"}},
        )
        try:
            code, said = handle.wait(timeout=600)["StatusCode"], handle.logs().decode()
        finally:
            handle.remove(force=True)
        assert code == 0, said
        assert answers(data / "out" / "scored") == DOUBLED
    finally:
        engine.forget(name)
