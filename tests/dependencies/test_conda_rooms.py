"""Rooms of conda locks: kept, held, counted, damaged, killed and removed as those of pip are."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess

import pytest
from conda_machine import enter, make

from model_envelope.dependencies.conda import rooms
from model_envelope.dependencies.conda.rooms import conda_recipe
from model_envelope.dependencies.kept_rooms import kept_room, spoilt
from model_envelope.dependencies.room_cache import list_rooms
from model_envelope.foundation.conda_lock import CondaLock, CondaPackage
from model_envelope.foundation.errors import ToolMissing
from model_envelope.foundation.progress import Done, Note, Started
from model_envelope.workflows.cache import cache

PLATFORM = "linux-64"
WANTED = ("python", "libturn", "widget-core", "py-gadget")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("conda"), tacked=False)
    made.call("micromamba")
    return made


@pytest.fixture
def recipe(machine, tmp_path, monkeypatch):
    enter(machine, monkeypatch, tmp_path)
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    packages = [
        CondaPackage("conda", item["name"], PLATFORM, item["version"], url, item["md5"], item["sha256"])
        for subdir in (PLATFORM, "noarch")
        for file, item in machine.channel.records[subdir].items()
        if item["name"] in WANTED and (item["name"], item["version"]) != ("widget-core", "1.1")
        for url in [f"{machine.channel.address}/{subdir}/{file}"]
    ]
    return conda_recipe(CondaLock((machine.channel.address,), tuple(packages)), PLATFORM)


def ask(room):
    code = "import gadget; print(gadget.Gadget().predict([1.5]))"
    done = subprocess.run(room.command("-c", code), env=room.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def module(room):
    (found,) = room.folder.glob("environment/lib/*/site-packages/widget.py")
    return found


def test_a_room_is_made_once_and_listed(recipe, machine):
    events = []
    room = kept_room(recipe, belongs_to="gadget-1234", report=events.append)
    assert ask(room) == "[3.0]"
    assert [type(event) for event in events] == [Started, Done]
    assert kept_room(recipe, belongs_to="other-5678", report=events.append).cached
    assert len(events) == 2
    (listed,) = cache().rooms
    assert (listed.kind, listed.packages, listed.finished, listed.in_use) == ("conda", 4, True, True)
    assert listed.python == f"python {machine.channel.python} on {PLATFORM}"
    assert listed.belongs_to == ("gadget-1234", "other-5678")
    assert listed.size > 1000


def test_a_room_in_use_stays_and_goes_when_nobody_uses_it(recipe):
    room = kept_room(recipe)
    assert [item.name for item in cache(clear=True).kept_in_use] == [recipe.name]
    assert ask(room) == "[3.0]"
    del room
    result = cache(clear=True)
    assert [item.name for item in result.removed] == [recipe.name]
    assert result.freed > 1000
    assert not list(recipe.place.parent.iterdir())
    assert not kept_room(recipe).cached


def make_at_once(barrier, recipe, results):
    barrier.wait()
    results.put(kept_room(recipe).cached)


def test_two_processes_at_once_make_one_room(recipe):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=make_at_once, args=(barrier, recipe, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert found == [False, True]
    assert len(list_rooms()) == 1


def be_killed_half_way(recipe):
    made = rooms._make

    def make_and_die(*args, **kwargs):
        made(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    rooms._make = make_and_die
    kept_room(recipe)


def test_a_room_is_made_anew_after_a_kill(recipe):
    victim = multiprocessing.get_context("fork").Process(target=be_killed_half_way, args=(recipe,))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    (left,) = list_rooms()
    assert not left.finished
    assert not left.in_use
    room = kept_room(recipe)
    assert not room.cached
    assert ask(room) == "[3.0]"
    assert len(list(recipe.place.glob("*/"))) == 1, "what was left is gone"


def test_what_a_killed_process_left_can_be_removed(recipe):
    victim = multiprocessing.get_context("fork").Process(target=be_killed_half_way, args=(recipe,))
    victim.start()
    victim.join(60)
    assert [item.name for item in cache(older_than="30d").removed] == [recipe.name]
    assert list_rooms() == ()


def test_a_room_that_was_changed_is_made_anew_past_conda_s_own_cache(recipe):
    room = kept_room(recipe)
    changed = module(room)
    changed.unlink()
    changed.write_text("def turn(value):\n    return value * 7\n")
    said = []
    again = kept_room(recipe, report=said.append)
    assert not again.cached
    assert ask(again) == "[3.0]"
    assert [event.text for event in said if isinstance(event, Note)] == [
        f"the clean room in the cache was changed ({changed.relative_to(room.folder / 'environment')}): it is made anew"
    ]


def test_a_package_cache_that_was_changed_is_passed_by(recipe, monkeypatch):
    made, caches = rooms._make, []

    def from_a_changed_cache(conda, folder, *args, fresh, **kwargs):
        made(conda, folder, *args, fresh=fresh, **kwargs)
        caches.append(fresh)
        if not fresh:
            (found,) = folder.glob("environment/lib/*/site-packages/widget.py")
            found.unlink()
            found.write_text("def turn(value):\n    return value * 7\n")

    monkeypatch.setattr(rooms, "_make", from_a_changed_cache)
    room = kept_room(recipe)
    assert ask(room) == "[10.5]"
    assert len(spoilt(room)) == 1
    said = []
    again = kept_room(recipe, report=said.append)
    assert ask(again) == "[3.0]"
    assert caches == [False, False, True]
    assert any("the installer's own cache was changed" in getattr(event, "text", "") for event in said)
    assert kept_room(recipe).cached


def test_a_file_that_changed_unnoticed_is_found_by_its_hash(recipe):
    room = kept_room(recipe)
    assert spoilt(room) == ()
    changed = module(room)
    before, text = changed.stat(), changed.read_text()
    changed.unlink()
    changed.write_text(text.replace("* 2", "* 9"))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept_room(recipe).cached
    assert spoilt(room) == (changed.relative_to(room.folder / "environment").as_posix(),)
    again = kept_room(recipe)
    assert not again.cached
    assert ask(again) == "[3.0]"


def test_what_pip_wrote_over_and_what_conda_put_its_place_into_is_no_damage(recipe):
    room = kept_room(recipe)
    target = room.folder / "environment"
    (record,) = target.glob("conda-meta/widget-core-*.json")
    document = json.loads(record.read_text())
    entry = next(item for item in document["paths_data"]["paths"] if item["_path"].endswith("widget.py"))
    entry.pop("sha256_in_prefix", None)
    record.write_text(json.dumps({**document, "paths_data": {"paths": [{**entry, "prefix_placeholder": "/old"}]}}))
    module(room).write_text("PLACE = '/new'\n")
    site = module(room).parent
    info = site / "gadget-9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gadget\nVersion: 9.0\n")
    (info / "RECORD").write_text("gadget.py,,\n")
    shutil.rmtree(site / "gadget-3.0.dist-info")
    (site / "gadget.py").unlink()
    (site / "gadget.py").write_text("NEW = 1\n")
    assert spoilt(room) == ()


def test_files_that_libraries_write_at_work_are_no_change(recipe):
    room = kept_room(recipe)
    (room.folder / "environment" / "var" / "cache" / "fontconfig").mkdir(parents=True)
    (room.folder / "environment" / "var" / "cache" / "fontconfig" / "fonts").write_text("")
    assert kept_room(recipe).cached


def test_credentials_that_conda_noted_are_taken_out(recipe, monkeypatch):
    plain = rooms._forget_credentials

    def noted(target):
        (record,) = target.glob("conda-meta/widget-core-*.json")
        text = record.read_text()
        secret = '"url": "https://me:hunter2@repo.example.com/t/tk-1-2/team/noarch/x.conda", "home": "https://a.b/t/"'
        record.write_text(text.replace('"name"', f'{secret}, "name"', 1))
        plain(target)

    monkeypatch.setattr(rooms, "_forget_credentials", noted)
    room = kept_room(recipe)
    (record,) = room.folder.glob("environment/conda-meta/widget-core-*.json")
    text = record.read_text()
    assert '"https://repo.example.com/team/noarch/x.conda", "home": "https://a.b/t/"' in text
    assert "hunter2" not in text
    assert "tk-1-2" not in text


def test_without_conda_there_is_no_room_but_one_that_was_made_serves(machine, recipe, monkeypatch, tmp_path):
    kept_room(recipe)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert kept_room(recipe).cached
    cache(clear=True)
    monkeypatch.setattr(rooms, "find_conda", lambda: None)
    again = conda_recipe(recipe_lock(machine), PLATFORM)
    with pytest.raises(ToolMissing) as caught:
        kept_room(again)
    assert caught.value.code == "room.no-conda"
    assert list_rooms() == ()


def recipe_lock(machine):
    ((file, item),) = [pair for pair in machine.channel.records[PLATFORM].items() if pair[1]["name"] == "python"]
    url = f"{machine.channel.address}/{PLATFORM}/{file}"
    python = CondaPackage("conda", "python", PLATFORM, item["version"], url, item["md5"], item["sha256"])
    return CondaLock((machine.channel.address,), (python,))
