import json as json_format
from collections.abc import Iterator
from typing import Annotated

import typer

from model_envelope.commands.drawing import trees
from model_envelope.commands.options import EnvelopeArgument, Json
from model_envelope.commands.output import Line, Misuse, command
from model_envelope.workflows import signature as workflow

Form = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="FORM",
        help=f"What to write it as: {', '.join(workflow.FORMS)}. Default: a tree for people.",
        show_default=False,
    ),
]
MethodName = Annotated[
    str | None,
    typer.Option("--method", metavar="METHOD", help="Write this method alone. Default: all.", show_default=False),
]


def signature(envelope: EnvelopeArgument, form: Form = None, method: MethodName = None, json: Json = False) -> None:
    """Write a signature, as a tree or as others spell it.

    The document goes to stdout; what the form cannot say is told on stderr. Open Inference and MLflow know one method:
    the first, or the one that `--method` names.
    """
    with command("signature", json=json) as out:
        if form is not None and form not in workflow.FORMS:
            raise Misuse(
                f"found the form `{form}`, expected one of {', '.join(workflow.FORMS)}",
                code="usage.form",
                hint="`--as json-schema` writes JSON Schema",
            )
        result = workflow.signature(envelope, form=form or "native", method=method)
        for line in result.lost:
            out.warn(f"{result.form} cannot say all of it: {line}")
        out.finish(result, text=_tree if form is None else _document)


def _tree(result: workflow.SignatureResult) -> Iterator[Line]:
    yield from trees(result.signature)


def _document(result: workflow.SignatureResult) -> Iterator[Line]:
    yield json_format.dumps(result.document, indent=2, ensure_ascii=False)
