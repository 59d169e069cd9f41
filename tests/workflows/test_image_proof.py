"""What is made of what a container says, without an engine: nobody trusts an image to judge itself."""

import json
from contextlib import contextmanager

import pytest
from handmade import SCORER_SAMPLES, make_envelope

from model_envelope.foundation.errors import Answered, ToolFailed
from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.signature import Method, Parameter, Scalar
from model_envelope.workflows import image_proof
from model_envelope.workflows.image_proof import prove


class Played:
    """An engine whose one container says what a test says, and ends with a code, or never."""

    def __init__(self, said, code=None, log="its log"):
        self.said = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.code = code
        self.words = log
        self.started = []

    @contextmanager
    def confined(self, image, **options):
        self.started.append((image, options))
        yield self

    def execute(self, words, *, seconds):
        self.asked = words
        return self.said, b"complaint"

    def exit_code(self):
        return self.code

    def log(self):
        return self.words


def answers(**changed):
    sealed = {method: {"seconds": 0.5, "body": json.dumps(answer)} for method, (_, answer) in SCORER_SAMPLES.items()}
    return {"not_ready": "", "answers": {**sealed, **changed}}


@pytest.fixture
def files(tmp_path):
    return read_envelope(make_envelope(tmp_path))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(image_proof.time, "sleep", lambda _: None)
    monkeypatch.setattr(image_proof, "SETTLE", 0.05)


def test_answers_as_sealed(files):
    engine = Played(answers())
    replays = prove(engine, "x", files)
    assert [(item.method, item.agrees, item.seconds) for item in replays] == [
        ("predict", True, 0.5),
        ("greet", True, 0.5),
        ("later", True, 0.5),
    ]
    assert engine.started == [("x", {"network": False, "arguments": []})]
    assert engine.asked[1:3] == ("-m", "model_envelope.runtime.asking")


def test_what_differs_is_found_here_whatever_the_image_says_of_it(files):
    with pytest.raises(Answered) as caught:
        prove(Played(answers(greet={"seconds": 0, "body": '"bye"', "agrees": True})), "x", files)
    assert caught.value.code == "build.differs"
    assert [problem.path for problem in caught.value.problems] == ["greet: $"]


def test_a_method_that_was_not_answered(files):
    document = answers()
    del document["answers"]["greet"]
    with pytest.raises(ModelFailed, match="did not answer `greet`: nothing came back"):
        prove(Played(document), "x", files)
    error = {"type": "ModelFailed", "code": "service.refused", "message": "the service answered `greet` with 500"}
    with pytest.raises(ModelFailed, match="with 500"):
        prove(Played(answers(greet={"seconds": 0, "error": error})), "x", files)
    with pytest.raises(ModelFailed, match="did not answer `greet`"):
        prove(Played(answers(greet={"seconds": 0, "body": "<html>"})), "x", files)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no JSON",
        b"[" * 100_000,
        b"\xff\xfe",
        [],
        {"not_ready": ""},
        {"not_ready": "", "answers": []},
        answers(greet=7),
        answers(greet={"body": '"hello"'}),
        answers(greet={"seconds": "long", "body": '"hello"'}),
        answers(greet={"seconds": 1, "error": {}}),
    ],
)
def test_what_makes_no_sense_is_told(files, said):
    with pytest.raises(ToolFailed) as caught:
        prove(Played(said), "x", files)
    assert caught.value.code == "build.not-asked"
    assert caught.value.detail == "complaint"
    assert "/opt/model/envelope" in caught.value.hint


def test_a_container_that_is_not_ready_in_time_is_told_with_its_log(files):
    with pytest.raises(ToolFailed) as caught:
        prove(Played({"not_ready": "HTTP Error 503", "answers": {}}), "x", files)
    assert caught.value.code == "service.not-ready"
    assert "HTTP Error 503" in caught.value.message
    assert caught.value.detail == "its log"


@pytest.mark.parametrize(
    ("log", "hint"),
    [
        ("ValueError: no", "envelope verify --clean"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "--allow-network"),
        ("OSError: [Errno 101] Network is unreachable", "--allow-network"),
        ("ImportError: libgomp.so.1: cannot open shared object file", "--base-image"),
    ],
)
def test_a_container_that_ended_is_told_with_what_may_help(files, log, hint):
    with pytest.raises(ModelFailed) as caught:
        prove(Played(b"", code=1, log=log), "x", files)
    assert caught.value.code == "build.not-ready"
    assert caught.value.detail == log
    assert hint in caught.value.hint


def test_a_container_whose_own_replay_differs(files):
    with pytest.raises(Answered) as caught:
        prove(Played(b"", code=3, log="greet differs"), "x", files)
    assert caught.value.code == "build.differs"
    assert caught.value.detail == "greet differs"


def test_a_sample_that_is_larger_than_services_take_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(image_proof, "LARGEST_BODY", 20)
    engine, events = Played(answers()), []
    prove(engine, "x", read_envelope(make_envelope(tmp_path)), report=events.append)
    [note] = [event.text for event in events if "--max-body" in event.text]
    size = note.split()[3]
    assert engine.started[0][1]["arguments"] == ["--max-body", size]


EXACT = {"predict": Method((Parameter("x", Scalar("float64")),), Scalar("float64"))}
OURS = {"cpu": "x86_64 Ours", "features": ["avx2"], "threads": 2, "libraries": []}


@pytest.mark.parametrize(("there", "agrees"), [("aarch64 Theirs", True), ("x86_64 Ours", False)])
def test_last_bits_are_explained_by_the_cpu_that_the_container_has(tmp_path, monkeypatch, there, agrees):
    """An engine may be on another machine than this one, or in a virtual one."""
    files = read_envelope(make_envelope(tmp_path, methods=EXACT, samples={"predict": ({"x": 1.5}, 3.0)}))
    monkeypatch.setattr(image_proof, "read_provenance", lambda _: {"machine": OURS})
    said = {"not_ready": "", "answers": {"predict": {"seconds": 0, "body": "3.0000000000000004"}}}
    engine, events = Played(said | {"machine": {**OURS, "cpu": there}}), []
    if agrees:
        assert [item.rounded for item in prove(engine, "x", files, report=events.append)] == [True]
        assert any("the CPU is aarch64 Theirs" in event.text for event in events)
    else:
        with pytest.raises(Answered):
            prove(engine, "x", files)
