"""Fits the columns of a job to what a table can hold: types, values, and the columns that are there already."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.tables import CannotWrite, Run


class Nowhere:
    """Takes the rows of a part that is there already: the job needs them again for another of its outputs."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Leave them."""


def check_complete(name: str, run: Run, parts: Collection[int]) -> None:
    """Raise :class:`CannotWrite` (``output.incomplete``) where parts of a job are missing at its commit."""
    missing = [part for part in range(run.parts) if part not in parts]
    if missing:
        raise CannotWrite(
            f"{len(missing)} parts of {name} were not written, the first is number {missing[0]}",
            code="output.incomplete",
            hint="run the job again",
        )


class Unfit(Exception):
    """A type that a table cannot hold."""


def fitted(schema: pa.Schema, rule: Callable[[pa.DataType], pa.DataType], name: str, otherwise: str) -> pa.Schema:
    """Give the columns with the types in which a table holds them, by ``rule``, which raises :class:`Unfit`.

    Raises :class:`CannotWrite` (``output.types``) with all columns that it cannot hold.
    """
    fields, problems = [], []
    for field in schema:
        try:
            fields.append(pa.field(field.name, rule(field.type)))
        except Unfit as error:
            problems.append(Problem(f"$.{field.name}", str(field.type), _expected(error), "output.types"))
    if problems:
        raise CannotWrite(
            f"{name} cannot hold {len(problems)} of the columns",
            code="output.types",
            problems=problems,
            hint=f"leave them out with --keep or take another method; {otherwise}",
        )
    return pa.schema(fields)


def _expected(error: Unfit) -> str:
    return str(error.args[1]) if len(error.args) > 1 else "a type that it has"


def differences(schema: pa.Schema, there: pa.Schema, name: str, needed: frozenset[str] | None = None) -> pa.Schema:
    """Hold columns against those of a table that they are appended to, and give them with the types of that table.

    ``needed`` are the columns of the table that must be given, all of them for None. Numbers may become wider.

    Raises :class:`CannotWrite` (``output.schema``) with all differences.
    """
    problems = []
    for field in schema:
        if field.name not in there.names:
            problems.append(Problem(f"$.{field.name}", "a new column", "a column of the table", "output.schema"))
        elif not _holds(there.field(field.name).type, field.type):
            kind = there.field(field.name).type
            problems.append(Problem(f"$.{field.name}", str(field.type), str(kind), "output.schema"))
    problems += [
        Problem(f"$.{column}", "nothing", f"a column of {there.field(column).type}", "output.schema")
        for column in there.names
        if column not in schema.names and (needed is None or column in needed)
    ]
    if problems:
        raise CannotWrite(
            f"{name} has other columns than the rows that are to be appended: {len(problems)} differences",
            code="output.schema",
            problems=problems,
            hint="`--mode overwrite` replaces the table; `--rename` and `--keep` say what is written",
        )
    return pa.schema([field for field in there if field.name in schema.names])


def _holds(there: pa.DataType, given: pa.DataType) -> bool:
    """Whether a column of a table takes all values of a type as they are."""
    if there == given:
        return True
    is_integer = pa.types.is_signed_integer
    if is_integer(there) and is_integer(given):
        return bool(there.bit_width >= given.bit_width)
    if pa.types.is_floating(there) and pa.types.is_floating(given):
        return bool(there.bit_width >= given.bit_width)
    if pa.types.is_decimal(there) and pa.types.is_decimal(given):
        whole = there.precision - there.scale >= given.precision - given.scale
        return bool(there.scale >= given.scale and whole)
    if pa.types.is_timestamp(there) and pa.types.is_timestamp(given):
        return (there.tz is None) == (given.tz is None)
    if pa.types.is_nested(there) and pa.types.is_nested(given):
        return str(there).replace(" not null", "") == str(given).replace(" not null", "").replace("element", "item")
    return False


def converted(batch: pa.RecordBatch, schema: pa.Schema, name: str) -> pa.RecordBatch:
    """Give a batch the columns and types of a table.

    Raises :class:`CannotWrite` (``output.value``) for a value that would not stay what it is.
    """
    arrays = []
    for field in schema:
        array = batch.column(field.name)
        try:
            arrays.append(array if array.type == field.type else _cast(array, field.type))
        except pa.ArrowException as error:
            raise CannotWrite(
                f"{name} cannot hold a value of the column {field.name}: {error}",
                code="output.value",
                hint=f"the table holds it as {field.type}, and no value is changed to fit",
            ) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(array: pa.Array, type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return pc.cast(array, type_)


def json_schema(schema: pa.Schema, *, lists: bool) -> pa.Schema:
    """Give the columns with text in place of those that :func:`as_json` writes.

    These are the ones that hold records, which no column of a database is, and with ``lists`` all lists.
    """
    is_text = _nested if lists else _has_records
    return pa.schema([pa.field(field.name, pa.string() if is_text(field.type) else field.type) for field in schema])


def as_json(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Write as JSON text what ``schema`` has as text; what JSON has no form for is text in it."""
    arrays = [
        _json(column) if _nested(column.type) and pa.types.is_string(field.type) else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _nested(type_: pa.DataType) -> bool:
    return bool(pa.types.is_nested(type_))


def _has_records(type_: pa.DataType) -> bool:
    if not _nested(type_) or pa.types.is_struct(type_) or pa.types.is_map(type_):
        return _nested(type_)
    return any(_has_records(type_.field(at).type) for at in range(type_.num_fields))


def _json(column: pa.Array) -> pa.Array:
    texts = (
        None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in column.to_pylist()
    )
    return pa.array(texts, pa.string())
