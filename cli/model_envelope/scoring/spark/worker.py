"""What runs in Spark's Python workers: the model is loaded once in each, and asked for batches or groups.

A worker process serves one envelope only: Spark starts others for other environments, and the digest is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from model_envelope.runtime import inference_log, manifest
from model_envelope.runtime.errors import EnvelopeError, InvalidEnvelope, Problem
from model_envelope.runtime.inference_log import Logged, Privacy
from model_envelope.runtime.predicting import Predictor
from model_envelope.scoring import quarantine
from model_envelope.scoring.job import Job
from model_envelope.scoring.log_rows import LogRows
from model_envelope.scoring.plan import make_scorer
from model_envelope.scoring.quarantine import Answered, Answering
from model_envelope.scoring.spark.errors import Told
from model_envelope.scoring.spark.progress import note
from model_envelope.scoring.spark.seen import Seen
from model_envelope.scoring.spark.types import from_spark, to_spark
from model_envelope.scoring.tables import BadRow, Part
from model_envelope.scoring.writing import Scored

BAD = "envelope_bad_row"
"""The column that bad rows are told in, where they are set aside: null for good ones."""
LOG = "envelope_log_row"
"""The column with each row of the inference log, where there is one: null for lines that could not be read."""
BROKEN = "envelope_broken_line"
"""The column in which Spark keeps a line that it could not read."""
ORDER = "envelope_order_"
"""What the columns begin with that put the rows of a group, or of a whole table, in their order."""


@dataclass(frozen=True)
class Asked:
    """What a worker is asked for. ``places`` are where the envelope may be, ``sent`` what Spark has sent it as.

    ``job`` says what of it is asked, ``columns`` what those that Spark sends are called, ``answers`` how each column of
    the answers is called in the output. ``by`` are the columns that make a group; ``whole`` says that all rows of the
    table are one. With ``salvage`` bad rows come out beside the others, those of a whole table excepted; with
    ``logged`` the rows of the inference log. ``seen`` is an accumulator of :class:`Seen`, ``progress`` a folder where
    workers on the machine of the driver note how far they are.
    """

    digest: str
    places: tuple[str, ...]
    sent: str
    job: Job
    columns: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    salvage: bool = False
    logged: bool = False
    by: tuple[str, ...] = ()
    whole: bool = False
    seen: Any = None
    progress: str = ""


class Task:
    """What a task of Spark needs to ask the model, made once for all batches or groups of a partition."""

    def __init__(self, asked: Asked, partition: int) -> None:
        if asked.digest not in _loaded:
            _loaded[asked.digest] = Predictor.open(find_envelope(asked), extra_columns="ignore")
        predictor = _loaded[asked.digest]
        envelope, job = predictor.envelope, asked.job
        scorer, _ = make_scorer(job, predictor)
        self.asked = asked
        self.partition = partition
        self.scorer = scorer
        self.answering = Answering(scorer, salvage=asked.salvage and not asked.whole and not asked.by)
        self.calls = 0
        self.seen = Seen.nothing(envelope.path, scorer, partition)
        if asked.seen is not None:
            asked.seen.add(self.seen)  # Spark sends it at the end of the task, with all that was seen by then
        privacy = Privacy(frozenset(job.log_without), frozenset(job.log_hashed))
        self.run_id = job.run_id
        logged = Logged.of(envelope, scorer.bound.name, "batch", run_id=job.run_id, privacy=privacy)
        self.log = LogRows(scorer, logged, job.parameters)

    def see(self, data: pa.RecordBatch, answered: Answered, part: str, rows: Sequence[int]) -> pa.StructArray | None:
        """Note what was asked and answered; give the rows of the inference log, where there is one."""
        self.seen.see(data, answered.answers)
        self.calls += 1
        if self.asked.progress:
            note(self.asked.progress, self.partition, self.seen.rows)
        if not self.asked.logged:
            return None
        request = f"{self.run_id}/{self.partition}/{self.calls - 1}"
        scored = Scored(Part(self.partition, part), data, rows, answered)
        logged = inference_log.arrow_rows(self.log.rows(scored, datetime.now(UTC), request))
        return to_spark(logged.to_struct_array())


_loaded: dict[str, Predictor] = {}
_tasks: dict[int, Task] = {}
"""The task that this process works at, by its number."""


def answer_batches(asked: Asked, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Answer the rows of a partition: what ``mapInArrow`` calls."""
    task = _task(asked)
    part = f"partition {task.partition}"
    first = 0
    for sent in _whole(batches) if asked.whole else batches:
        batch = _named(sent, asked)
        if batch.num_rows:
            yield from _answered(task, batch, part, first)
        first += batch.num_rows


def answer_group(asked: Asked, table: pa.Table) -> pa.Table:
    """Answer the rows of a group: what ``applyInArrow`` calls."""
    batch = _named(_in_order(table), asked)
    part = "group " + ", ".join(f"{name}={batch.column(name)[0].as_py()}" for name in asked.by)
    return pa.Table.from_batches(list(_answered(_task(asked), batch, part, 0)))


