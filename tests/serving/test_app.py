import hashlib
import json
import logging
import re

import pytest
from handmade import make_envelope
from openapi_spec_validator import validate
from refusals import problem
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s
from model_envelope.serving.documents import ASSETS, DOCS_ASSETS
from model_envelope.serving.service import Phase

TABLE_MODEL = """
class Model:
    def predict(self, X):
        if (X["a.b"] > 900).any():
            raise RuntimeError("the training password is hunter2")
        return X["a.b"] * 2
"""
TABLE = s.Table(
    (
        s.Column("a.b", s.Scalar("float64", nullable=True), "float64"),
        s.Column("kind", s.Scalar("string"), TEXT_STORAGE),
        s.Column("count", s.Scalar("int64"), "int64"),
    )
)
TABLE_METHODS = {
    "predict": s.Method((s.Parameter("X", TABLE),), s.Series(s.Scalar("float64", nullable=True), "float64", "a.b"))
}
ROW = {"a.b": 1.5, "kind": "x", "count": 2}


@pytest.fixture
def client(scorer, start):
    return start(scorer, max_body=1000)


@pytest.fixture
def table(tmp_path, start):
    return start(make_envelope(tmp_path, TABLE_MODEL, TABLE_METHODS, {"predict": ({"X": [ROW]}, [3.0])}, name="table"))


def test_each_method_answers_its_sample_with_the_bare_value(client, scorer):
    for name in ("predict", "greet", "later"):
        raw = (scorer / "samples" / f"{name}.input.json").read_bytes()
        response = client.post(f"/{name}", content=raw)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json() == json.loads((scorer / "samples" / f"{name}.output.json").read_bytes())


def test_unknown_columns_are_refused_unless_they_are_to_be_ignored(tmp_path, start, table):
    body = {"X": [{**ROW, "zip": 8010}]}
    refused = problem(table.post("/predict", json=body), 422, "payload.invalid")
    assert [(item["column"], item["code"]) for item in refused["errors"]] == [("zip", "payload.unknown")]
    folder = make_envelope(
        tmp_path / "too", TABLE_MODEL, TABLE_METHODS, {"predict": ({"X": [ROW]}, [3.0])}, name="table"
    )
    lenient = start(folder, extra_columns="ignore")
    assert lenient.post("/predict", json=body).json() == [3.0]
    problem(lenient.post("/predict", json={"X": [{"zip": 8010}]}), 422, "payload.invalid")


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/vnd.acme+json",
        "",
    ],
)
def test_what_clients_send_by_default_is_read_as_json(client, media):
    response = client.post("/later", content=b'{"x": 1}', headers={"content-type": media})
    assert response.json() == 2


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "text/csv"}, "request.media-type"),
        ({"content-type": "multipart/form-data; boundary=x"}, "request.media-type"),
        ({"content-type": "application/json; charset=latin-1"}, "request.charset"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "request.encoding"),
    ],
)
def test_another_media_type_is_refused(client, headers, code):
    problem(client.post("/later", content=b'{"x": 1}', headers=headers), 415, code)


@pytest.mark.parametrize("body", [b"", b"{", b'{"x": NaN}', b"\xff", b"[" * 100_000 + b"]" * 100_000, b"1 2"])
def test_what_is_no_json_is_malformed(scorer, start, body):
    client = start(scorer)
    problem(client.post("/later", content=body), 400, "payload.malformed")


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(client):
    problem(client.post("/later", content=b" " * 1001), 413, "request.too-large")

    async def endless():
        for _ in range(11):
            yield b" " * 100

    problem(client.post("/later", content=endless()), 413, "request.too-large")
    assert client.post("/later", content=b'{"x": 1}' + b" " * 992).json() == 2


