"""Arrow requests and answers as the JSON that says the same: for those who write down what was said."""

from __future__ import annotations

from typing import Any, Literal

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.layout import ANSWER, PARAMETERS, columns_of, inputs, rows_of
from model_envelope.runtime.codec.arrow.spelling import spelled
from model_envelope.runtime.codec.text import parse_json


def as_json(method: s.Method, table: Any, side: Literal["parameters", "answer"]) -> Any:
    """Give a table that is a request or an answer of a method as JSON values, tables by column.

    Raises ``Refused`` for a column of another type than that of the signature: what was refused has no such form.
    """
    metadata = table.schema.metadata or {}
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    if side == "answer":
        if ANSWER in metadata:
            return parse_json(metadata[ANSWER])
        return _values(method.returns, columns)
    found = parse_json(metadata[PARAMETERS]) if PARAMETERS in metadata else {}
    layout = inputs(method)
    for name, kind in layout.batches.items():
        if layout.alone:
            found[name] = _values(kind, columns)
        elif name in columns:
            inner = columns_of(kind)
            array = columns[name].combine_chunks()
            fields = [] if inner is None else [field.name for field in array.type]
            parts = {name: array} if inner is None else dict(zip(fields, array.flatten(), strict=True))
            found[name] = _values(kind, parts)
    return found


def _values(kind: s.Type, columns: dict[str, Any]) -> Any:
    inner = columns_of(kind)
    if inner is None:
        return _spelled(next(iter(columns.values())), rows_of(kind)[0])
    types = {column.name: column.type for column in inner}
    return {name: _spelled(array, types[name]) for name, array in columns.items() if name in types}


def _spelled(array: Any, kind: s.Type) -> list[Any]:
    whole = array.combine_chunks() if hasattr(array, "combine_chunks") else array
    return spelled(whole, kind, null_is_nan=kind.nullable)
