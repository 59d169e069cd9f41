"""Clean rooms: what the lock names and nothing else, made once, and never half."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model_envelope.dependencies import kept_rooms, room_cache, rooms
from model_envelope.dependencies.rooms import clean_room
from model_envelope.foundation import process
from model_envelope.foundation.directories import cache_dir
from model_envelope.foundation.errors import ToolFailed, ToolMissing
from model_envelope.foundation.interpreter import describe
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.progress import Done, Note, Started

PYTHON = Path(sys.executable)


@pytest.fixture(params=["uv", pytest.param("pip", marks=pytest.mark.slow)])
def installer(request, monkeypatch, tmp_path):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    if request.param == "pip":
        monkeypatch.setattr(rooms, "find_uv", lambda: None)
    return request.param


@pytest.fixture
def lock(wheelhouse):
    hashes = wheelhouse.add("first", requires=["second", "not-in-the-lock"]), wheelhouse.add("second", "2.0")
    return Lock((Pin("first", "1.0", (hashes[0],)), Pin("second", "2.0", (hashes[1],))))


def ask(room, code):
    done = subprocess.run(room.command("-c", code), env=room.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def rooms_made():
    folder = cache_dir() / "rooms"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []


def test_a_room_has_what_the_lock_names_and_nothing_else(installer, lock, wheelhouse, monkeypatch, tmp_path):
    (tmp_path / "stray.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.chdir(tmp_path)
    room = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert not room.cached
    assert ask(room, "import first, second; print(first.VERSION, second.VERSION)") == "1.0 2.0"
    found = ask(
        room,
        "import importlib.util as u, importlib.metadata as m, json, sys; print(json.dumps(["
        "[n for n in ('pip', 'setuptools', 'numpy', 'stray', 'model_envelope', 'pytest') if u.find_spec(n)],"
        "sorted(d.name for d in m.distributions()), sys.version_info[:3], sys.dont_write_bytecode]))",
    )
    others, names, version, writes_nothing = json.loads(found)
    assert others == []
    assert names == ["first", "second"]
    assert ".".join(map(str, version)) == describe(PYTHON).version
    assert not writes_nothing


def test_a_room_is_made_once(installer, lock, wheelhouse):
    events = []
    first = clean_room(lock, python=PYTHON, index=wheelhouse.index, report=events.append)
    assert [type(event) for event in events] == [Started, Done]
    again = clean_room(Lock(lock.pins[::-1]), python=PYTHON, index=wheelhouse.index, report=events.append)
    assert again.cached
    assert again.python == first.python
    assert len(events) == 2
    assert len(rooms_made()) == 1
    other = clean_room(Lock(lock.pins[:1]), python=PYTHON, index=wheelhouse.index)
    assert not other.cached
    assert other.folder != first.folder


def test_an_empty_lock_gives_an_empty_room(installer, wheelhouse):
    room = clean_room(Lock(()), python=PYTHON, index=wheelhouse.index)
    assert ask(room, "import importlib.metadata as m; print([d.name for d in m.distributions()])") == "[]"


def make_at_once(barrier, lock, index, results):
    barrier.wait()
    results.put(clean_room(lock, python=PYTHON, index=index).cached)


def test_two_processes_at_once_make_one_room(installer, lock, wheelhouse):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=make_at_once, args=(barrier, lock, wheelhouse.index, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert found == [False, True]
    assert len(rooms_made()) == 1


@pytest.mark.parametrize("left", ["no marker", "half a marker", "no interpreter"])
def test_what_a_killed_process_left_is_made_anew(installer, lock, wheelhouse, left):
    room = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    (room.folder / "environment" / "rubbish").write_text("of the first try")
    if left == "no marker":
        (room.folder.parent / room_cache.MARKER).unlink()
    elif left == "half a marker":
        (room.folder.parent / room_cache.MARKER).write_text('{"layout": ')
    else:
        room.python.unlink()
    again = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert not again.cached
    assert not (again.folder / "environment" / "rubbish").exists()
    assert ask(again, "import first; print(first.VERSION)") == "1.0"


def be_killed_half_way(lock, index):
    made = rooms._make

    def make_and_die(*args, **kwargs):
        made(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    rooms._make = make_and_die
    clean_room(lock, python=PYTHON, index=index)


def test_a_room_is_made_anew_after_a_kill(installer, lock, wheelhouse):
    victim = multiprocessing.get_context("fork").Process(target=be_killed_half_way, args=(lock, wheelhouse.index))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    assert len(rooms_made()) == 1
    room = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert not room.cached
    assert clean_room(lock, python=PYTHON, index=wheelhouse.index).cached


def test_a_file_with_another_hash_is_not_installed(installer, lock, wheelhouse):
    wrong = Lock((Pin("second", "2.0", ("sha256:" + "0" * 64,)),))
    for _ in range(2):
        with pytest.raises(ToolFailed) as caught:
            clean_room(wrong, python=PYTHON, index=wheelhouse.index)
        assert caught.value.code == "room.install"
        assert "does not have the hash that the lock has" in caught.value.message
        assert "second" in caught.value.detail
        assert rooms_made() == []


def test_a_package_that_has_no_file_for_this_python_is_told(installer, wheelhouse):
    digest = wheelhouse.add("elsewhere", tag="cp399-cp399-win_amd64")
    with pytest.raises(ToolFailed, match="no file for cpython") as caught:
        clean_room(Lock((Pin("elsewhere", "1.0", (digest,)),)), python=PYTHON, index=wheelhouse.index)
    assert caught.value.code == "room.install"
    assert rooms_made() == []


def test_an_interrupt_leaves_nothing(installer, lock, wheelhouse, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(kept_rooms, "write_atomic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert rooms_made() == []


def test_an_interpreter_may_be_named_from_the_current_folder(installer, lock, wheelhouse, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(PYTHON.resolve())
    monkeypatch.chdir(tmp_path)
    room = clean_room(lock, python=Path("bin/python"), index=wheelhouse.index)
    assert ask(room, "import first; print(first.VERSION)") == "1.0"


def test_an_interpreter_that_is_not_there_is_told(installer, lock, tmp_path):
    with pytest.raises(ToolMissing, match="python-of-nowhere"):
        clean_room(lock, python=tmp_path / "python-of-nowhere")
    with pytest.raises(ToolFailed, match="Python"):
        clean_room(lock, python=Path(shutil.which("true")))


def test_carried_modules_run_in_a_room_and_hide_nothing(installer, lock, wheelhouse, tmp_path):
    carried = tmp_path / "carried"
    (carried / "proof").mkdir(parents=True)
    (carried / "first.py").write_text("VERSION = 'carried'\n")
    (carried / "proof" / "__main__.py").write_text("import sys, first\nprint(first.VERSION, sys.argv[1:])\n")
    room = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    done = subprocess.run(
        room.module_command("proof", "--flag", "a b", path=[carried]),
        env=room.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1.0 ['--flag', 'a b']\n", done.stderr
    assert str(room.python.parent) == room.environment()["PATH"].split(os.pathsep)[0]


@pytest.mark.parametrize("change", ["gone", "changed", "new", "inventory"])
def test_a_room_that_was_changed_is_made_anew_and_that_is_told(installer, lock, wheelhouse, change):
    room = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    (module,) = room.folder.glob("environment/lib/*/site-packages/first.py")
    if change == "gone":
        module.unlink()
    elif change == "changed":
        module.write_text("VERSION = 'changed'\n")
    elif change == "new":
        (module.parent / "third.py").write_text("")
    else:
        (room.folder / "inventory").unlink()
    events = []
    again = clean_room(lock, python=PYTHON, index=wheelhouse.index, report=events.append)
    assert not again.cached
    # uv links files out of its own cache: where one was changed, it was changed there too.
    note, *others = [event.text for event in events if isinstance(event, Note)]
    assert all("the installer's own cache was changed (first.py)" in text for text in others)
    assert "the clean room in the cache was changed (" in note
    assert {"gone": "first.py", "changed": "first.py", "new": "third.py", "inventory": "inventory"}[change] in note
    found = ask(again, "import first, importlib.util as u; print(first.VERSION, u.find_spec('third'))")
    assert found == "1.0 None"
    assert clean_room(lock, python=PYTHON, index=wheelhouse.index).cached


def test_bytecode_that_python_writes_is_no_change(installer, lock, wheelhouse):
    room = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    ask(room, "import first, second")
    assert list(room.folder.glob("environment/lib/*/site-packages/__pycache__/first.*.pyc"))
    assert clean_room(lock, python=PYTHON, index=wheelhouse.index).cached


def test_a_file_that_changed_unnoticed_is_found_by_its_hash(installer, lock, wheelhouse):
    room = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert kept_rooms.spoilt(room) == ()
    (module,) = room.folder.glob("environment/lib/*/site-packages/first.py")
    before = module.stat()
    module.write_text("VERSION = '9.9'\n")
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    cached = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert cached.cached
    assert kept_rooms.spoilt(cached) == ("first.py",)
    again = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert not again.cached
    assert ask(again, "import first; print(first.VERSION)") == "1.0"


def test_a_room_in_use_outlives_one_that_is_made_in_its_place(installer, lock, wheelhouse):
    used = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    (used.folder / "environment" / "rubbish").write_text("")
    again = clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert not again.cached
    assert again.folder != used.folder
    assert ask(used, "import first; print(first.VERSION)") == "1.0"


def test_a_full_disk_is_told_with_the_way_out(installer, lock, wheelhouse, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kept_rooms, "write_atomic", full)
    with pytest.raises(ToolFailed, match="no space left") as caught:
        clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert caught.value.code == "room.no-space"
    assert "`envelope cache`" in caught.value.hint
    assert rooms_made() == []


def test_an_installer_that_finds_no_space_says_so(installer, lock, wheelhouse, monkeypatch):
    def run(command, **options):
        return process.Finished(tuple(map(str, command)), 1, "", "failed: No space left on device (os error 28)")

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(ToolFailed) as caught:
        clean_room(lock, python=PYTHON, index=wheelhouse.index)
    assert caught.value.code == "room.no-space"
    assert rooms_made() == []


@pytest.mark.network
def test_a_room_from_the_machine_s_index(installer):
    from model_envelope.dependencies.index import IndexSettings
    from model_envelope.dependencies.resolvers import LockRequest, choose

    lock = choose().lock(LockRequest(b"six==1.17.0\n", {}, PYTHON, IndexSettings.from_environment()))
    room = clean_room(lock, python=PYTHON)
    assert ask(room, "import six; print(six.__version__)") == "1.17.0"
