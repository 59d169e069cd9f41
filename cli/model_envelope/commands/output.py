"""What every command speaks through: data to stdout, all else to stderr, one JSON document with `--json`.

A command file holds one function of the verb's name; its first line of help stands in ``verbs`` too::

    from model_envelope.commands.options import EnvelopeArgument, Json, Pairs, pairs
    from model_envelope.commands.output import command
    from model_envelope.workflows import tag as workflow          # no ``from __future__ import annotations``:
                                                                  # Typer reads the annotations
    def tag(envelope: EnvelopeArgument, tags: Pairs, json: Json = False) -> None:
        \"\"\"Add tags to an envelope.

        What follows the first line is the rest of the help.
        \"\"\"
        with command("tag", json=json) as out:
            result = workflow.tag(envelope, tags=pairs(tags), report=out.report)
            out.finish(result, text=_text)


    def _text(result: workflow.TagResult) -> Iterator[Line]:
        yield f"{key}={value}"                # a str is one line, written as it is; anything else is drawn by rich

``out.report`` draws progress on stderr; ``out.say`` and ``out.warn`` write a line there. Errors are raised, never
caught: ``run`` brings them here, to :func:`tell`. A question answered no is told with its answer,
``out.finish(result, text=_text, no=Answered(...))``, which ends the command with 3. A wrong use that Typer cannot see
is a :class:`Misuse`.

With `--json` the document is ``{"format": 1, "command": "tag", "ok": true, "result": {...}}``, the result being the
dataclass with its field names (or ``document=``, where given), and after an error ``{..., "ok": false, "error":
{"type", "code", "message", "hint", "problems", "detail"}}``.
"""

from __future__ import annotations

import json as json_format
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, TextIO, TypeVar

import typer

from model_envelope.commands.colours import coloured, paint
from model_envelope.commands.steps import Steps
from model_envelope.commands.translation import Misuse, translate
from model_envelope.foundation.progress import Event
from model_envelope.runtime.errors import EnvelopeError

__all__ = ["Asked", "Line", "Misuse", "Output", "command", "tell"]

FORMAT = 1

UNWRAPPED = 100_000
"""How wide text is drawn where no terminal shows it: what reads it wants whole lines."""

Line = str | Any
"""One line of text, or something that rich draws (a table, a tree)."""

R = TypeVar("R")


@dataclass(frozen=True)
class Asked:
    """What the command line asked for, as far as it can be told before it is parsed."""

    verb: str | None
    json: bool

    @classmethod
    def of(cls, words: Sequence[str], verbs: Collection[str]) -> Asked:
        """Look for the verb and for `--json`."""
        before = words[: words.index("--")] if "--" in words else words
        return cls(next((word for word in words if word in verbs), None), "--json" in before)


class Output:
    """The voice of one command; see :mod:`model_envelope.commands.output`."""

    def __init__(self, verb: str, *, json: bool) -> None:
        self.verb = verb
        self.json = json
        self.steps = Steps(sys.stderr)

    def report(self, event: Event) -> None:
        """Draw what a workflow reports."""
        self.steps.report(event)

    def say(self, text: str) -> None:
        """Write a line for people to stderr."""
        self.steps.say(text)

    def warn(self, text: str) -> None:
        """Write a line of warning to stderr; the command goes on."""
        self.steps.say(f"{paint('warning', 'yellow', sys.stderr)}: {text}")

    def draw(self, lines: Iterable[Line]) -> None:
        """Write lines for people to stderr, and what rich draws."""
        self.steps.close()
        _write_lines(lines, sys.stderr)

    def finish(
        self,
        result: R,
        *,
        text: Callable[[R], Iterable[Line]],
        document: Mapping[str, Any] | None = None,
        no: EnvelopeError | None = None,
    ) -> None:
        """Write the result to stdout: as text, or as the JSON document.

        ``no`` is the error of a question that was answered no: it is told too, and ends the command with its code.
        """
        self.steps.close()
        if self.json:
            answer = {"result": plain(result) if document is None else dict(document)}
            _write_document(self.verb, answer | ({} if no is None else {"error": no.to_document()}), ok=no is None)
        else:
            _write_lines(text(result), sys.stdout)
        if no is not None:
            _write_error(no)
            raise typer.Exit(int(no.exit_code))


@contextmanager
def command(verb: str, *, json: bool) -> Iterator[Output]:
    """Open the voice of a command; its progress is cleared away whatever happens."""
    out = Output(verb, json=json)
    try:
        yield out
    except typer.Exit:
        raise
    except BaseException:
        out.steps.close(failed=True)
        raise
    out.steps.close()


def tell(error: BaseException, asked: Asked) -> int:
    """Tell an error on stderr, with `--json` on stdout too, and give the exit code."""
    told = translate(error)
    if asked.json:
        _write_document(asked.verb, {"error": told.to_document()}, ok=False)
    _write_error(told)
    return int(told.exit_code)


def reader_gone() -> int:
    """End quietly after what reads our output stopped reading, as `head` does."""
    # Python would complain when it flushes at exit: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def plain(value: Any) -> Any:
    """Give a result as JSON values: a dataclass becomes an object with its field names."""
    if hasattr(value, "to_document"):
        return plain(value.to_document())
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, set | frozenset):
        return [plain(item) for item in sorted(value)]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _write_document(verb: str | None, content: Mapping[str, Any], *, ok: bool) -> None:
    document = {"format": FORMAT, "command": verb, "ok": ok, **content}
    # ASCII only, so that a name that is not Unicode cannot break the document.
    sys.stdout.write(json_format.dumps(document, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def _write_lines(lines: Iterable[Line], stream: TextIO) -> None:
    console: Any = None
    for line in lines:
        if isinstance(line, str):
            stream.write(line + "\n")
            continue
        if console is None:
            from rich.console import Console

            terminal = stream.isatty()
            console = Console(
                file=stream,
                force_terminal=terminal,
                color_system="auto" if coloured(stream) else None,
                width=None if terminal else UNWRAPPED,
                highlight=False,
                markup=False,
                emoji=False,
            )
        with console.capture() as drawn:
            console.print(line)
        stream.writelines(row.rstrip() + "\n" for row in drawn.get().removesuffix("\n").split("\n"))
    stream.flush()


def _write_error(error: EnvelopeError) -> None:
    lines = [f"{paint('error', 'red', sys.stderr)}[{error.code}]: {error.message}"]
    lines += [f"  {problem}" for problem in error.problems]
    if error.detail:
        lines += ["", error.detail.rstrip()]
    if error.hint:
        lines += ["", f"{paint('hint', 'cyan', sys.stderr)}: {error.hint}"]
    sys.stderr.write("\n".join(lines) + "\n")
