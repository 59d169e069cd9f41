"""An image as it runs in earnest: whoever the user is, with nothing to write to, no capability and no network."""

import io
import json
import os
import threading
import time

import pytest
from handmade import make_envelope

from model_envelope.runtime.asking import read_answer
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.replay import replay
from model_envelope.runtime.signature import List, Method, Parameter, Scalar
from model_envelope.targets.container import INSIDE, PYTHON
from model_envelope.workflows.build import build

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

BASE_IMAGE = os.environ.get("ENVELOPE_BASE_IMAGE", "python-base:bookworm")
NUMBER = Scalar("float64")

STEADY = """
import time

class Model:
    def predict(self, x):
        return x * 2

    def wait(self, seconds):
        time.sleep(seconds)
        return seconds
"""
STEADY_METHODS = {name: Method((Parameter(p, NUMBER),), NUMBER) for name, p in (("predict", "x"), ("wait", "seconds"))}
STEADY_SAMPLES = {"predict": ({"x": 1.5}, 3.0)}

CONFINED = """
import errno, json, os, pathlib, socket, subprocess
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
def tried(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
program = pathlib.Path("/tmp/program")
program.write_text("#!/bin/sh\\n")
program.chmod(0o755)
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "capabilities": [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "write": tried(lambda: pathlib.Path("/opt/model/x").write_text("x")),
    "run": tried(lambda: subprocess.run([program])),
    "first": pathlib.Path("/proc/1/cmdline").read_text().split("\\0")[:3],
}))
"""

FILES = """
import json, os, stat
found = {}
for folder, folders, files in os.walk("/"):
    if folder == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys", "dev", "tmp")]
    for path in [folder, *(os.path.join(folder, name) for name in files)]:
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            found[path] = [status.st_mode, status.st_uid, status.st_gid]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def envelope(tmp_path_factory):
    return make_envelope(tmp_path_factory.mktemp("steady"), STEADY, STEADY_METHODS, STEADY_SAMPLES, name="steady")


@pytest.fixture(scope="module")
def image(engine, envelope):
    name = f"envelope-test/steady:{os.getpid()}"
    build(envelope, image=name, base_image=BASE_IMAGE)
    yield name
    engine.forget(name)


def ask(container, envelope):
    """Replay the samples from inside a container."""
    words = (PYTHON, "-m", "model_envelope.runtime.asking", "/opt/model/envelope", "--url", INSIDE, "--wait", "60")
    said, _ = container.execute(words, seconds=120)
    document = json.loads(said)
    assert document["not_ready"] == "", container.log()
    answers = document["answers"]
    return replay(read_envelope(envelope), lambda item: read_answer(item.method, answers[item.method]["body"]))


def run(container, code):
    said, complained = container.execute((PYTHON, "-c", code), seconds=60)
    assert said, complained.decode()
    return json.loads(said)


# The image's own, as OpenShift gives them, one without a group of the image's, and root: some platforms demand it.
@pytest.mark.parametrize("user", [None, "1000650000:0", "4242:4242", "0:0"])
def test_it_answers_hardened_without_a_network_whoever_the_user_is(engine, envelope, image, user):
    with engine.confined(image, **({"user": user} if user else {})) as container:
        assert [item.agrees for item in ask(container, envelope)] == [True]
        found = run(container, CONFINED)
    assert found == {
        "user": [int(part) for part in (user or "10001:0").split(":")],
        "capabilities": ["0000000000000000"] * 5,
        "no_new_privileges": "1",
        "interfaces": ["lo"],
        "write": "EROFS",
        "run": "EACCES",
        "first": [PYTHON, "-m", "model_envelope.serving"],
    }


def test_the_images_own_user_is_one_that_nobody_knows(engine, image):
    """So each proof is one with an arbitrary user of group 0."""
    found = files(engine, image)
    assert not [path for path, (_, user, _) in found.items() if user == 10001]
    with engine.confined(image) as container:
        assert 10001 not in run(
            container, "import json, pwd; print(json.dumps([item.pw_uid for item in pwd.getpwall()]))"
        )


def files(engine, image):
    """List what an image holds: mode, user and group of each file and folder by path."""
    said = engine.client.containers.run(
        image, ["-c", FILES], entrypoint="python3", user="0:0", network_mode="none", remove=True
    )
    return json.loads(said)


def test_nothing_that_it_adds_can_be_changed_or_gives_more_rights(engine, image):
    base, found = files(engine, BASE_IMAGE), files(engine, image)
    added = {path: facts for path, facts in found.items() if base.get(path) != facts and path != "/.dockerenv"}
    assert any(path.startswith("/opt/venv/") for path in added)
    assert {(user, group) for _, user, group in added.values()} == {(0, 0)}
    assert not [path for path, (mode, *_) in added.items() if mode & 0o6022], "set-id bits, or others may write"
    # Group 0 reads all files and enters all folders.
    assert not [
        path for path, (mode, *_) in added.items() if mode & 0o040 == 0 or (mode & 0o040000 and not mode & 0o010)
    ]


def test_it_brings_no_compiler_and_no_installer(engine, image):
    base, found = files(engine, BASE_IMAGE), files(engine, image)
    added = [path.rsplit("/", 1) for path in found.keys() - base.keys()]
    tools = {"cc", "c++", "gcc", "g++", "clang", "ld", "make", "pip", "pip3", "uv", "apt-get", "curl", "wget"}
    assert not [name for _, name in added if name in tools]
    assert not [
        folder for folder, _ in added if "/site-packages/pip" in folder or "/site-packages/setuptools" in folder
    ]


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_it_gets_healthy_by_its_own_check(engine, image, arguments):
    # Docker hands the proxies of its config.json to every container; the service is not behind them.
    proxies = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    with engine.confined(image, arguments=arguments, environment=proxies) as container:
        until = time.monotonic() + 60
        while engine.client.api.inspect_container(container.handle.id)["State"]["Health"]["Status"] != "healthy":
            assert time.monotonic() < until, container.log()
            time.sleep(0.5)
        check = container.handle.attrs["Config"]["Healthcheck"]["Test"]
        assert check[:2] == ["CMD", PYTHON]
        # Whoever else stops it, a signal reaches the service itself.
        container.handle.kill("SIGTERM")
        assert container.handle.wait(timeout=30)["StatusCode"] == 0


WAIT = f"""
import urllib.request
urllib.request.urlopen("{INSIDE}/wait", b'{{"seconds": 300}}')
"""
UNDER_WAY = f"""
import json, urllib.request
text = urllib.request.urlopen("{INSIDE}/metrics").read().decode()
print(json.dumps([line for line in text.splitlines() if line.startswith("envelope_requests_in_progress")]))
"""


def test_stopped_by_default_it_ends_by_itself_and_tells_what_it_cut_off(engine, envelope, image):
    """`docker stop` kills after 10 seconds, which nobody would read of in the log."""
    with engine.confined(image) as container:
        ask(container, envelope)
        asking = threading.Thread(target=container.execute, args=((PYTHON, "-c", WAIT),), kwargs={"seconds": 60})
        asking.start()
        until = time.monotonic() + 30
        while run(container, UNDER_WAY) != ["envelope_requests_in_progress 2.0"]:  # this one is the other
            assert time.monotonic() < until, container.log()
        container.handle.stop()
        asking.join(30)
        assert container.exit_code() == 1, container.log()
        assert "not finished within 8 s, and cut off: 1 of POST /wait" in container.log()


SPEAKS = f"""
import json, urllib.request
import pyarrow as pa
request = urllib.request.Request("{INSIDE}/predict", headers={{"Content-Type": "application/vnd.apache.arrow.stream"}})
request.add_header("Accept", "application/vnd.apache.arrow.stream")
sink = pa.BufferOutputStream()
table = pa.table({{"x": pa.array([1.5, 2.5])}})
with pa.ipc.new_stream(sink, table.schema) as writer:
    writer.write_table(table)
