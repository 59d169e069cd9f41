"""Scalars, choices and free JSON."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from importlib import import_module
from typing import Any
from uuid import UUID

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, describe
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
    if kind.non_finite and type(value) is str and value in NON_FINITE:
        return NON_FINITE[value]
    if type(value) is not float and type(value) is not int:
        raise Refused(expected(kind))
    try:
        number = float(value)
    except OverflowError:
        raise Refused(expected(kind)) from None
    if not math.isfinite(number) or abs(number) > LARGEST[kind.dtype]:
        raise Refused(expected(kind))
    return number


def _string(value: Any, kind: s.Scalar) -> str:
    if type(value) is not str:
        raise Refused(expected(kind))
    return value


def _null(value: Any, kind: s.Scalar) -> None:
    if value is not None:
        raise Refused(expected(kind))


def _parsed(parse: Callable[[str], Any]) -> Callable[[Any, s.Scalar], Any]:
    def decode(value: Any, kind: s.Scalar) -> Any:
        if type(value) is not str:
            raise Refused(expected(kind))
        try:
            return parse(value)
        except (ValueError, InvalidOperation, binascii.Error):
            raise Refused(expected(kind)) from None

    return decode


def _date(text: str) -> date:
    if len(text) != 10:
        raise ValueError(text)
    return date.fromisoformat(text)


def _datetime(value: Any, kind: s.Scalar) -> datetime:
    if type(value) is not str or len(value) < 16:
        raise Refused(expected(kind))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Refused(expected(kind)) from None
    if (moment.tzinfo is None) != (kind.timezone is None):
        raise Refused(expected(kind))
    return moment


def _timedelta(value: Any, kind: s.Scalar) -> timedelta:
    if type(value) not in {int, float} or not abs(value) < 8.64e13:
        raise Refused(expected(kind))
    return timedelta(seconds=value)


_DECODE: Mapping[str, Callable[[Any, s.Scalar], Any]] = {
    "null": _null,
    "bool": _bool,
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(LARGEST, _float),
    "string": _string,
    "decimal": _parsed(Decimal),
    "bytes": _parsed(lambda text: base64.b64decode(text, validate=True)),
    "date": _parsed(_date),
    "time": _parsed(time.fromisoformat),
    "datetime": _datetime,
    "timedelta": _timedelta,
    "uuid": _parsed(UUID),
}


def _encode_float(value: Any, kind: s.Scalar) -> Any:
    number = float(value)
    if math.isfinite(number):
        return number
    if not kind.non_finite:
        raise Refused(expected(kind))
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _moment(value: datetime) -> datetime:
    """Move a moment whose offset has seconds (local mean times, before time zones) to UTC: ISO 8601 has minutes."""
    offset = value.utcoffset()
    return value if offset is None or not offset.seconds % 60 else value.astimezone(UTC)


_ENCODE: Mapping[str, tuple[tuple[type, ...], Callable[[Any, s.Scalar], Any]]] = {
    "null": ((type(None),), lambda _value, _kind: None),
    "bool": ((bool,), lambda value, _kind: bool(value)),
    **dict.fromkeys(INTEGERS, ((int,), lambda value, kind: _integer(int(value), kind))),
    **dict.fromkeys(LARGEST, ((int, float), _encode_float)),
    "string": ((str,), lambda value, _kind: str(value)),
    "decimal": ((Decimal,), lambda value, _kind: str(value)),
    "bytes": ((bytes, bytearray), lambda value, _kind: base64.b64encode(value).decode()),
    "date": ((date,), lambda value, _kind: value.isoformat()),
    "time": ((time,), lambda value, _kind: value.isoformat()),
    "datetime": ((datetime,), lambda value, _kind: _moment(value).isoformat()),
    "timedelta": ((timedelta,), lambda value, _kind: value.total_seconds()),
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


def plain(value: Any) -> Any:
    """Give the Python scalar of a NumPy scalar (or of a 0-dimensional array); anything else as it is."""
    item = getattr(value, "item", None)
    if item is not None and type(value).__module__.partition(".")[0] in {"numpy", "torch"}:
        return item()
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
        value = plain(value)
        types, write = _ENCODE[self.kind.dtype]
        if isinstance(value, types) and (type(value) is not bool or bool in types):
            try:
                return write(value, self.kind)
            except Refused:
                pass
        problems.add(path, describe(value), expected(self.kind), "answer.type")
        return None


def scalar_codec(kind: s.Scalar, _definitions: Definitions) -> Codec:
    """Make the codec of a scalar type."""
    return ScalarCodec(kind)


class ChoiceCodec:
    """One of a few values."""

    def __init__(self, kind: s.Choice) -> None:
        self.kind = kind
        self.known = {(type(value), value) for value in kind.values}

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Admit a known value; give the member where the values are an enum's."""
        if isinstance(value, list | dict) or (type(value), value) not in self.known:
            problems.add(path, describe(value), choices(self.kind), "payload.choice")
            return None
        return class_named(self.kind.enum)(value) if self.kind.enum else value

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write a value or an enum's member."""
        value = plain(value.value if isinstance(value, Enum) else value)
        if isinstance(value, list | dict) or (type(value), value) not in self.known:
            problems.add(path, describe(value), choices(self.kind), "answer.choice")
            return None
        return value


def choice_codec(kind: s.Choice, _definitions: Definitions) -> Codec:
    """Make the codec of a choice."""
    return ChoiceCodec(kind)


def choices(kind: s.Choice) -> str:
    """Say what may be chosen; the first few of many."""
    shown = ", ".join(describe(value).removeprefix("the string ") for value in kind.values[:8])
    more = f", … ({len(kind.values)} in all)" if len(kind.values) > 8 else ""
    return f"one of {shown}{more}" + (", or null" if kind.nullable else "")


class AnyCodec:
    """Free JSON, as it is."""

    def decode(self, value: Any, path: str, problems: Problems) -> Any:  # noqa: ARG002  the protocol of all codecs
        """Give the JSON value itself."""
        return value

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write what JSON can say."""
        value = plain(value)
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                problems.add(path, repr(value), "a number that JSON can write", "answer.non-finite")
            return value
        if isinstance(value, list | tuple):
            return [self.encode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {key: self.encode(item, f"{path}.{key}", problems) for key, item in value.items()}
        problems.add(path, describe(value), "something that JSON can write", "answer.type")
        return None


def any_codec(_kind: s.Any, _definitions: Definitions) -> Codec:
    """Make the codec of free JSON."""
    return AnyCodec()


def class_named(name: str) -> Any:
    """Import a class by ``module:qualname``."""
    module, _, qualname = name.partition(":")
    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found
