"""What answers the samples in an image of jobs: as JSON, and as the tables that a job reads."""

import json
import subprocess
import sys

import pytest
from handmade import make_envelope

from model_envelope.runtime.predicting import Predictor
from model_envelope.runtime.signature import Column, Kind, List, Method, Parameter, Scalar, Table
from model_envelope.scoring.proving import as_table

NUMBER, WHOLE, TEXT = Scalar("float64"), Scalar("int64"), Scalar("string")
TABULAR = """
class Model:
    def predict(self, X):
        return X.assign(total=X.a * X.b)[["total"]]

    def scaled(self, X, *, by=1.0):
        return (X.a * by).tolist()

    def count(self, X):
        return len(X)

    def many(self, *names):
        return names[0]

    def optional(self, a, b=1):
        return a + b
"""
FRAME = Table((Column("a", NUMBER, "float64"), Column("b", WHOLE, "int64")))
METHODS = {
    "predict": Method((Parameter("X", FRAME),), Table((Column("total", NUMBER, "float64"),))),
    "scaled": Method(
        (Parameter("X", FRAME), Parameter("by", NUMBER, Kind.KEYWORD, required=False, default=1.0)), List(NUMBER)
    ),
    "count": Method((Parameter("X", FRAME),), WHOLE),
    "many": Method((Parameter("names", List(TEXT), Kind.VARIADIC),), TEXT),
    "optional": Method((Parameter("a", WHOLE), Parameter("b", WHOLE, required=False, default=1)), WHOLE),
}
ROWS = {"a": [1.5, 2.5], "b": [2, 4]}


@pytest.fixture
def predictor(tmp_path):
    return Predictor.open(make_envelope(tmp_path, TABULAR, METHODS, {}, name="tabular"))


def asked(predictor, method, body):
    """What a method answers to a table, or None where no table can ask it."""
    ask = as_table(predictor.methods[method], body)
    return None if ask is None else ask()


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("predict", {"X": ROWS}),
        ("scaled", {"X": ROWS}),
        ("scaled", {"X": ROWS, "by": 3.0}),
        ("optional", {"a": 1, "b": 5}),
    ],
)
def test_a_table_is_answered_as_the_same_rows_in_json(predictor, method, body):
    assert asked(predictor, method, body) == predictor.methods[method].answer(body)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("count", {"X": ROWS}),  # one number for all rows
        ("many", {"names": ["a", "b"]}),
        ("optional", {"a": 1}),  # a table has every column
    ],
)
def test_what_no_job_can_ask_is_left_out(predictor, method, body):
    assert asked(predictor, method, body) is None


def run(envelope):
    command = [sys.executable, "-m", "model_envelope.scoring.proving", envelope]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_all_samples_are_answered_and_none_is_judged(tmp_path):
    samples = {"predict": ({"X": ROWS}, {"total": [0.0, 0.0]}), "count": ({"X": ROWS}, 2)}
    code, document = run(make_envelope(tmp_path, "print('loud')\n" + TABULAR, METHODS, samples, name="tabular"))
    assert code == 0
    answers = {name: json.loads(item["body"]) for name, item in document["answers"].items()}
    assert answers["count"] == 2
    assert answers["predict"] == json.loads(document["tables"]["predict"]["body"]) != {"total": [0.0, 0.0]}
    assert document["tables"].keys() == {"predict"}
    assert document["machine"]["cpu"]


def test_a_model_that_raises_is_told_by_method(tmp_path):
    code, document = run(make_envelope(tmp_path, samples={"greet": ({"name": "exit"}, "x")}))
    assert code == 0
    assert document["answers"]["greet"]["error"]["code"] == "model.raised"
    assert document["tables"]["greet"]["error"]["code"] == "model.raised"


def test_a_model_that_cannot_be_loaded_is_told(tmp_path):
    envelope = make_envelope(tmp_path)
    next((envelope / "code").iterdir()).write_text("import not_there_at_all\n")
    code, document = run(envelope)
    assert code == 1
    assert "not_there_at_all" in document["error"]["message"] + document["error"]["detail"]
