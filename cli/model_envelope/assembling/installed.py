"""What is installed in an environment, read from the records of its distributions."""

from __future__ import annotations

import csv
import io
import os
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

    def files(self, prefix: Path) -> list[Path]:
        """Give its files in the environment ``prefix``: those of its RECORD that do not lead out of it."""
        site = self.folder.parent
        paths = (Path(os.path.normpath(site / row[0])) for row in self.record() if row)
        return sorted({path for path in paths if path.is_relative_to(prefix)})


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
