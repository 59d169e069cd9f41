"""The python engine: reads, asks and writes at once, each in a thread, and ends with everything committed or nothing.

The source is read by one thread and the sinks are written by another, part by part in step, while this one asks the
model (or the processes that do, see :mod:`workers`). Queues between them are short, so that memory is bounded by the
size of a batch. Whatever fails first is told, and all stop; what is staged by then stays for the same job to go on
with. Signals are the caller's: an exception that one raises in this thread stops the job in the same way.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.predicting import Predictor
from model_envelope.scoring import quarantine
from model_envelope.scoring.groups import ALL, Groups, stand_together
from model_envelope.scoring.job import Job
from model_envelope.scoring.memory import keep_freed
from model_envelope.scoring.observing import observers
from model_envelope.scoring.pipeline import Channel, Clock, Flow, Lane, Stopped
from model_envelope.scoring.plan import (
    Plan,
    digest_of,
    identity_of,
    make_plan,
    refuse_change,
    refuse_no_quarantine,
    refuse_same_places,
    settings_of,
)
from model_envelope.scoring.quarantine import Answered, Answering
from model_envelope.scoring.report import Output, Rows, RunReport
from model_envelope.scoring.sinks import open_sink
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import Batch, InvalidTable, Part, Run, Source
from model_envelope.scoring.workers import Advice, Workers
from model_envelope.scoring.writing import Outputs, PartEnd, Scored, Target, Writer

Report = Callable[[Mapping[str, Any]], None]
Read = tuple[Part, Batch | None]
"""A batch of a part; None after the last."""
Pending = tuple[Part, Batch | None, Answered | Future[Answered]]
"""A batch, and its answers once they are there."""

AHEAD = 2
"""How many batches wait between two threads."""


def score(job: Job, predictor: Predictor | None = None, *, report: Report = lambda _: None) -> RunReport:
    """Do a job. ``predictor`` is the loaded model where somebody has it already.

    ``report`` gets events: ``{"event": "progress", "rows", "total", ...}`` after each batch, and ``{"event": "note",
    "text"}`` for what was decided on the way. The run report is also written where ``job.report`` says.

    Raises :class:`InvalidJob`, :class:`InvalidTable`, ``CannotWrite``, ``Changed``, and what the model raises
    (``ModelFailed``, ``InvalidAnswer``).
    """
    keep_freed()
    refuse_same_places(job)
    refuse_no_quarantine(job)
    return _Job(job, predictor or Predictor.open(job.envelope), report).run()


class _Job:
    """One run."""

    def __init__(self, job: Job, predictor: Predictor, report: Report) -> None:
        self.job = job
        self.predictor = predictor
        self.report = report
        self.run_id = job.run_id or uuid.uuid4().hex
        self.clock = Clock()
        self.flow = Flow()
        self.reading, self.writing = Lane("reading"), Lane("writing")
        self.read: Channel[Read | Exception | None] = Channel(self.flow, AHEAD)
        self.written: Channel[Scored | PartEnd | Stopped | None] = Channel(self.flow, AHEAD)
        self.rows_read = self.rows_scored = self.rows_refused = 0
        self.parts_done = 0
        self.problems: Counter[str] = Counter()
        self.notes: list[str] = []
        self.workers_used = 1
        self.outputs: Outputs | None = None
        self.together = True

    def run(self) -> RunReport:
        self.started = datetime.now(UTC)
        self.began = time.perf_counter()
        with ExitStack() as stack:
            # The last is the first to end: all stop, the source and then the outputs are let go of.
            stack.callback(self.writing.close)
            stack.callback(self._let_go)
            stack.callback(self.reading.close)
            stack.callback(self.flow.stop)
            found = self._run()
        if self.job.report is not None:
            found.write(self.job.report)
        return found

    def _run(self) -> RunReport:
        self.source: Source = self.reading.call(open_source, self.job.input)
        self.plan: Plan = self.reading.call(make_plan, self.job, self.predictor, self.source)
        self.state = dict(self.reading.call(self.source.state))
        self.parts: Sequence[Part] = self.reading.call(self.source.parts)
        if not self.plan.row_wise and self.job.by:
            self.together = self.reading.call(stand_together, self.source, self.parts, self.job.by, self.plan.wanted)
        self.output_parts: Sequence[Part] = self.parts if self.together else (ALL,)
        envelope = self.predictor.envelope
        identity = identity_of(self.job, self.plan, envelope.digest, self.source.name, self.state)
        self._say_how()
        run = Run(identity, self.run_id, len(self.output_parts), self._facts(identity))
        outputs = self.outputs = Outputs(self._targets(), self.plan, self.run_id, envelope, self.job)
        self.done: frozenset[int] = self.writing.call(outputs.open, run, self.job.mode)
        self.parts_done = len(self.done)
        outputs.inputs, outputs.answers = observers(envelope.path, self.plan.scorer)
        self._work(outputs)
        refuse_change(self.state, dict(self.reading.call(self.source.state)))
        with self.clock.phase("committing"):
            self.writing.call(outputs.commit, self._refuse_many)
        return self._told(identity, outputs)

    def _let_go(self) -> None:
        if self.outputs is not None:
            self.writing.call(self.outputs.close)

    def _say(self, text: str) -> None:
        self.notes.append(text)
        self.report({"event": "note", "text": text})

    def _facts(self, identity: str) -> dict[str, str]:
        envelope = self.predictor.envelope
        facts = {"envelope": envelope.description.name, "digest": envelope.digest, "method": self.plan.method}
        # An id that was made up for this run would make the files of a job that goes on differ.
        return facts | {"job": identity} | ({"run_id": self.job.run_id} if self.job.run_id else {})

    def _targets(self) -> list[Target]:
        job = self.job
        # Parts are begun in this order and finished in the other.
        targets = [Target("output", self.writing.call(lambda: open_sink(job.output, partition_by=job.partition_by)))]
        if job.quarantine is not None and job.on_bad_row == "quarantine":
            targets.append(Target("quarantine", self.writing.call(open_sink, job.quarantine)))
        if job.log is not None:
            targets.append(Target("log", self.writing.call(open_sink, job.log)))
        return targets

    def _say_how(self) -> None:
        if self.plan.row_wise:
            if self.job.by:
                self._say(f"rows of `{self.plan.method}` are independent of each other: --by changes nothing")
        elif not self.job.by:
            self._say(
                f"`{self.plan.method}` is not known to treat rows independently: "
                "the whole table is read into memory and asked at once (--by COLUMN asks for each group by itself)"
            )
        elif self.together:
            self._say(f"groups by {', '.join(self.job.by)} stand together: they are asked as they pass by")
        else:
            self._say(
                f"rows of a group by {', '.join(self.job.by)} stand apart: the table is collected in the temporary "
                "folder, and written group by group"
            )
        if not self.state:
            self._say("this input cannot tell whether it changes while it is read")

    # Reading, in its thread

    def _read_all(self) -> None:
        try:
            self._read_parts()
        except Exception as error:  # noqa: BLE001  it is raised again behind what was read before it
            self.read.put(error)

    def _read_parts(self) -> None:
        for part in self.parts:
            if part.index in self.done and not self._needs_all:
                continue
            batches = iter(self.source.batches(part, self.plan.wanted))
            while True:
                with self.clock.phase("reading"):
                    batch = next(batches, None)
                self.read.put((part, batch))
                if batch is None:
                    break
        self.read.put(None)

    @property
    def _needs_all(self) -> bool:
        """Groups lie across parts."""
        return not self.plan.row_wise

    def _items(self) -> Iterator[Read]:
        while (item := self.read.get()) is not None:
            if isinstance(item, Exception):
                raise item
            batch = item[1]
            if batch is not None:
                if batch.broken and self.job.on_bad_row == "fail":
                    raise quarantine.broken(batch.broken, item[0].name)
                self.rows_read += batch.data.num_rows + len(batch.broken)
            yield item

    # Asking, in the main thread

    def _work(self, outputs: Outputs) -> None:
        if len(self.done) == len(self.output_parts):
            return
        writer = Writer(outputs, self.written, self.clock, self.job.batch_rows)
        road = self._rows_road if self.plan.row_wise else self._groups_road
        reading = self.reading.start(self.flow, self._read_all)
        writing = self.writing.start(self.flow, writer.write_all)
        try:
            for item in road():
                if isinstance(item, Scored):
                    self._count(item)
                else:
                    self.parts_done += 1
                self.written.put(item)
                self._progress()
            self.written.put(None)
            reading.result()
            writing.result()
            self.flow.raise_error()
        except Stopped:
            if self.flow.error is None:
                raise
            raise self.flow.error from None
        except Exception:
            # What was asked before is staged, for the job to go on after it.
            with suppress(Stopped):
                self.written.put(Stopped())
                writing.result()
            raise

    def _rows_road(self) -> Iterator[Scored | PartEnd]:
        """Ask batch by batch: here, or in processes once there are some; answers keep the order of the batches."""
        here = Answering(self.plan.scorer, salvage=self.job.on_bad_row == "quarantine")
        advice = Advice(self.job.workers, self._total())
        pending: deque[Pending] = deque()
        with ExitStack() as stack:
            workers: Workers | None = None
            for part, batch in self._items():
                if batch is None:
                    pending.append((part, None, Future()))
                else:
                    if workers is None and (advised := advice.now()):
                        workers = stack.enter_context(Workers(advised, self.job))
                        self.workers_used = advised
                        self._say(advice.reason)
                    if workers is None:
                        answered = self._asked(part, batch, partial(here.answer, batch.data))
                        advice.learn(batch.data, answered)
                        pending.append((part, batch, answered))
                    else:
                        pending.append((part, batch, workers.submit(batch.data)))
                while len(pending) > (workers.ahead if workers else 0):
                    _help(pending, here)
                    yield self._finished(*pending.popleft())
            while pending:
                _help(pending, here)
                yield self._finished(*pending.popleft())
        if self.job.workers == 0 and workers is None and advice.reason:
            self._say(advice.reason)

    def _finished(self, part: Part, batch: Batch | None, answered: Answered | Future[Answered]) -> Scored | PartEnd:
        if batch is None:
            return PartEnd(part)
        if isinstance(answered, Future):
            waiting = answered
            answered = self._asked(part, batch, waiting.result)
        bad = quarantine.bad_rows(batch.data, batch.rows(), answered.bad, self.plan.scorer.columns)
        return Scored(
            part, batch.data, batch.rows(), answered, tuple((part.name, row) for row in (*batch.broken, *bad))
        )

    def _asked(self, part: Part, batch: Batch, ask: Callable[[], Answered]) -> Answered:
        try:
            answered = ask()
        except EnvelopeError as error:
            raise quarantine.refused(error, part.name, batch.rows(), self.plan.scorer.columns) from error
        self.clock.add("predicting", answered.seconds)
        return answered

    def _groups_road(self) -> Iterator[Scored | PartEnd]:
        salvage = self.job.on_bad_row == "quarantine"
        groups = Groups(self.plan, self.job.by, salvage=salvage, skip=self.done, clock=self.clock)
        ask = groups.whole if not self.job.by else groups.passing if self.together else groups.collected
        return ask(self._items())

    def _count(self, scored: Scored) -> None:
        self.rows_scored += scored.answered.answers.num_rows
        self.rows_refused += len(scored.bad)
        for _, row in scored.bad:
            self.problems.update({problem.code for problem in row.problems})
        limit = self.job.max_bad_rows
        if scored.bad and limit is not None:
            most = limit if limit >= 1 else limit * total if (total := self._total()) is not None else None
            if most is not None and self.rows_refused > most:
                self._refuse_limit(self.rows_refused, scored)

    def _refuse_many(self, refused: int | None) -> None:
        """Hold the rows of the whole quarantine, those of earlier runs included, against the limit."""
        limit = self.job.max_bad_rows
        count = self.rows_refused if refused is None else refused
        if limit is None:
            return
        most = limit if limit >= 1 else limit * max(self.rows_read, self._all_rows() or 0)
        if count > most:
            self._refuse_limit(count, None)

    def _refuse_limit(self, count: int, scored: Scored | None) -> None:
        problems = [
            quarantine.placed(item, part, row.row)
            for part, row in (scored.bad if scored else ())[:20]
            for item in row.problems
        ]
        raise InvalidTable(
            f"{count:,} rows are bad, and the limit is {self.job.max_bad_rows:g}",
            code="table.bad-rows",
            problems=problems[: quarantine.KEPT],
            hint="see to the rows, or raise --max-bad-rows; the job goes on where it ended",
        )

    # Facts

    def _all_rows(self) -> int | None:
        return _sum(self.parts) if self.plan.wanted.where is None else None

    def _total(self) -> int | None:
        """Count the rows that this run has to read, where that is known."""
        if self.plan.wanted.where is not None:
            return None
        return _sum([part for part in self.parts if self._needs_all or part.index not in self.done])

    def _progress(self) -> None:
        self.report(
            {
                "event": "progress",
                "rows": self.rows_read,
                "total": self._total(),
                "refused": self.rows_refused,
                "parts_done": self.parts_done,
                "parts": len(self.output_parts),
            }
        )

    def _told(self, identity: str, outputs: Outputs) -> RunReport:
        envelope = self.predictor.envelope
        done = [part for part in self.parts if part.index in self.done]
        resumed = _sum(done) if self.plan.wanted.where is None or not done else None
        self.clock.seconds["waiting"] = self.read.waited_to_get + self.written.waited_to_put
        settings = settings_of(self.job, self.plan)
        return RunReport(
            run_id=self.run_id,
            identity=identity,
            started=self.started.isoformat(),
            envelope_name=envelope.description.name,
            envelope_digest=envelope.digest,
            method=self.plan.method,
            settings=settings | {"workers": self.job.workers, "max_bad_rows": self.job.max_bad_rows},
            input={"name": self.source.name, "state": self.state, "digest": digest_of(self.state)},
            rows=Rows(self.rows_read, self.rows_scored, self.rows_refused, resumed),
            parts=len(self.output_parts),
            parts_resumed=len(self.done),
            total_seconds=time.perf_counter() - self.began,
            seconds=self.clock.seconds,
            workers=self.workers_used,
            outputs={
                target.role: Output(target.sink.name, target.sink.guarantee, target.written)
                for target in outputs.targets
                if target.written is not None
            },
            problems=dict(self.problems.most_common()),
            observations=outputs.observations(),
            notes=tuple(self.notes),
        )


def _help(pending: deque[Pending], here: Answering) -> None:
    """While a process is at the first batch, answer those in this one that none has begun."""
    for at, (part, batch, answered) in enumerate(pending):
        first = pending[0][2]
        if isinstance(first, Answered) or first.done() or pending[0][1] is None:
            return
        # The processes take batches in their order: the first is always theirs.
        if at == 0 or batch is None or isinstance(answered, Answered) or not answered.cancel():
            continue
        done: Future[Answered] = Future()
        try:
            done.set_result(here.answer(batch.data))
        except EnvelopeError as error:
            done.set_exception(error)  # told when it is its turn
        pending[at] = (part, batch, done)


def _sum(parts: Sequence[Part]) -> int | None:
    rows = [part.rows for part in parts]
    return None if None in rows else sum(row or 0 for row in rows)
