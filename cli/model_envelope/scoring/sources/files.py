"""Files that tables are made of: found by a path, a folder, a pattern or a URL, told apart, and opened.

Local paths, ``file://``, ``s3://``, ``gs://`` and what else Arrow reaches by itself are read through Arrow; every other
scheme through fsspec, which has to be installed for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs as pafs

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.location import FORMATS, Location, nothing_there, shown
from model_envelope.scoring.tables import InvalidJob, InvalidTable, MissingPackage, Unreachable

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""How Hive and Spark call the folder of the rows whose value is null."""

_OF_ARROW = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
COMPRESSIONS: Mapping[str, str] = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""The codec of Arrow by the end of a file's name."""
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "version_id", "checksum")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class TableFile:
    """One file of a table. ``partition`` are the columns that its folders name (``year=2020``), as text."""

    path: str
    shown: str
    state: str
    partition: tuple[tuple[str, str | None], ...] = ()


@contextmanager
def reading(name: str, what: str = "") -> Iterator[None]:
    """Turn what goes wrong while a file is read into an :class:`InvalidTable` that names it."""
    try:
        yield
    except FileNotFoundError:
        raise InvalidTable(
            f"{name} is not there (any more)", code="table.missing", hint="check the name; it may have been moved"
        ) from None
    except PermissionError as error:
        raise InvalidTable(
            f"{name} may not be read: {one_line(error)}",
            code="table.permission",
            hint="give the user that runs the job the right to read it",
        ) from None
    except (OSError, EOFError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InvalidTable(
            f"{name} cannot be read{f' as {what}' if what else ''}: {one_line(error)}",
            code="table.unreadable",
            hint="it is damaged, cut short, or something else than its name says; write it anew",
        ) from None


def one_line(error: BaseException) -> str:
    """Say an error in one line that is not too long."""
    return " ".join(str(error).split())[:300] or type(error).__name__


class Store:
    """The files of one location. ``options`` that begin with ``fs.`` are given to fsspec, which is then used."""

    def __init__(self, location: Location) -> None:
        self.location = location
        settings = {name[3:]: value for name, value in location.options.items() if name.startswith("fs.")}
        self._pattern: Sequence[str] = ()
        base = location.url
        if "://" in base or not Path(base).exists():
            base, self._pattern = _split(base)
        with _reaching(location):
            self.filesystem, self._base, self._fsspec = _file_system(base, settings)

    def find(self) -> list[TableFile]:
        """List the files, by name.

        Raises :class:`InvalidTable`: ``table.missing`` for no such file and a pattern that nothing fits,
        ``table.empty`` for a folder without a file of the format.
        """
        if self._fsspec is not None:
            self._fsspec.invalidate_cache()
        with reading(self.location.shown), _reaching(self.location):
            found = self._matching() if self._pattern else [self.filesystem.get_file_info(self._base)]
            if not found or found[0].type == pafs.FileType.NotFound:
                raise nothing_there(self.location, pattern=bool(self._pattern))
            files: list[Any] = []
            for info in found:
                files += self._inside(info.path) if info.type == pafs.FileType.Directory else [info]
            if not files:
                raise InvalidTable(
                    f"{self.location.shown} has folders without a {self.location.format} file",
                    code="table.empty",
                    hint="name files, or folders that have some",
                )
            files.sort(key=lambda info: str(info.path))
            return [self._file(info) for info in files]

    def open(self, file: TableFile) -> Any:
        """Open a file to be read anywhere."""
        return self.filesystem.open_input_file(file.path)

    def stream(self, file: TableFile) -> Any:
        """Open a file to be read from its beginning, unpacked where its name says that it is packed."""
        codec = COMPRESSIONS.get(PurePosixPath(file.path).suffix)
        if codec is not None and not pa.Codec.is_available(codec):
            raise MissingPackage(
                f"{file.shown} needs {codec}, which this pyarrow was built without",
                code="job.extra",
                hint="install a pyarrow from the package index, or unpack the file",
            )
        return self.filesystem.open_input_stream(file.path, compression=codec)

    def state(self) -> Mapping[str, str]:
        """Tell size and time (and e-tag, where the file system has one) of each file as it is now."""
        try:
            return {file.shown: file.state for file in self.find()}
        except InvalidTable as error:
            if error.code not in {"table.missing", "table.empty"}:
                raise
            return {self.location.shown: "gone"}

    def _file(self, info: Any) -> TableFile:
        relative = info.path[len(self._base) :].strip("/")
        return TableFile(
            info.path,
            _shown_of(self.location, self._base, relative),
            self._state_of(info),
            () if self.location.options.get("partitions") == "none" else _partition(relative),
        )

    def _state_of(self, info: Any) -> str:
        said = {"size": str(info.size)}
        if self._fsspec is None:
            said["mtime_ns"] = str(info.mtime_ns)
        else:
            known = self._fsspec.info(info.path)
            time = next((str(known[name]) for name in _TIMES if known.get(name)), None)
            said |= {"mtime": time} if time else {}
            said |= {name: str(known[name]) for name in _TAGS if known.get(name)}
        return " ".join(f"{name}={value}" for name, value in said.items())

    def _inside(self, folder: str) -> list[Any]:
        """List the files of the format below a folder."""
        every = self.filesystem.get_file_info(pafs.FileSelector(folder, recursive=True))
        names = {info: info.path[len(folder) :].strip("/") for info in every if info.is_file}
        if self.location.format == "parquet" and any(name.startswith("_delta_log/") for name in names.values()):
            raise InvalidTable(
                f"{self.location.shown} is a Delta table: files there may be outdated",
                code="table.delta",
                hint=f"name it as one: delta:{self.location.shown}",
            )
        seen = {info: name for info, name in names.items() if not _hidden(name)}
        files = [info for info, name in seen.items() if format_of(name) in {self.location.format, None}]
        if not files:
            others = sorted({str(format_of(name)) for name in seen.values()})
            raise InvalidTable(
                f"{self.location.shown} has no {self.location.format} file",
                code="table.empty",
                hint=f"it has files of {others[0]}: name it {others[0]}:{self.location.shown}"
                if others
                else "name a folder that has some",
            )
        # Files without an end are those of Hive; they are left where others say what they are.
        said = [info for info in files if format_of(seen[info]) is not None]
        return said or files

    def _matching(self) -> list[Any]:
        found = [self.filesystem.get_file_info(self._base)]
        if found[0].type == pafs.FileType.NotFound:
            return []
        for segment in self._pattern:
            folders = [info.path for info in found if info.type == pafs.FileType.Directory]
            if segment == "**":
                for one in folders:
                    below = self.filesystem.get_file_info(pafs.FileSelector(one, recursive=True))
                    found += [info for info in below if not _hidden(info.path[len(one) :].strip("/"))]
                continue
            listed = [self.filesystem.get_file_info(pafs.FileSelector(one)) for one in folders]
            found = [
                info
                for infos in listed
                for info in infos
                if fnmatchcase(info.base_name, segment) and not _hidden(info.base_name)
            ]
        if self._pattern[-1] == "**":
            found = [info for info in found if info.is_file and format_of(info.path) == self.location.format]
        return list({info.path: info for info in found}.values())


def format_of(name: str) -> str | None:
    """Tell the format of a file by the end of its name; None where it has none, and `other` for any other end."""
    path = PurePosixPath(name)
    if path.suffix in COMPRESSIONS:
        path = path.with_suffix("")
    return FORMATS.get(path.suffix.lower(), "other") if path.suffix else None


def check_options(location: Location, known: Sequence[str]) -> None:
    """Raise :class:`InvalidJob` (``job.option``) for an option that a format does not know."""
    unknown = [name for name in location.options if name not in known and not name.startswith("fs.")]
    if unknown:
        raise InvalidJob(
            f"there is no option {', '.join(unknown)} for {location.format}",
            code="job.option",
            hint=f"there are {', '.join(known)}, and fs.NAME for what fsspec is to be told",
        )
    if location.options.get("partitions", "hive") not in {"hive", "none"}:
        raise InvalidJob(
            f"there are no partitions of the kind {location.options['partitions']!r}",
            code="job.option",
            hint="`hive` reads folders such as year=2020 as columns, `none` does not",
        )


def _split(url: str) -> tuple[str, Sequence[str]]:
    """Take a path apart into a folder and the pattern below it; no pattern where it is a plain one.

    What a URL says behind its `?` stays with the folder.
    """
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    rest, ask, query = rest.partition("?") if mark else (rest, "", "")
    special = "*[" if mark else "*?["
    segments = rest.split("/")
    at = next((at for at, segment in enumerate(segments) if any(sign in segment for sign in special)), None)
    if at is None:
        return url, ()
    folder = "/".join(segments[:at]) or ("/" if rest.startswith("/") else "" if mark else ".")
    return scheme + mark + folder + ask + query, [segment for segment in segments[at:] if segment]


def _file_system(url: str, settings: Mapping[str, str]) -> tuple[Any, str, Any]:
    """Give the file system of a URL, the path in it, and fsspec's own where that is behind it."""
    if "://" not in url and not settings:
        return pafs.LocalFileSystem(), str(Path(url).absolute()), None
    scheme = url.partition("://")[0]
    if scheme in _OF_ARROW and not settings:
        found, path = pafs.FileSystem.from_uri(url)
        return found, path, None
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingPackage(
            f"tables at {scheme}:// are read through fsspec, which is not installed",
            code="job.extra",
            hint="add fsspec, and its package for this scheme, to the envelope's dependencies",
        ) from None
    try:
        behind, path = url_to_fs(url, **settings)
    except ImportError as error:
        raise MissingPackage(
            f"tables at {scheme}:// need a package that is not installed: {one_line(error)}",
            code="job.extra",
            hint="add it to the envelope's dependencies",
        ) from None
    return pafs.PyFileSystem(pafs.FSSpecHandler(behind)), path, behind


@contextmanager
def _reaching(location: Location) -> Iterator[None]:
    """Tell a URL that makes no sense, or a file system that cannot be reached."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise Unreachable(
            f"{location.shown} cannot be reached: {one_line(error)}",
            code="table.unreachable",
            hint="check the network, the name of the host and the credentials",
        ) from None
    except (ValueError, pa.ArrowException) as error:
        raise InvalidJob(
            f"{location.shown} is no place that can be read: {one_line(error)}",
            code="job.location",
            hint="name a path, or a URL of a file system: s3://bucket/folder, gs://bucket/folder",
        ) from None


def _shown_of(location: Location, base: str, relative: str) -> str:
    """Name a file as the location was named."""
    start = shown(_split(location.url)[0]) if "://" in location.url else location.url
    if "://" not in location.url:
        start = location.url if Path(location.url).exists() else _split(location.url)[0]
    return f"{start.rstrip('/')}/{relative}" if relative else start or base


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in name.split("/"))


def _partition(relative: str) -> tuple[tuple[str, str | None], ...]:
    pairs = []
    for folder in relative.split("/")[:-1]:
        name, sign, value = folder.partition("=")
        if sign and name:
            pairs.append((unquote(name), None if value == NULL_PARTITION else unquote(value)))
    return tuple(pairs)


def mixed(name: str, problems: Sequence[Problem]) -> InvalidTable:
    """Say that files of one table do not go together."""
    return InvalidTable(
        f"the files of {name} do not have the same columns",
        code="table.mixed",
        problems=problems[:100],
        hint="score them apart (a pattern names some of them), or write those anew that differ",
    )
