"""Clean rooms that are made once and kept: what is the same whatever kind of lock a room is made from.

A room is kept in the user's cache under a name that its lock and its interpreter decide, so that the second proof of
the same lock starts at once. It is complete when its marker is there: what a killed process left is made anew, and so
is a room whose files are not as they were when it was made.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.room_cache import (
    INVENTORY,
    MARKER,
    Hold,
    changed_files,
    is_held,
    mark_spoilt,
    note_use,
    read_marker,
    rooms_folder,
    take_inventory,
)
from model_envelope.foundation import process
from model_envelope.foundation.errors import InvalidInput, ToolFailed
from model_envelope.foundation.files import exclusive, json_bytes, remove_tree, write_atomic
from model_envelope.foundation.progress import Done, Note, Report, Started, silent

_RUN_MODULE = (
    "import runpy, sys; count = int(sys.argv[1]); sys.path.extend(sys.argv[2:2 + count]); "
    "module = sys.argv[2 + count]; sys.argv[:] = [module, *sys.argv[3 + count:]]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True)
class Recipe:
    """How one room is made, and its ``name`` in the cache.

    ``install`` makes ``environment/`` in a folder, past the installer's own cache where its second argument says so.
    ``damaged`` gives the files there that are not what was installed, by their hashes. ``kind`` (``pip``, ``conda``),
    ``interpreter`` and ``packages``, their number, are for those who look at the cache; ``how`` may name the program.
    """

    name: str
    kind: str
    interpreter: str
    packages: int
    install: Callable[[Path, bool], None] = field(repr=False)
    damaged: Callable[[Path], Iterator[str]] = field(repr=False)
    how: str = ""

    @property
    def place(self) -> Path:
        """Where the room is kept."""
        return rooms_folder() / self.name


@dataclass(frozen=True)
class Room:
    """An environment and its interpreter. ``cached`` says that it was there before.

    As long as it is referred to, other processes of this tool do not remove it.
    """

    python: Path
    folder: Path
    cached: bool
    recipe: Recipe = field(repr=False, compare=False)
    hold: Hold = field(repr=False, compare=False)

    def command(self, *args: str | Path) -> tuple[str, ...]:
        """Give the command that starts the room's Python, isolated: no user site, no PYTHONPATH, no current folder."""
        return (str(self.python), "-I", *map(str, args))

    def module_command(self, module: str, *args: str | Path, path: Sequence[Path] = ()) -> tuple[str, ...]:
        """Give the command that runs a module as ``-m`` does, with folders at the end of ``sys.path``.

        At the end, so that what is carried into the room hides nothing of what the lock installed.
        """
        return self.command("-c", _RUN_MODULE, str(len(path)), *path, module, *args)

    def environment(self) -> dict[str, str]:
        """Give the variables to start it with: those of this process without what steers another Python or conda."""
        return without_python({"PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])})


def kept_room(recipe: Recipe, *, belongs_to: str = "", check: bool = True, report: Report = silent) -> Room:
    """Give the room of a recipe: from the cache, else made now. Two processes that want it at once make it once.

    ``belongs_to`` names the envelope that wants it, for those who look at the cache. A room whose files were changed
    since it was made is made anew, which is reported; without ``check`` nobody looks.

    Raises what installing raises; nothing of the room stays then. Raises :class:`ToolFailed` (``room.no-space``) where
    the disk is full, :class:`InvalidInput` (``room.cache``) where the cache cannot be written.
    """
    place = recipe.place
    try:
        with exclusive(place.with_suffix(".lock")):
            changed: tuple[str, ...] = ()
            if folder := _finished(place):
                changed = changed_files(place, folder) if check else ()
                if not changed:
                    note_use(place, belongs_to)
                    return Room(_python_of(folder), folder, cached=True, recipe=recipe, hold=Hold(folder))
                report(Note(f"the clean room in the cache was changed ({', '.join(changed)}): it is made anew"))
            return _made(recipe, belongs_to, report, check=bool(changed))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from error
        if place.parent.is_dir() and os.access(place.parent, os.W_OK):
            raise
        raise InvalidInput(
            f"clean rooms cannot be kept in `{place.parent}`: {error.strerror}",
            code="room.cache",
            hint="name a folder that can be written with ENVELOPE_CACHE_DIR, or make that one writable",
        ) from error


def _made(recipe: Recipe, belongs_to: str, report: Report, *, check: bool) -> Room:
    """Make a room; ``check`` holds what was installed against its hashes as well."""
    place = recipe.place
    counted = f"{recipe.packages} package{'s' if recipe.packages != 1 else ''}"
    report(Started("room", f"Making a clean room of {counted}{recipe.how}"))
    began = time.monotonic()
    _clear(place)
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place, prefix=""))
    try:
        hold = Hold(folder)
        recipe.install(folder, False)
        if check and (damaged := _damaged(recipe, folder)):
            # Installers link files out of caches of their own, and there they are not what they were either.
            report(Note(f"the installer's own cache was changed ({', '.join(damaged)}): it is not used"))
            remove_tree(folder / "environment")
            recipe.install(folder, True)
        inventory, size = take_inventory(folder / "environment")
        write_atomic(folder / INVENTORY, inventory)
        marker = {
            "folder": folder.name,
            "kind": recipe.kind,
            "interpreter": recipe.interpreter,
            "packages": recipe.packages,
            "size": size,
            "made": time.time(),
        }
        write_atomic(place / MARKER, json_bytes(marker))
        note_use(place, belongs_to)
    except BaseException:
        _clear(place)
        remove_tree(folder)
        if not any(place.glob("*/")):
            remove_tree(place)
        raise
    report(Done("room", f"Made a clean room of {counted} in {time.monotonic() - began:.1f} s"))
    return Room(_python_of(folder), folder, cached=False, recipe=recipe, hold=hold)


