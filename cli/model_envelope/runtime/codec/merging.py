"""Several requests as one: their rows one after another, where everything else is equal.

What may be merged is what the examination of a model tried: methods whose answers to a row do not depend on its
neighbours, with one parameter that holds the rows (a table, series or dense array; where there is none of these, a
list). Of several such parameters the signature does not say which of them have a row a row, so these are not merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import Arguments, MethodCodec
from model_envelope.runtime.codec.text import write_json
from model_envelope.runtime.errors import Problems

_OPEN = (s.Any, s.Union, s.Reference)
"""Types whose values may have rows or not."""

_WHOLE = (s.Scalar, s.Choice, s.Set, s.Tuple)
"""Types of answers that are never one value a row."""


@dataclass(frozen=True)
class MergedArguments:
    """The arguments of several requests as those of one, and how many rows came with each."""

    arguments: Arguments
    counts: tuple[int, ...]


@dataclass(frozen=True)
class RowParameter:
    """The parameter of a method that holds the rows; ``axis`` is the one that they lie along."""

    name: str
    at: int
    type: s.Type
    axis: int

    def count_nested(self, value: list[Any]) -> int:
        """Count the rows of a JSON array; 0 where it has none."""
        for _ in range(self.axis):
            if not value or not isinstance(value[0], list):
                return 0
            value = value[0]
        return len(value)

    def join_nested(self, values: Sequence[list[Any]]) -> list[Any]:
        """Put JSON arrays together along the axis of the rows; one that is ragged stays so."""
        return _join(values, self.axis)

    def count(self, value: Any) -> int | None:
        """Count the rows of a decoded value; None for null."""
        if value is None:
            return None
        return int(value.shape[self.axis]) if isinstance(self.type, s.Tensor) else len(value)


def row_parameter(method: s.Method) -> RowParameter | None:
    """Find the parameter that holds the rows of a method; None where there is none, or not only one."""
    known = {s.Kind.POSITIONAL, s.Kind.NORMAL, s.Kind.KEYWORD}
    if any(item.kind not in known or _may_have_rows(item.type) for item in method.parameters):
        return None
    places = list(enumerate(method.parameters))
    found = [(at, item) for at, item in places if _has_rows(item.type)]
    if not found and not any(isinstance(item.type, s.Any) for item in method.parameters):
        found = [(at, item) for at, item in places if isinstance(item.type, s.List) and not item.type.variadic]
    if len(found) != 1:
        return None
    at, item = found[0]
    if isinstance(item.type, s.Tensor) and (item.type.layout is not None or item.type.batch is None):
        return None
    return RowParameter(item.name, at, item.type, _axis(item.type))


def mergeable(method: s.Method) -> bool:
    """Tell whether requests of a method may be answered by one call."""
    returns = method.returns
    if method.row_wise is not s.Answer.YES or row_parameter(method) is None or isinstance(returns, _WHOLE):
        return False
    if isinstance(returns, s.Tensor):
        return returns.layout is None and returns.batch is not None
    return not isinstance(returns, s.Map) or (isinstance(returns.key, s.Scalar) and returns.key.dtype == "string")


def rows_in(codec: MethodCodec, arguments: Arguments) -> int | None:
    """Count the rows of a decoded request; None where its method has no one parameter of rows, or that is null."""
    rows = row_parameter_of(codec)
    if rows is None:
        return None
    given = _named(codec, arguments)
    return rows.count(given[rows.name]) if rows.name in given else None


def apart_from_rows(codec: MethodCodec, arguments: Arguments) -> bytes | None:
    """Write what a decoded request has beside its rows as JSON text: what requests that can be merged have in common.

    None for one that cannot be merged with others.
    """
    rows = row_parameter_of(codec)
    if rows is None:
        return None
    problems = Problems(limit=1)
    given = _named(codec, arguments)
    others = {
        name: codec.parameters[name][1].encode(value, "$", problems)
        for name, value in given.items()
        if name != rows.name
    }
    return None if problems or rows.name not in given else write_json(others)


def merge_arguments(codec: MethodCodec, requests: Sequence[Arguments]) -> MergedArguments | None:
    """Put the rows of decoded requests together, in their order.

    None where that cannot be: one has no rows, other parameters differ, or the arrays do not fit together.
    """
    rows = row_parameter_of(codec)
    if rows is None or not requests:
        return None
    given = [_named(codec, arguments) for arguments in requests]
    if any(rows.name not in item for item in given):
        return None
    values = [item[rows.name] for item in given]
    counts = [rows.count(value) for value in values]
    if not all(counts) or len({apart_from_rows(codec, arguments) for arguments in requests}) != 1:
        return None
    whole = concatenate(rows.type, values, rows.axis)
    if whole is None:
        return None
    first = requests[0]
    if rows.at < len(first.positional):
        positional = (*first.positional[: rows.at], whole, *first.positional[rows.at + 1 :])
        merged = Arguments(positional, first.keyword)
    else:
        merged = Arguments(first.positional, {**first.keyword, rows.name: whole})
    return MergedArguments(merged, tuple(count for count in counts if count))


def concatenate(kind: s.Type, values: Sequence[Any], axis: int) -> Any:
    """Put values of one type together; None where they do not fit together."""
    if isinstance(kind, s.List):
        return list(chain.from_iterable(values))
    if not isinstance(kind, s.Table | s.Series | s.Tensor):
        return None
    join = {
        s.Flavor.PANDAS: _join_pandas,
        s.Flavor.POLARS: _join_polars,
        s.Flavor.PYARROW: _join_arrow,
        s.Flavor.NUMPY: _join_numpy,
        s.Flavor.TORCH: _join_torch,
    }.get(kind.flavor)
    try:
        return join(kind, values, axis) if join else None
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        return None  # what does not fit together is answered one by one


def cut(kind: s.Type, answer: Any, counts: Sequence[int]) -> list[Any] | None:
    """Cut the answer to merged requests into the answers of each, as Python objects.

    None where the answer is not of a kind that has its rows first, or has not as many as the requests had together.
    """
    if not isinstance(kind, s.Table | s.Series | s.List | s.Tensor) or (isinstance(kind, s.Tensor) and kind.batch):
        return None
    if not hasattr(answer, "__len__") or len(answer) != sum(counts):
        return None
    bounds = pairwise(accumulate(counts, initial=0))
    if isinstance(kind, s.Table | s.Series) and kind.flavor is s.Flavor.PANDAS:
        return [answer.iloc[begin:end] for begin, end in bounds]
    if isinstance(kind, s.Table | s.Series) and kind.flavor in {s.Flavor.POLARS, s.Flavor.PYARROW}:
        return [answer.slice(begin, end - begin) for begin, end in bounds]
    return [answer[begin:end] for begin, end in bounds]


def _join_pandas(kind: Any, values: Sequence[Any], _axis: int) -> Any:
    import pandas as pd

    whole = pd.concat(values, ignore_index=not kind.index)
    alike = whole.dtype == values[0].dtype if isinstance(kind, s.Series) else whole.dtypes.equals(values[0].dtypes)
    return whole if alike else None


def _join_polars(_kind: Any, values: Sequence[Any], _axis: int) -> Any:
    import polars as pl

    return pl.concat(values, rechunk=True)


def _join_arrow(kind: Any, values: Sequence[Any], _axis: int) -> Any:
    import pyarrow as pa

    from model_envelope.runtime.codec.tables.pyarrow import whole

    if isinstance(kind, s.Table):
        tables = [pa.Table.from_batches([value]) if isinstance(value, pa.RecordBatch) else value for value in values]
        table = pa.concat_tables(tables)
        cls = pa.RecordBatch if kind.cls == "RecordBatch" else pa.Table
        return cls.from_arrays([whole(column) for column in table.columns], schema=table.schema)
    chunks = [chunk for value in values for chunk in getattr(value, "chunks", [value])]
    array = whole(pa.chunked_array(chunks))
    return pa.chunked_array([array]) if kind.cls == "ChunkedArray" else array


def _join_numpy(_kind: Any, values: Sequence[Any], axis: int) -> Any:
    import numpy as np

    # Strings of fixed width are as wide as the widest; NumPy by itself would change byte orders and offsets.
    dtype = max((value.dtype for value in values), key=lambda dtype: dtype.itemsize)
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    whole = np.empty(shape, dtype=dtype)
    np.concatenate(values, axis=axis, out=whole)
    return whole.view(type(values[0]))


def _join_torch(_kind: Any, values: Sequence[Any], axis: int) -> Any:
    import torch

    return torch.cat(list(values), dim=axis)


def _join(values: Sequence[list[Any]], axis: int) -> list[Any]:
    if axis == 0:
        return list(chain.from_iterable(values))
    if len(set(map(len, values))) != 1 or not all(isinstance(item, list) for value in values for item in value):
        return list(chain.from_iterable(values))
    return [_join(items, axis - 1) for items in zip(*values, strict=True)]


def _may_have_rows(kind: s.Type) -> bool:
    """Tell whether values may be tables or arrays, and may be others: which they were in the samples is not known."""
    return isinstance(kind, s.Reference | s.Union)


def _has_rows(kind: s.Type) -> bool:
    return isinstance(kind, s.Table | s.Series) or (isinstance(kind, s.Tensor) and bool(kind.shape))


def _axis(kind: s.Type) -> int:
    return (kind.batch or 0) if isinstance(kind, s.Tensor) else 0


def _named(codec: MethodCodec, arguments: Arguments) -> Mapping[str, Any]:
    """Give the arguments by name; there are no variadic ones."""
    names = (parameter.name for parameter in codec.method.parameters)
    return {**dict(zip(names, arguments.positional, strict=False)), **arguments.keyword}


def row_parameter_of(codec: MethodCodec) -> RowParameter | None:
    """Find the parameter that holds the rows, as :func:`row_parameter` does; once for each codec."""
    if "rows" not in codec.made:
        codec.made["rows"] = row_parameter(codec.method)
    return codec.made["rows"]  # type: ignore[no-any-return]
