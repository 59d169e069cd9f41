"""The signature as model metadata of the Open Inference Protocol, version 2.

https://github.com/kserve/open-inference-protocol: inputs and outputs are tensors with a name, a datatype and a shape,
in which -1 is free. A table is one input a column, as MLServer's pandas codec has it; ``parameters.content_type`` says
how BYTES are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.layout import columns_of
from model_envelope.runtime.forms.base import Losses, Written, one_method, resolve, value_type
from model_envelope.runtime.reading import EnvelopeFiles

Document = dict[str, Any]

DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
}
"""Each dtype that the protocol has a datatype for; all others travel as BYTES."""

_CONTENT = {"bytes": "base64", "datetime": "datetime"}


def write(envelope: EnvelopeFiles, method: str | None) -> Written:
    """Write the metadata of one method."""
    losses = Losses()
    name = one_method(envelope, method, losses)
    found = envelope.signature.methods[name]
    writer = _Writer(envelope.signature.definitions, losses)
    columns = [item for parameter in found.parameters for item in _names(parameter.type, parameter.name)]
    twice = {item for item in columns if columns.count(item) > 1}
    inputs: list[Document] = []
    for parameter in found.parameters:
        if not parameter.required:
            losses.add("every input is required, and none has a default", parameter.name)
        prefix = f"{parameter.name}." if twice & set(_names(parameter.type, parameter.name)) else ""
        inputs += writer.tensors(parameter.name, _passed(parameter), prefix)
    document = {
        "name": envelope.description.name,
        "versions": [envelope.short_digest],
        "platform": envelope.description.framework.get("name", "python"),
        "inputs": inputs,
        "outputs": list(writer.tensors(name, found.returns, "")),
    }
    return Written(document, losses.lines())


def _passed(parameter: s.Parameter) -> s.Type:
    if parameter.kind is s.Kind.VARIADIC:
        return s.List(parameter.type)
    if parameter.kind is s.Kind.VARIADIC_KEYWORD:
        return s.Map(s.Scalar("string"), parameter.type)
    return parameter.type


def _names(kind: s.Type, name: str) -> list[str]:
    return [column.name for column in columns_of(kind) or ()] or [name]


class _Writer:
    def __init__(self, definitions: Mapping[str, s.Type], losses: Losses) -> None:
        self.definitions = definitions
        self.losses = losses

    def tensors(self, name: str, kind: s.Type, prefix: str) -> Iterator[Document]:
        """Write the tensors that stand for a type."""
        kind, _ = resolve(kind, self.definitions, frozenset())
        if columns := columns_of(kind):
            for column in columns:
                yield self.tensor(prefix + column.name, column.type, [-1])
        elif isinstance(kind, s.Tensor):
            shape = [-1 if size is None else size for size in kind.shape] or [1]
            yield self.tensor(name, s.Scalar(kind.dtype), shape)
        elif isinstance(kind, s.Series):
            yield self.tensor(name, kind.item, [-1])
        else:
            yield self.tensor(name, kind, [])

    def tensor(self, name: str, kind: s.Type, shape: list[int]) -> Document:
        """Write one tensor; lists inside lists are further dimensions, as long as their items are scalars."""
        kind, _ = resolve(kind, self.definitions, frozenset())
        if kind.nullable:
            self.losses.add("null has no place in a datatype", name)
        item, deeper = kind, list(shape)
        while isinstance(item, s.List | s.Set):
            deeper.append(-1)
            item, _ = resolve(item.item, self.definitions, frozenset())
        if isinstance(item, s.Choice):
            self.losses.add("a datatype does not say which values there are", name)
            item = value_type(item)
        if isinstance(item, s.Scalar) and not item.dtype.startswith("complex"):
            datatype = DATATYPES.get(item.dtype, "BYTES")
            document: Document = {"name": name, "datatype": datatype, "shape": deeper or [1]}
            if datatype == "BYTES":
                if item.dtype not in {"string", "bytes"}:
                    self.losses.add("BYTES hold what is no number, as the text that JSON has for it", name)
                document["parameters"] = {"content_type": _CONTENT.get(item.dtype, "str")}
            return document
        self.losses.add("BYTES hold nested values, as JSON text", name)
        return {"name": name, "datatype": "BYTES", "shape": shape or [1], "parameters": {"content_type": "str"}}
