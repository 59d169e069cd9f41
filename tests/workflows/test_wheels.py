"""What was installed from a repository, a folder or a file travels in the envelope as a wheel."""

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
import venv

import pytest
from models import dump, write_module

from model_envelope.dependencies import rooms
from model_envelope.dependencies.programs import find_uv
from model_envelope.foundation.errors import InvalidInput, Unsolvable
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note
from model_envelope.foundation.pylock import NAME, parse
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.build_log import BuildLog
from model_envelope.targets.building import fetch_wheels
from model_envelope.targets.context import render_context
from model_envelope.targets.target import find_target
from model_envelope.workflows.lock import lock
from model_envelope.workflows.pack import Aim, SampleFile, pack
from model_envelope.workflows.serve import serve
from model_envelope.workflows.verify import verify

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
MODEL = """
import our_features

class Model:
    def predict(self, x: float) -> str:
        return our_features.VERSION * int(x)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install `our-features` and say where it came from; the file that it was installed from is gone then."""
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    site = next(environment.glob("lib/*/site-packages"))

    def install(wheelhouse, direct_url=None, **given):
        value = wheelhouse.add("our-features", **given)
        wheel = next(wheelhouse.folder.glob("our_features-*"))
        command = [find_uv(), "pip", "install", "--quiet", "--offline", "--no-deps", "--python"]
        subprocess.run([*command, environment / "bin" / "python", wheel], check=True)
        wheel.unlink()
        noted = next(site.glob("our_features-*.dist-info")) / "direct_url.json"
        if direct_url is not None:
            noted.write_text(json.dumps(direct_url))
        return environment / "bin" / "python", value

    return install


@pytest.fixture
def packed(tmp_path):
    write_module(tmp_path, "m", MODEL)
    (tmp_path / "samples.json").write_text('{"x": 2.0}')

    def packed(python, name="out", **options):
        dump(tmp_path, "m.Model()", python=python)
        samples = SampleFile(tmp_path / "samples.json", "samples.json")
        return pack(tmp_path / "m.pkl", samples=samples, into=tmp_path / name, python=str(python), **options)

    return packed


