"""The options and arguments that several commands share, so that they are spelled and told alike."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.translation import Misuse

Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout, errors included.")]

EnvelopeArgument = Annotated[
    Path, typer.Argument(metavar="ENVELOPE", help="The folder of a sealed envelope.", show_default=False)
]

Pairs = Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="What to add.", show_default=False)]

Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="INTERPRETER",
        help="The Python that has the model's packages: a path or a name. Default: the one of this tool.",
        show_default=False,
    ),
]


def pairs(words: Iterable[str], *, what: str = "KEY=VALUE") -> dict[str, str]:
    """Read words such as ``stage=canary``; the last of equal keys wins, and a value may be empty.

    Raises :class:`Misuse` that names every word without a key or without `=`.
    """
    found: dict[str, str] = {}
    wrong = []
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key.strip():
            wrong.append(f"`{word}`")
        else:
            found[key.strip()] = value
    if wrong:
        raise Misuse(f"found {', '.join(wrong)}, expected {what}", code="usage.pair", hint="write it as `stage=canary`")
    return found
