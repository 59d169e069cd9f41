"""What the columns of a job hold, beside what those of the training samples held: the first look at drift.

Counted batch by batch with Arrow's own kernels, and merged: the mean and the variance as Chan, Golub and LeVeque do.
Rows and nulls are counted of all; the rest of every batch in the beginning and of some later ones, chosen by their
number alone, so that the same job sees the same rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.runtime.reading import read_json
from model_envelope.scoring.scorer import Scorer

TOP = 10
"""How many of the most frequent values are told."""
DISTINCT = 10_000
"""How many different values of a column are counted; of what comes later, only what is known already."""
FIRST = 4
"""So many batches are looked at in the beginning."""
EVERY = 16
"""Of the later ones, one in so many."""


class Column:
    """Statistics of one column; ``baseline`` is what observations.json says of it."""

    def __init__(self, baseline: Mapping[str, Any] | None = None) -> None:
        self.baseline = baseline or {}
        self.count = 0
        self.nulls = 0
        self.looked = 0
        self.infinite = 0
        self.numbers = 0
        self.mean = 0.0
        self.squares = 0.0
        self.least: Any = None
        self.most: Any = None
        self.values: Counter[Any] = Counter()
        self.overflown = False
        self.outside = 0
        self.unknown = 0

    def see(self, array: pa.Array, *, look: bool) -> None:
        """Add the values of a batch; without ``look`` only how many there are."""
        self.count += len(array)
        if pa.types.is_floating(array.type):
            self.nulls += pc.sum(array.is_null(nan_is_null=True)).as_py() or 0 if look or array.null_count else 0
        else:
            self.nulls += array.null_count
        if not look:
            return
        self.looked += len(array)
        kind = array.type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
            self._numbers(array.cast(pa.float64(), safe=False))
        elif pa.types.is_temporal(kind) and not pa.types.is_interval(kind) and not pa.types.is_duration(kind):
            self._ends(pc.min_max(array).as_py())
        elif pa.types.is_boolean(kind) or pa.types.is_dictionary(kind) or _is_text(kind):
            self._categories(array)

    def _numbers(self, array: pa.Array) -> None:
        finite = array
        if array.null_count or not pc.all(pc.is_finite(array), min_count=0).as_py():
            self.infinite += pc.sum(pc.is_inf(array)).as_py() or 0
            finite = array.filter(pc.is_finite(array))
        count = len(finite)
        if not count:
            return
        self._ends(pc.min_max(finite).as_py())
        self._add(count, pc.mean(finite).as_py(), pc.variance(finite).as_py() * count)
        least, most = self.baseline.get("min"), self.baseline.get("max")
        if isinstance(least, int | float) and isinstance(most, int | float):
            beyond = pc.or_(pc.less(finite, float(least)), pc.greater(finite, float(most)))
            self.outside += pc.sum(beyond).as_py() or 0

    def _add(self, count: int, mean: float, squares: float) -> None:
        """Add numbers: how many, their mean, and the sum of the squares of how far they are from it."""
        apart = mean - self.mean
        total = self.numbers + count
        self.squares += squares + apart * apart * self.numbers * count / total
        self.mean += apart * count / total
        self.numbers = total

    def merge(self, other: Column) -> None:
        """Add what another has seen of other rows of the same column."""
        for name in ("count", "nulls", "looked", "infinite", "outside", "unknown"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.numbers:
            self._add(other.numbers, other.mean, other.squares)
        self._ends({"min": other.least, "max": other.most})
        self.overflown |= other.overflown
        for value, count in other.values.items():
            self._value(value, count)

    def _ends(self, ends: Mapping[str, Any]) -> None:
        if ends["min"] is None:
            return
        self.least = ends["min"] if self.least is None else min(self.least, ends["min"])
        self.most = ends["max"] if self.most is None else max(self.most, ends["max"])

    def _categories(self, array: pa.Array) -> None:
        known = self._known()
        for pair in pc.value_counts(array).to_pylist():
            value, count = pair["values"], pair["counts"]
            if value is None:
                continue
            if known is not None and value not in known:
                self.unknown += count
            self._value(value, count)

    def _value(self, value: Any, count: int) -> None:
        if value in self.values or len(self.values) < DISTINCT:
            self.values[value] += count
        else:
            self.overflown = True

    def _known(self) -> set[Any] | None:
        """Give all values that the samples had, where observations.json lists all of them."""
        top = self.baseline.get("top")
        if top is None or self.baseline.get("distinct") != len(top):
            return None
        return {value for value, _ in top}

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form: the keys of observations.json where it has them, ``baseline`` what that says."""
        found: dict[str, Any] = {"count": self.count, "nulls": self.nulls, "observed": self.looked}
        if self.numbers:
            found |= {
                "min": _rounded(self.least),
                "max": _rounded(self.most),
                "mean": _rounded(self.mean),
                "std": _rounded(math.sqrt(self.squares / self.numbers)),
            }
            if self.infinite:
                found["infinite"] = self.infinite
        elif self.least is not None:
            found |= {"min": self.least.isoformat(), "max": self.most.isoformat()}
        if self.values:
            ranked = sorted(self.values.items(), key=lambda item: (-item[1], str(item[0])))
            found["distinct"] = len(self.values)
            if self.overflown:
                found["distinct_at_least"] = True
            found["top"] = [[value, count] for value, count in ranked[:TOP]]
        if self.looked and _is_number(self.baseline.get("min")) and self.numbers:
            found["outside_share"] = _rounded(self.outside / self.looked)
        if self.looked and self.values and self._known() is not None:
            found["unknown_share"] = _rounded(self.unknown / self.looked)
        if self.baseline:
            keys = ("count", "nulls", "distinct", "min", "max", "mean", "std", "top")
            found["baseline"] = {key: self.baseline[key] for key in keys if key in self.baseline}
        return found


