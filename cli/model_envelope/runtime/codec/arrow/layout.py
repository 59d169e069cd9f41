"""Which values of a method have rows, and are columns of an Arrow stream: see :mod:`codec.arrow.streams`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.spelling import arrow_type, row_of
from model_envelope.runtime.codec.tables.cells import json_only

PARAMETERS = b"model_envelope.parameters"
"""Where in a schema's metadata the parameters without rows stand, as one JSON object."""
ANSWER = b"model_envelope.answer"
"""Where in a schema's metadata an answer without rows stands, as JSON."""
ENCODING = {b"model_envelope.encoding": b"json"}
"""The metadata of a field whose text is JSON: values that Arrow has no type for."""

MEDIA_TYPE = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Layout:
    """Which values have rows, by the name of their parameter; ``alone`` says that there is one, which is a table."""

    batches: Mapping[str, s.Type]

    @property
    def alone(self) -> bool:
        """Tell whether the columns of the stream are those of one table."""
        return len(self.batches) == 1 and columns_of(next(iter(self.batches.values()))) is not None


def layout_of(kinds: Mapping[str, s.Type]) -> Layout:
    """Find the values that have rows: tables, series and arrays; where there are none of these, lists."""
    found = {name: kind for name, kind in kinds.items() if _has_rows(kind)}
    return Layout(found or {name: kind for name, kind in kinds.items() if isinstance(kind, s.List)})


def _has_rows(kind: s.Type) -> bool:
    return isinstance(kind, s.Table | s.Series) or (
        isinstance(kind, s.Tensor) and bool(kind.shape) and kind.layout is None and not kind.batch
    )


def inputs(method: s.Method) -> Layout:
    """Find the parameters of a method that have rows."""
    variadic = {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD}
    return layout_of({item.name: item.type for item in method.parameters if item.kind not in variadic})


def columns_of(kind: s.Type) -> tuple[s.Column, ...] | None:
    """Give the columns of a table, or of a series that travels with its index; None for what is one column."""
    if isinstance(kind, s.Table):
        return (*kind.index, *kind.columns)
    if isinstance(kind, s.Series) and kind.index:
        from model_envelope.runtime.codec.tables.pandas import value_name

        return (*kind.index, s.Column(value_name(kind), kind.item, kind.storage))
    return None


def rows_of(kind: s.Type) -> tuple[s.Type, str | None]:
    """Give the type of one row, and its storage where that is Arrow's own."""
    if isinstance(kind, s.Series):
        return kind.item, own(kind.storage, kind.flavor)
    return (row_of(kind) if isinstance(kind, s.Tensor) else kind.item if isinstance(kind, s.List) else kind), None


def own(storage: str, flavor: s.Flavor) -> str | None:
    """Give a column's storage where it is Arrow's own."""
    return storage if flavor is s.Flavor.PYARROW else None


def arrow_schema(method: s.Method, side: Literal["parameters", "answer"] = "parameters") -> Any:
    """Give the Arrow schema of a method's requests or answers.

    What is read is more than that: wider integers, other widths of strings, text for dates. Values without rows are no
    columns.
    """
    import pyarrow as pa

    layout = inputs(method) if side == "parameters" else layout_of({"answer": method.returns})
    fields: list[Any] = []
    for name, kind in layout.batches.items():
        columns = columns_of(kind)
        if columns is None:
            fields.append(field_of(name, *rows_of(kind)))
            continue
        flavor = kind.flavor if isinstance(kind, s.Table) else s.Flavor.PANDAS
        inner = [field_of(column.name, column.type, own(column.storage, flavor)) for column in columns]
        fields += inner if layout.alone else [pa.field(name, pa.struct(inner), nullable=False)]
    return pa.schema(fields)


def field_of(name: str, kind: s.Type, storage: str | None) -> Any:
    """Give the Arrow field of a column."""
    import pyarrow as pa

    metadata = ENCODING if json_only(kind) and storage is None else None
    return pa.field(name, arrow_type(kind, storage), nullable=kind.nullable, metadata=metadata)
