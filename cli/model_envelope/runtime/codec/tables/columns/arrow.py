"""Columns of pandas that hold Arrow's own arrays: built and written as the columns of Arrow's tables are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions
from model_envelope.runtime.codec.tables.columns.dtypes import arrow_storage
from model_envelope.runtime.codec.values.scalars import Refused
from model_envelope.runtime.errors import Problems


class ArrowValues:
    """The values of one column. ``types`` is None: the column of Arrow looks at them itself."""

    types: frozenset[type] | None = None

    def __init__(self, kind: s.Type, storage: str, definitions: Definitions) -> None:
        self.kind = kind
        self.storage = arrow_storage(storage)
        self.definitions = definitions

    @cached_property
    def column(self) -> Any:
        """The codec of the same column in a table of pyarrow."""
        from model_envelope.runtime.codec.tables.pyarrow import ArrowColumn

        return ArrowColumn(self.kind, self.storage, self.definitions)

    def admits(self, value: Any) -> bool:
        """Say whether the column of Arrow takes a value."""
        problems = Problems(limit=1)
        self.column.decode([value], lambda _at: "$", problems)
        return not problems

    def explain(self, values: Sequence[Any], path_of: Any, problems: Problems) -> None:
        """Note every value that does not belong in the column."""
        self.column.decode(values, path_of, problems)

    def build(self, values: Sequence[Any], null: bool) -> Any:  # noqa: ARG002  Arrow knows null
        """Build an array."""
        import pandas as pd

        problems = Problems(limit=1)
        array = self.column.decode(list(values), lambda _at: "$", problems)
        if problems:
            raise Refused("value")
        return pd.arrays.ArrowExtensionArray(array)

    def write(self, array: Any) -> list[Any]:
        """Write an array."""
        from model_envelope.runtime.codec.tables.pyarrow import whole

        problems = Problems(limit=1)
        written = self.column.encode(whole(array.__arrow_array__()), lambda _at: "$", problems)
        if problems:
            raise Refused("value")
        return list(written)
