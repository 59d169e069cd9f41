"""One column of a pandas table: a list of JSON values to an array in one go, and back.

The fast road looks at the set of the types in the column once. Only where that set, or building the array, says that
something is wrong is each value looked at by itself, to name every bad row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe
from model_envelope.runtime.codec.tables.columns import moments as m
from model_envelope.runtime.codec.tables.columns import values as v
from model_envelope.runtime.codec.tables.columns.arrow import ArrowValues
from model_envelope.runtime.codec.tables.columns.choices import Categories
from model_envelope.runtime.codec.tables.columns.dtypes import categories_storage, dtype_of, is_arrow, storage_of
from model_envelope.runtime.codec.values.scalars import INTEGERS, LARGEST, Refused, choices, expected
from model_envelope.runtime.errors import Problems

PathOf = Callable[[int], str]
_NONE = type(None)
_WRONG = (Refused, TypeError, ValueError, KeyError, OverflowError)

_HINTS: Mapping[Any, Any] = {
    frozenset({int}): int,
    frozenset({bool}): bool,
    frozenset({str}): str,
    frozenset({int, float}): float,
}


class ColumnCodec:
    """The values of one column. ``storage`` is the pandas dtype that the model saw when it was sealed."""

    def __init__(self, kind: s.Type, storage: str, definitions: Definitions) -> None:
        self.kind = kind
        self.storage = storage
        self.definitions = definitions
        self.values = values_for(kind, storage, definitions)
        self.types = None if self.values.types is None else self.values.types | ({_NONE} if kind.nullable else set())

    @cached_property
    def hint(self) -> Any:
        """The Python type that the JSON of each value is read as; Any where there are several."""
        known = _HINTS.get(self.values.types)
        if known is None:
            return Any
        return known | None if self.kind.nullable else known

    @cached_property
    def item(self) -> Codec:
        """The codec of one value by itself."""
        return codec_for(self.kind, self.definitions)

    @property
    def expected(self) -> str:
        """Say what a value has to be."""
        if isinstance(self.kind, s.Scalar):
            text = expected(self.kind)
            finest = self.kind.unit if self.kind.dtype in {"datetime", "timedelta"} else None
            return f"{text}, no finer than {finest}" if finest in {"s", "ms", "us"} else text
        if isinstance(self.kind, s.Choice):
            return choices(self.kind)
        if isinstance(self.kind, s.Record) and self.kind.style is s.Style.INTERVAL:
            return 'an interval {"left": ..., "right": ...}' + (", or null" if self.kind.nullable else "")
        return self.kind.kind

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Build the array, or note every value that does not belong in it."""
        found = set(map(type, values))
        if self.types is None or found <= self.types:
            try:
                return self.values.build(values, _NONE in found)
            except _WRONG:
                pass  # each value is looked at below
        self._explain(values, path_of, problems)
        return None

    def decode_known(self, values: Sequence[Any]) -> Any:
        """Build the array of values whose types are known to be right; None where one is refused all the same."""
        if self.hint is Any:
            problems = Problems(limit=1)
            built = self.decode(values, lambda _at: "$", problems)
            return None if problems else built
        try:
            return self.values.build(values, None in values)
        except _WRONG:
            return None

    def _explain(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> None:
        """Note every value that does not belong in the column."""
        before = len(problems.items) + problems.dropped
        if isinstance(self.values, ArrowValues):
            self.values.explain(values, path_of, problems)
        elif self.types is None:
            for at, value in enumerate(values):
                self.item.decode(value, path_of(at), problems)
        else:
            for at, value in enumerate(values):
                if type(value) not in self.types or (value is not None and not self.values.admits(value)):
                    problems.add(path_of(at), describe(value), self.expected, self._code(value))
        if len(problems.items) + problems.dropped == before:
            self._one_by_one(values, path_of, problems)

    def _code(self, value: Any) -> str:
        if value is None:
            return "payload.null"
        return "payload.choice" if isinstance(self.kind, s.Choice) else "payload.type"

    def _one_by_one(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> None:
        """Name the values of which no array can be built, though each looks well; the first few are enough."""
        for at, value in enumerate(values):
            try:
                self.values.build([value], value is None)
            except _WRONG:
                problems.add(path_of(at), describe(value), self.expected, self._code(value))
                if len(problems.items) >= problems.limit:
                    return
        if not problems:
            problems.add(
                path_of(0), "values that make no column together", f"a column of {self.expected}", "payload.type"
            )

    def encode(self, series: Any, path_of: PathOf, problems: Problems) -> list[Any]:
        """Write the values of a series or index as a list of JSON values."""
        if self._is_stored(series.dtype):
            try:
                written = self.values.write(series.array)
            except _WRONG:
                pass  # each value is looked at below
            else:
                if self.kind.nullable or None not in written:
                    return written
        return self._write_each(series, path_of, problems)

    @cached_property
    def _dtype(self) -> Any:
        return dtype_of(self.storage)

    def _is_stored(self, dtype: Any) -> bool:
        if self.storage.startswith("category"):
            return str(dtype) == "category"
        return bool(dtype == self._dtype)

    def _write_each(self, series: Any, path_of: PathOf, problems: Problems) -> list[Any]:
        """Write values that come in another dtype than was sealed, or that are not all admitted."""
        found: list[Any] = []
        for at, value in enumerate(v.present(series.array)):
            if value is None and self._null_is_nan:
                found.append(None)
            elif value is not None and type(value).__module__.partition(".")[0] == "pandas":
                found.append(self._write_pandas(value, path_of(at), problems))
            else:
                found.append(self.item.encode(value, path_of(at), problems))
        return found

    @property
    def _null_is_nan(self) -> bool:
        return isinstance(self.kind, s.Scalar) and self.kind.dtype in LARGEST and self.kind.nullable

    def _write_pandas(self, value: Any, path: str, problems: Problems) -> Any:
        import pandas as pd

        index = pd.Index([value])
        kind = kind_of_dtype(index.dtype)
        if kind is not None and type(kind) is type(self.kind) and not isinstance(self.kind, s.Choice):
            try:
                (written,) = values_for(kind, storage_of(index.dtype), self.definitions).write(index.array)
            except _WRONG:
                written = None
            if written is not None and (
                self.types is None or (type(written) in self.types and self.values.admits(written))
            ):
                return written
        problems.add(path, describe(value), self.expected, "answer.type")
        return None


def values_for(kind: s.Type, storage: str, definitions: Definitions) -> v.Values:
    """Choose how the values of a column are built and written."""
    if is_arrow(storage):
        return ArrowValues(kind, storage, definitions)
    if isinstance(kind, s.Choice) and storage.startswith("category"):
        inner = categories_storage(storage)
        scalar = categories_kind(inner) if inner else None
        return Categories(kind, None if scalar is None or inner is None else values_for(scalar, inner, definitions))
    if isinstance(kind, s.Record) and kind.style is s.Style.INTERVAL and storage.startswith("interval["):
        side = storage.removeprefix("interval[").rpartition(", ")[0]
        ends = s.with_nullable(kind.fields[0].type, nullable=kind.nullable)
        return m.Intervals(storage, values_for(ends, side, definitions))
    if isinstance(kind, s.Scalar):
        if kind.dtype in INTEGERS:
            return v.Integers(kind, storage)
        if kind.dtype in LARGEST:
            return v.Floats(kind, storage)
        if kind.dtype == "bool":
            return v.Booleans(storage)
        if kind.dtype == "string":
            return v.Strings(storage)
        if kind.dtype == "datetime" and storage.startswith("datetime64["):
            return m.Moments(kind, storage)
        if kind.dtype == "timedelta" and storage.startswith("timedelta64["):
            return m.Durations(kind)
        if kind.dtype == "period" and storage.startswith("period["):
            return m.Periods(storage)
    return v.Items(kind, storage, definitions)


def categories_kind(storage: str) -> s.Type | None:
    """Give the type of categories of a dtype; None for one that cannot be written."""
    if storage == "object":
        return s.Scalar("string")
    kind = kind_of_dtype(dtype_of(storage))
    if isinstance(kind, s.Scalar) and kind.dtype.startswith("float"):
        return replace(kind, non_finite=True)
    if isinstance(kind, s.Record):
        ends = [
            replace(field, type=replace(field.type, non_finite=field.type.dtype.startswith("float")))
            for field in kind.fields
            if isinstance(field.type, s.Scalar)
        ]
        return replace(kind, fields=tuple(ends))
    return kind


def kind_of_dtype(dtype: Any) -> s.Type | None:
    """Give the type that a dtype says by itself, without null and NaN; None where its values have to say it."""
    storage = storage_of(dtype)
    if is_arrow(storage):
        return None
    if storage.startswith("Sparse["):
        return kind_of_dtype(dtype.subtype)
    logical = storage.lower()
    if logical in INTEGERS or logical in LARGEST or logical in {"complex64", "complex128"}:
        return s.Scalar(logical)
    if logical in {"bool", "boolean"}:
        return s.Scalar("bool")
    if storage.partition("[")[0] in {"str", "string"}:
        return s.Scalar("string")
    if storage.startswith("datetime64["):
        unit = storage.removeprefix("datetime64[").rstrip("]").partition(", ")
        return s.Scalar("datetime", unit=unit[0], timezone=unit[2] or None)
    if storage.startswith("timedelta64["):
        return s.Scalar("timedelta", unit=storage.removeprefix("timedelta64[").rstrip("]"))
    if storage.startswith("period["):
        return s.Scalar("period", unit=storage.removeprefix("period[").rstrip("]"))
    if storage.startswith("interval["):
        end = kind_of_dtype(dtype.subtype)
        return None if end is None else s.Record((s.Field("left", end), s.Field("right", end)), style=s.Style.INTERVAL)
    return None
