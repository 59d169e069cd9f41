"""What the workers have seen of the columns, and how it comes together in the driver.

It travels in an accumulator, which Spark sends with the end of each task. Tasks may be repeated (an executor is lost, a
slow one is tried twice), and Spark counts again what a repeated one tells outside of the last stage of an action. So
each tells which partition it is of, and the driver takes the first that comes of each: a partition is counted once,
exactly. Statistics are of the first batches of each partition and of some later ones, chosen by their number alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from model_envelope.scoring.observing import Observer, observers
from model_envelope.scoring.scorer import Scorer


@dataclass
class Seen:
    """What was seen of inputs and answers in some partitions; ``rows`` are those of the inputs."""

    inputs: Observer
    answers: Observer
    partitions: set[int] = field(default_factory=set)
    rows: int = 0

    @classmethod
    def nothing(cls, envelope: Path, scorer: Scorer, *partitions: int) -> Seen:
        """Begin."""
        return cls(*observers(envelope, scorer), set(partitions))

    def see(self, data: pa.RecordBatch, answers: pa.RecordBatch) -> None:
        """Add a batch and its answers."""
        self.rows += data.num_rows
        self.inputs.see(data)
        self.answers.see(answers)

    def merge(self, other: Seen) -> None:
        """Add what was seen in other partitions; what is known already is not added again."""
        if other.partitions & self.partitions:
            return
        self.partitions |= other.partitions
        self.rows += other.rows
        self.inputs.merge(other.inputs)
        self.answers.merge(other.answers)

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"inputs": self.inputs.to_document(), "answers": self.answers.to_document()}


class Merging:
    """Says how Spark brings together what workers have seen: an ``AccumulatorParam``, known by its methods alone."""

    def zero(self, _: Seen | None) -> None:
        """Give what a worker begins with."""
        return

    def addInPlace(self, seen: Seen | None, more: Seen | None) -> Seen | None:  # noqa: N802  Spark calls it so
        """Add, in a worker, what it is going to see to nothing; in the driver what comes to what has come."""
        if seen is None or more is None:
            return more if seen is None else seen
        seen.merge(more)
        return seen
