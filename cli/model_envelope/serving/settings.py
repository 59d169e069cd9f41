"""The limits and switches of a service, from options and from environment variables.

Each field of :class:`Settings` that has a help text is an option (``--max-body``) and a variable
(``ENVELOPE_MAX_BODY``); the option wins. Both are read by the same rules, and all that is wrong is told at once.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from model_envelope.runtime.errors import EnvelopeError, ExitCode, Problem
from model_envelope.serving.threads import cpus

PREFIX = "ENVELOPE_"
MOST_WORKERS = 512
_SIZE = re.compile(r"(\d{1,16}(?:\.\d{1,9})?) ?([kmg]?i?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class InvalidSettings(EnvelopeError):
    """Options or environment variables of the service that make no sense."""

    exit_code = ExitCode.USAGE


Parse = Callable[[str], Any]


def _option(default: Any, parse: Parse, expected: str, help: str, metavar: str = "N") -> Any:  # noqa: A002
    metadata = {"parse": parse, "expected": expected, "help": help, "metavar": metavar}
    return field(default=default, metadata=metadata)


def _whole(least: int, most: float = math.inf) -> Parse:
    def parse(text: str) -> int:
        # More digits than any such number has; int() takes long for millions of them.
        if not (text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most):
            raise ValueError
        return int(text)

    return parse


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = float(match[1]) * _UNITS.get(match[2].lower(), 0) if match else 0
    if not 1 <= size < 2**53:
        raise ValueError
    return int(size)


def _seconds(least: float, most: float = 86_400.0) -> Parse:
    def parse(text: str) -> float:
        seconds = float(text.removesuffix("s"))
        if not least <= seconds <= most:  # which NaN is not
            raise ValueError
        return seconds

    return parse


def _switch(text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise ValueError from None


def _one_of(*words: str) -> Parse:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:  # which NaN is not
        raise ValueError
    return share


def _workers(text: str) -> int:
    return max(1, min(MOST_WORKERS, int(cpus()))) if text == "auto" else int(_whole(1, MOST_WORKERS)(text))


_SECONDS = _seconds(0.001)
_SOME = "a number of seconds from 0.001 to 86400"
_ROWS = "a whole number from 1"
_SWITCH = "true or false"


@dataclass(frozen=True)
class Settings:
    """What a service allows itself and others. Sizes are in bytes, times in seconds."""

    max_body: int = _option(
        64_000_000,
        _size,
        "a size from 1 byte such as 64000000 or 64MB",
        "largest body of a request, after decompression too",
        "SIZE",
    )
    max_rows: int = _option(1_000_000, _whole(1), _ROWS, "most rows of one request")
    time_limit: float = _option(
        60.0, _SECONDS, _SOME, "time from the whole body until the answer, else 503", metavar="SECONDS"
    )
    body_timeout: float = _option(
        30.0, _SECONDS, _SOME, "time in which a body must arrive, else 408", metavar="SECONDS"
    )
    queue: int = _option(1024, _whole(1), _ROWS, "requests that may wait for the model; beyond that 503")
    batch_rows: int = _option(4096, _whole(1), _ROWS, "most rows that several requests are answered with by one call")
    batching: bool = _option(True, _switch, _SWITCH, "answer requests that wait together by one call", "")
    check_every: int = _option(
        1000, _whole(1), _ROWS, "one answer in so many given together is computed again alone and compared"
    )
    show_values: bool = _option(False, _switch, _SWITCH, "show values in problems and in the log", "")
    extra_columns: Literal["refuse", "ignore"] = _option(
        "refuse",
        _one_of("refuse", "ignore"),
        "refuse or ignore",
        "what is done with columns that the signature does not know: refuse or ignore",
        "WHAT",
    )
    workers: int = _option(
        1,
        _workers,
        f"a whole number from 1 to {MOST_WORKERS}, or auto",
        "processes that share the port, each with a model of its own; auto: one for each CPU",
    )
    grace: float = _option(
        25.0, _SECONDS, _SOME, "time to finish requests after SIGTERM, the drain delay included", metavar="SECONDS"
    )
    drain_delay: float = _option(
        0.0,
        _seconds(0),
        "a number of seconds from 0 to 86400",
        "time for which it goes on accepting after SIGTERM, not ready any more",
        metavar="SECONDS",
    )
    log_level: str = _option(
        "info",
        _one_of("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "least level of what is logged: debug, info, warning or error",
        "LEVEL",
    )
    log_format: Literal["json", "text"] = _option(
        "json", _one_of("json", "text"), "json or text", "a JSON object or plain text a line: json or text", "FORM"
    )

    inference_log: str = _option(
        "",
        str,
        "a folder",
        "folder that requests and answers are written to, with their values; none unless it is named",
        "FOLDER",
    )
    log_without: tuple[str, ...] = _option(
        (), _names, "names with commas between them", "columns that are left out of the inference log", "NAMES"
    )
    log_hashed: tuple[str, ...] = _option(
        (), _names, "names with commas between them", "columns of which it has but the sha256 of each value", "NAMES"
    )
    log_fraction: float = _option(
        1.0, _share, "a number above 0, up to 1", "share of the requests that are written to it", "SHARE"
    )

    metrics_folder: Path | None = None
    """Where several workers keep what they count; the supervisor makes and removes it."""
    supervisor: int | None = None
    """The process id of the supervisor of several workers."""

    def __post_init__(self) -> None:
        if self.drain_delay >= self.grace:
            raise InvalidSettings(
                f"the drain delay is {self.drain_delay:g} s, and the grace that includes it {self.grace:g} s",
                code="serve.settings",
                hint="a grace that is longer than the drain delay leaves time to finish requests",
            )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting. What is given is read by :func:`read_settings`."""
    group = parser.add_argument_group("settings")
    for item in fields(Settings):
        if not item.metadata:
            continue
        name, default = f"--{item.name.replace('_', '-')}", item.default
        told = (
            ("yes" if default else "no")
            if isinstance(default, bool)
            else f"{default:,}"
            if isinstance(default, int)
            else default
        )
        help_text = item.metadata["help"] + (f" ({told})" if told not in ("", ()) else "")
        if isinstance(default, bool):
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=help_text)
        else:
            group.add_argument(name, metavar=item.metadata["metavar"], help=help_text)


def read_settings(arguments: argparse.Namespace, environment: Mapping[str, str], **rest: Any) -> Settings:
    """Read the settings from parsed options and from variables; an empty variable is none.

    Raises :class:`InvalidSettings` with everything that is wrong.
    """
    problems: list[Problem] = []
    for item in fields(Settings):
        given = getattr(arguments, item.name, None) if item.metadata else None
        place = f"--{item.name.replace('_', '-')}"
        if item.metadata and given is None:
            place = PREFIX + item.name.upper()
            given = environment.get(place, "").strip() or None
        if given is None:
            continue
        try:
            rest[item.name] = given if isinstance(given, bool) else item.metadata["parse"](given)
        except ValueError:
            problems.append(Problem(place, f"`{given:.40}`", item.metadata["expected"], "serve.setting"))
    if problems:
        raise InvalidSettings("settings of the service make no sense", code="serve.settings", problems=problems)
    return Settings(**rest)
