"""Batches of one size, whatever pieces a file comes in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from model_envelope.scoring.tables import BadRow, Batch

ROW = "\0"
"""Where the number of the row goes in the path of a problem, once that is known."""


@dataclass(frozen=True)
class Piece:
    """Some rows as a file gives them. ``broken`` are numbered by their place in the piece, among its good rows."""

    data: pa.RecordBatch
    broken: tuple[BadRow, ...] = ()


def cut(pieces: Iterable[Piece], rows: int, schema: pa.Schema) -> Iterator[Batch]:
    """Cut pieces into batches of so many rows, broken ones counted; the last one of all may have fewer.

    A piece that is a batch already is passed on as it is.
    """
    held: list[pa.RecordBatch] = []
    broken: list[BadRow] = []
    good = first = 0
    for piece in pieces:
        if not good and not broken and not piece.broken and piece.data.num_rows == rows:
            yield Batch(piece.data, first)
            first += rows
            continue
        start = first + good + len(broken)
        broken += [_numbered(item, start + item.row) for item in piece.broken]
        if piece.data.num_rows:
            held.append(piece.data)
            good += piece.data.num_rows
        while good + len(broken) >= rows:
            batch = _take(held, broken, first, rows, schema)
            good -= batch.data.num_rows
            first += rows
            yield batch
    if good or broken:
        yield _take(held, broken, first, good + len(broken), schema)


def _take(held: list[pa.RecordBatch], broken: list[BadRow], first: int, rows: int, schema: pa.Schema) -> Batch:
    """Take the next rows off what is held."""
    bad = [item for item in broken if item.row < first + rows]
    del broken[: len(bad)]
    taken: list[pa.RecordBatch] = []
    left = rows - len(bad)
    while left:
        head = held[0]
        if head.num_rows > left:
            taken.append(head.slice(0, left))
            held[0] = head.slice(left)
            left = 0
        else:
            taken.append(held.pop(0))
            left -= head.num_rows
    return Batch(one_batch(taken, schema), first, tuple(bad))


def _numbered(bad: BadRow, row: int) -> BadRow:
    problems = [replace(problem, path=problem.path.replace(ROW, f"[{row}]", 1)) for problem in bad.problems]
    return replace(bad, row=row, problems=tuple(problems))


def one_batch(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Join batches of one schema."""
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    table = pa.Table.from_batches(batches)
    if any(pa.types.is_dictionary(field.type) for field in table.schema):
        table = table.unify_dictionaries()
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Give the columns in their order; one that is all nulls in this file becomes of the type that others have."""
    arrays = [batch.column(field.name) for field in schema]
    arrays = [
        array if array.type == field.type else array.cast(field.type)
        for array, field in zip(arrays, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
