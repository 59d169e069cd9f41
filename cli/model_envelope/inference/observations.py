"""Statistics of the samples: the baseline that drift is measured against.

Deterministic: sums are exact before they are rounded (``math.fsum``), quantiles and edges follow one formula, and every
number has 12 significant digits. So the same samples give the same bytes, whatever processor counted them.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from model_envelope.runtime import signature as s

TOP = 10
"""How many of the most frequent values of a text or category column are kept."""

QUANTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
"""The grid of quantiles, in per cent."""

BINS = 20
"""How many bins of equal width a histogram has, from the least value to the greatest."""


def observe(value: Any, kind: s.Type | None = None) -> dict[str, Any] | None:
    """Describe a table, a series, an array of up to two dimensions, a list of scalars or a scalar.

    ``kind`` is the type that was found for it: columns are called as JSON calls them. Anything else gives None.
    """
    columns = columns_of(value)
    if not columns:
        return None
    if isinstance(kind, s.Table) and len(kind.columns) == len(columns):
        columns = dict(zip((column.name for column in kind.columns), columns.values(), strict=True))
    rows = len(next(iter(columns.values())))
    return {"rows": rows, "columns": {name: _describe(values) for name, values in columns.items()}}


def columns_of(value: Any) -> dict[Any, Sequence[Any]]:
    """Take a value apart into columns of Python values, null being None."""
    library = type(value).__module__.partition(".")[0]
    match f"{library}.{type(value).__name__}":
        case "pandas.DataFrame":
            # By position: two columns may have one name.
            return {at: _pandas(value.iloc[:, at]) for at in range(value.shape[1])} if value.shape[1] else {}
        case "pandas.Series":
            return {"value": _pandas(value)}
        case "polars.DataFrame":
            return {name: value[name].to_list() for name in value.columns}
        case "polars.Series":
            return {"value": value.to_list()}
        case "pyarrow.Table" | "pyarrow.RecordBatch":
            return {at: value.column(at).to_pylist() for at in range(value.num_columns)}
        case "torch.Tensor":
            return columns_of(value.detach().cpu().numpy())
        case "numpy.ndarray" if value.dtype.names:
            return {name: value[name].tolist() for name in value.dtype.names} if value.ndim == 1 else {}
        case "numpy.ndarray" if value.ndim in {1, 2} and value.dtype.kind in "biufUO":
            table = value.reshape(len(value), -1).T if value.size else ()
            names = ["value"] if value.ndim == 1 else [str(at) for at in range(len(table))]
            return {name: column.tolist() for name, column in zip(names, table, strict=True)}
    if isinstance(value, list | tuple) and value and all(_is_plain(item) for item in value):
        return {"value": value}
    return {"value": [value]} if value is not None and _is_plain(value) else {}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _pandas(series: Any) -> list[Any]:
    missing = series.isna()
    values: list[Any] = series.tolist()
    if not missing.any():
        return values
    return [None if null else value for value, null in zip(values, missing.tolist(), strict=True)]


def _describe(values: Sequence[Any]) -> dict[str, Any]:
    present = [value for value in values if value is not None and value == value]  # noqa: PLR0124  NaN is not itself
    found: dict[str, Any] = {"count": len(values), "nulls": len(values) - len(present)}
    kinds = set(map(type, present))
    if not present:
        return found
    if kinds <= {int, float}:
        return found | _numbers(present)
    if kinds <= {str, bool}:
        counts = Counter(present)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        return found | {"distinct": len(counts), "top": [[value, count] for value, count in ranked[:TOP]]}
    if all(isinstance(value, date) for value in present):
        texts = sorted(value.isoformat() for value in present)
        return found | {"distinct": len(set(texts)), "min": texts[0], "max": texts[-1]}
    if kinds <= {list, tuple, dict, set}:
        return found | {"lengths": _numbers([len(value) for value in present])}
    return found


def _numbers(values: list[Any]) -> dict[str, Any]:
    finite = _ascending([value for value in values if math.isfinite(value)])
    found: dict[str, Any] = {"distinct": len(set(values))}
    if len(finite) < len(values):
        found["infinite"] = len(values) - len(finite)
    if not finite:
        return found
    # Scaled, so that neither the sum nor the squares of very large numbers overflow.
    scale = max(abs(float(finite[0])), abs(float(finite[-1]))) or 1.0
    mean = math.fsum(value / scale for value in finite) / len(finite)
    variance = math.fsum((value / scale - mean) ** 2 for value in finite) / len(finite)
    edges = _edges(float(finite[0]), float(finite[-1]))
    return found | {
        "min": _rounded(finite[0]),
        "max": _rounded(finite[-1]),
        "mean": _rounded(mean * scale),
        "std": _rounded(math.sqrt(variance) * scale),
        "quantiles": [[percent, _rounded(_quantile(finite, percent))] for percent in QUANTILES],
        "histogram": {"edges": edges, "counts": _counts(finite, edges)},
    }


def _ascending(values: list[Any]) -> list[Any]:
    """Sort; with NumPy where the model has loaded it, which gives the same order sooner."""
    numpy = sys.modules.get("numpy")
    if numpy is None or len(values) < 1000 or set(map(type, values)) != {float}:
        return sorted(values)
    ordered: list[Any] = numpy.sort(numpy.array(values)).tolist()
    return ordered


def _quantile(ordered: Sequence[Any], percent: int) -> float:
    """Give a quantile with linear interpolation: type 7 of Hyndman and Fan, the default of NumPy and R."""
    place, rest = divmod((len(ordered) - 1) * percent, 100)
    if not rest:
        return float(ordered[place])
    share = rest / 100
    return float(ordered[place]) * (1 - share) + float(ordered[place + 1]) * share


def _edges(least: float, most: float) -> list[float]:
    if least == most:
        return [_rounded(least), _rounded(most)]
    # Each by itself, and without most - least, which may overflow.
    return [_rounded(least * (1 - at / BINS) + most * (at / BINS)) for at in range(BINS + 1)]


def _counts(ordered: Sequence[Any], edges: Sequence[float]) -> list[int]:
    """Count the values from each edge up to the next; the outermost bins take what rounding put beyond them."""
    places = [0, *(bisect_left(ordered, edge) for edge in edges[1:-1]), len(ordered)]
    return [after - before for before, after in pairwise(places)]


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.12g}")
