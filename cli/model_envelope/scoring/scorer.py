"""Asks one method of a model for the rows of Arrow batches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.layout import PARAMETERS, arrow_schema, columns_of, inputs, layout_of, rows_of
from model_envelope.runtime.codec.arrow.spelling import arrow_type, from_json, spelled
from model_envelope.runtime.codec.arrow.streams import decode_table, encode_table
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload, Problem
from model_envelope.runtime.predicting import BoundMethod
from model_envelope.scoring.tables import InvalidJob, InvalidTable


class Scorer:
    """A method, and how its columns are found in a table.

    ``columns`` are what it needs, ``schema`` is that of what it answers: the columns of a table by their names, all
    else as one column that is called as the method is. ``parameters`` are values, as JSON, of parameters that have no
    rows. ``renamed`` says which column of the table stands for one of the signature, by the latter's name.

    Raises :class:`InvalidJob` for parameters that make no sense, and where neither what it takes nor what it gives has
    rows.
    """

    def __init__(
        self,
        bound: BoundMethod,
        *,
        parameters: Mapping[str, Any] | None = None,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self.bound = bound
        self.method = bound.signature
        self._said = dict(parameters or {})
        self._renamed = dict(renamed or {})
        layout = inputs(self.method)
        self.by_row = not layout.batches
        """Each row is one call: no parameter has rows, so the columns are the parameters themselves."""
        self._wanted = self._columns(layout)
        unknown = self._said.keys() - {item.name for item in self.method.parameters}
        if unknown or self._said.keys() & layout.batches.keys():
            names = ", ".join(sorted(unknown or self._said.keys() & layout.batches.keys()))
            free = [item.name for item in self.method.parameters if item.name not in layout.batches]
            raise InvalidJob(
                f"`{bound.name}` takes no single value for {names}",
                code="job.parameter",
                hint=f"it takes one for {', '.join(free) or 'nothing'}; the rest are columns of the table",
            )
        strange = self._renamed.keys() - self._wanted.keys()
        if strange:
            raise InvalidJob(
                f"`{bound.name}` needs no column {', '.join(sorted(strange))}",
                code="job.rename",
                hint=f"it needs {', '.join(self._wanted)}",
            )
        self.columns: tuple[str, ...] = tuple(self._renamed.get(name, name) for name in self._wanted)
        """The columns of the table that it reads."""
        self.types: Mapping[str, pa.DataType] = {
            self._renamed.get(name, name): type_ for name, type_ in self._wanted.items()
        }
        """The Arrow type of each: what a source without types makes of its text."""
        self.schema = self._answers()

    @property
    def wanted(self) -> Mapping[str, pa.DataType]:
        """The columns as the signature calls them, in the order of :attr:`columns`, with the Arrow type of each."""
        return self._wanted

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Give the answers for the rows of a batch that has :attr:`columns` (others are left alone), in their order.

        Raises :class:`InvalidPayload` with a problem for each bad cell (``$.X.age[17]``), ``ModelFailed``, and
        :class:`InvalidAnswer` where the answer is not of its type or has another number of rows.
        """
        if self.by_row:
            return self._one_by_one(batch)
        if not batch.num_rows:
            return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in self.schema], schema=self.schema)
        answer = self.bound.complete(self.bound.call(decode_table(self.bound.codec, self._request(batch))))
        written = encode_table(self.bound.codec, answer)
        if written.num_rows != batch.num_rows:
            raise InvalidAnswer(
                f"`{self.bound.name}` answered {batch.num_rows} rows with {written.num_rows}",
                code="answer.rows",
                hint="a batch job writes one answer beside each row",
            )
        return pa.RecordBatch.from_arrays(
            [column.cast(field.type) for column, field in zip(written.columns, self.schema, strict=True)],
            schema=self.schema,
        )

    def check(self, table: pa.Schema) -> None:
        """Raise :class:`InvalidTable` (``table.columns``) for all columns that a table lacks, with what it has."""
        missing = [name for name in self.columns if name not in table.names]
        if missing:
            raise InvalidTable(
                f"the table has no column {', '.join(missing)}, which `{self.bound.name}` needs",
                code="table.columns",
                problems=[
                    Problem(f"$.{name}", _alike(name, table.names), f"a column {name}", "table.columns")
                    for name in missing
                ],
                hint=f"it has {', '.join(table.names[:50])}; `--rename NAME=COLUMN` says which stands for another",
            )

    def _columns(self, layout: Any) -> dict[str, pa.DataType]:
        """Name the columns that the method needs, with the type that each has best."""
        if layout.batches:
            return {field.name: field.type for field in arrow_schema(self.method)}
        if not layout_of({"answer": self.method.returns}).batches and not self.method.parameters:
            raise InvalidJob(
                f"`{self.bound.name}` takes nothing, so there are no rows to ask it for",
                code="job.method",
                hint="name another method with --method",
            )
        needed = [
            item
            for item in self.method.parameters
            if item.kind not in {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD} and item.name not in self._said
        ]
        return {item.name: arrow_type(item.type) for item in needed}

    def _answers(self) -> pa.Schema:
        kind = self.method.returns
        if not self.by_row:
            layout = layout_of({"answer": kind})
            if not layout.batches:
                raise InvalidJob(
                    f"`{self.bound.name}` answers {kind.kind}, which has no row for each row that it is asked for",
                    code="job.method",
                    hint="name another method with --method",
                )
            fields = list(arrow_schema(self.method, "answer"))
            if columns_of(kind) is not None:
                return pa.schema(fields)
            rows, storage = rows_of(kind)
            return pa.schema([pa.field(self.bound.name, arrow_type(rows, storage), nullable=rows.nullable)])
        return pa.schema([pa.field(self.bound.name, arrow_type(kind), nullable=kind.nullable)])

    def _request(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Take out of a batch what the method needs, under the names of the signature."""
        arrays = [batch.column(name) for name in self.columns]
        metadata = {PARAMETERS: json.dumps(self._said).encode()} if self._said else None
        names = list(self._wanted)
        fields = [pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))

    def _one_by_one(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        kinds = {item.name: item.type for item in self.method.parameters}
        columns = {
            name: spelled(batch.column(column), kinds[name], null_is_nan=False)
            for name, column in zip(self._wanted, self.columns, strict=True)
        }
        answers = []
        for row in range(batch.num_rows):
            body = {name: values[row] for name, values in columns.items()} | self._said
            try:
                answers.append(self.bound.answer(body))
            except InvalidPayload as error:
                raise InvalidPayload(error.message, code=error.code, problems=_in_row(error.problems, row)) from None
        return pa.RecordBatch.from_arrays([from_json(answers, self.method.returns)], schema=self.schema)


def _in_row(problems: Sequence[Problem], row: int) -> list[Problem]:
    """Say in which row the problems of one row are: ``$.age`` becomes ``$.age[17]``."""
    return [Problem(f"{item.path}[{row}]", item.found, item.expected, item.code) for item in problems]


def _alike(name: str, known: Sequence[str]) -> str:
    for other in known:
        if other.strip().lower() == name.strip().lower():
            return f"{other}, which is spelled otherwise"
    return "nothing"
