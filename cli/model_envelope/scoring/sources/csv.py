"""Tables in CSV: RFC 4180 in UTF-8 with a header, plain or packed, by the same rules as the codec's.

Blocks of whole records go to Arrow, which reads the wanted columns as text; :mod:`cells` makes values of it. What is no
record (quotes that do not match, other fields than the header has, no UTF-8) is taken out before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import csv as pacsv

from model_envelope.scoring.location import Location
from model_envelope.scoring.sources.cells import Bad, Column
from model_envelope.scoring.sources.cutting import Piece
from model_envelope.scoring.sources.dataset import Plan, Unit, refuse_twice
from model_envelope.scoring.sources.files import TableFile, reading
from model_envelope.scoring.sources.textual import (
    BLOCK,
    BOM,
    LONGEST,
    TextSource,
    assembled,
    broken_line,
    refuse_endless,
    spread,
)
from model_envelope.scoring.tables import BadRow, InvalidJob, InvalidTable

_QUOTES = "quotes around a whole field, and each quote in it twice"


@dataclass(frozen=True)
class _Syntax:
    """How records are told apart, for one delimiter."""

    delimiter: str

    def __post_init__(self) -> None:
        mark = re.escape(self.delimiter.encode())
        field = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^"\r\n' + mark + rb"]*+)"
        record = field + rb"(?:" + mark + field + rb")*+\r?\n"
        opened = rb'(?:"[^"]*+(?:""[^"]*+)*+"?+\r?|[^"\r\n' + mark + rb"]*+\r?)\Z"
        object.__setattr__(self, "field", re.compile(field))
        object.__setattr__(self, "record", re.compile(record))
        # Not `(?:...)*+`: Python before 3.11.5 takes what follows for another record (its issue 106052).
        object.__setattr__(self, "run", re.compile(rb"(?>(?:" + record + rb"){0,1000})"))
        object.__setattr__(self, "begun", re.compile(rb"(?:" + field + mark + rb")*+" + opened))

    field: Any = None
    record: Any = None
    run: Any = None
    begun: Any = None

    def end_of_records(self, data: bytes) -> int:
        """Give where whole records that follow each other end."""
        at = 0
        while (end := self.run.match(data, at).end()) > at:
            at = end
        return at

    def fields(self, record: bytes) -> list[bytes]:
        """Take a record apart."""
        found, at = [], 0
        while True:
            match = self.field.match(record, at)
            text = match[0]
            found.append(text[1:-1].replace(b'""', b'"') if text[:1] == b'"' else text)
            at = match.end()
            if record[at : at + 1] != self.delimiter.encode():
                return found
            at += 1


@dataclass(frozen=True)
class _Block:
    """Whole records, and the lines among them that are none, by the number of their row in the block."""

    text: bytes
    broken: tuple[BadRow, ...] = ()


class CsvSource(TextSource):
    """CSV files. The option ``delimiter`` is one character, or ``tab``."""

    options: ClassVar[tuple[str, ...]] = ("delimiter", "partitions", "types")

    def __init__(self, location: Location) -> None:
        said = location.options.get("delimiter") or ("tab" if ".tsv" in location.url.lower()[-9:] else ",")
        delimiter = {"tab": "\t", "\\t": "\t"}.get(said, said)
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise InvalidJob(
                f"a CSV file cannot have the delimiter {said!r}",
                code="job.option",
                hint="name one ASCII character such as ; or |, or `tab`",
            )
        self._syntax = _Syntax(delimiter)
        super().__init__(location)

    def column_schema(self, file: TableFile) -> pa.Schema:
        """Give the columns of a header: text, but for those whose type was said."""
        types = self.said_types()
        return pa.schema([pa.field(name, types.get(name, pa.string())) for name in self._header(file)])

    def read(self, unit: Unit, plan: Plan) -> Iterator[Piece]:
        """Read a file in blocks."""
        names = self._header(unit.file)
        columns = [Column(field.name, field.type) for field in plan.needed]
        with reading(unit.file.shown, "CSV"), self.store.stream(unit.file) as handle:
            for block in self._blocks(handle, unit.file, len(names)):
                yield self._piece(block, names, columns, plan.needed)

    def _header(self, file: TableFile) -> list[str]:
        with reading(file.shown, "CSV"), self.store.stream(file) as handle:
            data = b""
            while more := handle.read(65_536):
                data += more
                refuse_endless(data, file.shown)
                if self._syntax.record.match(data.removeprefix(BOM)):
                    break
            data = data.removeprefix(BOM)
            found = self._syntax.record.match(data) or self._syntax.record.match(data + b"\n")
            if not found or not data:
                raise InvalidTable(
                    f"{file.shown} is empty" if not data else f"{file.shown} does not begin with a header",
                    code="table.header",
                    hint=f"the first line names the columns, with {_QUOTES}",
                )
            names = [field.decode() for field in self._syntax.fields(found[0])]
        refuse_twice(file, names)
        return names

    def _blocks(self, handle: Any, file: TableFile, width: int) -> Iterator[_Block]:
        """Give blocks of records, the header left out."""
        held, header = handle.read(len(BOM)).removeprefix(BOM), True
        while True:
            more = handle.read(BLOCK)
            data = held + more
            if not more and data and not data.endswith(b"\n"):
                data += b"\n"
            if header:
                found = self._syntax.record.match(data)
                if found is None and more:
                    held = data
                    continue
                data, header = data[found.end() :] if found else b"", False
            block, used = self._split(data, width, last=not more)
            held = data[used:]
            if block.text or block.broken:
                yield block
            if not more:
                return
            refuse_endless(held, file.shown)

    def _split(self, data: bytes, width: int, *, last: bool) -> tuple[_Block, int]:
        """Take whole records off the front; gives how many bytes were used."""
        plain = b'"' not in data and (b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"))
        cut = data.rfind(b"\n") + 1 if plain else self._syntax.end_of_records(data)
        text = data[:cut]
        if (plain or cut == len(data) or (not last and self._is_begun(data, cut))) and self._is_clean(text, width):
            return _Block(text), cut
        return self._carefully(data, width, last=last)

    def _is_begun(self, data: bytes, at: int) -> bool:
        """Tell whether what stands there may become a record with what follows."""
        return len(data) - at < LONGEST // 2 and self._syntax.begun.match(data, at) is not None

    @staticmethod
    def _is_clean(text: bytes, width: int) -> bool:
        blank = width > 1 and (text[:1] == b"\n" or text[:2] == b"\r\n" or b"\n\n" in text or b"\n\r\n" in text)
        return not blank and _is_utf8(text)

    def _carefully(self, data: bytes, width: int, *, last: bool) -> tuple[_Block, int]:
        """Look at each record."""
        good: list[bytes] = []
        broken: list[BadRow] = []
        at = 0
        while at < len(data):
            found = self._syntax.record.match(data, at)
            if found:
                record, at = found[0], found.end()
                if not _is_utf8(record):
                    broken.append(broken_line(len(good) + len(broken), record, "bytes that are no UTF-8", "UTF-8"))
                elif width > 1 and not record.strip(b"\r\n"):
                    broken.append(_ragged(len(good) + len(broken), record, 1, width))
                else:
                    good.append(record)
                continue
            end = data.find(b"\n", at) + 1
            if not end or (not last and self._is_begun(data, at)):
                break
            line = data[at:end]
            what = "a quote that does not belong there, or is never closed"
            if b'"' not in line:
                what = "a carriage return without a line feed"
            broken.append(broken_line(len(good) + len(broken), line, what, _QUOTES))
            at = end
        return _Block(b"".join(good), tuple(broken)), at

    def _piece(self, block: _Block, names: Sequence[str], columns: Sequence[Column], schema: pa.Schema) -> Piece:
        ragged: list[tuple[int, str, int]] = []

        def skip(row: Any) -> str:
            ragged.append((row.number - 1, row.text, row.actual_columns))
            return "skip"

        texts = {column.name: pa.string() for column in columns}
        if not block.text:
            empty: list[tuple[pa.Array, Bad]] = [(pa.array([], column.type), {}) for column in columns]
            return assembled(schema, empty, block.broken, lambda _place: {})
        table = pacsv.read_csv(
            pa.BufferReader(block.text),
            pacsv.ReadOptions(use_threads=False, block_size=len(block.text) + 1, column_names=list(names)),
            pacsv.ParseOptions(
                delimiter=self._syntax.delimiter,
                newlines_in_values=b'"' in block.text,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            pacsv.ConvertOptions(
                check_utf8=False,
                column_types=texts,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                include_columns=[column.name for column in columns],
            ),
        )
        lines = list(block.broken)
        if ragged:
            rows = spread([at for at, _, _ in ragged], [item.row for item in lines])
            lines += [
                _ragged(row, text.encode(), count, len(names))
                for row, (_, text, count) in zip(rows, ragged, strict=True)
            ]
            lines.sort(key=lambda item: item.row)
        cells = {column.name: _one_array(table.column(column.name)) for column in columns}
        return assembled(
            schema,
            [column.texts(cells[column.name]) for column in columns],
            lines,
            lambda place: {name: array[place].as_py() for name, array in cells.items()},
        )


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    found = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return found if isinstance(found, pa.Array) else found.chunk(0)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _ragged(row: int, text: bytes, count: int, width: int) -> BadRow:
    return broken_line(row, text, _fields(count), f"{_fields(width)}, as in the header")


def _fields(count: int) -> str:
    return f"{count} field{'' if count == 1 else 's'}"


def open_source(location: Location) -> CsvSource:
    """Give the source of CSV files; their headers are read."""
    return CsvSource(location)
