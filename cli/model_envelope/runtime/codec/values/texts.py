"""Python's own scalars as text, strictly: the one spelling that is written, and the few others that are read.

Everything here raises :class:`ValueError` for what is no spelling of its type. The parsers of the standard library are
more lenient (week dates, digits of other scripts, underscores in numbers) and would read what nobody meant.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

DURATION = r"-?P(-?[0-9]{1,19}D)?(T([0-9]{1,19}H)?([0-9]{1,19}M)?([0-9]{1,19}(\.[0-9]{1,18})?S)?)?"
"""A duration of days, hours, minutes and seconds. Columns are read finer than Python's own, which have microseconds."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_TIME = re.compile(rf"{_CLOCK}(?:Z|[+-][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{6}})?)?)?")
_DATETIME = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})?")
_DURATION = re.compile(
    r"(-)?P(?:(-?[0-9]{1,10})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,10})H)?(?:([0-9]{1,10})M)?(?:([0-9]{1,10})(?:\.([0-9]{1,6}))?S)?)?"
)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,18})?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def read_date(text: str) -> date:
    """Read ``2020-02-29``."""
    return date.fromisoformat(_spelled(_DATE, text))


def read_time(text: str) -> time:
    """Read ``23:59``, ``23:59:01.5`` or either with an offset."""
    return time.fromisoformat(_spelled(_TIME, text))


def write_time(value: time) -> str:
    """Write a time of day; one whose offset depends on the day cannot be said without the day."""
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError(value)
    return value.isoformat()


def read_datetime(text: str) -> datetime:
    """Read ``2020-02-29T23:59:01.5+01:00``: seconds, fraction and offset may be left out, T may be a blank."""
    return datetime.fromisoformat(_spelled(_DATETIME, text))


def write_datetime(value: datetime) -> str:
    """Write a moment. One whose offset has seconds (local mean times) moves to UTC: ISO 8601 offsets have minutes."""
    offset = value.utcoffset()
    if value.tzinfo is not None and offset is None:
        raise ValueError(value)
    if offset is not None and (offset.seconds % 60 or offset.microseconds):
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise ValueError(value) from None
    return value.isoformat()


def read_duration(text: str) -> timedelta:
    """Read ``P1DT2H30M``, ``PT0.5S``, ``P-1DT23H59M59S`` or ``-PT1S``; microseconds are the finest."""
    found = _DURATION.fullmatch(text)
    if not found or text.endswith("P"):
        raise ValueError(text)
    days, hours, minutes, seconds = (int(found[at] or 0) for at in (2, 3, 4, 5))
    fraction = int((found[6] or "").ljust(6, "0"))
    try:
        amount = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=fraction)
        return -amount if found[1] else amount
    except OverflowError:
        raise ValueError(text) from None


def write_duration(value: timedelta) -> str:
    """Write a duration as pandas does: ``P0DT0H1M30.5S``, the days of a negative one being negative."""
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    return f"P{value.days}DT{hours}H{minutes}M{seconds}{fraction}S"


def read_decimal(text: str) -> Decimal:
    """Read ``-1.10`` or ``1E+3``; no NaN, no infinities."""
    try:
        return Decimal(_spelled(_DECIMAL, text))
    except InvalidOperation:
        raise ValueError(text) from None


def read_uuid(text: str) -> UUID:
    """Read ``12345678-1234-5678-1234-567812345678``."""
    return UUID(_spelled(_UUID, text))


def read_bytes(text: str) -> bytes:
    """Read base64 with its padding, as RFC 4648 writes it."""
    found = base64.b64decode(text, validate=True)
    if write_bytes(found) != text:
        raise ValueError(text)
    return found


def write_bytes(value: bytes | bytearray) -> str:
    """Write base64."""
    return base64.b64encode(value).decode("ascii")


def _spelled(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text
