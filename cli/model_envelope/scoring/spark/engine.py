"""Does a job with Spark: reads, scores in its Python workers, and writes; the driver itself loads no model."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn, cast

import pyarrow as pa

from model_envelope.runtime import inference_log
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.errors import Problem
from model_envelope.runtime.predicting import BoundMethod, Predictor
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.scoring import quarantine
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import Location
from model_envelope.scoring.plan import (
    Plan,
    digest_of,
    identity_of,
    make_plan,
    make_scorer,
    refuse_change,
    refuse_no_quarantine,
    refuse_same_places,
    settings_of,
)
from model_envelope.scoring.report import Output as Told
from model_envelope.scoring.report import Rows, RunReport
from model_envelope.scoring.spark import tables
from model_envelope.scoring.spark.condition import condition, quoted
from model_envelope.scoring.spark.errors import translated
from model_envelope.scoring.spark.progress import Progress
from model_envelope.scoring.spark.seen import Merging, Seen
from model_envelope.scoring.spark.session import IMAGE, is_here, send, session, settings
from model_envelope.scoring.spark.types import spark_schema
from model_envelope.scoring.spark.worker import BAD, BROKEN, LOG, ORDER, Asked, answer_batches, answer_group
from model_envelope.scoring.tables import InvalidJob, InvalidTable

_SIDES = {"quarantine": quarantine.SCHEMA, "log": inference_log.arrow_schema()}
"""What is written beside the output, by its role."""

Report = Callable[[Mapping[str, Any]], None]


def score(job: Job, predictor: Predictor | None = None, *, report: Report = lambda _: None) -> RunReport:
    """Do a job in the session of Spark that is there, or in one of its own.

    ``report`` gets events, as that of the python engine does; ``predictor`` is taken for what it says of the methods
    alone. The run report is also written where ``job.report`` says.

    Raises :class:`InvalidJob`, :class:`InvalidTable`, ``CannotWrite``, ``Changed``, ``SparkFailed``, and what the model
    raises in a worker.
    """
    refuse_same_places(job)
    refuse_no_quarantine(job)
    _refuse(job)
    envelope = read_envelope(job.envelope)
    began = time.perf_counter()
    with session() as spark, settings(spark, job.batch_rows, envelope.digest):
        started = time.perf_counter() - began
        methods: Any = predictor or Described.of(envelope)
        run = _Run(job, envelope, methods, spark, report)
        with run.progress:
            found = run.run(began, started)
    if job.report is not None:
        found.write(job.report)
    return found


def _refuse(job: Job) -> None:
    """Raise :class:`InvalidJob` for settings that this engine has no use for."""
    if job.workers > 1:
        raise InvalidJob(
            "Spark itself says how many workers there are",
            code="job.workers",
            hint="leave --workers out; `spark.executor.instances` and `spark.executor.cores` say it to Spark",
        )


@dataclass(frozen=True)
class Described:
    """The methods of an envelope whose model nobody loads: their signatures are enough to plan a job."""

    envelope: EnvelopeFiles
    methods: Mapping[str, BoundMethod]

    @classmethod
    def of(cls, envelope: EnvelopeFiles) -> Described:
        """Read them."""
        signature = envelope.signature
        return cls(
            envelope,
            {
                name: BoundMethod(name, method, _never, MethodCodec(method, signature.definitions))
                for name, method in signature.methods.items()
            },
        )


def _never(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("the driver asks no model")


class _Run:
    """One run."""

    def __init__(self, job: Job, envelope: EnvelopeFiles, methods: Any, spark: Any, report: Report) -> None:
        self.job = job
        self.envelope = envelope
        self.methods = methods
        self.spark = spark
        self.report = report
        self.run_id = job.run_id or uuid.uuid4().hex
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.refused = 0
        self.problems: dict[str, int] = {}
        self.seen: Any = None
        self.progress = Progress(report, seen=lambda: self.seen.value.rows, here=is_here(spark))

    def run(self, began: float, started: float) -> RunReport:
        at = datetime.now(UTC)
        self.seconds["session"] = started
        with self._phase("planning"):
            scorer, _ = make_scorer(self.job, self.methods)
            source = tables.read(self.spark, self.job.input, scorer.types)
            # The condition is made for Spark below; what the other engine makes of it is of no use here.
            plan = make_plan(replace(self.job, where=""), self.methods, cast("Any", source))
            tables.refuse_missing(self.job.partition_by, plan.schema, "--partition-by")
            self._say_how(plan)
            before = tables.state(self.spark, source)
            total = None if self.job.where else tables.count(self.spark, source, self.job.input)
            self.seen = self.spark.sparkContext.accumulator(Seen.nothing(self.envelope.path, plan.scorer), Merging())
            scored, schema = self._scored(plan, source)
        with ExitStack() as stack:
            output = self._output(stack, self.job.output, self.job.partition_by)
            sides = self._sides(stack)
            self._stop_at_the_end(stack)
            output.open(self.run_id, schema, self.job.mode)
            for role, (_, side) in sides.items():
                side.open(self.run_id, spark_schema(_SIDES[role]), self.job.mode)
            if sides:
                scored = self._persisted(scored, stack)
            self.progress.start(total)
            with self._phase("scoring"):
                # The first of these asks the model; where there are several, the others find its answers.
                for role, (column, side) in sides.items():
                    self._write_side(scored, column, side, role)
                with translated("counting the rows"):
                    self._refuse_many(scored)
                answers = scored.where(scored[BAD].isNull()) if BAD in scored.columns else scored
                rows = output.write(answers.drop(BAD, LOG), f"scoring {source.name} into {output.name}")
            refuse_change(before, tables.state(self.spark, source))
            told: dict[str, Told] = {}
            with self._phase("committing"):
                for role, one in [*((role, side) for role, (_, side) in sides.items()), ("output", output)]:
                    told[role] = Told(one.name, one.guarantee, one.commit())
        self.progress.end(rows + self.refused)
        identity = identity_of(self.job, plan, self.envelope.digest, source.name, before)
        return RunReport(
            run_id=self.run_id,
            identity=identity,
            started=at.isoformat(),
            envelope_name=self.envelope.description.name,
            envelope_digest=self.envelope.digest,
            method=plan.method,
            settings=settings_of(self.job, plan) | {"engine": "spark", "max_bad_rows": self.job.max_bad_rows},
            input={"name": source.name, "state": before, "digest": digest_of(before)},
            rows=Rows(rows + self.refused, rows, self.refused),
            parts=1,
            parts_resumed=0,
            total_seconds=time.perf_counter() - began,
            seconds=self.seconds,
            workers=int(self.spark.sparkContext.defaultParallelism),
            outputs={role: told[role] for role in ("output", "quarantine", "log") if role in told},
            problems=self.problems,
            observations=self._observations(),
            notes=tuple(self.notes),
        )

    def _output(self, stack: ExitStack, location: Location, partition_by: tuple[str, ...] = ()) -> tables.Output:
        made = tables.Output(self.spark, location, partition_by)
        stack.callback(made.close)
        return made

    def _sides(self, stack: ExitStack) -> dict[str, tuple[str, tables.Output]]:
        """Give the tables that are written beside the output, by role, each with the column that it is made of."""
        found = {}
        if self.job.quarantine is not None and self._salvage:
            found["quarantine"] = BAD, self._output(stack, self.job.quarantine)
        if self.job.log is not None:
            found["log"] = LOG, self._output(stack, self.job.log)
        return found

    def _observations(self) -> dict[str, Any]:
        """Give what the columns held, and let go of it: Spark keeps an accumulator as long as the session lives."""
        found: dict[str, Any] = self.seen.value.to_document()
        self.seen.value = None
        return found

    def _stop_at_the_end(self, stack: ExitStack) -> None:
        """Have what Spark does for this job end where the job fails, before what is staged is dropped."""
        context = self.spark.sparkContext
        context.setJobGroup(self.run_id, f"model-envelope {self.envelope.description.name}", interruptOnCancel=True)
        stack.callback(context.setLocalProperty, "spark.jobGroup.id", None)
        # Where nothing is left to be cancelled, Spark warns of it.
        stack.push(lambda failed, *_: context.cancelJobGroup(self.run_id) if failed else None)

    @property
    def _salvage(self) -> bool:
        return self.job.on_bad_row == "quarantine"

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def _say(self, text: str) -> None:
        self.notes.append(text)
        self.report({"event": "note", "text": text})

    def _say_how(self, plan: Plan) -> None:
        if plan.row_wise and self.job.by:
            self._say(f"rows of `{plan.method}` are independent of each other: --by changes nothing")
        if not plan.row_wise and not self.job.by:
            self._say(
                f"`{plan.method}` is not known to treat rows independently: the whole table goes to one worker of "
                "Spark and is asked at once (--by COLUMN asks for each group by itself)"
            )

    def _scored(self, plan: Plan, source: tables.Input) -> tuple[Any, Any]:
        """Give the data frame of the output, with the bad rows where they are set aside; and the output's schema."""
        from pyspark.sql.types import StructField, StructType

        frame = source.frame
        if self.job.where:
            frame = frame.where(condition(self.job.where, frame, source.schema()))
        by = () if plan.row_wise else self.job.by
        broken = [BROKEN] if BROKEN in frame.columns else []
        names = list(dict.fromkeys([*plan.scorer.columns, *plan.keep, *by, *broken]))
        order = [] if plan.row_wise else self._order(source)
        # pyspark takes dots in names for fields: on the way to the workers columns have names of their own.
        short = {name: f"c{at}" for at, name in enumerate(names)}
        types = {name: frame.schema[name].dataType for name in names}
        frame = frame.select(*(frame[quoted(name)].alias(short[name]) for name in names), *order)
        whole = not plan.row_wise and not by
        asked = Asked(
            digest=self.envelope.digest,
            places=(str(self.envelope.path), str(IMAGE)),
            sent=send(self.spark, self.envelope),
            job=self._bare(),
            columns={short[name]: name for name in names},
            kept=plan.keep,
            answers=plan.answers,
            salvage=self._salvage,
            logged=self.job.log is not None,
            by=by,
            whole=whole,
            seen=self.seen,
            progress=self.progress.folder,
        )
        answers = spark_schema(pa.schema([field.with_name(plan.answers[field.name]) for field in plan.scorer.schema]))
        schema = StructType([*(StructField(name, types[name]) for name in plan.keep), *answers])
        beside = [(BAD, _SIDES["quarantine"])] if self._salvage else []
        if self.job.log is not None:
            beside.append((LOG, _SIDES["log"]))
        full = StructType([*schema, *(StructField(name, spark_schema(rows)) for name, rows in beside)])
        with translated(f"to score {source.name}"):
            if by:
                grouped = frame.groupBy(*(short[name] for name in by))
                ask = partial(answer_group, asked)
                ask.__annotations__ = {}  # where pyspark looks for what kind of function it is
                return grouped.applyInArrow(ask, full), schema
            if whole:
                frame = frame.coalesce(1)
            return frame.mapInArrow(partial(answer_batches, asked), full), schema

    def _order(self, source: tables.Input) -> list[Any]:
        """Give columns that the rows can be put in their order by: Spark keeps none beyond a partition."""
        from pyspark.sql import functions as f

        place = ["_metadata.file_path", "_metadata.file_block_start"] if source.files else []
        columns = [*(f.col(name) for name in place), f.monotonically_increasing_id()]
        return [column.alias(f"{ORDER}{at}") for at, column in enumerate(columns)]

    def _bare(self) -> Job:
        """Give the job as workers see it: without places, whose URLs may hold passwords."""
        nowhere = replace(self.job.input, url="", table="", options={})
        return replace(
            self.job, input=nowhere, output=nowhere, quarantine=None, log=None, report=None, run_id=self.run_id
        )

    def _persisted(self, scored: Any, stack: ExitStack) -> Any:
        """Keep the answers, so that the model is asked once although two tables are written from them."""
        from pyspark import StorageLevel

        kept = scored.persist(StorageLevel.MEMORY_AND_DISK)
        stack.callback(kept.unpersist)
        return kept

    def _write_side(self, scored: Any, column: str, side: tables.Output, role: str) -> None:
        """Write the rows that stand in a column of their own."""
        rows = scored.where(scored[column].isNotNull()).select(f"{column}.*")
        if role == "log":
            side.write(rows, f"writing the inference log {side.name}")
            return
        if side.location.format == "csv":
            from pyspark.sql import functions as f

            rows = rows.withColumn("problems", f.to_json("problems"))
        self.refused = side.write(rows, f"setting bad rows aside in {side.name}")

    def _refuse_many(self, scored: Any) -> None:
        """Count what is wrong, and hold the number of bad rows against the limit."""
        from pyspark.sql import functions as f

        if not self.refused:
            return
        bad = scored.where(scored[BAD].isNotNull())
        codes = bad.select(f.explode(f.array_distinct(f.col(f"{BAD}.problems.code"))).alias("code"))
        counted = codes.groupBy("code").count().orderBy(f.desc("count"), "code").collect()
        self.problems = {row["code"]: int(row["count"]) for row in counted}
        limit = self.job.max_bad_rows
        if limit is None:
            return
        most = limit if limit >= 1 else limit * scored.count()
        if self.refused <= most:
            return
        first = bad.select(f"{BAD}.*").limit(20).collect()
        raise InvalidTable(
            f"{self.refused:,} rows are bad, and the limit is {limit:g}",
            code="table.bad-rows",
            problems=[
                Problem(f"{row['part']}, row {row['row']}: {one['path']}", one["found"], one["expected"], one["code"])
                for row in first
                for one in row["problems"]
            ][: quarantine.KEPT],
            hint="see to the rows, or raise --max-bad-rows",
        )
