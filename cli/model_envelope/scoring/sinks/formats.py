"""What tables are written in: the writers of each format, and the options that it has.

Files hold nothing of the time or the run, and rows are cut anew into groups of one size: so equal rows give equal
bytes, however they came.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.location import FORMATS, Format, Location
from model_envelope.scoring.sinks.texts import CsvLines, JsonLines, nested, speller
from model_envelope.scoring.tables import CannotWrite, InvalidJob

_ENDINGS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_TEXT = {"none": "", "gzip": ".gz", "bz2": ".bz2", "zstd": ".zst"}
_NOTED = ("envelope", "digest", "method")
"""Facts of a run that are the same whenever the same job runs."""
_LINES = 65_536
ROW_GROUP = 262_144


class RowWriter(Protocol):
    """Writes the rows of one file."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows; some may be kept back until there are more."""
        ...

    def flush(self) -> None:
        """Write the rows that were kept back."""
        ...

    def close(self) -> None:
        """Write what ends a file."""
        ...


class HashedFile(io.RawIOBase):
    """A file whose size and sha256 are known when it is written. Dropped, it takes what comes and forgets it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = 0
        self.dropped = False
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The sha256 of what was written."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        """Say that it is."""
        return True

    def tell(self) -> int:
        """Give the number of bytes written."""
        return self.size

    def write(self, data: Any) -> int:
        """Write all of it."""
        size = memoryview(data).nbytes
        if not self.dropped:
            self.file.write(data)
            self._digest.update(data)
        self.size += size
        return size


class Chunks:
    """Cuts rows into chunks of one size."""

    def __init__(self, schema: pa.Schema, size: int) -> None:
        self._schema, self._size = schema, size
        self._kept: list[pa.RecordBatch] = []
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take rows, and give the chunks that are full."""
        start = 0
        while self.rows + batch.num_rows - start >= self._size:
            end = start + self._size - self.rows
            self._kept.append(batch.slice(start, end - start))
            start = end
            yield from self.rest()
        if start < batch.num_rows:
            self._kept.append(batch.slice(start))
            self.rows += batch.num_rows - start

    def rest(self) -> Iterator[pa.RecordBatch]:
        """Give what is left, if any."""
        if self._kept:
            kept, self._kept, self.rows = self._kept, [], 0
            columns = []
            for at, field in enumerate(self._schema):
                column = pa.chunked_array([batch.column(at) for batch in kept], field.type).combine_chunks()
                columns.append(column.chunk(0) if isinstance(column, pa.ChunkedArray) else column)
            yield pa.RecordBatch.from_arrays(columns, schema=self._schema)


class _ParquetRows:
    def __init__(self, file: HashedFile, schema: pa.Schema, style: Style) -> None:
        self._chunks = Chunks(schema, style.group)
        self._writer = pq.ParquetWriter(
            file, schema, compression=style.compression, compression_level=style.level, write_page_index=False
        )

    def write(self, batch: pa.RecordBatch) -> None:
        for chunk in self._chunks.add(batch):
            self._writer.write_batch(chunk, row_group_size=chunk.num_rows)

    def flush(self) -> None:
        for chunk in self._chunks.rest():
            self._writer.write_batch(chunk, row_group_size=chunk.num_rows)

    def close(self) -> None:
        self.flush()
        self._writer.close()


