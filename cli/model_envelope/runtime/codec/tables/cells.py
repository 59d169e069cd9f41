"""The values of one column between JSON and what column libraries are built of.

Polars and Arrow are built of plain values: integers, floats, text, bytes, dates and decimals, lists and dicts of them,
and whole counts of a unit for times, moments and durations (which Python's own would cut at microseconds). A cell is
the codec between JSON and such a value. Tables of either library, and the Arrow road of any other, are made of cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, Nullable, codec_for
from model_envelope.runtime.codec.tables.cell_kinds import (
    ChoiceCell,
    DecimalCell,
    ListCell,
    MapCell,
    RecordCell,
    TextCell,
    WideCell,
    Write,
)
from model_envelope.runtime.codec.tables.storages import Storage
from model_envelope.runtime.codec.values import moments, texts
from model_envelope.runtime.codec.values.scalars import INTEGERS, LARGEST, are_unicode, choices, expected
from model_envelope.runtime.errors import Problems

PathOf = Callable[[int], str]
_NONE = type(None)


class Cells:
    """All values of one column: the fast road by the set of their types, else one by one."""

    def __init__(self, kind: s.Type, storage: Storage | None, definitions: Definitions) -> None:
        self.kind = kind
        self.item = cell_for(kind, storage, definitions)
        self._quick = _quick(kind)

    @property
    def expected(self) -> str:
        """Say what a value has to be."""
        if isinstance(self.kind, s.Scalar):
            return expected(self.kind)
        return choices(self.kind) if isinstance(self.kind, s.Choice) else self.kind.kind

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> list[Any]:
        """Check and read the JSON values; every bad one is noted."""
        found = self._quick(values)
        if found is None:
            decode = self.item.decode
            found = [decode(value, path_of(at), problems) for at, value in enumerate(values)]
        return found

    def encode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> list[Any]:
        """Write the values as JSON; every one that the type does not allow is noted."""
        found = self._quick(values) if self._writes_itself else None
        if found is None:
            encode = self.item.encode
            found = [encode(value, path_of(at), problems) for at, value in enumerate(values)]
        return found

    @property
    def _writes_itself(self) -> bool:
        return isinstance(self.kind, s.Scalar) and not self.kind.non_finite


def _quick(kind: s.Type) -> Callable[[Sequence[Any]], list[Any] | None]:
    """Give the fast road: the values as they are, or None where each has to be looked at."""
    if isinstance(kind, s.Scalar) and kind.dtype in _PLAIN:
        allowed = {_PLAIN[kind.dtype]} | ({_NONE} if kind.nullable else set())
        least, most = INTEGERS.get(kind.dtype, (0, 0))

        def quick(values: Sequence[Any]) -> list[Any] | None:
            found = set(map(type, values))
            if not found <= allowed:
                return None
            if least < most and values:
                numbers = [value for value in values if value is not None] if _NONE in found else values
                if numbers and not (least <= min(numbers) and max(numbers) <= most):
                    return None
            if kind.dtype == "string" and not are_unicode(values):
                return None
            if kind.dtype == "float64" and not _all_finite(values, null=_NONE in found):
                return None
            return list(values)

        return quick
    if isinstance(kind, s.Choice) and kind.enum is None and kind.dtype is None:
        types = set(map(type, kind.values))
        if len(types) == 1:
            known: set[Any] = {*kind.values, None} if kind.nullable else set(kind.values)
            types |= {_NONE} if kind.nullable else set()

            def among(values: Sequence[Any]) -> list[Any] | None:
                return list(values) if set(map(type, values)) <= types and known.issuperset(values) else None

            return among
    return lambda _values: None


_PLAIN: Mapping[str, type] = {"bool": bool, "string": str, "float64": float, **dict.fromkeys(INTEGERS, int)}


def _all_finite(values: Sequence[Any], *, null: bool) -> bool:
    # A sum of finite numbers may overflow: then each value is looked at, which is right too.
    total = sum(value for value in values if value is not None) if null else sum(values)
    return bool(total - total == 0)


def cell_for(kind: s.Type, storage: Storage | None, definitions: Definitions) -> Codec:
    """Make the codec between JSON and the plain value of a type.

    ``storage`` is the library's dtype; what it says beyond the type (digits of a decimal, a number of bytes) holds.
    """
    cell = _cell(kind, storage, definitions)
    return Nullable(cell) if kind.nullable and not isinstance(kind, s.Any) else cell


def _cell(kind: s.Type, storage: Storage | None, definitions: Definitions) -> Codec:
    name = storage.name.lower() if storage else ""
    match kind:
        case s.Scalar(dtype="date"):
            return TextCell(expected(kind), texts.read_date, lambda value: str(value.isoformat()))
        case s.Scalar(dtype="time" | "datetime" | "timedelta"):
            return _temporal(kind)
        case s.Scalar(dtype="uuid"):
            return TextCell(
                expected(kind), lambda text: texts.read_uuid(text).bytes, lambda value: str(UUID(bytes=value))
            )
        case s.Scalar(dtype="decimal") if name.startswith("decimal") and storage:
            return DecimalCell(kind, int(storage.parts[0][1].name), int(storage.parts[1][1].name), definitions)
        case s.Scalar(dtype="bytes") if name == "fixed_size_binary" and storage:
            return WideCell(kind, int(storage.parts[0][1].name), definitions)
        case s.Choice(dtype=str(dtype)):
            return _choice(kind, s.Scalar(dtype, unit=_unit_of(storage)), storage, definitions)
        case s.List(item=item) | s.Set(item=item):
            return ListCell(cell_for(item, storage.part(0) if storage else None, definitions), None)
        case s.Tuple(items=items) if len(set(items)) == 1:
            return ListCell(cell_for(items[0], storage.part(0) if storage else None, definitions), len(items))
        case s.Tensor():
            return _array_cell(kind, definitions)
        case s.Map():
            return MapCell(
                cell_for(kind.key, storage.part(0) if storage else None, definitions),
                cell_for(kind.value, storage.part(1) if storage else None, definitions),
                by_name=isinstance(kind.key, s.Scalar) and kind.key.dtype == "string" and not kind.key.nullable,
            )
        case s.Record():
            cells = {
                field.name: cell_for(field.type, storage.named(field.name) if storage else None, definitions)
                for field in kind.fields
            }
            return RecordCell(kind, cells)
        case s.Scalar(dtype="complex64" | "complex128"):
            dtype = "float32" if kind.dtype == "complex64" else "float64"
            half = s.Scalar(dtype, nullable=kind.non_finite, non_finite=kind.non_finite)
            return ListCell(cell_for(half, None, definitions), 2)
    return codec_for(s.with_nullable(kind, nullable=False), definitions)


def _temporal(kind: s.Scalar) -> Codec:
    unit = kind.unit or "us"
    if kind.dtype == "time":
        return TextCell(expected(kind), lambda text: moments.time_count(text, unit), _bind(moments.time_text, unit))
    if kind.dtype == "timedelta":
        return TextCell(
            expected(kind), lambda text: moments.duration_count(text, unit), _bind(moments.duration_text, unit)
        )
    zone = kind.timezone
    return TextCell(
        expected(kind) + f", to {unit}",
        lambda text: moments.datetime_count(text, unit, zoned=zone is not None),
        lambda count: moments.datetime_text(count, unit, zone),
    )


def _bind(write: Callable[[int, str], str], unit: str) -> Write:
    return lambda count: write(count, unit)


def _unit_of(storage: Storage | None) -> str | None:
    """Find the unit of a dictionary's values: ``dictionary<int32, timestamp[ns]>``."""
    inner = storage.part(1) if storage else None
    leaf = inner.part(0) if inner else None
    return leaf.name if leaf else None


