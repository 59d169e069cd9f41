"""The end of the road: outputs, quarantine and log, written part by part in step by one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from model_envelope.runtime import inference_log
from model_envelope.runtime.inference_log import Logged, Privacy
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.scoring import quarantine
from model_envelope.scoring.job import Job
from model_envelope.scoring.log_rows import LogRows
from model_envelope.scoring.observing import Observer
from model_envelope.scoring.pipeline import Channel, Clock, Stopped
from model_envelope.scoring.plan import Plan
from model_envelope.scoring.quarantine import Answered
from model_envelope.scoring.tables import BadRow, InvalidTable, Mode, Part, PartWriter, Run, Sink, Written


@dataclass(frozen=True)
class Scored:
    """Rows of a part and their answers. ``rows`` are the numbers of those of ``data`` in the part."""

    part: Part
    data: pa.RecordBatch
    rows: Sequence[int]
    answered: Answered
    bad: tuple[tuple[str, BadRow], ...] = ()
    """Rows that were refused, each with the name of its part."""
    names: Sequence[str] | None = None
    """The part of each row, where they come from several."""


@dataclass(frozen=True)
class PartEnd:
    """There is no more of this part."""

    part: Part


@dataclass
class Target:
    """One table that the job writes. ``done`` are the parts of it that an earlier run staged."""

    role: str
    sink: Sink
    done: frozenset[int] = frozenset()
    opened: bool = False
    written: Written | None = None


@dataclass
class Outputs:
    """All tables that a job writes; used by one thread."""

    targets: list[Target]
    plan: Plan
    run_id: str
    envelope: EnvelopeFiles
    job: Job
    inputs: Observer = field(init=False)
    answers: Observer = field(init=False)

    def __post_init__(self) -> None:
        privacy = Privacy(frozenset(self.job.log_without), frozenset(self.job.log_hashed))
        logged = Logged.of(self.envelope, self.plan.method, "batch", run_id=self.run_id, privacy=privacy)
        self.log = LogRows(self.plan.scorer, logged, self.job.parameters)

    def open(self, run: Run, mode: Mode) -> frozenset[int]:
        """Take all, and give the parts that are staged in every one of them."""
        schemas = {"output": self.plan.schema, "quarantine": quarantine.SCHEMA, "log": inference_log.arrow_schema()}
        for target in self.targets:
            target.opened = True
            target.done = target.sink.open(run, schemas[target.role], mode)
        return frozenset.intersection(*(target.done for target in self.targets))

    def commit(self, check: Callable[[int | None], None]) -> Outputs:
        """Commit the output last, once ``check`` has seen how many rows the quarantine holds."""
        refused = None
        for target in reversed(self.targets):
            if target.role == "output":
                check(refused)
            target.written = target.sink.commit()
            if target.role == "quarantine":
                refused = target.written.rows
        return self

    def close(self) -> None:
        """Let go of all that was taken."""
        with ExitStack() as stack:
            for target in self.targets:
                if target.opened:
                    stack.callback(target.sink.close)

    def observations(self) -> dict[str, Any]:
        """Give what the columns held."""
        return {"inputs": self.inputs.to_document(), "answers": self.answers.to_document()}

    def rows_for(self, role: str, scored: Scored) -> pa.RecordBatch:
        """Make the rows of one table."""
        if role == "quarantine":
            return quarantine.table(scored.bad)
        if role == "log":
            return inference_log.arrow_rows(self.log.rows(scored, datetime.now(UTC)))
        return self._output(scored)

    def _output(self, scored: Scored) -> pa.RecordBatch:
        data = scored.data
        if scored.answered.good is not None:
            data = data.select(list(self.plan.keep)).take(pa.array(scored.answered.good, pa.int64()))
        arrays = []
        for at, name in enumerate(self.plan.keep):
            arrays.append(_as_planned(data.column(name), self.plan.schema.field(at), scored.part))
        return pa.RecordBatch.from_arrays([*arrays, *scored.answered.answers.columns], schema=self.plan.schema)


def _as_planned(array: pa.Array, wanted: pa.Field, part: Part) -> pa.Array:
    if array.type == wanted.type:
        return array
    try:
        return array.cast(wanted.type)
    except pa.ArrowException as error:
        raise InvalidTable(
            f"the column {wanted.name} of {part.name} is {array.type}, and that of the table {wanted.type}: {error}",
            code="table.types",
            hint="all parts of a table have the same columns",
        ) from None


class Writer:
    """Writes what comes through a queue. Small batches are put together, so that files do not get tiny pieces."""

    def __init__(
        self, outputs: Outputs, items: Channel[Scored | PartEnd | Stopped | None], clock: Clock, rows: int
    ) -> None:
        self.outputs = outputs
        self.items = items
        self.clock = clock
        self.rows = rows

    def write_all(self) -> None:
        """Write part after part until the end; a part that is not finished leaves nothing."""
        item = self._next()
        while item is not None:
            with ExitStack() as stack:
                writers = [
                    (target.role, _Gathered(stack.enter_context(target.sink.part(item.part)), self.rows))
                    for target in self.outputs.targets
                    if item.part.index not in target.done
                ]
                while isinstance(item, Scored):
                    self._observe(item)
                    with self.clock.phase("writing"):
                        for role, writer in writers:
                            if role != "quarantine" or item.bad:
                                writer.write(self.outputs.rows_for(role, item))
                    item = self._next()
                with self.clock.phase("writing"):
                    for _, writer in writers:
                        writer.flush()
            item = self._next()

    def _next(self) -> Scored | PartEnd | None:
        item = self.items.get()
        if isinstance(item, Stopped):
            raise item
        return item

    def _observe(self, scored: Scored) -> None:
        with self.clock.phase("observing"):
            self.outputs.inputs.see(scored.data)
            self.outputs.answers.see(scored.answered.answers)


class _Gathered:
    """Gathers small batches before they are written."""

    def __init__(self, writer: PartWriter, rows: int) -> None:
        self.writer = writer
        self.rows = rows
        self.gathered: list[pa.RecordBatch] = []
        self.count = 0

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        if not self.gathered and batch.num_rows >= self.rows:
            self.writer.write(batch)
            return
        self.gathered.append(batch)
        self.count += batch.num_rows
        if self.count >= self.rows:
            self.flush()

    def flush(self) -> None:
        if self.gathered:
            for batch in pa.Table.from_batches(self.gathered).combine_chunks().to_batches():
                self.writer.write(batch)
        self.gathered, self.count = [], 0
