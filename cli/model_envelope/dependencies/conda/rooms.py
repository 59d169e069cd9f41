"""Clean rooms of conda locks: environments made from the lock alone by whatever conda this machine has."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from model_envelope.dependencies.conda.channels import Channels, read_channels
from model_envelope.dependencies.freeze import conda_records
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.kept_rooms import NO_SPACE, Recipe, no_space
from model_envelope.dependencies.programs import find_conda
from model_envelope.dependencies.rooms import install_locked
from model_envelope.foundation import process
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.secrets import scrub

KIND = "conda"
LAYOUT = 2
"""Part of a room's name: raised when rooms are made in another way."""
LOCKFILE = "conda-lock.yml"
TIMEOUT = 3600.0


def conda_recipe(lock: CondaLock, platform: str, *, pip: Lock | None = None) -> Recipe:
    """Say how a room is made that has what a lock names for this machine's platform, its own Python included.

    ``pip`` is what pip installs into it (default: the lock's own pip section).

    Making it raises :class:`ToolMissing` (``room.no-conda``) where this machine has no conda, :class:`ToolFailed`
    (``room.install``) where a package cannot be fetched, is not the one that was locked, or does not end up in the
    room. Raises :class:`InvalidInput` (``room.other-platform``) where the lock is not for this machine.
    """
    check_platform(lock, platform)
    wheels = lock.pip_lock(platform) if pip is None else pip
    content = lock.with_conda([platform])
    facts = json.dumps([LAYOUT, KIND, platform]).encode()
    conda = find_conda()

    def install(folder: Path, fresh: bool) -> None:
        if conda is None:
            raise _no_conda()
        (folder / LOCKFILE).write_bytes(content)
        (folder / "requirements.lock").write_bytes(wheels.to_bytes())
        _make(conda, folder, lock, platform, fresh=fresh)
        if wheels.pins:
            _install(folder, IndexSettings.from_environment(), fresh=fresh)

    return Recipe(
        name=hashlib.sha256(b"\0".join([facts, content, wheels.to_bytes()])).hexdigest()[:32],
        kind=KIND,
        interpreter=f"python {lock.python(platform)} on {platform}",
        packages=len(lock.of(platform)) + len(wheels.pins),
        install=install,
        damaged=_damaged,
        how=f" with {conda.name}" if conda else "",
    )


def _no_conda() -> ToolMissing:
    return ToolMissing(
        "there is no `micromamba`, `mamba` or `conda` on PATH to make an environment from `env/conda-lock.yml`",
        code="room.no-conda",
        hint="install micromamba (https://mamba.readthedocs.io); or name an environment of your own: `envelope "
        "verify --samples --python INTERPRETER`",
    )


def check_platform(lock: CondaLock, platform: str) -> None:
    """Raise :class:`InvalidInput` (``room.other-platform``) where a lock is not for a platform."""
    if platform not in lock.platforms:
        known = ", ".join(f"`{word}`" for word in lock.platforms) or "none"
        raise InvalidInput(
            f"the conda lock is for {known}, and this machine is `{platform or 'none that conda knows'}`",
            code="room.other-platform",
            hint="lock for this platform too: `envelope lock --resolver conda-lock --platform ...`, each platform once",
        )


def _make(conda: Path, folder: Path, lock: CondaLock, platform: str, *, fresh: bool) -> None:
    target, channels = folder / "environment", read_channels()
    # The addresses have their credentials here, so this folder does not stay.
    with scratch_folder(prefix="envelope-room-") as scratch:
        if conda.name == "micromamba":
            source = scratch / LOCKFILE
            source.write_bytes(lock.with_conda([platform], channels.authorised))
        else:
            source = scratch / "explicit.txt"
            source.write_text(lock.explicit(platform, channels.authorised))
        own_cache = {"CONDA_PKGS_DIRS": str(scratch / "packages")} if fresh else {}
        made = process.run(
            [conda, "create", "--yes", "--quiet", "--prefix", target, "--file", source],
            cwd=scratch,
            env=process.environment({"CONDA_SUBDIR": platform, "CONDA_PREFIX": None, "PYTHONPATH": None, **own_cache}),
            timeout=TIMEOUT,
        )
    if not made.ok:
        raise _not_made(made, channels)
    _forget_credentials(target)
    found = {(str(item["name"]), str(item["version"])) for item in conda_records(target) or ()}
    lacking = [f"`{item.name}` {item.version}" for item in lock.of(platform) if (item.name, item.version) not in found]
    if lacking or not (target / "bin" / "python").exists():
        raise ToolFailed(
            f"the clean room cannot be made from the conda lock: `{conda.name}` left out "
            + (", ".join(lacking[:5]) or "the interpreter `bin/python`"),
            code="room.install",
            detail=made.tail(),
            hint="the lock names what has to be there: it was edited, or this conda is too old to read it",
        )


