"""The root of every error that this project raises on purpose, and the errors of reading and predicting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Self


class ExitCode(IntEnum):
    """What a program of this project ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO = 3
    TOOL = 4
    BUG = 70
    INTERRUPTED = 130


class Found(str):
    """What was found, told with the value itself. ``kind`` tells no more than what it is: ``a string of 9 characters``.

    A service shows nobody the values that its clients send, unless it is told to.
    """

    __slots__ = ("kind",)
    kind: str

    def __new__(cls, text: str, kind: str) -> Self:
        """Keep both ways to tell it."""
        found = super().__new__(cls, text)
        found.kind = kind
        return found

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # one more than str itself
        return (str(self), self.kind)

    def followed_by(self, more: str) -> Found:
        """Add words that tell no value."""
        return Found(str(self) + more, self.kind + more)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    ``path`` says where (``$.X[17].age`` in a payload, a file name in an envelope), ``found`` and ``expected`` what, and
    ``code`` is stable (``payload.missing``). Where ``found`` holds a value of the input it is a :class:`Found`.
    """

    path: str
    found: str
    expected: str
    code: str = ""

    def redacted(self) -> Problem:
        """Give the same problem without the value that was found: what it is stays."""
        kind = getattr(self.found, "kind", None)
        return self if kind is None else Problem(self.path, kind, self.expected, self.code)

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}, expected {self.expected}"

    def to_document(self) -> dict[str, str]:
        """Give the JSON form."""
        return {"path": self.path, "found": self.found, "expected": self.expected, "code": self.code}


class EnvelopeError(Exception):
    """The root: a message, stable code, all problems of the input at once, and what to do about it."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(
        self, message: str, *, code: str, hint: str | None = None, problems: Sequence[Problem] = (), detail: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.problems = tuple(problems)
        self.detail = detail

    def __str__(self) -> str:
        lines = [self.message, *(f"  {problem}" for problem in self.problems)]
        if self.detail:
            lines += ["", self.detail.rstrip()]
        if self.hint:
            lines += ["", f"hint: {self.hint}"]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.to_document(),))

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form, from which :func:`from_document` makes the same error in another process."""
        return {
            "type": type(self).__name__,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "problems": [problem.to_document() for problem in self.problems],
            "detail": self.detail,
        }


class InvalidEnvelope(EnvelopeError):
    """A folder is not an envelope, or not the one that was sealed."""


class InvalidSignature(EnvelopeError):
    """A signature document, or the model, samples and annotations that it comes from, make no sense together."""


class InvalidPayload(EnvelopeError):
    """A request does not fit the signature. ``problems`` holds everything that is wrong with it."""


class InvalidAnswer(EnvelopeError):
    """The model answered with something that its signature does not allow."""


class ModelFailed(EnvelopeError):
    """The model could not be loaded, or raised while it answered."""


class AnswersDiffer(EnvelopeError):
    """The model answers its sealed samples otherwise than when it was sealed."""

    exit_code = ExitCode.NO


_BY_NAME: dict[str, type[EnvelopeError]] = {
    kind.__name__: kind
    for kind in (
        EnvelopeError,
        InvalidEnvelope,
        InvalidSignature,
        InvalidPayload,
        InvalidAnswer,
        ModelFailed,
        AnswersDiffer,
    )
}


def from_document(document: Mapping[str, Any]) -> EnvelopeError:
    """Make the error again that :meth:`EnvelopeError.to_document` wrote down.

    A class that this process does not know becomes the root class; nothing that the error said is lost.
    """
    kind = _BY_NAME.get(document.get("type", ""), EnvelopeError)
    return kind(
        document["message"],
        code=document["code"],
        hint=document.get("hint"),
        problems=[Problem(**problem) for problem in document.get("problems", ())],
        detail=document.get("detail", ""),
    )


def _rebuild(document: Mapping[str, Any]) -> EnvelopeError:
    return from_document(document)


@dataclass
class Problems:
    """Collects what is wrong with one input, so that all of it is said at once.

    Keeps at most ``limit`` problems and counts the rest: a hostile payload must not cost unbounded memory.
    """

    limit: int = 100
    items: list[Problem] = field(default_factory=list)
    dropped: int = 0

    def add(self, path: str, found: str, expected: str, code: str) -> None:
        """Note one problem."""
        if len(self.items) < self.limit:
            self.items.append(Problem(path, found, expected, code))
        else:
            self.dropped += 1

    def __bool__(self) -> bool:
        return bool(self.items)

    @property
    def count(self) -> int:
        """How many problems there were, those that are not kept included."""
        return len(self.items) + self.dropped

    def summary(self, what: str) -> str:
        """Say in one line how many problems there are."""
        count = self.count
        shown = f" (the first {len(self.items)} are shown)" if self.dropped else ""
        return f"{what}: {count} problem{'s' if count != 1 else ''}{shown}"
