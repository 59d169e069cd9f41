"""``env/system.json``: libraries of the system that the locked packages need and do not carry.

The same libraries give the same bytes: everything in it is sorted. The file is there only where something is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import json_bytes

NAME = "env/system.json"

# Both are words of a command in a Dockerfile: whatever could be more than that is refused. A hyphen at the end would
# tell apt to remove a package.
_SONAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]")


@dataclass(frozen=True)
class Library:
    """A library that the loader is asked for.

    ``soname`` is its name there (``libgomp.so.1``), ``package`` the Debian package that has it, empty where nobody
    knows one. ``needed_by`` names files below the folder of installation, or distributions that open it by name.

    Raises :class:`InvalidInput` (``libraries.malformed``) for names that no library or package of Debian can have.
    """

    soname: str
    package: str
    needed_by: tuple[str, ...]

    def __post_init__(self) -> None:
        if not _SONAME.fullmatch(self.soname):
            raise _malformed(f"{self.soname!r:.80} is no name of a library")
        if self.package and not _PACKAGE.fullmatch(self.package):
            raise _malformed(f"{self.package!r:.80} is no name of a Debian package")
        object.__setattr__(self, "needed_by", tuple(sorted(set(self.needed_by))))


@dataclass(frozen=True)
class Libraries:
    """All libraries that are needed, by name: ``known`` have a package, of ``unknown`` nobody knows one."""

    known: tuple[Library, ...] = ()
    unknown: tuple[Library, ...] = ()

    @classmethod
    def of(cls, libraries: Iterable[Library]) -> Libraries:
        """Sort libraries, of which each is there once."""
        ordered = sorted(libraries, key=lambda item: item.soname)
        return cls(tuple(item for item in ordered if item.package), tuple(item for item in ordered if not item.package))

    @classmethod
    def parse(cls, content: bytes, *, where: str = NAME) -> Libraries:
        """Read the file. Raises :class:`InvalidInput` (``libraries.malformed``) naming what makes no sense."""
        try:
            document = json.loads(content)
            found = [_library(entry) for part in ("libraries", "unknown") for entry in document.get(part, ())]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _malformed(f"{where} is no list of libraries: {error}") from None
        except InvalidInput as error:
            raise _malformed(f"{where}: {error.message}") from None
        return cls.of(found)

    def to_bytes(self) -> bytes:
        """Write the file."""
        document: dict[str, Any] = {
            "libraries": [
                {"soname": item.soname, "package": item.package, "needed_by": list(item.needed_by)}
                for item in self.known
            ]
        }
        if self.unknown:
            document["unknown"] = [{"soname": item.soname, "needed_by": list(item.needed_by)} for item in self.unknown]
        return json_bytes(document)

    @property
    def packages(self) -> tuple[str, ...]:
        """The Debian packages that have them, sorted."""
        return tuple(sorted({item.package for item in self.known}))

    def __bool__(self) -> bool:
        return bool(self.known or self.unknown)


def read_libraries(envelope: Path) -> Libraries:
    """Read the file of an envelope; nothing where it has none. Raises as :meth:`Libraries.parse`."""
    path = envelope / NAME
    return Libraries.parse(path.read_bytes(), where=str(path)) if path.is_file() else Libraries()


def _library(entry: Mapping[str, Any]) -> Library:
    needed_by = entry.get("needed_by", [])
    words = [entry["soname"], entry.get("package", ""), *needed_by]
    if not isinstance(needed_by, list) or not all(isinstance(word, str) for word in words):
        raise TypeError("expected names as strings")
    return Library(entry["soname"], entry.get("package", ""), tuple(needed_by))


def _malformed(what: str) -> InvalidInput:
    return InvalidInput(
        what, code="libraries.malformed", hint="`envelope pack` and `envelope lock` write this file; get it again"
    )