def _clear(place: Path) -> None:
    """Remove what was made before, but not what some process still uses."""
    (place / MARKER).unlink(missing_ok=True)
    for folder in place.glob("*/"):
        if not is_held(folder):
            remove_tree(folder)


def is_kept(recipe: Recipe) -> bool:
    """Whether the cache has the room of a recipe."""
    return _finished(recipe.place) is not None


def forget(recipe: Recipe) -> None:
    """Remove a room that nobody will want again, unless some process uses it."""
    place = recipe.place
    with exclusive(place.with_suffix(".lock"), wait=False) as mine:
        if mine and not any(is_held(folder) for folder in place.glob("*/")):
            remove_tree(place)
            place.with_suffix(".lock").unlink(missing_ok=True)


def spoilt(room: Room) -> tuple[str, ...]:
    """Name some of the files in a room that are not what was installed, by their hashes; it is not used again then.

    A file that changed without its size and time was not noticed when the room was found: this reads all of them.
    """
    damaged = _damaged(room.recipe, room.folder)
    if damaged:
        with exclusive(room.folder.parent.with_suffix(".lock")):
            mark_spoilt(room.folder.parent, damaged)
    return damaged


def _damaged(recipe: Recipe, folder: Path, *, most: int = 5) -> tuple[str, ...]:
    return tuple(islice(recipe.damaged(folder), most))


def installed_in(folder: Path) -> Installed:
    """Give what is installed in the folder of a room."""
    return Installed.read([str(path) for path in sorted(folder.glob("environment/lib/*/site-packages"))])


def _finished(place: Path) -> Path | None:
    marker = read_marker(place)
    if marker is None:
        return None
    folder = place / Path(marker["folder"]).name
    # The interpreter may be a link to the one that the room was made with, and that may have been removed since.
    return folder if _python_of(folder).exists() else None


def _python_of(folder: Path) -> Path:
    return folder / "environment" / "bin" / "python"


NO_SPACE = "no space left on device"
"""What programs say where the disk is full, in lower case."""


def no_space() -> ToolFailed:
    """Give the error for a disk that is full."""
    return ToolFailed(
        f"the clean room cannot be made: there is no space left for it in `{rooms_folder()}`",
        code="room.no-space",
        hint="`envelope cache` lists the rooms there, and `envelope cache --older-than 7d` removes old ones; "
        "ENVELOPE_CACHE_DIR names another place",
    )


def without_python(changes: dict[str, str | None] | dict[str, str]) -> dict[str, str]:
    """Give this process' variables without those that steer an interpreter or name an environment, then changed."""
    steering = {name: None for name in os.environ if name.startswith(("PYTHON", "CONDA_"))}
    named = dict.fromkeys(("VIRTUAL_ENV", "__PYVENV_LAUNCHER__"), None)
    return process.environment({**steering, **named, **changes})
