"""Processes that answer beside each other, and the decision whether they pay."""

import multiprocessing

import pyarrow as pa
import pytest
from scoring.conftest import people
from scoring.faked import Shelf, Table

from model_envelope.runtime.errors import InvalidEnvelope, ModelFailed
from model_envelope.scoring.quarantine import Answered
from model_envelope.scoring.tables import InvalidTable
from model_envelope.scoring.workers import Advice


def test_answers_of_workers_keep_the_order_of_the_rows(run):
    ages = [*range(14, 90)]
    output = Shelf()
    report = run(Table(people(*ages[:50]), people(*ages[50:])), output, workers=2, batch_rows=3, keep=("age",))
    assert output.table().column("score").to_pylist() == [age * 2.0 for age in ages]
    assert output.table().column("age").to_pylist() == ages
    assert report.workers == 2


def test_one_of_the_workers_is_the_process_that_has_the_model_already(run):
    others = set()
    report = run(
        Table(people(*range(20, 60))),
        Shelf(),
        workers=2,
        batch_rows=2,
        report=lambda _: others.update(process.pid for process in multiprocessing.active_children()),
    )
    assert (report.workers, len(others)) == (2, 1)


def test_what_a_worker_is_told_first_is_told_first(run):
    """A later batch that was answered here, and is bad too, waits for its turn."""
    with pytest.raises(InvalidTable) as error:
        run(Table(people(1, None, 3, None, None, 6)), Shelf(), workers=2, batch_rows=2)
    assert [problem.path for problem in error.value.problems] == ["part 0, row 1: $.table.age"]


def test_workers_set_bad_rows_aside(run):
    output, aside = Shelf(), Shelf()
    run(Table(people(1, None, 13, 4)), output, quarantine=aside, on_bad_row="quarantine", workers=2, batch_rows=2)
    assert output.table().column("score").to_pylist() == [2.0, 8.0]
    assert aside.table().column("row").to_pylist() == [1, 2]
    with pytest.raises(InvalidTable) as error:
        run(Table(people(1, 2, None, 4)), Shelf(), workers=2, batch_rows=2)
    assert [problem.path for problem in error.value.problems] == ["part 0, row 2: $.table.age"]


def test_a_worker_that_dies_is_told_with_what_killed_it(run):
    output = Shelf()
    with pytest.raises(ModelFailed) as error:
        run(Table(people(99), people(1, 2)), output, workers=2)
    assert error.value.code == "workers.died"
    assert "SIGKILL" in str(error.value)
    assert "rows 0 to 0 of part 0" in str(error.value)
    assert output.committed is None


def test_a_worker_that_cannot_load_the_model_says_why(run, envelope):
    (envelope / "envelope.json").unlink()
    with pytest.raises(InvalidEnvelope, match=r"no envelope\.json") as error:
        run(Table(people(1, 2)), Shelf(), workers=2)
    assert error.value.code == "envelope.incomplete"


def learned(seconds, *, batches=4, **options):
    advice = Advice(0, **options)
    data = people(*range(1000))
    for _ in range(batches):
        assert advice.now() == 0
        advice.learn(data, Answered(data.select(["age"]), None, {}, seconds))
    return advice


def test_workers_are_started_where_predicting_takes_long():
    advice = learned(5.0, batches=2, total=1_000_000, cores=4)
    assert advice.now() == 4
    assert "4 workers" in advice.reason


def test_workers_are_not_started_where_the_rest_is_done_sooner_without():
    advice = learned(0.01, total=4_000, cores=4)
    assert advice.now() == 0
    assert advice.reason.startswith("one process")
    assert learned(5.0, batches=2, total=1_000_000, cores=1).now() == 0


def test_where_nobody_knows_how_many_rows_there_are_as_many_are_taken_to_be_left_as_were_seen():
    advice = learned(3.0, batches=2, total=None, cores=2)
    assert advice.now() == 0
    for _ in range(14):
        advice.learn(people(*range(1000)), Answered(people().select(["age"]), None, {}, 3.0))
    assert advice.now() == 2


def test_as_many_as_are_asked_for_are_started():
    assert Advice(3, None).now() == 3
    assert Advice(1, None).now() == 0


def test_empty_batches_teach_nothing():
    advice = Advice(0, None, cores=2)
    advice.learn(people(), Answered(pa.RecordBatch.from_pydict({}), None, {}, 1.0))
    assert advice.now() == 0
