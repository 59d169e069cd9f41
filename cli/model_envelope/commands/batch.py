import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from model_envelope.commands.options import Json, Python, Trust, With, options_of
from model_envelope.commands.output import Line, command
from model_envelope.foundation.carrying import PACKAGE
from model_envelope.workflows import batch as workflow

TABLE = PACKAGE / "scoring" / "settings.toml"
"""What a job can be told: the options of its own entry are made of the same table."""

Envelope = Annotated[
    Path | None,
    typer.Argument(metavar="ENVELOPE", help="The folder of a sealed envelope.", show_default=False),
]
JobFile = Annotated[
    Path | None,
    typer.Option("--job", metavar="FILE", help="A YAML or JSON file with settings by these names.", show_default=False),
]


def _settings() -> Mapping[str, Mapping[str, Any]]:
    rows = tomllib.loads(TABLE.read_text("utf-8"))
    return {name.replace("-", "_"): {"name": name, **row} for name, row in rows.items() if name != "envelope"}


def _parameter(key: str, row: Mapping[str, Any]) -> inspect.Parameter:
    """Make an option of a row of the table; what its words mean is for the job to say."""
    repeated = row["kind"] in {"list", "pairs", "values"}
    text = row["help"] + (" May be repeated." if repeated else "")
    text += f" Default: {row['default']}." if "default" in row else ""
    kind: Any = list[str] if repeated else str
    if row["kind"] == "choice":
        kind = Literal[tuple(row["choices"])]
    option = typer.Option(
        f"--{row['name']}",
        help=text,
        show_default=False,
        metavar=None if row["kind"] == "choice" else row.get("metavar", "FILE"),
    )
    return inspect.Parameter(
        key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the table in the place of its ``**settings``."""
    own = inspect.signature(function)
    before = [item for name, item in own.parameters.items() if name in {"envelope", "job"}]
    after = [
        item
        for name, item in own.parameters.items()
        if item.kind is not inspect.Parameter.VAR_KEYWORD and name not in {"envelope", "job"}
    ]
    made = [_parameter(key, row) for key, row in _settings().items()]
    parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in (*before, *made, *after)]
    function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {item.name: item.annotation for item in parameters} | {"return": None}
    return function


@_with_settings
def batch(
    envelope: Envelope = None,
    job: JobFile = None,
    with_: With = None,
    python: Python = None,
    trust: Trust = False,
    json: Json = False,
    **settings: str | list[str] | None,
) -> None:
    """Score the rows of a table, and write the answers.

    The job is that of the image; it runs in an environment made from the lock, or in the interpreter of --python. It
    reads, asks and writes a batch of rows at a time, however large the table is; the output appears when all of it is
    there, and a job that was killed goes on after the parts that it had staged when it is run again. Each option is
    also a variable (ENVELOPE_BATCH_ROWS) and a name of the job file; options win over variables, these over the file.

    Prints where the answers are; what was scored, refused and noticed is told beside it.
    """
    said: dict[str, Any] = {"job": None if job is None else str(job), **settings}
    with command("batch", json=json) as out:
        result = workflow.batch(
            envelope,
            settings={name.replace("_", "-"): words for name, words in said.items() if words},
            options=options_of(with_),
            python=python,
            trust=trust,
            report=out.report,
            log=out.say,
        )
        if not json:
            # Notes were told when they came up.
            out.draw(line for line in result.text.splitlines() if not line.startswith("  note "))
        out.finish(result, text=_text, document={**result.report, "output": result.output})


def _text(result: workflow.BatchResult) -> Iterator[Line]:
    yield result.output
