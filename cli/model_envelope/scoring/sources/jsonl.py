"""Tables in JSON Lines: an object a line, by the same rules as the codec's JSON. A key that is missing is null.

Arrow reads a block where nothing in it is read otherwise than the codec does: see :meth:`JsonlSource._quickly`. Else
the block is divided until the lines are found that the codec has to look at. Lines that are blank are no rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import json as pajson

from model_envelope.runtime.codec.base import describe
from model_envelope.runtime.codec.text import DEEPEST, dump_json, nests_deeper, parse_json
from model_envelope.runtime.errors import InvalidPayload
from model_envelope.scoring.location import Location
from model_envelope.scoring.sources.cells import Bad, Column
from model_envelope.scoring.sources.cutting import Piece
from model_envelope.scoring.sources.dataset import Plan, Unit
from model_envelope.scoring.sources.files import reading
from model_envelope.scoring.sources.json_types import Seen
from model_envelope.scoring.sources.textual import TextSource, assembled, blocks_of_lines, broken_line
from model_envelope.scoring.tables import BadRow, InvalidTable, Wanted

_HEADS = 16
"""So many files are looked into for their columns."""
_HEAD = 1 << 19
"""So many bytes of each."""
_FEW = 64
"""So many lines are read one by one without another try."""
_ODD = (b"NaN", b"Inf", b"\0")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MINUS_ZERO = re.compile(rb"-0[,}\]\s]")


class JsonlSource(TextSource):
    """Files of JSON Lines. Columns and types are those of the first lines, and of the option ``types``."""

    def plan(self, wanted: Wanted) -> Plan:
        """Find what has to be read. A table without any row has every column."""
        if not self.columns.names:
            self.columns = pa.schema([pa.field(name, type_ or pa.string()) for name, type_ in wanted.types.items()])
        return super().plan(wanted)

    def read(self, unit: Unit, plan: Plan) -> Iterator[Piece]:
        """Read a file in blocks."""
        said = self.said_types()
        columns = [
            JsonText(field.name, field.type)
            if field.name in self._mixed & plan.free and field.name not in said
            else Column(field.name, field.type)
            for field in plan.needed
        ]
        with reading(unit.file.shown, "JSON Lines"), self.store.stream(unit.file) as handle:
            for block in blocks_of_lines(handle, unit.file.shown):
                yield from self._pieces_of(block, columns, plan.needed)

    def _columns(self) -> pa.Schema:
        """Look into the first lines."""
        seen = Seen()
        for file in self.files[:_HEADS]:
            with reading(file.shown, "JSON Lines"), self.store.stream(file) as handle:
                read = 0
                for block in blocks_of_lines(handle, file.shown):
                    for line in block[: max(_HEAD, block.find(b"\n") + 1)].splitlines():
                        seen.add_line(line)
                    read += len(block)
                    if read >= _HEAD:
                        break
        if seen.strange:
            raise InvalidTable(
                f"{self.name} is no JSON Lines: none of its first {seen.lines} lines is a JSON object",
                code="table.unreadable",
                hint='each line has to be an object: {"x": 1}',
            )
        found = seen.fields() | self.said_types()
        self._mixed = seen.mixed()
        return pa.schema([pa.field(name, type_) for name, type_ in found.items()])

    def _pieces_of(self, block: bytes, columns: Sequence[Column], schema: pa.Schema) -> Iterator[Piece]:
        piece = self._quickly(block, columns, schema)
        if piece is not None:
            yield piece
            return
        lines = [line for line in block.split(b"\n") if line.strip(b" \t\r")]
        if len(lines) <= _FEW:
            if lines:
                yield self._slowly(lines, columns, schema)
            return
        size = -(-len(lines) // 16)
        for start in range(0, len(lines), size):
            yield from self._pieces_of(b"\n".join(lines[start : start + size]) + b"\n", columns, schema)

    def _quickly(self, block: bytes, columns: Sequence[Column], schema: pa.Schema) -> Piece | None:
        """Let Arrow read a block; None where that might be another verdict than the codec's.

        Each line has to begin and to end with a brace, and to be a row: so no value goes over lines, and no line has
        two. Texts have to be UTF-8. What Arrow reads otherwise than the codec is looked for: no numbers, halves of
        surrogate pairs, zeros with a minus, and what is nested too deeply.
        """
        lines = block.count(b"\n")
        end = b"\r\n" if b"\r" in block else b"\n"
        if not block.startswith(b"{") or not block.endswith(b"}" + end) or block.count(b"}" + end + b"{") != lines - 1:
            return None
        if any(text in block for text in _ODD) or _MINUS_ZERO.search(block):
            return None
        if b"\\u" in block and _SURROGATE.search(block):
            return None
        if (b"[" in block or block.count(b"{") != lines) and nests_deeper(block, DEEPEST):
            return None
        if any(column.json_type is None for column in columns):
            return None
        asked = pa.schema([pa.field(column.name, column.json_type) for column in columns])
        try:
            block.decode()
            table = pajson.read_json(
                pa.BufferReader(block),
                pajson.ReadOptions(use_threads=False, block_size=len(block) + 1),
                pajson.ParseOptions(
                    explicit_schema=asked, newlines_in_values=False, unexpected_field_behavior="ignore"
                ),
            )
        except (UnicodeDecodeError, pa.ArrowException):
            return None
        if table.num_rows != lines:
            return None
        cells = {name: table.column(name).combine_chunks() for name in asked.names}
        read = [column.json_array(cells[column.name]) for column in columns]
        known = [one for one in read if one is not None]
        if len(known) < len(read):
            return None
        return assembled(schema, known, (), lambda place: {name: array[place].as_py() for name, array in cells.items()})

    @staticmethod
    def _slowly(lines: Sequence[bytes], columns: Sequence[Column], schema: pa.Schema) -> Piece:
        good: list[Mapping[str, Any]] = []
        broken: list[BadRow] = []
        for row, line in enumerate(lines):
            try:
                value = parse_json(line)
            except InvalidPayload as error:
                what = error.message.removeprefix("the body is no JSON: ")
                broken.append(broken_line(row, line, what, "a JSON object"))
                continue
            if isinstance(value, dict):
                good.append(value)
            else:
                broken.append(broken_line(row, line, describe(value), "a JSON object"))
        read = [column.values([value.get(column.name) for value in good]) for column in columns]
        names = [column.name for column in columns]
        return assembled(schema, read, broken, lambda place: {name: good[place].get(name) for name in names})


class JsonText(Column):
    """A column that holds values of more than one type: each as its JSON."""

    json_type = None

    def values(self, values: Sequence[Any]) -> tuple[pa.Array, Bad]:
        """Write each value."""
        written = [None if value is None else dump_json(value).decode() for value in values]
        return pa.array(written, pa.string()), {}


def open_source(location: Location) -> JsonlSource:
    """Give the source of files of JSON Lines; the first lines are read."""
    return JsonlSource(location)
