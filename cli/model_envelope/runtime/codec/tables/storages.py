"""The dtype of a column as its library writes it, taken apart: ``list<timestamp[us, tz=Europe/Berlin]>``.

The libraries write their dtypes with different brackets, and do not read them back. Here all brackets are one, a part
may have a label (``struct<a: int64>``), and odd names stand in quotes, so that any text that was written can be read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from model_envelope.runtime.errors import InvalidSignature

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[<>\[\](),:=]|not null|[^\s<>\[\](),:="]+)')
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)


@dataclass(frozen=True)
class Storage:
    """A dtype: its name, and what it is made of, each part with its label (or None)."""

    name: str
    parts: tuple[tuple[str | None, Storage], ...] = ()
    required: bool = False

    def part(self, at: int) -> Storage | None:
        """Give the dtype of one part; None where there is no such part."""
        return self.parts[at][1] if at < len(self.parts) else None

    def named(self, label: str) -> Storage | None:
        """Give the dtype of the part with a label."""
        return next((part for name, part in self.parts if name == label), None)


def word(text: str) -> str:
    """Write a name or value, in quotes where it would be misread."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def read_storage(text: str) -> Storage:
    """Take a dtype apart.

    Raises :class:`InvalidSignature` (``signature.storage``) for what no library writes.
    """
    tokens = _TOKEN.findall(text)
    try:
        found = _item(tokens)
    except (IndexError, ValueError, RecursionError):
        found = None
    if found is None or tokens:
        raise InvalidSignature(f"{text[:80]!r} is no dtype of a column", code="signature.storage")
    return found


def _item(tokens: list[str]) -> Storage:
    name = _word(tokens)
    parts: list[tuple[str | None, Storage]] = []
    # The second pair of brackets is how pyarrow writes the size of `fixed_size_list<item: float>[3]`.
    while tokens and tokens[0] in "<[(":
        tokens.pop(0)
        while True:
            parts.append(_part(tokens))
            if tokens.pop(0) != ",":
                break
    required = bool(tokens) and tokens[0] == "not null"
    if required:
        tokens.pop(0)
    return Storage(name, tuple(parts), required)


def _part(tokens: list[str]) -> tuple[str | None, Storage]:
    label = None
    if len(tokens) > 1 and tokens[1] in ":=":
        label = _word(tokens)
        tokens.pop(0)
    return label, _item(tokens)


def _word(tokens: list[str]) -> str:
    found = tokens.pop(0)
    if found.startswith('"'):
        return str(json.loads(found))
    if found in "<>[](),:=":
        raise ValueError(found)
    return found
