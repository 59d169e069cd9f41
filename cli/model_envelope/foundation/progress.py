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
class Counted:
    """How far a step that began is: ``done`` of ``total`` things, where that is known.

    ``unit`` is what they are (``rows``), ``rate`` how many of them a second, ``left`` the seconds that are left.
    """

    step: str
    done: int
    total: int | None
    unit: str
    rate: float
    left: float | None
    remark: str = ""

    @property
    def text(self) -> str:
        """Say it: ``1,200,000 of 5,000,000 rows, 340,000 rows/s, 11 s left``."""
        of = "" if self.total is None else f" of {self.total:,}"
        rate = f", {self.rate:,.0f} {self.unit}/s" if self.rate else ""
        left = "" if self.left is None else f", {_spent(self.left)} left"
        return f"{self.done:,}{of} {self.unit}{rate}{left}{f', {self.remark}' if self.remark else ''}"


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


Event = Started | Doing | Counted | Part | Done | Note
Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Report to nobody."""


def _spent(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
