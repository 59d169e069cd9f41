"""The signature as Arrow schemas, in the JSON that the Arrow project writes them in for its integration tests.

https://arrow.apache.org/docs/format/Integration.html#json-test-data-format; pyarrow is not needed. It is the schema of
the streams that :mod:`codec.arrow.streams` reads and writes: the columns of the one table, or one for each value with
rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.layout import Layout, columns_of, inputs, layout_of, rows_of
from model_envelope.runtime.codec.arrow.spelling import row_of
from model_envelope.runtime.codec.tables.cells import json_only
from model_envelope.runtime.forms.base import Losses, Written, value_type
from model_envelope.runtime.reading import EnvelopeFiles

Document = dict[str, Any]

_UNITS = {
    "ms": "MILLISECOND", "us": "MICROSECOND", "ns": "NANOSECOND", **dict.fromkeys(("s", "m", "h", "D", "W"), "SECOND"),
}  # fmt: skip
_PRECISIONS = {"float16": "HALF", "float32": "SINGLE", "float64": "DOUBLE"}
_TEXT: Document = {"name": "utf8"}
_DAY: Document = {"name": "date", "unit": "DAY"}
_PLAIN: Mapping[str, Document] = {"bool": {"name": "bool"}, "bytes": {"name": "binary"}, "date": _DAY}
_AS_TEXT = frozenset({"decimal", "period", "uuid"})


def write(envelope: EnvelopeFiles, method: str | None) -> Written:
    """Write the schema of what goes in and what comes out, for all methods or for one."""
    methods = envelope.signature.methods
    losses = Losses()
    document = {}
    for name, found in methods.items():
        if method in {None, name}:
            going_in, coming_out = inputs(found), layout_of({"answer": found.returns})
            for parameter in found.parameters:
                if parameter.name not in going_in.batches:
                    losses.add("has no rows, and stands in the schema's metadata as JSON", f"{name}.{parameter.name}")
            if not coming_out.batches:
                losses.add("has no rows, and stands in the schema's metadata as JSON", f"{name}.answer")
            document[name] = {
                "input": {"fields": _Writer(losses, name).batches(going_in)},
                "output": {"fields": _Writer(losses, name).batches(coming_out)},
            }
    return Written({"methods": document}, losses.lines())


class _Writer:
    """Writes fields; dictionaries are numbered within one schema."""

    def __init__(self, losses: Losses, method: str) -> None:
        self.losses = losses
        self.method = method
        self.numbers = count()

    def batches(self, layout: Layout) -> list[Document]:
        """Write the columns of a stream."""
        fields: list[Document] = []
        for name, kind in layout.batches.items():
            columns = columns_of(kind)
            if columns is None:
                fields.append(self.field(name, rows_of(kind)[0], f"{self.method}.{name}"))
                continue
            inner = [self.field(column.name, column.type, f"{self.method}.{column.name}") for column in columns]
            struct = {"name": name, "nullable": False, "type": {"name": "struct"}, "children": inner}
            fields += inner if layout.alone else [struct]
        return fields

    def field(self, name: str, kind: s.Type, place: str) -> Document:
        """Write one field."""
        field: Document = {"name": name, "nullable": kind.nullable, "type": _TEXT, "children": []}
        if json_only(kind):
            self.losses.add("Arrow has no type for it, and it is JSON inside a text", place)
            return {**field, "metadata": [{"key": "model_envelope.encoding", "value": "json"}]}

        def child(label: str, inner: s.Type) -> Document:
            return self.field(label, inner, f"{place}.{label}")

        match kind:
            case s.Scalar():
                field["type"] = self.scalar(kind, place)
                if kind.dtype in {"complex64", "complex128"}:
                    part = s.Scalar("float32" if kind.dtype == "complex64" else "float64", nullable=True)
                    field["children"] = [child("item", part)]
            case s.Choice():
                self.losses.add("the values of a choice are data, and no part of a schema", place)
                value = value_type(kind) if kind.dtype is None else s.Scalar("string")
                field["type"] = self.scalar(value, place)
                if kind.dtype is None and value.dtype != "bool":
                    index = {"name": "int", "bitWidth": 32, "isSigned": True}
                    field["dictionary"] = {"id": next(self.numbers), "indexType": index, "isOrdered": kind.ordered}
            case s.Map():
                key, value_ = child("key", kind.key), child("value", kind.value)
                entries = {"name": "entries", "nullable": False, "type": {"name": "struct"}, "children": [key, value_]}
                field |= {"type": {"name": "map", "keysSorted": False}, "children": [entries]}
            case s.Record():
                children = []
                for item in kind.fields:
                    if not item.required and item.type.nullable:
                        self.losses.add("null and missing are one", f"{place}.{item.name}")
                    children.append(child(item.name, item.type if item.required else s.with_nullable(item.type)))
                field |= {"type": {"name": "struct"}, "children": children}
            case s.Tuple():
                fixed = {"name": "fixedsizelist", "listSize": len(kind.items)}
                field |= {"type": fixed, "children": [child("item", kind.items[0])]}
            case s.Tensor():
                size: Document = {"name": "list"}
                if kind.shape[0] is not None:
                    size = {"name": "fixedsizelist", "listSize": kind.shape[0]}
                field |= {"type": size, "children": [child("item", row_of(kind))]}
            case s.List() | s.Set():
                if isinstance(kind, s.Set):
                    self.losses.add("a list may hold an item twice", place)
                field |= {"type": {"name": "list"}, "children": [child("item", kind.item)]}
        return field

    def scalar(self, kind: s.Scalar, place: str) -> Document:
        """Write a scalar type."""
        dtype, unit = kind.dtype, kind.unit or "us"
        if dtype in _AS_TEXT or (dtype in {"datetime", "timedelta"} and unit not in _UNITS):
            self.losses.add(f"a {dtype} is written as text", place)
            return _DAY if dtype == "datetime" and unit in {"D", "W"} else _TEXT
        if dtype.startswith(("int", "uint")):
            return {"name": "int", "bitWidth": int(dtype.lstrip("uint")), "isSigned": dtype[0] == "i"}
        match dtype:
            case "float16" | "float32" | "float64":
                return {"name": "floatingpoint", "precision": _PRECISIONS[dtype]}
            case "datetime" if unit in {"D", "W"}:
                return _DAY
            case "datetime":
                if kind.timezone == "":
                    self.losses.add("a moment keeps no offset of its own", place)
                zone = {} if kind.timezone is None else {"timezone": kind.timezone or "UTC"}
                return {"name": "timestamp", "unit": _UNITS[unit], **zone}
            case "timedelta":
                return {"name": "duration", "unit": _UNITS[unit]}
            case "time" if kind.unit is not None:
                return {"name": "time", "unit": _UNITS[unit], "bitWidth": 32 if unit in {"s", "ms"} else 64}
            case "complex64" | "complex128":
                return {"name": "fixedsizelist", "listSize": 2}
        return _PLAIN.get(dtype, _TEXT)
