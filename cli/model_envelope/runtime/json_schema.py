"""A type of the signature as JSON Schema 2020-12, for OpenAPI documents and for those who validate elsewhere.

The schema says what the codec takes and gives. Where JSON Schema cannot say it all (a whole number beyond 2**53, a
naive time), the schema is the wider of the two, and the codec decides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.values.scalars import COMPLEX, INTEGERS, LARGEST, NON_FINITE
from model_envelope.runtime.codec.values.texts import DURATION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LOCAL = "#/$defs/"
"""Where references point in a schema that stands alone."""
OPENAPI = "#/components/schemas/"
"""Where references point in an OpenAPI document."""

DESCRIBED = "description"

Schema = dict[str, Any]


@dataclass(frozen=True)
class _Style:
    """What the schemas of one document have in common."""

    prefix: str = LOCAL
    answer: bool = False
    """Whether it is for what the codec writes, which knows one spelling of a table, and not for what it reads."""


def component_name(name: str) -> str:
    """Give the name of a definition as OpenAPI admits it: letters, digits, ``.``, ``-`` and ``_``."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def schema_of(
    kind: s.Type, definitions: Mapping[str, s.Type] | None = None, prefix: str = LOCAL, *, answer: bool = False
) -> Schema:
    """Give the schema of one type.

    With the default ``prefix`` the schema stands alone: it carries the ``definitions`` under ``$defs``. With another
    one references point there, and whoever holds the document defines them. ``answer`` asks for what the codec writes.
    """
    style = _Style(prefix, answer)
    return {**_schema(kind, style), **_local(definitions, style)}


def body_schema(method: s.Method, definitions: Mapping[str, s.Type] | None = None, prefix: str = LOCAL) -> Schema:
    """Give the schema of a request body: an object keyed by parameter."""
    style = _Style(prefix)
    properties, required = {}, []
    for parameter in method.parameters:
        inner = _schema(parameter.type, style)
        if parameter.kind is s.Kind.VARIADIC:
            inner = {"type": "array", "items": inner}
        elif parameter.kind is s.Kind.VARIADIC_KEYWORD:
            inner = {"type": "object", "additionalProperties": inner}
        elif parameter.required:
            required.append(parameter.name)
        else:
            inner = _defaulted(inner, parameter.type, parameter.default)
        properties[parameter.name] = inner
    return {**_object(properties, required), **_local(definitions, style)}


def _local(definitions: Mapping[str, s.Type] | None, style: _Style) -> Schema:
    if not definitions or style.prefix != LOCAL:
        return {}
    return {"$defs": {component_name(name): _schema(kind, style) for name, kind in definitions.items()}}


def _schema(kind: s.Type, style: _Style) -> Schema:
    schema = _WRITERS[type(kind)](kind, style)
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


def _scalar(kind: s.Scalar, _style: _Style) -> Schema:
    schema = _dtype(kind.dtype, non_finite=kind.non_finite)
    if kind.dtype == "datetime":
        # RFC 3339, which `format: date-time` stands for, knows no time without an offset.
        zone = "without offset" if kind.timezone is None else f"with offset ({kind.timezone or 'any'})"
        schema["description"] += f", {zone}"
        if kind.timezone is not None:
            schema["format"] = "date-time"
    if kind.dtype == "timedelta" and kind.unit not in {"Y", "M"}:
        schema["pattern"] = f"^{DURATION}$"
    return schema


def _dtype(dtype: str, *, non_finite: bool = False) -> Schema:
    described: Schema = {"description": s.SCALARS[dtype]}
    if dtype in INTEGERS:
        least, most = INTEGERS[dtype]
        return {"type": "integer", "minimum": least, "maximum": most, **described}
    if dtype in LARGEST:
        if non_finite:
            finite = _dtype(dtype)
            del finite[DESCRIBED]
            return {"anyOf": [finite, {"type": "string", "enum": list(NON_FINITE)}], **described}
        largest = LARGEST[dtype]
        bounds = {} if math.isinf(largest) else {"minimum": -largest, "maximum": largest}
        return {"type": "number", **bounds, **described}
    if dtype in COMPLEX:
        part = {key: value for key, value in _dtype(COMPLEX[dtype], non_finite=non_finite).items() if key != DESCRIBED}
        return {**_exactly([part, part]), **described}
    if dtype == "decimal" and non_finite:
        return {"type": "string", "anyOf": [{"pattern": _NUMERAL}, {"enum": list(NON_FINITE)}], **described}
    return {**_PLAIN[dtype], **described}


def _choice(kind: s.Choice, _style: _Style) -> Schema:
    return {"enum": list(kind.values)}


def _list(kind: s.List, style: _Style) -> Schema:
    return {"type": "array", "items": _schema(kind.item, style)}


def _set(kind: s.Set, style: _Style) -> Schema:
    return {"type": "array", "items": _schema(kind.item, style), "uniqueItems": True}


def _tuple(kind: s.Tuple, style: _Style) -> Schema:
    return _exactly([_schema(item, style) for item in kind.items])