def test_all_that_is_wrong_is_said_with_row_and_column(table):
    rows = [ROW, {**ROW, "a.b": "high"}, {**ROW, "count": 3.7, "kind": None}]
    document = problem(table.post("/predict", json={"X": rows}), 422, "payload.invalid")
    found = {(error["pointer"], error["row"], error["column"]) for error in document["errors"]}
    assert found == {("/X/1/a.b", 1, "a.b"), ("/X/2/kind", 2, "kind"), ("/X/2/count", 2, "count")}
    assert all(error["expected"] and error["found"] and error["code"] for error in document["errors"])


def test_a_column_that_all_rows_lack_is_named_once(table):
    rows = [{"a.b": 1.0, "kind": "x"}] * 3
    errors = problem(table.post("/predict", json={"X": rows}), 422, "payload.invalid")["errors"]
    assert [(error["column"], error["row"], error["pointer"]) for error in errors] == [("count", None, None)]


def test_columns_and_split_are_read_too(table):
    columns = {"a.b": [1.0, None], "kind": ["x", "y"], "count": [1, 2]}
    assert table.post("/predict", json={"X": columns}).json() == [2.0, None]
    split = {"columns": ["count", "kind", "a.b"], "data": [[1, "x", 4.0]]}
    assert table.post("/predict", json={"X": split}).json() == [8.0]
    errors = problem(table.post("/predict", json={"X": {**columns, "count": [1, "2"]}}), 422, "payload.invalid")[
        "errors"
    ]
    assert [(error["column"], error["row"], error["pointer"]) for error in errors] == [("count", 1, "/X/count/1")]


def test_a_model_that_raises_is_told_in_the_log_alone(client, table, caplog):
    caplog.set_level(logging.INFO)
    response = client.post("/greet", json={"name": "nobody"}, headers={"x-request-id": "mine-1"})
    document = problem(response, 500, "model.raised")
    assert document["request_id"] == "mine-1"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert "a secret in the message" in caplog.text
    assert re.search(r"request mine-1: .*\n(.*\n)*.*in greet", caplog.text)
    response = table.post("/predict", json={"X": [{**ROW, "a.b": 1000.0}]})
    problem(response, 500, "model.raised")
    assert "hunter2" not in response.text


def test_a_model_that_exits_or_answers_wrongly_does_not_end_the_service(client):
    problem(client.post("/greet", json={"name": "exit"}), 500, "model.raised")
    problem(client.post("/greet", json={"name": "wrong"}), 500, "answer.invalid")
    assert client.post("/greet", json={"name": "you"}).json() == "hello you"


def test_a_request_id_that_could_forge_log_lines_is_replaced(client):
    response = client.get("/livez", headers={"x-request-id": "a b\tc"})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


def test_ready_comes_after_the_replay_and_ends_with_draining(client):
    assert client.get("/livez").json() == {"live": True}
    assert client.get("/readyz").json() == {"ready": True}
    client.service.drain()
    problem(client.get("/readyz"), 503, "service.not-ready")
    assert client.post("/later", json={"x": 1}).json() == 2
    assert client.get("/livez").status_code == 200


def test_before_it_is_ready_it_is_alive_and_answers_503(scorer, start):
    client = start(scorer, start=False)
    assert client.get("/livez").status_code == 200
    assert "verifying" in problem(client.get("/readyz"), 503, "service.not-ready")["detail"]
    response = client.post("/later", json={"x": 1})
    problem(response, 503, "service.not-ready")
    assert response.headers["retry-after"] == "1"


def test_a_changed_file_keeps_the_service_from_loading_the_model(scorer, start):
    code = next((scorer / "code").glob("*.py"))
    code.write_text(code.read_text() + "raise SystemError('it was run')\n")
    client = start(scorer)
    assert client.service.phase is Phase.FAILED
    assert client.service.failure.code == "envelope.tampered"
    assert [item.path for item in client.service.failure.problems] == [f"code/{code.name}"]
    problem(client.get("/readyz"), 503, "service.not-ready")


