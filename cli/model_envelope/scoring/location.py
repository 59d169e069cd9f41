"""Where a table is: a path, a URL of a file system, or a database; and what it is written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from model_envelope.scoring.tables import InvalidJob, InvalidTable

Format = Literal["parquet", "csv", "jsonl", "arrow", "delta", "sql", "table"]

FORMATS: Mapping[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
"""What a file is by the end of its name."""
_OTHERS = {
    ".json": "for JSON Lines `jsonl:PATH`, or a name that ends in .jsonl",
    ".txt": "for a text file with columns `csv:PATH`",
    ".db": "for a table of SQLite sqlite:///PATH#TABLE",
    ".sqlite": "for a table of SQLite sqlite:///PATH#TABLE",
    ".duckdb": "for a table of DuckDB duckdb:///PATH#TABLE",
    **dict.fromkeys((".xls", ".xlsx", ".ods", ".xml", ".orc", ".avro", ".h5", ".hdf5", ".pkl", ".pickle", ".npy"), ""),
}
"""Endings of what is no folder and none of these, with what may have been meant."""
_COMPRESSED = (".gz", ".bz2", ".zst")
_DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "sqlite", "duckdb", "snowflake")
_PREFIX = re.compile(r"(parquet|csv|jsonl|arrow|delta|table):(?!//)(?P<rest>.+)", re.DOTALL)


@dataclass(frozen=True)
class Location:
    """A table: ``url`` is a path or URL without what is said beside it.

    ``table`` is the table of a database (``postgresql://host/db#sales.flights``), ``options`` are what is said of how
    it is read or written (``--input-option delimiter=;``).
    """

    format: Format
    url: str
    table: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """How messages and reports call it: without a user and a password."""
        return shown(self.url) + (f"#{self.table}" if self.table else "")


def read_location(text: str, options: Mapping[str, str] | None = None) -> Location:
    """Read what ``--input`` or ``--output`` says.

    ``delta:PATH``, ``csv:PATH`` and so on name a format, ``table:NAME`` a table of Spark's catalogue; else it is known
    by the end of the name, a URL of a database by its scheme, and a folder or a pattern without an end that says so is
    Parquet.

    Raises :class:`InvalidJob` (``job.location``, ``job.format``).
    """
    if not text.strip():
        raise InvalidJob(
            "no table is named", code="job.location", hint="name a file, a folder, a URL, or a database and its table"
        )
    said = _PREFIX.fullmatch(text)
    if said:
        return Location(said[1], said["rest"], options=dict(options or {}))  # type: ignore[arg-type]
    scheme = urlsplit(text).scheme.partition("+")[0] if "://" in text else ""
    if scheme in _DATABASES:
        url, _, table = text.partition("#")
        return Location("sql", url, unquote(table), dict(options or {}))
    name = PurePosixPath(text.rstrip("/"))
    if name.suffix in _COMPRESSED:
        name = name.with_suffix("")
    ending = name.suffix.lower()
    if ending in _OTHERS and not text.endswith("/"):
        raise InvalidJob(
            f"`{shown(text)}` is in no format that is known",
            code="job.format",
            hint=_OTHERS[ending] or f"{', '.join(FORMATS)}, a folder, Delta Lake or a table of a database",
        )
    return Location(FORMATS.get(ending, "parquet"), text, options=dict(options or {}))


def refuse_catalogue(location: Location) -> None:
    """Raise :class:`InvalidJob` (``job.format``) for a table of a catalogue, which Spark alone knows."""
    if location.format == "table":
        raise InvalidJob(
            f"`{location.shown}` is a table of Spark's catalogue, and this engine has none",
            code="job.format",
            hint="say --engine spark, or name the table's files",
        )


def nothing_there(location: Location, *, pattern: bool = False) -> InvalidTable:
    """Give the error for a path, or a pattern of paths, that leads to nothing."""
    return InvalidTable(
        f"no file fits {location.shown}" if pattern else f"there is no file or folder {location.shown}",
        code="table.missing",
        hint="check the name, and that a relative one is meant from the folder that the job runs in",
    )


def refuse_missing(location: Location) -> None:
    """Raise :class:`InvalidTable` (``table.missing``) where a path of this machine leads to nothing.

    It costs nothing and needs no package: what is seen here nobody waits for. URLs, patterns and tables of databases
    are known to those who read them.
    """
    if location.format in {"sql", "table"} or any(letter in location.url for letter in "*?[") or "://" in location.url:
        return
    if not Path(location.url).exists():
        raise nothing_there(location)


def shown(url: str) -> str:
    """Give a URL without a user, a password and what stands after `?`, where signatures are."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
