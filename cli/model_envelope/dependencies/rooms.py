"""Clean rooms: environments made from a lock alone, to prove that the lock is enough.

A room is kept in the user's cache under a name that its lock and its interpreter decide, so that the second proof of
the same lock starts at once. It is complete when its marker is there: what a killed process left is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.interpreter import Interpreter, describe
from model_envelope.dependencies.programs import find_uv, has_module
from model_envelope.foundation import process
from model_envelope.foundation.directories import cache_dir
from model_envelope.foundation.errors import ToolFailed, ToolMissing
from model_envelope.foundation.files import exclusive, json_bytes, remove_tree, write_atomic
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Report, Started, silent

LAYOUT = 1
"""Part of a room's name: raised when rooms are made in another way."""
MARKER = "complete.json"
TIMEOUT = 1800.0

_RUN_MODULE = (
    "import runpy, sys; count = int(sys.argv[1]); sys.path.extend(sys.argv[2:2 + count]); "
    "module = sys.argv[2 + count]; sys.argv[:] = [module, *sys.argv[3 + count:]]; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True)
class Room:
    """An environment and its interpreter. ``cached`` says that it was there before."""

    python: Path
    folder: Path
    cached: bool

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


def clean_room(lock: Lock, *, python: Path, report: Report = silent, index: IndexSettings | None = None) -> Room:
    """Give an environment that holds what a lock names, for an interpreter, and nothing else: no pip, no setuptools.

    Made with uv where it is installed, else with venv and pip; hashes are required, dependencies are not followed.
    Two processes that want the same room at once make it once.

    Raises :class:`ToolFailed` (``room.install``) where a file does not match its hash, does not fit this interpreter or
    cannot be fetched; nothing of the room stays then. Raises :class:`ToolMissing` where the interpreter is not there.
    """
    interpreter = describe(python)
    content = lock.to_bytes()
    folder = cache_dir() / "rooms" / _name(content, interpreter)
    if room := _finished(folder):
        return room
    with exclusive(folder.with_suffix(".lock")):
        if room := _finished(folder):
            return room
        count = len(lock.pins)
        report(Started("room", f"Making a clean room of {count} package{'s' if count != 1 else ''}"))
        began = time.monotonic()
        remove_tree(folder)
        try:
            folder.mkdir(parents=True)
            (folder / "requirements.lock").write_bytes(content)
            settings = IndexSettings.from_environment() if index is None else index
            room_python = _make(folder, interpreter, settings, empty=not lock.pins)
            marker = {"layout": LAYOUT, "python": str(interpreter.python), "interpreter": str(interpreter)}
            write_atomic(folder / MARKER, json_bytes(marker))
        except BaseException:
            remove_tree(folder)
            raise
        report(Done("room", f"Made a clean room of {count} packages in {time.monotonic() - began:.1f} s"))
    return Room(room_python, folder, cached=False)


def _name(content: bytes, interpreter: Interpreter) -> str:
    facts = json.dumps([LAYOUT, interpreter.version, interpreter.implementation, interpreter.platform]).encode()
    return hashlib.sha256(facts + b"\0" + content).hexdigest()[:32]


def _finished(folder: Path) -> Room | None:
    python = _python_of(folder)
    # The interpreter is a link to the one that the room was made with, and that may have been removed since.
    if not python.exists():
        return None
    try:
        json.loads((folder / MARKER).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return Room(python, folder, cached=True)


def _python_of(folder: Path) -> Path:
    return folder / "environment" / "bin" / "python"


def _make(folder: Path, interpreter: Interpreter, settings: IndexSettings, *, empty: bool) -> Path:
    target, python = folder / "environment", _python_of(folder)
    lock = folder / "requirements.lock"
    uv = find_uv()
    if uv:
        create: list[str | Path] = [uv, "venv", "--no-project", "--quiet", "--python", interpreter.python, target]
        install: list[str | Path] = [
            *(uv, "pip", "install", "--quiet", "--no-progress", "--color", "never", "--python", python),
            *settings.uv_flags(),
            *("--require-hashes", "--no-deps", "--requirement", lock),
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
            *("install", "--quiet", "--no-compile", "--require-hashes", "--no-deps", "--requirement", lock),
        ]
        # Settings that send packages elsewhere than into the room.
        elsewhere = dict.fromkeys(("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"), None)
        variables = _without_python({**elsewhere, **settings.pip_environment(), "PIP_USER": "0"})
    made = process.run(create, cwd=folder, env=variables, timeout=TIMEOUT)
    if not made.ok:
        raise process.failed(
            made,
            f"an environment of `{interpreter.python}` cannot be made",
            code="room.create",
            hint="on Debian and Ubuntu the module `venv` is a package of its own: `apt-get install python3-venv`",
        )
    if not empty:
        installed = process.run(install, cwd=folder, env=variables, timeout=TIMEOUT)
        if not installed.ok:
            raise _not_installed(installed, interpreter, settings)
    return python


def _not_installed(finished: process.Finished, interpreter: Interpreter, settings: IndexSettings) -> ToolFailed:
    said = (finished.stdout + finished.stderr).lower()
    if "hash mismatch" in said or "do not match the hashes" in said or "hashes are required" in said:
        what = "a file that the index gave does not have the hash that the lock has"
        hint = "the lock was edited, or the index gives other files than when it was made: lock again, and compare"
    elif any(word in said for word in ("error sending request", "retrying (retry", "failed to fetch", "dns error")):
        what = "the package index cannot be reached"
        hint = "check the network and pip's settings (`pip config list`); `--no-proof` packs without a clean room"
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


def _without_python(changes: dict[str, str | None] | dict[str, str]) -> dict[str, str]:
    """Give this process' variables without those that steer an interpreter or name an environment, then changed."""
    steering = {name: None for name in os.environ if name.startswith("PYTHON")}
    named = dict.fromkeys(("VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__"), None)
    return process.environment({**steering, **named, **changes})
