"""Lists, sets, tuples and maps."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions, codec_for, describe, under
from model_envelope.runtime.errors import Problems


def _is_array(value: Any, path: str, problems: Problems, expected: str) -> bool:
    if type(value) is list:
        return True
    problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
    return False


class ListCodec:
    """A list, or a tuple of any length."""

    def __init__(self, kind: s.List, definitions: Definitions) -> None:
        self.item = codec_for(kind.item, definitions)
        self.variadic = kind.variadic

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Decode each item."""
        if not _is_array(value, path, problems, "an array"):
            return None
        found = [self.item.decode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]
        return tuple(found) if self.variadic else found

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Encode each item of a list or tuple."""
        if not isinstance(value, list | tuple):
            problems.add(path, describe(value), "a tuple" if self.variadic else "a list", "answer.type")
            return None
        return [self.item.encode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]


class SetCodec:
    """A set; JSON has an array, written in sorted order."""

    def __init__(self, kind: s.Set, definitions: Definitions) -> None:
        self.item = codec_for(kind.item, definitions)
        self.make = frozenset if kind.frozen else set

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Decode each item; one that stands twice is refused, since it would be lost."""
        if not _is_array(value, path, problems, "an array of distinct items"):
            return None
        before = problems.count
        items = [self.item.decode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]
        if problems.count > before:
            return None
        try:
            found = self.make(items)
        except TypeError:
            problems.add(path, "an array or object as an item", "items that a set can hold", "payload.unhashable")
            return None
        if len(found) != len(items):
            problems.add(path, "the same item twice", "an array of distinct items", "payload.duplicate")
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Encode each item of a set."""
        if not isinstance(value, AbstractSet):
            problems.add(path, describe(value), "a set", "answer.type")
            return None
        return sorted((self.item.encode(item, f"{path}[*]", problems) for item in value), key=_order)


def _order(item: Any) -> tuple[str, float, str]:
    """Sort JSON values of any kinds: numbers by value, the rest as text."""
    number = isinstance(item, int | float)
    return ("number" if number else type(item).__name__, item if number else 0, str(item))


class TupleCodec:
    """A tuple of fixed length."""

    def __init__(self, kind: s.Tuple, definitions: Definitions) -> None:
        self.items = tuple(codec_for(item, definitions) for item in kind.items)

    def decode(self, value: Any, path: str, problems: Problems) -> tuple[Any, ...] | None:
        """Decode each item by its own type."""
        expected = f"an array of {len(self.items)}"
        if not _is_array(value, path, problems, expected):
            return None
        if len(value) != len(self.items):
            problems.add(path, describe(value), expected, "payload.length")
            return None
        return tuple(
            item.decode(one, f"{path}[{at}]", problems)
            for at, (item, one) in enumerate(zip(self.items, value, strict=True))
        )

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Encode each item by its own type."""
        if not isinstance(value, tuple | list) or len(value) != len(self.items):
            problems.add(path, describe(value), f"a tuple of {len(self.items)}", "answer.type")
            return None
        return [
            item.encode(one, f"{path}[{at}]", problems)
            for at, (item, one) in enumerate(zip(self.items, value, strict=True))
        ]


class MapCodec:
    """A mapping: an object where the keys are strings, else an array of pairs."""

    def __init__(self, kind: s.Map, definitions: Definitions) -> None:
        self.key = codec_for(kind.key, definitions)
        self.value = codec_for(kind.value, definitions)
        self.by_name = isinstance(kind.key, s.Scalar) and kind.key.dtype == "string" and not kind.key.nullable

    def decode(self, value: Any, path: str, problems: Problems) -> dict[Any, Any] | None:
        """Decode an object, or an array of pairs."""
        if self.by_name:
            return self._from_object(value, path, problems)
        if not _is_array(value, path, problems, "an array of [key, value] pairs"):
            return None
        found: dict[Any, Any] = {}
        for at, pair in enumerate(value):
            if type(pair) is not list or len(pair) != 2:
                problems.add(f"{path}[{at}]", describe(pair), "a [key, value] pair", "payload.type")
                continue
            before = problems.count
            key = self.key.decode(pair[0], f"{path}[{at}][0]", problems)
            item = self.value.decode(pair[1], f"{path}[{at}][1]", problems)
            if problems.count > before:
                continue
            try:
                twice = key in found
                found[key] = item
            except TypeError:
                problems.add(f"{path}[{at}][0]", describe(pair[0]), "a key that a dict can hold", "payload.unhashable")
                continue
            if twice:
                problems.add(f"{path}[{at}][0]", "a key that stands twice", "distinct keys", "payload.duplicate")
        return found

    def _from_object(self, value: Any, path: str, problems: Problems) -> dict[Any, Any] | None:
        if type(value) is not dict:
            problems.add(path, describe(value), "an object", "payload.null" if value is None else "payload.type")
            return None
        return {
            self.key.decode(key, under(path, key), problems): self.value.decode(item, under(path, key), problems)
            for key, item in value.items()
        }

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Encode a mapping."""
        if not isinstance(value, Mapping):
            problems.add(path, describe(value), "a dict", "answer.type")
            return None
        pairs = [
            (self.key.encode(key, under(path, key), problems), self.value.encode(item, under(path, key), problems))
            for key, item in value.items()
        ]
        return dict(pairs) if self.by_name else [list(pair) for pair in pairs]
