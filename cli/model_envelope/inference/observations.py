"""Statistics of the samples: the baseline that drift is measured against. Deterministic, rounded to 12 digits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

TOP = 10
"""How many of the most frequent values of a text or category column are kept."""


def observe(value: Any) -> dict[str, Any] | None:
    """Describe a table, a series, an array of up to two dimensions or a number; None for anything else."""
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if kind == "pandas.DataFrame":
        columns = {str(name): _series(value.iloc[:, at]) for at, name in enumerate(value.columns)}
        return {"rows": len(value), "columns": columns}
    if kind == "pandas.Series":
        return {"rows": len(value), "columns": {"value": _series(value)}}
    if kind == "numpy.ndarray" and value.ndim in {1, 2}:
        columns = value.reshape(len(value), -1).T
        names = ["value"] if value.ndim == 1 else [str(at) for at in range(len(columns))]
        return {
            "rows": len(value),
            "columns": {name: _values(column.tolist()) for name, column in zip(names, columns, strict=True)},
        }
    if isinstance(value, bool | int | float | str):
        return {"rows": 1, "columns": {"value": _values([value])}}
    return None


def _series(series: Any) -> dict[str, Any]:
    missing = series.isna().tolist()
    return _values([None if null else value for value, null in zip(series.tolist(), missing, strict=True)])


def _values(values: list[Any]) -> dict[str, Any]:
    present = [value for value in values if value is not None and value == value]  # noqa: PLR0124  NaN is not itself
    found: dict[str, Any] = {"count": len(values), "nulls": len(values) - len(present)}
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        found |= _numbers([value for value in present if math.isfinite(value)])
    elif all(isinstance(value, str | bool) for value in present):
        counts = Counter(present)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        found |= {"distinct": len(counts), "top": [[value, count] for value, count in ranked[:TOP]]}
    return found


def _numbers(values: list[Any]) -> Mapping[str, Any]:
    if not values:
        return {}
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    return {
        "min": _rounded(min(values)),
        "max": _rounded(max(values)),
        "mean": _rounded(mean),
        "std": _rounded(math.sqrt(variance)),
    }


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.12g}")