with urllib.request.urlopen(request, sink.getvalue().to_pybytes()) as response:
    print(json.dumps(pa.ipc.open_stream(response.read()).read_all().to_pylist()))
"""
TABULAR = """
class Model:
    def predict(self, x):
        return [value * 2 for value in x]
"""


@pytest.mark.slow
def test_with_the_option_it_speaks_arrow(engine, tmp_path):
    methods = {"predict": Method((Parameter("x", List(NUMBER)),), List(NUMBER))}
    envelope = make_envelope(tmp_path, TABULAR, methods, {"predict": ({"x": [1.5]}, [3.0])}, name="steady")
    name = f"envelope-test/steady-arrow:{os.getpid()}"
    try:
        build(envelope, image=name, base_image=BASE_IMAGE, options=["arrow"])
        assert engine.labels(name)["io.modelenvelope.options"] == "arrow"
        with engine.confined(name) as container:
            ask(container, envelope)
            assert run(container, SPEAKS) == [{"answer": 3.0}, {"answer": 5.0}]
    finally:
        engine.forget(name)


def test_a_base_whose_own_user_is_not_root_will_do(engine, tmp_path):
    base, name = "hardening-base:nobody", "hardening:on-nobody"
    dockerfile = io.BytesIO(f"FROM {BASE_IMAGE}\nUSER nobody\n".encode())
    try:
        engine.client.images.build(fileobj=dockerfile, tag=base, rm=True)
        result = build(make_envelope(tmp_path, STEADY, STEADY_METHODS, STEADY_SAMPLES), image=name, base_image=base)
        assert [item.agrees for item in result.replays] == [True]
    finally:
        engine.forget(name)
        engine.forget(base)
