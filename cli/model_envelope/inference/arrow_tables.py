"""The types of pyarrow's tables, record batches and arrays: their Arrow types, and what all rows show beyond them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from model_envelope.inference.columns import untyped
from model_envelope.inference.polars_frames import array_of, refused
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.types import plain_values, write_type
from model_envelope.runtime.codec.base import Definitions
from model_envelope.runtime.codec.tables.cells import cell_for
from model_envelope.runtime.codec.tables.pyarrow import whole
from model_envelope.runtime.errors import InvalidSignature, Problem, Problems


def table_type(table: Any, path: str) -> s.Table:
    """Find the type of a table or record batch. A second column of one name is spelled ``name#2`` in JSON.

    Raises :class:`InvalidSignature` with every column that a signature cannot say.
    """
    columns: list[s.Column] = []
    problems: list[Problem] = []
    spelled = _spellings(table.schema.names)
    for name, field, array in zip(spelled, table.schema, table.columns, strict=True):
        try:
            kind, storage = _column(whole(array), f"{path}.{name}")
        except InvalidSignature as error:
            problems.extend(error.problems)
            continue
        storage += "" if field.nullable else " not null"
        columns.append(s.Column(name, kind, storage, key=None if name == field.name else field.name))
    if problems:
        raise untyped(path, problems)
    cls = "RecordBatch" if type(table).__name__ == "RecordBatch" else None
    return s.Table(tuple(columns), flavor=s.Flavor.PYARROW, cls=cls)


def series_type(array: Any, path: str) -> s.Series:
    """Find the type of an array or a chunked one."""
    kind, storage = _column(whole(array), path)
    cls = "ChunkedArray" if type(array).__name__ == "ChunkedArray" else None
    return s.Series(kind, storage, flavor=s.Flavor.PYARROW, cls=cls)


def _spellings(names: list[str]) -> list[str]:
    taken = set(names)
    seen: Counter[str] = Counter()
    spelled = []
    for name in names:
        seen[name] += 1
        spelling = name
        while seen[name] > 1 and spelling in taken:
            spelling = f"{name}#{seen[name]}"
            seen[name] += spelling in taken
        taken.add(spelling)
        spelled.append(spelling)
    return spelled


def _column(array: Any, path: str) -> tuple[s.Type, str]:
    kind = _type(array, path)
    storage = write_type(array.type)
    if storage is None:
        expected = "a type that pyarrow can build inside others"
        raise refused(path, f"the Arrow type {array.type}", expected, "signature.storage")
    return kind, storage


def _type(array: Any, path: str) -> s.Type:
    import pyarrow as pa

    kind, types = array.type, pa.types
    null = array.null_count > 0
    if types.is_null(kind):
        raise refused(path, "nothing but nulls", "an Arrow type that says what it is", "signature.empty-column")
    if types.is_dictionary(kind):
        return _dictionary(array, path, null=null)
    if types.is_run_end_encoded(kind):
        return _type(pa.compute.run_end_decode(array), path)
    if types.is_fixed_size_list(kind):
        return array_of(_type(array.flatten(), f"{path}[*]"), kind.list_size, s.Flavor.PYARROW, null=null)
    if types.is_map(kind):
        present = array.drop_null()
        entries = present.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))).flatten()
        keys, values = entries.field(0), entries.field(1)
        return s.Map(_type(keys, f"{path}.keys"), _type(values, f"{path}[*]"), nullable=null)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind):
        return s.List(_type(array.flatten(), f"{path}[*]"), nullable=null)
    if types.is_struct(kind):
        children = array.drop_null().flatten()
        names = [kind.field(at).name for at in range(kind.num_fields)]
        return s.Record(_fields(names, children, path), nullable=null)
    return _scalar(array, path, null=null)


def _fields(names: list[str], children: list[Any], path: str) -> tuple[s.Field, ...]:
    if len(set(names)) < len(names):
        raise refused(path, "two fields of one name", "distinct names", "signature.column-name")
    return tuple(s.Field(name, _type(child, f"{path}.{name}")) for name, child in zip(names, children, strict=True))


def _scalar(array: Any, path: str, *, null: bool) -> s.Scalar:
    import pyarrow as pa

    kind, types = array.type, pa.types
    if types.is_timestamp(kind):
        return s.Scalar("datetime", nullable=null, unit=kind.unit, timezone=kind.tz)
    if types.is_duration(kind):
        return s.Scalar("timedelta", nullable=null, unit=kind.unit)
    if types.is_time(kind):
        return s.Scalar("time", nullable=null, unit=kind.unit)
    if types.is_date(kind):
        return s.Scalar("date", nullable=null)
    if types.is_decimal(kind):
        return s.Scalar("decimal", nullable=null)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return s.Scalar("string", nullable=null)
    if any(test(kind) for test in (types.is_binary, types.is_large_binary, types.is_binary_view)):
        return s.Scalar("bytes", nullable=null)
    if types.is_fixed_size_binary(kind):
        return s.Scalar("bytes", nullable=null)
    if types.is_floating(kind):
        bits = {pa.float16(): 16, pa.float32(): 32}.get(kind, 64)
        finite = pa.compute.all(pa.compute.is_finite(array.cast(pa.float64()))).as_py()
        return s.Scalar(f"float{bits}", nullable=null, non_finite=finite is False)
    if types.is_integer(kind) or types.is_boolean(kind):
        return s.Scalar(str(kind), nullable=null)
    if isinstance(kind, pa.BaseExtensionType) and kind == pa.uuid():
        return s.Scalar("uuid", nullable=null)
    raise refused(path, f"the Arrow type {kind}", "a type whose values JSON can say", "signature.storage")


def _dictionary(array: Any, path: str, *, null: bool) -> s.Type:
    """Find the categories: all that the dictionary holds, in its order, whether a row has them or not."""
    import pyarrow as pa

    values = array.dictionary
    if not len(values):
        raise refused(path, "no categories", "at least one category", "signature.empty-column")
    item = _type(values, path)
    if not isinstance(item, s.Scalar):
        raise refused(path, f"categories of {array.type.value_type}", "plain values", "signature.category")
    if values.null_count or len(values.unique()) < len(values):
        raise refused(path, "null or one value twice among the categories", "distinct ones", "signature.category")
    if item.dtype in {"string", "bool", *_INTEGERS}:
        return s.Choice(tuple(values.to_pylist()), nullable=null, ordered=array.type.ordered)
    problems = Problems()
    cell = cell_for(s.Scalar(item.dtype, unit=item.unit), None, Definitions())
    written = tuple(cell.encode(value, path, problems) for value in plain_values(values))
    if problems or item.timezone is not None or item.dtype.startswith("float") or pa.types.is_date64(values.type):
        found = f"categories of {array.type.value_type}"
        raise refused(path, found, "strings, integers, booleans, dates or decimals", "signature.category")
    return s.Choice(written, nullable=null, ordered=array.type.ordered, dtype=item.dtype)


_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
