from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import (
    Arrow,
    BaseImage,
    EnvelopeArgument,
    Json,
    MicromambaImage,
    RenderTarget,
    With,
    options_of,
    pairs,
)
from model_envelope.commands.output import Line, command
from model_envelope.workflows import render as workflow


def render(
    envelope: EnvelopeArgument,
    target: RenderTarget = "service",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where the folder appears. Default: the current one."),
    ] = None,
    arrow: Arrow = False,
    with_: With = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A value for files of airflow or cronjob: input, output, schedule, image and others; may be repeated.",
            show_default=False,
        ),
    ] = None,
    base_image: BaseImage = None,
    micromamba_image: MicromambaImage = None,
    pin: Annotated[
        bool,
        typer.Option("--pin", help="Pin the base image by its digest, which the engine is asked for."),
    ] = False,
    json: Json = False,
) -> None:
    """Write the folder that an image is built from.

    For the targets airflow and cronjob these are files that run a batch image on a schedule: `--set` says what they run
    it on. The path of the folder is printed. The same envelope, options and version of this tool give the same bytes.
    """
    with command("render", json=json) as out:
        result = workflow.render(
            envelope,
            target=target,
            options=options_of(with_, arrow=arrow),
            settings=pairs(settings or (), what="NAME=VALUE"),
            into=output,
            base_image=base_image,
            micromamba_image=micromamba_image,
            pin=pin,
            report=out.report,
        )
        out.finish(result, text=_text)
        out.say(f"Next: {result.command}")


def _text(result: workflow.RenderResult) -> Iterator[Line]:
    yield str(result.path)
