"""Reads a Delta table at one version, through ``deltalake`` and Arrow's Parquet reader.

Options: ``version=NUMBER`` or ``timestamp=ISO 8601`` read the table as it was then; without them it is pinned to the
version that is newest when the source is opened. ``storage.NAME=VALUE`` is handed to the store
(``storage.AWS_REGION``), which also looks into the environment.

A part is one or more files, in the order of their names, of at least a million rows together. Files are read a few
pages at a time, however large their row groups are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from model_envelope.scoring.delta import library, storage_options, told
from model_envelope.scoring.location import Location
from model_envelope.scoring.sources.parquet import BUFFER
from model_envelope.scoring.sources.selecting import columns_read, cut, row_groups
from model_envelope.scoring.tables import PART_ROWS, Batch, InvalidJob, InvalidTable, Part, Wanted


def open_source(location: Location) -> DeltaSource:
    """Give the source of a Delta table. Raises :class:`InvalidTable` where there is none, or not that version."""
    deltalake = library()
    storage = storage_options(location, ("version", "timestamp"))
    version, moment = _as_of(location.options)
    try:
        table = deltalake.DeltaTable(location.url, version=version, storage_options=storage or None)
        if moment is not None:
            table.load_as_version(moment)
    except deltalake.exceptions.TableNotFoundError:
        raise InvalidTable(
            f"there is no Delta table at {location.shown}",
            code="table.missing",
            hint="a Delta table is a folder with a `_delta_log`; leave out `delta:` to read Parquet files",
        ) from None
    except (deltalake.exceptions.DeltaError, OSError, ValueError) as error:
        asked = f" at {', '.join(f'{k} {v}' for k, v in location.options.items() if k in ('version', 'timestamp'))}"
        raise InvalidTable(
            f"{location.shown} cannot be read{asked if asked != ' at ' else ''}",
            code="table.unreadable",
            detail=told(error, location, storage),
            hint="versions that were vacuumed are gone; credentials of a store come from its usual variables",
        ) from None
    return DeltaSource(location, storage, table)


def _as_of(options: Mapping[str, str]) -> tuple[int | None, datetime | None]:
    version, moment = options.get("version"), options.get("timestamp")
    if version is not None and moment is not None:
        raise InvalidJob(
            "a Delta table is read at a version or at a time, not both", code="job.option", hint="leave one out"
        )
    try:
        at = datetime.fromisoformat(moment) if moment is not None else None
        number = int(version) if version is not None else None
    except ValueError:
        number, at = -1, None
    if number is not None and number < 0:
        raise InvalidJob(
            f"{version or moment} is no {'version' if version else 'time'} of a Delta table",
            code="job.option",
            hint="version=3, or timestamp=2026-11-01T00:00:00Z",
        )
    return number, at if at is None or at.tzinfo else at.replace(tzinfo=UTC)


class DeltaSource:
    """One version of a Delta table."""

    def __init__(self, location: Location, storage: Mapping[str, str], table: Any) -> None:
        self.name = location.shown
        self._location = location
        self._storage = storage
        self._table = table
        try:
            self._dataset: ds.FileSystemDataset = table.to_pyarrow_dataset()
        except library().exceptions.DeltaError as error:
            raise InvalidTable(
                f"{self.name} uses a feature of Delta tables that is not read here",
                code="table.feature",
                detail=told(error, location, storage),
                hint="write a plain copy of it (Spark: `REORG TABLE ... APPLY (PURGE)` removes deletion vectors)",
            ) from None
        self._partitioned_by: Sequence[str] = table.metadata().partition_columns
        self._parts = self._planned()

    def schema(self) -> pa.Schema:
        """Give all columns, those that the table is partitioned by included."""
        return self._dataset.schema

    def parts(self) -> Sequence[Part]:
        """Give its parts."""
        return [part for part, _ in self._parts]

    def batches(self, part: Part, wanted: Wanted) -> Iterator[Batch]:
        """Read the files of a part, one after the other."""
        whole = self._dataset.schema
        schema = pa.schema([whole.field(name) for name in columns_read(whole, wanted)])
        files = self._parts[part.index][1]
        yield from cut((batch for file in files for batch in self._rows(file, schema, wanted)), wanted, part.name)

    def _rows(self, file: Any, schema: pa.Schema, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        """Read a file as Arrow's datasets do, which hold all of a row group and of those that come next."""
        try:
            known = ds.get_partition_keys(file.partition_expression)
            fixed = {name: known.get(name) for name in self._partitioned_by}
            with self._dataset.filesystem.open_input_file(file.path) as handle:
                stored = pq.ParquetFile(handle, buffer_size=BUFFER, pre_buffer=False)
                there = set(stored.schema_arrow.names) - fixed.keys()
                names = [name for name in schema.names if name in there]
                groups = None if wanted.where is None else self._groups(file, fixed, wanted.where)
                for batch in stored.iter_batches(wanted.rows, row_groups=groups, columns=names, use_threads=False):
                    yield _fitted(batch, schema, names, fixed)
        except (OSError, pa.ArrowException) as error:
            raise InvalidTable(
                f"{self.name} cannot be read: {file.path}, at version {self._table.version()}",
                code="table.unreadable",
                detail=told(error, self._location, self._storage),
                hint="a file of the table is broken or gone: `vacuum` deletes those of old versions",
            ) from None

    def _groups(self, file: Any, fixed: Mapping[str, Any], where: object) -> list[int]:
        """Leave out row groups that a filter surely has no row in.

        The library's own bounds are not asked: a file without a column that came later has bounds of null for it, by
        which no row of the file passes a filter on that column.
        """
        bounds = [
            ds.field(name).is_null() if value is None else ds.field(name) == self._scalar(name, value)
            for name, value in fixed.items()
        ]
        fragment = self._dataset.format.make_fragment(
            file.path, self._dataset.filesystem, partition_expression=reduce(and_, bounds) if bounds else None
        )
        return row_groups(fragment, where, self._dataset.schema)

    def _scalar(self, name: str, value: object) -> pa.Scalar[Any]:
        return pa.scalar(value, self._dataset.schema.field(name).type)

    def state(self) -> Mapping[str, str]:
        """Tell which table and version this is: what stands there never changes."""
        return {"table": str(self._table.metadata().id), "version": str(self._table.version())}

    def _planned(self) -> list[tuple[Part, list[Any]]]:
        actions = pa.table(self._table.get_add_actions(flatten=True))
        known = dict(zip(actions["path"].to_pylist(), actions["num_records"].to_pylist(), strict=True))
        known |= {unquote(path): rows for path, rows in known.items()}
        parts: list[tuple[Part, list[Any]]] = []
        files: list[Any] = []
        rows = 0
        for file in sorted(self._dataset.get_fragments(), key=lambda file: str(file.path)):
            counted = known.get(file.path)
            files.append(file)
            rows += file.count_rows() if counted is None else counted
            if rows >= PART_ROWS:
                parts.append((_part(len(parts), files, rows), files))
                files, rows = [], 0
        if files or not parts:
            parts.append((_part(len(parts), files, rows), files))
        return parts


def _part(index: int, files: Sequence[Any], rows: int) -> Part:
    names = [str(file.path) for file in files]
    more = f" and {len(names) - 1} more files" if len(names) > 1 else ""
    return Part(index, f"{names[0]}{more}" if names else "no files", rows)


def _fitted(batch: pa.RecordBatch, schema: pa.Schema, names: Sequence[str], fixed: Mapping[str, Any]) -> pa.RecordBatch:
    """Give the columns of the table: stored ones in its types, those of partitions, and nulls for what came later."""
    arrays = [
        batch.column(field.name).cast(field.type)
        if field.name in names
        else pa.repeat(pa.scalar(fixed.get(field.name), field.type), batch.num_rows)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
