"""Tables as Spark reads and writes them: files of its file systems, Delta Lake, and tables of its catalogue."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.location import Location
from model_envelope.scoring.sinks.locking import LocalLock
from model_envelope.scoring.sinks.staging import SUFFIX, local_side
from model_envelope.scoring.sinks.troubles import told
from model_envelope.scoring.spark.errors import translated
from model_envelope.scoring.spark.types import ZONE, spark_type
from model_envelope.scoring.spark.worker import BROKEN
from model_envelope.scoring.tables import CannotWrite, InvalidJob, InvalidTable, Mode, Written

_FILES = {"parquet": "parquet", "csv": "csv", "jsonl": "json"}
_DELTA = {"version": "versionAsOf", "timestamp": "timestampAsOf", "time": "timestampAsOf"}
_STAGED = "spark-"
"""What the folders begin with that jobs stage their rows in, before the name of the run."""
_MOST_FILES = 1000
"""How many files are looked at to notice that the input changes."""
_MOST_ENDS = 100
"""How many files are opened to know how many rows there are."""


@dataclass(frozen=True)
class Input:
    """A table to read. ``files`` says that Spark knows, of each row, in which file and where in it that stands."""

    name: str
    frame: Any
    files: bool
    urls: Sequence[str] = ()
    known: pa.Schema = field(default_factory=lambda: pa.schema([]))

    def schema(self) -> pa.Schema:
        """Give its columns."""
        return self.known


def read(spark: Any, location: Location, types: Mapping[str, pa.DataType]) -> Input:
    """Open a table; ``types`` are those that text is read as.

    Raises :class:`InvalidJob` (``job.format``) for a format that Spark does not read, and :class:`InvalidTable`.
    """
    with translated(f"to read {location.shown}"):
        reader = spark.read.options(**_options(location))
        if location.format == "table":
            frame = reader.table(location.url)
        elif location.format == "delta":
            frame = reader.format("delta").load(location.url)
        elif location.format == "parquet":
            frame = reader.parquet(location.url)
        elif location.format in _FILES:
            frame = _text(spark, location, types)
        else:
            raise _no_format(location, "reads")
        files = location.format in _FILES
        urls = [unquote(url) for url in frame.inputFiles()] if files else []
        return Input(location.shown, frame, files, urls, _arrow(frame.schema))


def _options(location: Location) -> dict[str, str]:
    options = dict(location.options)
    if location.format == "delta":
        return {_DELTA.get(name, name): value for name, value in options.items()}
    return ({"header": "true"} | options) if location.format == "csv" else options


def _text(spark: Any, location: Location, types: Mapping[str, pa.DataType]) -> Any:
    """Read text whose columns have the types of the signature; the others are what Spark finds.

    Lines that cannot be read as that keep their text in a column of their own.
    """
    from pyspark.sql.types import StringType, StructField, StructType

    options = _options(location)
    found = spark.read.options(**({"inferSchema": "true"} | options)).format(_FILES[location.format]).load(location.url)
    fields = [
        StructField(one.name, spark_type(types[one.name]) if one.name in types else one.dataType)
        for one in found.schema
    ]
    schema = StructType([*fields, StructField(BROKEN, StringType())])
    options |= {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": BROKEN, "enforceSchema": "false"}
    return spark.read.options(**options).format(_FILES[location.format]).schema(schema).load(location.url)


def _arrow(schema: Any) -> pa.Schema:
    """Give the Arrow schema of a data frame; a column of a type that Arrow has not is told when it is needed."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    fields = []
    for column in schema:
        try:
            kind = to_arrow_type(column.dataType, timezone=ZONE)
        except PySparkException:
            kind = pa.null()
        if column.name != BROKEN:
            fields.append(pa.field(column.name, kind, column.nullable))
    return pa.schema(fields)


def state(spark: Any, table: Input) -> dict[str, str]:
    """Tell size and time of each file of the input; nothing where it is not made of files, or of very many."""
    if not table.urls or len(table.urls) > _MOST_FILES:
        return {}
    found = {}
    with translated(f"looking at {table.name}"):
        for url in table.urls:
            path, system = _path(spark, url)
            status = system.getFileStatus(path)
            found[url] = f"{status.getLen()} bytes, {status.getModificationTime()}"
    return found