class _ArrowRows:
    """Dictionaries of a file may only grow, so each column has one that holds all of its values so far."""

    def __init__(self, file: HashedFile, schema: pa.Schema, style: Style) -> None:
        options = pa.ipc.IpcWriteOptions(
            compression=None if style.compression == "none" else style.compression, emit_dictionary_deltas=True
        )
        self._schema = schema
        self._chunks = Chunks(schema, style.group)
        self._known: dict[int, pa.Array] = {}
        self._writer = (pa.ipc.new_stream if style.stream else pa.ipc.new_file)(file, schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        for chunk in self._chunks.add(batch):
            self._put(chunk)

    def flush(self) -> None:
        for chunk in self._chunks.rest():
            self._put(chunk)

    def close(self) -> None:
        self.flush()
        self._writer.close()

    def _put(self, batch: pa.RecordBatch) -> None:
        columns = [
            self._grown(at, column) if pa.types.is_dictionary(column.type) else column
            for at, column in enumerate(batch.columns)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def _grown(self, at: int, column: pa.DictionaryArray) -> pa.DictionaryArray:
        known = self._known.setdefault(at, column.dictionary)
        if known.equals(column.dictionary):
            return column
        new = column.dictionary.filter(pc.is_null(pc.index_in(column.dictionary, known)))
        known = self._known[at] = pa.concat_arrays([known, new])
        places = pc.index_in(column.dictionary, known).cast(column.type.index_type)
        return pa.DictionaryArray.from_arrays(places.take(column.indices), known, ordered=column.type.ordered)


class _TextRows:
    def __init__(self, file: HashedFile, schema: pa.Schema, style: Style) -> None:
        self._lines = CsvLines(style.delimiter) if style.format == "csv" else JsonLines()
        self._file: Any = file if style.compression == "none" else pa.CompressedOutputStream(file, style.compression)
        if style.header:
            self._file.write(self._lines.header(schema.names))

    def write(self, batch: pa.RecordBatch) -> None:
        for start in range(0, batch.num_rows, _LINES):
            self._file.write(self._lines.rows(batch.slice(start, _LINES)))

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        if isinstance(self._file, pa.NativeFile):
            self._file.close()


@dataclass(frozen=True)
class Style:
    """How the files of a table are written."""

    format: Format
    one_file: bool
    compression: str = "none"
    level: int | None = None
    group: int = ROW_GROUP
    delimiter: str = ","
    header: bool = True
    stream: bool = False

    @property
    def ending(self) -> str:
        """The end of the name of a part."""
        if self.format == "csv":
            return (".tsv" if self.delimiter == "\t" else ".csv") + _TEXT[self.compression]
        if self.format == "jsonl":
            return ".jsonl" + _TEXT[self.compression]
        return ".parquet" if self.format == "parquet" else ".arrows" if self.stream else ".arrow"

    def owns(self, name: str) -> bool:
        """Tell whether a file is a table of this format, by its name."""
        return _of(name)[0] == self.format

    def begin(self, file: HashedFile, schema: pa.Schema) -> RowWriter:
        """Begin a file."""
        if self.format == "parquet":
            return _ParquetRows(file, schema, self)
        return _ArrowRows(file, schema, self) if self.format == "arrow" else _TextRows(file, schema, self)

    def schema(self, schema: pa.Schema, facts: Mapping[str, str]) -> pa.Schema:
        """Give the schema of the files: without what the table that was read had noted, with what is known of the job.

        Raises :class:`CannotWrite` (``output.columns``) for columns that the format cannot hold.
        """
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice or not schema.names:
            raise CannotWrite(
                f"the table has {'the column ' + twice[0] + ' more than once' if twice else 'no columns'}",
                code="output.columns",
                hint="name each column once in --keep, and none that the model answers with",
            )
        if self.format in {"csv", "jsonl"}:
            self._check_text(schema)
        noted = {f"envelope.{name}": facts[name] for name in _NOTED if name in facts}
        made = pa.schema([_bare(field) for field in schema], metadata=noted or None)
        if self.format in {"parquet", "arrow"}:
            self._check_binary(made)
        return made

    def _check_text(self, schema: pa.Schema) -> None:
        problems = []
        for field in schema:
            if self.format == "csv" and nested(field.type):
                problems.append(Problem(f"$.{field.name}", f"{field.type}", "a plain value", "output.columns"))
                continue
            try:
                speller(field.type)
            except ValueError:
                problems.append(Problem(f"$.{field.name}", f"{field.type}", "a type JSON can say", "output.columns"))
        if problems:
            name = "CSV" if self.format == "csv" else "JSON Lines"
            raise CannotWrite(
                f"{name} cannot hold {len(problems)} of the columns",
                code="output.columns",
                problems=problems,
                hint="write Parquet or JSON Lines, which hold nested values"
                if self.format == "csv"
                else "write Parquet",
            )

    def _check_binary(self, schema: pa.Schema) -> None:
        try:
            self.begin(HashedFile(io.BytesIO()), schema).close()
        except pa.ArrowException as error:
            raise CannotWrite(
                f"{self.format} cannot hold the columns: {error}",
                code="output.columns",
                hint="leave the column out of --keep, or write another format",
            ) from None


def _bare(field: pa.Field) -> pa.Field:
    kept = {key: value for key, value in (field.metadata or {}).items() if key.startswith(b"ARROW:extension:")}
    return field.remove_metadata().with_metadata(kept) if kept else field.remove_metadata()


def style_of(location: Location) -> Style:
    """Read the options of a location.

    Raises :class:`InvalidJob` (``job.option``) for those that its format does not have, or values that make no sense.
    """
    name = PurePosixPath(location.url.partition("?")[0] if "://" in location.url else location.url).name
    kind, packed = _of(name)
    one_file = kind is not None and not location.url.endswith("/")
    packed = packed if one_file else ""
    read = _OPTIONS[location.format]
    unknown = sorted(location.options.keys() - read.keys())
    if unknown:
        raise InvalidJob(
            f"{location.shown}: {location.format} has no output option {', '.join(unknown)}",
            code="job.option",
            hint=f"it has {', '.join(sorted(read))}",
        )
    if packed and location.format in {"parquet", "arrow"}:
        raise InvalidJob(
            f"{location.shown}: {location.format} files are compressed inside",
            code="job.option",
            hint="leave the ending out, and say compression=gzip or zstd as an output option",
        )
    usual: dict[str, dict[str, Any]] = {"parquet": {"compression": "snappy"}, "arrow": {"group": _LINES}}
    said = usual.get(location.format, {})
    if one_file:
        plain = name.lower().removesuffix(next((end for end in _ENDINGS if name.lower().endswith(end)), ""))
        said |= {"delimiter": "\t"} if plain.endswith(".tsv") else {}
        said |= {"stream": True} if plain.endswith(".arrows") else {}
        said |= {"compression": _ENDINGS[packed]} if packed else {}
    for option, text in location.options.items():
        field, parse, wanted = read[option]
        try:
            value = parse(text)
        except (ValueError, KeyError):
            raise InvalidJob(
                f"{location.shown}: {text!r} is no {option}", code="job.option", hint=f"{option} is {wanted}"
            ) from None
        if option == "compression" and packed and value != _ENDINGS[packed]:
            raise InvalidJob(
                f"{location.shown}: its ending says {_ENDINGS[packed]}, and the option compression says {value}",
                code="job.option",
                hint="say one of them",
            )
        said[field] = value
    style = Style(location.format, one_file, **said)
    if style.level is not None and style.compression not in {"gzip", "zstd", "brotli"}:
        raise InvalidJob(
            f"{location.shown}: {style.compression} has no levels",
            code="job.option",
            hint="levels are for gzip, zstd and brotli",
        )
    return style


def _of(name: str) -> tuple[Format | None, str]:
    """Tell the format that the end of a name says, and how it is compressed."""
    path = PurePosixPath(name.lower())
    packed = path.suffix if path.suffix in _ENDINGS else ""
    if packed:
        path = path.with_suffix("")
    return FORMATS.get(path.suffix), packed


def _one_of(*values: str) -> tuple[Callable[[str], str], str]:
    return lambda text: {value: value for value in values}[text.lower()], "one of " + ", ".join(values)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(text)
    return int(text)


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _delimiter(text: str) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    # The others stand in numbers, dates and bytes.
    if len(text) != 1 or not text.isascii() or text.isalnum() or text in '"\r\n.+-:/=\x00':
        raise ValueError(text)
    return text


_COUNT = (_number, "a whole number of at least 1")
_OPTIONS: Mapping[Format, Mapping[str, tuple[str, Callable[[str], Any], str]]] = {
    "parquet": {
        "compression": ("compression", *_one_of("none", "snappy", "gzip", "zstd", "brotli", "lz4")),
        "compression_level": ("level", *_COUNT),
        "row_group_rows": ("group", *_COUNT),
    },
    "arrow": {"compression": ("compression", *_one_of("none", "lz4", "zstd")), "batch_rows": ("group", *_COUNT)},
    "csv": {
        "compression": ("compression", *_one_of(*_TEXT)),
        "delimiter": ("delimiter", _delimiter, "one character that is no letter, digit or part of a number or a date"),
        "header": ("header", _truth, "true or false"),
    },
    "jsonl": {"compression": ("compression", *_one_of(*_TEXT))},
}
