"""JSON text, strictly: what RFC 8259 allows and nothing else.

Duplicate keys: the last one wins, as in the JSON parsers of most languages. NaN and the infinities are no JSON.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from model_envelope.runtime.errors import InvalidPayload


def parse_json(raw: bytes) -> Any:
    """Read a JSON text.

    Raises :class:`InvalidPayload` (``payload.malformed``) for anything that is none: invalid UTF-8, a NaN literal,
    nesting or digits beyond all use, with the place where it stops to make sense.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is no UTF-8") from None
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except ValueError as error:
        raise _malformed(str(error)) from None


def dump_json(value: Any) -> bytes:
    """Write plain values as compact JSON text in UTF-8.

    Raises :class:`ValueError` for NaN and the infinities: the codec has turned them into what the signature allows.
    """
    return _encoder.encode(value).encode("utf-8")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON (send null, or the string {name!r} where the signature allows it)")


def _malformed(what: str) -> InvalidPayload:
    return InvalidPayload(f"the body is no JSON: {what}", code="payload.malformed")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
