"""Requests and answers as Arrow IPC streams, for any method: the same verdict and the same objects as from JSON.

A stream has rows, so its columns are the parameters (or the answer) that have rows. One table by itself has its columns
stand directly in the stream. A series or an array is one column of its name (``answer`` for an answer), with lists in
it where an array has more dimensions; where several parameters have rows, a table is one column of structs. All other
parameters stand as a JSON object in the schema's metadata, under ``model_envelope.parameters``, and so does whatever a
client rather says in JSON (null for an optional table, rows of another number); an answer without rows stands under
``model_envelope.answer``. Columns come in any order, and missing and unknown ones are told as for JSON. Compressed
streams are refused: what they unpack to has no bound.

pyarrow is imported when it is first needed: the codec works without it, and only this road does not.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import Arguments, MethodCodec
from model_envelope.runtime.codec.arrow import fast as arrow_fast
from model_envelope.runtime.codec.arrow.bounds import refuse_bombs
from model_envelope.runtime.codec.arrow.layout import (
    ANSWER,
    MEDIA_TYPE,
    PARAMETERS,
    arrow_schema,
    columns_of,
    inputs,
    rows_of,
)
from model_envelope.runtime.codec.arrow.spelling import spelled
from model_envelope.runtime.codec.arrow.writing import encode_arrow, encode_arrow_arguments, encode_table
from model_envelope.runtime.codec.base import Codec, Nullable, under
from model_envelope.runtime.codec.tables.pyarrow import whole
from model_envelope.runtime.codec.text import parse_json
from model_envelope.runtime.codec.values.scalars import Refused, choices, expected
from model_envelope.runtime.errors import InvalidPayload, Problems

__all__ = [
    "ANSWER", "MEDIA_TYPE", "PARAMETERS", "arrow_schema", "decode_arrow", "decode_table", "encode_arrow",
    "encode_arrow_arguments", "encode_table", "read_stream",
]  # fmt: skip


def read_stream(raw: bytes) -> Any:
    """Read an Arrow IPC stream (or file) as a table, and check it through: offsets and text from outside may lie.

    Raises :class:`InvalidPayload` (``payload.malformed``) for anything else, and (``payload.too-large``) for one that
    unpacks to far more than it is.
    """
    import pyarrow as pa

    try:
        # A file is a stream between its magic number and its footer, which may lie and is not asked.
        body = raw[8:] if raw[:6] == b"ARROW1" else raw
        _refuse_compressed(body)
        table = pa.ipc.open_stream(body).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, struct.error) as error:
        text = " ".join(str(error).split())[:200]
        raise InvalidPayload(
            f"the body is no Arrow IPC stream: {text}",
            code="payload.malformed",
            hint="write it with `pyarrow.ipc.new_stream`, and send all of it",
        ) from None
    refuse_bombs(table, len(raw))
    return table


def _refuse_compressed(raw: bytes) -> None:
    """Refuse a stream whose buffers are compressed, before any is unpacked: a few bytes may stand for gigabytes.

    Looks into the metadata of each message: flatbuffers, as Arrow's ``Message.fbs`` lays them out.
    """
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(raw):
        data = message.metadata.to_pybytes()
        root = struct.unpack_from("<I", data)[0]
        header = _pointer(data, root, 2)
        if header is not None and message.type == "dictionary":
            header = _pointer(data, header, 1)
        if header is not None and message.type in {"record batch", "dictionary"} and _field_at(data, header, 3):
            raise ValueError("its buffers are compressed; write it without compression")


def _field_at(data: bytes, table: int, at: int) -> int:
    """Give where a field of a flatbuffers table starts, counted from the table; 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    place = 4 + 2 * at
    return int(struct.unpack_from("<H", data, vtable + place)[0]) if place < size else 0


def _pointer(data: bytes, table: int, at: int) -> int | None:
    offset = _field_at(data, table, at)
    return table + offset + int(struct.unpack_from("<I", data, table + offset)[0]) if offset else None


def decode_arrow(codec: MethodCodec, raw: bytes) -> Arguments:
    """Decode a request that came as an Arrow IPC stream.

    Raises :class:`InvalidPayload` with everything that is wrong with it.
    """
    return decode_table(codec, read_stream(raw))


