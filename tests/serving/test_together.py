"""Requests that wait together are answered by one call of the model, and none of them notices."""

import asyncio
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from handmade import make_envelope
from refusals import problem
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s

SCORES = """
import threading
import time

gate = threading.Event()

class Model:
    def __init__(self):
        self.calls = []

    def predict(self, X, scale=1.0):
        time.sleep(0.005)
        self.calls.append(len(X))
        if not len(X) and scale == 7.0:
            raise ValueError("at least one row")
        if (X["x"] > 900).any():
            raise RuntimeError("more than this model was made for")
        answer = X["x"] * scale
        return answer.iloc[1:] if (X["x"] > 800).any() else answer

    def centred(self, X):
        return X["x"] - X["x"].mean()

    def largest(self, X):
        return max(X["x"])

    def sizes(self):
        return list(self.calls)

    def hold(self):
        gate.wait(20)
        gate.clear()
"""
TABLE = s.Table(
    (s.Column("x", s.Scalar("float64", nullable=True), "float64"), s.Column("kind", s.Scalar("string"), TEXT_STORAGE))
)
NUMBERS = s.Series(s.Scalar("float64", nullable=True), "float64", "x")
ROWS = {"row_wise": s.Answer.YES, "deterministic": s.Answer.YES}
SCALE = s.Parameter("scale", s.Scalar("float64"), required=False, default=1.0)
METHODS = {
    "predict": s.Method((s.Parameter("X", TABLE), SCALE), NUMBERS, **ROWS),
    "centred": s.Method((s.Parameter("X", TABLE),), NUMBERS, **ROWS),
    "largest": s.Method((s.Parameter("X", TABLE),), s.Scalar("float64")),
    "sizes": s.Method((), s.List(s.Scalar("int64"))),
    "hold": s.Method((), s.Scalar("null")),
}


def row(x):
    return {"x": x, "kind": "a"}


def body(*xs, **others):
    return {"X": [row(x) for x in xs], **others}


@pytest.fixture
def scores(tmp_path):
    return make_envelope(tmp_path, SCORES, METHODS, {"predict": (body(1.5), [1.5])}, name="scores")


def ask_at_once(client, path, bodies):
    """Send requests that all wait for the model before any of them is answered."""

    async def ask_all():
        holding = asyncio.ensure_future(client.ask("POST", "/hold", json={}))
        while client.app.turns.count < 1:
            await asyncio.sleep(0.001)
        coming = [
            asyncio.ensure_future(
                client.ask("POST", path, **(asked if "content" in asked or "json" in asked else {"json": asked}))
            )
            for asked in bodies
        ]
        while client.app.turns.count < 1 + len(bodies):
            await asyncio.sleep(0.001)
        client.service.method("hold").function.__globals__["gate"].set()
        await holding
        return await asyncio.gather(*coming)

    return client.run(ask_all())


def sizes(client):
    """How many rows each call of the model had, but those while it got ready."""
    return client.post("/sizes", json={}).json()[3:]


def metric(client, line):
    found = [item for item in client.get("/metrics").text.splitlines() if item.startswith(line)]
    return sum(float(item.rpartition(" ")[2]) for item in found)


def test_many_requests_are_answered_by_few_calls_each_with_its_own_rows(scores, start):
    client = start(scores)
    bodies = [body(*(100.0 + at + part / 8 for part in range(1 + at % 3))) for at in range(40)]
    for asked, response in zip(bodies, ask_at_once(client, "/predict", bodies), strict=True):
        assert response.json() == [item["x"] for item in asked["X"]]
    called = sizes(client)
    assert sum(called) == sum(len(item["X"]) for item in bodies)
    assert len(called) == 1
    assert metric(client, 'envelope_predict_batch_requests_sum{method="predict"}') == 43  # with the three at the start


def test_batching_can_be_switched_off(scores, start):
    client = start(scores, batching=False)
    assert [item.json() for item in ask_at_once(client, "/predict", [body(1.0)] * 6)] == [[1.0]] * 6
    assert client.post("/sizes", json={}).json() == [1] * 7


