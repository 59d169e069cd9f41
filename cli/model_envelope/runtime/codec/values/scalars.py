"""Scalars of Python: each dtype from JSON and back, strictly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, describe
from model_envelope.runtime.codec.values import moments, texts
from model_envelope.runtime.errors import Problems

NON_FINITE: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How NaN and the infinities travel where null does not stand for them: the JSON mapping of protocol buffers 3."""

INTEGERS: Mapping[str, tuple[int, int]] = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
"""The least and the greatest value of each integer dtype."""

LARGEST: Mapping[str, float] = {"float16": 65504.0, "float32": 3.4028234663852886e38, "float64": math.inf}
"""The greatest finite value of each narrower float dtype."""

COMPLEX: Mapping[str, str] = {"complex64": "float32", "complex128": "float64"}
"""The dtype of the parts of each complex dtype."""


class Refused(ValueError):
    """A value is not of the type; the text says what was expected."""


def _bool(value: Any, kind: s.Scalar) -> bool:
    if type(value) is not bool:
        raise Refused(expected(kind))
    return value


def _integer(value: Any, kind: s.Scalar) -> int:
    least, most = INTEGERS[kind.dtype]
    if type(value) is not int or not least <= value <= most:
        raise Refused(expected(kind))
    return value


def _float(value: Any, kind: s.Scalar) -> float:
    return _part(value, kind, kind.dtype)


def _part(value: Any, kind: s.Scalar, dtype: str) -> float:
    if kind.non_finite and type(value) is str and value in NON_FINITE:
        return NON_FINITE[value]
    if type(value) is not float and type(value) is not int:
        raise Refused(expected(kind))
    try:
        number = float(value)
    except OverflowError:
        raise Refused(expected(kind)) from None
    if not math.isfinite(number) or abs(number) > LARGEST[dtype]:
        raise Refused(expected(kind))
    return number


def _complex(value: Any, kind: s.Scalar) -> complex:
    if type(value) is not list or len(value) != 2:
        raise Refused(expected(kind))
    real, imaginary = (_part(item, kind, COMPLEX[kind.dtype]) for item in value)
    return complex(real, imaginary)


def _string(value: Any, kind: s.Scalar) -> str:
    if type(value) is not str or not _is_unicode(value):
        raise Refused(expected(kind))
    return value


