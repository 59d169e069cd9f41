"""Which values the encoders inside a fitted pipeline refuse, column by column.

A column of the input is constrained only where nothing touches it on its way to the encoder: through pipelines, column
transformers and unions, past steps that pass everything through, and past an imputer that only fills what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Columns = tuple[str | None, ...]
"""What reaches a step, by position: the name of an untouched column of the input, or None for anything else."""

Found = dict[str, tuple[Any, ...]]


def accepted_values(model: Any, features: Sequence[str]) -> Found:
    """Give the values that no encoder of a fitted model refuses, by column of its input.

    Encoders with ``handle_unknown="error"`` count. A column that several of them read has the values that all accept.
    """
    found: Found = {}
    _walk(model, tuple(features), found)
    return found


def needed_columns(model: Any, features: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Give the columns without which a model refuses its input, and whether it wants just these, in their order."""
    first = model
    while True:
        name = f"{type(first).__module__.partition('.')[0]}.{type(first).__name__}"
        if name in {"sklearn.Pipeline", "imblearn.Pipeline"}:
            first = next((step for _, step in first.steps if step not in (None, "passthrough")), None)
        elif hasattr(first, "best_estimator_") and name.startswith("sklearn."):
            first = first.best_estimator_
        else:
            break
    if name == "sklearn.ColumnTransformer":
        parts = [chosen_columns(tuple(features), chosen) for _, step, chosen in first.transformers_ if step != "drop"]
        return tuple(dict.fromkeys(name for part in parts for name in part if name is not None)), False
    # These hand on whatever comes; what is inside them may want less than they were fitted with.
    loose = {"sklearn.FunctionTransformer", "sklearn.FeatureUnion", "builtins.NoneType"}
    return ((), False) if name in loose else (tuple(features), True)


def names_of(model: Any) -> tuple[str, ...]:
    """Give ``feature_names_in_``, of a pipeline or union those of its first step; nothing where it saw no names."""
    try:
        names = getattr(model, "feature_names_in_", None)
    except Exception:  # noqa: BLE001  a property of a model that has not been fitted raises what it likes
        names = None
    if names is not None:
        return tuple(str(name) for name in names)
    steps = getattr(model, "steps", None) or getattr(model, "transformer_list", None)
    doing = [step for _, step in steps if not isinstance(step, str | None)] if isinstance(steps, list) else []
    return names_of(doing[0]) if doing else ()


def _walk(step: Any, columns: Columns, found: Found) -> Columns:
    """Note what a step refuses, and give what it hands on."""
    if step is None or step == "passthrough":
        return columns
    if type(step).__module__.partition(".")[0] not in {"sklearn", "imblearn"}:
        return ()  # a class of somebody's own may do anything
    for cls in type(step).__mro__:
        if visit := _VISITS.get(f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"):
            return visit(step, columns, found)
    return ()


def _pipeline(step: Any, columns: Columns, found: Found) -> Columns:
    for _, inner in step.steps:
        columns = _walk(inner, columns, found)
    return columns


def _column_transformer(step: Any, columns: Columns, found: Found) -> Columns:
    for _, inner, chosen in getattr(step, "transformers_", ()):
        if inner != "drop":
            _walk(inner, chosen_columns(columns, chosen), found)
    return ()


def _union(step: Any, columns: Columns, found: Found) -> Columns:
    for _, inner in step.transformer_list:
        if inner != "drop":
            _walk(inner, columns, found)
    return ()


def _inner(*names: str) -> Callable[[Any, Columns, Found], Columns]:
    """Look into what a step hands its whole input to."""

    def visit(step: Any, columns: Columns, found: Found) -> Columns:
        for name in names:
            inner = getattr(step, name, None)
            for one in inner if isinstance(inner, list) else [inner]:
                _walk(one, columns, found)
        return ()

    return visit


def _frozen(step: Any, columns: Columns, found: Found) -> Columns:
    return _walk(step.estimator, columns, found)


def _function(step: Any, columns: Columns, _found: Found) -> Columns:
    return columns if step.func is None else ()


def _imputer(step: Any, columns: Columns, _found: Found) -> Columns:
    """Pass an imputer that fills nulls alone; columns without any value are dropped by it, and shift the others."""
    marker = step.missing_values
    nulls = marker is None or marker != marker or type(marker).__name__ == "NAType"  # noqa: PLR0124  NaN is not itself
    filled = getattr(step, "statistics_", None)
    values = [] if filled is None else filled.tolist()
    return columns if nulls and len(values) == len(columns) and not any(map(_is_null, values)) else ()


def _encoder(step: Any, columns: Columns, found: Found) -> Columns:
    categories = getattr(step, "categories_", None)
    if step.handle_unknown == "error" and categories is not None and len(categories) == len(columns):
        for name, known in zip(columns, categories, strict=True):
            values = tuple(value for value in known.tolist() if not _is_null(value))
            if name is None or not all(map(is_finite, values)):
                continue
            before = found.get(name, values)
            found[name] = tuple(value for value in before if value in values)
    return ()


def is_finite(value: Any) -> bool:
    """Tell whether JSON can write a scalar as it is."""
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _is_null(value: Any) -> bool:
    return value is None or bool(value != value)  # noqa: PLR0124  NaN is not itself


def chosen_columns(columns: Columns, chosen: Any) -> Columns:
    """Pick columns as a column transformer does: by name, position, slice or mask."""
    if isinstance(chosen, slice):
        if any(isinstance(bound, str) for bound in (chosen.start, chosen.stop)):
            # Slices of names include their end.
            first = 0 if chosen.start is None else _place(columns, chosen.start)
            last = len(columns) - 1 if chosen.stop is None else _place(columns, chosen.stop)
            return () if first is None or last is None else columns[first : last + 1]
        return columns[chosen]
    listed = [chosen] if isinstance(chosen, str | int) else list(_plain(chosen))
    if listed and all(isinstance(item, bool) for item in listed):
        return tuple(name for name, taken in zip(columns, listed, strict=False) if taken)
    if all(isinstance(item, str) for item in listed):
        return tuple(item if item in columns else None for item in listed)
    return tuple(
        columns[item] if isinstance(item, int) and -len(columns) <= item < len(columns) else None for item in listed
    )


def _place(columns: Columns, name: Any) -> int | None:
    return columns.index(name) if name in columns else None


def _plain(values: Iterable[Any]) -> Iterable[Any]:
    return values.tolist() if hasattr(values, "tolist") else values


_VISITS: Mapping[str, Callable[[Any, Columns, Found], Columns]] = {
    "sklearn.Pipeline": _pipeline,
    "imblearn.Pipeline": _pipeline,
    "sklearn.ColumnTransformer": _column_transformer,
    "sklearn.FeatureUnion": _union,
    "sklearn.BaseSearchCV": _inner("best_estimator_"),
    "sklearn.TransformedTargetRegressor": _inner("regressor_"),
    "sklearn.VotingClassifier": _inner("estimators_"),
    "sklearn.VotingRegressor": _inner("estimators_"),
    "sklearn.FrozenEstimator": _frozen,
    "sklearn.FunctionTransformer": _function,
    "sklearn.SimpleImputer": _imputer,
    "sklearn.OneHotEncoder": _encoder,
    "sklearn.OrdinalEncoder": _encoder,
}
"""How each class of step is looked at. A class that is not here changes its columns, for all that is known."""
