"""Tables as CSV against the same signature: RFC 4180 in UTF-8, with a header.

An empty field is null, and a quoted empty one an empty string. Everything else is read as the JSON of its column would
be: ``3.7`` is no integer, ``True`` no boolean, ``2020-01-31`` no number. So CSV and JSON agree on what is admitted and
what it becomes, and the problems are the same, with the line where each stands.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import Arguments, MethodCodec, arrange
from model_envelope.runtime.codec.base import under
from model_envelope.runtime.codec.values.scalars import INTEGERS, LARGEST
from model_envelope.runtime.errors import Found, InvalidAnswer, InvalidPayload, Problem, Problems

_HINT = "send JSON (application/json), which can say everything that the signature admits"
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_FIELD = re.compile(r'"((?:[^"]++|"")*+)"|([^",\r\n]*)')
_SPECIAL = re.compile(r'[",\r\n]')
_AS_TEXT = frozenset(s.SCALARS) - {"null", "bool", "complex64", "complex128", *INTEGERS, *LARGEST}

Cell = str | None
Read = Callable[[str], Any]


@dataclass(frozen=True)
class Sheet:
    """The fields of a CSV text: None where one is empty and not quoted. ``lines`` says where each row begins."""

    header: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    lines: Sequence[int]


def reads_csv(method: s.Method) -> bool:
    """Tell whether requests of a method can come as CSV."""
    try:
        parameter = _table_parameter(method)
    except InvalidPayload:
        return False
    return all(field_reader(column.type) for column in (*parameter.type.index, *parameter.type.columns))


def writes_csv(method: s.Method) -> bool:
    """Tell whether answers of a method can go as CSV."""
    try:
        _, kinds = _answer_columns(method.returns)
    except InvalidAnswer:
        return False
    return all(field_reader(kind) for kind in kinds)


def decode_csv(codec: MethodCodec, raw: bytes) -> Arguments:
    """Decode a table in CSV for a method that takes one table, and nothing else that it must have.

    Raises :class:`InvalidPayload` with everything that is wrong: ``payload.malformed`` where the text is no CSV in
    UTF-8, ``payload.not-tabular`` where the method takes something that CSV cannot say.
    """
    parameter = _table_parameter(codec.method)
    readers = {column.name: field_reader(column.type) for column in (*parameter.type.index, *parameter.type.columns)}
    _refuse_nested([f"$.{parameter.name}.{name}" for name, read in readers.items() if read is None])
    sheet = read_sheet(raw)
    place = {name: at for at, name in enumerate(sheet.header)}
    columns = {
        name: [None if (field := row[at]) is None else _read(readers.get(name), field) for row in sheet.rows]
        for name, at in place.items()
    }
    problems = Problems()
    path = f"$.{parameter.name}"
    value = codec.parameters[parameter.name][1].decode(columns, path, problems)
    if problems:
        problems.items = [_in_csv(problem, path, sheet) for problem in problems.items]
        raise InvalidPayload(
            problems.summary("the CSV does not fit the signature"), code="payload.invalid", problems=problems.items
        )
    return arrange(codec.method.parameters, {parameter.name: value}, codec.definitions)


def encode_csv(codec: MethodCodec, answer: Any) -> bytes:
    """Write an answer as CSV: a table, a series, a list of plain values or records, an array of up to two dimensions.

    Raises :class:`InvalidAnswer`: ``answer.not-tabular`` for any other, and as :meth:`MethodCodec.encode` does.
    """
    header, kinds = _answer_columns(codec.method.returns)
    nested = [name for name, kind in zip(header or (), kinds, strict=False) if field_reader(kind) is None]
    if header is not None and nested:
        raise _not_tabular_answer(f"its columns {', '.join(nested[:20])} hold nested values")
    value = codec.encode(answer)
    rows: list[Sequence[Any]]
    if header is None:
        if not isinstance(value, list):
            raise _not_tabular_answer(f"it is {codec.method.returns.kind}")
        width = len(value[0]) if value and isinstance(value[0], list) else 1
        header = tuple(str(at) for at in range(width)) if isinstance(value[:1], list) and width > 1 else ("value",)
        rows = [item if isinstance(item, list) else [item] for item in value]
    elif value and isinstance(value[0], dict):
        rows = [[row.get(name) for name in header] for row in value]
    else:
        rows = [[item] for item in value or ()]
    return write_sheet(header, rows)


def write_sheet(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Write plain JSON values as CSV."""
    lines = [",".join(quoted(name) for name in header)]
    lines += [",".join(map(_cell, row)) for row in rows]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return quoted(value) if type(value) is str else json.dumps(value)