def _is_unicode(text: str) -> bool:
    """Tell whether UTF-8 can say a text: half of a surrogate pair is no character."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def are_unicode(texts: Iterable[str | None]) -> bool:
    """Tell whether UTF-8 can say all of many texts, null left out."""
    return _is_unicode("".join(filter(None, texts)))


def _null(value: Any, kind: s.Scalar) -> None:
    if value is not None:
        raise Refused(expected(kind))


def _parsed(parse: Callable[[str], Any]) -> Callable[[Any, s.Scalar], Any]:
    def decode(value: Any, kind: s.Scalar) -> Any:
        if type(value) is not str:
            raise Refused(expected(kind))
        try:
            return parse(value)
        except ValueError:
            raise Refused(expected(kind)) from None

    return decode


def _decimal(value: Any, kind: s.Scalar) -> Decimal:
    if kind.non_finite and type(value) is str and value in NON_FINITE:
        return Decimal(value)
    number: Decimal = _parsed(texts.read_decimal)(value, kind)
    return number


def _datetime(value: Any, kind: s.Scalar) -> datetime:
    moment: datetime = _parsed(texts.read_datetime)(value, kind)
    if (moment.tzinfo is None) != (kind.timezone is None):
        raise Refused(expected(kind))
    if kind.timezone:
        try:
            return moment.astimezone(moments.time_zone(kind.timezone))
        except OverflowError:
            raise Refused(expected(kind)) from None
    return moment


def _period(value: Any, kind: s.Scalar) -> Any:
    import pandas as pd

    period = _parsed(lambda text: pd.Period(text, freq=kind.unit))(value, kind)
    if str(period) != value:
        raise Refused(expected(kind))
    return period


_DECODE: Mapping[str, Callable[[Any, s.Scalar], Any]] = {
    "null": _null,
    "bool": _bool,
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(LARGEST, _float),
    **dict.fromkeys(COMPLEX, _complex),
    "string": _string,
    "decimal": _decimal,
    "bytes": _parsed(texts.read_bytes),
    "date": _parsed(texts.read_date),
    "time": _parsed(texts.read_time),
    "datetime": _datetime,
    "timedelta": _parsed(texts.read_duration),
    "period": _period,
    "uuid": _parsed(texts.read_uuid),
}


def _write_integer(value: Any, kind: s.Scalar) -> int:
    return _integer(int(value), kind)


def _write_float(value: Any, kind: s.Scalar) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _write_non_finite(value, kind)
    # A subclass of float or int is written as the number that it is.
    return _part(float(value) if isinstance(value, float) else int(value), kind, kind.dtype)


def _write_non_finite(value: float | Decimal, kind: s.Scalar) -> str:
    if not kind.non_finite:
        raise Refused(expected(kind))
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124  only NaN is not itself


def _write_complex(value: complex, kind: s.Scalar) -> list[Any]:
    part = s.Scalar(COMPLEX[kind.dtype], non_finite=kind.non_finite)
    return [_write_float(value.real, part), _write_float(value.imag, part)]


def _write_string(value: str, kind: s.Scalar) -> str:
    return _string(str.__str__(value), kind)


def _write_decimal(value: Decimal, kind: s.Scalar) -> str:
    if value.is_finite():
        return str(value)
    return _write_non_finite(value.copy_abs() if value.is_nan() else value, kind)


def _write_date(value: date, kind: s.Scalar) -> str:
    if isinstance(value, datetime):
        raise Refused(expected(kind))
    return value.isoformat()


def _write_datetime(value: datetime, kind: s.Scalar) -> str:
    if (value.tzinfo is None) != (kind.timezone is None):
        raise Refused(expected(kind))
    return texts.write_datetime(value)


_ENCODE: Mapping[str, tuple[tuple[type, ...], Callable[[Any, s.Scalar], Any]]] = {
    "null": ((type(None),), lambda _value, _kind: None),
    "bool": ((bool,), lambda value, _kind: bool(value)),
    **dict.fromkeys(INTEGERS, ((int,), _write_integer)),
    **dict.fromkeys(LARGEST, ((int, float), _write_float)),
    **dict.fromkeys(COMPLEX, ((complex, float, int), lambda value, kind: _write_complex(complex(value), kind))),
    "string": ((str,), _write_string),
    "decimal": ((Decimal,), _write_decimal),
    "bytes": ((bytes, bytearray), lambda value, _kind: texts.write_bytes(value)),
    "date": ((date,), _write_date),
    "time": ((time,), lambda value, _kind: texts.write_time(value)),
    "datetime": ((datetime,), _write_datetime),
    "timedelta": ((timedelta,), lambda value, _kind: texts.write_duration(value)),
    "uuid": ((UUID,), lambda value, _kind: str(value)),
}


def expected(kind: s.Scalar) -> str:
    """Say what a scalar type expects, as an error tells it."""
    text = s.SCALARS[kind.dtype]
    if kind.dtype == "datetime":
        text += " without offset" if kind.timezone is None else " with offset"
    if kind.non_finite:
        text += ', or "NaN", "Infinity", "-Infinity"'
    return f"{text}, or null" if kind.nullable else text


def choices(kind: s.Choice) -> str:
    """Say what may be chosen; the first few of many."""
    shown = ", ".join(describe(value).removeprefix("the string ") for value in kind.values[:8])
    more = f", … ({len(kind.values)} in all)" if len(kind.values) > 8 else ""
    return f"one of {shown}{more}" + (", or null" if kind.nullable else "")


def plain(value: Any) -> Any:
    """Give the Python scalar of a NumPy scalar, of a 0-dimensional array or of an enum's member; else the value."""
    if isinstance(value, Enum):
        return value.value
    item = getattr(value, "item", None)
    if item is not None and type(value).__module__.partition(".")[0] in {"numpy", "torch"}:
        return item() if getattr(value, "size", 1) == 1 or not getattr(value, "ndim", 0) else value
    return value


@dataclass(frozen=True)
class ScalarCodec:
    """One scalar type."""

    kind: s.Scalar

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Check and parse one JSON value."""
        try:
            return _DECODE[self.kind.dtype](value, self.kind)
        except Refused as refused:
            code = "payload.null" if value is None else "payload.type"
            problems.add(path, describe(value), str(refused), code)
            return None

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write one Python or NumPy scalar."""
        if self.kind.dtype == "period":
            return self._period(value, path, problems)
        value = plain(value)
        types, write = _ENCODE.get(self.kind.dtype, ((), None))
        written, refused = None, True
        if write and isinstance(value, types) and (type(value) is not bool or bool in types):
            try:
                written, refused = write(value, self.kind), False
            except (ValueError, OverflowError):
                refused = True
        if refused:
            problems.add(path, describe(value), expected(self.kind), "answer.type")
        return written

    def _period(self, value: Any, path: str, problems: Problems) -> str | None:
        import pandas as pd

        if isinstance(value, pd.Period) and value == pd.Period(ordinal=value.ordinal, freq=self.kind.unit):
            return str(value)
        problems.add(path, describe(value), f"{expected(self.kind)} of {self.kind.unit}", "answer.type")
        return None


def scalar_codec(kind: s.Scalar, _definitions: Definitions) -> Codec:
    """Make the codec of a scalar type."""
    return ScalarCodec(kind)


def scalars_of(cls: type) -> tuple[str, ...]:
    """Name the dtypes that a class of Python's own is written as, the usual one first."""
    return _OWN.get(cls, ())


_OWN: Mapping[type, tuple[str, ...]] = {
    type(None): ("null",),
    bool: ("bool",),
    int: ("int64", *(name for name in INTEGERS if name != "int64")),
    float: ("float64", "float32", "float16"),
    complex: ("complex128", "complex64"),
    str: ("string",),
    bytes: ("bytes",),
    Decimal: ("decimal",),
    date: ("date",),
    time: ("time",),
    datetime: ("datetime",),
    timedelta: ("timedelta",),
    UUID: ("uuid",),
}
