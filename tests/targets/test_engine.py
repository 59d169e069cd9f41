"""Images and containers, for real."""

import base64
import http.server
import ipaddress
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import ClassVar

import pytest
from handmade import SCORER, SCORER_METHODS, SCORER_SAMPLES, make_envelope, seal

from model_envelope.foundation.errors import Answered, InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.libraries import Libraries, Library
from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.signature import Method, Parameter, Scalar
from model_envelope.targets import engine as engines
from model_envelope.targets.building import BuildKit, Classic, choose_builder
from model_envelope.targets.engine import Engine
from model_envelope.workflows.build import build
from model_envelope.workflows.serve import Place, serve

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

LOOK = """
import importlib.util, json, os
tools = [name for name in ("pip", "typer", "cookiecutter", "docker", "packaging") if importlib.util.find_spec(name)]
print(json.dumps([os.getuid(), os.getgid(), tools, sorted(os.listdir("/opt/model/lib/model_envelope"))]))
"""
COMMAND = Path(sys.executable).with_name("envelope")


@pytest.fixture
def engine():
    found = Engine.connect()
    before = leftovers(found)
    yield found
    assert leftovers(found) == before, "a container or a temporary name stayed behind"
    found.close()


def leftovers(engine):
    """Containers and temporary names of these tests' envelopes; others may build on this engine meanwhile."""
    ours = {"label": "io.modelenvelope.name=scorer"}
    containers = engine.client.containers.list(all=True, filters=ours)
    images = engine.client.images.list(filters=ours)
    return [item.id for item in containers], [tag for image in images for tag in image.tags if "envelope-build/" in tag]


@pytest.fixture
def name(engine):
    """The name of an image that is gone afterwards."""
    name = f"envelope-test/scorer:{os.getpid()}"
    yield name
    engine.forget(name)


def run(engine, image, words, **options) -> bytes:
    container = engine.client.containers.run(image, words, detach=True, **options)
    try:
        assert container.wait()["StatusCode"] == 0, container.logs()
        return container.logs()
    finally:
        container.remove(force=True)


def test_an_image_answers_as_sealed_and_carries_nothing_of_the_toolchain(tmp_path, engine, name):
    result = build(make_envelope(tmp_path), image=name)
    assert [(item.method, item.agrees) for item in result.replays] == [
        ("predict", True),
        ("greet", True),
        ("later", True),
    ]
    assert engine.client.images.get(name).id == result.id
    labels = engine.labels(name)
    assert labels["io.modelenvelope.digest"] == result.digest
    listing = run(engine, name, ["-c", LOOK], entrypoint="/opt/venv/bin/python")
    user, group, tools, carried = json.loads(listing)
    assert (user, group, tools) == (10001, 0, [])
    assert carried == ["__init__.py", "__pycache__", "runtime", "serving"]
    said = run(
        engine,
        name,
        ["-c", "sha256sum -c --quiet MANIFEST.sha256 && echo whole"],
        entrypoint="/bin/sh",
        working_dir="/opt/model/envelope",
        user="4242:0",
        network_mode="none",
    )
    assert said == b"whole\n"


def test_a_build_that_changes_nothing_is_cached(tmp_path, engine, name):
    envelope = make_envelope(tmp_path)
    first = build(envelope, image=name)
    second = build(envelope, image=name, rebuild=True)
    assert first.id == second.id


def test_the_container_stops_at_once_and_shows_its_health(tmp_path, engine, name):
    build(make_envelope(tmp_path), image=name)
    with engine.running(name) as container:
        assert container.handle.attrs["HostConfig"]["ReadonlyRootfs"] is True
        until = time.monotonic() + 30
        while engine.client.api.inspect_container(container.handle.id)["State"]["Health"]["Status"] != "healthy":
            assert time.monotonic() < until, container.log()
            time.sleep(0.5)
        began = time.monotonic()
        container.handle.stop(timeout=10)
        assert time.monotonic() - began < 5
        assert container.exit_code() == 0


def test_answers_that_differ_give_no_name(tmp_path, engine, name):
    wrong = {**SCORER_SAMPLES, "greet": ({"name": "you"}, "goodbye you")}
    with pytest.raises(Answered) as caught:
        build(make_envelope(tmp_path, SCORER, SCORER_METHODS, wrong), image=name)
    assert caught.value.code == "build.differs"
    assert "goodbye you" in str(caught.value)
    assert engine.labels(name) is None


