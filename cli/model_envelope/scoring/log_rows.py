"""Rows of the inference log for what a job has scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.layout import columns_of, inputs, layout_of, rows_of
from model_envelope.runtime.codec.arrow.spelling import spelled
from model_envelope.runtime.codec.values.scalars import Refused
from model_envelope.runtime.inference_log import Logged
from model_envelope.scoring.quarantine import plain
from model_envelope.scoring.scorer import Scorer

if TYPE_CHECKING:
    from model_envelope.scoring.writing import Scored

UNPROCESSABLE = 422
"""The status of a row that was refused: what a service would say to it."""


class LogRows:
    """Makes a row of the log of each row of a table: its input as an object by column, its answer as JSON."""

    def __init__(self, scorer: Scorer, logged: Logged, parameters: Mapping[str, Any]) -> None:
        self.scorer = scorer
        self.logged = logged
        self.parameters = dict(parameters)
        parameters_of = {item.name: item.type for item in scorer.method.parameters}
        taken = parameters_of if scorer.by_row else _kinds(inputs(scorer.method).batches)
        self.inputs = dict(zip(scorer.columns, [(name, taken.get(name)) for name in scorer.wanted], strict=True))
        self.table = False
        given: Mapping[str, s.Type | None] = {scorer.bound.name: scorer.method.returns}
        if not scorer.by_row:
            batches = layout_of({"answer": scorer.method.returns}).batches
            self.table = columns_of(scorer.method.returns) is not None
            given = _kinds(batches)
        self.answers = [given.get(name, next(iter(given.values()), None)) for name in scorer.schema.names]

    def rows(self, scored: Scored, at: datetime, request: str = "") -> Iterator[dict[str, Any]]:
        """Give the rows of a batch, those that were refused among them; ``request`` is the id of the call.

        Without it, part and first row make one.
        """
        answered = scored.answered
        columns = {
            name: spelled_or_shown(scored.data.column(column), kind) for column, (name, kind) in self.inputs.items()
        }
        names = answered.answers.schema.names
        given = [
            spelled_or_shown(array, kind) for array, kind in zip(answered.answers.columns, self.answers, strict=True)
        ]
        places = range(scored.data.num_rows) if answered.good is None else answered.good
        answer_of = {place: number for number, place in enumerate(places)}
        request = request or f"{self.logged.run_id}/{scored.part.index}/{scored.rows[0] if len(scored.rows) else 0}"
        for place in range(scored.data.num_rows):
            body = self.parameters | {name: values[place] for name, values in columns.items()}
            number = answer_of.get(place)
            response: Any = None
            if number is not None:
                response = (
                    {name: values[number] for name, values in zip(names, given, strict=True)}
                    if self.table
                    else given[0][number]
                )
            yield self.logged.row(
                body,
                response,
                request_id=request,
                time=at,
                milliseconds=answered.seconds * 1000,
                status=200 if number is not None else UNPROCESSABLE,
                part=scored.names[place] if scored.names is not None else scored.part.name,
                row=scored.rows[place],
            )


def _kinds(batches: Mapping[str, s.Type]) -> dict[str, s.Type | None]:
    """Give the type of each column; None where a column is a struct, which is shown as it is."""
    if len(batches) == 1:
        name, kind = next(iter(batches.items()))
        columns = columns_of(kind)
        return {name: rows_of(kind)[0]} if columns is None else {column.name: column.type for column in columns}
    return {name: None if columns_of(kind) is not None else rows_of(kind)[0] for name, kind in batches.items()}


def spelled_or_shown(array: pa.Array, kind: s.Type | None) -> list[Any]:
    """Give the JSON values of a column as the codec spells them; a column that it cannot spell is shown as it is."""
    if kind is not None:
        try:
            return spelled(array, kind, null_is_nan=kind.nullable)
        except Refused:
            return plain(array.to_pylist())  # type: ignore[no-any-return]
    return plain(array.to_pylist())  # type: ignore[no-any-return]
