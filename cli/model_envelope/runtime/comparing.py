"""Whether two answers agree, by the tolerance class of their method, and how far apart they are where not."""

from __future__ import annotations

import math
import struct
from typing import Any

from model_envelope.runtime.codec.base import describe
from model_envelope.runtime.errors import Problem, Problems
from model_envelope.runtime.signature import Closeness, Tolerance

DIFFERS = "answer.differs"
LAST_BITS = "answer.last-bits"
"""The code of a difference that rounding explains: another CPU or BLAS adds the same numbers up in another order."""

ULPS = {"float64": 256, "float32": 64, "float16": 2}
"""How many units in the last place rounding explains, by the floating point that a method answers in.

Relative to a number that is 6e-14, 8e-6 and 2e-3: other code for the same sums stays below, and other weights, data or
versions of an algorithm do not.
"""

_FORMATS = {"float64": "<d", "float32": "<f", "float16": "<e"}
_TOLD = 1_000_000


def differences(
    expected: Any, found: Any, tolerance: Tolerance, *, limit: int = 20, dtype: str = "float64"
) -> tuple[Problem, ...]:
    """Hold one answer (JSON values) against another; nothing comes back where they agree.

    Numbers agree when they are equal or, where the tolerance is ``close``, when ``|found - expected| <= atol + rtol *
    |expected|``. With ``shape-only`` only kinds and lengths count. At most ``limit`` differences are given, and those
    that rounding explains (``answer.last-bits``, where the tolerance is ``exact``) come last: if one is there, all the
    others are too. ``dtype`` is the floating point that the method answers in: units in the last place are those of it.
    """
    comparison = _Comparison(tolerance, limit, dtype)
    comparison.compare(expected, found, "$")
    return (*comparison.wrong.items, *comparison.rounded.items)[:limit]


def only_last_bits(problems: tuple[Problem, ...]) -> bool:
    """Whether there are differences, and rounding explains all of them."""
    return bool(problems) and all(problem.code == LAST_BITS for problem in problems)


def ulps(one: float, other: float, dtype: str = "float64") -> int | None:
    """Count the floating point numbers from one number to another; None where one of them is not finite there."""
    places = []
    for number in (one, other):
        try:
            bits = int.from_bytes(struct.pack(_FORMATS[dtype], number), "little", signed=True)
        except OverflowError:
            return None
        if not math.isfinite(number):
            return None
        lowest = -(1 << (8 * struct.calcsize(_FORMATS[dtype]) - 1))
        # Numbers in their order: those below zero count down from it.
        places.append(bits if bits >= 0 else lowest - bits)
    return abs(places[0] - places[1])


def how_far_apart(expected: float, found: float, dtype: str = "float64") -> str:
    """Say how far a number is from the expected one: absolutely, relatively, and in ULPs where these are few."""
    try:
        apart = abs(found - expected)
        told = [f"{apart:.3g} apart"]
        if expected and math.isfinite(apart):
            told.append(f"relative {apart / abs(expected):.2g}")
        if not (isinstance(expected, int) and isinstance(found, int)):
            steps = ulps(expected, found, dtype)
            if steps is not None and steps <= _TOLD:
                told.append(f"{steps} ULP{'' if steps == 1 else 's'}" + ("" if dtype == "float64" else f" of {dtype}"))
    except OverflowError:
        # Integers may be larger than any floating point number.
        return "far apart"
    return ", ".join(told)


class _Comparison:
    def __init__(self, tolerance: Tolerance, limit: int, dtype: str) -> None:
        self.tolerance = tolerance
        self.dtype = dtype
        self.wrong = Problems(limit)
        self.rounded = Problems(limit)

    def compare(self, expected: Any, found: Any, path: str) -> None:
        if isinstance(expected, list) and isinstance(found, list):
            if len(expected) != len(found):
                self.wrong.add(path, f"{len(found)} items", f"{len(expected)} items", "answer.length")
                return
            for at, (one, other) in enumerate(zip(expected, found, strict=True)):
                self.compare(one, other, f"{path}[{at}]")
        elif isinstance(expected, dict) and isinstance(found, dict):
            for name in sorted(expected.keys() | found.keys()):
                if name not in found or name not in expected:
                    there, wanted = ("nothing", "a value") if name not in found else ("a value", "nothing")
                    self.wrong.add(f"{path}.{name}", there, wanted, "answer.fields")
                else:
                    self.compare(expected[name], found[name], f"{path}.{name}")
        elif not _agree(expected, found, self.tolerance):
            apart, problems, code = "", self.wrong, DIFFERS
            if _is_number(expected) and _is_number(found):
                apart = f" ({how_far_apart(expected, found, self.dtype)})"
                if self._is_rounding(expected, found):
                    problems, code = self.rounded, LAST_BITS
            problems.add(path, describe(found) + apart, describe(expected), code)

    def _is_rounding(self, expected: float, found: float) -> bool:
        if self.tolerance.closeness is not Closeness.EXACT or isinstance(expected, int) or isinstance(found, int):
            return False
        steps = ulps(expected, found, self.dtype)
        return steps is not None and steps <= ULPS[self.dtype]


def _agree(expected: Any, found: Any, tolerance: Tolerance) -> bool:
    numbers = _is_number(expected) and _is_number(found)
    if tolerance.closeness is Closeness.SHAPE:
        return numbers or type(expected) is type(found) or expected is None or found is None
    if not numbers:
        return type(expected) is type(found) and bool(expected == found)
    if expected == found:
        return True
    if tolerance.closeness is Closeness.EXACT or not (isinstance(expected, float) or isinstance(found, float)):
        return False
    return math.isfinite(found) and abs(found - expected) <= tolerance.atol + tolerance.rtol * abs(expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
