"""Arrow's own types as text and back, and the values of its arrays as plain ones: see :mod:`codec.tables.cells`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions
from model_envelope.runtime.codec.tables.cells import cell_for
from model_envelope.runtime.codec.tables.storages import Storage, word
from model_envelope.runtime.errors import InvalidSignature, Problems

UNITS = ("s", "ms", "us", "ns")


def write_type(kind: Any) -> str | None:
    """Write an Arrow type as a column's storage; None for one that has no values which JSON could say."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _dictionary(kind)
    if types.is_map(kind):
        return _join("map", [write_type(kind.key_type), write_field(kind.item_field, "value")])
    if types.is_fixed_size_list(kind):
        return _join("fixed_size_list", [write_field(kind.value_field, "item"), str(kind.list_size)])
    for name, test in _lists(types).items():
        if test(kind):
            return _join(name, [write_field(kind.value_field, "item")])
    if types.is_struct(kind):
        return _join("struct", [write_field(kind.field(at), "") for at in range(kind.num_fields)])
    if types.is_run_end_encoded(kind):
        return _join("run_end_encoded", [write_type(kind.run_end_type), write_type(kind.value_type)])
    if types.is_timestamp(kind):
        return f"timestamp[{kind.unit}, tz={word(kind.tz)}]" if kind.tz is not None else f"timestamp[{kind.unit}]"
    if types.is_null(kind) or types.is_union(kind) or types.is_interval(kind):
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return "uuid" if kind == pa.uuid() else None
    return str(kind)


def write_field(field: Any, usual: str) -> str | None:
    """Write a field of a nested type: its name where that is not the usual one, and whether null is ruled out."""
    # pyarrow builds no lists of values of an extension type.
    written = None if str(field.type).startswith("extension<") else write_type(field.type)
    label = "" if field.name == usual and usual else f"{word(field.name)}: "
    return None if written is None else f"{label}{written}{'' if field.nullable else ' not null'}"


def _dictionary(kind: Any) -> str | None:
    parts = [str(kind.index_type), write_type(kind.value_type), *(["ordered"] if kind.ordered else [])]
    return _join("dictionary", parts)


def _join(name: str, parts: list[str | None]) -> str | None:
    return None if any(part is None for part in parts) else f"{name}<{', '.join(map(str, parts))}>"


def _lists(types: Any) -> Mapping[str, Callable[[Any], bool]]:
    return {
        "list": types.is_list,
        "large_list": types.is_large_list,
        "list_view": types.is_list_view,
        "large_list_view": types.is_large_list_view,
    }


def read_type(storage: Storage) -> Any:
    """Make the Arrow type of a storage.

    Raises :class:`InvalidSignature` (``signature.storage``) for one that this version of pyarrow does not know.
    """
    import pyarrow as pa

    name, parts = storage.name, [part for _, part in storage.parts]
    try:
        match name:
            case "timestamp":
                return pa.timestamp(parts[0].name, parts[1].name if len(parts) > 1 else None)
            case "time32" | "time64" | "duration":
                return getattr(pa, name)(parts[0].name)
            case "date32" | "date64":
                return getattr(pa, name)()
            case "fixed_size_binary":
                return pa.binary(int(parts[0].name))
            case "dictionary":
                return pa.dictionary(read_type(parts[0]), read_type(parts[1]), ordered=len(parts) > 2)
            case "map":
                return pa.map_(read_type(parts[0]), _field(storage.parts[1], "value"))
            case "fixed_size_list":
                return pa.list_(_field(storage.parts[0], "item"), int(parts[1].name))
            case "struct":
                return pa.struct([_field(part, "") for part in storage.parts])
            case "run_end_encoded":
                return pa.run_end_encoded(read_type(parts[0]), read_type(parts[1]))
            case "list" | "large_list" | "list_view" | "large_list_view":
                return getattr(pa, "list_" if name == "list" else name)(_field(storage.parts[0], "item"))
        if name.startswith("decimal"):
            return getattr(pa, name)(int(parts[0].name), int(parts[1].name))
        if name in _PLAIN:
            return getattr(pa, _PLAIN[name])()
    except (AttributeError, IndexError, ValueError):
        pass  # said below
    raise InvalidSignature(
        f"Arrow has no type {storage.name!r} that is known here",
        code="signature.storage",
        hint="the envelope may need a newer pyarrow, or a newer version of this tool",
    )


def _field(part: tuple[str | None, Storage], usual: str) -> Any:
    import pyarrow as pa

    label, storage = part
    return pa.field(usual if label is None else label, read_type(storage), nullable=not storage.required)


