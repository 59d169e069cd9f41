"""Methods whose answers depend on other rows: the whole table at once, or group by group (``--by``).

Where equal keys stand one after the other, groups are asked as they pass by, and rows keep their order. Where they do
not, all rows go to an Arrow file in the temporary folder first; then rows come out group by group, groups in the order
in which they first appear. A group is held in memory whole, either way. Where a row of a group is bad the whole group
is, since the answers to the others would depend on its absence.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.runtime.errors import EnvelopeError, Problem
from model_envelope.scoring import quarantine
from model_envelope.scoring.pipeline import Clock
from model_envelope.scoring.plan import Plan
from model_envelope.scoring.quarantine import Answered, Answering
from model_envelope.scoring.tables import BadRow, Batch, CannotWrite, Part, Source, Wanted
from model_envelope.scoring.writing import PartEnd, Scored

Read = tuple[Part, Batch | None]
ALL = Part(0, "all groups")
"""The only part of an output whose rows come group by group."""
_PART, _ROW = "model_envelope.part", "model_envelope.row"


def runs(data: pa.RecordBatch, by: Sequence[str]) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
    """Cut a batch where a key changes; give begin, end and key of each piece. Null and NaN are keys like others."""
    rows = data.num_rows
    if not rows:
        return
    changes: Any = None
    for name in by:
        array = data.column(name)
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        codes = array.dictionary_encode(null_encoding="encode").indices
        differs = pc.not_equal(codes.slice(1), codes.slice(0, rows - 1))
        changes = differs if changes is None else pc.or_(changes, differs)
    starts = [0, *(at + 1 for at in pc.indices_nonzero(changes).to_pylist())]
    keys = zip(*(data.column(name).take(pa.array(starts)).to_pylist() for name in by), strict=True)
    for (begin, end), key in zip(pairwise([*starts, rows]), keys, strict=True):
        yield begin, end, tuple(map(_hashable, key))


def _hashable(value: Any) -> Any:
    if isinstance(value, float) and value != value:  # noqa: PLR0124  NaN is not itself
        return ("NaN",)
    return repr(value) if isinstance(value, list | dict) else value


def stand_together(source: Source, parts: Sequence[Part], by: Sequence[str], wanted: Wanted) -> bool:
    """Tell whether rows of equal keys stand one after the other in the whole table; reads the columns of the key."""
    seen: set[int] = set()
    last: tuple[Any, ...] | None = None
    for part in parts:
        for batch in source.batches(part, Wanted(dict.fromkeys(by), wanted.rows, wanted.where)):
            for _, _, key in runs(batch.data, by):
                if key == last:
                    continue
                mark = hash(key)
                if mark in seen:
                    return False
                seen.add(mark)
                last = key
    return True


class Groups:
    """Asks for groups. ``skip`` are parts whose outputs are staged already."""

    def __init__(self, plan: Plan, by: Sequence[str], *, salvage: bool, skip: frozenset[int], clock: Clock) -> None:
        self.plan = plan
        self.by = tuple(by)
        self.salvage = salvage
        self.skip = skip
        self.clock = clock
        self.answering = Answering(plan.scorer, salvage=False)

    def whole(self, items: Iterable[Read]) -> Iterator[Scored | PartEnd]:
        """Ask the whole table at once. A bad row is an error."""
        pieces: list[Scored | PartEnd] = []
        for part, batch in items:
            pieces.append(PartEnd(part) if batch is None else _piece(part, batch))
        yield from self._asked(pieces, salvage=False)

    def passing(self, items: Iterable[Read]) -> Iterator[Scored | PartEnd]:
        """Ask group by group while they pass by."""
        last: tuple[Any, ...] | None = None
        group: list[Scored | PartEnd] = []
        for part, batch in items:
            if batch is None:
                group.append(PartEnd(part))
                continue
            rows = batch.rows()
            if batch.broken:
                group.append(_piece(part, Batch(batch.data.slice(0, 0), batch.first, batch.broken)))
            for begin, end, key in runs(batch.data, self.by):
                if key != last:
                    yield from self._asked(group, salvage=self.salvage)
                    group, last = [], key
                data = batch.data.slice(begin, end - begin)
                group.append(Scored(part, data, rows[begin:end], _nothing(self.plan, 0)))
        yield from self._asked(group, salvage=self.salvage)

    def collected(self, items: Iterable[Read]) -> Iterator[Scored | PartEnd]:
        """Collect all rows on disk, and ask group by group after that."""
        with tempfile.TemporaryDirectory(prefix="envelope-batch-") as folder:
            names: list[str] = []
            broken: list[tuple[str, BadRow]] = []
            try:
                batches, codes = self._spilled(Path(folder) / "rows.arrow", items, names, broken)
            except OSError as error:
                raise CannotWrite(
                    f"groups are collected in {folder}, which fails: {error.strerror or error}",
                    code="groups.spill",
                    hint="name a folder with more room in TMPDIR, or sort the table by the columns of --by",
                ) from None
            if broken:
                yield Scored(ALL, self.plan_data(), [], _nothing(self.plan, 0), tuple(broken))
            for group in _gathered(batches, codes, self.plan.wanted.rows):
                taken = [names[at] for at in group.column(_PART).to_pylist()]
                rows = group.column(_ROW).to_pylist()
                data = group.drop_columns([_PART, _ROW])
                yield from self._asked(
                    [Scored(ALL, data, rows, _nothing(self.plan, 0), names=taken)], salvage=self.salvage
                )
        yield PartEnd(ALL)

    def plan_data(self) -> pa.RecordBatch:
        """Give no rows of the columns that are read."""
        types = {name: kind or pa.null() for name, kind in self.plan.wanted.types.items()}
        kept = {field.name: field.type for field in self.plan.schema if field.name in self.plan.keep}
        return pa.RecordBatch.from_pydict({name: pa.array([], kept.get(name, kind)) for name, kind in types.items()})

    def _spilled(
        self, path: Path, items: Iterable[Read], names: list[str], broken: list[tuple[str, BadRow]]
    ) -> tuple[list[pa.RecordBatch], pa.Array]:
        """Write all rows to a file; give its batches, which are mapped from it, and the number of each row's group."""
        numbers: dict[tuple[Any, ...], int] = {}
        codes: list[pa.Array] = []
        writer: Any = None
        with path.open("wb") as file:
            for part, batch in items:
                if not names or names[-1] != part.name:
                    names.append(part.name)
                if batch is None:
                    continue
                broken += [(part.name, row) for row in batch.broken]
                data = batch.data.append_column(_PART, pa.array([len(names) - 1] * batch.data.num_rows, pa.int32()))
                data = data.append_column(_ROW, pa.array(batch.rows(), pa.int64()))
                writer = writer or pa.ipc.new_file(file, data.schema)
                writer.write_batch(data)
                found: list[int] = []
                for begin, end, key in runs(data, self.by):
                    found += [numbers.setdefault(key, len(numbers))] * (end - begin)
                codes.append(pa.array(found, pa.int32()))
            if writer is not None:
                writer.close()
        if writer is None:
            return [], pa.array([], pa.int32())
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(at) for at in range(reader.num_record_batches)]
        return batches, pa.concat_arrays(codes)

    def _asked(self, pieces: list[Scored | PartEnd], *, salvage: bool) -> Iterator[Scored | PartEnd]:
        """Ask for one group, and give its pieces with their answers; parts that end in it end after them."""
        scored = [piece for piece in pieces if isinstance(piece, Scored)]
        if scored and all(piece.part.index in self.skip for piece in scored) and self.by:
            yield from (piece for piece in pieces if isinstance(piece, PartEnd))
            return
        answered = self._answers([piece for piece in scored if piece.data.num_rows], salvage=salvage)
        first = 0
        for piece in pieces:
            if isinstance(piece, PartEnd):
                yield piece
                continue
            count = piece.data.num_rows
            if isinstance(answered, Answered):
                answers = answered.answers.slice(first, count)
                yield Scored(
                    piece.part, piece.data, piece.rows, Answered(answers, None, {}, answered.seconds), piece.bad,
                    piece.names,
                )  # fmt: skip
            else:
                bad = {at: answered[first + at] for at in range(count)}
                told = quarantine.bad_rows(piece.data, piece.rows, bad, self.plan.scorer.columns)
                named = [(piece.names[at] if piece.names else piece.part.name, row) for at, row in enumerate(told)]
                yield Scored(
                    piece.part, piece.data, piece.rows, Answered(_nothing(self.plan, 0).answers, [], bad, 0.0),
                    (*piece.bad, *named), piece.names,
                )  # fmt: skip
            first += count

    def _answers(self, pieces: Sequence[Scored], *, salvage: bool) -> Answered | list[tuple[Problem, ...]]:
        """Ask for the rows of all pieces at once; for a group that is refused give the problems of each row."""
        if not pieces:
            return _nothing(self.plan, 0)
        names = list(self.plan.scorer.columns)
        table = pa.Table.from_batches([piece.data.select(names) for piece in pieces]).combine_chunks()
        try:
            answered = self.answering.answer(table.to_batches()[0])
        except EnvelopeError as error:
            found = quarantine.by_row(error.problems, names)
            if not salvage or None in found:
                raise self._refused(error, pieces) from error
            return quarantine.of_group(error, found, table.num_rows)
        self.clock.add("predicting", answered.seconds)
        return answered

    def _refused(self, error: EnvelopeError, pieces: Sequence[Scored]) -> EnvelopeError:
        ends = list(accumulate(piece.data.num_rows for piece in pieces))
        problems = []
        by_row = quarantine.by_row(error.problems, self.plan.scorer.columns)
        of_rows = by_row.keys() != {None}
        for row, found in by_row.items():
            at = 0 if row is None else min(bisect_right(ends, row), len(pieces) - 1)
            piece = pieces[at]
            local = None if row is None else row - (ends[at] - piece.data.num_rows)
            name = piece.part.name if local is None or piece.names is None else piece.names[local]
            number = None if local is None else piece.rows[local]
            problems += [quarantine.placed(problem, name, number) for problem in found]
        span = pieces[0].part.name if len(pieces) == 1 else f"{pieces[0].part.name} to {pieces[-1].part.name}"
        return quarantine.translated(error, span, problems, of_rows=of_rows)


