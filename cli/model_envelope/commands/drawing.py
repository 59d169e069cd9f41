"""Draws signatures: a tree a method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model_envelope.foundation import spelling
from model_envelope.runtime.signature import Signature, Type


def trees(signature: Signature) -> Iterator[Any]:
    """Draw the methods of a signature and its named types."""
    from rich.text import Text
    from rich.tree import Tree

    shown: list[Type] = []
    for name, method in signature.methods.items():
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
    for name, kind in signature.definitions.items():
        tree = Tree(Text(f"where {name} is", "bold"), guide_style="dim")
        _grow(tree, name, kind)
        yield tree


def _grow(tree: Any, label: str, kind: Type) -> None:
    from rich.text import Text

    branch = tree.add(Text.assemble(label, "  ", (spelling.kind(kind), "dim")))
    for name, part in spelling.inside(kind):
        _grow(branch, name, part)
