"""Filters and cuts the rows that a library reads: those of databases and of Delta Lake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.filtering import columns_of, mask_of
from model_envelope.scoring.sources import cutting
from model_envelope.scoring.sources.cutting import Piece
from model_envelope.scoring.tables import Batch, InvalidTable, Wanted


def columns_read(schema: pa.Schema, wanted: Wanted) -> list[str]:
    """Give the columns that must be read: the wanted ones, and those that the filter looks at.

    Raises :class:`InvalidTable` (``table.columns``) for those that there are not.
    """
    names = list(wanted.types)
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise InvalidTable(
            f"the table has no column {', '.join(missing)}",
            code="table.columns",
            problems=[Problem(f"$.{name}", "nothing", f"a column {name}", "table.columns") for name in missing],
            hint=f"it has {', '.join(schema.names[:50])}",
        )
    asks = () if wanted.where is None else columns_of(wanted.where, schema)
    return list(dict.fromkeys([*names, *asks]))


def cut(stream: Iterable[pa.RecordBatch], wanted: Wanted, name: str) -> Iterator[Batch]:
    """Filter rows, take out the wanted columns, and give batches of ``wanted.rows`` but for the last."""
    return cutting.cut((Piece(_kept(batch, wanted, name)) for batch in stream), wanted.rows, pa.schema([]))


def row_groups(fragment: Any, where: object | None, schema: pa.Schema) -> list[int]:
    """Give the row groups of a Parquet fragment but those that a filter surely has no row in, by their statistics."""
    try:
        left = fragment if where is None else fragment.subset(where, schema=schema)
    except (pa.ArrowException, TypeError):
        left = fragment  # What statistics cannot decide, each row does.
    return [group.id for group in left.row_groups]


def _kept(batch: pa.RecordBatch, wanted: Wanted, name: str) -> pa.RecordBatch:
    if wanted.where is not None:
        batch = batch.filter(mask_of(wanted.where, batch, name))
    names = list(wanted.types)
    return batch if names == batch.schema.names else batch.select(names)
