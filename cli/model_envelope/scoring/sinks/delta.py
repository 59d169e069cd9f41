"""Writes a Delta table through ``deltalake``: all rows in one commit.

A thread hands the batches to the library as they come, which streams them into files that nobody sees before the
commit. The commit carries the identity of the job as an application transaction, as Delta's protocol has it for this:
run again after it, the same job finds it and writes nothing. The library writes batches on several threads, so rows
stand in the files in no order; Delta tables have none. It keeps a file of each partition open until the end, with up to
a row group of it in memory: what a partitioned table takes grows with the number of its partitions.

Options: ``storage.NAME=VALUE`` for the store.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import Full, Queue
from typing import Any

import pyarrow as pa

from model_envelope.scoring.delta import library, storage_options, told
from model_envelope.scoring.location import Location
from model_envelope.scoring.sinks.columns import Nowhere, Unfit, check_complete, converted, differences, fitted
from model_envelope.scoring.sinks.formats import ROW_GROUP
from model_envelope.scoring.tables import CannotWrite, InvalidJob, Mode, Part, PartWriter, Run, Written

_IDENTITY = "modelEnvelopeRun"
_REPLACING = ("CREATE OR REPLACE TABLE", "CREATE OR REPLACE TABLE AS SELECT", "RESTORE", "REPLACE TABLE")


def open_sink(location: Location, *, partition_by: tuple[str, ...] = ()) -> DeltaSink:
    """Give the sink of a Delta table."""
    library()
    return DeltaSink(location, storage_options(location, ()), partition_by)


class DeltaSink:
    """A Delta table that gets one commit."""

    guarantee = (
        "All rows appear at once, in one commit of the Delta table, in no order. A killed job leaves files that no "
        "version refers to (`vacuum` deletes them) and starts over; once committed it is not written again."
    )

    def __init__(self, location: Location, storage: Mapping[str, str], partition_by: tuple[str, ...]) -> None:
        self.name = location.shown
        self._location = location
        self._storage = dict(storage)
        self._partition_by = list(partition_by)
        self._feed: _Feed | None = None
        self._done: Written | None = None

    def open(self, run: Run, schema: pa.Schema, mode: Mode) -> frozenset[int]:
        """Look at what is there, and begin to write beside it."""
        self._run, self._mode = run, mode
        self._parts: set[int] = set()
        self._application = f"model-envelope/{run.identity}"
        self._schema = fitted(schema, _delta_type, self.name, "Parquet files hold it")
        missing = [name for name in self._partition_by if name not in schema.names]
        if missing or len(self._partition_by) == len(schema.names):
            raise InvalidJob(
                f"{self.name} cannot be partitioned by {', '.join(missing or self._partition_by)}",
                code="job.partition",
                hint=f"the output has the columns {', '.join(schema.names)}; one at least must be left over",
            )
        table = self._table()
        if table is not None:
            self._done = self._written_before(table)
            if self._done is not None:
                return frozenset(range(run.parts))
            self._check(table)
        self._feed = _Feed(self._schema, lambda reader: self._write(table, reader))
        return frozenset()

    @contextmanager
    def part(self, part: Part) -> Iterator[PartWriter]:
        """Take the rows of a part. One that fails takes all with it: nothing is committed."""
        if self._done is not None or part.index in self._parts:
            yield Nowhere()
            return
        feed = self._feeding()
        try:
            yield self
        except BaseException:
            feed.abandon()
            self._feed = None
            raise
        if feed.failure is not None:
            raise self._failed(feed.failure, part.name)
        self._parts.add(part.index)

    def write(self, batch: pa.RecordBatch) -> None:
        """Hand rows to the library; waits where it is behind."""
        feed = self._feeding()
        if not feed.put(converted(batch, self._schema, self.name)) and feed.failure is not None:
            raise self._failed(feed.failure)

    def commit(self) -> Written:
        """Commit, or tell what the same job had committed before."""
        if self._done is None:
            feed = self._feeding()
            check_complete(self.name, self._run, self._parts)
            feed.finish()
            self._feed = None
            if feed.failure is not None:
                raise self._failed(feed.failure)
            table = self._table()
            self._done = None if table is None else self._found(table)
            if self._done is None:
                raise CannotWrite(
                    f"{self.name} was committed, and another job has replaced it since",
                    code="output.busy",
                    hint="give each job an output of its own",
                )
        return self._done

    def close(self) -> None:
        """Stop writing; what is not committed is nowhere to be seen."""
        if self._feed is not None:
            self._feed.abandon()
            self._feed = None

    def _feeding(self) -> _Feed:
        if self._feed is None:
            raise CannotWrite(
                f"{self.name} takes no more rows: a part failed before, or it is closed",
                code="output.failed",
                hint="run the job again: it starts over",
            )
        return self._feed

    def _table(self) -> Any:
        deltalake = library()
        try:
            return deltalake.DeltaTable(self._location.url, storage_options=self._storage or None)
        except deltalake.exceptions.TableNotFoundError:
            return None
        except (deltalake.exceptions.DeltaError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def _check(self, table: Any) -> None:
        if self._mode == "error":
            raise CannotWrite(
                f"{self.name} exists already",
                code="output.exists",
                hint="`--mode overwrite` replaces its rows in a new version, `--mode append` adds to them",
            )
        if self._mode == "overwrite":
            return
        there = pa.schema(table.schema().to_arrow())
        self._schema = differences(self._schema, there, self.name)
        partitions = table.metadata().partition_columns
        if self._partition_by and self._partition_by != partitions:
            raise InvalidJob(
                f"{self.name} is partitioned by {', '.join(partitions) or 'nothing'}, "
                f"not by {', '.join(self._partition_by)}",
                code="job.partition",
                hint="leave out the partitions: rows that are appended go where the table has them",
            )
        self._partition_by = partitions

    def _write(self, table: Any, reader: pa.RecordBatchReader) -> None:
        deltalake = library()
        again = (table.transaction_version(self._application) if table is not None else None) or 0
        deltalake.write_deltalake(
            self._location.url if table is None else table,
            reader,
            mode=self._mode,
            partition_by=self._partition_by or None,
            schema_mode="overwrite" if self._mode == "overwrite" else None,
            storage_options=self._storage or None,
            # The library encodes a row group in memory before it writes it, and its own are of a million rows.
            writer_properties=deltalake.WriterProperties(compression="SNAPPY", max_row_group_size=ROW_GROUP),
            commit_properties=deltalake.CommitProperties(
                custom_metadata={_IDENTITY: self._run.identity, **self._run.facts},
                # What another writer commits meanwhile is never overwritten unseen, nor added to.
                max_commit_retries=None if self._mode == "append" else 0,
                app_transactions=[deltalake.Transaction(self._application, again + 1)],
            ),
        )

    def _written_before(self, table: Any) -> Written | None:
        """Tell what this job committed already, where that still stands.

        Rows that were appended stand until the table is replaced; a table that this job made or replaced is its own
        only while nobody has written to it since.
        """
        if table.transaction_version(self._application) is None:
            return None
        return self._found(table, standing=True)

    def _found(self, table: Any, *, standing: bool = False) -> Written | None:
        later: list[Mapping[str, Any]] = []
        for commit in table.history():
            if commit.get(_IDENTITY) == self._run.identity and commit.get("operation") == "WRITE":
                if standing and any(self._replaces(other) for other in later):
                    return None
                rows = int(commit.get("operationMetrics", {}).get("num_added_rows", 0))
                return Written(rows=rows, version=str(commit["version"]))
            later.append(commit)
        return None

    def _replaces(self, commit: Mapping[str, Any]) -> bool:
        operation = str(commit.get("operation", ""))
        how = commit.get("operationParameters", {})
        if operation in _REPLACING or (operation == "WRITE" and how.get("mode") == "Overwrite"):
            return True
        return self._mode != "append" and operation in {"WRITE", "MERGE", "UPDATE", "DELETE", "STREAMING UPDATE"}

    def _failed(self, error: BaseException, where: str = "") -> Exception:
        if not isinstance(error, Exception):
            raise error
        text = told(error, self._location, self._storage)
        conflict = isinstance(error, library().exceptions.CommitFailedError)
        if conflict and self._mode != "error":
            return CannotWrite(
                f"another job wrote to {self.name} at the same time, and this one committed nothing",
                code="output.busy",
                detail=text,
                hint="run it again",
            )
        if conflict or "already exists" in text:
            return CannotWrite(
                f"another job made {self.name} while this one ran, which committed nothing",
                code="output.exists",
                hint="`--mode overwrite` replaces its rows in a new version, `--mode append` adds to them",
            )
        full = "No space left" in text or "os error 28" in text or "File too large" in text
        return CannotWrite(
            f"{self.name} cannot be written{f': {where}' if where else ''}",
            code="output.full" if full else "output.failed",
            detail=text,
            hint="make room and run the job again" if full else "the table is as it was; run the job again",
        )


class _Feed:
    """A thread in which the library pulls batches, while the job pushes them. Holds a few, not more."""

    def __init__(self, schema: pa.Schema, write: Any) -> None:
        self.failure: BaseException | None = None
        self._queue: Queue[pa.RecordBatch | _Abandoned | None] = Queue(maxsize=2)
        self._ended = threading.Event()
        self._schema = schema
        self._write = write
        self._thread = threading.Thread(target=self._run, name="delta-sink", daemon=True)
        self._thread.start()

    def put(self, item: pa.RecordBatch | _Abandoned | None) -> bool:
        """Hand over a batch; False where the writer has ended, and would not take it."""
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except Full:
                continue
            return True
        return False

    def finish(self) -> None:
        """Say that there are no more rows, and wait for the commit."""
        self.put(None)
        self._thread.join()

    def abandon(self) -> None:
        """Let the writing fail, so that nothing is committed."""
        self.put(_Abandoned())
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write(pa.RecordBatchReader.from_batches(self._schema, self._batches()))
        except BaseException as error:  # noqa: BLE001 - told by the thread that feeds this one
            self.failure = error
        finally:
            self._ended.set()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Abandoned):
                raise item
            yield item


class _Abandoned(Exception):
    """The job does not want its rows written any more."""


def _delta_type(type_: pa.DataType) -> pa.DataType:
    """Give the type of Delta that holds all values of an Arrow type. Raises :class:`Unfit`."""
    if pa.types.is_dictionary(type_):
        return _delta_type(type_.value_type)
    if pa.types.is_unsigned_integer(type_):
        return {8: pa.int16(), 16: pa.int32(), 32: pa.int64(), 64: pa.decimal128(20, 0)}[type_.bit_width]
    if pa.types.is_float16(type_):
        return pa.float32()
    if pa.types.is_date(type_):
        return pa.date32()
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", "UTC" if type_.tz else None)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return pa.binary()
    if pa.types.is_decimal(type_):
        if type_.precision > 38 or not 0 <= type_.scale <= type_.precision:
            raise Unfit(type_)
        return pa.decimal128(type_.precision, type_.scale)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        return pa.list_(_delta_type(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, _delta_type(field.type)) for field in type_])
    if pa.types.is_boolean(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return type_
    raise Unfit(type_)
