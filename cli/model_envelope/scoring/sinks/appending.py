"""Whether rows go with those that a folder has already."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.sinks.formats import Style
from model_envelope.scoring.sinks.places import Local, Remote
from model_envelope.scoring.tables import CannotWrite


def check_columns(place: Local | Remote, path: str, style: Style, schema: pa.Schema, name: str) -> None:
    """Raise :class:`CannotWrite` (``output.schema``) where a file that is there has other columns than the new rows.

    CSV and JSON Lines are compared by the names of columns: they say no types.
    """
    with place.open_read(path) as file:
        found = _columns(file, style)
    if found is None:
        return
    wanted = {field.name: _plain(field.type) for field in schema}
    if style.format in {"csv", "jsonl"}:
        wanted = dict.fromkeys(wanted)
    if style.format == "csv" and list(found) != list(wanted) and set(found) == set(wanted):
        raise CannotWrite(
            f"{name} has its columns in another order: {', '.join(found)}",
            code="output.schema",
            hint=f"these rows have {', '.join(wanted)}; write elsewhere, or order --keep alike",
        )
    problems = [
        Problem(f"$.{column}", _said(column, found), _said(column, wanted), "output.schema")
        for column in dict.fromkeys([*wanted, *found])
        if (column in wanted) != (column in found) or wanted[column] != found[column]
    ]
    if problems:
        raise CannotWrite(
            f"{name} has other columns than the rows that are to be added",
            code="output.schema",
            problems=problems,
            hint="write elsewhere, or replace what is there with --mode overwrite",
        )


def _columns(file: Any, style: Style) -> dict[str, Any] | None:
    if style.format == "parquet":
        return {field.name: _plain(field.type) for field in pq.read_schema(file)}
    if style.format == "arrow":
        schema = (pa.ipc.open_stream if style.stream else pa.ipc.open_file)(file).schema
        return {field.name: _plain(field.type) for field in schema}
    text: Any = file if style.compression == "none" else pa.CompressedInputStream(file, style.compression)
    if style.format == "csv":
        if not style.header:
            return None
        parse = pa_csv.ParseOptions(delimiter=style.delimiter, newlines_in_values=True)
        with pa_csv.open_csv(text, parse_options=parse) as reader:
            return dict.fromkeys(reader.schema.names)
    line = b""
    while b"\n" not in line and (more := text.read(65_536)):
        line += more
    return dict.fromkeys(json.loads(line.partition(b"\n")[0])) if line else None


def _plain(kind: Any) -> Any:
    """Give the type as files of other programs have it: how text and bytes are kept in memory does not matter."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def _said(column: str, columns: dict[str, Any]) -> str:
    if column not in columns:
        return "no such column"
    return "a column" if columns[column] is None else f"a column of {columns[column]}"
