"""Errors as responses: ``application/problem+json``, as RFC 9457 has it, with everything that is wrong at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.text import write_json
from model_envelope.runtime.errors import EnvelopeError, InvalidAnswer, InvalidPayload, Problem
from model_envelope.runtime.openapi import MEDIA_TYPE

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\*)\]|\.([^.]+)")


class HttpProblem(Exception):
    """Something about the request itself, before the codec sees it."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str = "",
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make the response; ``code`` is stable, ``detail`` is for people."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if request_id:
        document["request_id"] = request_id
    if errors is not None:
        document["errors"] = errors
    return Response(write_json(document), status, dict(headers or {}), MEDIA_TYPE)


def too_large(limit: int) -> HttpProblem:
    """Say that a body is larger than the limit. Its rest is not read, so the connection cannot be used again."""
    return HttpProblem(
        413, "request.too-large", f"The body is larger than the limit of {limit:,} bytes.", {"Connection": "close"}
    )


_STATUSES = {"payload.malformed": 400, "payload.too-large": 413, "payload.not-tabular": 415}


def payload_problem(
    error: InvalidPayload, method: s.Method | None, request_id: str, *, show_values: bool = False
) -> Response:
    """Make the response to a body that is malformed (400), too large (413) or does not fit the signature (422).

    The values that were found stand in it only where ``show_values`` says so; else what they are.
    """
    status = _STATUSES.get(error.code, 422)
    errors = [problem_document(item if show_values else item.redacted(), method) for item in error.problems]
    told = errors if errors or status == 422 else None
    return problem_response(status, error.code, error.message, request_id=request_id, errors=told)


def server_problem(error: BaseException, request_id: str) -> Response:
    """Make the response to something that went wrong here: nothing internal is told, the log has it all."""
    code = error.code if isinstance(error, EnvelopeError) else "service.failed"
    what = "The model failed on this request"
    if isinstance(error, InvalidAnswer):
        what = "The model answered with something that its signature does not allow"
    return problem_response(500, code, f"{what}; the log has the reason under this request id.", request_id=request_id)


def problem_document(problem: Problem, method: s.Method | None) -> dict[str, Any]:
    """Write one problem: its path, and where it can be told, JSON pointer, row and column."""
    pointer, row, column = locate(problem.path, method, unknown=problem.code == "payload.unknown")
    return {
        "path": problem.path,
        "pointer": pointer,
        "row": row,
        "column": column,
        "expected": problem.expected,
        "found": problem.found,
        "code": problem.code,
    }


def columns_of(method: s.Method) -> frozenset[str]:
    """Name the columns of all tables that a method takes, those of their indexes included."""
    tables = [item.type for item in method.parameters if isinstance(item.type, s.Table)]
    return frozenset(column.name for table in tables for column in (*table.index, *table.columns))


def locate(path: str, method: s.Method | None, *, unknown: bool = False) -> tuple[str | None, int | None, str | None]:
    """Give JSON pointer, row and column of a path such as ``$.X[17].age``, which ends in an ``unknown`` name or not.

    The pointer is None for a path that stands for many places (``$.X[*].age``); row and column are None where the
    path lies in no table. Names of columns may hold dots and brackets: the signature tells where they end.
    """
    parameters = {item.name: item.type for item in method.parameters} if method else {}
    rest = path.removeprefix("$")
    name = max((name for name in parameters if _begins(rest, name)), key=len, default=None)
    if name is None:
        return _pointer(_steps(rest)), None, None
    kind, tail = parameters[name], rest[len(name) + 1 :]
    if not isinstance(kind, s.Table):
        steps = _steps(tail)
        row = steps[0] if isinstance(kind, s.Series | s.Tensor) and steps else None
        return _pointer([name, *steps]), row if isinstance(row, int) else None, None
    return _in_table(name, kind, tail, unknown=unknown)


def _in_table(name: str, kind: s.Table, tail: str, *, unknown: bool) -> tuple[str | None, int | None, str | None]:
    columns = [column.name for column in (*kind.index, *kind.columns)]
    if by_row := re.match(r"\[(\d+|\*)\](?:\.(.*))?$", tail, re.DOTALL):
        at, column = by_row.groups()
        steps: list[str | int] = [name, _index(at), *([column] if column else [])]
        return _pointer(steps), int(at) if at != "*" else None, column
    column = max((item for item in columns if _begins(tail, item)), key=len, default=None)
    if column is not None:
        steps = _steps(tail[len(column) + 1 :])
        row = steps[0] if steps and isinstance(steps[0], int) else None
        return _pointer([name, column, *steps]), row, column
    if split := re.match(r"\.data\[(\d+)\]\.(.*)$", tail, re.DOTALL):
        # Where a cell stands in its row is for the client's list of columns to say: the pointer leads to the row.
        at, column = split.groups()
        return _pointer([name, "data", int(at)]), int(at), column
    above = ["columns"] if tail.startswith(".columns.") else []
    named = tail[1 + len(".columns") * len(above) :]
    if unknown or named in columns:
        return _pointer([name, *above, named]), None, named
    steps = _steps(tail)
    return _pointer([name, *steps]), next((step for step in steps if isinstance(step, int)), None), None


def _begins(text: str, name: str) -> bool:
    return text.startswith(f".{name}") and text[len(name) + 1 : len(name) + 2] in {"", ".", "["}


def _steps(path: str) -> list[str | int]:
    return [_index(step[1]) if step[1] else step[0] or step[2] for step in _STEP.findall(path)]


def _index(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _pointer(steps: list[str | int]) -> str | None:
    if "*" in steps:
        return None
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
