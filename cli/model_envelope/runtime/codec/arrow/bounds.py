"""How much an Arrow table unpacks to, before anything is unpacked: a few bytes may stand for billions of values.

A column of nulls is only a number of rows; runs, dictionaries, views and lists without width say a value many times
over. Each value counts one, at every level, and one more for every :data:`TEXT` bytes of it; whatever lies in the body
itself stays far below :data:`PER_BYTE`.
"""

from __future__ import annotations

from typing import Any

from model_envelope.runtime.errors import InvalidPayload

TEXT = 16
PER_BYTE = 8
"""Booleans are the smallest values that Arrow writes one by one: eight to a byte."""
FLOOR = 2**20


def refuse_bombs(table: Any, size: int) -> None:
    """Refuse a table that unpacks to far more than the ``size`` bytes that it came in.

    Raises :class:`InvalidPayload` (``payload.too-large``).
    """
    limit = max(FLOOR, PER_BYTE * size)
    total = 0
    try:
        for column in table.columns:
            for chunk in column.chunks:
                total += len(chunk) if _is_flat(chunk.type) else _sum(_weights(chunk, limit))
                _within(total, limit)
    except _TooMuch as found:
        raise InvalidPayload(
            f"an Arrow stream of {size:,} bytes holds {found.args[0]:,} values or more, expected {limit:,} at most",
            code="payload.too-large",
            hint="send fewer rows at once, or write the columns plainly: without runs, dictionaries and views",
        ) from None


class _TooMuch(Exception):
    """How many values there are."""


def _within(count: int, limit: int) -> None:
    if count > limit:
        raise _TooMuch(count)


def _is_flat(type_: Any) -> bool:
    """Tell whether each value of a type stands in the body for itself."""
    import pyarrow as pa

    types = pa.types
    return not (types.is_null(type_) or types.is_nested(type_) or _repeats(type_))


def _repeats(type_: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    views = types.is_string_view(type_) or types.is_binary_view(type_)
    encoded = types.is_dictionary(type_) or types.is_run_end_encoded(type_)
    return bool(views or encoded or isinstance(type_, pa.BaseExtensionType))


def _weights(array: Any, limit: int) -> Any:
    """Count the values that each place of an array unpacks to, as an Arrow array of int64."""
    import pyarrow.compute as pc

    _within(len(array), limit)
    found = _counted(array, limit)
    _within(pc.max(found).as_py() or 0, limit)
    return found


def _counted(array: Any, limit: int) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    types, type_ = pa.types, array.type
    if isinstance(type_, pa.BaseExtensionType):
        return _weights(array.storage, limit)
    if types.is_dictionary(type_):
        return pc.fill_null(pc.take(_weights(array.dictionary, limit), array.indices), 1)
    if types.is_run_end_encoded(type_):
        runs = pa.RunEndEncodedArray.from_arrays(array.run_ends, _weights(array.values, limit))
        return pc.run_end_decode(runs)
    ones = pa.repeat(pa.scalar(1, pa.int64()), len(array))
    if types.is_struct(type_):
        for at in range(type_.num_fields):
            ones = pc.add(ones, _weights(array.field(at), limit))
        return ones
    if types.is_map(type_):
        entries = pc.add(_weights(array.keys, limit), _weights(array.items, limit))
        return pc.add(ones, _between(entries, array.offsets[:-1], array.offsets[1:]))
    if types.is_fixed_size_list(type_):
        size = type_.list_size
        _within(len(array) * size, limit)
        ends = pc.cumulative_sum(pa.repeat(pa.scalar(size, pa.int64()), len(array)))
        items = _weights(array.values.slice(array.offset * size, len(array) * size), limit)
        return pc.add(ones, _between(items, pc.subtract(ends, size), ends))
    if types.is_list(type_) or types.is_large_list(type_):
        return pc.add(ones, _between(_weights(array.values, limit), array.offsets[:-1], array.offsets[1:]))
    if types.is_list_view(type_) or types.is_large_list_view(type_):
        starts = array.offsets.cast(pa.int64())
        ends = pc.add(starts, array.sizes.cast(pa.int64()))
        return pc.add(ones, _between(_weights(array.values, limit), starts, ends))
    lengths = _lengths(array)
    return ones if lengths is None else pc.add(ones, pc.divide(pc.fill_null(lengths.cast(pa.int64()), 0), TEXT))


def _between(items: Any, starts: Any, ends: Any) -> Any:
    """Sum items from each start to each end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sums = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(items)])
    return pc.subtract(pc.take(sums, ends), pc.take(sums, starts))


def _lengths(array: Any) -> Any:
    """Give how many bytes each text of an array has, with null for null; None for an array of anything else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types, type_ = pa.types, array.type
    if types.is_string_view(type_) or types.is_binary_view(type_):
        # A view is sixteen bytes, of which the first four are its length.
        words = pa.Array.from_buffers(pa.int32(), 4 * len(array), [None, array.buffers()[1]], offset=4 * array.offset)
        lengths = pc.list_element(pa.FixedSizeListArray.from_arrays(words, 4), 0)
        return pc.if_else(array.is_valid(), lengths, 0)
    if types.is_string(type_) or types.is_binary(type_) or types.is_large_string(type_) or types.is_large_binary(type_):
        return pc.binary_length(array)
    return None


def _sum(weights: Any) -> int:
    import pyarrow.compute as pc

    return pc.sum(weights).as_py() or 0
