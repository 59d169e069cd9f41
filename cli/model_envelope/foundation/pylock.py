"""``env/pylock.toml``: the lock once more, in the form that other tools read (PEP 751), written one way only.

It says the same as ``requirements.lock``, and for each hash the name of the file. The address of a file is the one that
the public index gives to any file of that name (https://docs.pypi.org/api/, "predictable URLs"), whatever index it was
locked from: an address of a mirror, or of an index of one's own, would make the same lock another one elsewhere. So it
is for builds with a known label (``2.13.0+cpu``), which have a public index too. What no public index can have, a
version with another local label or a wheel that travels in the envelope, is named by its path: ``wheels/`` beside this
file.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from model_envelope.foundation.accelerators import public_file
from model_envelope.foundation.errors import Answered, InvalidInput
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform
from model_envelope.runtime.errors import Problem

if TYPE_CHECKING:
    from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock

NAME = "env/pylock.toml"
WHEELS = "wheels"
"""The folder beside it, for what no index has."""
CREATED_BY = "model-envelope"
_HOST = "https://files.pythonhosted.org/packages"


def render(lock: Lock, *, python: str, platforms: Sequence[Platform], carried: Collection[str] = ()) -> bytes | None:
    """Write a lock for a Python (``3.11``) and some platforms; ``carried`` are files that travel in the envelope.

    None where a pin does not tell the names of its files: the format cannot do without. The same lock gives the same
    bytes, whichever resolver found it.
    """
    from packaging.pylock import Pylock

    if any(set(pin.hashes) != {value for value, _ in pin.files} or not pin.files for pin in lock.pins):
        return None
    document = Pylock(
        lock_version=Version("1.0"),
        environments=[Marker(platform.marker) for platform in sorted(platforms)],
        requires_python=SpecifierSet(f"=={python}.*"),
        created_by=CREATED_BY,
        packages=[_package(pin, carried) for pin in lock.pins],
    )
    document.validate()
    return _to_toml(document.to_dict())


def parse(content: bytes, *, where: str = NAME) -> Lock:
    """Read a lock in this form. Raises :class:`InvalidInput` (``lock.malformed``) where it is none."""
    from packaging.pylock import Pylock, PylockValidationError

    try:
        document: Pylock = Pylock.from_dict(tomllib.loads(content.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, PylockValidationError, RecursionError) as error:
        raise InvalidInput(
            f"`{where}` is no lock in the form of PEP 751: {error}",
            code="lock.malformed",
            hint="a lock is written by `envelope pack` or `envelope lock` and is not edited by hand",
        ) from None
    return Lock(tuple(map(_pin, document.packages)))


def read_lock(folder: Path) -> Lock:
    """Read the lock of an envelope in a folder, and hold its two forms against each other.

    Raises :class:`InvalidInput` where one of them is malformed, :class:`Answered` (``lock.forms-differ``) where they do
    not say the same.
    """
    path, other = folder / "env" / "requirements.lock", folder / NAME
    lock = Lock.parse(path.read_bytes(), where=str(path))
    if other.is_file() and (problems := _differences(lock, parse(other.read_bytes(), where=str(other)))):
        raise Answered(
            f"the two forms of the lock in {folder} do not say the same",
            code="lock.forms-differ",
            problems=problems,
            hint="one of them was edited by hand and the envelope sealed anew: get it from where it was packed, or "
            "make a new lock with `envelope lock`",
        )
    return lock


def _differences(lock: Lock, other: Lock) -> list[Problem]:
    ours, theirs = ({_identity(pin): pin for pin in each.pins} for each in (lock, other))
    problems = []
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in theirs:
            problems.append(Problem(key, "nothing in pylock.toml", "as in requirements.lock", "lock.forms-differ"))
        elif key not in ours:
            problems.append(Problem(key, "it in pylock.toml alone", "as in requirements.lock", "lock.forms-differ"))
        elif ours[key].hashes != theirs[key].hashes:
            found = f"{len(theirs[key].hashes)} hashes in pylock.toml"
            expected = f"the {len(ours[key].hashes)} of requirements.lock"
            problems.append(Problem(key, found, expected, "lock.forms-differ"))
    return problems


def _identity(pin: Pin) -> str:
    return f"{pin.name}=={pin.version}" + (f" ; {pin.marker}" if pin.marker else "")


def _package(pin: Pin, carried: Collection[str]) -> Package:
    from packaging.pylock import Package, PackageSdist, PackageWheel

    files = sorted((name, value) for value, name in pin.files)
    wheels = [
        PackageWheel(**_place(pin, name, carried), hashes=_hashes(value)) for name, value in files if _is_wheel(name)
    ]
    sdists = [
        PackageSdist(**_place(pin, name, carried), hashes=_hashes(value))
        for name, value in files
        if not _is_wheel(name)
    ]
    return Package(
        name=NormalizedName(pin.name),
        version=Version(pin.version),
        marker=Marker(pin.marker) if pin.marker else None,
        sdist=sdists[0] if sdists else None,
        wheels=wheels or None,
    )


def _place(pin: Pin, file: str, carried: Collection[str]) -> dict[str, Any]:
    if file not in carried and (address := public_file(pin.name, pin.version, file)):
        return {"url": address}
    if file in carried or Version(pin.version).local:
        return {"path": f"{WHEELS}/{file}"}
    kind = file.removesuffix(".whl").split("-")[-3] if _is_wheel(file) else "source"
    return {"url": f"{_HOST}/{kind}/{pin.name[0]}/{pin.name}/{quote(file)}"}


def _hashes(value: str) -> dict[str, str]:
    algorithm, _, digest = value.partition(":")
    return {algorithm: digest}


def _is_wheel(file: str) -> bool:
    return file.endswith(".whl")


def _pin(package: Package) -> Pin:
    files: list[PackageWheel | PackageSdist] = [*(package.wheels or ())]
    if package.sdist:
        files.append(package.sdist)
    pairs = [(f"{algorithm}:{digest}", _file_name(file)) for file in files for algorithm, digest in file.hashes.items()]
    return Pin(
        name=package.name,
        version=str(package.version or ""),
        hashes=tuple(value for value, _ in pairs),
        marker=str(package.marker or ""),
        files=tuple(pairs),
    )


def _file_name(file: PackageWheel | PackageSdist) -> str:
    return file.name or unquote((file.path or file.url or "").rpartition("/")[2])


def _to_toml(document: Mapping[str, Any]) -> bytes:
    """Write the document: tables only for the packages, whose lists of files have a line each."""
    lines = [f"{key} = {_value(value)}" for key, value in document.items() if key != "packages"]
    if not document["packages"]:
        lines.append("packages = []")
    for package in document["packages"]:
        lines += ["", "[[packages]]"]
        for key, value in package.items():
            if isinstance(value, list | tuple):
                lines += [f"{key} = [", *(f"    {_value(item)}," for item in value), "]"]
            else:
                lines.append(f"{key} = {_value(value)}")
    return "".join(f"{line}\n" for line in lines).encode()


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    # The escapes of JSON are those of TOML, which wants one more escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
