"""Tables as files: Parquet, CSV, JSON Lines and Arrow, one file or a folder of them, here or on an object store.

A job that was killed goes on after the last part that it had finished, but for a single file, which starts over; it
ends with the same bytes either way. A job that is done already is not done again: the same job (same envelope, method,
input, settings) finds its record beside the output, sees that the files are what it wrote, and says so, in every mode.
In mode `overwrite` it writes anew where they are not, or where other rows are there too; in mode `append` it refuses
where its files are gone or changed, since it cannot know whether their rows have been taken elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from model_envelope.scoring.location import Location
from model_envelope.scoring.sinks.formats import Style, style_of
from model_envelope.scoring.sinks.locking import LocalLock, RemoteLock
from model_envelope.scoring.sinks.parts import OneFile, PartFiles, check_partitions
from model_envelope.scoring.sinks.places import Local, open_place
from model_envelope.scoring.sinks.present import Present
from model_envelope.scoring.sinks.staging import RECORD, SUFFIX, Done, Record, Staging, intact, local_side
from model_envelope.scoring.sinks.troubles import told
from model_envelope.scoring.tables import CannotWrite, InvalidJob, Mode, Part, PartWriter, Run, Written

_log = logging.getLogger(__name__)


def open_sink(location: Location, *, partition_by: tuple[str, ...] = ()) -> FilesSink:
    """Give the sink of a file or a folder.

    Raises :class:`InvalidJob` for options (``job.option``) and partitions (``job.partition``) that it cannot have.
    """
    style = style_of(location)
    if partition_by and (style.one_file or location.format != "parquet"):
        raise InvalidJob(
            f"{location.shown} cannot be partitioned by {', '.join(partition_by)}",
            code="job.partition",
            hint="only a folder of Parquet files can; end its name with /",
        )
    return FilesSink(location, style, partition_by)


class FilesSink:
    """A file, or a folder with a file for each part."""

    def __init__(self, location: Location, style: Style, partition_by: tuple[str, ...]) -> None:
        self.name = location.shown
        self._style, self._by = style, partition_by
        self._place, self._target = open_place(location.url)
        self._lock: LocalLock | RemoteLock | None = None
        self._done: Done | None = None
        self._one: OneFile | None = None
        self._finished: dict[int, Any] = {}

    @property
    def guarantee(self) -> str:
        """Say when rows appear, and what a killed job leaves."""
        if self._style.one_file:
            how = "is renamed into place" if self._place.renames else "is copied into place, as one object,"
            return f"The file {how} when all rows are written; a job that was killed starts over."
        goes_on = "a job that was killed goes on after the last finished part."
        if self._place.renames:
            return (
                "The folder is renamed into place when all parts are written (overwrite: two renames, between which "
                "there is none; append and mount points: file by file, each whole); " + goes_on
            )
        return (
            "Files are copied into place one by one, each whole, when all parts are written, and "
            f"{RECORD} last: readers that must see all or nothing wait for it; " + goes_on
        )

    def open(self, run: Run, schema: pa.Schema, mode: Mode) -> frozenset[int]:
        """Take the output for a job."""
        if mode == "append" and self._style.one_file:
            raise InvalidJob(
                f"{self.name} is one file, and rows are appended to folders only",
                code="job.mode",
                hint="name a folder (end it with /), or use --mode overwrite",
            )
        self._run, self._mode = run, mode
        self._schema = self._style.schema(schema, run.facts)
        check_partitions(self._schema, self._by)
        self._key = self._key_of(run)
        self._owner = {"key": self._key, "appended": mode == "append"}
        with self._told():
            self._locate()
            if mode == "error" and self._place.kind(self._staging.side) is None:
                # Nothing is touched, not even for a lock, where the output is there.
                self._done = self._already()
                if self._done is None:
                    self._check_present()
            if self._done is None:
                self._take()
        return frozenset(range(run.parts)) if self._done else frozenset(self._finished)

    def part(self, part: Part) -> AbstractContextManager[PartWriter]:
        """Give what one part is written with."""
        if self._done is not None:
            return _nothing()
        return self._part_of_file(part) if self._style.one_file else self._part_of_folder(part)

    def commit(self) -> Written:
        """Let the world see all parts."""
        if self._done is None:
            missing = sorted(set(range(self._run.parts)) - self._finished.keys())
            if missing:
                raise CannotWrite(
                    f"{self.name} lacks part {missing[0]}, which was not finished",
                    code="output.incomplete",
                    hint="run the same job again",
                )
            with self._told():
                self._check_present()
                self._done = self._show_file() if self._style.one_file else self._show_folder()
        return self._done.written()

    def close(self) -> None:
        """Let go of the output."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        last = False
        try:
            with self._told():
                if self._one is not None:
                    self._one.drop()
                    self._one = None
                if not self._kept():
                    self._staging.clear()
                    last = True
        finally:
            with self._told():
                lock.release(last=last)
                if last and not self._place.renames:
                    self._place.remove(self._staging.side)

    def _told(self) -> AbstractContextManager[None]:
        return told(self.name, far=not self._place.renames)

    def _kept(self) -> bool:
        """Tell whether there is something to go on with: of this job, or of another that this one had no right to."""
        owner = self._staging.owner()
        mine = owner == self._owner
        return self._staging.pending() or (
            bool(owner) and (not mine or bool(self._finished and not self._style.one_file))
        )

    # Taking it

    def _key_of(self, run: Run) -> str:
        """Tell one job and way of writing from all others."""
        columns = [[field.name, str(field.type), field.nullable] for field in self._schema]
        what = [run.identity, run.parts, asdict(self._style), self._by, columns]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _locate(self) -> None:
        """Find where it is staged."""
        place, target = self._place, self._target
        above, name = posixpath.split(target)
        side, record = f"{above}/.{name}{SUFFIX}", f"{target}/{RECORD}"
        self._inside = False
        if self._style.one_file:
            record = f"{side}.json"
        elif isinstance(place, Local) and place.kind(target) == "folder":
            side = local_side(target)
            self._inside = side.startswith(f"{target}/")
        if place.renames and place.kind(above) != "folder":
            raise CannotWrite(
                f"{self.name} cannot be written: there is no folder {above}",
                code="output.parent",
                hint="make that folder first, or name another one",
            )
        self._staging = Staging(place, side, target)
        self._record = Record(place, record)
        self._present = Present(self.name, place, target, self._style, self._record)
        self._present.check_kind()

    def _take(self) -> None:
        """Lock it, complete what another job began to show, and find what is staged."""
        side = self._staging.side
        if isinstance(self._place, Local):
            self._lock = LocalLock(self.name, side)
        else:
            self._lock = RemoteLock(self.name, side, self._place)
        try:
            if self._staging.complete():
                _log.warning("%s: completed what an earlier job had begun to put there", self.name)
            self._done = self._already()
            if self._done is None:
                self._check_present()
                self._resume()
        except BaseException:
            self.close()
            raise

    def _resume(self) -> None:
        found = self._staging.owner()
        if found == self._owner and not self._style.one_file:
            self._finished = dict(self._staging.finished())
            return
        if found and found != self._owner:
            _log.warning("%s: another job had begun to write there and did not end; its rows are dropped", self.name)
        self._staging.begin(self._owner)

    def _already(self) -> Done | None:
        """Give what this very job wrote before, where that is still there."""
        done = next((job for job in self._record.read() if job.key == self._key), None)
        if done is None:
            return None
        whole = intact(self._place, self._base, done.files)
        if not whole and self._mode == "append":
            raise CannotWrite(
                f"this job has been appended to {self.name} before, and its files are gone or were changed since",
                code="output.changed",
                hint=f"to append it once more, take the job out of {self._record.path}",
            )
        others = (
            self._mode == "overwrite" and not self._style.one_file and set(self._present.data()) - done.files.keys()
        )
        return done if whole and not others else None

    def _check_present(self) -> None:
        inner = pa.schema([field for field in self._schema if field.name not in self._by])
        self._present.check(self._mode, inner)

    @property
    def _base(self) -> str:
        return posixpath.dirname(self._target) if self._style.one_file else self._target

    # Writing

    @contextmanager
    def _part_of_folder(self, part: Part) -> Iterator[PartWriter]:
        tail = f"-{self._key[:12]}" if self._mode == "append" else ""
        name = f"part-{part.index:05}{tail}{self._style.ending}"
        with self._told():
            self._finished.pop(part.index, None)
            self._staging.reopen(part.index)
            files = PartFiles(self._place, self._staging.files, name, self._schema, self._style, self._by)
        try:
            yield _Rows(self._told, files, self._schema)
            with self._told():
                found = files.finish()
                self._staging.finish(part.index, found)
        except BaseException:
            files.drop()
            raise
        self._finished[part.index] = found

    @contextmanager
    def _part_of_file(self, part: Part) -> Iterator[PartWriter]:
        if self._one is None:
            if self._finished:
                raise CannotWrite(
                    f"{self.name} is one file, and a part of it failed",
                    code="output.incomplete",
                    hint="run the job again",
                )
            self._one = self._begin_file()
        try:
            yield _Rows(self._told, self._one, self._schema)
        except BaseException:
            one, self._one = self._one, None
            self._finished = {-1: None}
            one.drop()
            raise
        self._finished[part.index] = None

    def _begin_file(self) -> OneFile:
        with self._told():
            path = f"{self._staging.files}/{posixpath.basename(self._target)}"
            return OneFile(self._place, path, self._schema, self._style)

    # Showing

    def _show_file(self) -> Done:
        one, self._one = self._one, None
        assert one is not None
        name = posixpath.basename(self._target)
        try:
            facts = one.finish()
        except BaseException:
            one.drop()
            self._finished = {-1: None}
            raise
        self._place.sync(self._staging.files)
        done = Done(self._key, self._facts(), {name: facts})
        self._staging.show(
            {
                "how": "move",
                "moves": [[name, self._target]],
                "removes": [],
                "record": self._record.path,
                "document": Record.document([done]),
            }
        )
        return done

    def _show_folder(self) -> Done:
        files = {name: facts for part in sorted(self._finished) for name, facts in self._finished[part].items()}
        self._staging.prune(set(files))
        if not files:
            # Partitions of no rows have no files; readers need one to know the columns.
            name = f"part-00000{self._style.ending}"
            only = OneFile(self._place, f"{self._staging.files}/{name}", self._schema, self._style)
            files[name] = only.finish()
            self._place.sync(self._staging.files)
        done = Done(self._key, self._facts(), files)
        there = self._place.kind(self._target) is not None
        before = self._record.read() if self._mode == "append" else []
        document = Record.document([*before, done])
        if self._place.renames and not self._inside and not (there and self._mode == "append"):
            self._place.write(f"{self._staging.files}/{RECORD}", json.dumps(document, indent=1).encode() + b"\n")
            self._staging.show({"how": "swap"})
            return done
        gone = [name for name in self._present.data() if name not in files] if self._mode == "overwrite" else []
        self._staging.show(
            {
                "how": "move",
                "moves": [[name, f"{self._target}/{name}"] for name in sorted(files)],
                "removes": [f"{self._target}/{name}" for name in gone],
                "record": self._record.path,
                "document": document,
            }
        )
        return done

    def _facts(self) -> dict[str, str]:
        return {key: self._run.facts[key] for key in ("envelope", "digest", "method") if key in self._run.facts}


class _Rows:
    """Takes the rows of one part."""

    def __init__(
        self, told_: Callable[[], AbstractContextManager[None]], files: OneFile | PartFiles, schema: pa.Schema
    ) -> None:
        self._told, self._files, self._schema = told_, files, schema

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        with self._told():
            self._files.write(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))


class _Dropped:
    """Takes the rows of a job that is done already: they are there."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write nothing."""


@contextmanager
def _nothing() -> Iterator[PartWriter]:
    yield _Dropped()
