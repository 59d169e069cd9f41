"""Where files are written: a folder of this machine, or a file system that fsspec knows.

Paths are text: absolute on this machine, and as fsspec strips them elsewhere. Everything here raises what the system
raises (``OSError``, and whatever an object store's library has); :mod:`troubles` says it to the user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import shutil
import stat
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from model_envelope.scoring.location import shown
from model_envelope.scoring.tables import InvalidJob

Kind = Literal["file", "folder", "other"]
_BLOCK = 1 << 20


class Place(Protocol):
    """What the sinks need of a file system."""

    renames: bool
    """Whether a file or a folder gets another name in one step that nobody sees the middle of."""

    def kind(self, path: str) -> Kind | None:
        """Tell what is there; None for nothing."""
        ...

    def names(self, folder: str) -> dict[str, Kind]:
        """List what is right inside a folder, by name."""
        ...

    def files(self, folder: str) -> list[str]:
        """List all files below a folder, by their paths relative to it, sorted."""
        ...

    def read(self, path: str) -> bytes | None:
        """Give what a small file holds; None where there is none."""
        ...

    def open_read(self, path: str) -> BinaryIO:
        """Open a file to read it."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write a small file durably: it is there whole or not at all."""
        ...

    def create(self, path: str) -> BinaryIO:
        """Begin a file, and the folders that it is in."""
        ...

    def finish(self, file: BinaryIO) -> None:
        """Close a file that was begun, durably."""
        ...

    def drop(self, file: BinaryIO, path: str) -> None:
        """Close a file that was begun, and remove it."""
        ...

    def move(self, source: str, target: str) -> None:
        """Give a file another name, in place of what is there."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all in it; nothing there is fine."""
        ...

    def tidy(self, folder: str) -> None:
        """Remove all folders below this one that have no files."""
        ...

    def make(self, folder: str) -> None:
        """Make a folder; its parents are there."""
        ...

    def sync(self, folder: str) -> None:
        """Make durable which names a folder holds."""
        ...

    def fingerprint(self, path: str) -> tuple[int, str] | None:
        """Give the size and the sha256 of a file; None where there is none."""
        ...


