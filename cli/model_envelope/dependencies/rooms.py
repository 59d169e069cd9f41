"""Clean rooms: environments made from a lock alone, to prove that the lock is enough."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from model_envelope.dependencies.builds import with_published
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.kept_rooms import (
    NO_SPACE,
    Recipe,
    Room,
    installed_in,
    kept_room,
    no_space,
    without_python,
)
from model_envelope.dependencies.pages import addresses, fetch, trouble_on_pages
from model_envelope.dependencies.programs import find_uv, has_module
from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolFailed, ToolMissing
from model_envelope.foundation.interpreter import Interpreter, describe
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Report, silent
from model_envelope.foundation.troubles import Trouble, trouble_in

__all__ = ["Room", "clean_room", "install_locked", "installed_in", "pip_recipe"]

KIND = "pip"
LAYOUT = 2
"""Part of a room's name: raised when rooms are made in another way."""
TIMEOUT = 1800.0


def clean_room(
    lock: Lock,
    *,
    python: Path,
    report: Report = silent,
    index: IndexSettings | None = None,
    belongs_to: str = "",
    check: bool = True,
) -> Room:
    """Give the room of :func:`pip_recipe`; the rest is as in :func:`kept_room`."""
    return kept_room(pip_recipe(lock, python=python, index=index), belongs_to=belongs_to, check=check, report=report)


def pip_recipe(lock: Lock, *, python: Path, index: IndexSettings | None = None) -> Recipe:
    """Say how a room is made that has what a lock names, for an interpreter, and nothing else: no pip, no setuptools.

    Made with uv where it is installed, else with venv and pip; hashes are required, dependencies are not followed.
    ``index`` says where packages come from (default: as pip's settings on this machine have it).

    Making it raises :class:`ToolFailed` (``room.install``) where a file does not match its hash, does not fit this
    interpreter or cannot be fetched. Raises :class:`ToolMissing` where the interpreter is not there.
    """
    interpreter, content = describe(python), lock.to_bytes()
    facts = json.dumps([LAYOUT, interpreter.version, interpreter.implementation, interpreter.platform]).encode()

    def install(folder: Path, fresh: bool) -> None:
        (folder / "requirements.lock").write_bytes(content)
        settings = with_published(IndexSettings.from_environment() if index is None else index, lock.versions())
        _make(folder, interpreter, settings, empty=not lock.pins, fresh=fresh)

    return Recipe(
        name=hashlib.sha256(facts + b"\0" + content).hexdigest()[:32],
        kind=KIND,
        interpreter=str(interpreter),
        packages=len(lock.pins),
        install=install,
        damaged=_damaged,
    )


def _damaged(folder: Path) -> Iterator[str]:
    distributions = installed_in(folder).distributions.values()
    # Where two have a file of one name, the last that was installed has its own there.
    claimed = Counter(path for item in distributions for path in item.files)
    return (path for item in distributions for path in item.changed_files() if claimed[path] == 1)


def _make(folder: Path, interpreter: Interpreter, settings: IndexSettings, *, empty: bool, fresh: bool) -> None:
    target = folder / "environment"
    uv = find_uv()
    create: list[str | Path] = (
        [uv, "venv", "--no-project", "--quiet", "--python", interpreter.python, target]
        if uv
        else [interpreter.python, "-I", "-m", "venv", "--without-pip", target]
    )
    made = process.run(create, cwd=folder, env=without_python({}), timeout=TIMEOUT)
    if not made.ok:
        if NO_SPACE in made.stderr.lower():
            raise no_space()
        raise process.failed(
            made,
            f"an environment of `{interpreter.python}` cannot be made",
            code="room.create",
            hint="on Debian and Ubuntu the module `venv` is a package of its own: `apt-get install python3-venv`",
        )
    if not empty:
        installed = install_locked(folder, settings, fresh=fresh)
        if not installed.ok:
            lock = Lock.parse((folder / "requirements.lock").read_bytes())
            raise _not_installed(installed, interpreter, settings, lock)


def install_locked(folder: Path, settings: IndexSettings, *, fresh: bool) -> process.Finished:
    """Install ``requirements.lock`` of a room's folder into its ``environment``, by hashes alone, with uv or pip.

    ``fresh`` passes the installer's own cache by. Raises :class:`ToolMissing` (``room.no-installer``).
    """
    python, lock = folder / "environment" / "bin" / "python", folder / "requirements.lock"
    options = ("--require-hashes", "--no-deps", "--requirement", lock)
    uv = find_uv()
    if uv:
        install: list[str | Path] = [
            *(uv, "pip", "install", "--quiet", "--no-progress", "--color", "never", "--python", python),
            *settings.uv_flags(),
            *(["--no-cache"] if fresh else []),
        ]
        variables = without_python(settings.uv_environment())
    else:
        if not has_module("pip"):
            raise ToolMissing(
                "neither `uv` nor `pip` is installed beside this tool, and a clean room needs one of them",
                code="room.no-installer",
                hint="`pip install 'model-envelope[uv]'`",
            )
        # Compiling everything costs more than the few modules that a proof imports.
        install = [
            *(Path(sys.executable), "-m", "pip", "--python", python, "--disable-pip-version-check", "--no-input"),
            *("install", "--quiet", "--no-compile"),
            *(["--no-cache-dir"] if fresh else []),
        ]
        # Settings that send packages elsewhere than into the room.
        elsewhere = dict.fromkeys(("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"), None)
        variables = without_python({**elsewhere, **settings.pip_environment(), "PIP_USER": "0"})
    return process.run([*install, *options], cwd=folder, env=variables, timeout=TIMEOUT)


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
    if NO_SPACE in said:
        return no_space()
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
