"""What is installed in an environment, read from the records of its distributions."""

from __future__ import annotations

import csv
import io
import os
import stat
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path


@dataclass(frozen=True)
class Distribution:
    """One installed distribution: its name and version as it writes them, and its ``.dist-info`` folder."""

    name: str
    version: str
    folder: Path

    def record(self) -> list[list[str]]:
        """Give the rows of its RECORD: path, hash, size; none where it has no RECORD (as conda's packages at times)."""
        path = self.folder / "RECORD"
        return list(csv.reader(io.StringIO(path.read_text("utf-8")))) if path.is_file() else []

    def files(self, prefix: Path) -> list[str]:
        """Give its files below the environment ``prefix``, relative to it: those of its RECORD that do not lead out."""
        above, site = f"{os.path.normpath(prefix)}/", self.folder.parent
        paths = (os.path.normpath(site / row[0]) for row in self.record() if row)
        return sorted({path.removeprefix(above) for path in paths if path.startswith(above)})


def distributions(prefix: Path) -> list[Distribution]:
    """Give what is installed in an environment, sorted by name."""
    found = []
    for folder in site_packages(prefix).glob("*.dist-info"):
        metadata = folder / "METADATA"
        if metadata.is_file():
            headers = BytesHeaderParser().parsebytes(metadata.read_bytes())
            found.append(Distribution(str(headers["Name"]), str(headers["Version"]), folder))
    return sorted(found, key=lambda item: (item.name.lower(), item.version))


def site_packages(prefix: Path) -> Path:
    """Give the folder of an environment that packages are in."""
    return next(prefix.glob("lib/python*/site-packages"))


def size_of(path: str) -> int | None:
    """Give the bytes of a file; none where there is no such file, or a link or a folder in its place."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