def test_a_tampered_envelope_is_refused_before_anything_runs(tmp_path, engine, name):
    envelope = make_envelope(tmp_path)
    (envelope / "model" / "model.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(Answered) as caught:
        build(envelope, image=name)
    assert [problem.path for problem in caught.value.problems] == ["model/model.pkl"]
    assert engine.labels(name) is None


def test_a_model_that_cannot_be_loaded_is_told_with_its_log(tmp_path, engine, name):
    envelope = make_envelope(tmp_path)
    next((envelope / "code").iterdir()).write_text("import not_there_at_all\n")
    seal(envelope)
    with pytest.raises(ModelFailed) as caught:
        build(envelope, image=name)
    assert caught.value.code == "build.not-ready"
    assert "not_there_at_all" in caught.value.detail
    assert engine.labels(name) is None


def test_a_base_with_another_python_is_said(tmp_path, engine, name):
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path, python="3.12"), image=name)
    assert caught.value.code == "build.base-python"
    assert "needs 3.12" in caught.value.message


def test_a_base_that_is_not_there_is_said(tmp_path, engine, name):
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path), image=name, base_image="envelope-test/no-such-base:1")
    assert caught.value.code == "build.base-image"
    assert "--base-image" in caught.value.hint


def test_a_bad_name_is_refused_before_the_build(tmp_path, engine):
    with pytest.raises(InvalidInput) as caught:
        build(make_envelope(tmp_path), image="Not A Name")
    assert caught.value.code == "build.image-name"


def test_the_classic_builder_builds_the_same(tmp_path, engine, no_dangling, name, monkeypatch):
    monkeypatch.setattr("model_envelope.targets.building.buildkit_client", lambda: None)
    assert isinstance(choose_builder(engine), Classic)
    events = []
    result = build(make_envelope(tmp_path), image=name, report=events.append)
    assert all(item.agrees for item in result.replays)
    assert any("no BuildKit" in event.text for event in events)
    history = json.dumps(engine.client.images.get(name).history())
    assert "wheelhouse" not in history


OPENS = """
class Model:
    def predict(self, x):
        import ctypes

        ctypes.CDLL("libgomp.so.1")
        return x
"""
OPENS_METHODS = {"predict": Method((Parameter("x", Scalar("int64")),), Scalar("int64"))}


def opens_a_library(folder, *libraries):
    """An envelope whose model opens a library that base images do not have, with these as what it says it needs."""
    envelope = make_envelope(folder, OPENS, OPENS_METHODS, {"predict": ({"x": 1}, 1)})
    if libraries:
        (envelope / "env" / "system.json").write_bytes(Libraries.of(libraries).to_bytes())
        seal(envelope)
    return envelope


def test_libraries_that_the_base_lacks_are_installed(tmp_path, engine, name, monkeypatch):
    with pytest.raises(ModelFailed) as caught:
        build(opens_a_library(tmp_path / "without"), image=name)
    assert "`apt-get install libgomp1` brings it" in caught.value.hint
    marker = f"marker{uuid.uuid4().hex}"
    conf = tmp_path / "apt.conf"
    conf.write_text(f'Acquire::http::User-Agent "{marker}";\n')
    monkeypatch.setenv("ENVELOPE_APT_CONF", str(conf))
    gomp = Library("libgomp.so.1", "libgomp1", ("lightgbm/lib/lib_lightgbm.so",))
    # No such package is needed where the library is there.
    there = Library("libz.so.1", "no-such-package-at-all", ("x.so",))
    result = build(opens_a_library(tmp_path / "with", gomp, there), image=name)
    assert [item.agrees for item in result.replays] == [True]
    assert [layer.name for layer in result.layers if layer.size][:3] == ["base image", "system packages", "packages"]
    assert marker not in json.dumps(engine.client.df())
    look = "cat /etc/apt/apt.conf.d/* | grep -c secrets; ls /var/lib/apt/lists | grep Packages | wc -l"
    assert run(engine, name, ["-c", look], entrypoint="/bin/sh").split() == [b"0", b"0"]


