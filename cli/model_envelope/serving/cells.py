"""Numbers that one process counts and others may read: doubles in mapped memory, found by a key.

Adding to a number is one assignment, with no lock and no system call, and what was added survives the process: with
several workers each has files of its own in a shared folder, and whoever is asked reads those of all. A worker holds a
lock on its file while it lives, which the system takes away whatever it died of. The numbers of the dead are put
together into one file when the next worker starts, so that the folder does not grow with every death.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_envelope.runtime.errors import EnvelopeError

Key = tuple[str, ...]
Numbers = Mapping[Key, tuple[float, ...]]

CAPACITY = 2_000_000
"""Doubles of one process. Memory and disk are taken only for those that are used."""
_SCRAP = 256
_ENDED = "ended.json"


@dataclass(frozen=True)
class Reading:
    """The numbers of one process: ``pid`` is None for those of all that have ended."""

    pid: int | None
    numbers: Numbers


class Cells:
    """The numbers of this process. One thread writes each of them; any may read.

    ``values[at(key, width) + n] += 1`` counts. ``folder`` is where those of other processes are, where there are any.

    Raises :class:`EnvelopeError` (``serve.metrics-folder``) where the folder cannot be used.
    """

    def __init__(self, folder: Path | None = None, *, capacity: int = CAPACITY) -> None:
        self.folder = folder
        self.capacity = capacity
        self._places: dict[Key, tuple[int, int]] = {}
        self._used = 0
        self._lock = threading.Lock()
        self._name = f"{os.getpid()}-{secrets.token_hex(8)}"
        size = 8 * (capacity + _SCRAP)
        if folder is None:
            memory = mmap.mmap(-1, size)
        else:
            try:
                memory = self._join(folder, size)
            except OSError as error:
                raise EnvelopeError(
                    f"the workers cannot share their metrics in {folder}: {error.strerror}",
                    code="serve.metrics-folder",
                    hint="it must be a folder that the service may write to, on a file system with locks",
                ) from None
        self.values = memoryview(memory).cast("d")

    def at(self, key: Key, width: int = 1) -> int:
        """Give where the numbers of a key are, from now on.

        Where there is no room for another key it is a place that nobody reads: what is counted must not end a request.
        """
        with self._lock:
            if key in self._places:
                return self._places[key][0]
            if self._used + width > self.capacity:
                return self.capacity
            place = self._used
            if self.folder is not None:
                os.write(self._keys, json.dumps([place, width, key]).encode() + b"\n")
            self._used += width
            self._places[key] = place, width
            return place

    def read(self) -> list[Reading]:
        """Read the numbers of this process, of the others that live, and of those that have ended."""
        own = {key: tuple(self.values[place : place + width]) for key, (place, width) in list(self._places.items())}
        if self.folder is None:
            return [Reading(os.getpid(), own)]
        with _exclusive(self.folder, shared=True):
            return [Reading(os.getpid(), own), *self._others(self.folder)]

    def _join(self, folder: Path, size: int) -> mmap.mmap:
        import fcntl

        with _exclusive(folder):
            _put_together(folder)
            # Both stay open as long as the process lives: closing them would give up the lock.
            self._keys = os.open(folder / f"{self._name}.keys", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            self._file = os.open(folder / f"{self._name}.cells", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, size)
            return mmap.mmap(self._file, size)

    def _others(self, folder: Path) -> Iterator[Reading]:
        numbers, gone = _ended(folder)
        yield Reading(None, numbers)
        for name in _names(folder):
            if name not in gone and name != self._name:
                pid = int(name.partition("-")[0]) if _lives(folder, name) else None
                yield Reading(pid, _numbers(folder, name))


def _put_together(folder: Path) -> None:
    """Add the numbers of processes that have ended to those of the ones before, and remove their files."""
    numbers, gone = _ended(folder)
    names = [name for name in _names(folder) if not _lives(folder, name)]
    for name in names:
        if name not in gone:
            numbers = added(numbers, _numbers(folder, name))
    # Whoever dies before the files are removed has said already that they count no more.
    document = {"gone": names, "numbers": [[key, values] for key, values in numbers.items()]}
    written = folder / f"{_ENDED}.new"
    written.write_text(json.dumps(document))
    written.replace(folder / _ENDED)
    for name in names:
        (folder / f"{name}.cells").unlink()
        (folder / f"{name}.keys").unlink(missing_ok=True)


def added(first: Numbers, second: Numbers) -> Numbers:
    """Add what is under the same key."""
    sums = dict(first)
    for key, values in second.items():
        before = sums.get(key)
        sums[key] = values if before is None else tuple(map(sum, zip(before, values, strict=True)))
    return sums


def _ended(folder: Path) -> tuple[Numbers, list[str]]:
    path = folder / _ENDED
    if not path.is_file():
        return {}, []
    document = json.loads(path.read_bytes())
    return {tuple(key): tuple(values) for key, values in document["numbers"]}, document["gone"]


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.cells"))


def _lives(folder: Path, name: str) -> bool:
    import fcntl

    with (folder / f"{name}.cells").open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def _numbers(folder: Path, name: str) -> Numbers:
    lines = (folder / f"{name}.keys").read_bytes().split(b"\n")[:-1]  # what has no end was cut off by its death
    places = [json.loads(line) for line in lines]
    used = max((place + width for place, width, _ in places), default=0)
    with (folder / f"{name}.cells").open("rb") as file:
        values = memoryview(file.read(8 * used)).cast("d")
        return {tuple(key): tuple(values[place : place + width]) for place, width, key in places}


@contextmanager
def _exclusive(folder: Path, *, shared: bool = False) -> Iterator[None]:
    import fcntl

    with (folder / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
