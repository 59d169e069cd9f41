from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.building import summary
from model_envelope.commands.options import (
    Arrow,
    BaseImage,
    EnvelopeArgument,
    Json,
    MicromambaImage,
    Pull,
    TargetName,
    With,
    options_of,
)
from model_envelope.commands.output import Line, command
from model_envelope.workflows import build as workflow
from model_envelope.workflows.build_network import NetworkFlags
from model_envelope.workflows.build_report import BuildResult


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
    with_: With = None,
    base_image: BaseImage = None,
    micromamba_image: MicromambaImage = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build and prove although nothing has changed since the last time.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the result as JSON there too.", show_default=False),
    ] = None,
    check_reproducible: Annotated[
        bool,
        typer.Option("--check-reproducible", help="Build twice, without any cache; end with 3 where a layer differs."),
    ] = False,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let the model use the network while the image is proven.")
    ] = False,
    pull: Pull = False,
    push: Annotated[
        bool,
        typer.Option("--push", help="Push the proven image under its name, with the credentials of `docker login`."),
    ] = False,
    index_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The index of packages, as pip's option.", show_default=False),
    ] = None,
    extra_index_url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A further index; may be repeated.", show_default=False),
    ] = None,
    find_links: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A page or folder of wheels; may be repeated.", show_default=False),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate authorities to trust, in PEM form.", show_default=False),
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(metavar="URL", help="The proxy before all of these.", show_default=False)
    ] = None,
    netrc: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A netrc with passwords of hosts.", show_default=False)
    ] = None,
    wheelhouse: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Take all packages from this folder, with the network cut.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Build an image, and prove that it answers the same.

    Packages come from where pip's and uv's settings on this machine, .netrc, and the variables of proxies and
    certificates say, or the options; credentials among them are kept nowhere.

    The container is started hardened, without a network, and asked the sealed samples of all methods. Only when it
    answers as sealed does the image get its name, which is printed; else the command ends with 3. What it holds, why,
    and how long each step took is told beside it. Where nothing has changed since it was built and proven, nothing is
    done. With --push the name in the registry is printed, by the digest that always means this image.
    """
    with command("build", json=json) as out:
        result = workflow.build(
            envelope,
            target=target,
            options=options_of(with_, arrow=arrow),
            image=image,
            base_image=base_image,
            micromamba_image=micromamba_image,
            rebuild=rebuild,
            report_file=report,
            check_reproducible=check_reproducible,
            allow_network=allow_network,
            pull=pull,
            push=push,
            network=NetworkFlags(
                index_url=index_url,
                extra_index_urls=tuple(extra_index_url or ()),
                find_links=tuple(find_links or ()),
                cert=cert,
                proxy=proxy,
                netrc=netrc,
                wheelhouse=wheelhouse,
            ),
            report=out.report,
        )
        if not json:
            out.draw(summary(result))
        out.finish(result, text=_text)


def _text(result: BuildResult) -> Iterator[Line]:
    yield result.pushed.reference if result.pushed else result.image