def _exactly(items: list[Schema]) -> Schema:
    count = len(items)
    return {
        "type": "array",
        **({"prefixItems": items} if items else {}),
        "items": False,
        "minItems": count,
        "maxItems": count,
    }


def _map(kind: s.Map, style: _Style) -> Schema:
    value = _schema(kind.value, style)
    if isinstance(kind.key, s.Scalar) and kind.key.dtype == "string" and not kind.key.nullable:
        return {"type": "object", "additionalProperties": value}
    return {"type": "array", "items": _exactly([_schema(kind.key, style), value])}


def _record(kind: s.Record, style: _Style) -> Schema:
    properties = {}
    for field in kind.fields:
        inner = _schema(field.type, style)
        properties[field.name] = inner if field.required else _defaulted(inner, field.type, field.default)
    schema = _object(properties, [field.name for field in kind.fields if field.required])
    return {"title": kind.cls.partition(":")[2], **schema} if kind.cls else schema


def _defaulted(schema: Schema, kind: s.Type, default: Any) -> Schema:
    """Note a default; where it is None for want of a JSON spelling, there is nothing to note."""
    return schema if default is None and not kind.nullable else {**schema, "default": default}


def _object(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _union(kind: s.Union, style: _Style) -> Schema:
    options = [_schema(option, style) for option in kind.options]
    if kind.tags:
        options = [
            _object({"type": {"const": tag}, "value": option}, ["type", "value"])
            for tag, option in zip(kind.tags, options, strict=True)
        ]
    return {"anyOf": options}


def _table(kind: s.Table, style: _Style) -> Schema:
    """Give the spellings of a table: rows, columns, and column names beside data."""
    cells = {column.name: _schema(column.type, style) for column in (*kind.index, *kind.columns)}
    names = list(cells)
    rows: Schema = {"type": "array", "items": _object(cells, names)}
    if style.answer:
        return rows
    if style.prefix == OPENAPI:
        return {**rows, DESCRIBED: _OTHERS_TOO}
    arrays = {name: {"type": "array", "items": cell} for name, cell in cells.items()}
    split = {
        "columns": _exactly_once(names),
        "data": {"type": "array", "items": {"type": "array", "minItems": len(names), "maxItems": len(names)}},
    }
    orientations = [{"title": "rows", **rows}, {"title": "columns", **_object(arrays, names)}]
    if "data" not in cells:
        orientations.append({"title": "split", **_object(split, list(split))})
    return {"anyOf": orientations}


_OTHERS_TOO = (
    'Rows. Read too are columns, `{name: [...]}`, and `{"columns": [names], "data": [[...], ...]}`: that their arrays '
    "are of one length no schema can ask for, and programs make up requests of this one."
)


def _exactly_once(names: list[str]) -> Schema:
    size = {"minItems": len(names), "maxItems": len(names)}
    return {"type": "array", "items": {"enum": names}, "uniqueItems": True, **size}


def _series(kind: s.Series, style: _Style) -> Schema:
    if kind.index:
        from model_envelope.runtime.codec.values.belonging import series_table

        return _table(series_table(kind), style)
    return {"type": "array", "items": _schema(kind.item, style)}


def _tensor(kind: s.Tensor, _style: _Style) -> Schema:
    schema = _dtype(kind.dtype, non_finite=kind.non_finite)
    if kind.non_finite:
        schema = _or_null(schema)  # NaN travels as null in an array
    entry = schema
    for size in reversed(kind.shape):
        schema = {"type": "array", "items": schema}
        if size is not None:
            schema.update(minItems=size, maxItems=size)
    return schema if kind.layout is None else {"anyOf": [schema, _entries(kind, entry)]}


def _entries(kind: s.Tensor, entry: Schema) -> Schema:
    """Give the other spelling of a sparse matrix: its shape, and where its entries stand."""
    places: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    sizes = [{"type": "integer", "minimum": 0} if size is None else {"const": size} for size in kind.shape]
    fields = {"shape": _exactly(sizes), "row": places, "col": places, "data": {"type": "array", "items": entry}}
    return _object(fields, list(fields))


def _reference(kind: s.Reference, style: _Style) -> Schema:
    return {"$ref": style.prefix + component_name(kind.name)}


def _any(_kind: s.Any, _style: _Style) -> Schema:
    return {}


_NUMERAL = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,18})?$"

_BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
"""With padding, and no bits beyond the last byte."""

_PLAIN: Mapping[str, Schema] = {
    "null": {"type": "null"},
    "bool": {"type": "boolean"},
    "decimal": {"type": "string", "pattern": _NUMERAL},
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64", "pattern": _BASE64},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string"},
    "datetime": {"type": "string"},
    "timedelta": {"type": "string", "format": "duration"},
    "period": {"type": "string"},
    "uuid": {"type": "string", "format": "uuid"},
}

_WRITERS: Mapping[type, Callable[[Any, _Style], Schema]] = {
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