GIT = {"url": "https://git.example/features.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
FOLDER = {"url": "file:///somewhere/features", "dir_info": {}}


@pytest.mark.parametrize("origin", [GIT, FOLDER, None], ids=["git", "folder", "file"])
def test_what_no_index_has_is_proven_from_the_envelope_alone(index, install, packed, origin, tmp_path):
    index.add("other", "2.0")
    python, _ = install(index, origin, requires=["other"])
    said = []
    result = packed(python, report=said.append)
    assert result.proven
    wheels = sorted((result.path / "env" / "wheels").iterdir())
    assert [path.name for path in wheels] == ["our_features-1.0-py3-none-any.whl"]
    value = f"sha256:{hashlib.sha256(wheels[0].read_bytes()).hexdigest()}"
    files = read_envelope(result.path)
    locked = Lock.parse(files.lock.read_bytes())
    assert locked.versions() == {"other": "2.0", "our-features": "1.0"}
    assert next(pin for pin in locked.pins if pin.name == "our-features").hashes == (value,)
    assert 'path = "wheels/our_features-1.0-py3-none-any.whl"' in (result.path / NAME).read_text()
    assert parse((result.path / NAME).read_bytes()) == locked
    assert any("our-features 1.0 travels as a wheel" in event.text for event in said if isinstance(event, Note))
    assert not verify(result.path, clean=True).objection()
    again = lock(result.path, into=tmp_path / "again", upgrade=["other"])
    assert again.proven
    assert (again.path / "env" / "wheels" / wheels[0].name).read_bytes() == wheels[0].read_bytes()


@pytest.mark.parametrize("resolver", ["uv", "pip-tools"])
def test_an_envelope_without_a_lock_has_its_wheels_for_later(index, install, packed, resolver, tmp_path):
    python, _ = install(index, GIT)
    unlocked = packed(python, lock=False)
    assert (unlocked.path / "env" / "wheels").is_dir()
    done = lock(unlocked.path, resolver=resolver, into=tmp_path / "locked")
    assert done.proven


def test_a_file_that_an_index_has_is_left_to_it(simple_index, install, packed, monkeypatch):
    index = simple_index()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    python, value = install(index, {"url": "file:///gone/our_features-1.0-py3-none-any.whl", "archive_info": {}})
    site = next((python.parent.parent).glob("lib/*/site-packages/our_features-*.dist-info"))
    digest = value.removeprefix("sha256:")
    (site / "direct_url.json").write_text(
        json.dumps({"url": "file:///gone/x.whl", "archive_info": {"hashes": {"sha256": digest}}})
    )
    index.add("our-features")
    result = packed(python)
    assert result.proven
    assert not (result.path / "env" / "wheels").exists()
    assert value in read_envelope(result.path).lock.read_text()


def test_what_conda_built_somewhere_comes_from_an_index_all_the_same(index, install, packed):
    python, _ = install(index, FOLDER)
    site = next((python.parent.parent).glob("lib/*/site-packages/our_features-*.dist-info"))
    (site / "INSTALLER").write_text("conda\n")
    value = index.add("our-features")
    result = packed(python)
    assert not (result.path / "env" / "wheels").exists()
    assert value in read_envelope(result.path).lock.read_text()


def test_a_wheel_for_this_machine_alone_is_no_lock_for_another(index, install, packed):
    machine = os.uname().machine
    python, _ = install(index, GIT, tag=f"py3-none-linux_{machine}")
    other = "linux/arm64" if machine == "x86_64" else "linux/amd64"
    with pytest.raises(InvalidInput, match=f"does not run with .* on {other}") as caught:
        packed(python, aim=Aim.read([other]))
    assert caught.value.code == "lock.wheel-elsewhere"


def test_an_image_installs_what_travels(index, install, packed, tmp_path):
    python, _ = install(index, GIT)
    result = packed(python, prove=False)
    files, target = read_envelope(result.path), find_target("service")
    context = render_context(files, target, tmp_path / "rendered", base_image="python-base")
    dockerfile = (context.path / "Dockerfile").read_text()
    assert "--mount=type=bind,source=wheels,target=/wheels" in dockerfile
    assert "--find-links /wheels" in dockerfile
    assert list((context.path / "wheels").iterdir())


def test_an_image_without_secrets_gets_them_from_the_host(index, install, packed, tmp_path):
    index.add("other")
    python, _ = install(index, GIT, requires=["other"])
    result = packed(python, prove=False)
    own = result.path / "env" / "wheels"
    fetch_wheels(
        result.path / "env" / "requirements.lock", tmp_path / "wheelhouse", SERIES, Platform.here(), own, {}, BuildLog()
    )
    fetched = sorted(path.name for path in (tmp_path / "wheelhouse").iterdir())
    assert fetched == ["other-1.0-py3-none-any.whl", "our_features-1.0-py3-none-any.whl"]


def test_a_clean_room_without_uv_finds_them_too(index, install, packed, monkeypatch, tmp_path):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    python, _ = install(index, GIT)
    result = packed(python, "my models, and more", prove=False)
    monkeypatch.setattr(rooms, "find_uv", lambda: None)
    assert not verify(result.path, clean=True).objection()


@pytest.mark.network
def test_what_travels_is_there_where_the_envelope_is_served(wheelhouse, install, packed):
    python, _ = install(wheelhouse, GIT)
    result = packed(python)
    assert result.proven
    seen = []

    def ready(service):
        with urllib.request.urlopen(f"{service.url}/predict", b'{"x": 3.0}') as response:
            seen.append(json.load(response))
        raise KeyboardInterrupt

    serve(result.path, port=0, ready=ready)
    assert seen == ["1.0" * 3]


def test_what_left_no_record_is_told_and_left_to_an_index(index, install, packed):
    python, _ = install(index, {"url": "git+https://me:hunter22@git.example/f", "vcs_info": {"vcs": "git"}})
    site = next((python.parent.parent).glob("lib/*/site-packages/our_features-*.dist-info"))
    (site / "WHEEL").unlink()
    said = []
    with pytest.raises(Unsolvable, match="no index has them: `our-features`") as caught:
        packed(python, report=said.append)
    assert "hunter22" not in str(caught.value)
    notes = [event.text for event in said if isinstance(event, Note)]
    assert any("`our-features 1.0` comes from" in note and "hunter22" not in note for note in notes)
