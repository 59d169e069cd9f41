from collections.abc import Iterator, Mapping
from typing import Any

from model_envelope.foundation import spelling
from model_envelope.commands.options import EnvelopeArgument, Json
from model_envelope.commands.output import Line, command
from model_envelope.foundation.files import human_size
from model_envelope.runtime.signature import Type
from model_envelope.workflows import show as workflow


def show(envelope: EnvelopeArgument, json: Json = False) -> None:
    """Show what an envelope is, takes and gives.

    Nothing of the model is loaded, and no file is hashed: `envelope verify` does that.
    """
    with command("show", json=json) as out:
        out.finish(workflow.show(envelope), text=_text)


def _text(result: workflow.ShowResult) -> Iterator[Line]:
    from rich.text import Text
    from rich.tree import Tree

    yield Text.assemble((result.name, "bold"), "  ", (result.digest[:12], "yellow"))
    if result.description:
        yield result.description
    yield ""
    shown: list[Type] = []
    for name, method in result.signature.methods.items():
        tree = Tree(Text(spelling.method(name, method), "bold cyan"), guide_style="dim")
        for parameter in method.parameters:
            # The methods of a model mostly take the same table: its columns are listed once.
            if parameter.type in shown and next(spelling.inside(parameter.type), None):
                tree.add(Text.assemble(parameter.name, "  ", (f"{spelling.kind(parameter.type)}, as above", "dim")))
            else:
                _grow(tree, parameter.name, parameter.type)
                shown.append(parameter.type)
        _grow(tree, "->", method.returns)
        yield tree
    for name, kind in result.signature.definitions.items():
        tree = Tree(Text(f"where {name} is", "bold"), guide_style="dim")
        _grow(tree, name, kind)
        yield tree
    yield ""
    for label, value in _facts(result):
        yield Text.assemble((label.ljust(14), "dim"), value)


def _facts(result: workflow.ShowResult) -> Iterator[tuple[str, str]]:
    yield "python", f"{result.python} ({result.implementation}, {result.platform})"
    if result.framework:
        yield "framework", " ".join(result.framework.values())
    locked = "locked" if result.locked else "not locked: `envelope lock` does it"
    yield "packages", f"{', '.join(result.dependencies) or 'none'} ({locked})"
    if result.code:
        yield "code", ", ".join(result.code)
    yield "samples", ", ".join(result.samples) or "none"
    if result.attachments:
        yield "attachments", ", ".join(result.attachments)
    for label, values in (
        ("parameters", result.hyperparameters),
        ("tags", result.tags),
        ("metrics", result.metrics),
    ):
        if values:
            yield label, _pairs(values)
    yield "size", human_size(result.size)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


def _grow(tree: Any, label: str, kind: Type) -> None:
    from rich.text import Text

    branch = tree.add(Text.assemble(label, "  ", (spelling.kind(kind), "dim")))
    for name, part in spelling.inside(kind):
        _grow(branch, name, part)
