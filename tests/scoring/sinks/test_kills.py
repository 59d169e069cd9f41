"""Jobs that are killed (SIGKILL) at any moment, and run again: what is seen meanwhile, and what there is in the end."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "sink_killing.py"
SWAPPED = {
    "new folder": {"url": "{root}/out/", "mode": "error"},
    "folder overwritten": {"url": "{root}/out/", "mode": "overwrite", "before": True},
    "partitions overwritten": {"url": "{root}/out/", "mode": "overwrite", "before": True, "partition_by": ["group"]},
    "new file": {"url": "{root}/out.csv", "mode": "error"},
    "file overwritten": {"url": "{root}/out.parquet", "mode": "overwrite", "before": True},
}
ADDED = {
    "folder appended to": {"url": "{root}/out/", "mode": "append", "before": True},
    "mount point": {"url": "jsonl:{root}/out", "mode": "overwrite", "before": True, "mounted": True},
}


def lives_of(tmp_path, plan, **more):
    document = tmp_path / "plan.json"
    # Thousands of calls that wait for a disk are all the same to a folder in memory.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as root:
        document.write_text(json.dumps({"root": root, "rows": 200, "seed": 8, "times": 0} | plan | more))
        done = subprocess.run([sys.executable, PROGRAM, document], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *lives = map(json.loads, done.stdout.splitlines())
    return whole, lives


def ends_alike(whole, lives):
    for life in lives:
        assert life["all"] == whole["all"], f"other bytes, or something left, after {life['lives']}"


def folders_swapped(whole, lives):
    for life in lives:
        for state in life["states"]:
            # Between the two renames of an overwritten folder there is none.
            assert state in ({}, whole["before"], whole["after"]), f"half an output was seen: {life['lives']}"


def files_added(whole, lives):
    known = {*whole["before"].items(), *whole["after"].items()}
    for life in lives:
        for state in life["states"]:
            assert state.items() <= known, f"half a file was seen: {life['lives']}"


@pytest.mark.parametrize("name", SWAPPED)
def test_killed_before_each_call_that_changes_the_disk(tmp_path, name):
    whole, lives = lives_of(tmp_path, SWAPPED[name], how="each call")
    assert sum(life["killed"] for life in lives) > 20
    folders_swapped(whole, lives)
    ends_alike(whole, lives)


@pytest.mark.parametrize("name", ADDED)
def test_killed_before_each_call_while_files_are_added_to_a_folder(tmp_path, name):
    whole, lives = lives_of(tmp_path, ADDED[name], how="each call")
    assert sum(life["killed"] for life in lives) > 20
    files_added(whole, lives)
    ends_alike(whole, lives)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWAPPED)
def test_killed_at_random_moments_again_and_again(tmp_path, name):
    whole, lives = lives_of(tmp_path, SWAPPED[name], how="at random", times=12, rows=20_000)
    assert len(lives) == 12
    folders_swapped(whole, lives)
    ends_alike(whole, lives)


@pytest.mark.slow
@pytest.mark.parametrize("name", ADDED)
def test_killed_at_random_moments_while_files_are_added_to_a_folder(tmp_path, name):
    whole, lives = lives_of(tmp_path, ADDED[name], how="at random", times=12, rows=20_000)
    files_added(whole, lives)
    ends_alike(whole, lives)


@pytest.mark.parametrize("name", ["folder overwritten", "folder appended to"])
def test_a_commit_that_was_killed_is_completed_by_another_job_too(tmp_path, name):
    """The rows of a job that had begun to show them are never lost to one that comes later."""
    plan = (SWAPPED | ADDED)[name]
    _, lives = lives_of(tmp_path, plan, how="each call", next=True)
    assert {life["then"] for life in lives} <= {"before", "after"}
    begun = [life["then"] for life in lives]
    # Once the commit has begun, every later moment ends with all rows there.
    assert begun == sorted(begun, reverse=True)
    assert {*begun} == {"before", "after"}
