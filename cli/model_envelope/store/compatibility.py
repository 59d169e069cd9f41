"""Whether a new signature can take the place of an old one, and where not, the request that shows it.

A new signature is *compatible* when every request body that the old one admits is admitted by the new one, and answers
keep their type (they may become narrower: never null any more, fewer choices). Each breaking change of what goes in is
shown by one request body that the old signature admits and the new one refuses, both asked of the codec itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.codec.base import describe
from model_envelope.runtime.errors import InvalidPayload, InvalidSignature
from model_envelope.store.narrowing import Narrowing
from model_envelope.store.shapes import Language, plain

LIMIT = 100
"""How many changes of one method are told."""


class Verdict(Enum):
    """What a new signature is to an old one."""

    IDENTICAL = "identical"
    COMPATIBLE = "compatible"
    BREAKING = "breaking"


@dataclass(frozen=True)
class Change:
    """One change of a signature.

    ``path`` is empty for a method as a whole, ``$.x[*].age`` in what goes in, ``->[*].score`` in what comes out.
    ``payload`` is a request body that the old signature admits and the new one refuses.
    """

    method: str
    path: str
    was: str
    now: str
    breaking: bool
    payload: Any = None

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        return vars(self).copy()


@dataclass(frozen=True)
class Comparison:
    """The verdict on two signatures and every change, those that break first."""

    verdict: Verdict
    changes: tuple[Change, ...]

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break."""
        return tuple(change for change in self.changes if change.breaking)


def compare(old: s.Signature, new: s.Signature) -> Comparison:
    """Hold a new signature against an old one."""
    if repr(old) == repr(new):
        return Comparison(Verdict.IDENTICAL, ())
    changes: list[Change] = []
    for name, method in old.methods.items():
        if name not in new.methods:
            example = next(Language(old.definitions).examples(_body(method)), None)
            changes.append(Change(name, "", "a method", "gone", breaking=True, payload=example))
        else:
            changes += _Methods(name, method, new.methods[name], old.definitions, new.definitions).changes()
    changes += [
        Change(name, "", "not there", "a method", breaking=False) for name in new.methods if name not in old.methods
    ]
    changes.sort(key=lambda change: not change.breaking)
    broken = any(change.breaking for change in changes)
    return Comparison(Verdict.BREAKING if broken else Verdict.COMPATIBLE, tuple(changes))


class _Methods:
    """One method before and after."""

    def __init__(
        self, name: str, old: s.Method, new: s.Method, before: Mapping[str, s.Type], after: Mapping[str, s.Type]
    ) -> None:
        self.name, self.old, self.new = name, old, new
        self.before, self.after = before, after

    def changes(self) -> Iterator[Change]:
        """Find every change, at most :data:`LIMIT`."""
        if repr((self.old, self.before)) == repr((self.new, self.after)):
            return
        yield from islice(self._all(), LIMIT)

    def _all(self) -> Iterator[Change]:
        verified = _Verified(self.old, self.new, self.before, self.after)
        inputs = Narrowing(Language(self.before), Language(self.after))
        for found in inputs.differences(_body(self.old), _body(self.new), "$"):
            payload = next((value for value in found.witness if verified(value)), None)
            yield Change(self.name, found.path, found.was, found.now, breaking=payload is not None, payload=payload)
        # The other way round: whatever the new one may answer has to be what the old one might have answered.
        answers = Narrowing(Language(self.after), Language(self.before), answers=True)
        for found in answers.differences(self.new.returns, self.old.returns, "->"):
            yield Change(self.name, found.path, found.was, found.now, breaking=found.breaking or bool(found.witness))
        yield from self._facts()

    def _facts(self) -> Iterator[Change]:
        olds = {parameter.name: parameter for parameter in self.old.parameters}
        for parameter in self.new.parameters:
            old = olds.get(parameter.name)
            if old and not old.required and not parameter.required and old.default != parameter.default:
                was, now = f"{describe(old.default)} by default", f"{describe(parameter.default)} by default"
                yield Change(self.name, f"$.{parameter.name}", was, now, breaking=False)
        for fact in ("row_wise", "deterministic"):
            before, after = getattr(self.old, fact).value, getattr(self.new, fact).value
            if before != after:
                label = fact.replace("_", "-")
                yield Change(self.name, "", f"{label}: {before}", f"{label}: {after}", breaking=False)


class _Verified:
    """Asks the codecs of both signatures whether a body is admitted by the old one alone."""

    def __init__(self, old: s.Method, new: s.Method, before: Mapping[str, s.Type], after: Mapping[str, s.Type]) -> None:
        self.languages = (Language(before), Language(after))
        self.bodies = (_body(old), _body(new))
        try:
            self.codecs: tuple[MethodCodec, ...] = (
                MethodCodec(_without_classes(old), _libraries(before)),
                MethodCodec(_without_classes(new), _libraries(after)),
            )
        except (ImportError, InvalidSignature):
            self.codecs = ()

    def __call__(self, body: Any) -> bool:
        """Tell whether the old signature admits a body that the new one refuses."""
        try:
            return bool(self.codecs) and self._admitted(0, body) and not self._admitted(1, body)
        except ImportError:
            # A library of the model is not here: plain Python values stand for its tables and arrays.
            old, new = (language.admits(kind, body) for language, kind in zip(self.languages, self.bodies, strict=True))
            return old and not new

    def _admitted(self, which: int, body: Any) -> bool:
        try:
            self.codecs[which].decode(body)
        except InvalidPayload:
            return False
        return True


def _body(method: s.Method) -> s.Record:
    """Give a request body of a method as a type: an object keyed by parameter."""
    fields = []
    for parameter in method.parameters:
        kind = parameter.type
        if parameter.kind is s.Kind.VARIADIC:
            kind = s.List(kind)
        elif parameter.kind is s.Kind.VARIADIC_KEYWORD:
            kind = s.Map(s.Scalar("string"), kind)
        variadic = parameter.kind in {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD}
        fields.append(s.Field(parameter.name, kind, parameter.required and not variadic))
    return s.Record(tuple(fields))


def _without_classes(method: s.Method) -> s.Method:
    parameters = tuple(
        replace(parameter, type=plain(parameter.type, libraries=True)) for parameter in method.parameters
    )
    return replace(method, parameters=parameters, returns=s.Any())


def _libraries(definitions: Mapping[str, s.Type]) -> dict[str, s.Type]:
    return {name: plain(kind, libraries=True) for name, kind in definitions.items()}
