"""Wheels of what no index has: made again from what is installed, to travel in an envelope.

A distribution that was installed from a repository, a folder or a file (PEP 610) is put back into the wheel that it was
installed from: its files by its record, without what an installer adds. So nothing is built or fetched, the code is the
one that the model was trained with, and the same files give the same bytes anywhere.

The format is that of https://packaging.python.org/en/latest/specifications/binary-distribution-format/.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from packaging.tags import parse_tag
from packaging.utils import canonicalize_name

from model_envelope.dependencies.distribution import Distribution
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.secrets import scrub

_ADDED = frozenset(("INSTALLER", "REQUESTED", "RECORD", "RECORD.jws", "RECORD.p7s", "direct_url.json", "uv_cache.json"))
"""What installers write into the folder of metadata."""
_TIME = (1980, 1, 1, 0, 0, 0)
_PYTHON_LINE = re.compile(rb"\A#![^\n]*python[^\n]*")


def make_wheel(distribution: Distribution, into: Path) -> Path:
    """Write the wheel of an installed distribution into a folder.

    Raises :class:`InvalidInput` (``lock.no-wheel-of``) where it is not known which files belong to it, or a file of it
    is gone.
    """
    info = distribution.info
    about = _headers(info / "WHEEL")
    names = sorted(distribution.files)
    if not about.get("Tag") or not names:
        raise _cannot(distribution, "what installed it left no record of its files")
    stem = f"{canonicalize_name(distribution.name).replace('-', '_')}-{distribution.version.replace('-', '_')}"
    folder = f"{stem}.dist-info"
    scripts = _entry_points(info / "entry_points.txt")
    contents: dict[str, bytes] = {}
    for name in names:
        place = _place(name, info.name, folder, stem, scripts)
        if place is None:
            continue
        try:
            contents[place] = _as_built((distribution.location / name).read_bytes(), place)
        except OSError as error:
            raise _cannot(distribution, f"`{name}` of it cannot be read ({error.strerror})") from None
    contents[f"{folder}/WHEEL"] = _wheel_file(about)
    path = into / f"{stem}-{_joined(about['Tag'])}.whl"
    into.mkdir(parents=True, exist_ok=True)
    _write(path, contents, folder)
    return path


def unfit_tags(wheel: str, platform: Platform, python: str) -> str:
    """Give the tags of a wheel, by its name, that fits no Python of this version on a platform; empty where it fits.

    ``python`` is as ``3.12``. Whether a C library is new enough is not looked at.
    """
    tags = "-".join(wheel.removesuffix(".whl").split("-")[-3:])
    return "" if any(_fits(str(tag).split("-"), platform, python) for tag in parse_tag(tags)) else tags


def platforms_in(wheel: str) -> set[str]:
    """Give the platforms that a wheel is for, ``linux/amd64`` or as it calls them itself; ``any`` for all."""
    found = set()
    for tag in wheel.removesuffix(".whl").rpartition("-")[2].split("."):
        name = re.fullmatch(
            r"(?P<system>(?:many)?linux|macosx|win)(?:_?\d+)*?_(?P<machine>x86_64|aarch64|arm64|amd64)", tag
        )
        system = name["system"].removeprefix("many") if name else ""
        found.add(str(Platform.of(f"{system}-{name['machine']}")) if name else tag)
    return found


def _fits(tag: list[str], platform: Platform, python: str) -> bool:
    interpreter, abi, system = tag
    major, minor = (int(part) for part in python.split("."))
    found = re.fullmatch(r"(py|cp)(\d)(\d*)", interpreter)
    if found is None or int(found[2]) != major:
        return False
    wanted = int(found[3]) if found[3] else 0
    stable = abi in ("none", f"abi{major}")
    if wanted > minor or (wanted != minor and not (stable and (found[1] == "py" or abi == f"abi{major}"))):
        return False
    if system == "any":
        return True
    machine = platform.tag.rpartition("-")[2]
    names = {"linux": ("linux", "manylinux"), "macos": ("macosx",)}.get(platform.system, (platform.system,))
    return system.startswith(names) and system.endswith(
        (f"_{machine}", "_universal2" if names[0] == "macosx" else f"_{machine}")
    )


def _place(name: str, info: str, folder: str, stem: str, scripts: frozenset[str]) -> str | None:
    """Give where an installed file stands in a wheel, or None where the installer made it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if "__pycache__" in parts:
        return None
    if parts[0] == info:
        return None if parts[-1] in _ADDED or parts[1] == "WHEEL" else "/".join((folder, *parts[1:]))
    if parts[0] != "..":
        return "/".join(parts)
    outside = [part for part in parts if part != ".."]
    if outside[0] in ("bin", "Scripts"):
        return None if outside[-1].removesuffix(".exe") in scripts else f"{stem}.data/scripts/{'/'.join(outside[1:])}"
    if outside[0] == "include":
        # include/site/python3.11/NAME/...
        inside = outside[4:] if outside[1:2] == ["site"] else outside[3:]
        return f"{stem}.data/headers/{'/'.join(inside)}" if inside else None
    return f"{stem}.data/data/{'/'.join(outside)}"


def _as_built(content: bytes, place: str) -> bytes:
    """Take the path of an interpreter out of a script: an installer puts that of its own there."""
    return _PYTHON_LINE.sub(b"#!python", content, count=1) if ".data/scripts/" in place else content


def _entry_points(path: Path) -> frozenset[str]:
    """Give the programs that an installer makes from entry points."""
    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        parser.read_string(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return frozenset()
    sections = [name for name in ("console_scripts", "gui_scripts") if parser.has_section(name)]
    return frozenset(option for section in sections for option in parser.options(section))


def _headers(path: Path) -> dict[str, list[str]]:
    """Read a file of headers, all values of each; nothing where there is none."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), []).append(value.strip())
    return found


def _wheel_file(about: Mapping[str, list[str]]) -> bytes:
    pure = about.get("Root-Is-Purelib", ["true"])[0]
    lines = ["Wheel-Version: 1.0", "Generator: model-envelope", f"Root-Is-Purelib: {pure}"]
    return "".join(f"{line}\n" for line in [*lines, *(f"Tag: {tag}" for tag in sorted(about["Tag"]))]).encode()


def _joined(tags: list[str]) -> str:
    """Write tags as the name of a wheel does: ``cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64``."""
    return "-".join(".".join(sorted(set(part))) for part in zip(*(tag.split("-") for tag in tags), strict=True))


def _write(path: Path, contents: Mapping[str, bytes], folder: str) -> None:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for name in sorted(contents):
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest()).rstrip(b"=").decode()
        writer.writerow((name, f"sha256={digest}", len(contents[name])))
    writer.writerow((f"{folder}/RECORD", "", ""))
    # Stored, not packed: what a library for packing gives differs between its versions.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [*sorted(contents.items()), (f"{folder}/RECORD", rows.getvalue().encode())]:
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3
            entry.external_attr = (0o100755 if ".data/scripts/" in name else 0o100644) << 16
            archive.writestr(entry, content)


def _cannot(distribution: Distribution, why: str) -> InvalidInput:
    return InvalidInput(
        f"`{distribution.name} {distribution.version}` comes from {scrub(distribution.origin or '')}, which is no "
        f"index, and cannot travel in the envelope: {why}",
        code="lock.no-wheel-of",
        hint="install it again with pip or uv, or build a wheel of it (`pip wheel --no-deps ...`) and put that on an "
        "index or in a folder that pip's `find-links` names",
    )
