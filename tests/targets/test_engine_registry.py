"""Images and a registry, for real: what is pushed, what is pinned, and what goes wrong on the way."""

import json
import os
import pickletools
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import SCORER, SCORER_METHODS, SCORER_SAMPLES, make_envelope, seal
from registries import registry

from model_envelope.foundation.errors import Answered, ToolFailed
from model_envelope.foundation.progress import Doing, Done, Note, Started
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows.build import build
from model_envelope.workflows.image_proof import prove
from model_envelope.workflows.render import choose_base_image, render

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

COMMAND = Path(sys.executable).with_name("envelope")
REPOSITORY = "envelope-test/scorer"


@pytest.fixture
def classic(no_dangling, monkeypatch):
    """Build with the engine's own builder."""
    monkeypatch.setattr("model_envelope.targets.building.buildkit_client", lambda: None)


@pytest.fixture
def hub(tmp_path, engine):
    """A registry that takes anything; names and images of it are gone from the engine afterwards."""
    with registry(tmp_path / "registry") as found:
        yield found
    forget(engine, found)


@pytest.fixture
def locked_hub(tmp_path, engine, monkeypatch):
    """A registry that demands a password; DOCKER_CONFIG has none yet."""
    (tmp_path / "no-docker-config").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    with registry(tmp_path / "registry", password=True) as found:
        yield found
    forget(engine, found)


def forget(engine, hub):
    """Remove every name that an image has in a registry from the engine."""
    for image in engine.client.images.list():
        for name in [*image.tags, *(image.attrs["RepoDigests"] or ())]:
            if name.startswith(hub.address):
                engine.forget(name)


def layers(engine, image):
    return engine.client.images.get(image).attrs["RootFS"]["Layers"]


def test_a_new_model_pushes_its_own_layer_alone(tmp_path, engine, hub):
    first = build(make_envelope(tmp_path / "first"), image=f"{hub.address}/{REPOSITORY}:1", push=True)
    assert hub.tags(REPOSITORY) == ["1"]
    assert not any(layer.already_there for layer in first.pushed.layers)
    assert first.pushed.bytes_already_there == 0
    assert [layer.id for layer in first.pushed.layers] == [
        layer.removeprefix("sha256:")[:12] for layer in dict.fromkeys(layers(engine, first.image))
    ]

    second = make_envelope(tmp_path / "second")
    model = second / "model" / "model.pkl"
    model.write_bytes(pickletools.optimize(model.read_bytes()))
    seal(second)
    assert first.digest != read_envelope(second).digest
    events = []
    again = build(second, image=f"{hub.address}/{REPOSITORY}:2", push=True, report=events.append)
    new = [layer for layer in again.pushed.layers if not layer.already_there]
    assert len(new) == 1
    assert sum(layer.bytes for layer in new) == again.pushed.new_bytes < 100_000
    assert again.pushed.bytes_already_there == first.pushed.new_bytes - sum(
        layer.bytes for layer in first.pushed.layers if layer.id not in {each.id for each in again.pushed.layers}
    )
    # As many layers are new in the registry as were told.
    ours = [hub.layers(REPOSITORY, tag) for tag in ("1", "2")]
    assert len(set(ours[1]) - set(ours[0])) == len(new)
    told = next(event.text for event in events if isinstance(event, Done) and event.step == "push")
    assert [layer.name for layer in new] == ["model"]
    assert told.startswith("Pushed model (")


def test_what_was_pushed_is_pulled_by_its_digest_and_answers(tmp_path, engine, hub):
    envelope = make_envelope(tmp_path)
    name = f"{hub.address}/{REPOSITORY}:1.0"
    done = subprocess.run(
        [COMMAND, "build", envelope, "-t", name, "--push"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    reference = done.stdout.strip()
    repository, _, digest = reference.partition("@")
    assert repository == f"{hub.address}/{REPOSITORY}"
    assert digest.startswith("sha256:")
    engine.forget(name)
    assert engine.labels(reference) is None
    engine.client.images.pull(reference)
    assert all(item.agrees for item in prove(engine, reference, read_envelope(envelope)))

    again = subprocess.run(
        [COMMAND, "build", envelope, "-t", name, "--push", "--json"], capture_output=True, text=True, check=False
    )
    pushed = json.loads(again.stdout)["result"]["pushed"]
    assert (pushed["name"], pushed["registry"]) == (name, hub.address)
    assert pushed["new_bytes"] == 0
    assert all(layer["already_there"] for layer in pushed["layers"])


def test_what_is_not_proven_is_not_pushed(tmp_path, engine, hub):
    wrong = {**SCORER_SAMPLES, "greet": ({"name": "you"}, "goodbye you")}
    with pytest.raises(Answered) as caught:
        build(make_envelope(tmp_path, SCORER, SCORER_METHODS, wrong), image=f"{hub.address}/{REPOSITORY}:1", push=True)
    assert caught.value.code == "build.differs"
    assert hub.repositories() == []


@pytest.mark.parametrize("password", [None, "wrong-password"])
def test_a_wrong_password_is_told_before_anything_is_built(tmp_path, engine, locked_hub, monkeypatch, password):
    if password:
        monkeypatch.setenv("DOCKER_CONFIG", locked_hub.login(tmp_path / "docker", password))
    name = f"{locked_hub.address}/{REPOSITORY}:1"
    events = []
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path), image=name, push=True, report=events.append)
    assert caught.value.code == "push.denied"
    assert f"docker login {locked_hub.address}" in caught.value.hint
    assert "wrong-password" not in str(caught.value)
    assert not any(isinstance(event, Started) and event.step == "build" for event in events)
    assert locked_hub.repositories() == []
    assert engine.labels(name) is None


