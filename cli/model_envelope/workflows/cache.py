"""Lists the clean rooms in the user's cache, and removes those that are old, too many, or all."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from model_envelope.dependencies.room_cache import CachedRoom, list_rooms, remove_room, rooms_folder
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.sizes import read_size

__all__ = ["CacheResult", "CachedRoom", "cache"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class CacheResult:
    """What the cache holds now, the room that was used last first, and what was removed from it.

    ``size`` counts the bytes of the rooms that are left, ``freed`` those of the removed ones. ``kept_in_use`` are rooms
    that should have gone, but some process uses them.
    """

    folder: Path
    rooms: tuple[CachedRoom, ...]
    size: int
    removed: tuple[CachedRoom, ...] = ()
    freed: int = 0
    kept_in_use: tuple[CachedRoom, ...] = ()


def cache(*, older_than: str | None = None, max_size: str | None = None, clear: bool = False) -> CacheResult:
    """List the rooms, and remove some where that is asked for.

    ``older_than`` (``7d``, ``12h``) removes what was not used for that long, ``max_size`` (``5GB``) what was not used
    for longest until the rest fits, ``clear`` everything; each of them removes what ended processes left behind. A room
    that some process uses now always stays.

    Raises :class:`InvalidInput` (``cache.age``, ``cache.size``) for what cannot be read.
    """
    seconds = None if older_than is None else _read_age(older_than)
    size = None if max_size is None else read_size(max_size, "the size to keep", code="cache.size")
    rooms = list_rooms()
    unwanted = _unwanted(rooms, time.time(), seconds, size, clear=clear)
    removed = tuple(room for room in unwanted if not room.in_use and remove_room(room))
    gone = {room.name for room in removed}
    left = tuple(room for room in rooms if room.name not in gone)
    return CacheResult(
        folder=rooms_folder(),
        rooms=left,
        size=sum(room.size for room in left),
        removed=removed,
        freed=sum(room.size for room in removed),
        kept_in_use=tuple(room for room in unwanted if room.name not in gone),
    )


def _unwanted(
    rooms: tuple[CachedRoom, ...], now: float, seconds: float | None, size: int | None, *, clear: bool
) -> list[CachedRoom]:
    if clear:
        return list(rooms)
    if seconds is None and size is None:
        return []
    found, total = [], 0
    for room in rooms:
        too_old = seconds is not None and now - room.last_used > seconds
        too_large = size is not None and total + room.size > size
        if too_old or too_large or not room.finished:
            found.append(room)
        else:
            total += room.size
    return found


def _read_age(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if not found:
        raise InvalidInput(f"`{text}` is no length of time", code="cache.age", hint="write it as `30d`, `12h` or `2w`")
    return float(found[1]) * _UNITS[found[2]]
