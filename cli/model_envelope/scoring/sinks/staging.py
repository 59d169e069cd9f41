"""What a job has written and not shown yet: a hidden folder beside the output, and how it becomes the output.

::

    .NAME.envelope-batch/
        lock           held while a job runs
        run.json       whose rows these are
        parts/7.json   part 7 is finished: its files with rows, bytes and sha256. Written after they are safe on disk
        staged/        the files
        commit.json    all is there and is being shown: whoever comes next completes that first, whatever its own job is
        old/           the folder that was replaced, until the new one is in its place

What was shown is noted in a record: ``_envelope_batch.json`` in a folder, ``.NAME.envelope-batch.json`` beside a file.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model_envelope.scoring.sinks.places import Local, Place
from model_envelope.scoring.tables import CannotWrite, Written

RECORD = "_envelope_batch.json"
SUFFIX = ".envelope-batch"
_VERSION = 1


def local_side(target: str) -> str:
    """Name the hidden folder of a local output: beside it, or in it where nothing can be put, or renamed, beside it."""
    above, name = posixpath.split(target)
    if Path(target).is_dir() and (os.path.ismount(target) or not os.access(above, os.W_OK)):
        return f"{target}/{SUFFIX}"
    return f"{above}/.{name}{SUFFIX}"


@dataclass(frozen=True)
class Done:
    """What one job wrote: ``key`` is the same for the same job, ``files`` are their facts by path."""

    key: str
    facts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def written(self) -> Written:
        """Tell it as a sink does."""
        return Written(
            rows=sum(item["rows"] for item in self.files.values()),
            files={name: item["sha256"] for name, item in sorted(self.files.items())},
            bytes=sum(item["bytes"] for item in self.files.values()),
        )


def intact(place: Place, folder: str, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether files are what they were when they were written."""
    return all(place.fingerprint(f"{folder}/{name}") == (item["bytes"], item["sha256"]) for name, item in files.items())


class Record:
    """Which jobs wrote an output."""

    def __init__(self, place: Place, path: str) -> None:
        self._place, self.path = place, path

    def read(self) -> list[Done]:
        """Give the jobs, the oldest first; none where the record cannot be read."""
        document = _json(self._place.read(self.path))
        try:
            return [Done(**item) for item in document.get("jobs", ())]
        except TypeError:
            return []

    @staticmethod
    def document(jobs: list[Done]) -> dict[str, Any]:
        """Give the JSON form."""
        return {"envelope_batch": _VERSION, "jobs": [asdict(job) for job in jobs]}


class Staging:
    """The hidden folder ``side`` of an output ``target``."""

    def __init__(self, place: Place, side: str, target: str) -> None:
        self._place, self.side, self.target = place, side, target
        self.files = f"{side}/staged"
        self._commit = f"{side}/commit.json"
        self._run = f"{side}/run.json"
        self._parts = f"{side}/parts"

    def owner(self) -> dict[str, Any]:
        """Tell whose rows are staged; empty for nobody's."""
        return _json(self._place.read(self._run))

    def begin(self, owner: Mapping[str, Any]) -> None:
        """Throw away what is staged, and begin anew."""
        self.clear()
        for folder in (self.side, self.files, self._parts):
            self._place.make(folder)
        self._place.write(self._run, _text(owner))

    def clear(self) -> None:
        """Throw away all but the lock: first what says that there is something."""
        for path in (self._run, self._parts, self.files, f"{self.side}/old"):
            self._place.remove(path)

    def finished(self) -> dict[int, Mapping[str, Mapping[str, Any]]]:
        """Give the files of each part that is finished and still is what was written; remove all others."""
        found: dict[int, Mapping[str, Mapping[str, Any]]] = {}
        entries = self._place.names(self._parts) if self._place.kind(self._parts) == "folder" else {}
        for name in entries:
            document = _json(self._place.read(f"{self._parts}/{name}"))
            if name.startswith(".") or "files" not in document:
                continue
            if intact(self._place, self.files, document["files"]):
                found[document["part"]] = document["files"]
            else:
                self._place.remove(f"{self._parts}/{name}")
        self.prune({name for files in found.values() for name in files})
        return found

    def finish(self, part: int, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Note that a part is finished, after its files are durable."""
        for folder in sorted({above for name in files for above in _folders(name)}, reverse=True):
            self._place.sync(posixpath.join(self.files, folder) if folder else self.files)
        self._place.write(f"{self._parts}/{part}.json", _text({"part": part, "files": files}))

    def reopen(self, part: int) -> None:
        """Forget that a part is finished."""
        self._place.remove(f"{self._parts}/{part}.json")

    def prune(self, names: set[str]) -> None:
        """Remove staged files that are none of these."""
        for name in self._place.files(self.files) if self._place.kind(self.files) == "folder" else ():
            if name not in names:
                self._place.remove(f"{self.files}/{name}")
        self._place.tidy(self.files)

    def pending(self) -> bool:
        """Tell whether something is being shown that is not complete."""
        return self._place.kind(self._commit) is not None

    def show(self, plan: Mapping[str, Any]) -> None:
        """Show what is staged as ``plan`` says: from here on it is completed, by whoever comes."""
        self._place.write(self._commit, _text(plan))
        self.complete()

    def complete(self) -> bool:
        """Complete what an earlier job began to show; False where there is nothing like that.

        Raises :class:`CannotWrite` (``output.exists``) where something else took the place of the output meanwhile.
        """
        plan = _json(self._place.read(self._commit))
        if not plan:
            return False
        if plan["how"] == "swap":
            self._swap()
        else:
            for source, target in plan["moves"]:
                if self._place.kind(f"{self.files}/{source}") is not None:
                    self._place.move(f"{self.files}/{source}", target)
            above = posixpath.dirname(self.target)
            within = {posixpath.relpath(target, above) for _, target in plan["moves"]}
            for folder in sorted({folder for name in within for folder in _folders(name)}, reverse=True):
                self._place.sync(posixpath.join(above, folder))
            for path in plan["removes"]:
                self._place.remove(path)
            self._place.write(plan["record"], _text(plan["document"]))
        self.clear()
        self._place.remove(self._commit)
        return True

    def _swap(self) -> None:
        """Put the staged folder in the place of the old one: two renames."""
        place, old = self._place, f"{self.side}/old"
        assert isinstance(place, Local)
        if place.kind(self.files) is None:
            return
        if place.kind(self.target) is not None:
            if place.kind(old) is not None:
                raise CannotWrite(
                    f"{self.target} came to be while the output was put there",
                    code="output.exists",
                    hint=f"move it away and run the job again; what was there before is in {old}",
                )
            place.rename_folder(self.target, old)
        place.rename_folder(self.files, self.target)


def _folders(name: str) -> list[str]:
    """Give the folders that a path is in, the outermost (that of the whole) as an empty text."""
    parts = posixpath.dirname(name).split("/")
    return ["", *("/".join(parts[: at + 1]) for at in range(len(parts)) if parts[0])]


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _json(content: bytes | None) -> dict[str, Any]:
    """Read a document; what was cut short is as if it were not there."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
