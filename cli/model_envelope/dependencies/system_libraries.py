"""Libraries of the system that packages are linked with and do not carry, and the Debian packages that have them.

What a package asks the loader for stands in its own files, and so do the places where it carries libraries itself. Only
these files are read, never the folders of this machine's libraries: the same files give the same answer everywhere.
What no file says (a library opened by name) and what Debian calls it is data: ``libraries.toml``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from model_envelope.dependencies.distribution import Distribution
from model_envelope.dependencies.elf import Linkage, MalformedElf, read_linkage
from model_envelope.dependencies.graph import Package, same_version
from model_envelope.dependencies.installed import Installed
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.libraries import Libraries, Library

_ORIGIN = re.compile(r"\$ORIGIN\b|\$\{ORIGIN\}")


@dataclass(frozen=True)
class Opening:
    """Libraries that a distribution needs though no file at hand says so, and what speaks against it."""

    libraries: tuple[str, ...]
    unless_file: str = ""
    unless_installed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class KnownLibraries:
    """What is known of libraries: which are there anyway, and the Debian package of each other by its soname."""

    base: tuple[str, ...]
    host: tuple[str, ...]
    packages: Mapping[str, str]
    opens: Mapping[str, Opening] = field(default_factory=dict)
    links: Mapping[str, Opening] = field(default_factory=dict)

    def is_there(self, soname: str) -> bool:
        """Whether any image has a library, or the machine that runs it."""
        return any(fnmatchcase(soname, pattern) for pattern in (*self.base, *self.host))


@dataclass(frozen=True)
class Found:
    """The libraries; distributions whose files are not at hand (``unread``); ``broken`` files, with what is wrong."""

    libraries: Libraries
    unread: tuple[str, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Files:
    """The shared objects of a distribution: by path how each is linked and what to call it, and all their names."""

    linked: Mapping[str, Linkage]
    shown: Mapping[str, str]
    names: frozenset[str]


def find_libraries(
    packages: Sequence[Package], environments: Sequence[Installed], known: KnownLibraries | None = None
) -> Found:
    """Find what packages need of the system.

    Each is looked for in the ``environments`` in their order, at that very version. What conda installed is not looked
    at: its files are linked otherwise than those of the wheels that a lock names.
    """
    known = known or shipped_libraries()
    broken: dict[str, str] = {}
    read: dict[str, _Files] = {}
    for package in packages:
        distribution = _installed(package, environments)
        if distribution is not None and (files := _read(distribution, broken)) is not None:
            read[package.name] = files
    wanted: dict[str, set[str]] = {}
    for soname, file in _linked(packages, read, known):
        wanted.setdefault(soname, set()).add(file)
    for soname, name in _told([item.name for item in packages], read, known):
        wanted.setdefault(soname, set()).add(name)
    return Found(
        Libraries.of(Library(soname, known.packages.get(soname, ""), tuple(by)) for soname, by in wanted.items()),
        tuple(item.name for item in packages if item.name not in read),
        broken,
    )


def lacking_library(said: str) -> str | None:
    """Say how to get the library that a program said it cannot open; None where it said nothing of the kind."""
    named = re.search(r"([\w.+-]+\.so[\w.]*): cannot open shared object file", said)
    if named is None:
        return None
    package = shipped_libraries().packages.get(named[1])
    where = f": on Debian and Ubuntu `apt-get install {package}` brings it" if package else ""
    return f"the library `{named[1]}` of the system is missing{where}"


def _installed(package: Package, environments: Sequence[Installed]) -> Distribution | None:
    for environment in environments:
        found = environment.distributions.get(package.name)
        if found is not None and same_version(found.version, package.version):
            return found
    return None


def _read(distribution: Distribution, broken: dict[str, str]) -> _Files | None:
    """Read the files of a distribution; None where none of them is what Linux would load."""
    if distribution.installer == "conda":
        return None
    linked: dict[str, Linkage] = {}
    shown: dict[str, str] = {}
    names = set()
    foreign = 0
    for name in distribution.shared_objects:
        path = os.path.normpath(distribution.location / name)
        try:
            linkage = read_linkage(Path(path))
        except MalformedElf as error:
            broken[name] = str(error)
            continue
        except OSError as error:
            broken[name] = error.strerror or str(error)
            continue
        if linkage is None:
            foreign += 1
            continue
        linked[path], shown[path] = linkage, name
        names |= {path.rpartition("/")[2], linkage.soname}
    return None if foreign and not linked else _Files(linked, shown, frozenset(names))


def _linked(
    packages: Sequence[Package], read: Mapping[str, _Files], known: KnownLibraries
) -> Iterator[tuple[str, str]]:
    """Give each library that a file is linked with and that no package carries for it, with the file."""
    places = {path for files in read.values() for path in files.linked}
    everywhere = frozenset(name for files in read.values() for name in files.names)
    requires = {item.name: item.requires or () for item in packages}
    for package, files in read.items():
        beside = frozenset(name for other in _reached(package, requires) if other in read for name in read[other].names)
        for path, linkage in files.linked.items():
            for soname in (name.rpartition("/")[2] for name in linkage.needed):
                if soname in beside or known.is_there(soname) or _on_its_way(soname, path, linkage, places):
                    continue
                # One that Debian does not have and some package carries is loaded by whoever imports that one first.
                if soname in known.packages or soname not in everywhere:
                    yield soname, files.shown[path]


def _reached(package: str, requires: Mapping[str, Sequence[str]]) -> set[str]:
    """Give a package and all that it requires: what they carry is loaded before it, or found beside it."""
    found: set[str] = set()
    queue = [package]
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue.extend(requires.get(name, ()))
    return found


def _on_its_way(soname: str, path: str, linkage: Linkage, places: Collection[str]) -> bool:
    """Whether a file finds a library where it says itself that it looks. Folders of this machine do not count."""
    folder = path.rpartition("/")[0]
    return any(
        os.path.normpath(f"{_ORIGIN.sub(lambda _: folder, entry)}/{soname}") in places
        for entry in linkage.search
        if _ORIGIN.match(entry)
    )


def _told(names: Sequence[str], read: Mapping[str, _Files], known: KnownLibraries) -> Iterator[tuple[str, str]]:
    """Give what is known of distributions and stands in no file that was read, with the distribution."""
    for name in names:
        for opening in (known.opens.get(name), None if name in read else known.links.get(name)):
            if opening is None or opening.unless_installed & set(names):
                continue
            files = read[name].names if name in read else frozenset[str]()
            if not (opening.unless_file and any(fnmatchcase(file, opening.unless_file) for file in files)):
                yield from ((soname, name) for soname in opening.libraries)


@cache
def shipped_libraries() -> KnownLibraries:
    """Give what comes with this tool."""
    path = Path(__file__).with_name("libraries.toml")
    return read_known(path.read_bytes(), where=path.name)


def read_known(content: bytes, *, where: str) -> KnownLibraries:
    """Read what is known from TOML.

    Raises :class:`InvalidInput` (``libraries.malformed``) naming the entry that makes no sense.
    """
    try:
        document = tomllib.loads(content.decode())
        packages = {Library(soname, package, ()).soname: package for soname, package in document["packages"].items()}
        opens, links = (
            {
                str(canonicalize_name(entry["distribution"])): _opening(entry, packages)
                for entry in document.get(part, ())
            }
            for part in ("opens", "links")
        )
        return KnownLibraries(tuple(document["base"]), tuple(document["host"]), packages, opens, links)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"`{where}` cannot be understood: {error}",
            code="libraries.malformed",
            hint="expected `base`, `host`, a table [packages], and lists [[opens]] and [[links]] of a `distribution` "
            "and its `libraries`, each of which [packages] has",
        ) from None


def _opening(entry: Mapping[str, Any], packages: Mapping[str, str]) -> Opening:
    for soname in entry["libraries"]:
        packages[soname]
    return Opening(
        tuple(entry["libraries"]),
        entry.get("unless_file", ""),
        frozenset(canonicalize_name(name) for name in entry.get("unless_installed", ())),
    )
