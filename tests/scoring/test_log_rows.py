"""The inference log of a job."""

import json

import pyarrow as pa
from scoring.conftest import people
from scoring.faked import Shelf, Table

from model_envelope.runtime.inference_log import arrow_schema


def test_each_row_is_logged_with_its_input_and_answer(run, envelope):
    log = Shelf()
    run(Table(people(1, 2), people(3)), Shelf(), log=log, run_id="tonight")
    rows = log.table().to_pylist()
    assert log.table().schema == arrow_schema()
    assert [(row["part"], row["row_index"]) for row in rows] == [("part 0", 0), ("part 0", 1), ("part 1", 0)]
    assert json.loads(rows[0]["request"]) == {"age": 1.0, "name": "n0"}
    assert json.loads(rows[0]["response"]) == {"score": 2.0}
    assert {row["source"] for row in rows} == {"batch"}
    assert rows[0]["request_id"] == rows[1]["request_id"] == "tonight/0/0"
    assert {row["run_id"] for row in rows} == {"tonight"}


def test_refused_rows_are_logged_without_an_answer(run):
    log = Shelf()
    run(Table(people(1, None, 3)), Shelf(), log=log, quarantine=Shelf(), on_bad_row="quarantine")
    rows = log.table().to_pylist()
    assert [(row["status_code"], row["response"]) for row in rows] == [
        (200, '{"score":2.0}'),
        (422, None),
        (200, '{"score":6.0}'),
    ]


def test_columns_are_left_out_and_hashed(run):
    log = Shelf()
    run(Table(people(1)), Shelf(), log=log, log_without=("age",), log_hashed=("name", "score"))
    row = log.table().to_pylist()[0]
    assert list(json.loads(row["request"])) == ["name"]
    assert json.loads(row["request"])["name"].startswith("sha256:")
    assert json.loads(row["response"])["score"].startswith("sha256:")


def test_single_values_and_groups_are_logged_too(run):
    log = Shelf()
    run(Table(people(1, names=["ab"])), Shelf(), log=log, method="add")
    assert [(row["request"], row["response"]) for row in log.table().to_pylist()] == [
        ('{"age":1.0,"name":"ab"}', "3.0")
    ]
    log = Shelf()
    source = Table(people(1, 2, team=pa.array(["a", "b"])), people(3, team=pa.array(["a"])))
    run(source, Shelf(), log=log, method="share", by=("team",))
    rows = log.table().to_pylist()
    assert [(row["part"], row["row_index"], row["response"]) for row in rows] == [
        ("part 0", 0, '{"score":0.25}'),
        ("part 1", 0, '{"score":0.75}'),
        ("part 0", 1, '{"score":1.0}'),
    ]
