"""Clean rooms: environments made from a lock alone, to prove that the lock is enough.

A room is kept in the user's cache under a name that its lock and its interpreter decide, so that the second proof of
the same lock starts at once. It is complete when its marker is there: what a killed process left is made anew, and so
is a room whose files are not as they were when it was made.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.pages import addresses, fetch
from model_envelope.dependencies.programs import find_uv, has_module
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
from model_envelope.dependencies.troubles import Trouble, trouble_in, trouble_on_pages
from model_envelope.foundation import process
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.files import exclusive, json_bytes, remove_tree, write_atomic
from model_envelope.foundation.interpreter import Interpreter, describe
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Note, Report, Started, silent

__all__ = ["MARKER", "Room", "clean_room", "forget_room", "has_room", "installed_in", "spoilt"]

LAYOUT = 2
"""Part of a room's name: raised when rooms are made in another way."""
TIMEOUT = 1800.0

_RUN_MODULE = (
    "import runpy, sys; count = int(sys.argv[1]); sys.path.extend(sys.argv[2:2 + count]); "
    "module = sys.argv[2 + count]; sys.argv[:] = [module, *sys.argv[3 + count:]]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True)
class Room:
    """An environment and its interpreter. ``cached`` says that it was there before.

    As long as it is referred to, other processes of this tool do not remove it.
    """

    python: Path
    folder: Path
    cached: bool
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
        """Give the variables to start it with: those of this process without what steers another Python."""
        return _without_python({"PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])})


def clean_room(
    lock: Lock,
    *,
    python: Path,
    report: Report = silent,
    index: IndexSettings | None = None,
    belongs_to: str = "",
    check: bool = True,
) -> Room:
    """Give an environment that holds what a lock names, for an interpreter, and nothing else: no pip, no setuptools.

    Made with uv where it is installed, else with venv and pip; hashes are required, dependencies are not followed.
    Two processes that want the same room at once make it once. ``belongs_to`` names the envelope that wants it, for
    those who look at the cache. A room whose files were changed since it was made is made anew, which is reported;
    without ``check`` nobody looks.

    Raises :class:`ToolFailed` (``room.install``) where a file does not match its hash, does not fit this interpreter or
    cannot be fetched, (``room.no-space``) where the disk is full; nothing of the room stays then. Raises
    :class:`InvalidInput` (``room.cache``) where the cache cannot be written, :class:`ToolMissing` where the interpreter
    is not there.
    """
    interpreter = describe(python)
    content = lock.to_bytes()
    place = rooms_folder() / _name(content, interpreter)
    try:
        with exclusive(place.with_suffix(".lock")):
            changed: tuple[str, ...] = ()
            if folder := _finished(place):
                changed = changed_files(place, folder) if check else ()
                if not changed:
                    note_use(place, belongs_to)
                    return Room(_python_of(folder), folder, cached=True, hold=Hold(folder))
                report(Note(f"the clean room in the cache was changed ({', '.join(changed)}): it is made anew"))
            return _made(place, lock, content, interpreter, index, belongs_to, report, check=bool(changed))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(place.parent) from error
        if place.parent.is_dir() and os.access(place.parent, os.W_OK):
            raise
        raise InvalidInput(
            f"clean rooms cannot be kept in `{place.parent}`: {error.strerror}",
            code="room.cache",
            hint="name a folder that can be written with ENVELOPE_CACHE_DIR, or make that one writable",
        ) from error


def _made(
    place: Path,
    lock: Lock,
    content: bytes,
    interpreter: Interpreter,
    index: IndexSettings | None,
    belongs_to: str,
    report: Report,
    *,
    check: bool,
) -> Room:
    """Make a room; ``check`` holds what was installed against the hashes in its records as well."""
    count = len(lock.pins)
    counted = f"{count} package{'s' if count != 1 else ''}"
    report(Started("room", f"Making a clean room of {counted}"))
    began = time.monotonic()
    _clear(place)
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place, prefix=""))
    try:
        hold = Hold(folder)
        (folder / "requirements.lock").write_bytes(content)
        settings = IndexSettings.from_environment() if index is None else index
        python = _make(folder, interpreter, settings, empty=not lock.pins)
        if check and (damaged := _damaged(folder)):
            # The installer links files out of a cache of its own, and there they are not what they were either.
            report(Note(f"the installer's own cache was changed ({', '.join(damaged)}): it is not used"))
            remove_tree(folder / "environment")
            python = _make(folder, interpreter, settings, empty=not lock.pins, fresh=True)
        inventory, size = take_inventory(folder / "environment")
        write_atomic(folder / INVENTORY, inventory)
        marker = {
            "layout": LAYOUT,
            "folder": folder.name,
            "python": str(interpreter.python),
            "interpreter": str(interpreter),
            "packages": count,
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
    return Room(python, folder, cached=False, hold=hold)


def _clear(place: Path) -> None:
    """Remove what was made before, but not what some process still uses."""
    (place / MARKER).unlink(missing_ok=True)
    for folder in place.glob("*/"):
        if not is_held(folder):
            remove_tree(folder)


def has_room(lock: Lock, *, python: Path) -> bool:
    """Whether the cache has a room for a lock."""
    return _finished(_place(lock, python)) is not None


def forget_room(lock: Lock, *, python: Path) -> None:
    """Remove the room of a lock that nobody will want again, unless some process uses it."""
    place = _place(lock, python)
    with exclusive(place.with_suffix(".lock"), wait=False) as mine:
        if mine and not any(is_held(folder) for folder in place.glob("*/")):
            remove_tree(place)
            place.with_suffix(".lock").unlink(missing_ok=True)


def _place(lock: Lock, python: Path) -> Path:
    return rooms_folder() / _name(lock.to_bytes(), describe(python))


def spoilt(room: Room) -> tuple[str, ...]:
    """Name some of the files in a room that are not what their package's record says; then it is not used again.

    A file that changed without its size and time was not noticed when the room was found: this reads all of them.
    """
    damaged = _damaged(room.folder)
    if damaged:
        with exclusive(room.folder.parent.with_suffix(".lock")):
            mark_spoilt(room.folder.parent, damaged)
    return damaged


def _damaged(folder: Path, *, most: int = 5) -> tuple[str, ...]:
    distributions = installed_in(folder).distributions.values()
    # Where two have a file of one name, the last that was installed has its own there.
    claimed = Counter(path for item in distributions for path in item.files)
    changed = (path for item in distributions for path in item.changed_files() if claimed[path] == 1)
    return tuple(islice(changed, most))


def installed_in(folder: Path) -> Installed:
    """Give what is installed in the folder of a room."""
    return Installed.read([str(path) for path in sorted(folder.glob("environment/lib/*/site-packages"))])


def _name(content: bytes, interpreter: Interpreter) -> str:
    facts = json.dumps([LAYOUT, interpreter.version, interpreter.implementation, interpreter.platform]).encode()
    return hashlib.sha256(facts + b"\0" + content).hexdigest()[:32]


def _finished(place: Path) -> Path | None:
    marker = read_marker(place)
    if marker is None:
        return None
    folder = place / Path(marker["folder"]).name
    # The interpreter is a link to the one that the room was made with, and that may have been removed since.
    return folder if _python_of(folder).exists() else None


def _python_of(folder: Path) -> Path:
    return folder / "environment" / "bin" / "python"


def _make(folder: Path, interpreter: Interpreter, settings: IndexSettings, *, empty: bool, fresh: bool = False) -> Path:
    target, python = folder / "environment", _python_of(folder)
    lock = folder / "requirements.lock"
    uv = find_uv()
    if uv:
        create: list[str | Path] = [uv, "venv", "--no-project", "--quiet", "--python", interpreter.python, target]
        install: list[str | Path] = [
            *(uv, "pip", "install", "--quiet", "--no-progress", "--color", "never", "--python", python),
            *settings.uv_flags(),
            *("--require-hashes", "--no-deps", "--requirement", lock),
            *(["--no-cache"] if fresh else []),
        ]
        variables = _without_python(settings.uv_environment())
    else:
        if not has_module("pip"):
            raise ToolMissing(
                "neither `uv` nor `pip` is installed beside this tool, and a clean room needs one of them",
                code="room.no-installer",
                hint="`pip install 'model-envelope[uv]'`",
            )
        create = [interpreter.python, "-I", "-m", "venv", "--without-pip", target]
        # Compiling everything costs more than the few modules that a proof imports.
        install = [
            *(Path(sys.executable), "-m", "pip", "--python", python, "--disable-pip-version-check", "--no-input"),
            *("install", "--quiet", "--no-compile", "--require-hashes", "--no-deps"),
            *(["--no-cache-dir"] if fresh else []),
            *("--requirement", lock),
        ]
        # Settings that send packages elsewhere than into the room.
        elsewhere = dict.fromkeys(("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"), None)
        variables = _without_python({**elsewhere, **settings.pip_environment(), "PIP_USER": "0"})
    made = process.run(create, cwd=folder, env=variables, timeout=TIMEOUT)
    if not made.ok:
        if _NO_SPACE in made.stderr.lower():
            raise _no_space(folder)
        raise process.failed(
            made,
            f"an environment of `{interpreter.python}` cannot be made",
            code="room.create",
            hint="on Debian and Ubuntu the module `venv` is a package of its own: `apt-get install python3-venv`",
        )
    if not empty:
        installed = process.run(install, cwd=folder, env=variables, timeout=TIMEOUT)
        if not installed.ok:
            raise _not_installed(installed, interpreter, settings, Lock.parse(lock.read_bytes()))
    return python


def _trouble_with_index(lock: Lock, said: str, settings: IndexSettings) -> Trouble | None:
    """Ask the index about what was not found: pip calls an index that does not answer a version that is not there."""
    if "no matching distribution" not in said:
        return None
    asked = [pin.name for pin in lock.pins if f"{pin.name}==" in said]
    met = trouble_on_pages(page for name in asked for page in fetch(settings, addresses(settings, name)))
    return met[0] if met else None


def _not_installed(
    finished: process.Finished, interpreter: Interpreter, settings: IndexSettings, lock: Lock
) -> ToolFailed:
    said = (finished.stdout + finished.stderr).lower()
    if _NO_SPACE in said:
        return _no_space(rooms_folder())
    if "hash mismatch" in said or "do not match the hashes" in said or "hashes are required" in said:
        what = "a file that the index gave does not have the hash that the lock has"
        hint = "the lock was edited, or the index gives other files than when it was made: lock again, and compare"
    elif trouble := trouble_in(said) or _trouble_with_index(lock, said, settings):
        what, hint = trouble.text, trouble.hint
        if trouble.passes:
            hint += "; `--no-proof` packs without a clean room"
    elif "no wheels" in said or "no matching distribution" in said or "no solution found" in said:
        what = f"the lock names a package that has no file for {interpreter}"
        hint = "the lock was made for another interpreter or platform: lock again for this one"
    else:
        what = "its packages cannot be installed"
        hint = "the lines above are the installer's own"
    return ToolFailed(
        f"the clean room cannot be made from the lock: {what}",
        code="room.install",
        detail=settings.redact(finished.tail()),
        hint=hint,
    )


_NO_SPACE = "no space left on device"


def _no_space(folder: Path) -> ToolFailed:
    return ToolFailed(
        f"the clean room cannot be made: there is no space left for it in `{folder}`",
        code="room.no-space",
        hint="`envelope cache` lists the rooms there, and `envelope cache --older-than 7d` removes old ones; "
        "ENVELOPE_CACHE_DIR names another place",
    )


def _without_python(changes: dict[str, str | None] | dict[str, str]) -> dict[str, str]:
    """Give this process' variables without those that steer an interpreter or name an environment, then changed."""
    steering = {name: None for name in os.environ if name.startswith("PYTHON")}
    named = dict.fromkeys(("VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__"), None)
    return process.environment({**steering, **named, **changes})
