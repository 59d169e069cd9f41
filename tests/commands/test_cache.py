"""The cache of clean rooms as a user sees it: what is there, whose it is, and what goes."""

import os
import sys
import time
from pathlib import Path

import pytest

from model_envelope.dependencies import room_cache
from model_envelope.dependencies.rooms import clean_room
from model_envelope.foundation.files import exclusive, json_bytes
from model_envelope.foundation.lockfile import Lock

PYTHON = Path(sys.executable)
DAY = 86400


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))


def make_room(name, *, size=1000, unused=0.0, finished=True):
    """Make what a room leaves in the cache, by hand."""
    room = room_cache.rooms_folder() / name
    folder = room / "abc"
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"x" * size)
    then = time.time() - unused
    if finished:
        marker = {"folder": "abc", "interpreter": "cpython 3.11.7 on linux", "packages": 3, "made": then}
        (room / room_cache.MARKER).write_bytes(json_bytes(marker))
        (room / room_cache.USES).write_bytes(json_bytes({"last": then, "by": {f"model-{name}": then}}))
    os.utime(room, (then, then))
    return room


def names():
    folder = room_cache.rooms_folder()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_an_empty_cache(cli, tmp_path):
    ran = cli("cache")
    assert ran.code == 0, ran.err
    assert ran.out == f"0 clean rooms, 0 B in {tmp_path / 'cache' / 'rooms'}\n"
    assert cli("cache", "--clear").code == 0


def test_each_room_with_its_size_age_and_owner(cli):
    make_room("old", size=5000, unused=3 * DAY)
    make_room("new", size=2000)
    make_room("half", finished=False, unused=DAY)
    ran = cli("cache")
    first, second, third, total = ran.out.splitlines()
    assert first.startswith("new")
    assert "used 0 seconds ago" in first
    assert "3 packages, cpython 3.11.7 on linux  model-new" in first
    assert "unfinished: its process was ended" in second
    assert "used 3 days ago" in third
    assert total.startswith("3 clean rooms, ")


def test_json(cli, tmp_path):
    make_room("one", unused=10)
    result = cli("cache", "--json").result
    assert result.keys() == {"folder", "rooms", "size", "removed", "freed", "kept_in_use"}
    assert result["folder"] == str(tmp_path / "cache" / "rooms")
    (room,) = result["rooms"]
    assert room.keys() == {
        *(
            "name",
            "kind",
            "folder",
            "size",
            "made",
            "last_used",
            "python",
            "packages",
            "belongs_to",
            "finished",
            "in_use",
        ),
    }
    assert room["belongs_to"] == ["model-one"]


def test_what_was_not_used_for_long_goes(cli):
    make_room("old", unused=31 * DAY)
    make_room("new", unused=DAY)
    make_room("half", finished=False)
    ran = cli("cache", "--older-than", "30d")
    assert names() == ["new"]
    assert "removed 2 clean rooms, " in ran.out


def test_what_was_not_used_for_longest_goes_until_the_rest_fits(cli):
    for at, name in enumerate(["newest", "middle", "oldest"]):
        make_room(name, size=10_000, unused=at * DAY)
    assert cli("cache", "--max-size", "25kB").code == 0
    assert names() == ["middle", "newest"]


def test_everything_goes_and_can_be_made_again(cli):
    clean_room(Lock(()), python=PYTHON, belongs_to="flights-1234")
    make_room("other")
    assert "flights-1234" in cli("cache").out
    result = cli("cache", "--clear", "--json").result
    assert len(result["removed"]) == 2
    assert result["rooms"] == []
    assert names() == []
    assert not clean_room(Lock(()), python=PYTHON).cached


def test_a_room_in_use_stays_and_that_is_said(cli):
    room = clean_room(Lock(()), python=PYTHON)
    ran = cli("cache", "--clear")
    assert "1 clean room in use: kept" in ran.out
    assert room.python.exists()
    del room
    assert "removed 1 clean room" in cli("cache", "--clear").out


def test_a_room_that_is_being_made_stays(cli):
    room = make_room("half", finished=False, unused=DAY)
    with exclusive(room.with_suffix(".lock")):
        assert "1 clean room in use: kept" in cli("cache", "--clear").out
    assert room.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--older-than", "soon"], "cache.age"),
        (["--older-than", "30"], "cache.age"),
        (["--max-size", "much"], "cache.size"),
    ],
)
def test_what_cannot_be_read_removes_nothing(cli, words, code):
    make_room("old", unused=400 * DAY)
    ran = cli("cache", *words)
    assert ran.code == 1
    assert f"error[{code}]" in ran.err
    assert names() == ["old"]