def find_envelope(asked: Asked) -> Path:
    """Find the folder of the envelope on this machine.

    Raises :class:`InvalidEnvelope` (``spark.envelope``) where it is at none of the places.
    """
    from pyspark import SparkFiles

    sent = [Path(SparkFiles.get(asked.sent))] if asked.sent else []
    places = [*sent, *map(Path, asked.places)]
    for place in places:
        sealed = place / manifest.NAME
        if sealed.is_file() and manifest.digest(sealed.read_bytes()) == asked.digest:
            return place
    raise InvalidEnvelope(
        f"a worker of Spark finds the envelope {asked.digest[:12]} at none of {', '.join(map(str, places))}",
        code="spark.envelope",
        hint="run workers from the image of the job, or have the driver read the envelope at a path of its own, from "
        "where it is sent to the workers",
    )


def _task(asked: Asked) -> Task:
    """Give the task that this process works at."""
    from pyspark import TaskContext

    context = TaskContext.get()
    number, partition = (context.taskAttemptId(), context.partitionId()) if context else (0, 0)
    if number not in _tasks:
        try:
            task = Task(asked, partition)
        except EnvelopeError as error:
            raise Told(error) from None
        _tasks.clear()
        _tasks[number] = task
    return _tasks[number]


def _named(batch: pa.RecordBatch, asked: Asked) -> pa.RecordBatch:
    """Give a batch with the names that its columns have in the table."""
    return pa.RecordBatch.from_arrays(
        batch.columns, names=[asked.columns.get(name, name) for name in batch.schema.names]
    )


def _whole(batches: Iterable[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Give all batches of a partition as one; none where there is none."""
    found = list(batches)
    return [_in_order(pa.Table.from_batches(found))] if found else []


def _in_order(table: pa.Table) -> pa.RecordBatch:
    """Give a table as one batch, its rows in the order of the input."""
    order = [(name, "ascending") for name in table.column_names if name.startswith(ORDER)]
    if order and table.num_rows:
        table = table.sort_by(order)
    batches = table.combine_chunks().to_batches()
    empty = [pa.array([], field.type) for field in table.schema]
    return batches[0] if batches else pa.RecordBatch.from_arrays(empty, schema=table.schema)


def _answered(task: Task, batch: pa.RecordBatch, part: str, first: int) -> Iterator[pa.RecordBatch]:
    asked = task.asked
    try:
        rows: Sequence[int] = range(first, first + batch.num_rows)
        broken: tuple[BadRow, ...] = ()
        if BROKEN in batch.schema.names:
            batch, rows, broken = _without_broken(batch, first)
            if broken and not asked.salvage:
                raise quarantine.broken(broken, part)
        data = from_spark(batch, task.scorer.types)
        found = _ask(task, data, part, rows)
        answers = [to_spark(column) for column in found.answers.columns]
        logged = task.see(data, found, part, rows)
    except EnvelopeError as error:
        raise Told(error) from None
    good = None if found.good is None else pa.array(found.good, pa.int64())
    kept = batch if good is None else batch.take(good)
    columns = {name: kept.column(name) for name in asked.kept}
    columns |= dict(zip(asked.answers.values(), answers, strict=True))
    log = {} if logged is None else {LOG: logged if good is None else logged.take(good)}
    if not asked.salvage:
        yield pa.RecordBatch.from_pydict(columns | log)
        return
    bad = (*broken, *quarantine.bad_rows(data, rows, found.bad, task.scorer.columns))
    bad = tuple(sorted(bad, key=lambda one: one.row))
    told = to_spark(quarantine.table([(part, row) for row in bad]).to_struct_array())
    if kept.num_rows:
        yield pa.RecordBatch.from_pydict(columns | {BAD: pa.nulls(kept.num_rows, told.type)} | log)
    if bad:
        if logged is not None:
            place = {rows[at]: at for at in found.bad}
            log = {LOG: logged.take(pa.array([place.get(one.row) for one in bad], pa.int64()))}
        empty = {name: pa.nulls(len(bad), column.type) for name, column in columns.items()}
        yield pa.RecordBatch.from_pydict(empty | {BAD: told} | log)


def _ask(task: Task, data: pa.RecordBatch, part: str, rows: Sequence[int]) -> Answered:
    """Ask the model; where a row of a group is bad, and rows are set aside, the whole group is."""
    asked, columns = task.asked, task.scorer.columns
    try:
        return task.answering.answer(data)
    except EnvelopeError as error:
        found = quarantine.by_row(error.problems, columns)
        if not (asked.by and asked.salvage) or None in found:
            raise quarantine.refused(error, part, rows, columns) from None
        bad = dict(enumerate(quarantine.of_group(error, found, data.num_rows)))
        schema = task.scorer.schema
        none = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
        return Answered(none, (), bad, 0.0)


def _without_broken(batch: pa.RecordBatch, first: int) -> tuple[pa.RecordBatch, Sequence[int], tuple[BadRow, ...]]:
    """Take the lines out that Spark could not read."""
    lines = batch.column(BROKEN).to_pylist()
    problem = Problem("$", "a line that cannot be read", "values of the types of the columns", "table.line")
    broken = tuple(
        BadRow(first + at, (problem,), text=line.rstrip("\n")) for at, line in enumerate(lines) if line is not None
    )
    if not broken:
        return batch, range(first, first + batch.num_rows), ()
    whole = [at for at, line in enumerate(lines) if line is None]
    return batch.take(pa.array(whole, pa.int64())), [first + at for at in whole], broken
