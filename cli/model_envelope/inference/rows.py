"""The rows of a value, whatever library it comes from: how many there are, and some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BY_INDEX = frozenset({"numpy.ndarray", "torch.Tensor", "polars.DataFrame", "polars.Series"})
_BY_TAKING = frozenset({"pyarrow.Table", "pyarrow.RecordBatch", "pyarrow.ChunkedArray", "pyarrow.Array"})
_PANDAS = frozenset({"pandas.DataFrame", "pandas.Series"})


def count(value: Any) -> int | None:
    """Count the rows of a table, series, array, matrix or list; None where a value has none."""
    if isinstance(value, list):
        return len(value)
    if _library(value) == "scipy" and hasattr(value, "tocsr"):
        return int(value.shape[0])
    name = _name(value)
    if name in _BY_INDEX | _PANDAS:
        return int(value.shape[0]) if len(value.shape) else None
    return len(value) if name in _BY_TAKING or (_library(value) == "pyarrow" and hasattr(value, "take")) else None


def take(value: Any, places: Sequence[int]) -> Any:
    """Give the rows at these places, as a request that asked for them alone would bring them."""
    if isinstance(value, list):
        return [value[at] for at in places]
    library = _library(value)
    if library == "pandas":
        part = value.iloc[list(places)]
        # Row numbers are no part of a request: they are counted anew there. Any other index says something.
        counted = value.index.nlevels == 1 and value.index.name is None and value.index.dtype.kind in "iu"
        return part.reset_index(drop=True) if counted else part
    if library == "pyarrow":
        return value.take(list(places))
    if library == "scipy":
        return value.tocsr()[list(places)].asformat(value.format)
    return value[list(places)]


def batches(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], int | None]:
    """Give the arguments that hold the rows, all equally many, and how many there are.

    Tables, series and arrays come before lists: a list beside a table is a parameter, and not rows.
    """
    counted = {name: found for name, value in arguments.items() if (found := count(value)) is not None}
    foreign = {name: found for name, found in counted.items() if not isinstance(arguments[name], list)}
    chosen = foreign or counted
    if not chosen:
        return {}, None
    rows = next(iter(chosen.values()))
    return {name: arguments[name] for name, found in chosen.items() if found == rows}, rows


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _name(value: Any) -> str:
    return f"{_library(value)}.{type(value).__name__}"
