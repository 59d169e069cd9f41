"""Takes the time out of Java's store of certificate authorities, which Debian makes anew on each machine.

Such a store (JKS) notes of each certificate when it was put in, and ends with a digest that a known word is part of.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

MAGIC = 0xFEEDFEED
CERTIFICATE = 2
PASSWORD = "changeit"  # noqa: S105  it keeps nothing secret, and stands in every Java
_PEPPER = b"Mighty Aphrodite"


def without_times(path: Path) -> bool:
    """Write a store of certificates with no times in it, sorted by name; whether that could be done.

    A store of another form, with another password or with keys in it is left as it is.
    """
    content = path.read_bytes()
    body, digest = content[:-20], content[-20:]
    if _digest(body) != digest:
        return False
    try:
        magic, version, count = struct.unpack_from(">III", body)
        if magic != MAGIC or version != 2:
            return False
        entries, at = {}, 12
        for _ in range(count):
            (tag,) = struct.unpack_from(">I", body, at)
            if tag != CERTIFICATE:
                return False
            name, at = _text(body, at + 4)
            kind, after = _text(body, at + 8)
            (length,) = struct.unpack_from(">I", body, after)
            at = after + 4 + length
            certificate = body[after + 4 : at]
            entries[name] = _packed(name) + bytes(8) + _packed(kind) + struct.pack(">I", length) + certificate
    except struct.error:
        return False
    parts = [struct.pack(">I", CERTIFICATE) + entries[name] for name in sorted(entries)]
    written = struct.pack(">III", MAGIC, 2, len(parts)) + b"".join(parts)
    path.write_bytes(written + _digest(written))
    return True


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", body, at)
    return body[at + 2 : at + 2 + length], at + 2 + length


def _packed(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _digest(body: bytes) -> bytes:
    return hashlib.sha1(PASSWORD.encode("utf-16-be") + _PEPPER + body, usedforsecurity=False).digest()
