"""Locks and rooms that are not as they should be, as a user meets them: each has its own words, and nothing runs."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from models import dump, write_module
from wheels import build_wheel, hash_of

from model_envelope.dependencies.room_cache import list_rooms

COMMAND = Path(sys.executable).with_name("envelope")


@pytest.fixture(autouse=True)
def wheels(tmp_path, monkeypatch):
    """A folder of wheels that is the only index, and an own cache."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


@pytest.fixture
def locked(sealed, seal):
    def make(lock):
        (sealed / "env" / "requirements.lock").write_text(lock)
        return seal(sealed)

    return make


def test_a_lock_that_was_edited_after_it_was_sealed(cli, sealed):
    (sealed / "env" / "requirements.lock").write_text("numpy==1.0\n")
    for words in (["verify", sealed, "--clean", "--trust"], ["lock", sealed, "--trust"]):
        ran = cli(*words)
        assert ran.code == 3
        assert "is not what was sealed" in ran.err
    assert list_rooms() == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("helper-lib==1.0\n", "`helper-lib==1.0` without a hash"),
        ("helper-lib>=1.0 --hash=sha256:{hash}\n", "`helper-lib>=1.0`"),
        ("helper-lib==1.0 --hash=sha256:12\n", "is no hash"),
        ("--index-url http://elsewhere\n", "an option (`--index-url`)"),
        ("helper-lib==1.0 --hash=sha256:{hash}\nhelper-lib==2.0 --hash=sha256:{hash}\n", "is pinned twice"),
    ],
)
def test_a_lock_that_was_edited_and_sealed_again_is_told_with_the_line(cli, locked, line, said):
    envelope = locked(line.format(hash="0" * 64))
    ran = cli("verify", envelope, "--clean", "--trust")
    assert ran.code == 1
    assert "error[lock.malformed]" in ran.err
    assert "env/requirements.lock" in ran.err
    assert said in ran.err
    assert list_rooms() == ()


def test_a_hash_that_does_not_match_ends_it_before_anything_runs(cli, locked, wheels):
    build_wheel(wheels, "helper-lib")
    ran = cli("verify", locked(f"helper-lib==1.0 --hash=sha256:{'0' * 64}\n"), "--clean", "--trust")
    assert ran.code == 4
    assert "error[room.install]" in ran.err
    assert "does not have the hash that the lock has" in ran.err
    assert list_rooms() == ()


def test_a_lock_for_a_python_that_is_not_here(cli, sealed, seal, tmp_path, monkeypatch):
    description = json.loads((sealed / "envelope.json").read_text())
    (sealed / "envelope.json").write_text(json.dumps({**description, "python": "3.99"}))
    seal(sealed)
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = cli("verify", sealed, "--clean", "--trust")
    assert ran.code == 4
    assert "error[python.missing]: the envelope was packed with Python 3.99" in ran.err
    assert f"found cpython {sys.version_info.major}.{sys.version_info.minor}." in ran.err
    assert "`uv python install 3.99`" in ran.err
    # The lock is not for another one either.
    ran = cli("verify", sealed, "--clean", "--trust", "--python", sys.executable)
    assert ran.code == 1
    assert "error[lock.other-python]: the lock of doubler is for Python 3.99" in ran.err
    assert f"--python-version {sys.version_info.major}.{sys.version_info.minor}` makes an envelope for this" in ran.err


def test_a_wheel_for_another_python_is_told(cli, locked, wheels):
    wheel = build_wheel(wheels, "helper-lib")
    other = wheel.rename(wheel.with_name("helper_lib-1.0-cp399-cp399-win_amd64.whl"))
    ran = cli("verify", locked(f"helper-lib==1.0 --hash={hash_of(other)}\n"), "--clean", "--trust")
    assert ran.code == 4
    assert "has no file for cpython" in ran.err


def test_a_cache_that_cannot_be_written_is_told(cli, sealed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "file"))
    ran = cli("verify", sealed, "--clean", "--trust")
    assert ran.code == 1
    assert "error[room.cache]" in ran.err
    assert "ENVELOPE_CACHE_DIR" in ran.err


@pytest.fixture
def model(tmp_path, wheels):
    """A model that needs no package, and the command that packs it."""
    write_module(tmp_path, "adds", "class Adds:\n    def predict(self, x: int) -> int:\n        return x + 1\n")
    dump(tmp_path, "adds.Adds()", "model.pkl")
    (tmp_path / "x.json").write_text('{"x": 1}')
    return [COMMAND, "pack", tmp_path / "model.pkl", "--input", tmp_path / "x.json", "-o", tmp_path / "out"]


