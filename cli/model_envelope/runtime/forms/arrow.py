"""The signature as Arrow schemas, in the JSON that the Arrow project writes them in for its integration tests.

https://arrow.apache.org/docs/format/Integration.html#json-test-data-format; pyarrow is not needed. The columns of a
table are the fields of a record batch, and the rows of an array or series are its records; anything else is one field a
parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.forms.base import Losses, Written, resolve, value_type
from model_envelope.runtime.reading import EnvelopeFiles

Document = dict[str, Any]

_UNITS = {"s": "SECOND", "ms": "MILLISECOND", "us": "MICROSECOND", "ns": "NANOSECOND"}
_PRECISIONS = {"float16": "HALF", "float32": "SINGLE", "float64": "DOUBLE"}
_PLAIN: Mapping[str, Document] = {
    "null": {"name": "null"},
    "bool": {"name": "bool"},
    "string": {"name": "utf8"},
    "bytes": {"name": "binary"},
    "date": {"name": "date", "unit": "DAY"},
    "time": {"name": "time", "unit": "MICROSECOND", "bitWidth": 64},
    "uuid": {"name": "fixedsizebinary", "byteWidth": 16},
    "decimal": {"name": "utf8"},
    "period": {"name": "utf8"},
}


def write(envelope: EnvelopeFiles, method: str | None) -> Written:
    """Write the schema of what goes in and what comes out, for all methods or for one."""
    signature = envelope.signature
    names = signature.methods if method is None else [method]
    losses = Losses()
    document = {}
    for name in names:
        writer = _Writer(signature.definitions, losses)
        found = signature.methods[name]
        document[name] = {
            "input": {"fields": writer.inputs(name, found)},
            "output": {"fields": writer.batch("answer", found.returns, name)},
        }
    return Written({"methods": document}, losses.lines())


class _Writer:
    """Writes fields; dictionaries are numbered within one schema."""

    def __init__(self, definitions: Mapping[str, s.Type], losses: Losses) -> None:
        self.definitions = definitions
        self.losses = losses
        self.numbers = count()

    def inputs(self, name: str, method: s.Method) -> list[Document]:
        """Write what goes in: the columns of the one table, or a field for each parameter."""
        batches = [item for item in method.parameters if isinstance(item.type, s.Table | s.Tensor | s.Series)]
        if len(batches) == 1:
            for item in method.parameters:
                if item is not batches[0]:
                    self.losses.add(
                        "a record batch has no place for parameters beside its columns", f"{name}.{item.name}"
                    )
            return self.batch(batches[0].name, batches[0].type, name)
        fields = []
        for item in method.parameters:
            kind = item.type
            if item.kind is s.Kind.VARIADIC:
                kind = s.List(kind)
            elif item.kind is s.Kind.VARIADIC_KEYWORD:
                kind = s.Map(s.Scalar("string"), kind)
            if not item.required and item.default is not None:
                self.losses.add("a field has no default", f"{name}.{item.name}")
            fields.append(self.field(item.name, kind, f"{name}.{item.name}", optional=not item.required))
        return fields

    def batch(self, name: str, kind: s.Type, place: str) -> list[Document]:
        """Write a type whose rows are records as fields; any other as one field."""
        match kind:
            case s.Table():
                columns = (*kind.index, *kind.columns)
                return [self.field(column.name, column.type, f"{place}.{column.name}") for column in columns]
            case s.Series():
                return [self.field(kind.name or name, kind.item, f"{place}.{name}")]
            case s.Tensor() if kind.shape and kind.shape[0] is None:
                return [self.field(name, _cells(kind, kind.shape[1:]), f"{place}.{name}")]
        return [self.field(name, kind, f"{place}.{name}")]

    def field(
        self, name: str, kind: s.Type, place: str, *, optional: bool = False, seen: frozenset[str] = frozenset()
    ) -> Document:
        """Write one field."""
        kind, seen = resolve(kind, self.definitions, seen)
        nullable = kind.nullable or optional
        if optional and kind.nullable:
            self.losses.add("null and missing are one", place)
        field: Document = {"name": name, "nullable": nullable, "type": {}, "children": []}

        def child(label: str, inner: s.Type, *, may_lack: bool = False) -> Document:
            return self.field(label, inner, f"{place}.{label}", optional=may_lack, seen=seen)

        match kind:
            case s.Scalar():
                field["type"] = self.scalar(kind, place)
                if kind.dtype.startswith("complex"):
                    part = {"complex64": "float32", "complex128": "float64"}[kind.dtype]
                    field["children"] = [child("item", s.Scalar(part))]
                if kind.dtype == "uuid":
                    field["metadata"] = [{"key": "ARROW:extension:name", "value": "arrow.uuid"}]
            case s.Choice():
                self.losses.add("the values of a choice are data, and no part of a schema", place)
                field["type"] = self.scalar(value_type(kind), place)
                index = {"name": "int", "bitWidth": 32, "isSigned": True}
                field["dictionary"] = {"id": next(self.numbers), "indexType": index, "isOrdered": kind.ordered}
            case s.List() | s.Series() | s.Set():
                if isinstance(kind, s.Set):
                    self.losses.add("a list may hold an item twice", place)
                field |= {"type": {"name": "list"}, "children": [child("item", kind.item)]}
            case s.Tuple():
                children = [child(str(at), item) for at, item in enumerate(kind.items)]
                field |= {"type": {"name": "struct"}, "children": children}
            case s.Record():
                children = [child(item.name, item.type, may_lack=not item.required) for item in kind.fields]
                field |= {"type": {"name": "struct"}, "children": children}
            case s.Table():
                row = s.Record(tuple(s.Field(item.name, item.type) for item in (*kind.index, *kind.columns)))
                field |= {"type": {"name": "list"}, "children": [child("item", row)]}
            case s.Map():
                children = [child("key", kind.key), child("value", kind.value)]
                entries = {"name": "entries", "nullable": False, "type": {"name": "struct"}, "children": children}
                field |= {"type": {"name": "map", "keysSorted": False}, "children": [entries]}
            case s.Union():
                ids = list(range(len(kind.options)))
                tags = kind.tags or tuple(map(str, ids))
                children = [child(tag, option) for tag, option in zip(tags, kind.options, strict=True)]
                field |= {"type": {"name": "union", "mode": "DENSE", "typeIds": ids}, "children": children}
            case s.Tensor() if not kind.shape:
                return {**child("", s.Scalar(kind.dtype)), "name": name, "nullable": nullable}
            case s.Tensor():
                size = kind.shape[0]
                shape = {"name": "list"} if size is None else {"name": "fixedsizelist", "listSize": size}
                field |= {"type": shape, "children": [child("item", _cells(kind, kind.shape[1:]))]}
            case _:
                self.losses.add("free or recursive values are written as JSON text", place)
                field["type"] = {"name": "utf8"}
        return field

    def scalar(self, kind: s.Scalar, place: str) -> Document:
        """Write a scalar type."""
        dtype = kind.dtype
        if dtype in {"decimal", "period"}:
            self.losses.add(f"a {dtype} is written as text", place)
        if dtype.startswith(("int", "uint")):
            signed = dtype.startswith("int")
            return {"name": "int", "bitWidth": int(dtype.lstrip("uint")), "isSigned": signed}
        if dtype in _PRECISIONS:
            return {"name": "floatingpoint", "precision": _PRECISIONS[dtype]}
        if dtype == "datetime":
            zone = {} if kind.timezone is None else {"timezone": kind.timezone or "UTC"}
            if kind.timezone == "":
                self.losses.add("a moment keeps no offset of its own", place)
            return {"name": "timestamp", "unit": _UNITS[kind.unit or "us"], **zone}
        if dtype == "timedelta":
            return {"name": "duration", "unit": _UNITS[kind.unit or "us"]}
        if dtype.startswith("complex"):
            return {"name": "fixedsizelist", "listSize": 2}
        return dict(_PLAIN[dtype])


def _cells(kind: s.Tensor, shape: tuple[int | None, ...]) -> s.Type:
    null = kind.non_finite and kind.dtype.startswith("float")
    return s.Tensor(kind.dtype, shape) if shape else s.Scalar(kind.dtype, nullable=null)
