"""How an image of jobs is judged by what its container said; containers themselves are for tests with an engine."""

import json
from contextlib import contextmanager

import pytest
from handmade import make_envelope

from model_envelope.foundation.errors import Answered, ToolFailed
from model_envelope.foundation.progress import Done, Note
from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows.job_proof import prove_job

RIGHT = {"predict": [1.5, 2.0, 2.5], "greet": "hello wörld", "later": 2}
MACHINE = {"cpu": "x", "features": [], "threads": 1, "libraries": []}


def document(tables=RIGHT, **answers):
    def told(given):
        return {
            name: {"seconds": 0.1, **(item if isinstance(item, dict) else {"body": json.dumps(item)})}
            for name, item in given.items()
        }

    return json.dumps({"answers": told({**RIGHT, **answers}), "tables": told(tables), "machine": MACHINE})


class Engine:
    """Hands out one container that has ended so, and keeps what it was started with."""

    def __init__(self, out="", err="", code=0):
        self.ended = code, out.encode(), err.encode()
        self.started = []

    @contextmanager
    def confined(self, image, **options):
        self.started.append((image, options))
        yield self

    def finished(self, *, seconds):
        return self.ended


@pytest.fixture
def files(tmp_path):
    return read_envelope(make_envelope(tmp_path))


def fails(files, kind, expected, *said, **more):
    with pytest.raises(kind) as caught:
        prove_job(Engine(*said, **more), "image", files)
    assert caught.value.code == expected
    return caught.value


def test_it_is_run_in_the_place_of_the_job_without_a_network(files):
    engine, said = Engine(document()), []
    replays = prove_job(engine, "image", files, report=said.append)
    assert [(item.method, item.agrees) for item in replays] == [(name, True) for name in RIGHT]
    assert engine.started == [
        (
            "image",
            {
                "network": False,
                "arguments": ["-m", "model_envelope.scoring.proving", "/opt/model/envelope"],
                "entrypoint": ["/opt/venv/bin/python"],
            },
        )
    ]
    assert [event.text for event in said if isinstance(event, Done)] == [
        "Proven in the container: 3 methods answer as sealed, 3 of them tables too"
    ]


def test_an_answer_that_differs_is_named_on_either_road(files):
    error = fails(files, Answered, "build.differs", document(greet="goodbye"))
    assert [problem.path for problem in error.problems] == ["greet: $"]
    error = fails(files, Answered, "build.differs", document({**RIGHT, "predict": [1.5, 2.0, 9.0]}))
    assert [problem.path for problem in error.problems] == ["predict of a table: $[2]"]


def test_what_a_model_raises_is_raised_here_with_the_way_out(files):
    raised = ModelFailed("the model raised: Temporary failure in name resolution", code="model.raised")
    error = fails(files, ModelFailed, "model.raised", document(greet={"error": raised.to_document()}))
    assert "--allow-network" in error.hint


@pytest.mark.parametrize(
    ("out", "code", "kind", "expected"),
    [
        ("", 139, ModelFailed, "build.not-ready"),
        ("", None, ToolFailed, "build.not-ready"),
        ("", 0, ToolFailed, "build.not-asked"),
        ("[1]", 0, ToolFailed, "build.not-asked"),
        ("{}", 0, ToolFailed, "build.not-asked"),
        ('{"answers": {"greet": 1}, "tables": {}, "machine": {}}', 0, ToolFailed, "build.not-asked"),
    ],
)
def test_what_makes_no_sense_is_told_with_what_the_container_said(files, out, code, kind, expected):
    assert "it said this" in fails(files, kind, expected, out, "it said this", code=code).detail or out


def test_a_model_that_cannot_be_loaded_names_the_library_that_is_missing(files):
    lacking = "libgomp.so.1: cannot open shared object file: No such file or directory"
    told = ModelFailed(f"the model cannot be loaded: {lacking}", code="model.load").to_document()
    error = fails(files, ModelFailed, "build.not-ready", json.dumps({"error": told}), code=1)
    assert "`apt-get install libgomp1` brings it" in error.hint


def test_without_samples_it_is_said_that_nothing_is_proven(tmp_path):
    files, said = read_envelope(make_envelope(tmp_path, samples={})), []
    empty = json.dumps({"answers": {}, "tables": {}, "machine": MACHINE})
    assert prove_job(Engine(empty), "image", files, report=said.append) == ()
    assert [event.text for event in said if isinstance(event, Note)] == [
        "not proven: the envelope was sealed without samples"
    ]
