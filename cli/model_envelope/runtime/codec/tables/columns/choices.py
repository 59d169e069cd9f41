"""Categories in the columns of pandas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.tables.columns.values import Values
from model_envelope.runtime.codec.values.scalars import Refused


class Categories:
    """A categorical. ``inner`` holds the categories where pandas would not infer their dtype from the values."""

    def __init__(self, kind: s.Choice, inner: Values | None) -> None:
        self.kind = kind
        self.inner = inner
        self.places: dict[Any, int] = {_typed(value): at for at, value in enumerate(kind.values)}
        kinds = {type(value) for value in kind.values}
        # In JSON a whole float may be written like an integer.
        self.types: frozenset[type] | None = frozenset(kinds | {int} if kinds == {float} else kinds)
        self.mixed = len(kinds) > 1
        self.codes: dict[Any, int] = {value: at for at, value in enumerate(kind.values)} | {None: -1}

    def admits(self, value: Any) -> bool:
        """Say whether a value is one of the categories."""
        return _typed(value) in self.places if self.mixed else value in self.codes

    def build(self, values: Sequence[Any], null: bool) -> Any:  # noqa: ARG002  null has a code too
        """Build a categorical of codes."""
        import numpy as np
        import pandas as pd

        place = self._place if self.mixed else self.codes.__getitem__
        codes = np.fromiter(map(place, values), dtype=np.int32, count=len(values))
        return pd.Categorical.from_codes(codes, dtype=self.dtype, validate=False)

    def _place(self, value: Any) -> int:
        return -1 if value is None else self.places[_typed(value)]

    @cached_property
    def dtype(self) -> Any:
        """The dtype, made once."""
        import pandas as pd

        values = list(self.kind.values)
        if self.inner is None:
            categories = pd.Index(values)
        else:
            built = self.inner.build([self._read(value) for value in values], null=False)
            categories = pd.Index(built, dtype=built.dtype)
        return pd.CategoricalDtype(categories, ordered=self.kind.ordered)

    def _read(self, value: Any) -> Any:
        return read_interval(value) if self.inner and _are_intervals(self.inner) else value

    def write(self, array: Any) -> list[Any]:
        """Write categories, missing ones as null. Those of the array may be fewer than those that were sealed."""
        spelled = spell_categories(array.categories, self.inner)
        if not all(_typed(value) in self.places for value in spelled):
            used = {spelled[code] for code in set(array.codes.tolist()) if code >= 0}
            if not all(_typed(value) in self.places for value in used):
                raise Refused("choice")
        spelled.append(None)
        return [spelled[code] for code in array.codes.tolist()]


def spell_categories(categories: Any, inner: Values | None) -> list[Any]:
    """Write categories as JSON scalars: intervals as text, ``(0.0, 10.0]``."""
    if inner is None:
        return [value.item() if hasattr(value, "item") else value for value in categories.tolist()]
    written = inner.write(categories.array)
    if not _are_intervals(inner):
        return written
    return [_interval_text(value, categories.closed) for value in written]


def _are_intervals(values: Values) -> bool:
    return values.types is not None and dict in values.types


def _interval_text(value: dict[str, Any], closed: str) -> str:
    opening = "[" if closed in {"left", "both"} else "("
    return f"{opening}{value['left']}, {value['right']}{']' if closed in {'right', 'both'} else ')'}"


def read_interval(text: str) -> dict[str, Any]:
    """Read an interval that is written as text, with its ends as JSON values."""
    left, _, right = text[1:-1].partition(", ")
    return {"left": _end(left), "right": _end(right)}


def _end(text: str) -> Any:
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text


def _typed(value: Any) -> tuple[type, Any]:
    return (type(value), value)