def decode_table(codec: MethodCodec, table: Any) -> Arguments:
    """Decode a request that is an Arrow table (or record batch) in this process already.

    Its buffers are taken as they are: what came from outside is checked before (:func:`read_stream` does).

    Raises :class:`InvalidPayload` with everything that is wrong with it.
    """
    problems = Problems()
    found = _decode(codec, table, problems)
    if problems:
        raise InvalidPayload(
            problems.summary("the request does not fit the signature"), code="payload.invalid", problems=problems.items
        )
    return codec.arrange(found)


def _decode(codec: MethodCodec, table: Any, problems: Problems) -> dict[str, Any]:
    said = _said(table, problems)
    for name in sorted(said.keys() - codec.parameters.keys()):
        known = f"one of {', '.join(codec.parameters)}"
        problems.add(under("$", name), "an unknown parameter", known, "payload.unknown")
    layout = inputs(codec.method)
    arrays = _by_name(table, "$", problems)
    if layout.alone:
        name = next(iter(layout.batches))
        taken = {} if name in said and not arrays else {name: arrays}
        _optional(codec, taken)
    else:
        taken = {name: arrays[name] for name in layout.batches if name in arrays}
        for name in () if codec.definitions.ignore_columns else sorted(arrays.keys() - layout.batches.keys()):
            known = f"one of {', '.join(layout.batches) or 'none'}"
            problems.add(under("$", name), "an unknown column", known, "payload.unknown")
    found: dict[str, Any] = {}
    for name, (parameter, one) in codec.parameters.items():
        path = f"$.{name}"
        if name in taken and name in said:
            problems.add(path, "both columns and JSON", "one of them", "payload.duplicate")
        elif name in taken:
            found[name] = _decode_rows(one, layout.batches[name], taken[name], path, problems)
        elif name in said:
            found[name] = one.decode(said[name], path, problems)
        elif parameter.required and parameter.kind not in {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD}:
            where = "" if name in layout.batches else f" (in the metadata `{PARAMETERS.decode()}`)"
            problems.add(path, "nothing", parameter.type.kind + where, "payload.missing")
    return found


def _optional(codec: MethodCodec, taken: dict[str, Any]) -> None:
    """Leave out a table that may be left out, where the stream has no columns."""
    for name in [name for name, arrays in taken.items() if not arrays and not codec.parameters[name][0].required]:
        del taken[name]


def _said(table: Any, problems: Problems) -> dict[str, Any]:
    """Read the parameters that stand as JSON in the metadata."""
    raw = (table.schema.metadata or {}).get(PARAMETERS)
    if raw is None:
        return {}
    try:
        said = parse_json(raw)
    except InvalidPayload as error:
        problems.add("$", f"metadata `{PARAMETERS.decode()}`: {error.message}", "a JSON object", "payload.malformed")
        return {}
    if isinstance(said, dict):
        return said
    problems.add("$", f"no object in the metadata `{PARAMETERS.decode()}`", "a JSON object", "payload.type")
    return {}


def _by_name(table: Any, path: str, problems: Problems) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if name in found:
            problems.add(path, f'"{name[:40]}" twice', "distinct column names", "payload.duplicate")
        found[name] = whole(column)
    return found


def _decode_rows(codec: Codec, kind: s.Type, taken: Any, path: str, problems: Problems) -> Any:
    inner = codec.inner if isinstance(codec, Nullable) else codec
    if columns_of(kind) is None:
        return _decode_column(inner, kind, taken, path, problems)
    arrays = taken if isinstance(taken, dict) else _struct(taken, path, problems)
    return None if arrays is None else _decode_table(inner, kind, arrays, path, problems)


def _struct(array: Any, path: str, problems: Problems) -> dict[str, Any] | None:
    import pyarrow as pa

    if not pa.types.is_struct(array.type) or array.null_count:
        problems.add(path, f"an Arrow column of {array.type}", "a column of structs, without null", "payload.type")
        return None
    names = [array.type.field(at).name for at in range(array.type.num_fields)]
    return dict(zip(names, array.flatten(), strict=True))


