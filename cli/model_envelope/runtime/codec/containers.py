"""Lists, sets, tuples, maps, records, unions and references."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe
from model_envelope.runtime.codec.scalars import class_named
from model_envelope.runtime.errors import Problems


def _is_array(value: Any, path: str, problems: Problems, expected: str) -> bool:
    if type(value) is list:
        return True
    problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
    return False


class ListCodec:
    """A list."""

    def __init__(self, kind: s.List, definitions: Definitions) -> None:
        self.item = codec_for(kind.item, definitions)

    def decode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Decode each item."""
        if not _is_array(value, path, problems, "an array"):
            return None
        return [self.item.decode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Encode each item of a list or tuple."""
        if not isinstance(value, list | tuple):
            problems.add(path, describe(value), "a list", "answer.type")
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
        before = len(problems.items) + problems.dropped
        items = [self.item.decode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]
        if len(problems.items) + problems.dropped > before:
            return None
        found = self.make(items)
        if len(found) != len(items):
            problems.add(path, "the same item twice", "an array of distinct items", "payload.duplicate")
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> list[Any] | None:
        """Encode each item of a set."""
        if not isinstance(value, set | frozenset):
            problems.add(path, describe(value), "a set", "answer.type")
            return None
        items = [self.item.encode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]
        return sorted(
            items, key=lambda item: (type(item).__name__, item if isinstance(item, int | float) else 0, str(item))
        )


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
            if type(value) is not dict:
                problems.add(path, describe(value), "an object", "payload.type")
                return None
            return {key: self.value.decode(item, f"{path}.{key}", problems) for key, item in value.items()}
        if not _is_array(value, path, problems, "an array of [key, value] pairs"):
            return None
        found: dict[Any, Any] = {}
        for at, pair in enumerate(value):
            if type(pair) is not list or len(pair) != 2:
                problems.add(f"{path}[{at}]", describe(pair), "a [key, value] pair", "payload.type")
                continue
            before = len(problems.items) + problems.dropped
            key = self.key.decode(pair[0], f"{path}[{at}][0]", problems)
            item = self.value.decode(pair[1], f"{path}[{at}][1]", problems)
            if len(problems.items) + problems.dropped > before:
                continue
            if key in found:
                problems.add(f"{path}[{at}][0]", "a key that stands twice", "distinct keys", "payload.duplicate")
            found[key] = item
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Encode a mapping."""
        if not isinstance(value, dict):
            problems.add(path, describe(value), "a dict", "answer.type")
            return None
        pairs = [
            (self.key.encode(key, f"{path}.{key}", problems), self.value.encode(item, f"{path}.{key}", problems))
            for key, item in value.items()
        ]
        return dict(pairs) if self.by_name else [list(pair) for pair in pairs]


class RecordCodec:
    """An object with named fields."""

    def __init__(self, kind: s.Record, definitions: Definitions) -> None:
        self.kind = kind
        self.fields = {field.name: (field, codec_for(field.type, definitions)) for field in kind.fields}

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Decode an object: missing, null and default are three things, and unknown fields are refused."""
        if type(value) is not dict:
            problems.add(path, describe(value), "an object", "payload.null" if value is None else "payload.type")
            return None
        before = len(problems.items) + problems.dropped
        for name in value.keys() - self.fields.keys():
            problems.add(f"{path}.{name}", "an unknown field", f"one of {', '.join(self.fields)}", "payload.unknown")
        found = {}
        for name, (field, codec) in self.fields.items():
            if name in value:
                found[name] = codec.decode(value[name], f"{path}.{name}", problems)
            elif field.required:
                problems.add(f"{path}.{name}", "nothing", "a value", "payload.missing")
        if len(problems.items) + problems.dropped > before or self.kind.cls is None:
            return found
        return class_named(self.kind.cls)(**found)

    def encode(self, value: Any, path: str, problems: Problems) -> dict[str, Any] | None:
        """Encode a dict's items or an object's attributes."""
        if self.kind.cls is None and not isinstance(value, dict):
            problems.add(path, describe(value), "a dict", "answer.type")
            return None
        found: dict[str, Any] = {}
        for name, (field, codec) in self.fields.items():
            try:
                item = value[name] if self.kind.cls is None or isinstance(value, dict) else getattr(value, name)
            except (KeyError, AttributeError):
                if field.required:
                    problems.add(f"{path}.{name}", "nothing", "a value", "answer.missing")
                continue
            found[name] = codec.encode(item, f"{path}.{name}", problems)
        if isinstance(value, dict):
            for name in value.keys() - self.fields.keys():
                problems.add(f"{path}.{name}", "an unknown field", f"one of {', '.join(self.fields)}", "answer.unknown")
        return found


class UnionCodec:
    """The first option that admits the value. Packing has made sure that no two admit the same JSON."""

    def __init__(self, kind: s.Union, definitions: Definitions) -> None:
        self.options = tuple(codec_for(option, definitions) for option in kind.options)
        self.names = " or ".join(option.kind for option in kind.options)

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Decode by the first option without a problem."""
        for option in self.options:
            tried = Problems()
            found = option.decode(copy.copy(value), path, tried)
            if not tried:
                return found
        problems.add(path, describe(value), self.names, "payload.type")
        return None

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Encode by the first option without a problem."""
        for option in self.options:
            tried = Problems()
            found = option.encode(value, path, tried)
            if not tried:
                return found
        problems.add(path, describe(value), self.names, "answer.type")
        return None


class ReferenceCodec:
    """A named type, looked up when it is first needed: it may contain itself."""

    def __init__(self, kind: s.Reference, definitions: Definitions) -> None:
        self.name = kind.name
        self.definitions = definitions

    @cached_property
    def target(self) -> Codec:
        """The codec of the named type."""
        return codec_for(self.definitions[self.name], self.definitions)

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Decode by the named type."""
        return self.target.decode(value, path, problems)

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Encode by the named type."""
        return self.target.encode(value, path, problems)