def _piece(part: Part, batch: Batch) -> Scored:
    bad = tuple((part.name, row) for row in batch.broken)
    return Scored(part, batch.data, batch.rows(), Answered(batch.data.slice(0, 0), None, {}, 0.0), bad)


def _nothing(plan: Plan, seconds: float) -> Answered:
    empty = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in plan.scorer.schema], schema=plan.scorer.schema)
    return Answered(empty, None, {}, seconds)


def _gathered(batches: Sequence[pa.RecordBatch], codes: pa.Array, rows: int) -> Iterator[pa.RecordBatch]:
    """Give group after group. Several that are small are taken out of the file at once."""
    order = pc.sort_indices(codes)
    ordered = codes.take(order)
    changes = pc.indices_nonzero(pc.not_equal(ordered.slice(1), ordered.slice(0, max(0, len(ordered) - 1))))
    bounds = [*(at + 1 for at in changes.to_pylist()), len(order)] if len(order) else []
    ends = list(accumulate(batch.num_rows for batch in batches))
    begin, first = 0, 0
    while first < len(bounds):
        last = max(first, bisect_right(bounds, begin + rows) - 1)
        window = _taken(batches, ends, order.slice(begin, bounds[last] - begin))
        at = begin
        for bound in bounds[first : last + 1]:
            yield window.slice(at - begin, bound - at)
            at = bound
        begin, first = bounds[last], last + 1


def _taken(batches: Sequence[pa.RecordBatch], ends: Sequence[int], wanted: pa.Array) -> pa.RecordBatch:
    """Take rows by their numbers out of batches that lie one after the other."""
    order = pc.sort_indices(wanted)
    ascending = wanted.take(order)
    places: list[int] = ascending.to_pylist()
    pieces = []
    at = 0
    while at < len(places):
        number = bisect_right(ends, places[at])
        stop = bisect_right(places, ends[number] - 1)
        first = ends[number] - batches[number].num_rows
        local = pc.subtract(ascending.slice(at, stop - at).cast(pa.int64()), first)
        pieces.append(batches[number].take(local))
        at = stop
    whole = pa.Table.from_batches(pieces).combine_chunks().to_batches()[0]
    return whole.take(pc.sort_indices(order))
