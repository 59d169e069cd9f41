from collections.abc import Iterator
from typing import Annotated

import typer

from model_envelope.commands.options import AllowNetwork, EnvelopeArgument, Json, Python, Trust
from model_envelope.commands.output import Line, command
from model_envelope.workflows import verify as workflow


def verify(
    envelope: EnvelopeArgument,
    samples: Annotated[
        bool, typer.Option("--samples", help="Replay the samples in this interpreter, or the one of --python.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Replay the samples in an environment made from the lock alone.")
    ] = False,
    allow_network: AllowNetwork = False,
    trust: Trust = False,
    python: Python = None,
    json: Json = False,
) -> None:
    """Check that an envelope is what was sealed.

    Every file is held against the manifest; each that is missing, extra or changed is listed. Ends with 3 where the
    envelope does not hold.
    """
    with command("verify", json=json) as out:
        result = workflow.verify(
            envelope,
            samples=samples,
            clean=clean,
            trust=trust,
            python=python,
            network=allow_network,
            report=out.report,
        )
        out.finish(result, text=_text, no=result.objection())


def _text(result: workflow.VerifyResult) -> Iterator[Line]:
    if result.objection() is None:
        yield f"{result.path.name}: as sealed, {result.files} files, digest {result.digest}"
