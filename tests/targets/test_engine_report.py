"""What is told and kept of real builds, and when there is nothing to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import SCORER, SCORER_METHODS, SCORER_SAMPLES, make_envelope

from model_envelope.foundation.errors import Answered, ToolFailed
from model_envelope.foundation.progress import Done, Part
from model_envelope.targets.engine import Engine
from model_envelope.workflows.build import build

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

COMMAND = Path(sys.executable).with_name("envelope")
NO_PACKAGE = b"nothing-of-this-name-is-there==1.0 \\\n    --hash=sha256:" + b"0" * 64 + b"\n"


@pytest.fixture
def engine():
    found = Engine.connect()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """Notes of their own: what other tests built is no reason to build nothing here."""
    monkeypatch.setenv("ENVELOPE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def name(engine):
    name = f"envelope-test/told:{os.getpid()}"
    yield name
    engine.forget(name)


def names(layers, *, new):
    return {layer.name for layer in layers if layer.new is new}


def test_a_build_says_what_the_image_holds_and_what_is_new(tmp_path, engine, name):
    events = []
    first = build(make_envelope(tmp_path / "one"), image=name, report_file=tmp_path / "b.json", report=events.append)
    assert [layer.name for layer in first.layers][:5] == [
        "base image",
        "packages",
        "runtime code",
        "local code",
        "model",
    ]
    assert sum(layer.size for layer in first.layers) == first.size
    assert first.packages[0].size == max(item.size for item in first.packages)
    assert {item.name: item.reason for item in first.packages}["starlette"] == "the service needs it"
    assert sum(item.size for item in first.packages) < next(
        layer.size for layer in first.layers if layer.name == "packages"
    )
    assert {"packages", "runtime code", "proof"} <= {step.name for step in first.steps}
    document = json.loads((tmp_path / "b.json").read_bytes())
    assert document == json.loads(json.dumps(first.to_document()))
    assert json.loads(first.log.with_suffix(".json").read_bytes()) == document
    assert "assembling packages" in first.log.read_text()
    # Another model with the same packages: the layers below it stay as they are.
    other = SCORER.replace("hello", "good day")
    samples = {**SCORER_SAMPLES, "greet": ({"name": "you"}, "good day you")}
    second = build(make_envelope(tmp_path / "two", other, SCORER_METHODS, samples), image=name)
    assert names(second.layers, new=False) >= {"base image", "packages", "runtime code"}
    assert names(second.layers, new=True) >= {"local code", "model"}


def test_nothing_is_done_where_nothing_changed(tmp_path, engine, name):
    envelope = make_envelope(tmp_path)
    first = build(envelope, image=name)
    events = []
    again = build(envelope, image=name, report=events.append)
    assert again.unchanged
    assert again.id == first.id
    assert again.layers == first.layers
    assert [event.text for event in events if isinstance(event, Done)][-1].startswith("Nothing has changed")
    assert not build(envelope, image=name, rebuild=True).unchanged
    said = subprocess.run([COMMAND, "build", envelope, "-t", name], capture_output=True, text=True, check=True)
    assert said.stdout == f"{name}\n"
    assert "Nothing has changed" in said.stderr
    said = subprocess.run(
        [COMMAND, "build", envelope, "-t", name, "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout)["result"]["unchanged"] is True


def test_a_tampered_envelope_is_refused_though_it_was_built(tmp_path, engine, name):
    envelope = make_envelope(tmp_path)
    build(envelope, image=name)
    (envelope / "model" / "model.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(Answered) as caught:
        build(envelope, image=name)
    assert caught.value.code == "verify.files"


def test_an_image_that_somebody_else_gave_the_name_is_not_believed(tmp_path, engine, name):
    envelope = make_envelope(tmp_path)
    first = build(envelope, image=name)
    foreign = engine.client.images.get(first.base_image)
    repository, _, tag = name.rpartition(":")
    foreign.tag(repository, tag)
    again = build(envelope, image=name)
    assert not again.unchanged
    assert again.id == first.id
    assert names(again.layers, new=False) == {"base image"}
    engine.forget(name)
    assert not build(envelope, image=name).unchanged


@pytest.mark.parametrize("kind", ["BuildKit", "the classic builder"])
def test_a_failure_names_the_package_and_the_log(tmp_path, engine, name, kind, monkeypatch):
    if kind != "BuildKit":
        monkeypatch.setattr("model_envelope.targets.building.buildkit_client", lambda: None)
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path, lock=NO_PACKAGE), image=name)
    assert caught.value.code == "build.package"
    assert "nothing-of-this-name-is-there" in caught.value.message
    log = Path(caught.value.detail.rpartition("the whole log: ")[2])
    assert "nothing-of-this-name-is-there" in log.read_text()
    assert "build.package" in log.read_text()


def test_a_build_that_takes_too_long_is_ended_and_says_where_it_was(tmp_path, engine, name, monkeypatch):
    monkeypatch.setattr("model_envelope.targets.building.TIMEOUT", 0.5)
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path), image=name, check_reproducible=True)
    assert caught.value.code == "build.timeout"
    assert "the whole log: " in caught.value.detail
    assert engine.labels(name) is None


def test_each_part_is_told_as_it_ends(tmp_path, engine, name):
    events = []
    build(make_envelope(tmp_path), image=name, check_reproducible=True, report=events.append)
    parts = [event.text for event in events if isinstance(event, Part)]
    assert "packages" in parts
    assert all("\x1b" not in text for text in parts)
