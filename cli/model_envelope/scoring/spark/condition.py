"""``--where`` in Spark's words: the same filters as for the other engine, read by the same reader."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from model_envelope.scoring.filtering import read_filter

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def condition(text: str, frame: Any, schema: pa.Schema) -> Any:
    """Make the condition that a filter of a data frame takes; ``schema`` are its columns in Arrow's types.

    Raises :class:`InvalidJob` (``job.where``).
    """
    return read_filter(text, schema, words=_SparkWords(frame, schema))


@dataclass(frozen=True)
class _Term:
    """A column, or a value; Spark sorts NaN above all numbers and takes it as equal to itself, unlike all others."""

    said: Any
    nan: Any = None


class _SparkWords:
    def __init__(self, frame: Any, schema: pa.Schema) -> None:
        self.frame = frame
        self.schema = schema

    def column(self, name: str, plain: pa.DataType | None = None) -> Any:  # noqa: ARG002  Spark has but plain values
        from pyspark.sql import functions as f

        column = self.frame[quoted(name)]
        kind = self.schema.field(name).type
        if pa.types.is_boolean(kind):
            return column
        return _Term(column, f.isnan(column) if pa.types.is_floating(kind) else None)

    def cast(self, column: Any, type_: pa.DataType) -> Any:
        from pyspark.sql import functions as f

        if pa.types.is_decimal(type_):
            return _Term(_said(column).cast(f"decimal({type_.precision},{type_.scale})"))
        said = _said(column).cast("double")
        return _Term(said, f.isnan(said))

    def value(self, scalar: pa.Scalar) -> Any:
        from pyspark.sql import functions as f

        if pa.types.is_timestamp(scalar.type):
            moment = f.timestamp_micros(f.lit(scalar.cast(pa.timestamp("us", tz=scalar.type.tz)).value))
            # The session's time zone is UTC: the clock there shows what a moment without a zone says.
            return _Term(moment if scalar.type.tz is not None else moment.cast("timestamp_ntz"))
        return _Term(f.lit(scalar.as_py()))

    def compare(self, op: type[ast.cmpop], one: Any, other: Any) -> Any:
        compared = _COMPARE[op](_said(one), _said(other))
        for side in (one, other):
            if isinstance(side, _Term) and side.nan is not None:
                compared = compared | side.nan if op is ast.NotEq else compared & ~side.nan
        return compared

    def among(self, column: Any, values: pa.Array) -> Any:
        return _said(column).isin([_said(self.value(value)) for value in values])

    def is_null(self, column: Any) -> Any:
        return _said(column).isNull()


def _said(term: Any) -> Any:
    return term.said if isinstance(term, _Term) else term


def quoted(name: str) -> str:
    """Spell the name of a column so that Spark takes dots and blanks in it as they are."""
    return "`" + name.replace("`", "``") + "`"