_ACCOUNT = re.compile(r"(https?://)[^/@\s\"]*@")
_TOKEN = re.compile(r"(https?://[^/\s\"]+(?:/[^/\s\"]+)*?)/t/[^/\s\"]+(?=/)")


def _forget_credentials(target: Path) -> None:
    """Take the credentials out of what conda noted of where the packages came from, wherever it had them from."""
    for path in filter(Path.is_file, (target / "conda-meta").glob("*")):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        clean = _TOKEN.sub(r"\1", _ACCOUNT.sub(r"\1", text))
        if clean != text:
            path.write_text(clean, encoding="utf-8", errors="surrogateescape")


def _damaged(folder: Path) -> Iterator[str]:
    """Give the files that are not what conda or pip installed, as far as their records have hashes of them."""
    target = (folder / "environment").resolve()
    records = conda_records(target) or []
    of_conda = {str(path) for record in records for path in record.get("files") or ()}
    of_conda |= {path.rpartition("/")[0] for path in of_conda}
    distributions = Installed.read([str(path) for path in target.glob("lib/*/site-packages")]).distributions.values()
    by_pip = [item for item in distributions if item.info.relative_to(target).as_posix() not in of_conda]
    # What pip wrote over is pip's, and so is what it took away to upgrade in place.
    replaced = {Path(os.path.normpath(item.location / path)) for item in by_pip for path in item.files}
    upgraded = {item.key for item in by_pip}
    for record in records:
        if upgraded & set(_distributions_in(record)):
            continue
        listed = (record.get("paths_data") or {}).get("paths") or ()
        for entry in listed:
            path = str(entry.get("_path", ""))
            # What conda wrote its own place into has another hash than the file of the package.
            wanted = entry.get("sha256_in_prefix") or (None if entry.get("prefix_placeholder") else entry.get("sha256"))
            plain = entry.get("path_type") in ("hardlink", "linked_package_record", None)
            if wanted and plain and target / path not in replaced and not path.endswith(".pyc"):
                try:
                    with (target / path).open("rb") as file:
                        found = hashlib.file_digest(file, "sha256").hexdigest()
                except OSError:
                    found = ""
                if found != wanted:
                    yield path
    for item in by_pip:
        yield from item.changed_files()


def _distributions_in(record: Mapping[str, Any]) -> Iterator[str]:
    for path in record.get("files") or ():
        if found := re.search(r"/([^/-]+)-[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO)$", str(path)):
            yield canonicalize_name(found[1])


def _not_made(finished: process.Finished, channels: Channels) -> ToolFailed:
    said = (finished.stdout + finished.stderr).lower()
    if NO_SPACE in said:
        return no_space()
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


def _install(folder: Path, settings: IndexSettings, *, fresh: bool) -> None:
    """Install what pip has to install, by its hashes alone: nothing is solved again."""
    finished = install_locked(folder, settings, fresh=fresh)
    if not finished.ok:
        if NO_SPACE in (finished.stdout + finished.stderr).lower():
            raise no_space()
        raise ToolFailed(
            "the clean room cannot be made from the conda lock: what pip has to install cannot be installed",
            code="room.install",
            detail=settings.redact(finished.tail()),
            hint="the lines above are the installer's own; check pip's settings (`pip config list`)",
        )