def test_answers_other_than_the_sealed_ones_keep_the_service_from_ready(tmp_path, start):
    method = {"predict": s.Method((s.Parameter("x", s.Scalar("int64")),), s.Scalar("int64"))}
    source = "class Model:\n    def predict(self, x):\n        return x + 1\n"
    client = start(make_envelope(tmp_path, source, method, {"predict": ({"x": 1}, 3)}, name="differs"))
    assert client.service.failure.code == "replay.differs"
    assert "predict" in str(client.service.failure)


def test_last_bits_of_another_cpu_do_not_keep_the_service_from_ready(tmp_path, start, caplog):
    method = {"predict": s.Method((s.Parameter("x", s.Scalar("float64")),), s.Scalar("float64"))}
    source = "class Model:\n    def predict(self, x):\n        return x + 0.2\n"
    client = start(make_envelope(tmp_path, source, method, {"predict": ({"x": 0.1}, 0.3)}, name="rounded"))
    assert client.service.phase is Phase.READY
    assert "predict answers otherwise in the last bits: $: found 0.30000000000000004" in caplog.text


@pytest.mark.parametrize("fixture", ["client", "table"])
def test_the_openapi_document_is_valid_and_shows_the_sealed_samples(fixture, request):
    client = request.getfixturevalue(fixture)
    document = client.get("/openapi.json").json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    for name, method in client.service.envelope.signature.methods.items():
        operation = document["paths"][f"/{name}"]["post"]
        sample = next(item for item in client.service.envelope.samples if item.method == name)
        content = operation["requestBody"]["content"]["application/json"]
        assert content["example"] == sample.body
        assert set(content["schema"]["properties"]) == {parameter.name for parameter in method.parameters}
        assert operation["responses"]["200"]["content"]["application/json"]["example"] == sample.answer


def test_the_examples_fit_the_schemas(table):
    import jsonschema

    document = table.get("/openapi.json").json()
    operation = document["paths"]["/predict"]["post"]
    for content in (
        operation["requestBody"]["content"]["application/json"],
        operation["responses"]["200"]["content"]["application/json"],
    ):
        jsonschema.Draft202012Validator(content["schema"]).validate(content["example"])
    errors = table.post("/predict", json={"X": [{}]}).json()
    jsonschema.Draft202012Validator(document["components"]["schemas"]["EnvelopeProblem"]).validate(errors)


def test_the_docs_load_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "//" not in page.text.replace("<!doctype html>", "")
    for name in DOCS_ASSETS:
        assert client.get(f"/docs/{name}").content == (ASSETS / name).read_bytes()
    problem(client.get("/docs/../app.py"), 404, "request.unknown-path")
    problem(client.get("/docs/README.md"), 404, "request.unknown-path")


def test_the_assets_are_those_of_the_named_version():
    sums = dict(re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", (ASSETS / "README.md").read_text()))
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == sums[name]


def test_the_service_says_what_it_is(client, scorer):
    assert client.get("/signature").json() == json.loads((scorer / "signature.json").read_bytes())
    about = client.get("/envelope").json()
    assert about["digest"] == hashlib.sha256((scorer / "MANIFEST.sha256").read_bytes()).hexdigest()
    assert about["name"] == "scorer"


def test_what_is_not_there_is_a_problem_too(client):
    problem(client.get("/nothing"), 404, "request.unknown-path")
    response = client.get("/predict")
    problem(response, 405, "request.method")
    assert response.headers["allow"] == "POST"


def test_a_method_may_be_named_like_another_endpoint(tmp_path, start):
    source = "class Model:\n    def envelope(self, x):\n        return x\n"
    methods = {"envelope": s.Method((s.Parameter("x", s.Any()),), s.Any())}
    client = start(make_envelope(tmp_path, source, methods, {}, name="named"))
    assert client.post("/envelope", json={"x": [1]}).json() == [1]
    assert client.get("/envelope").json()["name"] == "named"
    document = client.get("/openapi.json").json()
    validate(document)
    assert set(document["paths"]["/envelope"]) == {"get", "post"}
