from collections.abc import Iterator
from typing import Annotated

import typer

from model_envelope.commands.options import Arrow, BaseImage, EnvelopeArgument, Json, Python, Trust
from model_envelope.commands.output import Line, command
from model_envelope.runtime.codec import ExtraColumns
from model_envelope.workflows import serve as workflow


def serve(
    envelope: EnvelopeArgument,
    place: Annotated[
        workflow.Place, typer.Option("--in", help="In a local process, or in the built container.")
    ] = workflow.Place.PROCESS,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes any free one.")] = 8080,
    python: Python = None,
    trust: Trust = False,
    arrow: Arrow = False,
    base_image: BaseImage = None,
    extra_columns: Annotated[
        ExtraColumns,
        typer.Option("--extra-columns", help="What is done with columns that the signature does not know."),
    ] = "refuse",
    json: Json = False,
) -> None:
    """Serve an envelope over HTTP on this machine.

    The app is that of the image; it runs in an environment made from the lock, or in the interpreter of --python. Its
    address is printed when it is ready; Ctrl-C ends it.
    """
    with command("serve", json=json) as out:
        workflow.serve(
            envelope,
            place=place,
            host=host,
            port=port,
            python=python,
            trust=trust,
            base_image=base_image,
            arrow=arrow,
            extra_columns=extra_columns,
            ready=lambda result: out.finish(result, text=_text),
            log=out.say,
            report=out.report,
        )


def _text(result: workflow.ServeResult) -> Iterator[Line]:
    yield result.url
