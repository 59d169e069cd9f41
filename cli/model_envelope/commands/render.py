from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import Arrow, BaseImage, EnvelopeArgument, Json, MicromambaImage, TargetName
from model_envelope.commands.output import Line, command
from model_envelope.workflows import render as workflow


def render(
    envelope: EnvelopeArgument,
    target: TargetName = "service",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where the folder appears. Default: the current one."),
    ] = None,
    arrow: Arrow = False,
    base_image: BaseImage = None,
    micromamba_image: MicromambaImage = None,
    pin: Annotated[
        bool,
        typer.Option("--pin", help="Pin the base image by its digest, which the engine is asked for."),
    ] = False,
    json: Json = False,
) -> None:
    """Write the folder that an image is built from.

    Its path is printed. The same envelope, options and version of this tool give the same bytes.
    """
    with command("render", json=json) as out:
        result = workflow.render(
            envelope,
            target=target,
            arrow=arrow,
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
