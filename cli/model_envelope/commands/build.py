from collections.abc import Iterator
from typing import Annotated

import typer

from model_envelope.commands.options import Arrow, BaseImage, EnvelopeArgument, Json, MicromambaImage, TargetName
from model_envelope.commands.output import Line, command
from model_envelope.workflows import build as workflow


def build(
    envelope: EnvelopeArgument,
    target: TargetName = "service",
    image: Annotated[
        str | None,
        typer.Option(
            "-t", "--image", metavar="NAME", help="The name of the image. Default: <name>:<digest>.", show_default=False
        ),
    ] = None,
    arrow: Arrow = False,
    base_image: BaseImage = None,
    micromamba_image: MicromambaImage = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let the model use the network while the image is proven.")
    ] = False,
    json: Json = False,
) -> None:
    """Build an image, and prove that it answers the same.

    The container is started hardened, without a network, and asked the sealed samples of all methods. Only when it
    answers as sealed does the image get its name, which is printed; else the command ends with 3.
    """
    with command("build", json=json) as out:
        result = workflow.build(
            envelope,
            target=target,
            arrow=arrow,
            image=image,
            base_image=base_image,
            micromamba_image=micromamba_image,
            allow_network=allow_network,
            report=out.report,
        )
        out.finish(result, text=_text)


def _text(result: workflow.BuildResult) -> Iterator[Line]:
    yield result.image
