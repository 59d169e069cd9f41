"""JSON text, strictly: what RFC 8259 allows and nothing else.

Duplicate keys: the last one wins, as in the JSON parsers of most languages. NaN and the infinities are no JSON, and
half a surrogate pair is no text. Nesting ends at :data:`DEEPEST`, wherever the stack would.

Where msgspec is installed it reads what it can: it keeps integers of any length exact, and what it accepts the standard
library reads as the same value (a property test holds the two together). Whatever it refuses the standard library reads
again, so that verdict and words are the same with it and without.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import Any, NoReturn

from model_envelope.runtime.errors import InvalidPayload

DEEPEST = 128
"""How many arrays and objects may stand in one another."""


def parse_json(raw: bytes) -> Any:
    """Read a JSON text.

    Raises :class:`InvalidPayload` (``payload.malformed``) for anything that is none: invalid UTF-8, a NaN literal,
    nesting or digits beyond all use, with the place where it stops to make sense.
    """
    if nests_deeper(raw, DEEPEST):
        raise _malformed(f"it is nested more than {DEEPEST} deep")
    fast = fast_parser()
    if fast is not None:
        try:
            return fast(raw)
        except (ValueError, RecursionError):
            pass  # the standard library has the last word
    return parse_slowly(raw)


def parse_slowly(raw: bytes) -> Any:
    """Read a JSON text that is not nested too deeply with the standard library; raises as :func:`parse_json` does."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is no UTF-8") from None
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except _NoNumber as error:
        raise _malformed(str(error)) from None
    except ValueError:
        raise _malformed(f"an integer has more than {sys.get_int_max_str_digits():,} digits") from None
    if _SURROGATE.search(raw) and not _is_text(value):
        raise _malformed("a string has half of a surrogate pair, which is no character")
    return value


@cache
def fast_parser() -> Callable[[bytes], Any] | None:
    """Give the fast parser, or None where there is none."""
    try:
        import msgspec
    except ImportError:
        return None
    # From this version on its integers beyond 64 bits are exact, and its errors are ValueErrors.
    version = tuple(int(part) for part in re.findall(r"\d+", msgspec.__version__)[:2])
    parse: Callable[[bytes], Any] = msgspec.json.Decoder().decode
    return parse if version >= (0, 21) else None


@cache
def fast_writer() -> Callable[[Any], bytes] | None:
    """Give the fast writer, or None where there is none."""
    if fast_parser() is None:
        return None
    import msgspec

    write: Callable[[Any], bytes] = msgspec.json.Encoder().encode
    return write


class Unwritten(ValueError):
    """The fast writer does not take a value; the standard library may."""


def write_json(value: Any) -> bytes:
    """Write what a codec has encoded as compact JSON text in UTF-8, as fast as can be.

    The values are those of :func:`dump_json`; numbers may be spelled otherwise (``1e16`` for ``1e+16``).
    """
    try:
        return write_records(value)
    except Unwritten:
        return dump_json(value)


def write_records(value: Any) -> bytes:
    """Write as :func:`write_json` does, records of msgspec too. Raises :class:`Unwritten`."""
    fast = fast_writer()
    try:
        if fast is not None:
            return fast(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unwritten(error) from None
    raise Unwritten(value)


def dump_json(value: Any) -> bytes:
    """Write plain values as compact JSON text in UTF-8.

    Raises :class:`ValueError` for NaN and the infinities: the codec has turned them into what the signature allows.
    """
    return _encoder.encode(value).encode("utf-8")


def nests_deeper(raw: bytes, limit: int) -> bool:
    """Say whether brackets outside strings stand deeper in one another than the limit, in linear time.

    Most bodies are known to be shallow at a glance: they have few brackets, or few are left once pairs with nothing
    between them were taken away a few times. Brackets in strings can only make them look deeper.
    """
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    brackets = raw.translate(None, delete=_NO_BRACKETS)
    for _ in range(6):
        fewer = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    if brackets.count(b"[") + brackets.count(b"{") <= limit - 6:
        return False
    brackets = _STRING.sub(b"", raw).translate(None, delete=_NO_BRACKETS)
    depth = 0
    for start in range(0, len(brackets), _CHUNK):
        depths = list(accumulate(map(_STEPS.__getitem__, brackets[start : start + _CHUNK]), initial=depth))
        if max(depths) > limit:
            return True
        depth = depths[-1]
    return False


def _is_text(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class _NoNumber(ValueError):
    """A number that JSON does not have."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NoNumber(f"{name} is no JSON (send null, or the string {name!r} where the signature allows it)")


def _malformed(what: str) -> InvalidPayload:
    return InvalidPayload(f"the body is no JSON: {what}", code="payload.malformed")


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CHUNK = 65_536
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
