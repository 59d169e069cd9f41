"""Images that are the same each time, built for real: twice, without a cache, in other folders."""

import os
import shutil
import uuid

import pytest
from handmade import make_envelope, seal

from model_envelope.foundation.errors import Answered
from model_envelope.foundation.libraries import Libraries, Library
from model_envelope.targets.layers import digests_of
from model_envelope.workflows.build import build
from model_envelope.workflows.reproducing import reproduce

pytestmark = pytest.mark.engine


@pytest.fixture
def name(engine):
    image = f"envelope-test/reproducible:{uuid.uuid4().hex}"
    yield image
    engine.forget(image)


@pytest.fixture
def needy(tmp_path):
    """An envelope that needs a library of the system, so that its image has a layer of each kind."""
    envelope = make_envelope(tmp_path / "envelope")
    library = Library("libgomp.so.1", "libgomp1", ("lightgbm/lib/lib_lightgbm.so",))
    (envelope / "env" / "system.json").write_bytes(Libraries.of([library]).to_bytes())
    seal(envelope)
    return envelope


def test_two_builds_give_the_same_layers(needy, engine, name):
    said = []
    build(needy, image=name, check_reproducible=True, report=said.append)
    assert any("Built twice: all 7 layers are the same" in event.text for event in said)
    assert [image for image in engine.client.images.list() if any("-again" in tag for tag in image.tags)] == []


def test_another_folder_and_another_umask_change_nothing(tmp_path, engine, name):
    first = make_envelope(tmp_path / "first")
    build(first, image=name)
    layers = digests_of(engine, name)
    before = os.umask(0o077)
    try:
        second = shutil.copytree(first, tmp_path / "deeper" / "second" / first.name, copy_function=shutil.copyfile)
        build(second, image=name, check_reproducible=True)
    finally:
        os.umask(before)
    assert digests_of(engine, name) == layers


def test_the_classic_builder_gives_the_same_layers_too(needy, engine, no_dangling, name, monkeypatch):
    build(needy, image=name)
    *expected, _ = digests_of(engine, name)
    monkeypatch.setattr("model_envelope.targets.building.buildkit_client", lambda: None)
    build(needy, image=name, check_reproducible=True)
    # BuildKit adds one for WORKDIR that holds nothing.
    assert digests_of(engine, name) == tuple(expected)


def test_what_differs_is_named(tmp_path, engine, name):
    def build_with(content: str):
        def make(image: str) -> None:
            (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY noted /etc/noted\n")
            (tmp_path / "noted").write_text(content)
            engine.client.images.build(path=str(tmp_path), tag=image, rm=True)

        return make

    build_with("one")(name)
    with pytest.raises(Answered) as caught:
        reproduce(engine, name, build_with("two"))
    assert caught.value.code == "build.not-reproducible"
    assert caught.value.problems[-1].path == "layer 1: /etc/noted"
    assert engine.labels(f"{name}-again") is None
