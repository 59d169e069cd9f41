"""Clean rooms of conda locks: environments made from the lock alone by whatever conda this machine has.

They stand in the cache under a name that lock and platform decide; a marker says that one is finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from model_envelope.dependencies.conda.channels import Channels, read_channels
from model_envelope.dependencies.freeze import conda_records
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_conda, find_uv
from model_envelope.foundation import process
from model_envelope.foundation.conda_lock import CondaLock, clean_address
from model_envelope.foundation.directories import cache_dir
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.files import exclusive, json_bytes, remove_tree, scratch_folder, write_atomic
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Report, Started, silent

LAYOUT = 1
"""Part of a room's name: raised when rooms are made in another way."""
LOCKFILE = "conda-lock.yml"
MARKER = "complete.json"
TIMEOUT = 3600.0


@dataclass(frozen=True)
class CondaRoom:
    """An environment and its own interpreter. ``cached`` says that it was there before."""

    python: Path
    folder: Path
    cached: bool

    def command(self, *args: str | Path) -> tuple[str, ...]:
        """Give the command that starts the room's Python, isolated: no user site, no PYTHONPATH, no current folder."""
        return (str(self.python), "-I", *map(str, args))

    def environment(self) -> dict[str, str]:
        """Give the variables to start it with: those of this process without what steers another Python or conda."""
        steering = {name: None for name in os.environ if name.startswith(("PYTHON", "CONDA_"))}
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        return process.environment({**steering, "VIRTUAL_ENV": None, "PATH": path})


def conda_room(lock: CondaLock, platform: str, *, pip: Lock | None = None, report: Report = silent) -> CondaRoom:
    """Give an environment that holds what a lock names for this machine's platform, its own Python included.

    ``pip`` is what pip installs into it (default: the lock's own pip section). Two processes that want the same room at
    once make it once.

    Raises :class:`ToolMissing` (``room.no-conda``) where this machine has no conda, :class:`InvalidInput`
    (``room.other-platform``) where the lock is not for it, and :class:`ToolFailed` (``room.install``) where a package
    cannot be fetched, is not the one that was locked, or does not end up in the room; nothing of it stays then.
    """
    check_platform(lock, platform)
    pip = lock.pip_lock(platform) if pip is None else pip
    content = lock.with_conda([platform])
    facts = json.dumps([LAYOUT, "conda", platform]).encode()
    name = hashlib.sha256(b"\0".join([facts, content, pip.to_bytes()])).hexdigest()[:32]
    folder = cache_dir() / "conda-rooms" / name
    if room := _finished(folder):
        return room
    conda = find_conda()
    if conda is None:
        raise ToolMissing(
            "there is no `micromamba`, `mamba` or `conda` on PATH to make an environment from `env/conda-lock.yml`",
            code="room.no-conda",
            hint="install micromamba (https://mamba.readthedocs.io); or name an environment of your own: `envelope "
            "verify --samples --python INTERPRETER`",
        )
    with exclusive(folder.with_suffix(".lock")):
        if room := _finished(folder):
            return room
        count = len(lock.of(platform)) + len(pip.pins)
        report(Started("room", f"Making a clean room of {count} packages with {conda.name}"))
        began = time.monotonic()
        remove_tree(folder)
        try:
            folder.mkdir(parents=True)
            (folder / LOCKFILE).write_bytes(content)
            (folder / "requirements.lock").write_bytes(pip.to_bytes())
            python = _make(conda, folder, lock, platform)
            if pip.pins:
                _install(python, folder / "requirements.lock", IndexSettings.from_environment())
            write_atomic(folder / MARKER, json_bytes({"layout": LAYOUT, "conda": str(conda), "platform": platform}))
        except BaseException:
            remove_tree(folder)
            raise
        report(Done("room", f"Made a clean room of {count} packages in {time.monotonic() - began:.1f} s"))
    return CondaRoom(python, folder, cached=False)


def check_platform(lock: CondaLock, platform: str) -> None:
    """Raise :class:`InvalidInput` (``room.other-platform``) where a lock is not for a platform."""
    if platform not in lock.platforms:
        known = ", ".join(f"`{word}`" for word in lock.platforms) or "none"
        raise InvalidInput(
            f"the conda lock is for {known}, and this machine is `{platform or 'none that conda knows'}`",
            code="room.other-platform",
            hint="lock for this platform too: `envelope lock --resolver conda-lock --platform ...`, each platform once",
        )


def _finished(folder: Path) -> CondaRoom | None:
    python = _python_of(folder)
    # The marker is written last, and an interpreter may be gone since.
    if not (folder / MARKER).is_file() or not python.exists():
        return None
    return CondaRoom(python, folder, cached=True)