def test_the_classic_builder_installs_libraries_too(tmp_path, engine, no_dangling, name, monkeypatch):
    monkeypatch.setattr("model_envelope.targets.building.buildkit_client", lambda: None)
    gomp = Library("libgomp.so.1", "libgomp1", ("lightgbm/lib/lib_lightgbm.so",))
    result = build(opens_a_library(tmp_path, gomp), image=name)
    assert [item.agrees for item in result.replays] == [True]
    assert [layer.name for layer in result.layers if layer.size][:3] == ["base image", "system packages", "packages"]


def test_a_package_that_the_base_does_not_know_is_said(tmp_path, engine, name):
    odd = Library("libodd.so.7", "no-such-package-at-all", ("odd/a.so",))
    with pytest.raises(ToolFailed) as caught:
        build(opens_a_library(tmp_path, odd), image=name)
    assert caught.value.code == "build.system-libraries"
    assert "no-such-package-at-all" in caught.value.message


class Index(http.server.BaseHTTPRequestHandler):
    """A package index that has nothing, and notes who asked."""

    seen: ClassVar[list[str]] = []

    def do_GET(self):
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_error(404 if self.seen[-1] else 401)

    def log_message(self, *_):
        pass


@pytest.fixture
def index(engine):
    """The address of an index that a build reaches over the engine's bridge."""
    bridge = engine.client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    gateway = bridge.get("Gateway") or str(ipaddress.ip_network(bridge["Subnet"])[1])
    Index.seen.clear()
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), Index) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"{gateway}:{server.server_port}"
        server.shutdown()


def test_credentials_reach_the_build_and_are_not_shown(tmp_path, engine, name, index, monkeypatch):
    assert isinstance(choose_builder(engine), BuildKit), "this machine must have a docker command that drives BuildKit"
    marker = f"marker{uuid.uuid4().hex}"
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:{marker}@{index}/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", index.partition(":")[0])
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    lock = f"nothing-{marker[6:16]}==1.0 \\\n    --hash=sha256:{'0' * 64}\n".encode()
    with pytest.raises(ToolFailed) as caught:
        build(make_envelope(tmp_path, lock=lock), image=name)
    assert caught.value.code == "build.package"
    assert f"Basic {base64.b64encode(f'user:{marker}'.encode()).decode()}" in Index.seen
    assert marker not in str(caught.value)
    assert marker not in json.dumps(engine.client.df())


def test_an_interrupted_build_leaves_nothing(tmp_path, engine, name):
    envelope = make_envelope(tmp_path)
    process = subprocess.Popen(
        [COMMAND, "build", envelope, "-t", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert b"is as sealed" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert engine.labels(name) is None


def test_serve_in_docker_builds_once_and_removes_its_container(tmp_path, engine):
    envelope = make_envelope(tmp_path)
    files = read_envelope(envelope)
    image = f"scorer:{files.short_digest}"
    seen = []

    def ready(result):
        with urllib.request.urlopen(f"{result.url}/later", b'{"x": 1}') as response:
            seen.append(json.load(response))
        raise KeyboardInterrupt

    try:
        for _ in range(2):
            served = serve(envelope, place=Place.DOCKER, port=0, ready=ready)
            assert served.place is Place.DOCKER
        assert seen == [2, 2]
    finally:
        engine.forget(image)


def test_without_an_engine_the_folder_is_kept_with_the_command(tmp_path, monkeypatch):
    envelope = make_envelope(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with pytest.raises(ToolMissing) as caught:
            build(envelope, image="scorer:1")
    assert caught.value.code == "engine.unreachable"
    kept = tmp_path / f"scorer-{read_envelope(envelope).short_digest}-service"
    assert (kept / "Dockerfile").is_file()
    assert f"docker build --tag scorer:1 {kept}" in caught.value.hint


def test_an_engine_is_found_where_docker_host_says(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "nonsense")
    with pytest.raises(ToolMissing):
        engines.Engine.connect()


def test_an_engine_behind_tls_is_asked_by_tls(tmp_path, monkeypatch):
    # As docker-in-docker has it in jobs of CI; here nothing is in the folder of certificates.
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(ToolMissing) as caught:
        engines.Engine.connect()
    assert "certificate" in caught.value.detail
