"""Answers to the bytes of responses: of one request, or of several whose rows were answered by one call.

Where msgspec is installed it writes them, and the rows of a table go as records, without a dict for every row. The
JSON values are those of :meth:`MethodCodec.encode` (a property test holds the two together); numbers may be spelled
otherwise (``1e16`` for ``1e+16``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import MethodCodec
from model_envelope.runtime.codec.base import Nullable
from model_envelope.runtime.codec.merging import mergeable
from model_envelope.runtime.codec.text import Unwritten, dump_json, fast_writer, write_json, write_records
from model_envelope.runtime.errors import InvalidAnswer, Problem, Problems


def encode_answer(codec: MethodCodec, answer: Any) -> bytes:
    """Write an answer as JSON text: ``dump_json(codec.encode(answer))``, and faster where that is possible.

    Raises :class:`InvalidAnswer` where the model gave something that its signature does not allow.
    """
    return _writer(codec).write(answer)


def split_answer(codec: MethodCodec, answer: Any, counts: Sequence[int]) -> list[bytes]:
    """Write the answer to merged requests as one JSON text a request, each with the rows that are its own.

    Raises :class:`InvalidAnswer` where the signature does not allow the answer, and where it has not as many rows as
    the requests had together (``answer.rows``).
    """
    return _writer(codec).split(answer, counts)


def answer_to_nothing(codec: MethodCodec) -> Any:
    """Make the answer to a request without rows: none, of its type. Many models fail on no rows, and none is asked.

    None where that cannot be said: the method is not known to treat rows independently, or answers otherwise.
    """
    returns = codec.method.returns
    if not mergeable(codec.method) or not isinstance(returns, s.Table | s.Series | s.List | s.Tensor):
        return None
    problems = Problems(limit=1)
    found = codec.returns.decode([], "$", problems)
    return None if problems else found


class Writer:
    """Writes the answers of one method. ``row`` makes the record of a table's row; None where there is none."""

    def __init__(self, codec: MethodCodec) -> None:
        self.codec = codec
        returns = codec.method.returns
        self.axis = (returns.batch or 0) if isinstance(returns, s.Tensor) else 0
        self.row: Callable[..., Any] | None = None
        table: Any = codec.returns.inner if isinstance(codec.returns, Nullable) else codec.returns
        if isinstance(returns, s.Table):
            self.columns = table.encode_columns
            self.row = _record(tuple(table.columns))

    def write(self, answer: Any) -> bytes:
        """Write an answer."""
        if self.row is None or answer is None:
            return write_json(self.codec.encode(answer))
        try:
            return write_records(self._rows(answer))
        except Unwritten:
            return dump_json(self.codec.encode(answer))

    def split(self, answer: Any, counts: Sequence[int]) -> list[bytes]:
        """Write an answer in parts."""
        if self.row is not None and answer is not None:
            try:
                return self._parts(self._rows(answer), counts, write_records)
            except Unwritten:
                return self._parts(self.codec.encode(answer), counts, dump_json)
        return self._parts(self.codec.encode(answer), counts, write_json)

    def _parts(self, value: Any, counts: Sequence[int], write: Callable[[Any], bytes]) -> list[bytes]:
        total, found = sum(counts), self._length(value)
        if found != total:
            told = "no rows" if found is None else f"{found} rows"
            raise InvalidAnswer(
                f"the model answered {total} rows with {told}",
                code="answer.rows",
                problems=[Problem("$", told, f"{total} rows", "answer.rows")],
            )
        bounds = tuple(accumulate(counts, initial=0))
        if self.axis == 0 and isinstance(value, list):
            return [write(value[begin:end]) for begin, end in pairwise(bounds)]
        return [write(self._cut(value, self.axis, begin, end)) for begin, end in pairwise(bounds)]

    def _rows(self, answer: Any) -> list[Any]:
        row = self.row
        assert row is not None
        columns: Mapping[str, list[Any]] = self.codec.encode_by(self.columns, answer)
        return list(map(row, *columns.values()))

    def _length(self, value: Any) -> int | None:
        """Count the rows of an answer: of an array, or of an object of arrays that are equally long."""
        if isinstance(value, list):
            for _ in range(self.axis):
                if not value or not isinstance(value[0], list):
                    return None
                value = value[0]
            return len(value)
        if not isinstance(value, dict):
            return None
        lengths = {len(item) if isinstance(item, list) else None for item in value.values()}
        return lengths.pop() if len(lengths) == 1 else None

    def _cut(self, value: Any, axis: int, begin: int, end: int) -> Any:
        if isinstance(value, dict):
            return {name: item[begin:end] for name, item in value.items()}
        return value[begin:end] if axis == 0 else [self._cut(item, axis - 1, begin, end) for item in value]


def _record(names: tuple[str, ...]) -> Callable[..., Any] | None:
    """Make the record of a row; None where it cannot be, or would not be written fast."""
    if fast_writer() is None or not names:
        return None
    import msgspec

    fields = {f"c{at}": name for at, name in enumerate(names)}
    try:
        return msgspec.defstruct("Row", [(field, Any) for field in fields], rename=fields, gc=False)
    except ValueError:
        return None  # records have no fields whose names JSON has to escape


def _writer(codec: MethodCodec) -> Writer:
    writer = codec.made.get("writer")
    if writer is None:
        writer = codec.made["writer"] = Writer(codec)
    return writer