def test_a_request_that_is_wrong_is_told_so_and_its_neighbours_are_answered(scores, start):
    client = start(scores)
    bodies = [body(1.0), body("high"), body(2.0), {"X": []}, {"Y": 1}, body(3.0)]
    responses = ask_at_once(client, "/predict", bodies)
    assert [item.status_code for item in responses] == [200, 422, 200, 200, 422, 200]
    assert [item.json() for item in responses if item.status_code == 200] == [[1.0], [2.0], [], [3.0]]
    assert problem(responses[1], 422, "payload.invalid")["errors"][0]["pointer"] == "/X/0/x"


def test_a_request_that_the_model_fails_on_fails_alone(scores, start):
    client = start(scores)
    responses = ask_at_once(client, "/predict", [body(1.0), body(1000.0), body(2.0)])
    assert [item.status_code for item in responses] == [200, 500, 200]
    problem(responses[1], 500, "model.raised")
    assert [responses[0].json(), responses[2].json()] == [[1.0], [2.0]]


def test_an_answer_of_another_length_is_nobody_elses(scores, start):
    client = start(scores)
    responses = ask_at_once(client, "/predict", [body(1.0), body(850.0), body(2.0)])
    assert [item.status_code for item in responses] == [200, 500, 200]
    problem(responses[1], 500, "answer.rows")
    assert [responses[0].json(), responses[2].json()] == [[1.0], [2.0]]


def test_only_requests_with_equal_other_parameters_go_together(scores, start):
    client = start(scores)
    bodies = [body(1.0), body(1.0, scale=2.0), body(3.0), body(3.0, scale=2.0), body(5.0, scale=1.0)]
    assert [item.json() for item in ask_at_once(client, "/predict", bodies)] == [[1.0], [2.0], [3.0], [6.0], [5.0]]


def test_rows_columns_and_split_go_together(scores, start):
    client = start(scores)
    columns = {"X": {"x": [1.0, 2.0], "kind": ["a", "b"]}}
    split = {"X": {"columns": ["kind", "x"], "data": [["a", 3.0]]}}
    responses = ask_at_once(client, "/predict", [columns, split, body(4.0)])
    assert [item.json() for item in responses] == [[1.0, 2.0], [3.0], [4.0]]
    assert len(sizes(client)) == 1