def quoted(text: str) -> str:
    """Write a text as a field that is read as it."""
    if text and not _SPECIAL.search(text) and text[0] != "\ufeff":
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def read_sheet(raw: bytes) -> Sheet:
    """Take a CSV text apart.

    Raises :class:`InvalidPayload` (``payload.malformed``) for text that is no UTF-8, quotes that do not close, and
    lines that have more or fewer fields than the header, all of them at once.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _malformed(
            f"byte {error.start} (line {line}) is no UTF-8", "save the file as UTF-8; spreadsheets call it CSV UTF-8"
        ) from None
    if not text:
        raise _malformed("it is empty", "send a header with the names of the columns, and a line for each row")
    records, lines = _with_quotes(text) if '"' in text else _without_quotes(text)
    header = tuple(name or "" for name in records[0])
    problems = Problems()
    for name, times in Counter(header).items():
        if times > 1:
            problems.add("line 1", f'the column "{name[:40]}" {times} times', "distinct names", "payload.duplicate")
    width = len(header)
    for at, record in enumerate(records):
        if len(record) != width:
            problems.add(
                f"line {lines[at]}", _fields(len(record)), f"{_fields(width)}, as in the header", "payload.ragged"
            )
    if problems:
        raise InvalidPayload(
            problems.summary("the body is no CSV"),
            code="payload.malformed",
            problems=problems.items,
            hint='separate fields by commas, and put a field with a comma, a quote or a line break in quotes ("")',
        )
    return Sheet(header, records[1:], lines[1:])


def _without_quotes(text: str) -> tuple[list[list[Cell]], Sequence[int]]:
    rows = text.replace("\r\n", "\n").split("\n")
    if rows[-1] == "":
        rows.pop()
    for at, row in enumerate(rows):
        if "\r" in row:
            raise _malformed(f"line {at + 1} has a carriage return without a line feed", "end lines with CR LF or LF")
    return [[field or None for field in row.split(",")] for row in rows], range(1, len(rows) + 1)


def _with_quotes(text: str) -> tuple[list[list[Cell]], Sequence[int]]:
    records: list[list[Cell]] = []
    lines: list[int] = []
    at, line, end = 0, 1, len(text)
    while at < end:
        record: list[Cell] = []
        lines.append(line)
        while True:
            found = _FIELD.match(text, at)
            assert found is not None, "the second form may be empty"
            quoted = found[1]
            if quoted is not None:
                record.append(quoted.replace('""', '"'))
                line += quoted.count("\n")
            else:
                record.append(found[2] or None)
            at = found.end()
            if at < end and text[at] == ",":
                at += 1
                continue
            break
        if at < end:
            at = _line_end(text, at, line)
            line += 1
        records.append(record)
    return records, lines


def _line_end(text: str, at: int, line: int) -> int:
    if text[at] == "\n":
        return at + 1
    if text.startswith("\r\n", at):
        return at + 2
    if text[at] == "\r":
        raise _malformed(f"line {line} has a carriage return without a line feed", "end lines with CR LF or LF")
    if text[at] == '"':
        raise _malformed(
            f"line {line} has a quote that does not belong there, or that is never closed",
            'put the whole field in quotes, and write a quote in it twice: "say ""hi"""',
        )
    raise _malformed(f"line {line} has text behind a closing quote", "end the field with its quote")


def _table_parameter(method: s.Method) -> Any:
    tables = [item for item in method.parameters if isinstance(item.type, s.Table)]
    others = [
        item.name
        for item in method.parameters
        if item.required and item not in tables and item.kind not in {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD}
    ]
    if len(tables) == 1 and not others:
        return tables[0]
    what = ", ".join(others) if others else f"{len(tables)} tables" if tables else "no table"
    raise InvalidPayload(
        f"CSV holds one table, and the method takes {what}{' beside' if others else ''}",
        code="payload.not-tabular",
        hint=_HINT,
    )


