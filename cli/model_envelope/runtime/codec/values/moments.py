"""Dates, times and durations as ISO 8601 text, exactly: whole counts of a unit, where Python's own end at microseconds.

Libraries of columns keep a moment as an integer count of a unit since 1970 (a time of day since midnight). These
functions go from text to count and back without a float in between. Text that says more than the unit can hold is
refused, and so is a count that a year of four digits cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from model_envelope.runtime.codec.values.texts import read_date

_SCALES: Mapping[str, tuple[int, int]] = {
    "W": (604_800, 0),
    "D": (86_400, 0),
    "h": (3_600, 0),
    "m": (60, 0),
    "s": (1, 0),
    "ms": (1, 3),
    "us": (1, 6),
    "ns": (1, 9),
    "ps": (1, 12),
    "fs": (1, 15),
    "as": (1, 18),
}
"""Each unit as so many seconds, or as so many digits of a second."""

_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,18}))?)?", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,18}))?(Z|[+-]\d{2}:\d{2})?", re.ASCII)
_DURATION = re.compile(
    r"(-)?P(?:(-?\d{1,19})D)?(?:T(?:(\d{1,19})H)?(?:(\d{1,19})M)?(?:(\d{1,19})(?:\.(\d{1,18}))?S)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001  a moment without an offset
_SECOND = timedelta(seconds=1)
_LIMIT = 2**63


def time_count(text: str, unit: str) -> int:
    """Read ``HH:MM[:SS[.fraction]]`` as a count since midnight. Raises :class:`ValueError`."""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(text)
    hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(text)
    return _count(hours * 3600 + minutes * 60 + seconds, found[4] or "", unit)


def time_text(count: int, unit: str) -> str:
    """Write a count since midnight. Raises :class:`ValueError` where it is no time of a day."""
    seconds, fraction = _seconds(count, unit)
    if not 0 <= seconds < 86_400:
        raise ValueError(count)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"


def datetime_count(text: str, unit: str, *, zoned: bool) -> int:
    """Read a date and time as a count since 1970, in UTC where it is ``zoned`` (and then it must have an offset).

    Units of a day and longer are written as dates: ``2020-01-31``, ``2020-01`` (M), ``2020`` (Y). Raises
    :class:`ValueError`.
    """
    if unit in {"Y", "M"}:
        return _months(text, unit)
    if unit in {"D", "W"}:
        days = read_date(text).toordinal() - _NAIVE.toordinal()
        return _count(days * 86_400, "", unit)
    found = _MOMENT.fullmatch(text)
    if not found or (found[4] is not None) != zoned:
        raise ValueError(text)
    moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[4] or ''}")
    return _count((moment - (_EPOCH if zoned else _NAIVE)) // _SECOND, found[3] or "", unit)


def datetime_text(count: int, unit: str, zone: str | None) -> str:
    """Write a count since 1970 in its zone (UTC where that is unknown here). Raises :class:`ValueError`."""
    if unit in {"Y", "M"}:
        year, month = (1970 + count, 1) if unit == "Y" else (1970 + count // 12, count % 12 + 1)
        if not 1 <= year <= 9999:
            raise ValueError(count)
        return f"{year:04}" if unit == "Y" else f"{year:04}-{month:02}"
    seconds, fraction = _seconds(count, unit)
    try:
        if zone is None:
            moment = _NAIVE + timedelta(seconds=seconds)
            return moment.date().isoformat() if unit in {"D", "W"} else moment.isoformat() + fraction
        utc = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(count) from None
    text = _in_zone(utc, zone).isoformat()
    return text[:19] + fraction + text[19:]


def duration_count(text: str, unit: str) -> int:
    """Read an ISO 8601 duration of days, hours, minutes and seconds as a count. Raises :class:`ValueError`.

    Spelled as pandas does: a negative one has negative days (``P-1DT23H59M59S``); a leading minus is read too. Counts
    of years and months, which have no fixed length, are ``P3Y`` and ``P3M``.
    """
    if unit in {"Y", "M"}:
        found = re.fullmatch(rf"P(-?\d{{1,19}}){unit}", text, re.ASCII)
        if not found:
            raise ValueError(text)
        return _bounded(int(found[1]), text)
    found = _DURATION.fullmatch(text)
    if not found or text.endswith(("P", "T")):
        raise ValueError(text)
    days, hours, minutes, seconds = (int(found[at] or 0) for at in (2, 3, 4, 5))
    total = days * 86_400 + hours * 3600 + minutes * 60 + seconds
    if not found[1]:
        return _count(total, found[6] or "", unit)
    return -_count(total, found[6] or "", unit)


def duration_text(count: int, unit: str) -> str:
    """Write a count as an ISO 8601 duration: ``P0DT0H1M30.000000001S``."""
    if unit in {"Y", "M"}:
        return f"P{count}{unit}"
    seconds, fraction = _seconds(count, unit)
    days, rest = divmod(seconds, 86_400)
    fraction = fraction.rstrip("0").rstrip(".")
    return f"P{days}DT{rest // 3600}H{rest // 60 % 60}M{rest % 60}{fraction}S"


def _months(text: str, unit: str) -> int:
    found = re.fullmatch(r"(\d{4})" if unit == "Y" else r"(\d{4})-(0[1-9]|1[0-2])", text, re.ASCII)
    if not found or found[1] == "0000":
        raise ValueError(text)
    year = int(found[1]) - 1970
    return year if unit == "Y" else year * 12 + int(found[2]) - 1


def _count(seconds: int, fraction: str, unit: str) -> int:
    size, digits = _SCALES[unit]
    fraction = fraction.rstrip("0")
    count, rest = divmod(seconds, size)
    if len(fraction) > digits or rest:
        raise ValueError(f"finer than {unit}")
    return _bounded(count * 10**digits + int(fraction.ljust(digits, "0") or 0), unit)


def _bounded(count: int, text: str) -> int:
    # The least of 64 bits stands for "no time" in NumPy and pandas.
    if not -_LIMIT < count < _LIMIT:
        raise ValueError(f"beyond 64 bits of {text}")
    return count


def _seconds(count: int, unit: str) -> tuple[int, str]:
    """Give whole seconds and the fraction as text: empty, or three, six, nine ... digits."""
    size, digits = _SCALES[unit]
    seconds, rest = divmod(count * size, 10**digits)
    if not rest:
        return seconds, ""
    text = f"{rest:0{digits}}"
    while text.endswith("000"):
        text = text[:-3]
    return seconds, "." + text


def _in_zone(moment: datetime, name: str) -> datetime:
    try:
        local = moment.astimezone(time_zone(name))
    except OverflowError:
        return moment
    offset = local.utcoffset() or timedelta()
    # ISO 8601 has no seconds in an offset, as the local mean times before time zones have.
    return moment if offset.seconds % 60 else local


@lru_cache(maxsize=64)
def time_zone(name: str) -> tzinfo:
    """Give the time zone of a name of the IANA or an offset (``+05:30``); UTC where it is unknown here."""
    found = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", name, re.ASCII)
    if found:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
