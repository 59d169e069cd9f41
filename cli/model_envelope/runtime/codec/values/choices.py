"""Choices (literals, enums, categories) and free JSON."""

from __future__ import annotations

import math
from enum import Enum
from functools import cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, describe
from model_envelope.runtime.codec.values.scalars import ScalarCodec, choices, plain
from model_envelope.runtime.errors import InvalidSignature, Problems
from model_envelope.runtime.local_imports import import_local


class ChoiceCodec:
    """One of a few values.

    An enum is spelled by the values of its members; where JSON cannot say those, by their names.
    """

    def __init__(self, kind: s.Choice) -> None:
        self.kind = kind
        self.known = {(type(value), value) for value in kind.values}
        self.spelled = ScalarCodec(s.Scalar(kind.dtype)) if kind.dtype else None

    @cached_property
    def enum(self) -> Any:
        """The enum's class."""
        return class_named(str(self.kind.enum))

    @cached_property
    def members(self) -> dict[tuple[type, Any], Any]:
        """What each spelled value stands for."""
        if self.kind.enum is None:
            return {(type(value), value): self._read(value) for value in self.kind.values}
        if self._by_name:
            return {(str, value): self.enum[value] for value in self.kind.values}
        return {(type(value), value): self.enum(self._read(value)) for value in self.kind.values}

    @cached_property
    def _by_name(self) -> bool:
        if self.kind.dtype is not None or not all(isinstance(value, str) for value in self.kind.values):
            return False
        known = {member.value for member in self.enum if isinstance(member.value, str)}
        return not set(self.kind.values) <= known and set(self.kind.values) <= set(self.enum.__members__)

    def _read(self, value: Any) -> Any:
        return self.spelled.decode(value, "$", Problems()) if self.spelled else value

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Admit a known value; give the member where the values are an enum's."""
        if isinstance(value, list | dict) or (type(value), value) not in self.known:
            code = "payload.null" if value is None else "payload.choice"
            problems.add(path, describe(value), choices(self.kind), code)
            return None
        return self.members[type(value), value]

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write a value or an enum's member."""
        written = self._write(value)
        if isinstance(written, list | dict) or not _known(written, self.known):
            problems.add(path, describe(value), choices(self.kind), "answer.choice")
            return None
        return written

    def _write(self, value: Any) -> Any:
        if isinstance(value, Enum) and self.kind.enum is not None and self._by_name:
            return value.name
        value = plain(value)
        if self.spelled is None:
            return value
        problems = Problems()
        written = self.spelled.encode(value, "$", problems)
        return value if problems else written


def _known(value: Any, known: set[tuple[type, Any]]) -> bool:
    try:
        return (type(value), value) in known
    except TypeError:  # a value that cannot be hashed is none of them
        return False


def choice_codec(kind: s.Choice, _definitions: Definitions) -> Codec:
    """Make the codec of a choice."""
    return ChoiceCodec(kind)


class AnyCodec:
    """Free JSON, as it is."""

    def decode(self, value: Any, path: str, problems: Problems) -> Any:  # noqa: ARG002  the protocol of all codecs
        """Give the JSON value itself."""
        return value

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write what JSON can say."""
        value = plain(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return ScalarCodec(s.Scalar("string")).encode(value, path, problems)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                problems.add(path, describe(value), "a number that JSON can write", "answer.non-finite")
            return float(value)
        if isinstance(value, list | tuple):
            return [self.encode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {key: self.encode(item, f"{path}.{key:.40}", problems) for key, item in value.items()}
        problems.add(path, describe(value), "something that JSON can write", "answer.type")
        return None


def any_codec(_kind: s.Any, _definitions: Definitions) -> Codec:
    """Make the codec of free JSON."""
    return AnyCodec()


def class_named(name: str) -> Any:
    """Import a class by ``module:qualname``.

    Raises :class:`InvalidSignature` (``signature.no-class``) where it is not there: the model's code has changed.
    """
    module, _, qualname = name.partition(":")
    try:
        found: Any = import_local(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InvalidSignature(
            f"the signature needs the class `{qualname}` of the module `{module}`, and it cannot be imported: {error}",
            code="signature.no-class",
            hint="the class must be importable wherever the model is: keep it at the top level of a module of its code",
        ) from None
    return found