def _refuse_nested(paths: Sequence[str]) -> None:
    if paths:
        raise InvalidPayload(
            f"CSV cannot say {len(paths)} of the columns: they hold nested values",
            code="payload.not-tabular",
            problems=[Problem(path, "a field of CSV", "a nested value", "payload.not-tabular") for path in paths[:100]],
            hint=_HINT,
        )


def field_reader(kind: s.Type) -> Read | None:
    """Give what reads a field as the JSON value of a type; None for a type that a field cannot hold."""
    if isinstance(kind, s.Choice):
        return _choice_reader(kind)
    if not isinstance(kind, s.Scalar):
        return None
    if kind.dtype in INTEGERS:
        return _whole
    if kind.dtype in LARGEST:
        return _number
    if kind.dtype == "bool":
        return _boolean
    return _text if kind.dtype in _AS_TEXT or kind.dtype == "null" else None


def _choice_reader(kind: s.Choice) -> Read | None:
    if set(map(type, kind.values)) == {str}:
        return _text
    if set(map(type, kind.values)) <= {int, float}:
        return _number
    spelled = {value if type(value) is str else json.dumps(value): value for value in kind.values}
    # The string "1" beside the number 1: a field cannot say which.
    return None if len(spelled) < len(kind.values) else lambda text: spelled.get(text, text)


def _read(read: Read | None, text: str) -> Any:
    return text if read is None else read(text)


def _text(text: str) -> str:
    return text


def _whole(text: str) -> Any:
    # What is too long for Python to read stays text, and is refused as such.
    return int(text) if len(text) < 4000 and _WHOLE.fullmatch(text) else _number(text)


def _number(text: str) -> Any:
    if not _NUMBER.fullmatch(text):
        return text
    return (int(text) if len(text) < 4000 else text) if _WHOLE.fullmatch(text) else float(text)


def _boolean(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _in_csv(problem: Problem, path: str, sheet: Sheet) -> Problem:
    """Say a problem of a column by its row, and by the line where that begins."""
    for name in sheet.header:
        found = re.match(re.escape(under(path, name)) + r"\[(\d+)\]", problem.path)
        if found:
            at = int(found[1])
            where = under(f"{path}[{at}]", name) + problem.path[found.end() :]
            return Problem(where, _on_line(problem.found, sheet.lines[at]), problem.expected, problem.code)
    return Problem(problem.path, _on_line(problem.found, 1), problem.expected, problem.code)


def _on_line(found: str, line: int) -> str:
    where = f" (line {line})"
    return found.followed_by(where) if isinstance(found, Found) else found + where


def _answer_columns(kind: s.Type) -> tuple[tuple[str, ...] | None, Sequence[s.Type]]:
    """Name the columns of an answer, and their types; no names where the answer itself has to say how many."""
    match kind:
        case s.Table(columns=columns, index=index):
            both = (*index, *columns)
            return tuple(column.name for column in both), [column.type for column in both]
        case s.Series(item=item, name=name, index=index):
            value = name or "value"
            while value in {level.name for level in index}:
                value += "#2"
            return (*(level.name for level in index), value), [*(level.type for level in index), item]
        case s.List(item=s.Record(fields=fields)):
            return tuple(field.name for field in fields), [field.type for field in fields]
        case s.List(item=item) if field_reader(item) is not None:
            return ("value",), [item]
        case s.Tensor(shape=shape, layout=None, dtype=dtype) if len(shape) in {1, 2} and field_reader(s.Scalar(dtype)):
            return None, ()
    raise _not_tabular_answer(f"it is {kind.kind}")


def _not_tabular_answer(why: str) -> InvalidAnswer:
    return InvalidAnswer(
        f"the answer cannot be written as CSV: {why}",
        code="answer.not-tabular",
        hint="ask for JSON (Accept: application/json)",
    )


def _fields(count: int) -> str:
    return f"{count} field{'' if count == 1 else 's'}"


def _malformed(what: str, hint: str) -> InvalidPayload:
    return InvalidPayload(f"the body is no CSV: {what}", code="payload.malformed", hint=hint)
