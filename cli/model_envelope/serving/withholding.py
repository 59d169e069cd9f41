"""Takes the values of a request out of what an exception says, so that the log has the reason without the data."""

from __future__ import annotations

import re
from collections.abc import Collection

MARK = "***"
LARGEST = 1_000_000
"""Bytes of a body that is searched for what a text says; of a larger one nothing that the text says is told."""

# Where the code is, and the line of code that stands there, are no values.
_FRAME = re.compile(r'(?P<before> *)File ".*", line \d+')
_RAISED = re.compile(r"(?P<kind>[A-Za-z_][\w.]*)(?::.*)?")
_KIND = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit|Interrupt)")
_WORD = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|\w+")
_NUMBER = re.compile(r"[-+]?\d")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\[bfnrt]")


def withheld(text: str, body: bytes, names: Collection[str] = ()) -> str:
    """Give a text, a stack trace for instance, without the words and numbers that a request body holds.

    Lines of code stay, and so do ``names``, those of the signature. Of a body that is no text, or larger than
    ``LARGEST`` bytes, the types of exceptions are all that is told of what they say.
    """
    values = _words(body)
    kept = {word.casefold() for name in names for word in _WORD.findall(name)}
    lines, code = [], ""
    for line in text.split("\n"):
        if found := _FRAME.match(line):
            code = found["before"] + "  "
            lines.append(line)
        elif code and line.startswith(code):
            lines.append(line)
        else:
            code = ""
            lines.append(_nothing_of(line) if values is None else _without(line, values, kept))
    return "\n".join(lines)


def _words(body: bytes) -> frozenset[str] | None:
    """List the words and numbers in a body; None where they cannot be told."""
    if len(body) > LARGEST or b"\0" in body:
        return None
    try:
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", body.decode())
    except UnicodeDecodeError:
        return None
    return frozenset(_plain(word) for word in _WORD.findall(text))


def _without(line: str, values: frozenset[str], kept: Collection[str]) -> str:
    def hide(found: re.Match[str]) -> str:
        word = found[0]
        if _NUMBER.match(word):
            return MARK if _plain(word) in values else word
        told = word.casefold() in kept or _KIND.fullmatch(word)
        return MARK if _plain(word) in values and not told else word

    return _WORD.sub(hide, line)


def _nothing_of(line: str) -> str:
    if not line.strip() or line.startswith(("Traceback (", "During handling", "The above exception")):
        return line
    found = _RAISED.fullmatch(line)
    return f"{found['kind']}: {MARK}" if found and _KIND.fullmatch(found["kind"].rpartition(".")[2]) else MARK


def _plain(word: str) -> str:
    """Write a word or number as every other spelling of it is written."""
    if _NUMBER.match(word):
        try:
            return repr(float(word))
        except ValueError:
            return word
    return word.casefold()
