"""Bodies that are encoded with gzip or zstd, in and out.

What a body unpacks to is bound by the same limit as a plain one, and found out while it is unpacked: a few kilobytes
may stand for gigabytes. A frame of zstd may ask for a window of 8 MB at most, as RFC 9659 has it for HTTP.
"""

from __future__ import annotations

import sys
import zlib
from functools import cache
from typing import Any, Protocol

from model_envelope.serving.accepting import weighted
from model_envelope.serving.problems import HttpProblem, too_large

WORTH = 1024
"""Bytes below which an answer is not compressed: it would fit into a packet all the same."""

MEMBERS = 1000
"""How many packed texts may follow one another in a body: each costs time, though it may hold nothing."""

_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = {"gzip": 1, "zstd": 1}
"""How hard is tried: answers are made once, and the core that would try harder is the model's."""
_WINDOW = 23
_STEP = 2**20


class _Unpacker(Protocol):
    """What the decompressors of all libraries have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /, max_length: int = ...) -> bytes: ...


@cache
def encodings() -> tuple[str, ...]:
    """List the encodings that are known here, the one first that costs least."""
    return ("zstd", "gzip") if _zstd() is not None else ("gzip",)


def request_encoding(content_encoding: bytes) -> str | None:
    """Find how a body is encoded; None where it is plain.

    Raises :class:`HttpProblem` 415 for an encoding that is not known here, and for several on top of each other.
    """
    if not content_encoding:
        return None
    name = content_encoding.decode("latin-1").strip().lower().removeprefix("x-")
    if name in {"", "identity"}:
        return None
    if name in encodings():
        return name
    known = ", ".join(encodings())
    raise HttpProblem(
        415,
        "request.encoding",
        f"The body is encoded with `{name:.40}`; this service reads {known}, one of them, and plain bodies.",
        {"Accept-Encoding": known},
    )


def decompress(raw: bytes, encoding: str, limit: int) -> bytes:
    """Unpack a body to at most ``limit`` bytes.

    Raises :class:`HttpProblem`: 413 where it is more, 400 (``request.encoding``) where it is not what it says it is, or
    ends too early.
    """
    parts: list[bytes] = []
    size, members, rest = 0, 0, raw
    try:
        while rest:
            members += 1
            if members > MEMBERS:
                raise _broken(encoding, f"it has more than {MEMBERS} members")
            unpacker = _unpacker(encoding)
            data = rest
            while not unpacker.eof:
                part = unpacker.decompress(data, max_length=_STEP)
                data = _left(unpacker)
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                parts.append(part)
                if not part and not data and not unpacker.eof:
                    raise _broken(encoding, "it ends too early")
            rest = unpacker.unused_data
    except _errors() as error:
        raise _broken(encoding, "it is not what it says it is") from error
    return b"".join(parts)


def wanted_encoding(accept_encoding: bytes) -> str | None:
    """Choose how an answer is encoded by Accept-Encoding: the one that is wanted most; None leaves it plain."""
    wanted = dict(weighted(accept_encoding))
    others = wanted.get("*", 0.0)
    best, most = None, 0.0
    for name in encodings():
        quality = wanted.get(name, others)
        if quality > most:
            best, most = name, quality
    return best if most >= wanted.get("identity", 0.0) else None


def compress(body: bytes, encoding: str) -> bytes:
    """Pack an answer."""
    if encoding == "gzip":
        packer = zlib.compressobj(_LEVEL[encoding], wbits=_GZIP)
        return packer.compress(body) + packer.flush()
    packed: bytes = _zstd().compress(body, level=_LEVEL[encoding])
    return packed


def _unpacker(encoding: str) -> _Unpacker:
    if encoding == "gzip":
        return zlib.decompressobj(wbits=_GZIP)
    zstd = _zstd()
    made: _Unpacker = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW})
    return made


def _left(unpacker: Any) -> bytes:
    """Give what was not read yet: zlib wants it again, zstd keeps it."""
    left: bytes = getattr(unpacker, "unconsumed_tail", b"")
    return left


def _errors() -> tuple[type[Exception], ...]:
    zstd: tuple[type[Exception], ...] = () if _zstd() is None else (_zstd().ZstdError,)
    return (zlib.error, EOFError, ValueError, *zstd)


@cache
def _zstd() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        return None
    return zstd


def _broken(encoding: str, why: str) -> HttpProblem:
    return HttpProblem(400, "request.encoding", f"The body cannot be unpacked with {encoding}: {why}.")
