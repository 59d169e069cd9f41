"""How a method behaves: whether it treats rows independently, and whether it answers alike twice.

One more pass over the samples tells: the rows are asked in another order, two of them alone and the rest in two parts.
If what comes back is what the whole batch was answered with, order, neighbours and the size of a batch make no
difference. Only where it is not is the whole asked again, to tell rows that depend on each other from chance.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from model_envelope.inference import rows
from model_envelope.runtime import signature as s
from model_envelope.runtime.comparing import differences
from model_envelope.runtime.errors import EnvelopeError

ROWS = 1000
"""How many rows are asked again, at most, evenly spread over the samples."""

SECONDS = 20.0
"""How long asking again may take, as far as the first answer lets it be foreseen; fewer rows are asked then."""

FEWEST = 8
"""How many rows are asked again however long it takes."""

WIDEST = 100.0
"""By what factor answers to parts may be farther from those to the whole than the tolerance of their dtype says."""


@dataclass(frozen=True)
class Behaviour:
    """What was found out; ``tolerance`` is wide enough for how answers to other batches differed."""

    row_wise: s.Answer
    deterministic: s.Answer
    tolerance: s.Tolerance
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """All samples of a method, and the answer to them.

    ``ask`` answers other arguments, ``encode`` writes an answer as JSON values; both raise :class:`EnvelopeError`.
    ``seconds`` is how long the first answer took.
    """

    arguments: Mapping[str, Any]
    answer: Any
    ask: Callable[[Mapping[str, Any]], Any]
    encode: Callable[[Any], Any]
    seconds: float = 0.0

    def answers_alike(self, tolerance: s.Tolerance) -> bool:
        """Ask everything once more."""
        again = self.encode(self.ask(self.arguments))
        return not differences(self.encode(self.answer), again, tolerance, limit=1)


def behaviour_of(asked: Asked, tolerance: s.Tolerance) -> Behaviour:
    """Find out how a method behaves on its samples; ``tolerance`` is what the dtypes of its answers call for."""
    batch, count = rows.batches(asked.arguments)
    row_wise, notes = s.Answer.UNKNOWN, tuple[str, ...]()
    if count is not None and count > 1:
        kept, notes = chosen_rows(count, asked.seconds)
        apart = apart_in_parts(asked, batch, kept, count, tolerance)
        if apart is not None:
            return Behaviour(s.Answer.YES, s.Answer.YES, widened(tolerance, apart), notes)
        row_wise = s.Answer.NO
    if asked.answers_alike(tolerance):
        return Behaviour(row_wise, s.Answer.YES, tolerance, notes)
    return Behaviour(s.Answer.UNKNOWN, s.Answer.NO, s.Tolerance(s.Closeness.SHAPE), notes)


def apart_in_parts(
    asked: Asked, batch: Mapping[str, Any], kept: list[int], count: int, tolerance: s.Tolerance
) -> float | None:
    """Ask the rows in parts and give how far, relatively, numbers are from what the whole was answered with.

    None where that is too far, where something that is no number differs, or where a part was answered with an error
    or another shape.
    """
    answers = _answers_at(asked, kept, count)
    if answers is None:
        return None
    farthest = 0.0
    for part in _parts(_shuffled(list(range(len(kept))))):
        taken = {name: rows.take(value, [kept[at] for at in part]) for name, value in batch.items()}
        try:
            found = rows_of(asked.encode(asked.ask({**asked.arguments, **taken})), len(part))
        except EnvelopeError:
            return None  # it wants more rows than these, or other neighbours
        if found is None:
            return None
        for at, answer in zip(part, found, strict=True):
            apart = distance(answers[at], answer, tolerance)
            if apart is None or apart > WIDEST * tolerance.rtol:
                return None
            farthest = max(farthest, apart)
    return farthest


def _answers_at(asked: Asked, kept: list[int], count: int) -> list[Any] | None:
    """Give the answers to the rows that are kept, one JSON value a row; None where there is not one answer a row."""
    if len(kept) < count and rows.count(asked.answer) == count:
        return rows_of(asked.encode(rows.take(asked.answer, kept)), len(kept))
    answers = rows_of(asked.encode(asked.answer), count)
    return None if answers is None else [answers[at] for at in kept]


def rows_of(answer: Any, count: int) -> list[Any] | None:
    """Give an answer as one JSON value a row: an array as long, or an object of such arrays."""
    if isinstance(answer, list):
        return answer if len(answer) == count else None
    if not isinstance(answer, dict) or not answer:
        return None
    if any(not isinstance(item, list) or len(item) != count for item in answer.values()):
        return None
    return [dict(zip(answer, line, strict=True)) for line in zip(*answer.values(), strict=True)]


def distance(expected: Any, found: Any, tolerance: s.Tolerance) -> float | None:
    """Give the largest relative distance of two answers, as ``Tolerance.rtol`` counts; None where they are unlike."""
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return _largest([distance(one, other, tolerance) for one, other in zip(expected, found, strict=True)])
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return _largest([distance(value, found[name], tolerance) for name, value in expected.items()])
    if type(expected) is type(found) and expected == found:
        return 0.0
    if not (isinstance(expected, float) and isinstance(found, float)):
        return None
    beyond = max(0.0, abs(found - expected) - tolerance.atol)
    return beyond / abs(expected) if expected else (0.0 if not beyond else math.inf)


def _largest(parts: list[float | None]) -> float | None:
    found = 0.0
    for part in parts:
        if part is None:
            return None
        found = max(found, part)
    return found


def widened(tolerance: s.Tolerance, apart: float) -> s.Tolerance:
    """Widen a tolerance to ten times what was found, in powers of ten, so that chance seldom changes it."""
    if apart <= tolerance.rtol:
        return tolerance
    return replace(tolerance, rtol=float(f"1e{math.ceil(math.log10(apart)) + 1}"))


def chosen_rows(count: int, seconds: float) -> tuple[list[int], tuple[str, ...]]:
    """Choose which rows are asked again, evenly, and say so where these are not all."""
    most = ROWS
    if seconds > SECONDS:
        most = min(most, max(FEWEST, int(count * SECONDS / seconds)))
    if count <= most:
        return list(range(count)), ()
    kept = [at * count // most for at in range(most)]
    return kept, (f"whether rows are independent was tried on {most:,} of the {count:,} sample rows",)


def _shuffled(places: list[int]) -> list[int]:
    """Put places in another order, always the same one, with other neighbours."""
    count = len(places)
    stride = next(step for step in range(int(count * 0.618) or 1, 2 * count + 2) if gcd(step, count) == 1)
    return [places[(at + 1) * stride % count] for at in range(count)]


def _parts(order: list[int]) -> list[list[int]]:
    """Split: two single rows, and the rest in two parts."""
    rest = order[2:]
    middle = len(rest) // 2
    return [part for part in ([order[0]], [order[1]], rest[:middle], rest[middle:]) if part]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Call, and give what came back and how many seconds it took."""
    began = time.perf_counter()
    found = call()
    return found, time.perf_counter() - began
