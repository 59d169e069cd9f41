"""Arrow's values as the JSON that stands for them, and the Arrow types that stand for those of a signature.

This is what makes the Arrow road as strict as JSON: an Arrow column is spelled as JSON would spell it, and the one
codec decides. An Arrow type that is no natural form of the signature's is refused as a whole (a timestamp for a string,
a float for an integer); a wider integer, or text for a date, is spelled and then judged value by value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.types import build, plain_values, read_type
from model_envelope.runtime.codec.base import Definitions
from model_envelope.runtime.codec.tables.cells import cell_for, json_only, plain_kind
from model_envelope.runtime.codec.tables.storages import read_storage
from model_envelope.runtime.codec.text import dump_json, parse_json
from model_envelope.runtime.codec.values import moments, texts
from model_envelope.runtime.codec.values.scalars import COMPLEX, INTEGERS, LARGEST, Refused
from model_envelope.runtime.errors import Found, InvalidPayload, Problems

Spell = Callable[[Any], Any]


def spelled(array: Any, kind: s.Type, *, null_is_nan: bool) -> list[Any]:
    """Give the JSON values of an Arrow array that is to become a column of this type.

    ``null_is_nan`` says that NaN is spelled null (where it is admitted), as in the columns and arrays of NumPy.

    Raises :class:`Refused` where the Arrow type, or a value, has no JSON that this type could read.
    """
    import pyarrow as pa

    if pa.types.is_null(array.type):
        return [None] * len(array)
    spell = speller(kind, array.type, null_is_nan=null_is_nan)
    try:
        values = plain_values(array)
        return values if spell is None else [None if value is None else spell(value) for value in values]
    except (ValueError, OverflowError, InvalidPayload) as error:
        what = "a value that JSON cannot say"
        raise Refused(Found(f"{what} ({error})", what)) from None


def speller(kind: s.Type, type_: Any, *, null_is_nan: bool) -> Spell | None:
    """Give what spells one plain value that is not null; None where it is spelled as it is."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return speller(kind, type_.value_type, null_is_nan=null_is_nan)
    if types.is_null(type_):
        return None
    if json_only(kind):
        _need(_is_text(type_), type_)
        return lambda text: parse_json(text.encode())
    match kind:
        case s.Choice(dtype=str(dtype)):
            return _scalar(s.Scalar(dtype), type_, null_is_nan=False)
        case s.Choice(values=values):
            dtype = {str: "string", bool: "bool", int: "int64", float: "float64"}[type(values[0])]
            return _scalar(s.Scalar(dtype), type_, null_is_nan=False)
        case s.Scalar():
            return _scalar(kind, type_, null_is_nan=null_is_nan)
        case s.Map():
            _need(types.is_map(type_), type_)
            return _map(kind, type_, null_is_nan=null_is_nan)
        case s.Record():
            _need(types.is_struct(type_), type_)
            return _record(kind, type_, null_is_nan=null_is_nan)
    _need(_is_list(type_), type_)
    return _each(speller(item_of(kind), type_.value_type, null_is_nan=null_is_nan))


def item_of(kind: s.Type) -> s.Type:
    """Give the type of the items of a list, a tuple of one type, or the rows of an array."""
    match kind:
        case s.List(item=item) | s.Set(item=item):
            return item
        case s.Tuple(items=items):
            return items[0]
        case s.Tensor():
            return row_of(kind)
    raise Refused(kind.kind)


def row_of(kind: s.Tensor) -> s.Type:
    """Give the type of one row of an array: an array of one dimension less, in the end one value."""
    if len(kind.shape) > 1:
        return replace(kind, shape=kind.shape[1:], batch=None, nullable=False)
    unit = None
    if kind.dtype in {"datetime", "timedelta"} and kind.storage:
        unit = kind.storage.partition("[")[2].removesuffix("]")
    return s.Scalar(kind.dtype, nullable=kind.non_finite, unit=unit, non_finite=kind.non_finite)


def _each(spell: Spell | None) -> Spell | None:
    if spell is None:
        return None
    return lambda values: [None if value is None else spell(value) for value in values]


def _map(kind: s.Map, type_: Any, *, null_is_nan: bool) -> Spell:
    key = speller(kind.key, type_.key_type, null_is_nan=null_is_nan) or _same
    value = speller(kind.value, type_.item_type, null_is_nan=null_is_nan) or _same
    if not (isinstance(kind.key, s.Scalar) and kind.key.dtype == "string"):
        return lambda pairs: [[key(one), None if other is None else value(other)] for one, other in pairs]

    def spell(pairs: list[Any]) -> Any:
        found = {key(one): None if other is None else value(other) for one, other in pairs}
        if len(found) != len(pairs):
            raise Refused("a key that stands twice in a map")
        return found

    return spell