class Observer:
    """Statistics of the columns of a table; ``baseline`` are those of observations.json, by the name of the column."""

    def __init__(self, baseline: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> None:
        """``names`` are the columns to see, each with what observations.json calls it."""
        self.columns = {name: Column(baseline.get(sealed)) for name, sealed in names.items()}
        self._seen = 0

    def see(self, batch: pa.RecordBatch) -> None:
        """Add the columns of a batch."""
        look = self._seen < FIRST or self._seen % EVERY == 0
        self._seen += 1
        for name, column in self.columns.items():
            column.see(batch.column(name), look=look)

    def merge(self, other: Observer) -> None:
        """Add what another has seen of other rows of the same table."""
        self._seen += other._seen
        for name, column in self.columns.items():
            column.merge(other.columns[name])

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form, by column."""
        return {name: column.to_document() for name, column in self.columns.items()}


def observers(envelope: Path, scorer: Scorer) -> tuple[Observer, Observer]:
    """Make those of what a method takes and of what it gives, with what the envelope says of its training samples."""
    path = envelope / "observations.json"
    document = read_json(path).get(scorer.bound.name, {}) if path.is_file() else {}
    sealed = dict(zip(scorer.columns, scorer.wanted, strict=True))
    answers = baselines(document, "answers")
    if len(scorer.schema) == 1 and "value" in answers:
        answers = {scorer.schema.names[0]: answers["value"]}
    inputs = Observer(baselines(document, "inputs"), sealed)
    return inputs, Observer(answers, {name: name for name in scorer.schema.names})


def baselines(document: Any, side: str) -> dict[str, Mapping[str, Any]]:
    """Take the columns of the inputs or the answers out of what observations.json says of a method."""
    found = document.get(side, {}) if isinstance(document, Mapping) else {}
    tables = [found] if side == "answers" else list(found.values())
    merged: dict[str, Mapping[str, Any]] = {}
    if side == "inputs":
        # A parameter that is one column is observed as `value`; a job calls it by the parameter.
        merged |= {name: one["columns"]["value"] for name, one in found.items() if "value" in one.get("columns", {})}
    for table in tables:
        merged |= table.get("columns", {})
    return merged


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")
