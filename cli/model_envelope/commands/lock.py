from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import (
    AllowNetwork,
    Cpu,
    EnvelopeArgument,
    Json,
    Platforms,
    Python,
    Resolver,
    Trust,
)
from model_envelope.commands.output import Line, command
from model_envelope.workflows import lock as workflow


def lock(
    envelope: EnvelopeArgument,
    resolver: Resolver = "auto",
    platform: Platforms = None,
    python_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The Python that it is for: 3.12. Default: the model's.", show_default=False
        ),
    ] = None,
    upgrade_package: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Let a package have another version: the newest, or NAME==VERSION."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TARGET",
            help="Lock what a target (service) needs together with what the model needs.",
            show_default=False,
        ),
    ] = None,
    cpu: Cpu = None,
    no_proof: Annotated[bool, typer.Option("--no-proof", help="Do not replay the samples in a clean room.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where it appears. Default: beside the envelope."),
    ] = None,
    allow_network: AllowNetwork = False,
    trust: Trust = False,
    python: Python = None,
    json: Json = False,
) -> None:
    """Lock the packages of an envelope, as a new envelope.

    The versions are those of the environment that packed it, but for packages that are to be upgraded. The old envelope
    stays; the path of the new one is printed, and its provenance names the old one.
    """
    with command("lock", json=json) as out:
        result = workflow.lock(
            envelope,
            resolver=resolver,
            platforms=platform or (),
            python_version=python_version,
            upgrade=upgrade_package or (),
            target=target,
            cpu=cpu,
            prove=not no_proof,
            trust=trust,
            python=python,
            network=allow_network,
            into=output,
            report=out.report,
        )
        out.finish(result, text=_text)


def _text(result: workflow.LockResult) -> Iterator[Line]:
    yield str(result.path)
