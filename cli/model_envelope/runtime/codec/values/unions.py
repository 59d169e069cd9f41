"""Unions, with tags or without, and references to named types."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe
from model_envelope.runtime.codec.values.belonging import belongs, looks_like
from model_envelope.runtime.errors import Problems


class UnionCodec:
    """One of several types: the one that its tag names, or the one that the value looks like."""

    def __init__(self, kind: s.Union, definitions: Definitions) -> None:
        self.kind = kind
        self.definitions = definitions
        self.options = tuple((option, codec_for(option, definitions)) for option in kind.options)
        self.names = " or ".join(kind.tags or (_name(option) for option in kind.options))
        self.by_tag = dict(zip(kind.tags, (codec for _, codec in self.options), strict=False))

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Decode by the option that is meant; only where several may be, each is tried."""
        if self.by_tag:
            return self._from_tagged(value, path, problems)
        likely = [codec for kind, codec in self.options if looks_like(kind, value, self.definitions)]
        if len(likely) == 1:
            return likely[0].decode(value, path, problems)
        for codec in likely:
            tried = Problems()
            found = codec.decode(value, path, tried)
            if not tried:
                return found
        problems.add(path, describe(value), self.names, "payload.null" if value is None else "payload.type")
        return None

    def _from_tagged(self, value: Any, path: str, problems: Problems) -> Any:
        expected = f'{{"type": ..., "value": ...}}, the type being {self.names}'
        if type(value) is not dict or value.keys() != {"type", "value"}:
            problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
            return None
        tag = value["type"]
        codec = self.by_tag.get(tag) if type(tag) is str else None
        if codec is None:
            problems.add(f"{path}.type", describe(tag), self.names, "payload.tag")
            return None
        return codec.decode(value["value"], f"{path}.value", problems)

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Encode by the option whose class the value is of; else by the first one that can say it."""
        own = [belongs(kind, value, self.definitions) for kind, _ in self.options]
        order = sorted(range(len(own)), key=lambda at: not own[at])
        for at in order:
            tried = Problems()
            found = self.options[at][1].encode(value, path, tried)
            if not tried:
                return {"type": self.kind.tags[at], "value": found} if self.by_tag else found
        problems.add(path, describe(value), self.names, "answer.type")
        return None


def _name(kind: s.Type) -> str:
    match kind:
        case s.Scalar():
            return s.SCALARS[kind.dtype]
        case s.Record() if kind.cls:
            return kind.cls.rpartition(":")[2]
    return kind.kind


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