def test_the_right_password_lets_it_in(tmp_path, engine, locked_hub, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", locked_hub.login(tmp_path / "docker"))
    result = build(make_envelope(tmp_path), image=f"{locked_hub.address}/{REPOSITORY}:1", push=True)
    assert locked_hub.tags(REPOSITORY) == ["1"]
    assert result.pushed.reference.startswith(f"{locked_hub.address}/{REPOSITORY}@sha256:")


def test_a_helper_for_credentials_is_asked(tmp_path, engine, locked_hub, monkeypatch):
    folder = tmp_path / "helper"
    folder.mkdir()
    helper = folder / "docker-credential-envelope-test"
    answer = {"ServerURL": locked_hub.address, "Username": "tester", "Secret": "right-password"}
    helper.write_text(
        f'#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = {locked_hub.address} ] && echo \'{json.dumps(answer)}\'\n'
    )
    helper.chmod(0o755)
    (folder / "config.json").write_text(json.dumps({"credHelpers": {locked_hub.address: "envelope-test"}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    build(make_envelope(tmp_path), image=f"{locked_hub.address}/{REPOSITORY}:1", push=True)
    assert locked_hub.tags(REPOSITORY) == ["1"]


def test_a_helper_that_is_not_there_is_told(tmp_path, engine, locked_hub, monkeypatch):
    folder = tmp_path / "no-helper"
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "envelope-test-none"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path), image=f"{locked_hub.address}/{REPOSITORY}:1", push=True)
    assert caught.value.code == "push.credentials"
    assert "docker-credential-envelope-test-none" in caught.value.detail
    assert str(folder) in caught.value.hint


def test_the_classic_builder_pushes_the_same_layers(tmp_path, hub, request):
    envelope = make_envelope(tmp_path)
    first = build(envelope, image=f"{hub.address}/{REPOSITORY}:1", push=True)
    request.getfixturevalue("classic")
    again = build(envelope, image=f"{hub.address}/{REPOSITORY}:2", push=True)
    assert (first.builder, again.builder) == ("BuildKit", "the classic builder")
    assert sorted(hub.tags(REPOSITORY)) == ["1", "2"]
    assert all(layer.already_there for layer in again.pushed.layers)
    # BuildKit has an empty layer more, of the working directory.
    names = {layer.name for layer in again.pushed.layers}
    assert names >= {"base image", "packages", "runtime code", "local code", "model"}
    assert again.pushed.bytes_already_there == first.pushed.new_bytes


def test_a_registry_that_is_not_there_is_told_before_anything_is_built(tmp_path, engine, hub):
    hub.stop()
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path), image=f"{hub.address}/{REPOSITORY}:1", push=True)
    assert caught.value.code == "push.unreachable"
    assert engine.labels(f"{hub.address}/{REPOSITORY}:1") is None


@pytest.mark.slow
def test_a_registry_that_goes_away_half_way_is_told(tmp_path, engine, hub):
    name = f"{hub.address}/{REPOSITORY}:1"

    def leave(event):
        if isinstance(event, Doing) and event.step == "push" and event.text != f"Pushing {name}":
            hub.stop()

    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path), image=name, push=True, report_file=tmp_path / "build.json", report=leave)
    assert caught.value.code == "push.broken-off"
    told = json.loads((tmp_path / "build.json").read_bytes())
    assert (told["image"], told["pushed"]) == (name, None)
    assert f"docker push {name}" in caught.value.hint
    # It is proven, so it keeps its name here, and can be pushed later.
    assert engine.labels(name)["io.modelenvelope.name"] == "scorer"