def _record(kind: s.Record, type_: Any, *, null_is_nan: bool) -> Spell:
    fields = {field.name: field for field in kind.fields}
    spells: dict[str, Spell] = {}
    for at in range(type_.num_fields):
        name = type_.field(at).name
        if name in spells:
            raise Refused(f"two fields {name}")
        found = fields.get(name)
        inner = speller(found.type, type_.field(at).type, null_is_nan=null_is_nan) if found else None
        spells[name] = inner or _same
    absent = {name for name, field in fields.items() if not field.required and not field.type.nullable}

    def spell(value: dict[str, Any]) -> Any:
        return {
            name: None if item is None else spells[name](item)
            for name, item in value.items()
            if item is not None or name not in absent
        }

    return spell


def _same(value: Any) -> Any:
    return value


def _scalar(kind: s.Scalar, type_: Any, *, null_is_nan: bool) -> Spell | None:
    import pyarrow as pa

    types = pa.types
    if kind.dtype in COMPLEX:
        _need(_is_list(type_) and types.is_floating(type_.value_type), type_)
        return _each(_float_speller(null_is_nan=False))
    if kind.dtype in INTEGERS or kind.dtype == "bool":
        _need(types.is_integer(type_) if kind.dtype in INTEGERS else types.is_boolean(type_), type_)
        return None
    if kind.dtype in LARGEST:
        _need(types.is_floating(type_) or types.is_integer(type_), type_)
        return None if types.is_integer(type_) else _float_speller(null_is_nan=null_is_nan)
    if kind.dtype == "bytes":
        binary = types.is_binary(type_) or types.is_large_binary(type_) or types.is_binary_view(type_)
        _need(binary or types.is_fixed_size_binary(type_), type_)
        return texts.write_bytes
    if _is_text(type_):
        return None
    unit = str(getattr(type_, "unit", ""))
    natural: dict[str, tuple[bool, Spell]] = {
        "date": (types.is_date(type_), lambda value: str(value.isoformat())),
        "time": (types.is_time(type_), lambda count: moments.time_text(count, unit)),
        "timedelta": (types.is_duration(type_), lambda count: moments.duration_text(count, unit)),
        "decimal": (types.is_decimal(type_), str),
        "uuid": (type_ == pa.uuid(), lambda value: str(UUID(bytes=value))),
        "datetime": (
            types.is_timestamp(type_) and (type_.tz is None) == (kind.timezone is None),
            lambda count: moments.datetime_text(count, unit, kind.timezone if type_.tz is not None else None),
        ),
    }
    # The days of NumPy are datetimes of a coarse unit.
    dtype = "date" if kind.dtype == "datetime" and kind.unit in {"D", "W"} else kind.dtype
    fits, spell = natural.get(dtype, (False, _same))
    _need(fits, type_)
    return spell


def _float_speller(*, null_is_nan: bool) -> Spell:
    def spell(value: float) -> Any:
        if math.isfinite(value):
            return value
        if math.isnan(value):
            return None if null_is_nan else "NaN"
        return "Infinity" if value > 0 else "-Infinity"

    return spell


def _need(fits: bool, type_: Any) -> None:
    if not fits:
        raise Refused(f"an Arrow column of {type_}")


