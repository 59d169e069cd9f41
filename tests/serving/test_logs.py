"""The log, as whoever collects it reads it."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.runtime.errors import ModelFailed, Problem
from model_envelope.serving.logs import AccessLog, configure, current_trace, failure
from model_envelope.serving.trace import Trace, trace_of
from model_envelope.serving.withholding import LARGEST, withheld

TRACE = Trace("order-17", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01", None)
IDS = {"request_id": "order-17", "trace_id": TRACE.trace_id, "span_id": TRACE.span_id}


class Stream(io.StringIO):
    """Counts how often something is written."""

    writes = 0

    def write(self, text):
        self.writes += 1
        return super().write(text)

    @property
    def documents(self):
        text = self.getvalue()
        assert text == "" or text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def stream():
    return Stream()


@pytest.fixture
def configured(stream):
    """A function that configures the log of this process, which is put back afterwards."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    before = root.level, root.handlers[:], uvicorn.level, threading.excepthook, warnings.formatwarning
    root.handlers[:] = []  # those of pytest must not be closed

    def start(level="info", form="json"):
        configure(level, form, stream)
        return stream

    yield start
    logging.captureWarnings(capture=False)
    root.level, root.handlers[:], uvicorn.level, threading.excepthook, warnings.formatwarning = before


def fail(why):
    raise ValueError(why)


def is_recent(stamp):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    return abs(datetime.now(UTC) - datetime.fromisoformat(stamp)) < timedelta(minutes=1)


def test_a_request_is_one_line_with_its_ids_and_figures(configured):
    stream = configured()
    AccessLog("json", stream).write(TRACE, "POST", "/predict", 200, 0.0123456, route="/predict", rows=3)
    (line,) = stream.documents
    assert is_recent(line.pop("timestamp"))
    assert line == {
        "level": "INFO",
        "logger": "model_envelope.access",
        "message": "POST /predict 200",
        **IDS,
        "method": "POST",
        "path": "/predict",
        "route": "/predict",
        "status": 200,
        "duration_ms": 12.346,
        "rows": 3,
    }


def test_what_was_refused_has_its_code_and_what_failed_here_is_a_warning(configured):
    stream = configured("warning")
    access = AccessLog("json", stream)
    access.write(TRACE, "POST", "/predict", 422, 0.1, route="/predict", problem_code="payload.invalid")
    access.write(TRACE, "POST", "/predict", 503, 0.1, route="/predict", problem_code="service.busy")
    (line,) = stream.documents
    assert (line["level"], line["status"], line["code"]) == ("WARNING", 503, "service.busy")


def test_probes_and_scrapes_are_logged_for_who_looks_closely_only(configured):
    for level, count in (("info", 0), ("debug", 2)):
        stream = configured(level)
        for path in ("/readyz", "/metrics"):
            AccessLog("json", stream).write(TRACE, "GET", path, 503, 0.1, route=path)
        assert len(stream.documents) == count


def test_the_text_is_as_people_know_it(configured):
    stream = configured(form="text")
    access = AccessLog("text", stream)
    access.write(TRACE, "POST", "/predict", 200, 0.0123456, route="/predict", rows=3)
    access.write(TRACE, "GET", "/a\nb", 404, 0.001, problem_code="request.unknown-path")
    logging.getLogger("model_envelope.serving").info("listening on %s", "http://x")
    first, second, third = stream.getvalue().splitlines()
    date = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO "
    assert re.fullmatch(date + r"POST /predict 200 12\.3 ms request order-17", first)
    assert re.fullmatch(date + r"GET /a\\nb 404 1\.0 ms request order-17 request\.unknown-path", second)
    assert re.fullmatch(date + "listening on http://x", third)


@given(st.text(max_size=700), st.text(max_size=5))
def test_no_path_forges_a_line(path, verb):
    for form in ("json", "text"):
        stream = Stream()
        AccessLog(form, stream).write(TRACE, verb if form == "json" else "GET", path, 500, 0.001)
        assert len(stream.getvalue().splitlines()) == 1
        if form == "json":
            (line,) = stream.documents
            assert path.startswith(line["path"])
            assert len(line["path"]) <= 500
            assert line["method"] == verb


def test_the_lines_of_one_turn_of_the_loop_are_written_at_once(configured):
    stream = configured()
    access = AccessLog("json", stream)

    async def answer():
        for status in (200, 201, 202):
            access.write(TRACE, "POST", "/predict", status, 0.1, route="/predict")
        assert stream.writes == 0
        await asyncio.sleep(0)
        assert stream.writes == 1
        access.write(TRACE, "POST", "/predict", 203, 0.1, route="/predict")
        await asyncio.sleep(0)

    asyncio.run(answer())
    assert [line["status"] for line in stream.documents] == [200, 201, 202, 203]
    assert stream.writes == 2


def test_the_same_path_is_told_rightly_each_time(configured):
    stream = configured()
    access = AccessLog("json", stream)
    for status, route, code in (
        (200, "/predict", None),
        (200, "", None),
        (422, "/predict", "a"),
        (422, "/predict", "b"),
    ):
        access.write(trace_of([]), "POST", "/predict", status, 0.1, route=route, problem_code=code)
    found = [(line["status"], line["route"], line.get("code")) for line in stream.documents]
    assert found == [(200, "/predict", None), (200, "", None), (422, "/predict", "a"), (422, "/predict", "b")]
    assert len({line["request_id"] for line in stream.documents}) == 4


def test_requests_are_answered_though_nobody_reads_the_log(configured):
    stream = configured()
    stream.close()
    AccessLog("json", stream).write(TRACE, "POST", "/predict", 200, 0.1)


