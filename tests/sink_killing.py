"""Runs jobs that are killed (SIGKILL), for the tests of sinks: a program, which forks a job for each life that it has.

``python sink_killing.py PLAN`` reads a JSON plan, and writes what the world saw after each life as JSON lines::

    {"url": ..., "mode": ..., "partition_by": [...], "mounted": bool, "before": [...], "root": FOLDER, "rows": N,
     "lives": [["call", 17], ["after", 0.03], ["to the end"]]}

A life ends before the so-many-eth call that changes the disk, after so many seconds, or of itself.
"""

import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import pyarrow as pa

from model_envelope.scoring.location import read_location
from model_envelope.scoring.sinks import formats, open_sink
from model_envelope.scoring.tables import CannotWrite, Part, Run

PARTS = 3
CALLS = ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir", "ftruncate")


def rows_of(part, count):
    chance = random.Random(part)
    ids = range(part * count, part * count + count)
    return pa.table({"id": ids, "group": [f"g{at % 2}" for at in ids], "score": [chance.random() for _ in ids]})


def job(plan, root, identity="job", parts=PARTS, mode=None):
    """Run a whole job; that of the output before has other rows."""
    table = rows_of(0, 1)
    location = read_location(plan["url"].format(root=root))
    sink = open_sink(location, partition_by=tuple(plan.get("partition_by", ())))
    try:
        done = sink.open(Run(identity, str(os.getpid()), parts), table.schema, mode or plan["mode"])
        for part in set(range(parts)) - done:
            with sink.part(Part(part, "")) as writer:
                for batch in rows_of(part + (identity != "job") * 50, plan["rows"]).to_batches(max_chunksize=1000):
                    writer.write(batch)
        sink.commit()
    finally:
        sink.close()


def kill_at(number):
    """Kill this process before its so-many-eth call that changes the disk."""
    count = itertools.count(1)

    def counted(function):
        def call(*arguments, **named):
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    write, in_files = formats.HashedFile.write, counted(formats.HashedFile.write)

    def beginning(file, data):
        # The rest of a file is like its beginning.
        return (in_files if file.size < 100 else write)(file, data)

    formats.HashedFile.write = beginning


def live(plan, root, life):
    """Live one life in a process of its own; tell whether it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if plan.get("mounted"):
                os.path.ismount = lambda path: str(path) == f"{root}/out"
            if life[0] == "call":
                kill_at(life[1])
            job(plan, root)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    if life[0] == "after":
        time.sleep(life[1])
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("the job failed")
    return os.WIFSIGNALED(status)


def seen(root, *, hidden=False):
    """Give the sha256 of all files that readers see; with those that are hidden or say who wrote what, if asked."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and (hidden or not any(part[0] in "._" for part in name.split("/"))):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def then(plan, root, before, after):
    """Tell what another job, which is refused because the output is there, finds there."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            job(plan, root, identity="another", mode="error")
        except CannotWrite as error:
            code = 0 if error.code == "output.exists" else 1
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the output was not there for another job"
    found = seen(root)
    return "before" if found == before else "after" if found == after else f"half: {found}"


def prepared(plan, root):
    """Make a folder with what is there before the job, which is written once."""
    first = root.with_name("first")
    if not first.exists():
        (first / "root").mkdir(parents=True)
        if plan.get("before"):
            job(plan, first / "root", identity="before", parts=2, mode="error")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(first / "root", root)
    return root


def main(path):
    plan = json.loads(Path(path).read_text())
    top = Path(plan["root"])
    root = prepared(plan, top / "whole")
    tell = {"before": seen(root)}
    began = time.perf_counter()
    assert not live(plan, root, ["to the end"])
    duration = time.perf_counter() - began
    tell |= {"after": seen(root), "all": seen(root, hidden=True)}
    print(json.dumps(tell), flush=True)
    chance = random.Random(plan["seed"])
    for number in itertools.count(1):
        root = prepared(plan, top / "killed")
        killed = 0
        states = []
        if plan.get("next"):
            killed = live(plan, root, ["call", number])
            print(json.dumps({"then": then(plan, root, tell["before"], tell["after"])}), flush=True)
            if not killed:
                break
            continue
        if plan["how"] == "each call":
            lives = [["call", number], *([["call", chance.randint(1, 40)]] * (chance.random() < 0.4))]
        else:
            lives = [["after", chance.uniform(0, duration * 1.1)] for _ in range(chance.randint(1, 4))]
        for life in lives:
            killed += live(plan, root, life)
            states.append(seen(root))
        assert not live(plan, root, ["to the end"])
        print(
            json.dumps({"lives": lives, "killed": killed, "states": states, "all": seen(root, hidden=True)}), flush=True
        )
        if number == plan["times"] or (plan["how"] == "each call" and not killed):
            break


if __name__ == "__main__":
    main(sys.argv[1])
