"""Headers of ASGI that hold lists: pairs of bytes come in, their names in lower case."""

from __future__ import annotations

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]


def header(headers: Headers, name: bytes) -> bytes:
    """Give the value of a header; empty where it is not there. Several of one name are one list, as HTTP has it."""
    found = b""
    for key, value in headers:
        if key == name:
            found = joined(found, value)
    return found


def joined(one: bytes, other: bytes) -> bytes:
    """Join two lists."""
    return one + b", " + other if one else other


def weighted(text: bytes) -> list[tuple[str, float]]:
    """Read a list of names with their ``q``; one that is no number between 0 and 1 counts as 1."""
    found = []
    for item in text.decode("latin-1").lower().split(","):
        name, _, parameters = item.partition(";")
        if name.strip():
            found.append((name.strip(), _weight(parameter_of(parameters, "q"))))
    return found


def parameter_of(text: str, wanted: str) -> str | None:
    """Find a parameter behind a name: ``charset=utf-8; q=0.5``."""
    for item in text.split(";"):
        name, _, value = item.partition("=")
        if name.strip().lower() == wanted:
            return value.strip(' "')
    return None


def _weight(text: str | None) -> float:
    try:
        quality = 1.0 if text is None else float(text)
    except ValueError:
        return 1.0
    return quality if 0 <= quality <= 1 else 1.0