@pytest.fixture
def asking(simple_index, tmp_path, monkeypatch):
    """An index over HTTP that is asked once, and what was fetched before is forgotten."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    index = simple_index()
    index.add("packaging", metadata.version("packaging"))
    return index


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "code", "said"),
    [
        ({"status": 407}, "lock.proxy-password", "asks for a password"),
        ({"status": 503}, "lock.index-broken", "answers with an error of its own"),
        ({"delay": 3.0}, "lock.index-slow", "did not answer in time"),
        ({"cut": True}, "lock.index-broken-off", "ended its answer half way"),
        ({"url": "http://bob:hunter22@127.0.0.1:9/simple"}, "lock.index-unreachable", "cannot be reached"),
    ],
    ids=["password", "broken", "slow", "half way", "down"],
)
def test_an_index_that_fails_leaves_nothing_and_is_told(cli, model, asking, tmp_path, monkeypatch, trouble, code, said):
    for name, value in trouble.items():
        setattr(asking, name, value)
    monkeypatch.setenv("PIP_INDEX_URL", asking.url)
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "1")
    ran = cli(*model[1:], "--keep", "packaging")
    assert ran.code == 4
    assert f"error[{code}]" in ran.err
    assert said in ran.err
    assert "so nothing was locked" in ran.err
    assert "hint: " in ran.err
    assert "hunter22" not in ran.err
    assert not list((tmp_path / "out").glob("*"))
    assert list_rooms() == ()
    assert cli(*model[1:], "--keep", "packaging", "--no-lock").code == 0


@pytest.mark.parametrize("content", ["{", '{"sha256:0": 1}'])
def test_a_cache_of_names_that_is_spoilt_is_found_anew(cli, model, asking, tmp_path, monkeypatch, content):
    monkeypatch.setenv("PIP_INDEX_URL", asking.url)
    first = cli(*model[1:], "--keep", "packaging", "--json").result
    (noted,) = (tmp_path / "cache" / "files").glob("packaging/*")
    kept = noted.read_text()
    noted.write_text(content)
    assert cli(*model[1:], "--keep", "packaging", "--name", "again", "--json").result["proven"]
    assert noted.read_text() == kept
    assert first["proven"]


def test_two_packs_at_once_are_both_well(model, tmp_path):
    both = [subprocess.Popen([*model, "--name", name], stderr=subprocess.PIPE, text=True) for name in ("one", "two")]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert {path.name.partition("-")[0] for path in (tmp_path / "out").iterdir()} == {"one", "two"}
    assert len(list_rooms()) == 1
    assert sum("Made a clean room" in text for text in said) == 1


def test_the_same_pack_twice_at_once_gives_one_envelope(model, tmp_path):
    both = [subprocess.Popen(model, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert 0 in [process.returncode for process in both], said
    (envelope,) = (tmp_path / "out").iterdir()
    assert subprocess.run([COMMAND, "verify", envelope, "--samples"], check=False).returncode == 0


def test_a_pack_that_is_killed_while_it_makes_the_room_spoils_no_later_one(model, tmp_path, monkeypatch):
    # An installer that takes its time, and goes on when the one who started it is gone.
    slow = tmp_path / "slow"
    slow.mkdir()
    real = COMMAND.with_name("uv")
    (slow / "uv").write_text(
        f'#!/bin/sh\nfor word; do last=$word; done\n{real} "$@" || exit\n'
        f'if [ "$1" = venv ]; then touch {tmp_path}/making; sleep 3; touch "$last/late"; fi\n'
    )
    (slow / "uv").chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from model_envelope.dependencies import rooms; "
        f"rooms.find_uv = lambda: Path({str(slow / 'uv')!r}); "
        "from model_envelope.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    victim = subprocess.Popen([sys.executable, "-c", code, *map(str, model[1:])], stderr=subprocess.DEVNULL)
    while not (tmp_path / "making").exists():
        assert victim.poll() is None
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait(60)
    (left,) = list_rooms()
    assert not left.finished
    done = subprocess.run(model, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (room,) = list_rooms()
    assert room.finished
    assert "Made a clean room" in done.stderr
    again = subprocess.run([*model, "--name", "again"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "Made a clean room" not in again.stderr
