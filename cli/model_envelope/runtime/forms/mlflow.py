"""The signature as MLflow writes a ``ModelSignature``: ``inputs``, ``outputs`` and ``params``, each JSON in a string.

https://mlflow.org/docs/latest/ml/model/signatures: columns have one of eight types, arrays and objects nest, and
tensors stand apart: a schema is all columns or all tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.layout import columns_of
from model_envelope.runtime.forms.base import Losses, Written, one_method, resolve, value_type
from model_envelope.runtime.reading import EnvelopeFiles

Document = dict[str, Any]

TYPES: Mapping[str, str] = {
    "bool": "boolean",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "integer"),
    **dict.fromkeys(("int64", "uint32", "uint64"), "long"),
    **dict.fromkeys(("float16", "float32"), "float"),
    "float64": "double",
    "string": "string",
    "bytes": "binary",
    **dict.fromkeys(("datetime", "date"), "datetime"),
}
"""Each dtype that MLflow has a type for; all others are strings there."""

_NUMPY = {"string": "str", "datetime": "datetime64[ns]", "timedelta": "timedelta64[ns]"}
_EXACT = frozenset({"bool", "int32", "int64", "float32", "float64", "string", "bytes", "datetime"})


def write(envelope: EnvelopeFiles, method: str | None) -> Written:
    """Write the signature of one method. Optional parameters of plain types become ``params``."""
    losses = Losses()
    name = one_method(envelope, method, losses)
    found = envelope.signature.methods[name]
    writer = _Writer(envelope.signature.definitions, losses)
    params = [item for item in found.parameters if writer.is_param(item)]
    inputs = [(item.name, item.type, item.required) for item in found.parameters if item not in params]
    document = {
        "inputs": json.dumps(writer.schema(inputs)),
        "outputs": json.dumps(writer.schema([(name, found.returns, True)])),
        "params": json.dumps([writer.param(item) for item in params]) if params else None,
    }
    return Written(document, losses.lines())


class _Writer:
    def __init__(self, definitions: Mapping[str, s.Type], losses: Losses) -> None:
        self.definitions = definitions
        self.losses = losses

    def is_param(self, parameter: s.Parameter) -> bool:
        """Tell whether a parameter is what MLflow calls one: optional, and a scalar or a list of scalars."""
        kind, _ = resolve(parameter.type, self.definitions, frozenset())
        item = kind.item if isinstance(kind, s.List) else kind
        plain = parameter.kind not in {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD}
        return plain and not parameter.required and isinstance(item, s.Scalar | s.Choice)

    def param(self, parameter: s.Parameter) -> Document:
        """Write one of the ``params``."""
        kind, _ = resolve(parameter.type, self.definitions, frozenset())
        item, shape = (kind.item, [-1]) if isinstance(kind, s.List) else (kind, None)
        described = self.type(item, parameter.name)
        return {"name": parameter.name, "default": parameter.default, "shape": shape, "type": described["type"]}

    def schema(self, parts: Sequence[tuple[str, s.Type, bool]]) -> list[Document]:
        """Write a schema: the columns of one table, tensors alone, or a column for each part."""
        resolved = [(name, resolve(kind, self.definitions, frozenset())[0], needed) for name, kind, needed in parts]
        if len(resolved) == 1:
            name, kind, _ = resolved[0]
            if columns := columns_of(kind):
                return [self.column(column.name, column.type, column.name) for column in columns]
            if isinstance(kind, s.Series):
                return [self.column(None, kind.item, name)]
        if resolved and all(isinstance(kind, s.Tensor) for _, kind, _ in resolved):
            alone = len(resolved) == 1
            return [
                self.tensor(None if alone else name, kind) for name, kind, _ in resolved if isinstance(kind, s.Tensor)
            ]
        return [self.column(name, kind, name, required=needed) for name, kind, needed in resolved]

    def tensor(self, name: str | None, kind: s.Tensor) -> Document:
        """Write a tensor."""
        shape = [-1 if size is None else size for size in kind.shape]
        dtype = {"string": "str", "datetime": "datetime64[ns]", "timedelta": "timedelta64[ns]"}.get(
            kind.dtype, kind.dtype
        )
        named = {} if name is None else {"name": name}
        return {**named, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}

    def column(self, name: str | None, kind: s.Type, place: str, *, required: bool = True) -> Document:
        """Write a column; what may be null is not required there."""
        kind, _ = resolve(kind, self.definitions, frozenset())
        named = {} if name is None else {"name": name}
        return {**self.type(kind, place), **named, "required": required and not kind.nullable}

    def type(self, kind: s.Type, place: str, seen: frozenset[str] = frozenset()) -> Document:
        """Write a type."""
        kind, seen = resolve(kind, self.definitions, seen)
        match kind:
            case s.Scalar():
                if kind.dtype not in _EXACT:
                    self.losses.add(f"{kind.dtype} becomes {TYPES.get(kind.dtype, 'string')}", place)
                if kind.dtype == "datetime" and kind.timezone is not None:
                    self.losses.add("a time zone", place)
                return {"type": TYPES.get(kind.dtype, "string")}
            case s.Choice():
                self.losses.add("which values a choice has", place)
                return {"type": TYPES.get(value_type(kind).dtype, "string")}
            case s.List() | s.Set() | s.Series():
                if isinstance(kind, s.Set):
                    self.losses.add("that the items of a set are distinct", place)
                return {"type": "array", "items": self.type(kind.item, f"{place}[*]", seen)}
            case s.Map() if isinstance(kind.key, s.Scalar) and kind.key.dtype == "string":
                return {"type": "map", "values": self.type(kind.value, f"{place}.*", seen)}
            case s.Record():
                properties = {
                    item.name: {
                        **self.type(item.type, f"{place}.{item.name}", seen),
                        "required": item.required and not item.type.nullable,
                    }
                    for item in kind.fields
                }
                return {"type": "object", "properties": properties}
            case s.Table():
                row = s.Record(tuple(s.Field(item.name, item.type) for item in (*kind.index, *kind.columns)))
                return {"type": "array", "items": self.type(row, place, seen)}
            case s.Tensor():
                self.losses.add("the shape of an array beside other columns", place)
                document: Document = {"type": TYPES.get(kind.dtype, "string")}
                for _ in kind.shape:
                    document = {"type": "array", "items": document}
                return document
        self.losses.add(f"{kind.kind} types: any value is admitted there", place)
        return {"type": "any"}