def _decode_table(codec: Any, kind: s.Type, arrays: dict[str, Any], path: str, problems: Problems) -> Any:
    """Decode a table: each column at once where that is possible, the others as JSON."""
    columns = columns_of(kind) or ()
    flavor = kind.flavor if isinstance(kind, s.Table) else s.Flavor.PANDAS
    if codec.orientations.extra == "ignore":
        arrays = {column.name: arrays[column.name] for column in columns if column.name in arrays}
    built: dict[str, Any] = {}
    if arrays.keys() == {column.name for column in columns} and isinstance(kind, s.Table):
        for column in columns:
            made = _at_once(arrays[column.name], column.type, column.storage, flavor, codec.columns[column.name])
            if made is not None:
                built[column.name] = made
        if len(built) == len(columns) and built:
            return _assembled(codec, kind, built)
    before = problems.count
    written: dict[str, Any] = {}
    types = {column.name: column.type for column in columns}
    for name, array in arrays.items():
        written[name] = _spelled(array, types.get(name), flavor, f"{path}.{name}", problems)
    lacking = any(values is None for values in written.values())
    if lacking:
        # What cannot be spelled has been told; the others are judged all the same.
        for name in written.keys() & codec.columns.keys():
            if written[name] is not None:
                codec.columns[name].decode(written[name], _cell_path(path, name), problems)
        return None
    if built and written.keys() == types.keys():
        for name in written.keys() - built.keys():
            built[name] = codec.columns[name].decode(written[name], _cell_path(path, name), problems)
        return None if problems.count > before else _assembled(codec, kind, built)
    return codec.decode(written, path, problems)


def _cell_path(path: str, name: str) -> Any:
    return lambda at: f"{path}.{name}[{at}]"


def _at_once(array: Any, kind: s.Type, storage: str, flavor: s.Flavor, codec: Any) -> Any:
    """Give a column without a look at each value; None where it has to be spelled."""
    if flavor is s.Flavor.NUMPY or not arrow_fast.settled(array, kind, null_is_nan=flavor is s.Flavor.PANDAS):
        return None
    like = codec.decode([], _cell_path("$", ""), Problems())
    if flavor is s.Flavor.POLARS:
        return arrow_fast.polars_array(array, like)
    if flavor is s.Flavor.PYARROW:
        return arrow_fast.arrow_array(array, like)
    return arrow_fast.pandas_array(array, kind, storage, like)


def _assembled(codec: Any, kind: s.Type, built: Mapping[str, Any]) -> Any:
    """Make the table of its columns."""
    assert isinstance(kind, s.Table)
    if kind.flavor is not s.Flavor.PANDAS:
        return codec.library.table(kind, built)
    import pandas as pd

    from model_envelope.runtime.codec.tables.pandas import index_of

    frame = pd.DataFrame({at: built[column.name] for at, column in enumerate(kind.columns)}, copy=False)
    frame.columns = codec.labels
    if kind.index:
        frame.index = index_of(kind.index, built)
    return frame


def _decode_column(codec: Any, kind: s.Type, array: Any, path: str, problems: Problems) -> Any:
    """Decode a series, an array or a list, which is one column."""
    if isinstance(kind, s.Tensor) and kind.flavor is s.Flavor.NUMPY and kind.storage is None:
        made = arrow_fast.tensor_values(array, kind.shape, kind.dtype, non_finite=kind.non_finite)
        if made is not None:
            return made
    flavor = kind.flavor if isinstance(kind, s.Table | s.Series | s.Tensor) else s.Flavor.PYTHON
    values = _spelled(array, rows_of(kind)[0], flavor, path, problems)
    return None if values is None else codec.decode(values, path, problems)


def _spelled(array: Any, kind: s.Type | None, flavor: s.Flavor, path: str, problems: Problems) -> list[Any] | None:
    if kind is None:
        return [None] * len(array)
    arrays = flavor in {s.Flavor.PANDAS, s.Flavor.NUMPY, s.Flavor.TORCH}
    try:
        return spelled(array, kind, null_is_nan=arrays and kind.nullable)
    except Refused as refused:
        problems.add(path, refused.args[0], f"a column of {_expected(kind)}", "payload.type")
        return None


def _expected(kind: s.Type) -> str:
    if isinstance(kind, s.Scalar):
        return expected(kind)
    return choices(kind) if isinstance(kind, s.Choice) else kind.kind