class Local:
    """The file system of this machine."""

    renames = True

    def kind(self, path: str) -> Kind | None:
        """Tell what is there; a link is what it leads to."""
        try:
            mode = Path(path).stat().st_mode
        except FileNotFoundError:
            return None
        return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"

    def names(self, folder: str) -> dict[str, Kind]:
        """List what is right inside a folder, by name."""
        with os.scandir(folder) as entries:
            return {
                entry.name: "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
                for entry in sorted(entries, key=lambda entry: entry.name)
            }

    def files(self, folder: str) -> list[str]:
        """List all files below a folder."""
        found = []
        for where, _, names in os.walk(folder):
            found += [Path(where, name).relative_to(folder).as_posix() for name in names]
        return sorted(found)

    def read(self, path: str) -> bytes | None:
        """Give what a small file holds."""
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            return None

    def open_read(self, path: str) -> BinaryIO:
        """Open a file to read it."""
        return Path(path).open("rb")

    def write(self, path: str, content: bytes) -> None:
        """Write beside, and rename."""
        target = Path(path)
        beside = target.with_name(f".{target.name}.tmp")
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
        self.sync(str(target.parent))

    def create(self, path: str) -> BinaryIO:
        """Begin a file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return Path(path).open("wb", buffering=_BLOCK)

    def finish(self, file: BinaryIO) -> None:
        """Flush to the disk, and close."""
        file.flush()
        os.fsync(file.fileno())
        file.close()

    def drop(self, file: BinaryIO, path: str) -> None:
        """Close and remove; that the rest cannot be written is of no interest any more."""
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            Path(path).unlink(missing_ok=True)

    def move(self, source: str, target: str) -> None:
        """Rename a file."""
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(source).replace(target)

    def remove(self, path: str) -> None:
        """Remove whatever is there."""
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)

    def tidy(self, folder: str) -> None:
        """Remove empty folders, the innermost first."""
        for where, _, _ in os.walk(folder, topdown=False):
            if where != folder and not self.names(where):
                Path(where).rmdir()

    def make(self, folder: str) -> None:
        """Make a folder."""
        Path(folder).mkdir(exist_ok=True)

    def sync(self, folder: str) -> None:
        """Flush a folder to the disk."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def fingerprint(self, path: str) -> tuple[int, str] | None:
        """Read a file for its sha256."""
        try:
            with Path(path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return file.tell(), digest
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def rename_folder(self, source: str, target: str) -> None:
        """Rename a folder; fails where the target is a folder with something in it."""
        Path(source).rename(target)
        self.sync(posixpath.dirname(target))
        self.sync(posixpath.dirname(source))


class Remote:
    """A file system of fsspec: nothing is renamed there, files are copied, each being there whole or not at all."""

    renames = False

    def __init__(self, fs: Any) -> None:
        self.fs = fs

    def kind(self, path: str) -> Kind | None:
        """Tell what is there: a folder is whatever has names below it."""
        self.fs.invalidate_cache()
        if self.fs.isfile(path):
            return "file"
        return "folder" if self.fs.isdir(path) else None

    def names(self, folder: str) -> dict[str, Kind]:
        """List what is right inside a folder, by name."""
        self.fs.invalidate_cache()
        found: dict[str, Kind] = {}
        for entry in self.fs.ls(folder, detail=True):
            name = posixpath.basename(entry["name"].rstrip("/"))
            if name and entry["name"].rstrip("/") != folder.rstrip("/"):
                found[name] = "folder" if entry["type"] == "directory" else "file"
        return dict(sorted(found.items()))

    def files(self, folder: str) -> list[str]:
        """List all files below a folder."""
        self.fs.invalidate_cache()
        if not self.fs.isdir(folder):
            return []
        return sorted(posixpath.relpath(name, folder) for name in self.fs.find(folder))

    def read(self, path: str) -> bytes | None:
        """Give what a small file holds."""
        try:
            content: bytes = self.fs.cat_file(path)
        except FileNotFoundError:
            return None
        return content

    def open_read(self, path: str) -> BinaryIO:
        """Open a file to read it."""
        file: BinaryIO = self.fs.open(path, "rb")
        return file

    def write(self, path: str, content: bytes) -> None:
        """Put a whole object."""
        self.make(posixpath.dirname(path))
        self.fs.pipe_file(path, content)

    def create(self, path: str) -> BinaryIO:
        """Begin a file."""
        self.make(posixpath.dirname(path))
        file: BinaryIO = self.fs.open(path, "wb")
        return file

    def finish(self, file: BinaryIO) -> None:
        """Close it: that is when an object appears."""
        file.close()

    def drop(self, file: BinaryIO, path: str) -> None:
        """Give an upload up where that can be done, and remove what is there."""
        discard = getattr(file, "discard", None)
        with contextlib.suppress(Exception):
            (discard or file.close)()
        with contextlib.suppress(Exception):
            self.remove(path)

    def move(self, source: str, target: str) -> None:
        """Copy a file, and remove the first one."""
        self.make(posixpath.dirname(target))
        self.fs.cp_file(source, target)
        self.fs.rm_file(source)

    def remove(self, path: str) -> None:
        """Remove whatever is there."""
        self.fs.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(path, recursive=True)

    def tidy(self, folder: str) -> None:
        """There are no folders without files."""

    def make(self, folder: str) -> None:
        """Make a folder where there is such a thing."""
        with contextlib.suppress(FileExistsError):
            self.fs.makedirs(folder, exist_ok=True)

    def sync(self, folder: str) -> None:
        """Nothing is held back."""

    def fingerprint(self, path: str) -> tuple[int, str] | None:
        """Read a file for its sha256."""
        digest, size = hashlib.sha256(), 0
        try:
            with self.fs.open(path, "rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
        except (FileNotFoundError, IsADirectoryError):
            return None
        return size, digest.hexdigest()


def open_place(url: str) -> tuple[Local | Remote, str]:
    """Give the file system of a path or URL, and the path there.

    Raises :class:`InvalidJob` (``job.extra``) where what it needs is not installed, ``job.location`` for a scheme that
    nobody knows.
    """
    scheme, _, rest = url.partition("://") if "://" in url else ("file", "", url)
    if scheme in {"file", "local"}:
        return Local(), str(Path(rest).resolve())
    try:
        import fsspec
    except ImportError:
        raise InvalidJob(
            f"{shown(url)} needs fsspec, which is not installed",
            code="job.extra",
            hint=f"install fsspec and its package for {scheme}, or write to a path of this machine",
        ) from None
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InvalidJob(
            f"{shown(url)} needs a package that is not installed: {error}",
            code="job.extra",
            hint=f"install what fsspec needs for {scheme}",
        ) from None
    except ValueError as error:
        raise InvalidJob(
            f"{shown(url)} cannot be opened: {error}",
            code="job.location",
            hint="name a path, or a URL that fsspec knows",
        ) from None
    return Remote(fs), str(path).rstrip("/")