def _is_text(type_: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def _is_list(type_: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    tests = (
        types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view,
    )  # fmt: skip
    return any(test(type_) for test in tests)


def arrow_type(kind: s.Type, storage: str | None = None) -> Any:
    """Give the Arrow type that stands for a type of a signature; ``storage`` is a column's, where it is Arrow's own.

    What Arrow has no word for (unions, free JSON, recursive types) is text: JSON inside the column.
    """
    import pyarrow as pa

    if storage is not None:
        return read_type(read_storage(storage))
    if json_only(kind):
        return pa.string()
    match kind:
        case s.Choice(values=values, dtype=dtype, ordered=ordered):
            plain = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}[type(values[0])]
            if dtype is not None or plain == pa.bool_():
                return plain
            return pa.dictionary(pa.int32(), plain, ordered=ordered)
        case s.Scalar():
            return _arrow_scalar(kind)
        case s.Map():
            return pa.map_(_field("key", kind.key).type, _field("value", kind.value))
        case s.Record():
            fields = [(f.name, s.with_nullable(f.type) if not f.required else f.type) for f in kind.fields]
            return pa.struct([_field(name, inner) for name, inner in fields])
        case s.Tuple(items=items):
            return pa.list_(_field("item", items[0]), len(items))
        case s.Tensor(shape=(int(size), *_)):
            return pa.list_(_field("item", row_of(kind)), size)
    return pa.list_(_field("item", item_of(kind)))


def _field(name: str, kind: s.Type) -> Any:
    import pyarrow as pa

    type_ = arrow_type(kind)
    # Below a null, pyarrow writes the first place of a dictionary even where that is empty: none inside others.
    inner = type_.value_type if pa.types.is_dictionary(type_) else type_
    return pa.field(name, inner, nullable=kind.nullable)


def _arrow_scalar(kind: s.Scalar) -> Any:
    import pyarrow as pa

    unit = kind.unit if kind.unit in {"s", "ms", "us", "ns"} else "us"
    match kind.dtype:
        case "datetime":
            if kind.unit in {"D", "W"}:
                return pa.date32()
            if kind.unit in {"M", "Y"} or _too_fine(kind.unit):
                return pa.string()
            return pa.timestamp(_coarse(kind.unit), tz=_zone(kind.timezone))
        case "timedelta":
            return pa.string() if kind.unit in {"M", "Y"} or _too_fine(kind.unit) else pa.duration(_coarse(kind.unit))
        case "time":
            # A time of day of Python may have an offset, which Arrow's have not.
            return pa.string() if kind.unit is None else _time(unit)
        case "date":
            return pa.date32()
        case "bytes":
            return pa.binary()
        case "complex64" | "complex128":
            part = pa.float32() if kind.dtype == "complex64" else pa.float64()
            return pa.list_(part, 2)
        case "decimal" | "string" | "period" | "uuid":
            return pa.string()
        case "bool":
            return pa.bool_()
    return getattr(pa, kind.dtype)()


def _too_fine(unit: str | None) -> bool:
    return unit in {"ps", "fs", "as"}


def _coarse(unit: str | None) -> str:
    return "s" if unit in {"W", "D", "h", "m"} else unit or "us"


def _zone(zone: str | None) -> str | None:
    return "UTC" if zone == "" else zone


def _time(unit: str) -> Any:
    import pyarrow as pa

    return pa.time32(unit) if unit in {"s", "ms"} else pa.time64(unit)


def from_json(values: list[Any], kind: s.Type, storage: str | None = None) -> Any:
    """Build the Arrow array of JSON values that the codec wrote.

    Raises :class:`Refused` for a value that Arrow cannot hold.
    """
    import pyarrow as pa

    type_ = arrow_type(kind, storage)
    if json_only(kind):
        return pa.array([None if value is None else dump_json(value).decode() for value in values], type=type_)
    problems = Problems()
    built = _built(s.with_nullable(plain_kind(kind)), type_)
    cell = cell_for(built, None if storage is None else read_storage(storage), Definitions())
    plain = [cell.decode(value, f"[{at}]", problems) for at, value in enumerate(values)]
    if problems:
        first = problems.items[0]
        kind_of = first.redacted().found
        where = f" at {first.path}, where Arrow has {type_}"
        raise Refused(Found(first.found + where, kind_of + where))
    return build(plain, type_, kind)


def _built(kind: s.Type, type_: Any) -> s.Type:
    """Give the type whose plain values build an Arrow array: in Arrow's unit, or text where Arrow has text."""
    import pyarrow as pa

    match kind:
        case s.Scalar() if _is_text(type_):
            return s.Scalar("string", nullable=kind.nullable)
        case s.Choice() if kind.dtype is not None and _is_text(type_):
            return s.Scalar("string", nullable=kind.nullable)
        case s.Scalar(dtype="datetime") if pa.types.is_date(type_):
            return s.Scalar("date", nullable=kind.nullable)
        case s.Scalar(dtype="datetime" | "timedelta" | "time"):
            return replace(kind, unit=type_.unit)
        case s.Scalar(dtype=dtype) if dtype in LARGEST:
            return replace(kind, non_finite=True)
        case s.List():
            return replace(kind, item=_built(kind.item, type_.value_type))
        case s.Tuple():
            return replace(kind, items=(_built(kind.items[0], type_.value_type),) * len(kind.items))
        case s.Tensor():
            item = _built(row_of(kind), type_.value_type)
            size = kind.shape[0]
            return s.List(item, nullable=kind.nullable) if size is None else s.Tuple((item,) * size, kind.nullable)
        case s.Map():
            return replace(kind, key=_built(kind.key, type_.key_type), value=_built(kind.value, type_.item_type))
        case s.Record():
            fields = tuple(
                replace(field, type=_built(field.type, type_.field(field.name).type)) for field in kind.fields
            )
            return replace(kind, fields=fields)
    return kind
