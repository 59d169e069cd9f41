"""Takes what a lock names out of folders: for builds without a network, and where only this machine has them."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform
from model_envelope.runtime.errors import Problem
from model_envelope.targets.merging import counts, surroundings

_NEWEST_GLIBC = 50
_DOWNLOADED = tuple(f"manylinux_2_{minor}" for minor in (34, 28, 27, 26, 24, 17))


@dataclass
class _Found:
    """What folders hold of one distribution of a lock, by what it is worth to an image."""

    fitting: list[Path] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    other_platforms: list[Path] = field(default_factory=list)
    other_files: list[Path] = field(default_factory=list)


def pick(lock: Lock, folders: Sequence[Path], *, python: str, platform: Platform) -> list[Path]:
    """Give the files in folders that a lock names, for an image of a Python (``3.11``) and platform.

    Only files whose hashes the lock has are given, and of a distribution without a fitting wheel its source archive.
    """
    found = _look(lock, folders, python, platform)
    return [path for item in found.values() for path in item.fitting or item.sources]


def pick_all(lock: Lock, folders: Sequence[Path], *, python: str, platform: Platform) -> list[Path]:
    """Give the files of all that a lock names; the first of the folders is the one that the user named.

    Raises :class:`InvalidInput` (``build.wheelhouse``) with everything that is missing, and how to get it.
    """
    found = _look(lock, folders, python, platform)
    if lacking := {pin: item for pin, item in found.items() if not item.fitting}:
        raise InvalidInput(
            f"{folders[0]} lacks {len(lacking)} of the {len(found)} packages of the image",
            code="build.wheelhouse",
            problems=[_problem(pin, item, python, platform) for pin, item in lacking.items()],
            hint=f"where there is a network: `{download_command(lacking, folders[0], python, platform)}`",
        )
    return [path for item in found.values() for path in item.fitting]


def download_command(pins: Iterable[Pin], into: Path, python: str, platform: Platform) -> str:
    """Give the command that downloads wheels for an image."""
    machine = platform.tag.rpartition("-")[2]
    words = ["pip", "download", "--dest", str(into), "--no-deps", "--only-binary", ":all:"]
    words += ["--implementation", "cp", "--python-version", python]
    words += [word for tag in (*_DOWNLOADED, "manylinux2014", "linux") for word in ("--platform", f"{tag}_{machine}")]
    return shlex.join([*words, *(f"{pin.name} @ {pin.source}" if pin.source else _title(pin) for pin in pins)])


def _look(lock: Lock, folders: Sequence[Path], python: str, platform: Platform) -> dict[Pin, _Found]:
    around = {**surroundings(python), "platform_machine": platform.tag.rpartition("-")[2]}
    pins = {pin.name: pin for pin in lock.pins if counts(pin.marker, around)}
    found = {pin: _Found() for pin in pins.values()}
    tags = frozenset(_tags(python, platform))
    for path in _files(folders, pins):
        try:
            name, version, fits, is_wheel = _told_by(path.name, tags)
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
            continue
        pin = pins.get(name)
        if pin is None or (pin.version and pin.version != version):
            continue
        item = found[pin]
        if not _is_locked(path, pin):
            item.other_files.append(path)
        elif not is_wheel:
            item.sources.append(path)
        else:
            (item.fitting if fits else item.other_platforms).append(path)
    return found


def _files(folders: Sequence[Path], names: Iterable[str]) -> Iterator[Path]:
    """Give the files in folders, and in those of an index that is a folder: one for each distribution."""
    for folder in folders:
        for place in (folder, *(folder / name for name in names)):
            if place.is_dir():
                yield from (path for path in sorted(place.iterdir()) if path.is_file())


def _told_by(name: str, tags: frozenset[Tag]) -> tuple[str, str, bool, bool]:
    """Give name, version, whether it fits and whether it is a wheel, by the name of a file."""
    if name.endswith(".whl"):
        distribution, version, _, own = parse_wheel_filename(name)
        return distribution, str(version), bool(own & tags), True
    distribution, version = parse_sdist_filename(name)
    return canonicalize_name(distribution), str(version), False, False


def _tags(python: str, platform: Platform) -> Iterator[Tag]:
    """Give the tags of wheels that may fit; that one is for a newer glibc than the base has is told by the build."""
    machine = platform.tag.rpartition("-")[2]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, 4, -1)]
    platforms += [f"{kind}_{machine}" for kind in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
    version = tuple(int(part) for part in python.split("."))
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, f"cp{''.join(python.split('.'))}", platforms)


def _is_locked(path: Path, pin: Pin) -> bool:
    with path.open("rb") as file:
        for kind in sorted({value.partition(":")[0] for value in pin.hashes}):
            file.seek(0)
            if f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}" in pin.hashes:
                return True
    return False


def _problem(pin: Pin, item: _Found, python: str, platform: Platform) -> Problem:
    expected = f"a wheel for Python {python} on {platform} with a hash of the lock"
    if item.sources:
        expected = f"a wheel for Python {python} on {platform}: nothing can be built without a network"
        return Problem(_title(pin), item.sources[0].name, expected, "wheelhouse.source")
    if item.other_platforms:
        names = ", ".join(sorted(path.name for path in item.other_platforms))
        return Problem(_title(pin), f"{names}, for another platform", expected, "wheelhouse.platform")
    if item.other_files:
        names = ", ".join(sorted(path.name for path in item.other_files))
        return Problem(_title(pin), f"{names}, which is another file than was locked", expected, "wheelhouse.hash")
    return Problem(_title(pin), "nothing", expected, "wheelhouse.missing")


def _title(pin: Pin) -> str:
    return f"{pin.name}=={pin.version}" if pin.version else pin.name
