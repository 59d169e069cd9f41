"""A type of the signature as JSON Schema 2020-12, for OpenAPI documents and for those who validate elsewhere.

The schema says what the codec takes and gives. Where JSON Schema cannot say it all (a whole number beyond 2**53, a
naive time), the schema is the wider of the two, and the codec decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.scalars import INTEGERS, LARGEST, NON_FINITE

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LOCAL = "#/$defs/"
"""Where references point in a schema that stands alone."""
OPENAPI = "#/components/schemas/"
"""Where references point in an OpenAPI document."""

Schema = dict[str, Any]


def schema_of(kind: s.Type, definitions: Mapping[str, s.Type] | None = None, prefix: str = LOCAL) -> Schema:
    """Give the schema of one type.

    With the default ``prefix`` the schema stands alone: it carries the ``definitions`` under ``$defs``. With another one
    references point there, and whoever holds the document defines them.
    """
    schema = _schema(kind, prefix)
    if definitions and prefix == LOCAL:
        schema["$defs"] = {name: _schema(item, prefix) for name, item in definitions.items()}
    return schema


def body_schema(method: s.Method, definitions: Mapping[str, s.Type] | None = None, prefix: str = LOCAL) -> Schema:
    """Give the schema of a request body: an object keyed by parameter."""
    schema: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
    required = []
    for parameter in method.parameters:
        inner = _schema(parameter.type, prefix)
        if parameter.kind is s.Kind.VARIADIC:
            inner = {"type": "array", "items": inner}
        elif parameter.kind is s.Kind.VARIADIC_KEYWORD:
            inner = {"type": "object", "additionalProperties": inner}
        elif parameter.required:
            required.append(parameter.name)
        else:
            inner = {**inner, "default": parameter.default}
        schema["properties"][parameter.name] = inner
    if required:
        schema["required"] = required
    if definitions and prefix == LOCAL:
        schema["$defs"] = {name: _schema(item, prefix) for name, item in definitions.items()}
    return schema


def _schema(kind: s.Type, prefix: str) -> Schema:
    schema = _WRITERS[type(kind)](kind, prefix)
    return _or_null(schema) if kind.nullable else schema


def _or_null(schema: Schema) -> Schema:
    """Admit null beside what a schema admits, as briefly as it goes."""
    if not schema or schema.get("type") == "null":
        return schema
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], *([] if None in schema["enum"] else [None])]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def _scalar(kind: s.Scalar, _prefix: str) -> Schema:
    schema = _dtype(kind.dtype, non_finite=kind.non_finite)
    if kind.dtype == "datetime":
        # RFC 3339, which `format: date-time` stands for, knows no time without an offset.
        zone = "without offset" if kind.timezone is None else f"with offset ({kind.timezone or 'any'})"
        schema["description"] += f", {zone}"
        if kind.timezone is not None:
            schema["format"] = "date-time"
    return schema


def _dtype(dtype: str, *, non_finite: bool = False) -> Schema:
    described: Schema = {"description": s.SCALARS[dtype]}
    if dtype in INTEGERS:
        least, most = INTEGERS[dtype]
        return {"type": "integer", "minimum": least, "maximum": most, **described}
    if dtype in LARGEST:
        if non_finite:
            return {"anyOf": [{"type": "number"}, {"type": "string", "enum": list(NON_FINITE)}], **described}
        return {"type": "number", **described}
    return {**_PLAIN[dtype], **described}


def _choice(kind: s.Choice, _prefix: str) -> Schema:
    return {"enum": list(kind.values)}


def _list(kind: s.List, prefix: str) -> Schema:
    return {"type": "array", "items": _schema(kind.item, prefix)}


def _set(kind: s.Set, prefix: str) -> Schema:
    return {"type": "array", "items": _schema(kind.item, prefix), "uniqueItems": True}


def _tuple(kind: s.Tuple, prefix: str) -> Schema:
    return _exactly([_schema(item, prefix) for item in kind.items])


def _exactly(items: list[Schema]) -> Schema:
    count = len(items)
    return {
        "type": "array",
        **({"prefixItems": items} if items else {}),
        "items": False,
        "minItems": count,
        "maxItems": count,
    }


def _map(kind: s.Map, prefix: str) -> Schema:
    value = _schema(kind.value, prefix)
    if isinstance(kind.key, s.Scalar) and kind.key.dtype == "string" and not kind.key.nullable:
        return {"type": "object", "additionalProperties": value}
    return {"type": "array", "items": _exactly([_schema(kind.key, prefix), value])}


def _record(kind: s.Record, prefix: str) -> Schema:
    properties = {}
    for field in kind.fields:
        inner = _schema(field.type, prefix)
        properties[field.name] = inner if field.required else {**inner, "default": field.default}
    schema = _object(properties, [field.name for field in kind.fields if field.required])
    return {"title": kind.cls.partition(":")[2], **schema} if kind.cls else schema


def _object(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _union(kind: s.Union, prefix: str) -> Schema:
    return {"anyOf": [_schema(option, prefix) for option in kind.options]}


def _table(kind: s.Table, prefix: str) -> Schema:
    """Give the three spellings of a table: rows, columns, and columns beside data."""
    cells = {column.name: _schema(column.type, prefix) for column in (*kind.index, *kind.columns)}
    required = [column.name for column in kind.columns]
    arrays = {name: {"type": "array", "items": cell} for name, cell in cells.items()}
    split = {
        "columns": {"type": "array", "items": {"enum": list(cells)}},
        "data": {"type": "array", "items": {"type": "array"}},
    }
    return {
        "anyOf": [
            {"title": "rows", "type": "array", "items": _object(cells, required)},
            {"title": "columns", **_object(arrays, required)},
            {"title": "split", **_object(split, ["columns", "data"])},
        ]
    }


def _series(kind: s.Series, prefix: str) -> Schema:
    return {"type": "array", "items": _schema(kind.type, prefix)}


def _tensor(kind: s.Tensor, _prefix: str) -> Schema:
    schema = _dtype(kind.dtype, non_finite=kind.non_finite)
    for size in reversed(kind.shape):
        schema = {"type": "array", "items": schema}
        if size is not None:
            schema.update(minItems=size, maxItems=size)
    return schema


def _reference(kind: s.Reference, prefix: str) -> Schema:
    return {"$ref": prefix + kind.name}


def _any(_kind: s.Any, _prefix: str) -> Schema:
    return {}


_PLAIN: Mapping[str, Schema] = {
    "null": {"type": "null"},
    "bool": {"type": "boolean"},
    "decimal": {"type": "string"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string"},
    "datetime": {"type": "string"},
    "timedelta": {"type": "number"},
    "uuid": {"type": "string", "format": "uuid"},
}

_WRITERS: Mapping[type, Callable[[Any, str], Schema]] = {
    s.Scalar: _scalar,
    s.Choice: _choice,
    s.List: _list,
    s.Set: _set,
    s.Tuple: _tuple,
    s.Map: _map,
    s.Record: _record,
    s.Union: _union,
    s.Table: _table,
    s.Series: _series,
    s.Tensor: _tensor,
    s.Reference: _reference,
    s.Any: _any,
}
