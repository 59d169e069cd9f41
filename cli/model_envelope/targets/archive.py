"""Writes the layers of an image as archives: the same files give the same bytes, whoever writes them when and where.

``ADD`` unpacks such an archive with the times, modes and owners that stand in it. Folders that ``COPY`` takes from a
context get the time of the build on some engines (seen on 20.10), and with it another digest of the layer each time.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

EPOCH = 315532800
"""The time of every file: 1 January 1980, the first that all archive formats can write."""


def write_layer(path: Path, files: Mapping[str, Path | bytes]) -> None:
    """Write an archive of files, by their paths in the image (``opt/model/lib/a.py``), and of their folders."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted({*folders, *files}, key=str.encode):
            content = files.get(name)
            if content is None:
                archive.addfile(_entry(name, tarfile.DIRTYPE, 0o755))
            elif isinstance(content, bytes):
                archive.addfile(_entry(name, tarfile.REGTYPE, 0o644, len(content)), io.BytesIO(content))
            else:
                with content.open("rb") as file:
                    size = file.seek(0, io.SEEK_END)
                    file.seek(0)
                    archive.addfile(_entry(name, tarfile.REGTYPE, 0o644, size), file)


def files_in(folder: Path, place: str) -> dict[str, Path | bytes]:
    """Give the files in a folder and below by their paths in an image where that folder is at ``place``."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {f"{place}/{path.relative_to(folder).as_posix()}": path for path in found}


def _entry(name: str, kind: bytes, mode: int, size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.mtime = kind, mode, size, EPOCH
    return entry
