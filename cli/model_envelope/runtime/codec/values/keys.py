"""The names of columns and index levels: any hashable in Python, a string in JSON, a JSON value in ``signature.json``.

A string stands for itself. Everything else gets a name that people would give it (the integer 0 is ``"0"``, the tuple
``("price", "mean")`` is ``"price/mean"``), and the second column of a name gets ``#2`` behind it. What the key is in
Python is written beside it: numbers and booleans as they are, a tuple as an array, anything else as an object that says
its type.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions, codec_for
from model_envelope.runtime.codec.values.scalars import Refused
from model_envelope.runtime.errors import Problems

_SCALARS: tuple[tuple[type, str], ...] = (
    (datetime, "datetime"),
    (date, "date"),
    (time, "time"),
    (timedelta, "timedelta"),
    (Decimal, "decimal"),
    (UUID, "uuid"),
    (bytes, "bytes"),
)


def spell(key: Any, taken: Collection[str] = ()) -> str:
    """Give the name of a key in JSON, which no other column has taken yet."""
    name = _spelled(key)
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}#{number}"
    return found


def _spelled(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, tuple):
        return "/".join(_spelled(item) for item in key)
    if key is None:
        return "null"
    key = _plain(key)
    if isinstance(key, bool):
        return "true" if key else "false"
    return key.isoformat() if isinstance(key, datetime) else str(key)


def encode_key(key: Any) -> Any:
    """Write a key as a JSON value.

    Raises :class:`Refused` for what has no JSON form.
    """
    if isinstance(key, tuple):
        return [encode_key(item) for item in key]
    if key is None:
        return {"scalar": "null", "value": None}
    if type(key).__module__.partition(".")[0] == "pandas":
        return _encode_pandas(key)
    key = _plain(key)
    if type(key) in {str, int, bool} or (type(key) is float and math.isfinite(key)):
        return key
    if type(key) is str or isinstance(key, str):
        return str(key)
    if type(key) is float:
        return {"scalar": "float64", "value": str(key).replace("nan", "NaN").replace("inf", "Infinity")}
    for cls, dtype in _SCALARS:
        if isinstance(key, cls):
            problems = Problems()
            kind = s.Scalar(dtype, timezone="" if getattr(key, "tzinfo", None) is not None else None)
            value = codec_for(kind, {}).encode(key, "$", problems)
            if not problems:
                return {"scalar": dtype, "value": value, **({"timezone": ""} if kind.timezone == "" else {})}
    raise Refused("a string, a number, a date, a tuple of them or another value that JSON can say")


def decode_key(value: Any) -> Any:
    """Give the key that :func:`encode_key` wrote."""
    if isinstance(value, list | tuple):
        return tuple(decode_key(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "storage" in value:
        return _decode_pandas(value)
    kind = s.Scalar(value["scalar"], non_finite=True, timezone=value.get("timezone"))
    return codec_for(kind, {}).decode(value["value"], "$", Problems())


def python_key(column: s.Column) -> Any:
    """Give the name that a column has in Python."""
    return column.name if column.key is None else decode_key(column.key)


def _plain(key: Any) -> Any:
    return key.item() if type(key).__module__ == "numpy" and hasattr(key, "item") else key


def _encode_pandas(key: Any) -> dict[str, Any]:
    import pandas as pd

    from model_envelope.runtime.codec.tables.columns.column import ColumnCodec, kind_of_dtype
    from model_envelope.runtime.codec.tables.columns.dtypes import storage_of

    if key is pd.NaT or key is pd.NA:
        return {"storage": "NaT" if key is pd.NaT else "NA", "value": None}
    index = pd.Index([key])
    kind = kind_of_dtype(index.dtype)
    if kind is None:
        raise Refused("a timestamp, a duration, a period or an interval")
    storage = storage_of(index.dtype)
    (value,) = ColumnCodec(kind, storage, Definitions()).encode(index, lambda _at: "$", Problems())
    return {"storage": storage, "value": value}


def _decode_pandas(value: dict[str, Any]) -> Any:
    import pandas as pd

    from model_envelope.runtime.codec.tables.columns.column import ColumnCodec, kind_of_dtype
    from model_envelope.runtime.codec.tables.columns.dtypes import dtype_of

    storage = value["storage"]
    if storage in {"NaT", "NA"}:
        return pd.NaT if storage == "NaT" else pd.NA
    kind = kind_of_dtype(dtype_of(storage))
    if kind is None:
        raise Refused(f"the storage of a key, not {storage}")
    return pd.Index(ColumnCodec(kind, storage, Definitions()).decode([value["value"]], lambda _at: "$", Problems()))[0]
