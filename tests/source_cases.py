"""The kinds of tables that batch jobs read: each holds the same rows, and has to pass the same tests.

A new kind adds a :class:`Case` to ``CASES``.
"""

import bz2
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from uuid import uuid4

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from model_envelope.runtime.codec.csv import quoted
from model_envelope.scoring.location import Location, read_location
from model_envelope.scoring.sinks import open_sink
from model_envelope.scoring.tables import Part, Run

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("small", pa.int32()),
        ("price", pa.float64()),
        ("name", pa.string()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("seen", pa.timestamp("us", tz="UTC")),
        ("local", pa.timestamp("us")),
        ("amount", pa.decimal128(12, 2)),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
    ]
)
_NAMES = ("plain", "", "a,b", 'say "hi"', "two\nlines", "Ünïcödé 🎈", " blank ", None, "NaN", "null")


@cache
def sample(rows: int = 300) -> pa.Table:
    """Make the table: nulls, empty texts, integers that no float holds, text that CSV has to quote; sorted by kind."""
    at = range(rows)
    kinds = sorted("abc"[row % 3] for row in at)
    columns = {
        "id": [2**62 + 1 + row for row in at],
        "small": [None if row % 7 == 3 else row - 500 for row in at],
        "price": [None if row % 5 == 1 else row / 7 for row in at],
        "name": [_NAMES[row % len(_NAMES)] for row in at],
        "flag": [(True, False, None)[row % 3] for row in at],
        "day": [None if row % 11 == 2 else date(2013, 1, 1) + timedelta(row) for row in at],
        "seen": [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(seconds=row, microseconds=row) for row in at],
        "local": [datetime(1999, 12, 31, 23, 59) + timedelta(minutes=row) for row in at],  # noqa: DTZ001
        "amount": [None if row % 13 == 4 else Decimal(row) / 4 for row in at],
        "kind": kinds,
    }
    arrays = [pa.array(columns[item.name], item.type) for item in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


@dataclass(frozen=True)
class Case:
    """One kind of table. ``write`` makes it in a folder and gives its location; written again it replaces it.

    ``pinned`` sources stay at the version that they were opened at, so they never change themselves.
    """

    name: str
    write: Callable[[Path, pa.Table], Location]
    pinned: bool = False

    def __str__(self) -> str:
        return self.name


def json_value(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def csv_bytes(table: pa.Table, delimiter: str = ",") -> bytes:
    def cell(value: object) -> str:
        if value is None:
            return ""
        text = json_value(value)
        written = text if isinstance(text, str) else json.dumps(text)
        if isinstance(value, str):
            return quoted(written) if delimiter == "," or delimiter not in written else f'"{written}"'
        return written

    rows = [[*row.values()] for row in table.to_pylist()]
    lines = [delimiter.join(map(cell, row)) for row in [table.column_names, *rows]]
    return "".join(f"{line}\r\n" for line in lines).encode()


def jsonl_bytes(table: pa.Table) -> bytes:
    rows = ({name: json_value(value) for name, value in row.items()} for row in table.to_pylist())
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet_bytes(table: pa.Table, row_group_size: int = 40) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(table, out, row_group_size=row_group_size)
    return out.getvalue().to_pybytes()


def arrow_bytes(table: pa.Table, *, stream: bool = False) -> bytes:
    out = pa.BufferOutputStream()
    with (ipc.new_stream if stream else ipc.new_file)(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=40)
    return out.getvalue().to_pybytes()


Make = Callable[[pa.Table], bytes]


def _one_file(name: str, make: Make, options: dict[str, str] | None = None) -> Callable[[Path, pa.Table], Location]:
    def write(folder: Path, table: pa.Table) -> Location:
        (folder / name).write_bytes(make(table))
        return read_location(str(folder / name), options)

    return write


def _many_files(end: str, make: Make, said: str = "") -> Callable[[Path, pa.Table], Location]:
    """Write three files, and others beside that are none of the table's."""

    def write(folder: Path, table: pa.Table) -> Location:
        (folder / "table").mkdir(exist_ok=True)
        (folder / "table" / "_SUCCESS").touch()
        (folder / "table" / f".hidden{end}").write_bytes(b"nothing")
        for at, (start, count) in enumerate(thirds(table)):
            (folder / "table" / f"part-{at:05}{end}").write_bytes(make(table.slice(start, count)))
        return read_location(said.format(folder=folder / "table"))

    return write


def thirds(table: pa.Table) -> list[tuple[int, int]]:
    size = -(-table.num_rows // 3)
    return [(at * size, size) for at in range(3)]


def _hive(folder: Path, table: pa.Table) -> Location:
    kinds = table.column("kind").cast(pa.string())
    for kind in "abc":
        inside = folder / "table" / f"kind={kind}"
        inside.mkdir(parents=True, exist_ok=True)
        rows = table.filter(pa.compute.equal(kinds, kind)).drop_columns(["kind"])
        (inside / "rows.parquet").write_bytes(parquet_bytes(rows))
    return read_location(str(folder / "table"))


def _in_memory(name: str, make: Make) -> Callable[[Path, pa.Table], Location]:
    def write(folder: Path, table: pa.Table) -> Location:
        url = f"memory://{folder.name}-{os.getpid()}/{name}"
        with fsspec.open(url, "wb") as file:
            file.write(make(table))
        return read_location(url)

    return write


def _file_url(name: str, make: Make) -> Callable[[Path, pa.Table], Location]:
    def write(folder: Path, table: pa.Table) -> Location:
        (folder / name).write_bytes(make(table))
        return read_location((folder / name).as_uri())

    return write


def _zst(raw: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packed:
        packed.write(raw)
    return out.getvalue().to_pybytes()


def _sink(url: str, options: dict[str, str]) -> Callable[[Path, pa.Table], Location]:
    """Write with the sink of the same kind, whose tests hold it against other readers."""

    def write(folder: Path, table: pa.Table) -> Location:
        at = url.format(folder=folder)
        if at.startswith("postgresql"):
            from postgres import shared_server

            at = f"{shared_server().url()}#{folder.name}"
        sink = open_sink(read_location(at))
        sink.open(Run(uuid4().hex, "run", 1), table.schema, "overwrite")
        with sink.part(Part(0, "all")) as writer:
            for batch in table.to_batches():
                writer.write(batch)
        sink.commit()
        sink.close()
        return read_location(at, options)

    return write


_KEY = {"key": "id", "part_rows": "100"}

CASES: list[Case] = [
    Case("parquet", _one_file("t.parquet", parquet_bytes)),
    Case("parquet-folder", _many_files(".parquet", parquet_bytes, "{folder}")),
    Case("parquet-pattern", _many_files(".parquet", parquet_bytes, "{folder}/part-*.parquet")),
    Case("parquet-hive", _hive),
    Case("parquet-memory", _in_memory("t.parquet", parquet_bytes)),
    Case("parquet-file-url", _file_url("t.parquet", parquet_bytes)),
    Case("csv", _one_file("t.csv", csv_bytes)),
    Case("csv-gz", _one_file("t.csv.gz", lambda table: gzip.compress(csv_bytes(table), mtime=0))),
    Case("csv-bz2", _one_file("t.csv.bz2", lambda table: bz2.compress(csv_bytes(table)))),
    Case("csv-zst", _one_file("t.csv.zst", lambda table: _zst(csv_bytes(table)))),
    Case("csv-semicolon", _one_file("t.csv", lambda table: csv_bytes(table, ";"), {"delimiter": ";"})),
    Case("csv-tab", _one_file("t.tsv", lambda table: csv_bytes(table, "\t"))),
    Case("csv-bom", _one_file("t.csv", lambda table: b"\xef\xbb\xbf" + csv_bytes(table))),
    Case("csv-folder", _many_files(".csv", csv_bytes, "csv:{folder}")),
    Case("csv-memory", _in_memory("t.csv", csv_bytes)),
    Case("jsonl", _one_file("t.jsonl", jsonl_bytes)),
    Case("jsonl-gz", _one_file("t.ndjson.gz", lambda table: gzip.compress(jsonl_bytes(table), mtime=0))),
    Case("jsonl-folder", _many_files(".jsonl", jsonl_bytes, "jsonl:{folder}")),
    Case("jsonl-memory", _in_memory("t.jsonl", jsonl_bytes)),
    Case("arrow-file", _one_file("t.arrow", arrow_bytes)),
    Case("arrow-stream", _one_file("t.arrows", lambda table: arrow_bytes(table, stream=True))),
    Case("arrow-stream-gz", _one_file("t.arrows.gz", lambda table: gzip.compress(arrow_bytes(table, stream=True)))),
    Case("arrow-folder", _many_files(".arrow", arrow_bytes, "arrow:{folder}")),
    Case("arrow-memory", _in_memory("t.arrow", arrow_bytes)),
    Case("delta", _sink("delta:{folder}/t", {}), pinned=True),
    Case("sqlite", _sink("sqlite:///{folder}/t.db#t", _KEY)),
    Case("duckdb", _sink("duckdb:///{folder}/t.db#t", _KEY)),
    Case("postgresql", _sink("postgresql", {})),
    Case("postgresql-key", _sink("postgresql", _KEY)),
]
