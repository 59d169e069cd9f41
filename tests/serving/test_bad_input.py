"""What clients get wrong, asked of a running service: the right refusal that names the column, or the right answer.

The model is strict as those of scikit-learn are: it raises for a table without rows.
"""

import json
import sys
from dataclasses import dataclass

import httpx
import pandas as pd
import pyarrow as pa
import pytest
from handmade import make_envelope
from refusals import problem
from serving_process import started
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s

LATE = """
class Model:
    def predict(self, X):
        if not len(X):
            raise ValueError("Found array with 0 sample(s) (shape=(0, 9)) while a minimum of 1 is required")
        return (X["distance"] * X["month"] > 5000).to_numpy().astype("int64")
"""
NUMBERS = ("distance", "temperature", "humidity", "wind_speed", "pressure", "visibility")
COLUMNS = (
    s.Column("carrier", s.Scalar("string"), TEXT_STORAGE),
    s.Column("origin", s.Choice(("EWR", "JFK", "LGA")), "category"),
    *(s.Column(name, s.Scalar("float64"), "float64") for name in NUMBERS),
    s.Column("month", s.Scalar("int64"), "int64"),
)
METHODS = {
    "predict": s.Method(
        (s.Parameter("X", s.Table(COLUMNS)),),
        s.Tensor("int64", (None,), batch=0),
        row_wise=s.Answer.YES,
        deterministic=s.Answer.YES,
    )
}
ROW = {"carrier": "UA", "origin": "EWR", **dict.fromkeys(NUMBERS, 1.5), "distance": 719.0, "month": 2}
FAR = {**ROW, "distance": 4962.0}
JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
SECRET = "hunter2"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = make_envelope(
        tmp_path_factory.mktemp("late"), LATE, METHODS, {"predict": ({"X": [ROW, FAR]}, [0, 1])}, name="late"
    )
    with started(folder, "--log-level", "warning") as process:
        yield json.loads(process.stdout.readline())["url"]
        assert process.poll() is None, "a request ended the service"


def rows(*given) -> bytes:
    return json.dumps({"X": given}).encode()


def changed(**cells) -> bytes:
    """A good row, and one with these cells."""
    return rows(FAR, {**ROW, **cells})


def without(row: dict, *names: str) -> dict:
    return {name: value for name, value in row.items() if name not in names}


def replaced(old: str, new: str) -> bytes:
    raw = rows(ROW).decode()
    assert old in raw
    return raw.replace(old, new).encode()


def sheet(*given: dict) -> bytes:
    return pd.DataFrame(given, columns=list(given[0]) if given else list(ROW)).to_csv(index=False).encode()


def stream(*given: dict, **columns) -> bytes:
    names = list(given[0]) if given else list(ROW)
    arrays = {name: pa.array([row[name] for row in given]) for name in names} | columns
    if not given:
        arrays = {name: pa.array([], pa.string() if name in ("carrier", "origin") else pa.float64()) for name in names}
        arrays["month"] = pa.array([], pa.int64())
    table = pa.table(arrays)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@dataclass(frozen=True)
class Refused:
    column: str | None
    row: int | None
    code: str


def of_the_signature(column: str | None, row: int | None, code: str) -> tuple[int, str, Refused]:
    return 422, "payload.invalid", Refused(column, row, code)


