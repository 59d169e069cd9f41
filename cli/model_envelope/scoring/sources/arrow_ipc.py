"""Tables in Arrow IPC: streams, and files that have a footer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from model_envelope.scoring.location import Location
from model_envelope.scoring.sources.cutting import Piece, fitted
from model_envelope.scoring.sources.dataset import FileSource, Plan, Unit
from model_envelope.scoring.sources.files import COMPRESSIONS, TableFile, one_line, reading
from model_envelope.scoring.tables import InvalidTable

_MAGIC = b"ARROW1"


class ArrowSource(FileSource):
    """Files of Arrow IPC, of either form, told by their first bytes. One record batch is held at a time."""

    def read(self, unit: Unit, plan: Plan) -> Iterator[Piece]:
        """Read record batch after record batch, and the needed columns of each."""
        names = set(plan.needed.names)
        at = [place for place, name in enumerate(self.column_schema(unit.file).names) if name in names]
        done = 0
        with ExitStack() as stack, reading(unit.file.shown, "Arrow IPC"):
            for batch in self._batches(stack, unit.file, ipc.IpcReadOptions(included_fields=at, use_threads=False)):
                _check(batch, unit.file, done)
                data = fitted(batch, plan.needed)
                for start in range(0, data.num_rows, plan.rows):
                    yield Piece(data.slice(start, plan.rows))
                done += 1

    def column_schema(self, file: TableFile) -> pa.Schema:
        """Give the columns of a file."""
        with ExitStack() as stack, reading(file.shown, "Arrow IPC"):
            return _opened(stack, self._handle(stack, file), None).schema.remove_metadata()

    def _batches(self, stack: ExitStack, file: TableFile, options: Any) -> Iterator[pa.RecordBatch]:
        reader = _opened(stack, self._handle(stack, file), options)
        if isinstance(reader, ipc.RecordBatchFileReader):
            for at in range(reader.num_record_batches):
                yield reader.get_batch(at)
        else:
            yield from reader

    def _handle(self, stack: ExitStack, file: TableFile) -> Any:
        packed = file.path.endswith(tuple(COMPRESSIONS))
        return stack.enter_context(self.store.stream(file) if packed else self.store.open(file))


def _opened(stack: ExitStack, handle: Any, options: Any) -> Any:
    # A packed file can only be read from its beginning, and there a file is a stream behind its magic number.
    if handle.seekable():
        form = handle.read(len(_MAGIC)) == _MAGIC
        handle.seek(0)
        if form:
            return stack.enter_context(ipc.open_file(handle, options=options))
    return stack.enter_context(ipc.open_stream(handle, options=options))


def _check(batch: pa.RecordBatch, file: TableFile, at: int) -> None:
    """Check offsets and text before anything follows them: they may lie where a file is damaged."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InvalidTable(
            f"{file.shown} cannot be read in record batch {at}: {one_line(error)}",
            code="table.unreadable",
            hint="the file is damaged; write it anew",
        ) from None


def open_source(location: Location) -> ArrowSource:
    """Give the source of Arrow IPC files; what they say of their columns is read."""
    return ArrowSource(location)
