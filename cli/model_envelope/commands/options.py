"""The options and arguments that several commands share, so that they are spelled and told alike."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.translation import Misuse

Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout, errors included.")]

EnvelopeArgument = Annotated[
    Path, typer.Argument(metavar="ENVELOPE", help="The folder of a sealed envelope.", show_default=False)
]

Pairs = Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="What to add.", show_default=False)]


def _interpreter(word: str) -> Path:
    """Find the interpreter that a path or a name on PATH means."""
    found = shutil.which(Path(word).expanduser())
    if found is None:
        raise Misuse(
            f"there is no program `{word}` that could be a Python interpreter",
            code="usage.interpreter",
            hint="name one by its path (`.venv/bin/python`) or its name on PATH (`python3.12`)",
        )
    return Path(found).absolute()


Python = Annotated[
    Path | None,
    typer.Option(
        "--python",
        metavar="INTERPRETER",
        parser=_interpreter,
        help="The Python that has the model's packages: a path or a name. Default: the one of this tool.",
        show_default=False,
    ),
]

Trust = Annotated[
    bool, typer.Option("--trust", help="Run the code of an envelope that was not sealed by you on this machine.")
]

AllowNetwork = Annotated[bool, typer.Option("--allow-network", help="Let the model use the network in the clean room.")]
Resolver = Annotated[
    str,
    typer.Option(metavar="NAME", help="What locks: auto, uv, pip-tools, or conda-lock for a conda environment."),
]

Platforms = Annotated[
    list[str] | None,
    typer.Option(
        "--platform",
        metavar="PLATFORM",
        help="What the lock is for: linux/amd64, linux/arm64, macos/arm64 or macos/amd64; may be repeated. "
        "Default: what it was for, or this machine.",
        show_default=False,
    ),
]

Cpu = Annotated[
    bool | None,
    typer.Option(
        "--cpu/--gpu",
        help="Lock for machines without a graphics card: builds for CPUs, nothing for cards alone. "
        "Default: as it was; with --for, as the target is.",
        show_default=False,
    ),
]

TargetName = Annotated[
    str,
    typer.Option("--target", metavar="TARGET", help="What to make: service, batch, spark, or a folder of your own."),
]

RenderTarget = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="What to make: service, batch, spark, airflow, cronjob, or a folder of your own.",
    ),
]

With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="OPTION",
        help="Add what an option of the target needs: for batch delta, sql, duckdb, s3, gcs. May be repeated, or name "
        "several with commas between.",
        show_default=False,
    ),
]

Arrow = Annotated[
    bool,
    typer.Option(
        "--arrow", help="Let the service read and write Arrow IPC streams too: adds pyarrow, about 170 MB unpacked."
    ),
]

BaseImage = Annotated[
    str | None,
    typer.Option(
        "--base-image",
        metavar="IMAGE",
        help="The image to build on; `{python}` stands for the envelope's Python. Default: ENVELOPE_BASE_IMAGE, "
        "`base-image` in [tool.envelope] of pyproject.toml, python:{python}-slim.",
        show_default=False,
    ),
]


Pull = Annotated[
    bool,
    typer.Option("--pull", help="Take the base image that its registry has now, even where the engine has one."),
]

MicromambaImage = Annotated[
    str | None,
    typer.Option(
        "--micromamba-image",
        metavar="IMAGE",
        help="The image with micromamba that conda packages are installed in. Default: ENVELOPE_MICROMAMBA_IMAGE, "
        "`micromamba-image` in [tool.envelope] of pyproject.toml, mambaorg/micromamba:2.",
        show_default=False,
    ),
]


def options_of(words: Iterable[str] | None, *, arrow: bool = False) -> tuple[str, ...]:
    """Give the options of a target that were asked for, each once, in one order."""
    named = {word.strip() for text in words or () for word in text.split(",") if word.strip()}
    return tuple(sorted({*named, *(["arrow"] if arrow else [])}))


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
        raise Misuse(f"found {', '.join(wrong)}, expected {what}", code="usage.pair")
    return found


def numbers(words: Iterable[str]) -> dict[str, float]:
    """Read words such as ``auc=0.72``.

    Raises :class:`Misuse` that names every word whose value is no number.
    """
    found: dict[str, float] = {}
    wrong = []
    for key, value in pairs(words, what="NAME=NUMBER").items():
        try:
            found[key] = float(value)
        except ValueError:
            wrong.append(f"`{key}={value}`")
    if wrong:
        raise Misuse(
            f"found {', '.join(wrong)}, expected NAME=NUMBER", code="usage.number", hint="write it as `auc=0.72`"
        )
    return found
