"""The files of one part: one, or with `partition_by` one in each folder `column=value` that it has rows for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.scoring.sinks.formats import Chunks, HashedFile, RowWriter, Style
from model_envelope.scoring.sinks.places import Place
from model_envelope.scoring.tables import CannotWrite, InvalidJob

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
MOST_FOLDERS = 512
"""How many folders one part may have rows for: each has a file that is open meanwhile."""
_ROWS = 65_536
_KEPT_GROUPS = 4


class OneFile:
    """A file that is being written."""

    def __init__(self, place: Place, path: str, schema: pa.Schema, style: Style) -> None:
        self._place, self._path = place, path
        self._file = HashedFile(place.create(path))
        self.rows = 0
        try:
            self._writer: RowWriter = style.begin(self._file, schema)
        except BaseException:
            self._drop()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        self._writer.write(batch)
        self.rows += batch.num_rows

    def flush(self) -> None:
        """Write rows that are kept back."""
        self._writer.flush()

    def finish(self) -> dict[str, object]:
        """End the file durably; give its facts."""
        self._writer.close()
        self._place.finish(self._file.file)
        return {"rows": self.rows, "bytes": self._file.size, "sha256": self._file.digest}

    def drop(self) -> None:
        """Give the file up."""
        self._file.dropped = True
        with contextlib.suppress(Exception):
            self._writer.close()
        self._drop()

    def _drop(self) -> None:
        self._place.drop(self._file.file, self._path)


class PartFiles:
    """What the rows of one part go to. ``name`` is that of its files, ``folder`` is where they are staged."""

    def __init__(
        self, place: Place, folder: str, name: str, schema: pa.Schema, style: Style, partition_by: tuple[str, ...]
    ) -> None:
        self._place, self._folder, self._name, self._style = place, folder, name, style
        self._by = partition_by
        self._schema = schema
        kept = [at for at, field in enumerate(schema) if field.name not in partition_by]
        self._inner = pa.schema([schema.field(at) for at in kept], metadata=schema.metadata)
        self._chunks = Chunks(schema, _ROWS)
        self._files: dict[str, OneFile] = {}
        self._since: dict[str, int] = {}
        if not partition_by:
            self._file("")

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        if not self._by:
            self._files[""].write(batch)
            return
        for chunk in self._chunks.add(batch):
            self._spread(chunk)

    def finish(self) -> dict[str, dict[str, object]]:
        """End all files durably; give the facts of each by its path."""
        for chunk in self._chunks.rest():
            self._spread(chunk)
        return {self._path(folder): file.finish() for folder, file in self._files.items()}

    def drop(self) -> None:
        """Give all files up."""
        for file in self._files.values():
            file.drop()

    def _path(self, folder: str) -> str:
        return f"{folder}/{self._name}" if folder else self._name

    def _file(self, folder: str) -> OneFile:
        if folder not in self._files:
            if len(self._files) >= MOST_FOLDERS:
                raise CannotWrite(
                    f"{self._name} has rows for more than {MOST_FOLDERS} folders of {', '.join(self._by)}",
                    code="output.partitions",
                    hint="partition by a column that has fewer values",
                )
            path = f"{self._folder}/{self._path(folder)}"
            self._files[folder] = OneFile(self._place, path, self._inner, self._style)
        return self._files[folder]

    def _spread(self, chunk: pa.RecordBatch) -> None:
        """Write the rows of each folder to its file, in their order, and bound what the files keep back."""
        for folder, rows in split(chunk, self._by):
            self._file(folder).write(
                pa.RecordBatch.from_arrays(rows.select(self._inner.names).columns, self._inner.names)
            )
            self._since[folder] = self._since.get(folder, 0) + rows.num_rows
        while sum(self._since.values()) > _KEPT_GROUPS * self._style.group:
            largest = max(self._since, key=lambda folder: self._since[folder])
            self._files[largest].flush()
            del self._since[largest]


def check_partitions(schema: pa.Schema, partition_by: tuple[str, ...]) -> None:
    """Raise :class:`InvalidJob` (``job.partition``) for columns that cannot name folders."""
    if not partition_by:
        return
    known = ", ".join(schema.names)
    missing = [name for name in partition_by if name not in schema.names]
    if missing:
        raise InvalidJob(
            f"the output has no column {', '.join(missing)} to partition by",
            code="job.partition",
            hint=f"it has {known}; columns of the input are there with --keep",
        )
    if set(schema.names) <= set(partition_by):
        raise InvalidJob(
            "all columns would be names of folders, and none in the files",
            code="job.partition",
            hint="partition by fewer of them",
        )
    for name in partition_by:
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        tests = (
            pa.types.is_integer,
            pa.types.is_boolean,
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_date,
        )
        if not any(test(kind) for test in tests):
            raise InvalidJob(
                f"{name} is {kind}, which names no folders",
                code="job.partition",
                hint="partition by integers, booleans, strings or dates",
            )


def split(batch: pa.RecordBatch, by: tuple[str, ...]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Give the rows of each folder, in the order in which the folders come up first."""
    if not batch.num_rows:
        return
    named: list[pa.Array] = []
    for name in by:
        column = batch.column(name)
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        encoded = column.cast(pa.string()).dictionary_encode()
        values = [_segment(name, value) for value in encoded.dictionary.to_pylist()]
        named.append(pc.fill_null(pa.array(values, pa.string()).take(encoded.indices), f"{_quoted(name)}={NO_VALUE}"))
    encoded = pc.binary_join_element_wise(*named, "/").dictionary_encode()
    order = pc.sort_indices(encoded.indices)  # a stable sort
    rows, start = batch.take(order), 0
    sizes: Mapping[int, int] = {item["values"]: item["counts"] for item in pc.value_counts(encoded.indices).to_pylist()}
    for at, folder in enumerate(encoded.dictionary.to_pylist()):
        yield folder, rows.slice(start, sizes[at])
        start += sizes[at]


def _segment(name: str, value: str) -> str:
    if not value:
        raise CannotWrite(
            f"a row has an empty string in {name}, which no folder can be called",
            code="output.partitions",
            hint="filter such rows out with --where, or partition by another column",
        )
    return f"{_quoted(name)}={_quoted(value)}"


def _quoted(text: str) -> str:
    return quote(text, safe=" ")
