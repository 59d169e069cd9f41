"""What a service notes of requests and answers, where it is told to."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
from handmade import make_envelope
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.inference_log import COLUMNS

MODEL = """
class Model:
    def predict(self, X, scale=1.0):
        if (X["x"] > 900).any():
            raise RuntimeError("too much")
        return X["x"] * scale
"""
TABLE = s.Table((s.Column("x", s.Scalar("float64"), "float64"), s.Column("kind", s.Scalar("string"), TEXT_STORAGE)))
SCALE = s.Parameter("scale", s.Scalar("float64"), required=False, default=1.0)
NUMBERS = s.Series(s.Scalar("float64"), "float64", "x")
METHOD = s.Method((s.Parameter("X", TABLE), SCALE), NUMBERS, row_wise=s.Answer.YES, deterministic=s.Answer.YES)
BODY = {"X": [{"x": 1.5, "kind": "a"}, {"x": 2.0, "kind": "secret"}]}


@pytest.fixture
def envelope(tmp_path):
    return make_envelope(
        tmp_path / "envelope", MODEL, {"predict": METHOD}, {"predict": (BODY, [1.5, 2.0])}, name="noted"
    )


def ended(client):
    """Stop a service, and read all that it wrote."""
    client.run(client.lifespan.__aexit__(None, None, None))
    folder = client.app.settings.inference_log
    files = sorted(Path(folder).glob("date=*/*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_requests_and_answers_are_written_in_their_order(envelope, start, tmp_path):
    client = start(envelope, inference_log=str(tmp_path / "log"))
    client.post("/predict", json=BODY, headers={"x-request-id": "mine"})
    assert client.post("/predict", json={"X": [{"x": None, "kind": "a"}]}).status_code == 422
    assert client.post("/predict", json={"X": [{"x": 1000.0, "kind": "a"}]}).status_code == 500
    first, refused, failed = ended(client)
    assert list(first) == list(COLUMNS)
    assert json.loads(first["request"]) == BODY
    assert json.loads(first["response"]) == [1.5, 2.0]
    assert (first["request_id"], first["source"], first["method"]) == ("mine", "online", "predict")
    assert (first["status_code"], refused["status_code"], failed["status_code"]) == (200, 422, 500)
    assert refused["response"] is None
    assert failed["response"] is None
    assert first["envelope_digest"] == client.service.envelope.digest
    assert first["execution_duration_ms"] > 0
    assert first["request_time"].startswith(first["date"])


def test_columns_are_left_out_and_hashed(envelope, start, tmp_path):
    client = start(envelope, inference_log=str(tmp_path / "log"), log_without=("x",), log_hashed=("kind",))
    client.post("/predict", json=BODY)
    written = json.loads(ended(client)[0]["request"])
    digest = hashlib.sha256(b'"secret"').hexdigest()
    assert written["X"][1] == {"kind": f"sha256:{digest}"}


def test_arrow_and_csv_are_noted_too(envelope, start, tmp_path):
    client = start(envelope, inference_log=str(tmp_path / "log"))
    sink = pa.BufferOutputStream()
    table = pa.table({"x": [1.0, 2.0], "kind": ["a", "b"]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    media = "application/vnd.apache.arrow.stream"
    headers = {"content-type": media, "accept": media}
    assert client.post("/predict", content=sink.getvalue().to_pybytes(), headers=headers).status_code == 200
    headers = {"content-type": "text/csv", "accept": "text/csv"}
    assert client.post("/predict", content="x,kind\r\n3.0,c\r\n", headers=headers).status_code == 200
    arrow, csv = ended(client)
    assert json.loads(arrow["request"]) == {"X": {"x": [1.0, 2.0], "kind": ["a", "b"]}}
    assert json.loads(arrow["response"]) == [1.0, 2.0]
    assert json.loads(csv["request"]) == "x,kind\r\n3.0,c\r\n"


def test_a_share_of_the_requests(envelope, start, tmp_path):
    client = start(envelope, inference_log=str(tmp_path / "log"), log_fraction=0.5)
    for _ in range(200):
        client.post("/predict", json=BODY)
    rows = ended(client)
    assert 60 < len(rows) < 140
    assert {row["sampling_fraction"] for row in rows} == {0.5}


def test_nothing_is_written_unless_it_is_asked_for(envelope, start, tmp_path):
    client = start(envelope)
    client.post("/predict", json=BODY)
    assert client.app.inference_log is None


def test_a_folder_that_cannot_be_written_to_is_told_at_once(envelope, start, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvelopeError, match="the inference log cannot be written") as caught:
        start(envelope, inference_log=str(tmp_path / "file" / "log"))
    assert caught.value.code == "serve.inference-log"


def test_what_cannot_be_written_is_counted(envelope, start, tmp_path):
    client = start(envelope, inference_log=str(tmp_path / "log"))
    (tmp_path / "log").rmdir()
    (tmp_path / "log").write_text("in its place")
    assert client.post("/predict", json=BODY).status_code == 200
    client.app.inference_log.close()
    assert "envelope_log_dropped_total 1.0" in client.get("/metrics").text
