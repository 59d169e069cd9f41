from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from model_envelope.commands.options import Json
from model_envelope.commands.output import Line, command
from model_envelope.foundation.files import human_size
from model_envelope.workflows import inspect as workflow


def inspect(
    pickle: Annotated[Path, typer.Argument(metavar="PICKLE", help="A pickle file.", show_default=False)],
    json: Json = False,
) -> None:
    """Say what a pickle would load, without running it.

    Reads the opcodes alone. What is named is looked up in this environment: the packages that own it, local modules
    that would travel along, and what a model has no need of.
    """
    with command("inspect", json=json) as out:
        result = workflow.inspect(pickle)
        out.finish(result, text=_text)
        for found in result.suspicious:
            out.warn(f"`{found.name}` {found.reason}, which no model needs: load this pickle only if you trust it")
        if result.hidden:
            out.warn(
                f"{result.hidden} of its imports are named only while it is loaded, which no honest pickle needs: load "
                "it only if you trust it"
            )


def _text(result: workflow.InspectResult) -> Iterator[Line]:
    from rich.text import Text

    yield Text(f"{result.path.name}  {result.root or ''}".rstrip(), "bold")
    about = f"pickle protocol {result.protocol}, {human_size(result.size)}, {result.opcodes:,} opcodes"
    yield about + (f", {result.framework}" if result.framework else "")
    for owned in result.distributions:
        yield _tree(f"{owned.name} {owned.version}", owned.globals)
    if result.standard_library:
        yield _tree("standard library", result.standard_library)
    if result.unknown:
        yield _tree("owned by no package here (local code, or a package that is missing)", result.unknown)
    if result.main:
        yield _tree("taken from the script that wrote the pickle", result.main)
    if result.by_value:
        yield "Holds code by value: functions or classes that cloudpickle wrote into the pickle itself."


def _tree(head: str, names: tuple[str, ...]) -> Any:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(head, "cyan"), guide_style="dim")
    for name in names:
        tree.add(Text(name))
    return tree