def _choice(kind: s.Choice, scalar: s.Scalar, storage: Storage | None, definitions: Definitions) -> Codec:
    inner = cell_for(scalar, storage.part(1) if storage else None, definitions)
    return ChoiceCell(codec_for(s.with_nullable(kind, nullable=False), Definitions()), inner)


def _array_cell(kind: s.Tensor, definitions: Definitions) -> Codec:
    cell = cell_for(s.Scalar(kind.dtype, non_finite=kind.non_finite), None, definitions)
    for size in reversed(kind.shape):
        cell = ListCell(cell, size)
    return cell


def json_only(kind: s.Type) -> bool:
    """Tell whether columns have no type for this one: it travels in them as JSON text."""
    match kind:
        case s.Any() | s.Union() | s.Reference() | s.Table() | s.Series():
            return True
        case s.Tuple(items=items):
            return len(set(items)) != 1 or json_only(items[0])
        case s.Choice(values=values):
            return len(set(map(type, values))) != 1
        case s.List(item=item) | s.Set(item=item):
            return json_only(item)
        case s.Map(key=key, value=value):
            return key.nullable or json_only(key) or json_only(value)
        case s.Record(fields=fields):
            return not fields or any(json_only(field.type) for field in fields)
        case s.Tensor(layout=layout, dtype=dtype):
            return layout is not None or dtype not in {"bool", "string", *INTEGERS, *LARGEST}
        case s.Scalar(dtype=dtype):
            return dtype == "null"
    raise AssertionError(kind)


def plain_kind(kind: s.Type) -> s.Type:
    """Give the type with the same JSON whose plain values need no class: enums' values, records' fields."""
    from dataclasses import replace

    match kind:
        case s.Choice():
            return replace(kind, enum=None)
        case s.List() | s.Set():
            return s.List(plain_kind(kind.item), nullable=kind.nullable)
        case s.Tuple():
            return replace(kind, items=tuple(map(plain_kind, kind.items)))
        case s.Map():
            return replace(kind, key=plain_kind(kind.key), value=plain_kind(kind.value))
        case s.Record():
            fields = tuple(replace(field, type=plain_kind(field.type)) for field in kind.fields)
            return s.Record(fields, nullable=kind.nullable)
    return kind
