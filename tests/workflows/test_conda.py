"""Conda environments, for real: packed, locked by conda-lock and a solver, proven in an environment made from the lock.

The channel is made here, and conda is stood in for by py-rattler (see ``conda_stand_in.py``).
"""

import base64
import copy
import functools
import http.server
import json
import tarfile
import threading
import urllib.request

import pytest
import yaml
from conda_machine import Quiet, packed, read

from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing, Unsolvable
from model_envelope.foundation.progress import Note
from model_envelope.runtime.errors import AnswersDiffer
from model_envelope.runtime.manifest import compare
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.context import render_context
from model_envelope.targets.target import find_target
from model_envelope.workflows.dependencies import dependencies
from model_envelope.workflows.diff import diff
from model_envelope.workflows.lock import lock
from model_envelope.workflows.pack import Asked
from model_envelope.workflows.provenance import read_provenance
from model_envelope.workflows.serve import serve
from model_envelope.workflows.verify import verify

pytestmark = pytest.mark.slow


def packages(found, platform):
    return {item.name: item.version for item in found.packages if item.platform == platform}


def test_a_conda_environment_is_packed_locked_and_proven(here, tmp_path):
    notes = []
    result = packed(here, tmp_path, report=notes.append)
    assert result.locked
    assert result.proven
    files = read_envelope(result.path)
    assert not compare(files.path)
    assert not files.lock.exists()
    found = read(result.path)
    assert packages(found, "linux-64") == {
        # The newest widget-core is 1.1; the model was made with this one.
        "python": here.channel.python, "pip": "25.0", "py-gadget": "3.0", "widget-core": "1.0", "libturn": "2.0",
        "tacked": "0.5",
    }  # fmt: skip
    assert found.owners == {"gadget": "py-gadget", "widget": "widget-core"}
    assert found.channels == (here.channel.address,)
    assert found.pip_lock("linux-64").to_bytes().startswith(b"tacked==0.5 \\\n    --hash=sha256:")
    assert verify(result.path, clean=True).clean[0].agrees
    witness = read_provenance(files)
    assert (witness["resolver"], witness["proven"]) == ("conda-lock", True)


def test_the_same_environment_gives_the_same_lock_for_several_platforms(here, tmp_path):
    both = ("osx-arm64", "linux-64")
    first = packed(here, tmp_path / "one", platforms=both, prove=False)
    second = packed(here, tmp_path / "two", platforms=both[::-1], prove=False)
    assert first.digest == second.digest
    found = read(first.path)
    assert found.platforms == ("linux-64", "osx-arm64")
    assert packages(found, "osx-arm64") == {**packages(found, "linux-64"), "libturn": "2.1"}
    document = yaml.safe_load((first.path / "env" / "conda-lock.yml").read_bytes())
    assert document["version"] == 1
    assert all(item["hash"]["sha256"] for item in document["package"])


def test_an_envelope_changes_its_lock_from_one_kind_to_the_other(here, tmp_path):
    first = packed(here, tmp_path, lock=False)
    for_conda = lock(first.path, resolver="conda-lock")
    assert for_conda.proven
    assert for_conda.previous == first.digest
    shown = dependencies(for_conda.path)
    assert shown.source == "env/conda-lock.yml"
    assert {"gadget", "widget", "tacked"} <= {item.name for item in shown.packages}
    direct = packed(here, tmp_path / "direct")
    assert read(for_conda.path) == read(direct.path)
    assert diff(first.path, direct.path).dependencies.source == "env/requirements.in"
    assert diff(for_conda.path, direct.path).dependencies.source == "env/conda-lock.yml"


def test_what_came_from_no_index_is_named_with_where_it_came_from(here, tmp_path):
    path = here.site / "tacked-0.5.dist-info" / "direct_url.json"
    path.write_text('{"url": "file:///srv/tacked-0.5-py3-none-any.whl", "archive_info": {}}')
    try:
        error = fails(here, tmp_path, Unsolvable, "lock.unsolvable")
    finally:
        path.unlink()
    assert "`tacked` (from file:///srv/tacked-0.5-py3-none-any.whl)" in error.message


def test_what_is_dropped_is_in_no_lock(here, tmp_path):
    result = packed(here, tmp_path, prove=False, asked=Asked(drop=("widget",)))
    assert "widget-core" not in packages(read(result.path), "linux-64")
    assert "py-gadget" in packages(read(result.path), "linux-64")


