"""One installed distribution, read from its metadata on disk.

Reading is lazy: name and version at once, requirements and lists of files only where they are asked for. The files are
those of the core metadata and of the record of installed distributions
(https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

_INSTALLED_FOLDERS = ("site-packages", "dist-packages")
_MODULE_SUFFIXES = (".py", ".so", ".pyd")
_SHARED_OBJECT = re.compile(r"\.so(?:\.[0-9][0-9A-Za-z.]*)?$")
_TOP_LEVEL = re.compile(rb'^"?([^/,"\r\n]+)(?=[/,"\r\n])', re.MULTILINE)
_METADATA_FOLDER = re.compile(r"[^/]+\.(?:dist|egg)-info(?:/|$)")
_NAME = re.compile(rb"^Name:[ \t]*(\S+)", re.MULTILINE)
_VERSION = re.compile(rb"^Version:[ \t]*(\S+)", re.MULTILINE)

DEBIAN_LISTS = Path("/var/lib/dpkg/info")
"""Where Debian and its kin keep the files of what they installed."""


@dataclass(frozen=True)
class Distribution:
    """One installed distribution. ``location`` is the folder that it is installed in, ``info`` that of its metadata."""

    name: str
    version: str
    location: Path
    info: Path

    @property
    def key(self) -> str:
        """The canonical name (PEP 503)."""
        return canonicalize_name(self.name)

    @cached_property
    def requires(self) -> tuple[str, ...]:
        """What it requires, as its metadata says it, extras and markers included."""
        for name in ("METADATA", "PKG-INFO"):
            if (content := _text(self.info / name)) is not None:
                head = content.replace("\r\n", "\n").partition("\n\n")[0]
                return tuple(re.findall(r"^Requires-Dist:[ \t]*(.+?)[ \t]*$", head, re.MULTILINE))
        return ()

    @cached_property
    def licence(self) -> str | None:
        """The licence that its metadata names: as an expression (PEP 639), by classifiers, or in words of its own."""
        for name in ("METADATA", "PKG-INFO"):
            if (content := _text(self.info / name)) is not None:
                head = content.replace("\r\n", "\n").partition("\n\n")[0]
                expression = re.search(r"^License-Expression:[ \t]*(.+?)[ \t]*$", head, re.MULTILINE)
                classified = re.findall(r"^Classifier:[ \t]*License ::[ \t]*(.+?)[ \t]*$", head, re.MULTILINE)
                words = re.search(r"^License:[ \t]*(.+?)[ \t]*$", head, re.MULTILINE)
                if expression:
                    return expression[1]
                if classified:
                    return " AND ".join(line.rpartition("::")[2].strip() for line in classified)
                return words[1][:100] if words and words[1] != "UNKNOWN" else None
        return None

    @cached_property
    def direct_url(self) -> Mapping[str, Any] | None:
        """Where it came from if not from an index (PEP 610), as ``direct_url.json`` says it."""
        content = _text(self.info / "direct_url.json")
        if content is None:
            return None
        try:
            document = json.loads(content)
        except ValueError:
            return None
        return document if isinstance(document, dict) and isinstance(document.get("url"), str) else None

    @property
    def origin(self) -> str | None:
        """The address that it was installed from, where that is no index: ``git+https://...``, ``file:///...``."""
        if not self.direct_url:
            return None
        vcs = self.direct_url.get("vcs_info")
        if isinstance(vcs, dict):
            revision = vcs.get("commit_id") or vcs.get("requested_revision")
            return f"{vcs.get('vcs', 'vcs')}+{self.direct_url['url']}" + (f"@{revision}" if revision else "")
        return str(self.direct_url["url"])

    @cached_property
    def editable(self) -> bool:
        """Whether its code lies in a checkout (`pip install -e`, `setup.py develop`)."""
        if self.direct_url:
            folder = self.direct_url.get("dir_info")
            return isinstance(folder, dict) and bool(folder.get("editable"))
        # What setuptools leaves in a checkout. In a folder of installed things a system's package manager wrote it.
        return self.info.suffix == ".egg-info" and self.location.name not in _INSTALLED_FOLDERS

    @property
    def project(self) -> Path | None:
        """The checkout of an editable distribution."""
        if not self.editable:
            return None
        if self.direct_url:
            return Path(unquote(urlsplit(self.direct_url["url"]).path))
        return self.location

    @cached_property
    def top_level(self) -> frozenset[str]:
        """The names that it puts directly into its folder and that may be modules."""
        listed = _text(self.info / "top_level.txt")
        if listed and listed.strip():
            return frozenset(name.strip().replace("\\", "/").partition("/")[0] for name in listed.split())
        record = self._record()
        if record is not None:
            found = {name.decode("utf-8", "replace") for name in _TOP_LEVEL.findall(record)}
            return frozenset(top for name in found if (top := name.partition(".")[0]).isidentifier())
        return frozenset(name.partition(".")[0] for name in self.modules)

    @cached_property
    def modules(self) -> frozenset[str]:
        """All modules that it installs, dotted. Namespace packages are not among them: nobody owns those."""
        record = self._record()
        if record is not None:
            return frozenset(found for row in _rows(record) if row and (found := module_of(row[0])))
        roots = [self.location / name for name in self._guessed_top_level()]
        paths = [path for root in roots if root.is_dir() for path in root.rglob("*")] + [
            path for root in roots for path in self.location.glob(f"{root.name}.*") if path.is_file()
        ]
        return frozenset(found for path in paths if (found := module_of(str(path.relative_to(self.location)))))

    @cached_property
    def files(self) -> frozenset[str]:
        """The files that it installed, by their paths from its folder; empty without a record."""
        record = self._record()
        if record is None:
            return frozenset()
        return frozenset(row[0] for row in csv.reader(io.StringIO(record.decode("utf-8", "replace"))) if row)

    @cached_property
    def size(self) -> int | None:
        """The bytes of its files, by its record: without bytecode, which is made anew elsewhere. None without a record.

        Scripts and data outside the folder of installation count too. What the record gives no size of is looked up.
        """
        record = self._record()
        if record is None:
            return None
        total = 0
        for row in _rows(record):
            if not row or row[0].endswith(".pyc"):
                continue
            if len(row) > 2 and row[2].isdecimal():
                total += int(row[2])
            else:
                total += _size_of(self.location / row[0])
        return total

    @cached_property
    def shared_objects(self) -> tuple[str, ...]:
        """The files of it that look like shared objects by their names, below its folder or beside it (``../``)."""
        record = self._record()
        if record is None:
            roots = [self.location / name for name in self._guessed_top_level()]
            paths = [path for root in roots if root.is_dir() for path in root.rglob("*.so*")] + [
                path for root in roots for path in self.location.glob(f"{root.name}.*so")
            ]
            names = [path.relative_to(self.location).as_posix() for path in paths if path.is_file()]
        else:
            names = [row[0] for row in csv.reader(io.StringIO(record.decode("utf-8", "replace"))) if row]
        return tuple(sorted({name for name in names if _SHARED_OBJECT.search(name)}))

    @cached_property
    def installer(self) -> str:
        """What installed it: ``pip``, ``uv``, ``conda``, or empty where it did not say."""
        return (_text(self.info / "INSTALLER") or "").strip()

    def _guessed_top_level(self) -> tuple[str, ...]:
        listed = (_text(self.info / "top_level.txt") or "").split()
        return tuple(listed) or (self.key.replace("-", "_"),)

    def _record(self) -> bytes | None:
        for name, relative in (("RECORD", ""), ("installed-files.txt", self.info.name)):
            try:
                content = (self.info / name).read_bytes()
            except OSError:
                continue
            if not relative:
                return content
            # These paths start at the metadata's folder.
            lines = (os.path.normpath(f"{relative}/{line}") for line in content.decode("utf-8", "replace").split("\n"))
            return "\n".join(lines).encode()
        return _listed_by_debian(self.location).get(self.info.name)

    def is_in_effect(self, module: str) -> bool:
        """Say whether the file of a module is the one that it installed, by the hash in its record.

        Another distribution may have written its own in its place. True where the record does not tell.
        """
        for row in _rows(self._record() or b""):
            if len(row) > 1 and row[1].startswith("sha256=") and module_of(row[0]) == module:
                try:
                    found = hashlib.sha256((self.location / row[0]).read_bytes()).digest()
                except OSError:
                    return False
                if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != row[1].removeprefix("sha256="):
                    return False
        return True

    def changed_files(self) -> Iterator[str]:
        """Give the files that are not what its record says, by hash, or gone; bytecode left out. Reads all of them."""
        for row in _rows(self._record() or b""):
            if len(row) > 1 and row[1].startswith("sha256=") and not row[0].endswith(".pyc"):
                try:
                    with (self.location / row[0]).open("rb") as file:
                        found = hashlib.file_digest(file, "sha256").digest()
                except OSError:
                    yield row[0]
                    continue
                if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != row[1].removeprefix("sha256="):
                    yield row[0]