def test_what_libraries_log_is_json_with_the_ids_of_the_request_that_is_answered(configured):
    stream = configured()
    token = current_trace.set(TRACE)
    try:
        logging.getLogger("some.library").warning("low on %s\nreally", "memory")
    finally:
        current_trace.reset(token)
    logging.getLogger("some.library").debug("nobody asked")
    logging.getLogger("uvicorn.error").info("nobody asked")
    (line,) = stream.documents
    assert is_recent(line.pop("timestamp"))
    assert line == {"level": "WARNING", "logger": "some.library", "message": "low on memory\nreally", **IDS}


def test_an_exception_carries_its_stack_trace_in_a_field(configured):
    stream = configured()
    try:
        fail("one\ntwo")
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    (line,) = stream.documents
    assert (line["message"], line["exception"]) == ("it failed", "ValueError")
    assert "Traceback" in line["stack_trace"]
    assert "in test_an_exception_carries" in line["stack_trace"]
    assert "request_id" not in line


def test_warnings_and_threads_that_die_are_lines_too(configured):
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)

    def die():
        raise KeyError("x")

    thread = threading.Thread(target=die, name="fetcher")
    thread.start()
    thread.join()
    warned, died = stream.documents
    assert re.fullmatch(r".*test_logs.py:\d+: DeprecationWarning: old way", warned["message"])
    assert died["message"] == "the thread fetcher died"
    assert "in die" in died["stack_trace"]


def test_what_the_model_prints_stands_between_the_lines():
    code = """
import sys
from model_envelope.serving.logs import AccessLog, configure
from model_envelope.serving.trace import trace_of
configure("info")
sys.stdout = sys.stderr
AccessLog().write(trace_of([]), "POST", "/predict", 200, 0.1)
print("the model prints")
AccessLog().write(trace_of([]), "POST", "/predict", 201, 0.1)
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=True)
    first, printed, second = done.stderr.splitlines()
    assert json.loads(first)["status"] == 200
    assert printed == "the model prints"
    assert json.loads(second)["status"] == 201


STACK = """Traceback (most recent call last):
  File "code/features.py", line 12, in city
    return CODES["Vienna"][row.city]
           ~~~~~~~~~~~~~~~^^^^^^^^^^
KeyError: 'Vienna'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "code/features.py", line 30, in transform
    raise ValueError(f"{name}: {value}")
ValueError: city of Max: Vienna is unknown, expected 3 of 17 columns, got 48.2082 for row 12"""
BODY = b'{"X": [{"city": "Vienna", "name": "Max", "age": 12, "at": 48.2082}]}'
COLUMNS = ("city", "name", "age", "at")


def test_a_failure_of_the_model_is_logged_with_its_stack_trace_but_without_the_values(configured):
    stream = configured()
    error = ModelFailed(
        "the model raised while it answered `predict`: ValueError: city of Max",
        code="model.raised",
        detail=STACK,
        problems=[Problem("$.X", "Max", "a word", "x")],
    )
    failure(TRACE, error, body=BODY, names=COLUMNS)
    (line,) = stream.documents
    assert (line["level"], line["code"], line["request_id"]) == ("ERROR", "model.raised", "order-17")
    assert line["message"].startswith(
        "request order-17: the model raised while it answered `predict`: ValueError: city of ***\n"
    )
    assert 'line 30, in transform\n    raise ValueError(f"{name}: {value}")' in line["stack_trace"]
    assert 'CODES["Vienna"]' in line["stack_trace"], "the code is nobody's data"
    assert "KeyError: '***'" in line["stack_trace"]
    last = line["stack_trace"].splitlines()[-1]
    assert last == "ValueError: city of ***: *** is unknown, expected 3 of 17 columns, got *** for row ***"


def test_values_are_shown_where_that_is_asked_for(configured):
    stream = configured(form="text")
    try:
        fail("no number: Vienna")
    except ValueError as error:
        failure(TRACE, error, body=BODY, show_values=True)
        failure(None, error, body=BODY)
    shown, hidden = re.findall(r"^ValueError: no number: (\S+)$", stream.getvalue(), re.MULTILINE)
    assert (shown, hidden) == ("Vienna", "***")
    assert "ERROR request order-17: ValueError: no number: Vienna\nTraceback" in stream.getvalue()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ValueError: m\u00fcnchen", "ValueError: ***"),
        ("ValueError: 7 and 8", "ValueError: *** and 8"),
        (
            "TypeError: 'NoneType' object has no attribute 'split'",
            "TypeError: 'NoneType' object has no attribute 'split'",
        ),
        ("", ""),
    ],
)
def test_every_spelling_of_a_value_is_taken_out(said, told):
    assert withheld(said, rb'{"city": "M\u00fcnchen", "count": 7.0}') == told


@pytest.mark.parametrize("body", [b"\xff\xff\xff\xff\x10\0\0\0Vienna", b"\xe9 Vienna", b"Vienna " * (LARGEST // 7 + 1)])
def test_of_a_body_that_cannot_be_searched_only_the_types_of_exceptions_are_told(body):
    told = withheld(STACK + "\nmore of Vienna", body)
    assert "KeyError: ***\n" in told
    assert told.endswith("ValueError: ***\n***")
    assert "in transform\n    raise" in told
    assert "Max" not in told


values = st.text("abcdefgh", min_size=1, max_size=12) | st.integers().map(str) | st.floats(0.001, 1e6).map(str)


@given(st.lists(values, min_size=1, max_size=5), st.sampled_from([json.dumps, ",".join]))
def test_no_value_of_a_request_gets_into_the_log(cells, write):
    message = "ValueError: " + "; ".join(cells)
    told = withheld(message, write(cells).encode())
    assert told == "ValueError: " + "; ".join("***" for _ in cells)