def test_formats_go_together_each_answered_in_its_own(scores, start):
    client = start(scores)
    sheet = {"content": b"x,kind\r\n7.5,a\r\n8.5,b\r\n", "headers": {"content-type": "text/csv", "accept": "text/csv"}}
    table = pa.table({"x": [1.5, None], "kind": ["a", "b"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    media = "application/vnd.apache.arrow.stream"
    stream = {"content": sink.getvalue().to_pybytes(), "headers": {"content-type": media, "accept": media}}
    csv, arrow, json = ask_at_once(client, "/predict", [sheet, stream, {"json": body(3.0)}])
    assert csv.text == "x\r\n7.5\r\n8.5\r\n"
    assert pa.ipc.open_stream(arrow.content).read_all().column(0).to_pylist() == [1.5, None]
    assert json.json() == [3.0]
    assert sizes(client) == [5]


def test_one_call_has_at_most_so_many_rows(scores, start):
    client = start(scores, batch_rows=10)
    bodies = [body(*map(float, range(4)))] * 9 + [body(*map(float, range(25)))]
    responses = ask_at_once(client, "/predict", bodies)
    assert [item.json() for item in responses] == [[item["x"] for item in asked["X"]] for asked in bodies]
    assert max(size for size in sizes(client) if size != 25) <= 10


def test_a_model_whose_rows_depend_on_each_other_after_all_is_found_out(scores, start, caplog):
    client = start(scores, check_every=1)
    assert [item.json() for item in ask_at_once(client, "/centred", [body(1.0), body(2.0), body(6.0)])] == [[0.0]] * 3
    assert metric(client, 'envelope_batch_checks_total{agrees="false"}') == 1
    assert "centred answered 3 requests together otherwise than one of them alone" in caplog.text
    assert [item.json() for item in ask_at_once(client, "/centred", [body(1.0), body(2.0)])] == [[0.0]] * 2
    assert metric(client, 'envelope_batch_checks_total{agrees="false"}') == 1


def test_one_answer_in_so_many_is_checked(scores, start):
    client = start(scores, check_every=10)
    before = metric(client, 'envelope_batch_checks_total{agrees="true"}')
    for _ in range(4):
        ask_at_once(client, "/predict", [body(1.0)] * 5)
    assert metric(client, 'envelope_batch_checks_total{agrees="true"}') == before + 2


HANGS = """
import threading

class Model:
    def predict(self, x):
        if x < 0:
            raise SystemExit(7)
        if x:
            gate = threading.Event()
            holds.append(gate)
            gate.wait(20)
        return x

holds = []
"""
HANGING = {"predict": s.Method((s.Parameter("x", s.Scalar("int64")),), s.Scalar("int64"))}


@pytest.fixture
def hangs(tmp_path):
    return make_envelope(tmp_path, HANGS, HANGING, {"predict": ({"x": 0}, 0)}, name="hangs")


def release(client):
    client.service.method("predict").function.__globals__["holds"][-1].set()


def test_while_the_model_works_probes_answer_and_after_its_time_a_request_is_given_up(hangs, start):
    client = start(hangs, time_limit=0.3)
    with ThreadPoolExecutor() as pool:
        coming = pool.submit(client.post, "/predict", json={"x": 1})
        assert client.get("/livez").status_code == 200
        response = coming.result(20)
    document = problem(response, 503, "service.time-limit")
    assert "0.3 s" in document["detail"]
    assert int(response.headers["retry-after"]) >= 1
    assert "does not come back" in problem(client.get("/readyz"), 503, "service.not-ready")["detail"]
    problem(client.post("/predict", json={"x": 0}), 503, "service.busy")
    release(client)
    client.service.worker.submit(lambda: None).result(10)
    assert client.get("/readyz").status_code == 200
    assert client.post("/predict", json={"x": 0}).json() == 0


def test_more_requests_than_may_wait_are_told_to_come_back(hangs, start):
    client = start(hangs, queue=2)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.post, "/predict", json={"x": 1})
        while not client.service.worker.busy:
            threading.Event().wait(0.01)
        others = [pool.submit(client.post, "/predict", json={"x": 0}) for _ in range(2)]
        while client.app.turns.count < 3:
            threading.Event().wait(0.01)
        refused = client.post("/predict", json={"x": 0})
        problem(refused, 503, "service.busy")
        assert int(refused.headers["retry-after"]) >= 1
        release(client)
        assert [item.result(20).json() for item in (first, *others)] == [1, 0, 0]


def test_a_model_that_exits_ends_its_request_alone(hangs, start):
    client = start(hangs)
    responses = client.post_all("/predict", [{"x": 0}, {"x": -1}, {"x": 0}])
    assert [item.status_code for item in responses] == [200, 500, 200]


def test_a_request_without_rows_is_answered_without_rows_and_without_the_model(scores, start):
    client = start(scores)
    assert client.post("/predict", json=body(scale=7.0)).json() == []
    for given in ([(), (1.0,), (), (2.0,)], [(), ()], [(), (1.0,)]):
        responses = ask_at_once(client, "/predict", [body(*xs, scale=7.0) for xs in given])
        assert [item.json() for item in responses] == [[7.0 * x for x in xs] for xs in given]
    assert 0 not in sizes(client)


def test_a_request_without_rows_that_a_model_fails_on_is_refused(scores, start):
    client = start(scores)
    alone = problem(client.post("/largest", json={"X": []}), 422, "payload.invalid")
    assert [item["code"] for item in alone["errors"]] == ["payload.empty"]
    assert client.post("/largest", json=body(1.0, 3.0)).json() == 3.0


def test_too_many_rows_are_refused(scores, start):
    client = start(scores, max_rows=3)
    document = problem(client.post("/predict", json=body(1.0, 2.0, 3.0, 4.0)), 413, "request.too-many-rows")
    assert "4 rows" in document["detail"]
    responses = ask_at_once(client, "/predict", [body(1.0), body(1.0, 2.0, 3.0, 4.0)])
    assert [item.status_code for item in responses] == [200, 413]


def test_the_log_of_a_failure_has_the_request(scores, start, caplog):
    caplog.set_level(logging.INFO)
    client = start(scores)
    response = client.post("/predict", json=body(1000.0))
    assert "more than this model was made for" in caplog.text
    assert "more than this model" not in json.dumps(response.json())
