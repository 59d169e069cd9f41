"""The inference log: one schema for the service and for jobs."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from handmade import make_envelope

from model_envelope.runtime.inference_log import COLUMNS, Logged, Privacy, arrow_rows, arrow_schema, json_line
from model_envelope.runtime.reading import read_envelope

NOON = datetime(2024, 5, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def logged(tmp_path):
    return Logged.of(read_envelope(make_envelope(tmp_path)), "predict", "online")


def row(logged, request=None, response=None, **more):
    return logged.row(request or {"x": 1.5}, response or [2.0], request_id="r1", time=NOON, milliseconds=1.25, **more)


def test_a_row_says_what_was_asked_of_which_envelope_and_when(logged):
    found = row(logged)
    assert list(found) == list(COLUMNS)
    assert found["request_time"] == datetime(2024, 4, 30, 22, 30, tzinfo=UTC)
    assert found["date"] == date(2024, 4, 30)
    assert (found["request"], found["response"]) == ('{"x":1.5}', "[2.0]")
    assert (found["envelope_name"], found["method"], found["source"]) == ("scorer", "predict", "online")
    assert len(found["envelope_digest"]) == len(found["signature_digest"]) == 64


def test_the_same_row_is_a_line_of_json_and_a_row_of_arrow(logged):
    found = row(logged, row=3)
    line = json.loads(json_line(found))
    assert line["request_time"] == "2024-04-30T22:30:00+00:00"
    batch = arrow_rows([found, row(logged)])
    assert batch.schema == arrow_schema()
    assert batch.to_pylist()[0] == found
    assert batch.schema.field("request_time").type == pa.timestamp("us", tz="UTC")


def test_what_was_refused_has_no_answer(logged):
    assert row(logged, status=422)["response"] is None


def sha(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"X": [{"a": 1, "b": "x", "c": 2}]}, {"X": [{"b": sha('"x"'), "c": 2}]}),
        ({"X": {"a": [1], "b": ["x", "y"], "c": [2]}}, {"X": {"b": [sha('"x"'), sha('"y"')], "c": [2]}}),
        (
            {"X": {"columns": ["a", "b", "c"], "data": [[1, "x", 2]]}},
            {"X": {"columns": ["b", "c"], "data": [[sha('"x"'), 2]]}},
        ),
        ([1, 2], [1, 2]),
    ],
)
def test_columns_are_left_out_or_hashed_in_every_orientation(body, wanted):
    assert Privacy(frozenset("a"), frozenset("b")).redact(body) == wanted
