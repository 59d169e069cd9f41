import json as json_format
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import Json
from model_envelope.commands.output import Line, command
from model_envelope.workflows import diff as workflow

Old = Annotated[Path, typer.Argument(metavar="OLD", help="The envelope that is in use.", show_default=False)]
New = Annotated[Path, typer.Argument(metavar="NEW", help="The one to take its place.", show_default=False)]

SHOWN = 300
"""How much of a request is shown; `--json` has all of it."""


def diff(old: Old, new: New, json: Json = False) -> None:
    """Say whether a new envelope can replace an old one.

    Files, packages and signatures are compared; no model is loaded. The signatures are identical, compatible (whatever
    the old one takes the new one takes, and answers keep their type) or breaking: then the command ends with 3, and
    each breaking change is shown with a request that the old one takes and the new one refuses.
    """
    with command("diff", json=json) as out:
        result = workflow.diff(old, new)
        out.finish(result, text=_text, no=result.objection())


def _text(result: workflow.DiffResult) -> Iterator[Line]:
    yield f"- {result.old.name}  {result.old_digest[:12]}"
    yield f"+ {result.new.name}  {result.new_digest[:12]}"
    if result.identical:
        yield "identical: one digest"
        return
    yield from _section("files", list(_files(result)))
    yield from _section(f"packages ({result.dependencies.source})", list(_packages(result)))
    yield ""
    yield f"signature: {result.signature.verdict.value}"
    for change in result.signature.changes:
        mark = "!" if change.breaking else " "
        yield f"{mark} {f'{change.method} {change.path}'.rstrip()}: was {change.was}, is {change.now}"
        if change.breaking and change.payload is not None:
            yield f"    {_request(change.payload)}"


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield title if lines else f"{title}: no difference"
    yield from lines


def _files(result: workflow.DiffResult) -> Iterator[str]:
    files = result.files
    marked = [
        *((name, "+") for name in files.added),
        *((name, "-") for name in files.removed),
        *((name, "~") for name in files.changed),
    ]
    yield from (f"{mark} {name}" for name, mark in sorted(marked))


def _packages(result: workflow.DiffResult) -> Iterator[str]:
    packages = result.dependencies
    marked = [
        *((name, f"+ {name} {version}") for name, version in packages.added.items()),
        *((name, f"- {name} {version}") for name, version in packages.removed.items()),
        *((item.name, f"~ {item.name} {item.old} -> {item.new}") for item in packages.changed),
    ]
    yield from (line for _, line in sorted(marked))


def _request(payload: object) -> str:
    text = json_format.dumps(payload, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… (`--json` has all of it)"
