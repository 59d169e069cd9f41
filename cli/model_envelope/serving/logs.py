"""The log: a JSON object a line on standard error, or plain text for people at a terminal.

Requests have a road of their own, which costs a few microseconds: their lines are put together without the machinery of
``logging``, and those of one turn of the event loop are written at once. Everything else (the service, uvicorn, the
model's libraries, warnings, threads that die) goes through ``logging`` and looks the same. What the model prints goes
to standard error as it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Collection
from contextlib import suppress
from contextvars import ContextVar
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Literal, TextIO

from model_envelope.runtime.errors import EnvelopeError
from model_envelope.serving.trace import Trace
from model_envelope.serving.withholding import withheld

Form = Literal["json", "text"]
ACCESS = "model_envelope.access"
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""What is asked every few seconds is logged at the level ``debug`` only."""
LONGEST_PATH = 500
MOST_KEPT = 1000

current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
"""The request that is being answered: what is logged meanwhile gets its ids."""

log = logging.getLogger("model_envelope.serving")


class AccessLog:
    """A line for each request, made in the thread of the event loop. ``stream`` is standard error if not given."""

    def __init__(self, form: Form = "json", stream: TextIO | None = None) -> None:
        self._form = form
        self._stream = stream
        self._logger = logging.getLogger(ACCESS)
        self._lines: list[str] = []
        self._second = -1
        self._stamp = ""
        self._usual: dict[tuple[str, str, int, str, str | None], tuple[str, str]] = {}

    def write(
        self,
        trace: Trace,
        verb: str,
        path: str,
        status: int,
        seconds: float,
        *,
        route: str = "",
        rows: int | None = None,
        problem_code: str | None = None,
    ) -> None:
        """Log a request that was answered: what went wrong on this side is a warning.

        ``path`` is without the query, ``route`` empty where there is none for it, ``rows`` those that the model was
        asked about. The line is written at the end of this turn of the event loop; where none runs, at once.
        """
        if not self._logger.isEnabledFor(logging.DEBUG if route in QUIET else _level(status)):
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, self._date(second)
        stamp, thousandths = self._stamp, int(1000 * (now - second))
        before, after = self._around(verb, path, status, route, problem_code)
        if self._form == "json":
            told = "" if rows is None else f',"rows":{rows}'
            line = (
                f'{{"timestamp":"{stamp}.{thousandths:03d}Z{before}{trace.request_id}","trace_id":"{trace.trace_id}",'
                f'"span_id":"{trace.span_id}{after}{1000 * seconds:.3f}{told}}}\n'
            )
        else:
            line = f"{stamp},{thousandths:03d}{before}{1000 * seconds:.1f} ms request {trace.request_id}{after}\n"
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write the lines that wait."""
        lines, self._lines = self._lines, []
        # Where nobody reads the log any more requests are answered all the same.
        with suppress(OSError, ValueError):
            stream = self._stream or sys.stderr
            stream.write("".join(lines))
            stream.flush()

    def _date(self, second: int) -> str:
        if self._form == "json":
            return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))

    def _around(self, verb: str, path: str, status: int, route: str, problem_code: str | None) -> tuple[str, str]:
        """Give what stands before and after the ids and figures of a request, as it was made the last time."""
        key = verb, path, status, route, problem_code
        around = self._usual.get(key)
        if around is None:
            around = (_json_around if self._form == "json" else _text_around)(verb, path, status, route, problem_code)
            # Only paths that there are, so that no client decides how many are kept.
            if path == route and len(self._usual) < MOST_KEPT:
                self._usual[key] = around
        return around


def _level(status: int) -> int:
    return logging.WARNING if status >= 500 else logging.INFO


def _json_around(verb: str, path: str, status: int, route: str, problem_code: str | None) -> tuple[str, str]:
    level, path = logging.getLevelName(_level(status)), path[:LONGEST_PATH]
    message = quoted(f"{verb} {path} {status}")
    code = "" if problem_code is None else f'"code":{quoted(problem_code)},'
    return (
        f'","level":"{level}","logger":"{ACCESS}","message":{message},"request_id":"',
        f'","method":{quoted(verb)},"path":{quoted(path)},"route":{quoted(route)},"status":{status},{code}"duration_ms":',
    )


def _text_around(verb: str, path: str, status: int, route: str, problem_code: str | None) -> tuple[str, str]:
    del route
    level, path = logging.getLevelName(_level(status)), path[:LONGEST_PATH]
    shown = path if path.isprintable() else quoted(path)[1:-1]  # a path with line breaks must not forge lines
    return f" {level} {verb} {shown} {status} ", f" {problem_code}" if problem_code is not None else ""


def configure(level: str, form: Form = "json", stream: TextIO | None = None) -> None:
    """Let everything that is logged in this process, warnings and dying threads included, be written in one form.

    ``level`` is the name of a level of ``logging``; of uvicorn only warnings and worse are of interest.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    warnings.formatwarning = _warning
    threading.excepthook = _thread_died


def failure(
    trace: Trace | None,
    error: BaseException,
    *,
    body: bytes = b"",
    names: Collection[str] = (),
    show_values: bool = False,
) -> None:
    """Log what went wrong here while a request was answered, with the stack trace and under the request's ids.

    The values of its ``body`` are taken out of what the exception says (not ``names``, those of the signature), unless
    they are to be shown.
    """
    if isinstance(error, EnvelopeError):
        # The traceback from the model's own code is in its detail; the server's frames say nothing.
        stack, code = error.detail.rstrip(), error.code
        problems = [problem if show_values else problem.redacted() for problem in error.problems]
        what = "\n".join([error.message, *(f"  {problem}" for problem in problems)])
    else:
        stack, code = "".join(traceback.format_exception(error)).rstrip(), "service.failed"
        what = "".join(traceback.format_exception_only(error)).strip()
    if not show_values:
        stack, what = withheld(stack, body, names), withheld(what, body, names)
    request = f"request {trace.request_id}: " if trace else ""
    extra = {"trace": trace, "code": code}
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s%s", (request, what), None, extra=extra)
    record.exc_text = stack or None
    if log.isEnabledFor(logging.ERROR):
        log.handle(record)


class _Json(logging.Formatter):
    """One JSON object a record, and no line breaks in it."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        document: dict[str, Any] = {
            "timestamp": f"{seconds}.{int(record.created % 1 * 1000):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = getattr(record, "trace", None) or current_trace.get()
        if isinstance(trace, Trace):
            document |= {"request_id": trace.request_id, "trace_id": trace.trace_id, "span_id": trace.span_id}
        if isinstance(code := getattr(record, "code", None), str):
            document["code"] = code
        if record.exc_info and record.exc_info[0] is not None:
            document["exception"] = record.exc_info[0].__name__
            record.exc_text = record.exc_text or self.formatException(record.exc_info)
        if stack := "\n".join(filter(None, (record.exc_text, record.stack_info))):
            document["stack_trace"] = stack
        return json.dumps(document, separators=(",", ":"))


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Write a warning in one line, without the source that it came from."""
    del line
    return f"{filename}:{lineno}: {category.__name__}: {message}"


def _thread_died(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread else "?"
    told = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    logging.getLogger("threading").error("the thread %s died", name, exc_info=told)
