"""What is kept of builds: logs, results, and what an image was built of."""

import json
import os
from dataclasses import replace

import docker
import pytest
from handmade import make_envelope, seal

from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.progress import Note, silent
from model_envelope.runtime.errors import Problem
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.replay import MethodReplay
from model_envelope.targets.build_log import Step
from model_envelope.targets.engine import Engine
from model_envelope.targets.layers import Installed, Layer
from model_envelope.targets.target import find_target
from model_envelope.workflows import build_records
from model_envelope.workflows.build import build
from model_envelope.workflows.build_records import Ingredients, kept_log
from model_envelope.workflows.build_report import BuildResult, Package, as_before, with_reasons, write_report

BASE, NAME = "python:3.11-slim", "scorer:1"
SERVICE = find_target("service")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    monkeypatch.setenv("ENVELOPE_STATE_DIR", str(folder))
    return folder


class Images(dict):
    """What an engine has: ids by name."""

    def get(self, name):
        if name not in self:
            raise docker.errors.ImageNotFound(name)
        return type("Image", (), {"attrs": {"Id": self[name]}})()


def engine_with(**ids):
    client = type("Client", (), {"images": Images({NAME: ids["image"], BASE: ids["base"]} if ids else {})})()
    return Engine(client, "unix:///nowhere")


def result(**changes) -> BuildResult:
    known = BuildResult(
        image=NAME,
        id="sha256:one",
        size=200,
        name="scorer",
        digest="d",
        lock="l",
        target="service",
        base_image=BASE,
        base_digest=None,
        builder="BuildKit",
        layers=(Layer("base image", ("b",), 150, None), Layer("model", ("m",), 50, None)),
        packages=(Package("numpy", "2.0", 40, 2, "signature: numpy"),),
        steps=(Step("packages", cached=False, seconds=9.3),),
        replays=(MethodReplay("predict", agrees=True, differences=(), seconds=0.1),),
        seconds=12.5,
    )
    return replace(known, **changes)


def ingredients(files, **changes) -> Ingredients:
    options = {"target": SERVICE, "image": NAME, "base_image": BASE, "platform": "linux/amd64"} | changes
    return Ingredients.of(files, **options)


@pytest.fixture
def files(tmp_path):
    return read_envelope(make_envelope(tmp_path))


def test_the_same_again_is_known_with_its_result(files):
    engine = engine_with(image="sha256:one", base="sha256:base")
    assert ingredients(files).built_before(engine) is None
    ingredients(files).remember(engine, result())
    assert ingredients(files).built_before(engine) == result()


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "scorer:2"},
        {"base_image": "python:3.12-slim"},
        {"platform": "linux/arm64"},
        {"target": SERVICE.with_options("arrow")},
        {"micromamba_image": "other"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_else_is_asked_for_is_built(files, changes):
    engine = engine_with(image="sha256:one", base="sha256:base")
    ingredients(files).remember(engine, result())
    assert ingredients(files, **changes).built_before(engine) is None


def test_another_envelope_commit_or_tool_is_built(files, tmp_path, monkeypatch):
    engine = engine_with(image="sha256:one", base="sha256:base")
    ingredients(files).remember(engine, result())
    (files.path / "more.txt").write_text("more")
    seal(files.path)
    assert ingredients(read_envelope(files.path)).built_before(engine) is None
    assert ingredients(files).built_before(engine) is not None
    target = replace(SERVICE, folder=tmp_path)
    assert ingredients(files, target=target).built_before(engine) is None
    monkeypatch.setattr(build_records, "__version__", "0.0.0")
    assert ingredients(files).built_before(engine) is None


@pytest.mark.parametrize(
    "ids",
    [{"image": "sha256:two", "base": "sha256:base"}, {"image": "sha256:one", "base": "sha256:new"}, {}],
    ids=["somebody else's image has the name", "another base image", "no such image"],
)
def test_a_note_is_not_believed_where_the_engine_has_something_else(files, ids):
    ingredients(files).remember(engine_with(image="sha256:one", base="sha256:base"), result())
    assert ingredients(files).built_before(engine_with(**ids)) is None


def test_a_base_that_the_engine_does_not_show_must_have_a_digest(files):
    engine = engine_with(image="sha256:one", base="sha256:base")
    del engine.client.images[BASE]
    ingredients(files).remember(engine, result())
    assert ingredients(files).built_before(engine) is None
    pinned = f"{BASE}@sha256:{'0' * 64}"
    ingredients(files, base_image=pinned).remember(engine, result())
    assert ingredients(files, base_image=pinned).built_before(engine) == result()


@pytest.mark.parametrize(
    "replays",
    [(), (MethodReplay("predict", agrees=False, differences=(Problem("$", "1", "2"),), seconds=0.1),)],
    ids=["no samples", "other answers"],
)
def test_what_was_not_proven_is_not_noted(files, replays):
    engine = engine_with(image="sha256:one", base="sha256:base")
    ingredients(files).remember(engine, result(replays=replays))
    assert ingredients(files).built_before(engine) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"format": 1}', b"\xff"])
