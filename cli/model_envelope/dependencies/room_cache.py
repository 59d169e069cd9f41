"""The cache that clean rooms are kept in: what is in it, whether it is still as it was made, and what may go.

::

    rooms/<name>.lock           held by whoever looks for, makes or removes the room
    rooms/<name>/complete.json  which of the folders below is the room; without it there is none
    rooms/<name>/uses.json      whose proofs it served, and when
    rooms/<name>/<making>/      the locks, environment/, inventory, and `held`, which its users lock

A folder has a name of its own each time that a room is made: programs that a killed process left behind may go on
writing into theirs, and nobody looks there.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from model_envelope.foundation.directories import cache_dir
from model_envelope.foundation.files import exclusive, json_bytes, remove_tree, write_atomic

MARKER = "complete.json"
USES = "uses.json"
INVENTORY = "inventory"
_HELD = "held"
_USES_KEPT = 20


def rooms_folder() -> Path:
    """Give the folder of all rooms."""
    return cache_dir() / "rooms"


class Hold:
    """Keeps a room from being removed by other processes, until it is released, forgotten, or this process ends."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / _HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def release(self) -> None:
        """Let it go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.release()


def is_held(folder: Path) -> bool:
    """Whether some process uses what was made in a folder."""
    try:
        file = os.open(folder / _HELD, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def read_marker(room: Path) -> Mapping[str, Any] | None:
    """Read what is noted of a finished room; None where there is none, or half of one."""
    try:
        marker = json.loads((room / MARKER).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return marker if isinstance(marker, dict) and isinstance(marker.get("folder"), str) else None


def take_inventory(folder: Path) -> tuple[bytes, int]:
    """Write down the files of an environment with size and time of change; give that, and the bytes of all.

    Bytecode is left out: Python writes it when it first imports a module, and checks it against its source. So is
    ``var``, where libraries of conda keep what they find out (fontconfig its fonts).
    """
    total, lines = 0, []
    for path, found in _files(folder):
        if path.startswith("var/"):
            continue
        size = 0 if stat.S_ISLNK(found.st_mode) else found.st_size
        total += size
        lines.append(f"{path}\t{size}\t{found.st_mtime_ns}\n")
    lines.sort()
    return "".join(lines).encode("utf-8", "surrogateescape"), total


def _files(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    folders = [(str(top), "")]
    while folders:
        folder, below = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield below + entry.name, entry.stat(follow_symlinks=False)
                elif entry.name != "__pycache__":
                    folders.append((entry.path, f"{below}{entry.name}/"))


def mark_spoilt(room: Path, files: tuple[str, ...]) -> None:
    """Note that some files of a room are not what was installed, so that it is made anew."""
    if marker := read_marker(room):
        write_atomic(room / MARKER, json_bytes({**marker, "spoilt": list(files)}))


def changed_files(room: Path, folder: Path, *, most: int = 5) -> tuple[str, ...]:
    """Name some of the files that are not as they were when the room was made: changed, gone, or new."""
    if spoilt := (read_marker(room) or {}).get("spoilt"):
        return tuple(map(str, spoilt))
    try:
        then = (folder / INVENTORY).read_bytes()
        now, _ = take_inventory(folder / "environment")
    except (FileNotFoundError, NotADirectoryError) as error:
        return (Path(error.filename).name,)
    if now == then:
        return ()
    different = set(now.splitlines()) ^ set(then.splitlines())
    names = sorted({line.split(b"\t")[0].decode("utf-8", "replace") for line in different})
    return tuple(islice(names, most)) or (INVENTORY,)


def note_use(room: Path, belongs_to: str) -> None:
    """Note that a room served somebody, and when."""
    uses = {**_uses(room), belongs_to: time.time()} if belongs_to else _uses(room)
    latest = sorted(uses, key=lambda name: uses[name])[-_USES_KEPT:]
    document = {"last": time.time(), "by": {name: uses[name] for name in latest}}
    # Whoever does this holds the room's lock, and what is cut short by a kill is read as nothing.
    (room / USES).write_bytes(json_bytes(document))


def _uses(room: Path) -> dict[str, float]:
    return dict(_read_uses(room).get("by", {}))


def _read_uses(room: Path) -> Mapping[str, Any]:
    try:
        document = json.loads((room / USES).read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) and isinstance(document.get("by", {}), dict) else {}


@dataclass(frozen=True)
class CachedRoom:
    """A room in the cache.

    ``kind`` is that of the lock that it was made from: ``pip`` or ``conda``, empty where nobody knows. ``size`` is in
    bytes, as its files count (installers may share them with their own caches); ``made`` and ``last_used`` are seconds
    since 1970. ``belongs_to`` names the envelopes that it served. One that is not ``finished`` was left by a process
    that was ended, and serves nobody.
    """

    name: str
    kind: str
    folder: Path
    size: int
    made: float
    last_used: float
    python: str
    packages: int
    belongs_to: tuple[str, ...]
    finished: bool
    in_use: bool


def list_rooms() -> tuple[CachedRoom, ...]:
    """Give all rooms of the cache, the one that was used last first."""
    folder = rooms_folder()
    names = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = [room for path in names for room in _described(path)]
    return tuple(sorted(found, key=lambda room: (-room.last_used, room.name)))


def _described(room: Path) -> Iterator[CachedRoom]:
    marker, uses = read_marker(room) or {}, _read_uses(room)
    try:
        changed = room.stat().st_mtime
        size = sum(found.st_size for _, found in _files(room) if stat.S_ISREG(found.st_mode))
        held = any(is_held(path) for path in room.iterdir() if path.is_dir())
    except FileNotFoundError:
        return  # it was removed meanwhile
    made = float(marker.get("made", changed))
    yield CachedRoom(
        name=room.name,
        kind=str(marker.get("kind", "")),
        folder=room,
        size=size,
        made=made,
        last_used=float(uses.get("last", made)),
        python=str(marker.get("interpreter", "")),
        packages=int(marker.get("packages", 0)),
        belongs_to=tuple(sorted(uses.get("by", {}))),
        finished=bool(marker),
        in_use=held,
    )


def remove_room(room: CachedRoom) -> bool:
    """Remove a room unless some process uses it or makes it anew; says whether it was removed."""
    with exclusive(room.folder.with_suffix(".lock"), wait=False) as mine:
        if not mine or any(is_held(path) for path in room.folder.glob("*/")):
            return False
        (room.folder / MARKER).unlink(missing_ok=True)
        remove_tree(room.folder)
        room.folder.with_suffix(".lock").unlink(missing_ok=True)
    return True