def _python_of(folder: Path) -> Path:
    return folder / "environment" / "bin" / "python"


def _make(conda: Path, folder: Path, lock: CondaLock, platform: str) -> Path:
    target, channels = folder / "environment", read_channels()
    # The addresses have their credentials here, so this folder does not stay.
    with scratch_folder(prefix="envelope-room-") as scratch:
        if conda.name == "micromamba":
            source = scratch / LOCKFILE
            source.write_bytes(lock.with_conda([platform], channels.authorised))
        else:
            source = scratch / "explicit.txt"
            source.write_text(lock.explicit(platform, channels.authorised))
        made = process.run(
            [conda, "create", "--yes", "--quiet", "--prefix", target, "--file", source],
            cwd=scratch,
            env=process.environment({"CONDA_SUBDIR": platform, "CONDA_PREFIX": None, "PYTHONPATH": None}),
            timeout=TIMEOUT,
        )
    if not made.ok:
        raise _not_made(made, channels)
    _forget_credentials(target, channels)
    found = {(str(item["name"]), str(item["version"])) for item in conda_records(target) or ()}
    lacking = [f"`{item.name}` {item.version}" for item in lock.of(platform) if (item.name, item.version) not in found]
    python = _python_of(folder)
    if lacking or not python.exists():
        raise ToolFailed(
            f"the clean room cannot be made from the conda lock: `{conda.name}` left out "
            + (", ".join(lacking[:5]) or "the interpreter `bin/python`"),
            code="room.install",
            detail=made.tail(),
            hint="the lock names what has to be there: it was edited, or this conda is too old to read it",
        )
    return python


def _forget_credentials(target: Path, channels: Channels) -> None:
    """Take the credentials out of what conda noted of where the packages came from."""
    secret = [channel.rstrip("/") for channel in channels.configured if clean_address(channel) != channel.rstrip("/")]
    for path in (target / "conda-meta").glob("*") if secret else ():
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        for channel in secret:
            text = text.replace(channel, clean_address(channel))
        path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _not_made(finished: process.Finished, channels: Channels) -> ToolFailed:
    from model_envelope.foundation.secrets import scrub

    said = (finished.stdout + finished.stderr).lower()
    if any(word in said for word in ("mismatch", "checksum", "sha256", "md5sum", "hash")):
        what = "a file that a channel gave does not have the hash that the lock has"
        hint = "the lock was edited, or the channel gives other files than when it was made: lock again, and compare"
    elif any(word in said for word in ("404", "not found", "no such file", "does not exist")):
        what = "a channel has a package no more"
        hint = "what is gone from a channel may be kept by a mirror; else lock again, and prove again"
    elif any(word in said for word in ("connect", "resolve", "timed out", "http", "download", "fetch")):
        what = "a channel cannot be reached"
        hint = "check the network and conda's settings (`conda config --show-sources`)"
    else:
        what = f"`{Path(finished.command[0]).name}` " + (
            "took too long and was ended" if finished.timed_out else f"ended with {finished.returncode}"
        )
        hint = "the lines above are its own"
    return ToolFailed(
        f"the clean room cannot be made from the conda lock: {what}",
        code="room.install",
        detail=scrub(finished.tail(), channels.secrets()),
        hint=hint,
    )


def _install(python: Path, lock: Path, settings: IndexSettings) -> None:
    """Install what pip has to install, by its hashes alone: nothing is solved again."""
    uv = find_uv()
    options = ("--require-hashes", "--no-deps", "--requirement", lock)
    if uv:
        command: list[str | Path] = [uv, "pip", "install", "--quiet", "--no-progress", "--color", "never"]
        finished = process.run(
            [*command, "--python", python, *options],
            env=process.environment({"VIRTUAL_ENV": None, "CONDA_PREFIX": None, **settings.uv_environment()}),
            timeout=TIMEOUT,
        )
    else:
        command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--no-input"]
        elsewhere = dict.fromkeys(("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"), None)
        finished = process.run(
            [*command, "install", "--quiet", "--no-compile", *options],
            env=process.environment({**elsewhere, **settings.pip_environment(), "PIP_USER": "0"}),
            timeout=TIMEOUT,
        )
    if not finished.ok:
        raise ToolFailed(
            "the clean room cannot be made from the conda lock: what pip has to install cannot be installed",
            code="room.install",
            detail=settings.redact(finished.tail()),
            hint="the lines above are the installer's own; check pip's settings (`pip config list`)",
        )