def count(spark: Any, table: Input, location: Location) -> int | None:
    """Count the rows of Parquet files by what stands at their end; None where that takes long, or says nothing."""
    from py4j.protocol import Py4JError

    if location.format != "parquet" or len(table.urls) > _MOST_ENDS:
        return None
    hadoop = spark._jvm.org.apache.parquet.hadoop  # noqa: SLF001  as below
    settings = spark.sparkContext._jsc.hadoopConfiguration()  # noqa: SLF001
    rows = 0
    try:
        for url in table.urls:
            path, _ = _path(spark, url)
            file = hadoop.ParquetFileReader.open(hadoop.util.HadoopInputFile.fromPath(path, settings))
            rows += file.getRecordCount()
            file.close()
    except Py4JError:
        return None  # Spark tells what is wrong with a file when it reads that
    return rows


def _path(spark: Any, url: str) -> tuple[Any, Any]:
    """Give the path and its file system, as Spark's Hadoop calls them."""
    jvm, context = spark._jvm, spark.sparkContext._jsc  # noqa: SLF001  pyspark has no other way to its file systems
    path = jvm.org.apache.hadoop.fs.Path(url)
    return path, path.getFileSystem(context.hadoopConfiguration())


class Output:
    """A table to write. Files are staged beside it, and moved to its place when all of the job is there."""

    def __init__(self, spark: Any, location: Location, partition_by: Sequence[str] = ()) -> None:
        """Refuse a format that Spark does not write: :class:`InvalidJob` (``job.format``)."""
        if location.format not in {*_FILES, "delta", "table"}:
            raise _no_format(location, "writes")
        self.spark = spark
        self.location = location
        self.name = location.shown
        self.partition_by = tuple(partition_by)
        self.staged = ""
        self.rows = 0
        self.mode: Mode = "error"
        self.files = location.format in _FILES
        self.lock: LocalLock | None = None

    @property
    def guarantee(self) -> str:
        """Say when rows appear, what a killed job leaves, and what becomes of two jobs at once."""
        if not self.files:
            return (
                "Written by Spark as the table's format does: Delta Lake in one transaction, others file by file at "
                "the end, and a table that is replaced is gone while its successor is written. Nothing here keeps "
                "another job out."
            )
        alone = (
            "A second job is refused while one writes there."
            if self.lock is not None
            else "Nothing keeps a second job out: of two at once the last one stays, and what both append is added."
        )
        return (
            "A folder that appears, or takes the place of the old one, when all rows are written; what is appended "
            "appears file by file at the end. A job that is killed leaves the output as it was, and starts over. "
        ) + alone

    def open(self, run: str, schema: Any, mode: Mode) -> None:
        """Take the output, and look whether it can be written, before any row is scored.

        On this machine it is locked as the other engine locks it, so that jobs of both keep each other out. Elsewhere,
        and for tables of a catalogue and Delta Lake, there is no lock.

        Raises :class:`CannotWrite`: ``output.exists`` in mode ``error``, ``output.schema`` in mode ``append``,
        ``output.busy`` where another job has it.
        """
        self.mode = mode
        with translated(f"to look at {self.name}"):
            self._refuse_present()  # nothing is touched, not even for a lock, where the output is there
            if self.files:
                self._take()
                self._restore()
            self._refuse_present()
            there = self.exists()
            if there and mode == "append":
                self._need_schema(schema)
            if self.files and not (there and mode == "append"):
                self.staged = f"{self._beside()}/{_STAGED}{run}"

    def _refuse_present(self) -> None:
        if self.mode == "error" and self.exists():
            raise CannotWrite(
                f"there is something at {self.name} already",
                code="output.exists",
                hint="name another place, or say --mode overwrite or --mode append",
            )

    def _take(self) -> None:
        path, system = _path(self.spark, self.location.url)
        uri = system.makeQualified(path).toUri()
        if uri.getScheme() != "file":
            return
        place = Path(uri.getPath()).resolve()
        with told(self.name, far=False):
            place.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(local_side(str(place)))
            self.lock = LocalLock(self.name, str(folder))
            for left in folder.glob(f"{_STAGED}*"):  # by a job that was killed: a living one would have the lock
                shutil.rmtree(left)

    def exists(self) -> bool:
        """Tell whether there is something already."""
        if self.location.format == "table":
            return bool(self.spark.catalog.tableExists(self.location.url))
        path, system = _path(self.spark, self.location.url)
        return bool(system.exists(path))

    def write(self, frame: Any, doing: str) -> int:
        """Write the rows of a data frame, to where nobody sees them where that is possible; give how many these are."""
        from pyspark.sql import Observation
        from pyspark.sql import functions as f

        seen = Observation()
        observed = frame.observe(seen, f.count(f.lit(1)).alias("rows"))
        # What was to be made anew was looked at before: between that and now somebody else may have made it.
        mode = (
            "append" if self.mode == "append" and not self.staged else "error" if self.mode == "error" else "overwrite"
        )
        with translated(doing):
            writer = observed.write.mode(mode).options(**_options(self.location))
            if self.partition_by:
                writer = writer.partitionBy(*self.partition_by)
            if self.location.format == "table":
                writer.saveAsTable(self.location.url)
            elif self.location.format == "delta":
                writer.format("delta").save(self.location.url)
            else:
                writer.format(_FILES[self.location.format]).save(self.staged or self.location.url)
            self.rows = int(seen.get["rows"])
        return self.rows

    def commit(self) -> Written:
        """Let the world see what was written.

        Raises :class:`CannotWrite` (``output.exists``) where somebody else has made the output meanwhile.
        """
        with translated(f"to move the rows to {self.name}"):
            size = 0
            if self.staged:
                self._move()
            if self.location.format != "table":
                path, system = _path(self.spark, self.location.url)
                size = int(system.getContentSummary(path).getLength())
        return Written(self.rows, bytes=size)

    def close(self) -> None:
        """Drop what was staged and is not committed, and let go of the output."""
        try:
            if self.staged:
                self._drop()
        finally:
            if self.lock is not None:
                self.lock.release(last=True)

    def _drop(self) -> None:
        with translated(f"to clean up beside {self.name}"):
            path, system = _path(self.spark, self.staged)
            system.delete(path, True)
            parent = path.getParent()
            if system.exists(parent) and not len(system.listStatus(parent)):
                system.delete(parent, True)

    def _beside(self) -> str:
        path, system = _path(self.spark, self.location.url)
        whole = system.makeQualified(path)
        return f"{whole.getParent().toString().rstrip('/')}/.{whole.getName()}{SUFFIX}"

    def _replaced(self) -> str:
        return f"{self._beside()}/replaced"

    def _restore(self) -> None:
        """Put the old output back, where a job was killed between taking it away and putting the new one there."""
        old, system = _path(self.spark, self._replaced())
        place, _ = _path(self.spark, self.location.url)
        if system.exists(old) and not system.exists(place):
            system.rename(old, place)

    def _move(self) -> None:
        staged, system = _path(self.spark, self.staged)
        place, _ = _path(self.spark, self.location.url)
        old, _ = _path(self.spark, self._replaced())
        if system.exists(place):
            if self.mode != "overwrite":
                raise CannotWrite(
                    f"there is something at {self.name} that was not there when the job began",
                    code="output.exists",
                    hint="another job has written there; name another place, or say --mode overwrite",
                )
            system.delete(old, True)
            self._rename(system, place, old)
        else:
            system.mkdirs(place.getParent())
        self._rename(system, staged, place)
        system.delete(old, True)

    def _rename(self, system: Any, source: Any, target: Any) -> None:
        if not system.rename(source, target):
            raise CannotWrite(
                f"{source.toString()} cannot be moved to {target.toString()}",
                code="output.move",
                hint="see whether the folder may be written to",
            )

    def _need_schema(self, schema: Any) -> None:
        """Refuse to append rows of other columns; Spark itself would mix them."""
        if self.location.format == "jsonl":
            return  # each line names its columns
        there = read(self.spark, self.location, {}).frame.schema
        if self.location.format == "csv":
            old = {one.name: "" for one in there if one.name != BROKEN}
            new = {one.name: "" for one in schema}
        else:
            old = {one.name: one.dataType.simpleString() for one in there}
            new = {one.name: one.dataType.simpleString() for one in schema}
        if old == new:
            return
        problems = [
            Problem(f"$.{name}", new.get(name, "nothing") or "it", old.get(name, "nothing") or "it", "output.schema")
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        raise CannotWrite(
            f"the rows at {self.name} have other columns than those to append",
            code="output.schema",
            problems=problems,
            hint="append to a table of the same columns, name another place, or say --mode overwrite",
        )


def _no_format(location: Location, verb: str) -> InvalidJob:
    return InvalidJob(
        f"Spark {verb} no tables of the format `{location.format}`: {location.shown}",
        code="job.format",
        hint="it knows Parquet, CSV, JSON Lines, Delta Lake and `table:NAME` of its catalogue; "
        "the engine `python` knows more",
    )


def refuse_missing(names: Sequence[str], schema: pa.Schema, option: str) -> None:
    """Raise :class:`InvalidTable` (``table.columns``) for columns that an option names and a table has not."""
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise InvalidTable(
            f"there is no column {', '.join(missing)}, which {option} names",
            code="table.columns",
            hint=f"there are {', '.join(schema.names[:50])}",
        )
