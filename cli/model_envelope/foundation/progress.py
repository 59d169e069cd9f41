"""What a long piece of work says while it goes on. Workflows report; commands draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Started:
    """A step began: ``lock``, "Locking 4 requirements"."""

    step: str
    text: str


@dataclass(frozen=True)
class Doing:
    """What a step that began does now; its time goes on."""

    step: str
    text: str


@dataclass(frozen=True)
class Part:
    """A part of a step ended, after ``seconds``. Who sees the spinner needs it not."""

    step: str
    text: str
    seconds: float


@dataclass(frozen=True)
class Done:
    """A step ended well; ``text`` says what came of it and takes the place of the first line."""

    step: str
    text: str


@dataclass(frozen=True)
class Note:
    """Something that the user should know and that stops nothing."""

    text: str


Event = Started | Doing | Part | Done | Note
Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Report to nobody."""
