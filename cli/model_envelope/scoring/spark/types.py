"""Arrow's types in Spark's words: what Spark has no word for is carried as the nearest that loses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from model_envelope.scoring.tables import InvalidTable

ZONE = "UTC"
"""The time zone of the session while a job runs: moments are shown, read and written in it."""
_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.null(): pa.string(),
}
_DIGITS = 38


def carried(kind: pa.DataType) -> pa.DataType:
    """Give the Arrow type that Spark carries values of a type in.

    Unsigned integers go in the next wider ones (those of 64 bits in decimals of 20 digits), half floats in single ones,
    categories as their values, moments and durations in microseconds. All may be null.

    Raises :class:`InvalidTable` (``table.type``) for what Spark cannot hold.
    """
    types = pa.types
    if kind in _WIDER:
        return _WIDER[kind]
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return carried(kind.value_type)
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz=None if kind.tz is None else ZONE)
    if types.is_duration(kind):
        return pa.duration("us")
    if types.is_time(kind):
        return pa.time64("ns")
    if types.is_decimal(kind) and kind.precision <= _DIGITS and kind.scale >= 0:
        return pa.decimal128(kind.precision, kind.scale)
    if types.is_struct(kind):
        return pa.struct([(kind.field(at).name, carried(kind.field(at).type)) for at in range(kind.num_fields)])
    if types.is_map(kind):
        return pa.map_(carried(kind.key_type), carried(kind.item_type))
    if _is_list(kind):
        return pa.list_(pa.field("element", carried(kind.value_type)))
    plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_date32(kind)
    if plain or types.is_string(kind) or types.is_binary(kind):
        return kind
    raise InvalidTable(
        f"Spark has no type for an Arrow column of {kind}",
        code="table.type",
        hint="the engine `python` writes it: --engine python",
    )


def spark_type(kind: pa.DataType) -> Any:
    """Give Spark's type for an Arrow type. Raises :class:`InvalidTable` (``table.type``)."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import from_arrow_type

    try:
        return from_arrow_type(carried(kind))
    except PySparkException:
        raise InvalidTable(
            f"this version of Spark has no type for an Arrow column of {kind}",
            code="table.type",
            hint="use Spark 4.1 or newer, or the engine `python`",
        ) from None


def spark_schema(schema: pa.Schema) -> Any:
    """Give Spark's schema for an Arrow schema, in which all may be null: Spark does not hold columns to more."""
    from pyspark.sql.types import StructField, StructType

    return StructType([StructField(field.name, spark_type(field.type), nullable=True) for field in schema])


def to_spark(array: pa.Array) -> pa.Array:
    """Give an array in the type that Spark carries it in.

    Raises :class:`InvalidTable` (``table.type``) for a value that this would change: nanoseconds.
    """
    wanted = carried(array.type)
    if array.type == wanted:
        return array
    try:
        return array.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidTable(
            f"an answer of Arrow's {array.type} cannot be carried by Spark as {wanted}: {error}",
            code="table.type",
            hint="the engine `python` writes it: --engine python",
        ) from None


def from_spark(data: pa.RecordBatch, types: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """Give the columns of a batch in the types that a signature has, where Spark had but another word for these.

    A column that does not fit stays as it is: the codec says what is wrong with it.
    """
    arrays = [_fitted(data.column(at), types.get(name)) for at, name in enumerate(data.schema.names)]
    return pa.RecordBatch.from_arrays(arrays, names=data.schema.names)


def _fitted(array: pa.Array, wanted: pa.DataType | None) -> pa.Array:
    if wanted is None or array.type == wanted:
        return array
    types = pa.types
    if types.is_dictionary(wanted) and array.type == wanted.value_type:
        return array.dictionary_encode()
    same = (
        (
            types.is_timestamp(wanted)
            and types.is_timestamp(array.type)
            and (wanted.tz is None) == (array.type.tz is None)
        )
        or (types.is_duration(wanted) and types.is_duration(array.type))
        or (types.is_time(wanted) and types.is_time(array.type))
        or (types.is_uint64(wanted) and array.type == _WIDER[pa.uint64()])
    )
    if not same:
        return array
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        return array


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (
        types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view,
    )  # fmt: skip
    return any(test(kind) for test in tests)
