"""The sinks that the contract suite is run with. A new kind of sink is a :class:`Case` more in ``CASES``."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet

from model_envelope.scoring.location import Location, read_location
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import InvalidTable, Wanted

TYPES = pa.schema([("id", pa.int64()), ("name", pa.string()), ("score", pa.float64()), ("ok", pa.bool_())])
"""What every sink can hold."""


@dataclass(frozen=True)
class Case:
    """A kind of output.

    ``place`` gives the location of one that is not there yet, in a folder for this test. ``read`` gives the rows that
    the world sees, in order, None where there is no output. ``resumes``: a killed job goes on after the last part.
    ``appends``: rows can be added. ``bytes`` gives all that is there as bytes by name, where equal jobs write equal
    bytes; None where they do not. ``one_writer``: a second job on the same output is told that it is busy.
    """

    name: str
    place: Callable[[Path], Location]
    read: Callable[[Location], pa.Table | None]
    bytes: Callable[[Location], dict[str, bytes]] | None = None
    resumes: bool = True
    appends: bool = True
    one_writer: bool = True


CASES: list[Case] = []

_numbers = itertools.count()


def _local(name: str, **options: str) -> Callable[[Path], Location]:
    return lambda tmp: read_location(name.format(tmp=tmp), options)


def _memory(name: str) -> Callable[[Path], Location]:
    return lambda tmp: read_location(f"memory://sinks-{next(_numbers)}/{name}")


def contents(location: Location) -> dict[str, bytes]:
    """Give all files of an output by their names, what is hidden and what is staged beside it included."""
    fs, path = fsspec.core.url_to_fs(location.url)
    path = path.rstrip("/")
    above, _, name = path.rpartition("/")
    fs.invalidate_cache()
    found = {one.removeprefix(above): fs.cat_file(one) for one in fs.find(above) if name in one}
    return {one: content for one, content in found.items() if not one.endswith("/lock")}


def read(location: Location) -> pa.Table | None:
    """Read the files of an output in the order of their names, each with its own library."""
    fs, path = fsspec.core.url_to_fs(location.url)
    fs.invalidate_cache()
    if not fs.exists(path):
        return None
    names = [path] if fs.isfile(path) else sorted(fs.find(path))
    names = [name for name in names if not name.rpartition("/")[2].startswith("_") and "/." not in name]
    tables = [_read(fs, name, location) for name in names]
    return pa.concat_tables(tables) if tables else None


def _read(fs, name: str, location: Location) -> pa.Table:
    with fs.open(name, "rb", compression="infer") as file:
        content = file.read()
    match location.format:
        case "parquet":
            return pa.parquet.read_table(pa.BufferReader(content))
        case "arrow":
            opened = pa.ipc.open_stream if name.endswith(".arrows") else pa.ipc.open_file
            return opened(pa.BufferReader(content)).read_all()
        case "jsonl":
            rows = [json.loads(line) for line in content.decode().splitlines()]
            columns = {field.name: [row[field.name] for row in rows] for field in TYPES}
            return pa.table(columns, schema=TYPES)
    delimiter = "\t" if ".tsv" in name else location.options.get("delimiter", ",")
    return pa.csv.read_csv(
        pa.BufferReader(content),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=TYPES, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _case(name: str, place: Callable[[Path], Location], *, folder: bool = False) -> Case:
    return Case(name, place, read, contents, resumes=folder, appends=folder)


for _kind, _end in (("parquet", "parquet"), ("csv", "csv"), ("jsonl", "jsonl"), ("arrow", "arrow")):
    CASES += [
        _case(f"{_kind}-file", _local(f"{{tmp}}/out.{_end}")),
        _case(f"{_kind}-folder", _local(f"{_kind}:{{tmp}}/out"), folder=True),
    ]
CASES += [
    _case("csv-gzip", _local("{tmp}/out.csv.gz")),
    _case("tsv", _local("{tmp}/out.tsv")),
    _case("csv-semicolons", _local("csv:{tmp}/out/", delimiter=";"), folder=True),
    _case("jsonl-zstd-folder", _local("jsonl:{tmp}/out", compression="zstd"), folder=True),
    _case("arrow-stream", _local("{tmp}/out.arrows")),
    _case("parquet-zstd", _local("{tmp}/out.pq", compression="zstd", row_group_rows="7")),
    _case("file-url", _local("file://{tmp}/out/"), folder=True),
    Case("memory-file", _memory("out.parquet"), read, contents, resumes=False, appends=False),
    Case("memory-folder", _memory("out/"), read, contents),
]


def _table(kind: str, **options: str) -> Callable[[Path], Location]:
    def place(tmp: Path) -> Location:
        if kind == "postgresql":
            from postgres import shared_server

            url = shared_server().url()
        else:
            url = f"{kind}:///{tmp}/out.db"
        return read_location(f"{url}#sink_{next(_numbers)}", options)

    return place


def read_table(location: Location) -> pa.Table | None:
    """Read a table of a database or of Delta, None where there is no such."""
    try:
        source = open_source(Location(location.format, location.url, location.table))
    except InvalidTable as error:
        if error.code != "table.missing":
            raise
        return None
    wanted = Wanted(dict.fromkeys(source.schema().names))
    batches = [batch.data for part in source.parts() for batch in source.batches(part, wanted)]
    return pa.Table.from_batches(batches, source.schema()).sort_by("id")


CASES.append(Case("delta", _local("delta:{tmp}/out"), read_table, resumes=False, one_writer=False))
for _kind in ("sqlite", "duckdb", "postgresql"):
    CASES += [
        Case(f"{_kind}-whole", _table(_kind), read_table, resumes=False),
        Case(f"{_kind}-parts", _table(_kind, commit="parts"), read_table),
    ]
