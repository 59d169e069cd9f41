"""Answers, and requests of clients, as Arrow IPC streams: see :mod:`codec.arrow.streams`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import MethodCodec
from model_envelope.runtime.codec.arrays import shapes
from model_envelope.runtime.codec.arrow import fast as arrow_fast
from model_envelope.runtime.codec.arrow.layout import (
    ANSWER,
    PARAMETERS,
    columns_of,
    field_of,
    inputs,
    layout_of,
    own,
    rows_of,
)
from model_envelope.runtime.codec.arrow.spelling import arrow_type, from_json, row_of
from model_envelope.runtime.codec.base import Codec, Nullable
from model_envelope.runtime.codec.text import dump_json
from model_envelope.runtime.codec.values.scalars import Refused
from model_envelope.runtime.errors import InvalidAnswer, Problems


def encode_arrow(codec: MethodCodec, answer: Any) -> bytes:
    """Write an answer as an Arrow IPC stream.

    Raises :class:`InvalidAnswer` where the model gave something that its signature does not allow.
    """
    layout = layout_of({"answer": codec.method.returns})
    if not layout.batches or (answer is None and codec.method.returns.nullable):
        return _stream({}, [], {ANSWER: dump_json(codec.encode(answer))})
    return _stream(*_encode_answer(codec, answer), None)


def encode_table(codec: MethodCodec, answer: Any) -> Any:
    """Write an answer that has rows as an Arrow record batch, with the columns that :func:`arrow_schema` names.

    Raises :class:`InvalidAnswer` where the model gave something that its signature does not allow, and
    (``answer.no-rows``) where the answer has no rows.
    """
    import pyarrow as pa

    if not layout_of({"answer": codec.method.returns}).batches or answer is None:
        raise InvalidAnswer(
            f"the answer is {codec.method.returns.kind}, which has no rows",
            code="answer.no-rows",
            hint="a table, a series, an array or a list has",
        )
    arrays, fields = _encode_answer(codec, answer)
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=pa.schema(fields))


def _encode_answer(codec: MethodCodec, answer: Any) -> tuple[dict[str, Any], list[Any]]:
    problems = Problems()
    arrays, fields = _encode_rows(codec.returns, codec.method.returns, answer, "$", problems, "answer", alone=True)
    _raise(problems, "the model's answer does not fit its signature", "answer.invalid")
    return arrays, fields


def encode_arrow_arguments(codec: MethodCodec, arguments: Mapping[str, Any]) -> bytes:
    """Write arguments as an Arrow IPC stream that is a request.

    Raises :class:`InvalidAnswer` for a value that is not of its parameter's type.
    """
    layout = inputs(codec.method)
    problems = Problems()
    arrays: dict[str, Any] = {}
    fields: list[Any] = []
    said: dict[str, Any] = {}
    for name, (parameter, one) in codec.parameters.items():
        if name not in arguments:
            continue
        value, path = arguments[name], f"$.{name}"
        if name not in layout.batches or (value is None and parameter.type.nullable):
            said[name] = one.encode(value, path, problems)
            continue
        made, described = _encode_rows(one, parameter.type, value, path, problems, name, alone=layout.alone)
        lengths = {len(array) for array in (*arrays.values(), *made.values())}
        if len(lengths) > 1:
            said[name] = one.encode(value, path, problems)
            continue
        arrays |= made
        fields += described
    _raise(problems, "the sample does not fit the signature", "sample.invalid")
    return _stream(arrays, fields, {PARAMETERS: dump_json(said)} if said else None)


def _raise(problems: Problems, what: str, code: str) -> None:
    if problems:
        raise InvalidAnswer(problems.summary(what), code=code, problems=problems.items)


def _encode_rows(
    codec: Codec, kind: s.Type, value: Any, path: str, problems: Problems, name: str, *, alone: bool
) -> tuple[dict[str, Any], list[Any]]:
    """Write a value that has rows as arrays and their fields."""
    import pyarrow as pa

    inner: Any = codec.inner if isinstance(codec, Nullable) else codec
    columns = columns_of(kind)
    if columns is None:
        rows, storage = rows_of(kind)
        array = _numbers(value, kind) if isinstance(kind, s.Tensor) else None
        if array is None:
            array = _built(inner.encode(value, path, problems), rows, storage, path, problems)
        return ({}, []) if array is None else ({name: array}, [field_of(name, rows, storage).with_type(array.type)])
    flavor = kind.flavor if isinstance(kind, s.Table) else s.Flavor.PANDAS
    ready = _ready(inner, kind, value)
    written: Mapping[str, Any] | None = {}
    lacking = [at for at, column in enumerate(columns) if column.name not in ready]
    if ready and lacking:
        taken = inner.library.columns(kind, value)
        written = {
            columns[at].name: inner.columns[columns[at].name].encode(taken[at][1], _cells(path, columns[at]), problems)
            for at in lacking
        }
        if problems:
            return {}, []
    elif lacking:
        written = _encode_columns(inner, kind, value, path, problems)
    if written is None:
        return {}, []
    arrays, fields = {}, []
    for column in columns:
        storage = own(column.storage, flavor)
        array = ready.get(column.name)
        if array is None:
            array = _built(written[column.name], column.type, storage, f"{path}.{column.name}", problems)
        if array is not None:
            arrays[column.name] = array
            fields.append(field_of(column.name, column.type, storage))
    if alone or problems:
        return arrays, fields
    struct = pa.StructArray.from_arrays(list(arrays.values()), fields=fields)
    return {name: struct}, [pa.field(name, struct.type, nullable=False)]


def _ready(codec: Any, kind: s.Type, value: Any) -> dict[str, Any]:
    """Give the columns of Polars or Arrow that surely fit, without a look at each value."""
    if not isinstance(kind, s.Table) or kind.flavor not in {s.Flavor.POLARS, s.Flavor.PYARROW}:
        return {}
    taken = codec.library.columns(kind, value)
    if taken is None or [name for name, _ in taken] != [_key(column) for column in kind.columns]:
        return {}
    found = {}
    for column, (_, array) in zip(kind.columns, taken, strict=True):
        wanted = arrow_type(column.type, own(column.storage, kind.flavor))
        if kind.flavor is s.Flavor.POLARS:
            array = _from_polars(array, column)  # noqa: PLW2901  the same column, as Arrow has it
        if array is None or not arrow_fast.settled(array, column.type, null_is_nan=False):
            continue
        if array.type == wanted:
            found[column.name] = array
        elif kind.flavor is s.Flavor.POLARS and isinstance(column.type, s.Scalar):
            found[column.name] = array.cast(wanted)
    return found


def _cells(path: str, column: s.Column) -> Callable[[int], str]:
    return lambda at: f"{path}[{at}].{column.name}"


def _key(column: s.Column) -> Any:
    return column.name if column.key is None else column.key


def _from_polars(series: Any, column: s.Column) -> Any:
    import polars as pl

    from model_envelope.runtime.codec.tables.polars import write_dtype

    if write_dtype(series.dtype) != column.storage:
        return None
    return series.to_arrow(compat_level=pl.CompatLevel.oldest())


def _encode_columns(codec: Any, kind: s.Type, value: Any, path: str, problems: Problems) -> dict[str, Any] | None:
    if isinstance(kind, s.Table):
        columns: dict[str, Any] | None = codec.encode_columns(value, path, problems)
        return columns
    rows = codec.encode(value, path, problems)
    return None if rows is None else {name: [row[name] for row in rows] for name in codec.columns}


def _built(values: Any, kind: s.Type, storage: str | None, path: str, problems: Problems) -> Any:
    if values is None:
        return None
    try:
        return from_json(values, kind, storage)
    except Refused as refused:
        problems.add(path, refused.args[0], "values that Arrow can hold", "answer.arrow")
        return None


def _numbers(value: Any, kind: s.Tensor) -> Any:
    """Write an array of NumPy that surely fits without a look at each value."""
    import pyarrow as pa

    if kind.flavor is not s.Flavor.NUMPY or type(value).__name__ != "ndarray" or kind.storage is not None:
        return None
    if value.dtype.name != kind.dtype or value.dtype.kind not in "iuf" or not shapes.fits(value.shape, kind.shape):
        return None
    import numpy as np

    if 0 in value.shape or not np.isfinite(value).all():
        return None
    array = pa.array(np.ascontiguousarray(value).reshape(-1))
    for size, wanted in zip(reversed(value.shape[1:]), reversed(kind.shape[1:]), strict=True):
        if wanted is None:
            array = pa.ListArray.from_arrays(pa.array(np.arange(0, len(array) + 1, size, dtype=np.int32)), array)
        else:
            array = pa.FixedSizeListArray.from_arrays(array, size)
    return array.cast(arrow_type(row_of(kind)))


def _stream(arrays: Mapping[str, Any], fields: list[Any], metadata: Any) -> bytes:
    import pyarrow as pa

    schema = pa.schema(fields, metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        if arrays:
            writer.write_batch(pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema))
    raw: bytes = sink.getvalue().to_pybytes()
    return raw