_PLAIN: Mapping[str, str] = {
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bool": "bool_",
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    **{name: name for name in ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")},
    "uuid": "uuid",
}


def plain_values(array: Any) -> list[Any]:
    """Give the values of an array as plain ones: times, moments and durations as counts, maps as pairs.

    Raises :class:`ValueError` or :class:`OverflowError` for a date or decimal that Python cannot hold.
    """
    import pyarrow as pa

    kind, types = array.type, pa.types
    if types.is_dictionary(kind):
        return plain_values(array.dictionary_decode())
    if types.is_run_end_encoded(kind):
        return plain_values(pa.compute.run_end_decode(array))
    if types.is_time32(kind):
        return _listed(array.cast(pa.int32()))
    if types.is_time64(kind) or types.is_timestamp(kind) or types.is_duration(kind):
        return _listed(array.cast(pa.int64()))
    if types.is_map(kind):
        offsets = array.offsets.to_pylist()
        pairs = list(zip(plain_values(array.keys), plain_values(array.items), strict=True))
        return _sliced(array, pairs, offsets[:-1], offsets[1:])
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        starts = array.offsets.to_pylist()
        ends = [start + size for start, size in zip(starts, array.sizes.to_pylist(), strict=True)]
        return _sliced(array, plain_values(array.values), starts, ends)
    if types.is_list(kind) or types.is_large_list(kind):
        offsets = array.offsets.to_pylist()
        first = offsets[0] if offsets else 0
        items = plain_values(array.values[first : offsets[-1]] if offsets else array.values[:0])
        return _sliced(array, items, [at - first for at in offsets[:-1]], [at - first for at in offsets[1:]])
    if types.is_fixed_size_list(kind):
        items, size, start = plain_values(array.values), kind.list_size, array.offset * kind.list_size
        # The child of a sliced array is whole in some versions of pyarrow, and sliced in others.
        start = 0 if len(items) == len(array) * size else start
        starts = [start + at * size for at in range(len(array))]
        return _sliced(array, items, starts, [at + size for at in starts])
    if types.is_struct(kind):
        names = [kind.field(at).name for at in range(kind.num_fields)]
        columns = [plain_values(child) for child in array.flatten()]
        rows = zip(*columns, strict=True) if columns else ((),) * len(array)
        valid = array.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if ok else None for row, ok in zip(rows, valid, strict=True)]
    if isinstance(kind, pa.BaseExtensionType):
        return plain_values(array.storage)
    return _listed(array)


def _listed(array: Any) -> list[Any]:
    found: list[Any] = array.to_pylist()
    return found


def _sliced(array: Any, items: list[Any], starts: list[int], ends: list[int]) -> list[Any]:
    if not array.null_count:
        return [items[start:end] for start, end in zip(starts, ends, strict=True)]
    valid = array.is_valid().to_pylist()
    return [items[start:end] if ok else None for start, end, ok in zip(starts, ends, valid, strict=True)]


def build(values: list[Any], type_: Any, kind: s.Type) -> Any:
    """Build an array of plain values. The dictionary of a choice holds all of its values, in its order."""
    import pyarrow as pa

    if pa.types.is_run_end_encoded(type_):
        return pa.compute.run_end_encode(build(values, type_.value_type, kind), type_.run_end_type)
    if pa.types.is_dictionary(type_) and isinstance(kind, s.Choice):
        known = _known(kind, type_.value_type)
        places = {value: at for at, value in enumerate(known)} | {None: None}
        indices = pa.array([places[value] for value in values], type=type_.index_type)
        dictionary = pa.array(known, type=type_.value_type)
        return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=type_.ordered)
    if pa.types.is_struct(type_) and any(value is None for value in values) and _has_dictionary(type_):
        # pyarrow lets a missing struct point into its dictionaries, which may be empty.
        items = [pa.array([value and value[one.name] for value in values], type=one.type) for one in type_]
        missing = pa.array([value is None for value in values])
        return pa.StructArray.from_arrays(items, fields=list(type_), mask=missing)
    return pa.array(values, type=type_)


def _has_dictionary(struct: Any) -> bool:
    import pyarrow as pa

    return any(pa.types.is_dictionary(one.type) for one in struct)


def _known(kind: s.Choice, type_: Any) -> list[Any]:
    """Give the plain values of a choice, whose spelling may be text."""
    if kind.dtype is None:
        return list(kind.values)
    cell = cell_for(s.Scalar(kind.dtype, unit=getattr(type_, "unit", None)), None, Definitions())
    problems = Problems()
    return [cell.decode(value, "$", problems) for value in kind.values]
