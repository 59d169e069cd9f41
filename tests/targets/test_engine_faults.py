"""What goes wrong while an image is built and proven: nothing stays behind, and it is told."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from handmade import make_envelope
from relay import Relay

from model_envelope.foundation.errors import Answered, InvalidInput, ToolFailed
from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.signature import Method, Parameter, Scalar
from model_envelope.targets.engine import Engine
from model_envelope.targets.rendering import templates_dir
from model_envelope.workflows.build import build

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

COMMAND = Path(sys.executable).with_name("envelope")
BASE_IMAGE = os.environ.get("ENVELOPE_BASE_IMAGE", "python-base:bookworm")
NAME = "troubled"
OURS = {"label": f"io.modelenvelope.name={NAME}"}
NUMBER = Scalar("float64")


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setenv("ENVELOPE_BASE_IMAGE", BASE_IMAGE)
    found = Engine.connect()
    yield found
    for image in found.client.images.list(filters=OURS):
        found.forget(image.id)
    found.close()


def leftovers(engine):
    """Containers and names of images of these envelopes."""
    containers = engine.client.containers.list(all=True, filters=OURS)
    return [item.id for item in containers], [
        tag for item in engine.client.images.list(filters=OURS) for tag in item.tags
    ]


@pytest.fixture
def envelope(tmp_path):
    return make_envelope(tmp_path, name=NAME)


@pytest.fixture
def relay(tmp_path_factory, engine, monkeypatch):
    """Stand between everything that is started and the engine; what it does with a request is put into ``does``."""
    if not engine.host.startswith(("unix://", "http+docker://localhost")):
        pytest.skip(f"the engine listens at {engine.host}, and a relay needs a UNIX socket")
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    does = []
    folder = tmp_path_factory.mktemp("relay", numbered=True)
    made = Relay(
        folder / "socket", Path(address.removeprefix("unix://")), lambda piece: [action(piece) for action in does]
    )
    made.does, made.instead_of = does, address
    monkeypatch.setenv("DOCKER_HOST", made.url)
    yield made
    made.close()


def started(envelope):
    """Start a build as users do."""
    words = [COMMAND, "build", envelope, "-t", f"{NAME}:1"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


BUILD, CREATE, RUN, START, REMOVE, TAG = (
    rb"POST /v[\d.]+/build\?",
    rb"POST /v[\d.]+/containers/create",
    rb"POST /v[\d.]+/containers/\w+/start",
    rb"POST /v[\d.]+/exec/\w+/start",
    rb"DELETE /v[\d.]+/containers/",
    rb"POST /v[\d.]+/images/\S+/tag\?",
)


@pytest.mark.parametrize("when", [BUILD, CREATE, START], ids=["building", "creating", "proving"])
def test_an_engine_that_goes_away_is_told_with_what_removes_the_rest(engine, envelope, relay, monkeypatch, when):
    relay.does.append(lambda piece: relay.cut() if re.search(when, piece) else None)
    with pytest.raises(ToolFailed) as caught:
        build(envelope, image=f"{NAME}:1")
    assert caught.value.code == "engine.lost"
    assert relay.url in caught.value.message
    hint = caught.value.hint
    assert "docker image rm envelope-build/service:" in hint
    assert ("docker rm --force " in hint) is (when == START)
    monkeypatch.setenv("DOCKER_HOST", relay.instead_of)
    for command in hint.partition("is removed by `")[2].rstrip("`").split(" && "):
        subprocess.run(command.split(), check=False, capture_output=True)
    assert leftovers(engine) == ([], [])


@pytest.mark.parametrize(
    ("moments", "sign"),
    [
        ([BUILD], signal.SIGINT),
        ([BUILD], signal.SIGTERM),
        ([CREATE], signal.SIGINT),
        ([RUN], signal.SIGINT),
        ([START], signal.SIGINT),
        ([START], signal.SIGTERM),
        ([START, REMOVE], signal.SIGINT),
        ([REMOVE], signal.SIGINT),
        ([TAG], signal.SIGINT),
    ],
    ids=[
        "building",
        "building, told",
        "creating",
        "starting",
        "proving",
        "proving, told",
        "twice",
        "removing",
        "naming",
    ],
)
def test_an_interrupt_at_any_moment_leaves_nothing_half_made(engine, envelope, relay, moments, sign):
    there = threading.Event()
    left = list(moments)

    def interrupt(piece):
        if left and re.search(left[0], piece):
            there.wait(10)
            del left[0]
            process.send_signal(sign)

    relay.does.append(interrupt)
    process = started(envelope)
    there.set()
    out, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert out == b""
    assert said.endswith(b"error[interrupted]: interrupted\n")
    assert not left, said
    containers, names = leftovers(engine)
    assert containers == []
    # A name is given in one step, to an image that was proven.
    assert names in ([], [f"{NAME}:1"] if moments == [TAG] else [])


def test_an_interrupted_build_of_the_classic_builder_leaves_no_name(engine, envelope, relay, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "no-docker-here"))
    before = {item.id for item in engine.client.images.list(filters={"dangling": True})}
    process = started(envelope)
    relay.does.append(lambda piece: process.send_signal(signal.SIGINT) if re.search(BUILD, piece) else None)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert b"no BuildKit" in said
    assert leftovers(engine) == ([], [])
    for item in engine.client.images.list(filters={"dangling": True}):
        if item.id not in before:
            engine.forget(item.id)


def test_two_builds_at_once_both_succeed(engine, envelope):
    both = [
        subprocess.Popen(
            [COMMAND, "build", envelope, "-t", f"{NAME}:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in both:
        out, said = process.communicate(timeout=300)
        assert (process.returncode, out) == (0, f"{NAME}:1\n".encode()), said
    assert leftovers(engine) == ([], [f"{NAME}:1"])
    assert len(engine.client.images.list(filters=OURS)) == 1, "and no image without a name"


@pytest.fixture(params=["16k", "300k"])
def small_disk(request, tmp_path):
    """A place for temporary files with hardly any room."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", place],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_told(engine, tmp_path, small_disk):
    envelope = make_envelope(tmp_path / "made", name=NAME)
    done = subprocess.run(
        [COMMAND, "build", envelope, "-t", f"{NAME}:1", "--json"],
        env={**os.environ, "TMPDIR": str(small_disk)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "system.no-space"
    assert list(small_disk.iterdir()) == []
    assert leftovers(engine) == ([], [])


@pytest.fixture
def own_target(tmp_path):
    """A target folder of somebody's own, as yet that of the service."""
    folder = tmp_path / "mine"
    shutil.copytree(templates_dir() / "targets" / "service", folder)
    shutil.copytree(templates_dir() / "image", folder, dirs_exist_ok=True)
    return folder


def inside(target):
    return next(target.glob("*cookiecutter*slug*"))


def test_a_target_of_ones_own_with_an_undefined_variable(engine, envelope, own_target):
    dockerfile = inside(own_target) / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "LABEL team={{ cookiecutter.team }}\n")
    with pytest.raises(InvalidInput) as caught:
        build(envelope, target=str(own_target), image=f"{NAME}:1")
    assert caught.value.code == "template.undefined-variable"
    assert "Dockerfile" in caught.value.message
    assert "team" in caught.value.message
    assert leftovers(engine) == ([], [])


@pytest.mark.parametrize("name", ["{{ '..' }}", "{{ '../../x' }}", "{{ '/etc/x' }}"])
def test_a_target_of_ones_own_with_a_path_that_climbs_out(engine, envelope, own_target, name):
    (own_target / "cookiecutter.json").write_text(
        json.dumps({**json.loads((own_target / "cookiecutter.json").read_text()), "where": name})
    )
    (inside(own_target) / "{{ cookiecutter.where }}").write_text("x")
    with pytest.raises(InvalidInput) as caught:
        build(envelope, target=str(own_target), image=f"{NAME}:1")
    assert caught.value.code == "template.path"
    assert leftovers(engine) == ([], [])


def model(code):
    return f"import socket, time\n\nclass Model:\n    def predict(self, x):\n        {code}\n"


def made(folder, code, answer=1.0):
    methods = {"predict": Method((Parameter("x", NUMBER),), NUMBER)}
    return make_envelope(folder, model(code), methods, {"predict": ({"x": 1.0}, answer)}, name=NAME)


def test_a_model_that_hangs_is_ended_and_told(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("model_envelope.workflows.image_proof.READY", 3.0)
    with pytest.raises(ToolFailed) as caught:
        build(made(tmp_path, "time.sleep(3600)"), image=f"{NAME}:1")
    assert caught.value.code == "service.not-ready"
    assert "was not ready after 3 s" in caught.value.message
    assert leftovers(engine) == ([], [])


def test_a_model_that_reaches_for_the_network_is_told_that_there_is_none(engine, tmp_path):
    with pytest.raises(ModelFailed) as caught:
        build(made(tmp_path, 'socket.create_connection(("192.0.2.1", 80), 5)'), image=f"{NAME}:1")
    assert caught.value.code == "build.not-ready"
    assert "there is no network while an image is proven" in caught.value.hint
    assert "--allow-network" in caught.value.hint
    assert leftovers(engine) == ([], [])


def test_the_network_is_there_where_it_is_allowed(engine, tmp_path):
    envelope = made(tmp_path, "return float(len(socket.if_nameindex()))", 2.0)
    with pytest.raises(Answered) as caught:
        build(envelope, image=f"{NAME}:1")
    assert caught.value.code == "build.differs"
    result = build(envelope, image=f"{NAME}:1", allow_network=True)
    assert [item.agrees for item in result.replays] == [True]


@pytest.mark.parametrize("code", ["import os; os._exit(7)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_container_that_ends_early_is_told_with_its_log(engine, tmp_path, code):
    with pytest.raises(ModelFailed) as caught:
        build(made(tmp_path, f"print('so far', flush=True); {code}"), image=f"{NAME}:1")
    assert caught.value.code == "build.not-ready"
    assert "so far" in caught.value.detail
    assert leftovers(engine) == ([], [])


def test_a_large_sample_goes_in_and_out_whole(engine, tmp_path):
    text = Scalar("string")
    source = "class Model:\n    def predict(self, x):\n        return x[::-1]\n"
    sample = {"predict": ({"x": "aé" * 4_000_000}, "éa" * 4_000_000)}
    envelope = make_envelope(tmp_path, source, {"predict": Method((Parameter("x", text),), text)}, sample, name=NAME)
    assert [item.agrees for item in build(envelope, image=f"{NAME}:1").replays] == [True]
