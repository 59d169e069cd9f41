"""Rows that cannot be scored: found among the others, told where they are, and set aside in a table of their own."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

import pyarrow as pa

from model_envelope.runtime.errors import EnvelopeError, InvalidAnswer, InvalidPayload, ModelFailed, Problem
from model_envelope.scoring.scorer import Scorer
from model_envelope.scoring.tables import BadRow, InvalidTable

SCHEMA = pa.schema(
    [
        pa.field("part", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field(
            "problems",
            pa.list_(pa.struct([(name, pa.string()) for name in ("path", "found", "expected", "code")])),
            nullable=False,
        ),
        pa.field("text", pa.string()),
        pa.field("values", pa.string()),
    ]
)
"""The columns of a quarantine: where the row stood, what was wrong with it, and the row itself."""

KEPT = 100
"""How many problems the codec names at most; where it names as many there may be more."""
ALL_FAIL = 20
"""After so many rows by themselves that a model raised for, and none that it answered, it is not the rows."""
_ROW = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Answered:
    """The answers for a batch. ``good`` are the places of the rows that have one, None where all have."""

    answers: pa.RecordBatch
    good: Sequence[int] | None
    bad: Mapping[int, tuple[Problem, ...]]
    seconds: float
    """What the codec and the model took."""


class Answering:
    """Asks for the answers of batches. With ``salvage``, bad rows are found and left out; else they are an error."""

    def __init__(self, scorer: Scorer, *, salvage: bool) -> None:
        self.scorer = scorer
        self.salvage = salvage
        self._answered = 0
        self._failed = 0

    def answer(self, data: pa.RecordBatch) -> Answered:
        """Answer the rows of a batch, in their order.

        Raises what :meth:`Scorer.score` raises: without ``salvage`` for anything, with it for what concerns no single
        row, and :class:`ModelFailed` where the model raises for whatever row it is asked.
        """
        began = time.perf_counter()
        if not self.salvage:
            return Answered(self.scorer.score(data), None, {}, time.perf_counter() - began)
        bad: dict[int, tuple[Problem, ...]] = {}
        good: list[int] = []
        pieces: list[pa.RecordBatch] = []
        self._pick(data, range(data.num_rows), good, pieces, bad)
        answers = pieces[0] if len(pieces) == 1 else _joined(pieces, self.scorer.schema)
        return Answered(answers, good if bad else None, bad, time.perf_counter() - began)

    def _pick(
        self,
        data: pa.RecordBatch,
        places: Sequence[int],
        good: list[int],
        pieces: list[pa.RecordBatch],
        bad: dict[int, tuple[Problem, ...]],
    ) -> None:
        """Answer what can be answered of some rows. ``places`` are those of the rows of ``data`` in the batch."""
        try:
            answers = self.scorer.score(data)
        except InvalidPayload as error:
            found = by_row(error.problems, self.scorer.columns)
            if None in found or not found:
                raise
            if self.scorer.by_row or len(error.problems) >= KEPT:
                self._halves(data, places, good, pieces, bad, error, found)
                return
            for row, problems in found.items():
                bad[places[row or 0]] = tuple(problems)
            left = [at for at in range(data.num_rows) if at not in found]
            self._pick(data.take(pa.array(left, pa.int64())), [places[at] for at in left], good, pieces, bad)
        except (ModelFailed, InvalidAnswer) as error:
            self._halves(data, places, good, pieces, bad, error, {})
        else:
            self._answered += data.num_rows
            good += places
            pieces.append(answers)

    def _halves(
        self,
        data: pa.RecordBatch,
        places: Sequence[int],
        good: list[int],
        pieces: list[pa.RecordBatch],
        bad: dict[int, tuple[Problem, ...]],
        error: EnvelopeError,
        found: Mapping[int | None, Sequence[Problem]],
    ) -> None:
        if data.num_rows > 1:
            middle = data.num_rows // 2
            self._pick(data.slice(0, middle), places[:middle], good, pieces, bad)
            self._pick(data.slice(middle), places[middle:], good, pieces, bad)
            return
        if found:
            bad[places[0]] = tuple(found[0])
            return
        self._failed += 1
        if not self._answered and self._failed >= ALL_FAIL:
            raise error
        told = error.problems or (Problem("$", error.message, "an answer", error.code),)
        bad[places[0]] = tuple(told)


def _joined(pieces: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    table = pa.Table.from_batches(pieces, schema).combine_chunks().to_batches()
    return table[0] if table else pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def by_row(problems: Iterable[Problem], columns: Sequence[str]) -> dict[int | None, list[Problem]]:
    """Sort problems by the row of the batch that each is in; None are those of a column, or of all."""
    found: dict[int | None, list[Problem]] = {}
    bracketed = [name for name in columns if "[" in name]
    for problem in problems:
        path = problem.path
        for name in bracketed:
            path = path.replace(f".{name}", ".")
        place = _ROW.search(path)
        found.setdefault(int(place[1]) if place else None, []).append(problem)
    return found


def of_group(
    error: EnvelopeError, found: Mapping[int | None, Sequence[Problem]], rows: int
) -> list[tuple[Problem, ...]]:
    """Give the problems of each row of a group that was refused: the others' answers would lack the bad rows."""
    whole = (Problem("$", error.message, "an answer", error.code),)
    beside = (Problem("$", "another bad row in its group", "a group without bad rows", "row.group"),)
    rest = beside if found else whole
    return [tuple(found.get(at, rest)) for at in range(rows)]


