"""What is seen of requests from outside: ids in the response, lines in the log, figures in the metrics."""

import io
import json
import logging
import re

import pytest
from handmade import make_envelope
from prometheus_client import parser
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s
from model_envelope.serving.logs import configure

MODEL = """
class Model:
    def predict(self, X):
        if (X["city"] == "Atlantis").any():
            raise ValueError(f"no weather for {X['city'].iloc[0]} at {X['at'].iloc[0]}")
        return X["at"]
"""
TABLE = s.Table((s.Column("city", s.Scalar("string"), TEXT_STORAGE), s.Column("at", s.Scalar("float64"), "float64")))
METHODS = {
    "predict": s.Method((s.Parameter("X", TABLE),), s.Series(s.Scalar("float64", nullable=True), "float64", "at"))
}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def stream():
    """Where the log of this process goes while a test runs, but for the lines of requests."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.level, root.handlers[:]
    root.handlers[:] = []
    configure("info", "json", stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.level, root.handlers[:] = before


@pytest.fixture
def make(tmp_path, start):
    def make(**options):
        return start(make_envelope(tmp_path, MODEL, METHODS, {}, name="weather"), **options)

    return make


def ask(client, city, at, **headers):
    return client.post("/predict", json={"X": [{"city": city, "at": at}]}, headers=headers)


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def samples(client):
    families = parser.text_string_to_metric_families(client.get("/metrics").text)
    return {(item.name, *sorted(item.labels.values())): item.value for family in families for item in family.samples}


def test_a_request_keeps_its_trace_from_the_caller_to_the_log_and_back(make, stream, capsys):
    client = make()
    response = ask(client, "Graz", 1.5, traceparent=PARENT, **{"x-request-id": "order-17"})
    assert response.json() == [1.5]
    assert response.headers["x-request-id"] == "order-17"
    client.get("/livez")  # lines are written at the end of a turn of the event loop
    found = re.fullmatch(r"00-4bf92f3577b34da6a3ce929d0e0e4736-([0-9a-f]{16})-01", response.headers["traceparent"])
    (line,) = lines(capsys.readouterr().err)
    assert (line["request_id"], line["trace_id"], line["span_id"]) == ("order-17", PARENT[3:35], found[1])
    assert (line["method"], line["path"], line["status"], line["rows"]) == ("POST", "/predict", 200, 1)


def test_no_value_of_a_request_gets_into_the_log_or_the_response_when_the_model_fails(make, stream, capsys):
    client = make()
    response = ask(client, "Atlantis", 48.2082)
    assert response.status_code == 500
    (failed,) = [line for line in lines(stream.getvalue()) if line["level"] == "ERROR"]
    assert failed["code"] == "model.raised"
    assert failed["request_id"] == response.headers["x-request-id"]
    assert "ValueError: no weather for *** at ***" in failed["stack_trace"]
    assert "in predict" in failed["stack_trace"]
    client.get("/livez")
    assert "48.2082" not in response.text + stream.getvalue() + capsys.readouterr().err
    assert "Atlantis" not in response.text
    assert "for Atlantis" not in stream.getvalue()


def test_values_are_logged_where_that_is_asked_for(make, stream):
    ask(make(show_values=True), "Atlantis", 48.2082)
    assert "no weather for Atlantis at 48.2082" in stream.getvalue()


def test_what_was_asked_refused_and_failed_is_counted(make, stream):
    client = make()
    ask(client, "Graz", 1.5)
    ask(client, "Atlantis", 1.5)
    ask(client, 5, "high")
    client.post("/predict", content=b"{")
    client.get("/nothing/there")
    found = samples(client)
    count = "http_server_request_duration_seconds_count"
    for status, expected in (("200", 1), ("500", 1), ("422", 1), ("400", 1)):
        assert found[count, *sorted(("/predict", status, "POST"))] == expected
    assert found[count, *sorted(("", "404", "GET"))] == 1
    assert found["envelope_refusals_total", *sorted(("city", "payload.type"))] == 1
    assert found["envelope_refusals_total", *sorted(("", "payload.malformed"))] == 1
    assert found["envelope_failures_total", *sorted(("predict", "model.raised"))] == 1
    assert found["envelope_predict_rows_total", "predict"] >= 1
    assert found["envelope_requests_in_progress",] == 1, "the scrape itself"
