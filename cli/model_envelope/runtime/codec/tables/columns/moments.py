"""Moments, durations, periods and intervals in the columns of pandas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.tables.columns.dtypes import dtype_of
from model_envelope.runtime.codec.tables.columns.values import Values
from model_envelope.runtime.codec.values import moments
from model_envelope.runtime.codec.values.scalars import Refused

DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_NEWLINE = "\n"
_LOCAL, _ZULU, _ZERO = b"0000-00-00T00:00:00", b"0000-00-00T00:00:00Z", ord("0")
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
"""The first and the last second of the years 1 to 9999."""


class Moments:
    """Dates with times. Naive ones have no offset; the others any, and end up in the zone of the column."""

    types: frozenset[type] | None = frozenset({str})

    def __init__(self, kind: s.Scalar, storage: str) -> None:
        self.storage = storage
        self.zoned = kind.timezone is not None
        self.unit = kind.unit or "ns"
        digits = DIGITS[self.unit]
        fraction = rf"(?:\.\d{{1,{digits}}}0*)?" if digits else r"(?:\.0+)?"
        offset = r"(?:Z|[+-]\d\d:\d\d)" if self.zoned else ""
        one = rf"\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d{fraction})?{offset}"
        self._all = re.compile(rf"{one}(?:\n{one})*", re.ASCII)
        self._width = 20 + digits if digits else 19

    def admits(self, value: Any) -> bool:
        """Say whether a text is a moment that the unit can hold."""
        if not self._all.fullmatch(value) or _NEWLINE in value:
            return False
        try:
            moments.datetime_count(value, self.unit, zoned=self.zoned)
        except ValueError:
            return False
        return True

    def build(self, values: Sequence[Any], null: bool) -> Any:
        """Read all texts at once."""
        import numpy as np
        import pandas as pd

        glance = self._check([value for value in values if value is not None] if null else values)
        glance = None if null else glance
        shifts = None
        if self.zoned:
            shifts = [0 if value is None or value[-1] == "Z" else _minutes(value) for value in values]
            values = [value if value is None else value[:-1] if value[-1] == "Z" else value[:-6] for value in values]
        if null:
            values = ["NaT" if value is None else value for value in values]
        if glance is None and max(map(len, values), default=0) > self._width:
            values = [value[: self._width] for value in values]
        array = np.array(values if glance is None else glance, dtype=f"M8[{self.unit}]")
        if self.unit != "ns" and (array < np.datetime64(_FIRST, "s")).any():
            raise Refused("year")  # NumPy knows a year 0, and nobody else does; comparing with NaT is false
        if shifts and any(shifts):
            array -= np.array(shifts, dtype="m8[m]")
        if self.unit == "ns":
            self._in_range(values, array)
        if not self.zoned:
            return array
        return pd.DatetimeIndex(array).tz_localize("UTC").tz_convert(dtype_of(self.storage).tz).array

    def _check(self, texts: Sequence[str]) -> Any:
        """Refuse what is not written as a moment; give an array where all are written ``YYYY-MM-DDTHH:MM:SS``."""
        import numpy as np

        if not len(texts):
            return None
        usual = _ZULU if self.zoned else _LOCAL
        if set(map(len, texts)) == {len(usual)}:
            whole = "".join(texts)
            if whole.isascii():
                letters = np.frombuffer(whole.encode(), dtype=np.uint8).reshape(len(texts), -1)
                # Unsigned: what is less than "0" wraps around to much.
                beyond = letters - np.frombuffer(usual, dtype=np.uint8)
                if (beyond <= np.array([9 if letter == _ZERO else 0 for letter in usual], dtype=np.uint8)).all():
                    return None if self.zoned else letters.view(f"S{len(usual)}")[:, 0]
        if not self._all.fullmatch(_NEWLINE.join(texts)):
            raise Refused("moment")
        return None

    @staticmethod
    def _in_range(values: Sequence[Any], array: Any) -> None:
        """Refuse what is beyond the 64 bits of nanoseconds, which NumPy lets wrap around."""
        import numpy as np

        seconds = np.array([value[:19] for value in values], dtype="M8[s]")
        if (np.abs((seconds - array.astype("M8[s]")).astype(np.int64)[~np.isnat(seconds)]) > 172_800).any():
            raise Refused("range")

    def write(self, array: Any) -> list[Any]:
        """Write all moments at once, each no finer than it is: its text does not depend on its neighbours."""
        import numpy as np

        plain = np.asarray(array.tz_convert("UTC").tz_localize(None) if self.zoned else array)
        finest = np.datetime_data(plain.dtype)[0]
        plain = plain.astype(f"M8[{finest}]", copy=False)
        missing = np.isnat(plain)
        coarse = plain.astype("M8[s]")
        seconds = coarse.astype(np.int64)[~missing]
        if ((seconds < _FIRST) | (seconds > _LAST)).any():
            raise Refused("years 1 to 9999")
        texts = np.datetime_as_string(coarse).tolist()
        rest = np.flatnonzero((coarse != plain) & ~missing)
        for unit in ("ms", "us", "ns"):
            if not len(rest):
                break
            finer = plain[rest].astype(f"M8[{unit}]")
            for at, text in zip(rest.tolist(), np.datetime_as_string(finer).tolist(), strict=True):
                texts[at] = text
            rest = rest[finer != plain[rest]]
        if self.zoned:
            texts = [text + "Z" for text in texts]
        return (
            [None if null else text for text, null in zip(texts, missing.tolist(), strict=True)]
            if missing.any()
            else texts
        )


def _minutes(text: str) -> int:
    minutes = int(text[-5:-3]) * 60 + int(text[-2:])
    if text[-5:-3] > "23" or text[-2:] > "59":
        raise Refused("offset")
    return -minutes if text[-6] == "-" else minutes


class Durations:
    """Durations, as ISO 8601 text."""

    types: frozenset[type] | None = frozenset({str})

    def __init__(self, kind: s.Scalar) -> None:
        self.unit = kind.unit or "ns"

    def admits(self, value: Any) -> bool:
        """Say whether a text is a duration that the unit can hold."""
        try:
            moments.duration_count(value, self.unit)
        except ValueError:
            return False
        return True

    def build(self, values: Sequence[Any], null: bool) -> Any:  # noqa: ARG002  null has a count too
        """Build an array of counts."""
        import numpy as np

        nat, unit = -(2**63), self.unit
        counts = [nat if value is None else moments.duration_count(value, unit) for value in values]
        return np.array(counts, dtype=np.int64).view(f"m8[{unit}]")

    def write(self, array: Any) -> list[Any]:
        """Write each count."""
        import numpy as np

        plain = np.asarray(array)
        unit, missing = np.datetime_data(plain.dtype)[0], np.isnat(plain).tolist()
        counts = plain.astype(np.int64).tolist()
        return [
            None if null else moments.duration_text(count, unit) for count, null in zip(counts, missing, strict=True)
        ]


class Periods:
    """Periods of one frequency, as pandas writes them: ``2020-01``, ``2020Q1``."""

    types: frozenset[type] | None = frozenset({str})

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.freq = dtype_of(storage).freq

    def _period(self, value: str) -> Any:
        import pandas as pd

        period = pd.Period(value, freq=self.freq)
        if period is pd.NaT or str(period) != value:
            raise Refused("period")
        return period

    def admits(self, value: Any) -> bool:
        """Say whether a text is how a period of this frequency is written."""
        try:
            self._period(value)
        except (ValueError, OverflowError, TypeError, AttributeError):
            return False
        return True

    def build(self, values: Sequence[Any], null: bool) -> Any:  # noqa: ARG002  None is a missing period
        """Build an array of periods; each text is read once."""
        import pandas as pd

        known = {value: self._period(value) for value in set(values) - {None}}
        return pd.array([known.get(value) for value in values], dtype=dtype_of(self.storage))

    def write(self, array: Any) -> list[Any]:
        """Write each period."""
        return [None if null else str(value) for value, null in zip(array, array.isna().tolist(), strict=True)]


class Intervals:
    """Intervals, as objects of left and right. Which ends are closed is the column's matter."""

    types: frozenset[type] | None = frozenset({dict})

    def __init__(self, storage: str, ends: Values) -> None:
        self.storage = storage
        self.closed = storage.rstrip("]").rpartition(", ")[2]
        self.ends = ends

    def admits(self, value: Any) -> bool:
        """Say whether both ends are there, in order, and of their type."""
        try:
            self.build([value], null=False)
        except (Refused, TypeError, ValueError, KeyError, OverflowError):
            return False
        return True

    def build(self, values: Sequence[Any], null: bool) -> Any:
        """Build an array of two columns of ends."""
        import pandas as pd

        sides = []
        for side in ("left", "right"):
            taken = [None if value is None else value[side] for value in values]
            if not set(map(type, taken)) <= {*(self.ends.types or ()), *([type(None)] if null else [])}:
                raise Refused("type")
            if null and any(end is None for end, value in zip(taken, values, strict=True) if value is not None):
                raise Refused("null")
            sides.append(self.ends.build(taken, null))
        if any(value is not None and value.keys() != {"left", "right"} for value in values):
            raise Refused("left and right")
        return pd.arrays.IntervalArray.from_arrays(*sides, closed=self.closed, dtype=dtype_of(self.storage))

    def write(self, array: Any) -> list[Any]:
        """Write both ends of each interval."""
        import pandas as pd

        missing = array.isna().tolist()
        left, right = (self.ends.write(pd.Index(side).array) for side in (array.left, array.right))
        return [
            None if null else {"left": one, "right": other}
            for one, other, null in zip(left, right, missing, strict=True)
        ]