def test_a_lock_that_is_not_for_this_machine_is_not_proven_and_says_so(here, tmp_path):
    notes = []
    result = packed(here, tmp_path, platforms=["osx-arm64"], report=notes.append)
    assert not result.proven
    assert any("not proven" in item.text for item in notes if isinstance(item, Note))
    with pytest.raises(InvalidInput) as caught:
        verify(result.path, clean=True)
    assert caught.value.code == "room.other-platform"


def test_conda_itself_makes_the_room_from_a_list_of_addresses(here, tmp_path, monkeypatch):
    result = packed(here, tmp_path)
    (here.programs / "micromamba").rename(here.programs / "conda")
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    try:
        assert verify(result.path, clean=True).clean[0].agrees
    finally:
        (here.programs / "conda").rename(here.programs / "micromamba")


def test_without_conda_nothing_starts(here, tmp_path, monkeypatch):
    result = packed(here, tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(ToolMissing) as caught:
        packed(here, tmp_path / "again")
    assert caught.value.code == "lock.no-conda"
    assert "micromamba" in caught.value.hint
    with pytest.raises(ToolMissing) as caught:
        verify(result.path, clean=True)
    assert caught.value.code == "room.no-conda"


def test_without_conda_lock_nothing_starts(here, tmp_path, monkeypatch):
    monkeypatch.setattr("model_envelope.dependencies.conda.locking.find_conda_lock", lambda: None)
    with pytest.raises(ToolMissing) as caught:
        packed(here, tmp_path)
    assert caught.value.code == "lock.no-conda-lock"
    assert "model-envelope[conda-lock]" in caught.value.hint


def test_another_environment_is_refused(here, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        packed(here, tmp_path, python=None)
    assert caught.value.code == "lock.no-conda-environment"


def test_a_platform_that_conda_does_not_know_is_refused(here, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        packed(here, tmp_path, platforms=["linux-65"])
    assert caught.value.code == "lock.platform"
    assert "`macos/arm64`" in caught.value.hint


@pytest.fixture
def changed(here):
    """The channel, put back as it was afterwards."""
    before = copy.deepcopy(here.channel.records)
    yield here.channel
    here.channel.records = before
    here.channel.index()


def fails(machine, folder, kind, code, **options):
    with pytest.raises(kind) as caught:
        packed(machine, folder, **options)
    assert caught.value.code == code, str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert not list(folder.glob("out/*"))
    return caught.value


def test_a_version_that_is_gone_from_the_channel_is_named(here, changed, tmp_path):
    changed.forget("widget-core-1.0-py_0.tar.bz2")
    changed.index()
    error = fails(here, tmp_path, Unsolvable, "lock.package-gone")
    assert "widget-core" in error.message
    assert "linux-64" in error.message


def test_needs_that_exclude_each_other_are_told_as_the_solver_says_it(here, changed, tmp_path):
    changed.records["noarch"]["py-gadget-3.0-py_0.tar.bz2"]["depends"].append("widget-core >=1.1")
    changed.index()
    error = fails(here, tmp_path, Unsolvable, "lock.unsolvable")
    assert "`widget-core ==1.0`" in error.message
    assert "widget-core" in error.detail


def test_a_channel_that_cannot_be_reached_is_named(here, tmp_path):
    away = here.channel.folder.with_name("away")
    here.channel.folder.rename(away)
    try:
        error = fails(here, tmp_path, ToolFailed, "lock.channel-unreachable")
    finally:
        away.rename(here.channel.folder)
    assert here.channel.address in error.message


def test_an_index_that_cannot_be_reached_is_told_apart_from_the_channel(here, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    fails(here, tmp_path, ToolFailed, "lock.index-unreachable")


def test_what_pip_installed_and_the_index_has_no_more_is_named(here, conda_index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", conda_index.removesuffix("/simple") + "/empty")
    assert "tacked" in fails(here, tmp_path, Unsolvable, "lock.package-gone").message


def test_a_package_that_is_another_than_the_locked_one_makes_no_room(here, changed, tmp_path, monkeypatch):
    result = packed(here, tmp_path)
    path = changed.folder / "noarch" / "widget-core-1.0-py_0.tar.bz2"
    content = path.read_bytes()
    newer = {"widget": "def turn(value):\n    return value * 9\n"}
    changed.add_distribution("widget-core", "Widget", "1.0", modules=newer, depends=["libturn"])
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    try:
        with pytest.raises(ToolFailed) as caught:
            verify(result.path, clean=True)
    finally:
        path.write_bytes(content)
    assert caught.value.code == "room.install"
    assert "does not have the hash" in caught.value.message
    assert not list((tmp_path / "cache" / "rooms").glob("*/"))


def test_a_lock_that_answers_otherwise_seals_nothing(here, tmp_path, monkeypatch):
    path = here.site / "widget.py"
    text = path.read_text()
    path.unlink()  # a link into the package may share its bytes
    path.write_text("def turn(value):\n    return value * 5\n")
    try:
        fails(here, tmp_path, AnswersDiffer, "replay.differs")
    finally:
        path.unlink()
        path.write_text(text)


class Stop(Exception):
    """Ends a service from within ``ready``, as an interrupt would."""


@pytest.mark.network
def test_it_is_served_in_an_environment_made_from_its_lock_and_the_pins_of_the_service(
    here, conda_index, tmp_path, monkeypatch
):
    result = packed(here, tmp_path)
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", conda_index)
    seen = []

    def ready(served):
        with urllib.request.urlopen(f"{served.url}/predict", b'{"values": [1.0]}') as answer:
            seen.append(json.load(answer))
        raise Stop

    with pytest.raises(Stop):
        serve(result.path, port=0, ready=ready)
    assert seen == [[2.25]]


SECRET = "hunter2hunter2"


class Private(Quiet):
    def do_GET(self):
        wanted = base64.b64encode(f"me:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {wanted}":
            self.send_error(401)
        else:
            super().do_GET()


@pytest.fixture
def private(here, tmp_path):
    """The channel behind a password, which stands in conda's settings; the environment came from there."""
    records = list((here.prefix / "conda-meta").glob("*.json"))
    before = {path: path.read_text() for path in records}
    handler = functools.partial(Private, directory=str(here.channel.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        for path, text in before.items():
            path.write_text(text.replace(here.channel.address, address))
        (tmp_path / ".condarc").write_text(f"channels: ['http://me:${{WORD}}@127.0.0.1:{server.server_port}']\n")
        yield address
        server.shutdown()
        thread.join()
    for path, text in before.items():
        path.write_text(text)


def test_a_channel_behind_a_password_is_locked_and_proven_and_the_password_is_nowhere(
    here, private, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORD", SECRET)
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    result = packed(here, tmp_path)
    assert result.proven
    assert read(result.path).channels == (private,)
    for path in [*result.path.rglob("*"), *(tmp_path / "cache").rglob("*")]:
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


def test_a_channel_that_asks_for_a_password_is_told_without_any(here, private, tmp_path, monkeypatch):
    monkeypatch.setenv("WORD", "wrong-hunter3")
    error = fails(here, tmp_path, ToolFailed, "lock.channel-unreachable")
    assert private in error.message
    assert "wrong-hunter3" not in str(error)


def test_the_image_takes_conda_packages_from_micromamba_and_the_rest_from_pip(here, tmp_path):
    result = packed(here, tmp_path, platforms=["linux-64", "osx-arm64"], prove=False)
    context = render_context(
        read_envelope(result.path), find_target("service"), tmp_path / "context", base_image="debian:stable-slim"
    )
    rendered = CondaLock.parse((context.path / "conda-lock.yml").read_bytes())
    assert rendered.platforms == ("linux-64",)
    assert {item.manager for item in rendered.packages} == {"conda"}
    wheels = (context.path / "requirements.lock").read_text()
    assert "tacked==0.5" in wheels
    assert "starlette==" in wheels
    assert "gadget" not in wheels
    with tarfile.open(context.path / "layers" / "code.tar") as code:
        assert "opt/model/envelope/env/conda-lock.yml" in code.getnames()


def test_the_command_line_tells_of_it(here, envelope, tmp_path):
    model = here.model(tmp_path / "model")
    done = envelope(
        "pack", model, "--input", model.with_name("samples.json"), "--python", here.python, "--name", "gadget",
        "--resolver", "conda-lock", "--platform", "linux-64", "--platform", "osx-arm64", "-o", tmp_path / "out",
        "--json",
    )  # fmt: skip
    result = json.loads(done.stdout)["result"]
    assert result["proven"] is True
    assert "Locked packages with hashes: 6 for linux-64, 6 for osx-arm64 (conda-lock)" in done.stderr
    shown = envelope("dependencies", result["path"]).stdout
    assert "widget" in shown
    done = envelope("verify", result["path"], "--clean")
    assert "1 of 1 methods answer as sealed in the clean room" in done.stderr
