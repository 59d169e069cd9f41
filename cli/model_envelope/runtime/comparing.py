"""Whether two answers agree, by the tolerance class of their method."""

from __future__ import annotations

import math
from typing import Any

from model_envelope.runtime.codec.base import describe
from model_envelope.runtime.errors import Problem, Problems
from model_envelope.runtime.signature import Closeness, Tolerance


def differences(expected: Any, found: Any, tolerance: Tolerance, *, limit: int = 20) -> tuple[Problem, ...]:
    """Hold one answer (JSON values) against another; nothing comes back where they agree.

    Numbers agree when they are equal or, where the tolerance is ``close``, when ``|found - expected| <= atol + rtol *
    |expected|``. With ``shape-only`` only kinds and lengths count. At most ``limit`` differences are given.
    """
    problems = Problems(limit)
    _compare(expected, found, tolerance, "$", problems)
    return tuple(problems.items)


def _compare(expected: Any, found: Any, tolerance: Tolerance, path: str, problems: Problems) -> None:
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            problems.add(path, f"{len(found)} items", f"{len(expected)} items", "answer.length")
            return
        for at, (one, other) in enumerate(zip(expected, found, strict=True)):
            _compare(one, other, tolerance, f"{path}[{at}]", problems)
    elif isinstance(expected, dict) and isinstance(found, dict):
        for name in expected.keys() | found.keys():
            if name not in found or name not in expected:
                there, wanted = ("nothing", "a value") if name not in found else ("a value", "nothing")
                problems.add(f"{path}.{name}", there, wanted, "answer.fields")
            else:
                _compare(expected[name], found[name], tolerance, f"{path}.{name}", problems)
    elif not _agree(expected, found, tolerance):
        apart = ""
        if _is_number(expected) and _is_number(found):
            apart = f" ({abs(found - expected):.3g} apart)"
        problems.add(path, describe(found) + apart, describe(expected), "answer.differs")


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