def _rows(record: bytes) -> Iterator[list[str]]:
    """Read the rows of a record as far as it is whole."""
    with suppress(csv.Error):
        yield from csv.reader(io.StringIO(record.decode("utf-8", "replace")))


@cache
def _listed_by_debian(folder: Path) -> Mapping[str, bytes]:
    """Give the records of what Debian's packages install into a folder, by the name of the metadata's folder.

    They come without a RECORD of their own. The lists have whole paths, a line each.
    """
    found: dict[str, bytes] = {}
    if folder.name != "dist-packages" or not DEBIAN_LISTS.is_dir():
        return found
    start = f"{folder}/"
    for path in sorted(DEBIAN_LISTS.glob("python3-*.list")):
        lines = [line.removeprefix(start) for line in (_text(path) or "").split("\n") if line.startswith(start)]
        for name in {line.partition("/")[0] for line in lines if _METADATA_FOLDER.match(line)}:
            found[name] = "\n".join(lines).encode()
    return found


def read_distribution(folder: Path, name: str) -> Distribution | None:
    """Read the metadata of this name in a folder; None where it is broken."""
    info = folder / name
    head = b""
    for file in ("METADATA", "PKG-INFO", ""):
        try:
            with (info / file if file else info).open("rb") as stream:
                head = stream.read(4096)
            break
        except OSError:
            continue
    found_name, found_version = _NAME.search(head), _VERSION.search(head)
    if found_name and found_version:
        return Distribution(found_name[1].decode(), found_version[1].decode(), folder, info)
    stem, _, rest = name.rpartition(".")[0].partition("-")
    return Distribution(stem, rest, folder, info) if stem and rest and head else None


def module_of(path: str) -> str | None:
    """Give the module that a file is, by its path below the folder of installation."""
    if not path.endswith(_MODULE_SUFFIXES):
        return None
    *packages, file = path.replace("\\", "/").split("/")
    # The name ends at its first dot: `_core.cpython-311-x86_64-linux-gnu.so`.
    parts = [*packages, file.partition(".")[0]]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
