"""Tables in Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from model_envelope.scoring.location import Location
from model_envelope.scoring.sources.cutting import Piece, fitted
from model_envelope.scoring.sources.dataset import FileSource, Plan, Unit, unify
from model_envelope.scoring.sources.files import TableFile, one_line, reading
from model_envelope.scoring.sources.selecting import row_groups
from model_envelope.scoring.tables import PART_ROWS, Changed, InvalidTable

BUFFER = 1 << 20
"""So much of a column is read at a time, in bytes, however large its row group is. It holds with ``pre_buffer=False``:
else Arrow reads whole row groups, and keeps all of a file until it is closed."""


class ParquetSource(FileSource):
    """Parquet files. The footers of all of them are read before any work, so a file without one is told at once."""

    def read(self, unit: Unit, plan: Plan) -> Iterator[Piece]:
        """Read row groups, a few pages at a time."""
        name = unit.file.shown
        with reading(name, "Parquet"), self.store.open(unit.file) as handle:
            file = pq.ParquetFile(handle, buffer_size=BUFFER, pre_buffer=False)
            sizes = _sizes(file.metadata)
            if sum(sizes[at] for at in unit.groups if at < len(sizes)) != unit.rows:
                raise Changed(
                    f"{name} is not the file that it was when the job began",
                    code="input.changed",
                    hint="run the job again when nothing writes to its input",
                )
            groups = self._groups(unit, plan)
            try:
                for batch in file.iter_batches(
                    plan.rows, row_groups=groups, columns=plan.needed.names, use_threads=False
                ):
                    yield Piece(fitted(batch, plan.needed))
            except (OSError, pa.ArrowException) as error:
                where = _damaged(file, groups, plan.needed.names)
                raise InvalidTable(
                    f"{name} cannot be read{where}: {one_line(error)}",
                    code="table.unreadable",
                    hint="the file is damaged or cut short; write it anew",
                ) from None

    def column_schema(self, file: TableFile) -> pa.Schema:
        """Give the columns of a file, as Arrow reads them."""
        return self._footers[file.path][0]

    def _columns(self) -> pa.Schema:
        if len(self.files) == 1:
            footers = [self._footer(self.files[0])]
        else:
            with ThreadPoolExecutor(8) as pool:
                footers = list(pool.map(self._footer, self.files))
        self._footers = {file.path: footer for file, footer in zip(self.files, footers, strict=True)}
        return unify(self.name, [(file, self.column_schema(file)) for file in self.files])

    def _footer(self, file: TableFile) -> tuple[pa.Schema, tuple[int, ...]]:
        with reading(file.shown, "Parquet"), self.store.open(file) as handle:
            found = pq.ParquetFile(handle)
            return found.schema_arrow.remove_metadata(), _sizes(found.metadata)

    def _units(self) -> Sequence[Unit]:
        units: list[Unit] = []
        for file in self.files:
            sizes = self._footers[file.path][1]
            cuts = _cuts(sizes)
            for groups in cuts:
                label = f" (row groups {groups[0]}-{groups[-1]})" if len(cuts) > 1 else ""
                units.append(Unit(file, sum(sizes[at] for at in groups), groups, label))
        return units

    def _groups(self, unit: Unit, plan: Plan) -> list[int]:
        """Leave out row groups that a filter surely has no row in, as their statistics tell."""
        if plan.where is None or not unit.groups:
            return list(unit.groups)
        constants = [
            ds.field(name).is_null()
            if value is None
            else ds.field(name) == pa.scalar(value).cast(self.partitions[name])
            for name, value in unit.file.partition
            if plan.partitions.get(name) == self.partitions.get(name)
        ]
        fragment = ds.ParquetFileFormat().make_fragment(
            unit.file.path,
            self.store.filesystem,
            partition_expression=reduce(and_, constants) if constants else None,
            row_groups=list(unit.groups),
        )
        return row_groups(fragment, plan.where, self.schema())


def _sizes(metadata: Any) -> tuple[int, ...]:
    return tuple(metadata.row_group(at).num_rows for at in range(metadata.num_row_groups))


def _cuts(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Join row groups to parts; what is left at the end joins the last one where it is less than half a part."""
    cuts: list[list[int]] = [[]]
    rows = 0
    for at, size in enumerate(sizes):
        if rows >= PART_ROWS:
            cuts.append([])
            rows = 0
        cuts[-1].append(at)
        rows += size
    if len(cuts) > 1 and rows < PART_ROWS // 2:
        last = cuts.pop()
        cuts[-1] += last
    return [tuple(groups) for groups in cuts]


def _damaged(file: Any, groups: Sequence[int], columns: Sequence[str]) -> str:
    """Find the row group that cannot be read, once some cannot."""
    for group in groups:
        try:
            for _ in file.iter_batches(row_groups=[group], columns=columns, use_threads=False):
                pass
        except (OSError, pa.ArrowException):
            return f" in row group {group}"
    return ""


def open_source(location: Location) -> ParquetSource:
    """Give the source of Parquet files; their footers are read."""
    return ParquetSource(location)
