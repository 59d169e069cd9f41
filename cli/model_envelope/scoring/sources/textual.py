"""What CSV and JSON Lines have in common: text that is read in blocks, and rows in it that cannot be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from model_envelope.runtime.codec.arrow.types import read_type
from model_envelope.runtime.codec.tables.storages import read_storage
from model_envelope.runtime.errors import EnvelopeError, Found, Problem
from model_envelope.scoring.sources.cells import Bad
from model_envelope.scoring.sources.cutting import ROW, Piece
from model_envelope.scoring.sources.dataset import FileSource
from model_envelope.scoring.tables import BadRow, InvalidJob, InvalidTable

BLOCK = 4 << 20
"""So many bytes are read at a time."""
LONGEST = 64 << 20
"""A line that is longer, in bytes, is none that can be scored."""
BOM = b"\xef\xbb\xbf"
_SHOWN = 65_536


class TextSource(FileSource):
    """Files without types of their own: the job says of which type a column is, or the option ``types``."""

    options: ClassVar[tuple[str, ...]] = ("partitions", "types")
    typed: ClassVar[bool] = False

    def said_types(self) -> dict[str, pa.DataType]:
        """Read the option ``types``: ``age:int64,seen:timestamp[us, tz=UTC]``.

        Raises :class:`InvalidJob` (``job.option``).
        """
        found = {}
        for item in filter(
            None, map(str.strip, re.split(r",(?![^\[<(]*[\]>)])", self.location.options.get("types", "")))
        ):
            name, _, said = item.rpartition(":")
            try:
                found[name] = read_type(read_storage(said))
            except EnvelopeError:
                name = ""
            if not name:
                raise InvalidJob(
                    f"the option types has {item!r}, which is no column with its type",
                    code="job.option",
                    hint="write it as age:int64,price:double,day:date32[day],seen:timestamp[us, tz=UTC]",
                )
        return found


def broken_line(row: int, text: bytes, found: str, expected: str) -> BadRow:
    """Make the bad row of a line that cannot be taken apart."""
    shown = text[: 4 * _SHOWN].decode("utf-8", "backslashreplace").rstrip("\r\n")[:_SHOWN]
    return BadRow(row, (Problem(f"${ROW}", Found(found, "a broken line"), expected, "table.line"),), text=shown)


def assembled(
    schema: pa.Schema,
    read: Sequence[tuple[pa.Array, Bad]],
    lines: Sequence[BadRow],
    values_at: Callable[[int], Mapping[str, Any]],
) -> Piece:
    """Put columns together to a piece: rows with a bad cell go to the broken ones, among the broken lines."""
    data = pa.RecordBatch.from_arrays([array for array, _ in read], schema=schema)
    bad: dict[int, list[Problem]] = {}
    for _, wrong in read:
        for place, problems in wrong.items():
            bad.setdefault(place, []).extend(problems)
    if not bad:
        return Piece(data, tuple(lines))
    places = sorted(bad)
    rows = spread(places, [item.row for item in lines])
    cells = [BadRow(row, tuple(bad[place]), values=values_at(place)) for row, place in zip(rows, places, strict=True)]
    kept = [True] * data.num_rows
    for place in places:
        kept[place] = False
    return Piece(data.filter(pa.array(kept, pa.bool_())), tuple(sorted([*lines, *cells], key=lambda item: item.row)))


def spread(places: Sequence[int], gone: Sequence[int]) -> list[int]:
    """Give the numbers that places had before the rows ``gone`` were taken out; both ascend."""
    rows, skipped = [], 0
    for place in places:
        while skipped < len(gone) and gone[skipped] <= place + skipped:
            skipped += 1
        rows.append(place + skipped)
    return rows


def blocks_of_lines(handle: Any, name: str) -> Iterator[bytes]:
    """Read whole lines, about so many bytes at a time; the last one is ended where it is not.

    Raises :class:`InvalidTable` (``table.line``) for a line beyond all measure.
    """
    held, first = b"", True
    while more := handle.read(BLOCK):
        if first:
            more, first = more.removeprefix(BOM), False
        cut = more.rfind(b"\n") + 1
        if cut:
            yield held + more[:cut]
            held = more[cut:]
        else:
            held += more
            refuse_endless(held, name)
    if held:
        yield held + b"\n"


def refuse_endless(held: bytes, name: str) -> None:
    """Raise :class:`InvalidTable` where a line has no end in sight."""
    if len(held) > LONGEST:
        raise InvalidTable(
            f"{name} has a line of more than {LONGEST >> 20} MiB",
            code="table.line",
            hint="it may be another format; each row has to be a line",
        )