@pytest.fixture
def in_registry(tmp_path, engine, hub):
    """Give what pushes the base image of these tests to the registry: its name there, and its digest."""
    source = choose_base_image(read_envelope(make_envelope(tmp_path / "for-base")), None)

    def publish(name, image=source):
        full = f"{hub.address}/{name}"
        engine.tag(image, full)
        for event in engine.client.images.push(full, stream=True, decode=True):
            assert "error" not in event, event
        digest = engine.client.images.get_registry_data(full).id
        return full, digest

    return publish


def base_line(folder):
    return next(line for line in (folder / "Dockerfile").read_text().splitlines() if line.startswith("ARG BASE_IMAGE="))


@pytest.mark.parametrize("local", [True, False])
def test_a_base_image_is_pinned_whether_the_engine_has_it_or_not(tmp_path, engine, in_registry, local):
    assert_pinned(engine, make_envelope(tmp_path), in_registry("envelope-test/base:1"), "BuildKit", local)


@pytest.mark.parametrize("local", [True, False])
def test_the_classic_builder_takes_a_pinned_base_image_too(tmp_path, engine, in_registry, classic, local):
    base = in_registry("envelope-test/base:1")
    assert_pinned(engine, make_envelope(tmp_path), base, "the classic builder", local)


def assert_pinned(engine, envelope, in_registry, builder, local):
    base, digest = in_registry
    if not local:
        engine.forget(base)
        assert engine.labels(base) is None
    name = "envelope-test/pinned:1"
    try:
        result = build(envelope, image=name, base_image=base)
        assert result.builder == builder
        assert (result.base_image, result.base_digest) == (base, digest)
        labels = engine.labels(name)
        assert labels["org.opencontainers.image.base.name"] == base
        assert labels["org.opencontainers.image.base.digest"] == digest
    finally:
        engine.forget(name)


def test_pinned_or_not_the_layers_are_the_same(tmp_path, engine, in_registry):
    envelope = make_envelope(tmp_path)
    name, notes = "envelope-test/pinned:{}", []
    plain = build(envelope, image=name.format("no"), report=notes.append)
    base, digest = in_registry("envelope-test/base:1")
    pinned = build(envelope, image=name.format("yes"), base_image=base)
    try:
        assert (plain.base_digest, pinned.base_digest) == (None, digest)
        assert layers(engine, plain.image) == layers(engine, pinned.image)
        assert any(isinstance(event, Note) and "not pinned by a digest" in event.text for event in notes)
    finally:
        for result in (plain, pinned):
            engine.forget(result.image)


def test_render_pins_where_it_is_told_to(tmp_path, engine, in_registry):
    envelope = make_envelope(tmp_path)
    base, digest = in_registry("envelope-test/base:1")
    plain = render(envelope, into=tmp_path / "plain", base_image=base)
    assert plain.base_digest is None
    assert base_line(plain.path) == f"ARG BASE_IMAGE={base}"
    pinned = render(envelope, into=tmp_path / "pinned", base_image=base, pin=True)
    assert pinned.base_digest == digest
    assert base_line(pinned.path) == f"ARG BASE_IMAGE={base}@{digest}"
    # What is pinned already stays, whatever the registry has.
    other = f"{base}@sha256:{'0' * 64}"
    kept = render(envelope, into=tmp_path / "kept", base_image=other, pin=True)
    assert base_line(kept.path) == f"ARG BASE_IMAGE={other}"


def test_pull_takes_what_the_registry_has_now(tmp_path, engine, in_registry, hub):
    base, old = in_registry("envelope-test/moving:1")
    # Somebody else pushes another image by that name; this engine still has the old one.
    newer = engine.client.containers.create(base, ["true"]).commit("envelope-test/newer", "1")
    in_registry_now = in_registry("envelope-test/moving:1", "envelope-test/newer:1")[1]
    assert in_registry_now != old
    engine.client.images.get(f"{base.rpartition(':')[0]}@{old}").tag(*base.rsplit(":", 1))
    envelope = make_envelope(tmp_path)
    try:
        results = [
            build(envelope, image=f"envelope-test/pull:{pull}", base_image=base, pull=pull) for pull in (False, True)
        ]
        assert [result.base_digest for result in results] == [old, in_registry_now]
        hub.stop()
        with pytest.raises(ToolFailed) as caught:
            build(envelope, image="envelope-test/pull:no", base_image=base, pull=True)
        assert caught.value.code == "build.base-image"
    finally:
        for container in engine.client.containers.list(all=True, filters={"ancestor": base}):
            container.remove()
        for name in ("pull:False", "pull:True", "newer:1"):
            engine.forget(f"envelope-test/{name}")
        engine.forget(newer.id)