def placed(problem: Problem, part: str, row: int | None) -> Problem:
    """Tell the place of a problem in the table, rather than in the batch; ``row`` is its number in the part."""
    path = problem.path if row is None else _ROW.sub("", problem.path, count=1)
    where = part if row is None else f"{part}, row {row}"
    return Problem(f"{where}: {path}", problem.found, problem.expected, problem.code)


def refused(error: EnvelopeError, part: str, rows: Sequence[int], columns: Sequence[str]) -> EnvelopeError:
    """Say where in the table a batch was that could not be answered."""
    span = f"rows {rows[0]} to {rows[-1]} of {part}" if len(rows) else part
    found = by_row(error.problems, columns)
    problems = [
        placed(problem, part, rows[row] if row is not None and row < len(rows) else None)
        for row, problems in found.items()
        for problem in problems
    ]
    return translated(error, span, problems, of_rows=found.keys() != {None})


def translated(error: EnvelopeError, span: str, problems: Sequence[Problem], *, of_rows: bool) -> EnvelopeError:
    """Make the error for rows that cannot be answered out of what the codec or the model said."""
    if isinstance(error, InvalidPayload):
        return InvalidTable(
            f"{error.message} ({span})",
            code="table.rows" if of_rows else "table.types",
            problems=problems,
            hint="`--on-bad-row quarantine` sets such rows aside and goes on"
            if of_rows
            else "make the columns of the types that the signature has: `envelope inspect` prints it",
            detail=error.detail,
        )
    return type(error)(
        f"{error.message} ({span})", code=error.code, problems=problems, hint=error.hint, detail=error.detail
    )


def broken(rows: Sequence[BadRow], part: str) -> InvalidTable:
    """Make the error for lines that a source could not read."""
    problems = [
        Problem(f"{part}, row {row.row}: {problem.path}", problem.found, problem.expected, problem.code)
        for row in rows
        for problem in row.problems
    ]
    return InvalidTable(
        f"{len(rows)} {'row' if len(rows) == 1 else 'rows'} of {part} cannot be read, the first is row {rows[0].row}",
        code="table.rows",
        problems=problems[:KEPT],
        hint="`--on-bad-row quarantine` sets such rows aside and goes on",
    )


def bad_rows(
    data: pa.RecordBatch, rows: Sequence[int], bad: Mapping[int, tuple[Problem, ...]], columns: Sequence[str]
) -> tuple[BadRow, ...]:
    """Describe the bad rows of a batch, with the values of its columns; paths no longer name the row."""
    return tuple(
        BadRow(
            rows[at],
            tuple(
                Problem(_ROW.sub("", item.path, count=1), str(item.found), item.expected, item.code)
                for item in problems
            ),
            values={name: plain(data.column(name)[at].as_py()) for name in columns},
        )
        for at, problems in sorted(bad.items())
    )


def table(rows: Sequence[tuple[str, BadRow]]) -> pa.RecordBatch:
    """Give rows of a quarantine, each with the name of its part."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([part for part, _ in rows], pa.string()),
            pa.array([row.row for _, row in rows], pa.int64()),
            pa.array([[problem.to_document() for problem in row.problems] for _, row in rows], SCHEMA.field(2).type),
            pa.array([row.text for _, row in rows], pa.string()),
            pa.array(
                [None if row.values is None else json.dumps(plain(row.values), ensure_ascii=False) for _, row in rows],
                pa.string(),
            ),
        ],
        schema=SCHEMA,
    )


def plain(value: Any) -> Any:
    """Give a value of a bad row as JSON: whatever it is, it is shown, not judged."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time_of_day():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return str(value)