def test_a_note_that_cannot_be_read_is_as_none(files, state, content):
    engine = engine_with(image="sha256:one", base="sha256:base")
    ingredients(files).remember(engine, result())
    (noted,) = (state / "images").iterdir()
    noted.write_bytes(content)
    assert ingredients(files).built_before(engine) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", "sha256:other"), ("replays", []), ("image", "x:1"), ("format", 2), ("layers", [{}]), ("seconds", None)],
)
def test_a_note_with_another_result_is_not_believed(files, state, field, value):
    engine = engine_with(image="sha256:one", base="sha256:base")
    ingredients(files).remember(engine, result())
    (noted,) = (state / "images").iterdir()
    document = json.loads(noted.read_bytes())
    if field == "seconds":
        del document["build"][field]
    else:
        document["build"][field] = value
    noted.write_text(json.dumps(document))
    assert ingredients(files).built_before(engine) is None


def test_the_log_is_kept_without_credentials_and_named_in_errors(state):
    def fail():
        with kept_log("scorer", lambda text: text.replace("hunter2", "****"), silent) as kept:
            assert kept.keep("pip says hunter2") == "pip says ****"
            raise ToolFailed("it failed with hunter2", code="build.failed", detail="a line\nhunter2")

    with pytest.raises(ToolFailed) as caught:
        fail()
    (log,) = (state / "builds").iterdir()
    assert f"the whole log: {log}" in caught.value.detail
    assert "hunter2" not in str(caught.value) + caught.value.detail
    assert log.parent == state / "builds"
    assert log.read_text().splitlines() == [
        "pip says ****",
        "build.failed: it failed with ****",
        "a line",
        "****",
    ]
    assert log.stat().st_mode & 0o077 == 0


def test_a_bounded_number_of_logs_is_kept_with_their_results(state):
    for at in range(build_records.KEPT + 5):
        with kept_log("scorer", str, silent) as kept:
            kept.keep(str(at))
        write_report(result(log=kept.path), None)
        os.utime(kept.path, (at, at))
    with kept_log("last", str, silent):
        pass
    logs = sorted((state / "builds").glob("*.log"))
    assert len(logs) == build_records.KEPT
    results = {path.stem for path in (state / "builds").glob("*.json")}
    assert results == {path.stem for path in logs if "last" not in path.name}


def test_a_state_folder_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch, files):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENVELOPE_STATE_DIR", str(tmp_path / "file"))
    events = []
    with kept_log("scorer", str, events.append) as kept:
        assert kept.keep("a line") == "a line"
    assert kept.path is None
    assert isinstance(events[0], Note)
    assert "the log is not kept" in events[0].text
    assert write_report(result(log=tmp_path / "file" / "a.log"), None)
    engine = engine_with(image="sha256:one", base="sha256:base")
    ingredients(files).remember(engine, result())
    assert ingredients(files).built_before(engine) is None


def test_the_result_is_written_as_a_document_and_read_again(tmp_path):
    known = result(log=tmp_path / "a.log")
    assert write_report(known, tmp_path / "new" / "build.json") is known
    document = json.loads((tmp_path / "new" / "build.json").read_bytes())
    assert document["format"] == 1
    assert document["layers"][1] == {"name": "model", "digests": ["m"], "size": 50, "new": None}
    assert document["replays"][0]["agrees"] is True
    assert BuildResult.from_document(document) == known
    again = json.loads(json.dumps(as_before(known).to_document()))
    assert again == {**document, "unchanged": True}


def test_a_folder_for_the_report_is_refused_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(InvalidInput) as caught:
        build(make_envelope(tmp_path), report_file=tmp_path)
    assert caught.value.code == "build.report"
    assert str(tmp_path / "build.json") in (caught.value.hint or "")


def test_without_an_engine_that_is_told_though_the_folder_cannot_be_kept(tmp_path, monkeypatch):
    envelope = make_envelope(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.chdir(tmp_path)
    place = tmp_path / f"scorer-{read_envelope(envelope).short_digest}-service"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    with pytest.raises(ToolMissing) as caught:
        build(envelope)
    assert caught.value.code == "engine.unreachable"
    assert "kept" not in caught.value.message
    assert [path.name for path in place.iterdir()] == ["mine.txt"]


def test_a_report_that_cannot_be_written_says_that_the_image_is_there(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        write_report(result(), tmp_path)
    assert caught.value.code == "build.report"
    assert "scorer:1 is built and proven" in caught.value.message


def test_packages_are_given_the_reason_why_they_are_there(tmp_path):
    files = read_envelope(make_envelope(tmp_path, lock=b"six==1.17.0 --hash=sha256:00\n", python="3.13"))
    installed = [Installed("six", "1.17.0", 5, 0), Installed("Starlette", "1.0", 4, 1)]
    assert with_reasons(installed, files, SERVICE) == (
        Package("six", "1.17.0", 5, 0, "in the envelope's lock"),
        Package("Starlette", "1.0", 4, 1, "the service needs it"),
    )