MALFORMED = (400, "payload.malformed", None)
TYPE = "payload.type"
AS_JSON = {
    "missing column": (rows(FAR, without(ROW, "month")), of_the_signature("month", 1, "payload.missing")),
    "missing column everywhere": (rows(without(ROW, "month")), of_the_signature("month", None, "payload.missing")),
    "extra column": (changed(zip=SECRET), of_the_signature("zip", 1, "payload.unknown")),
    "extra column, by columns": (
        json.dumps({"X": {**{name: [value] for name, value in ROW.items()}, "zip.code": [1]}}).encode(),
        of_the_signature("zip.code", None, "payload.unknown"),
    ),
    "extra column, split": (
        json.dumps({"X": {"columns": [*ROW, "zip"], "data": [[*ROW.values(), 1]]}}).encode(),
        of_the_signature("zip", None, "payload.unknown"),
    ),
    "missing column, split": (
        json.dumps({"X": {"columns": list(ROW)[:-1], "data": [list(ROW.values())[:-1]]}}).encode(),
        of_the_signature("month", None, "payload.missing"),
    ),
    "string for a float": (changed(distance=SECRET), of_the_signature("distance", 1, TYPE)),
    "string for a float, by columns": (
        json.dumps({"X": {name: [value, value] for name, value in ROW.items()} | {"distance": [1.5, SECRET]}}).encode(),
        of_the_signature("distance", 1, TYPE),
    ),
    "string for a float, split": (
        json.dumps(
            {"X": {"columns": ["month", *list(ROW)[:-1]], "data": [[SECRET, *list(ROW.values())[:-1]]]}}
        ).encode(),
        of_the_signature("month", 0, TYPE),
    ),
    "null for a float": (changed(distance=None), of_the_signature("distance", 1, "payload.null")),
    "NaN literal": (replaced("719.0", "NaN"), MALFORMED),
    "Infinity literal": (replaced("719.0", "-Infinity"), MALFORMED),
    "1e20 as an integer": (replaced('"month": 2', '"month": 1e20'), of_the_signature("month", 0, TYPE)),
    "10**20 as an integer": (changed(month=10**20), of_the_signature("month", 1, TYPE)),
    "3.7 as an integer": (changed(month=3.7), of_the_signature("month", 1, TYPE)),
    "true as an integer": (changed(month=True), of_the_signature("month", 1, TYPE)),
    "unknown category": (changed(origin=SECRET), of_the_signature("origin", 1, "payload.choice")),
    "unknown text": (changed(carrier="nobody"), [1, 0]),
    "reordered columns": (rows(dict(reversed(FAR.items())), dict(reversed(ROW.items()))), [1, 0]),
    "empty rows": (rows(), []),
    "malformed JSON": (rows(ROW)[:70], MALFORMED),
    "nothing": (b"", MALFORMED),
    "a list": (json.dumps([ROW]).encode(), of_the_signature(None, None, TYPE)),
}
AS_CSV = {
    "good": (sheet(FAR, ROW), [1, 0]),
    "missing column": (sheet(without(ROW, "month")), of_the_signature("month", None, "payload.missing")),
    "extra column": (sheet({**ROW, "zip": SECRET}), of_the_signature("zip", None, "payload.unknown")),
    "string for a float": (sheet(FAR, {**ROW, "distance": SECRET}), of_the_signature("distance", 1, TYPE)),
    "null for a float": (sheet(FAR, {**ROW, "distance": None}), of_the_signature("distance", 1, "payload.null")),
    "1e20 as an integer": (sheet({**ROW, "month": "1e20"}), of_the_signature("month", 0, TYPE)),
    "3.7 as an integer": (sheet(FAR, {**ROW, "month": "3.7"}), of_the_signature("month", 1, TYPE)),
    "unknown category": (sheet(FAR, {**ROW, "origin": SECRET}), of_the_signature("origin", 1, "payload.choice")),
    "reordered columns": (sheet(dict(reversed(FAR.items()))), [1]),
    "empty rows": (sheet(), []),
    "malformed": (sheet(ROW) + b'"UA', MALFORMED),
    "nothing": (b"", MALFORMED),
}
AS_ARROW = {
    "good": (stream(FAR, ROW), [1, 0]),
    "missing column": (stream(without(ROW, "month")), of_the_signature("month", None, "payload.missing")),
    "extra column": (stream({**ROW, "zip": SECRET}), of_the_signature("zip", None, "payload.unknown")),
    "string for a float": (stream({**ROW, "distance": SECRET}), of_the_signature("distance", None, TYPE)),
    "null for a float": (
        stream(FAR, {**ROW, "distance": None}),
        of_the_signature("distance", 1, "payload.null"),
    ),
    "3.7 as an integer": (stream({**ROW, "month": 3.7}), of_the_signature("month", None, TYPE)),
    "unknown category": (stream(FAR, {**ROW, "origin": SECRET}), of_the_signature("origin", 1, "payload.choice")),
    "reordered columns": (stream(dict(reversed(FAR.items()))), [1]),
    "empty rows": (stream(), []),
    "malformed": (stream(ROW)[:200], MALFORMED),
    "nothing": (b"", MALFORMED),
}
CASES = [
    pytest.param(kind, raw, wanted, id=f"{kind.partition('/')[2]}: {name}")
    for kind, cases in ((JSON, AS_JSON), (CSV, AS_CSV), (ARROW, AS_ARROW))
    for name, (raw, wanted) in cases.items()
]


@pytest.mark.xdist_group("bad input")
@pytest.mark.parametrize(("kind", "raw", "wanted"), CASES)
def test_the_column_is_named_or_the_answer_is_right(url, kind, raw, wanted):
    response = httpx.post(f"{url}/predict", content=raw, headers={"Content-Type": kind}, timeout=60)
    if isinstance(wanted, list):
        assert (response.status_code, response.json()) == (200, wanted)
        return
    status, code, refused = wanted
    document = problem(response, status, code)
    if refused is not None:
        (error,) = document["errors"]
        assert Refused(error["column"], error["row"], error["code"]) == refused
    for internal in ("Traceback", "File ", ".py", "Error", sys.prefix, "handmade", "pandas", SECRET):
        assert internal not in response.text


@pytest.mark.xdist_group("bad input")
def test_a_body_of_50_mb_is_answered(url):
    row = json.dumps(FAR).encode()
    count = 50_000_000 // (len(row) + 1)
    response = httpx.post(f"{url}/predict", content=b'{"X":[' + b",".join([row] * count) + b"]}", timeout=300)
    assert response.status_code == 200
    assert response.json() == [1] * count


@pytest.mark.xdist_group("bad input")
def test_a_body_of_50_mb_with_one_bad_cell_is_told_where(url):
    row = json.dumps(FAR).encode()
    count = 50_000_000 // (len(row) + 1)
    cells = b",".join([row] * count + [json.dumps({**FAR, "month": 3.7}).encode()])
    response = httpx.post(f"{url}/predict", content=b'{"X":[' + cells + b"]}", timeout=300)
    (error,) = problem(response, 422, "payload.invalid")["errors"]
    assert (error["column"], error["row"]) == ("month", count)


@pytest.mark.xdist_group("bad input")
def test_a_body_above_the_limit_is_413(url):
    response = httpx.post(f"{url}/predict", content=b" " * 64_000_001, timeout=300)
    problem(response, 413, "request.too-large")
