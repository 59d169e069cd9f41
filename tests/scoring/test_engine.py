"""Jobs on tables in memory: what is read, asked, written, refused, and what is left when something fails."""

import json

import pyarrow as pa
import pytest
from scoring.conftest import people
from scoring.faked import Shelf, Table

from model_envelope.runtime.errors import ModelFailed, Problem
from model_envelope.scoring.tables import BadRow, CannotWrite, Changed, InvalidJob, InvalidTable


def scores(shelf):
    return shelf.table().column("score").to_pylist()


def test_answers_stand_in_the_order_of_the_rows_across_batches_and_parts(run):
    source = Table(people(*range(14, 25)), people(*range(30, 37)), people())
    output = Shelf()
    report = run(source, output, batch_rows=3)
    assert scores(output) == [age * 2.0 for age in (*range(14, 25), *range(30, 37))]
    assert output.table().column_names == ["score"]
    assert (report.rows.read, report.rows.scored, report.rows.refused) == (18, 18, 0)
    assert output.events == ["open", "staged 0", "staged 1", "staged 2", "commit", "close"]


def test_kept_columns_come_first_and_other_columns_are_not_read(run):
    source = Table(people(1, 2, id=pa.array([7, 8]), junk=pa.array(["x", "y"])))
    output = Shelf()
    run(source, output, keep=("id",))
    assert output.table().to_pylist() == [{"id": 7, "score": 2.0}, {"id": 8, "score": 4.0}]
    assert source.asked == [(0, ("age", "name", "id"))]
    everything = Shelf()
    run(source, everything, keep=("*",))
    assert everything.table().column_names == ["age", "name", "id", "junk", "score"]


def test_an_empty_table_gives_an_empty_output_with_its_columns(run):
    output = Shelf()
    report = run(Table(people()), output, keep=("name",))
    assert output.table().num_rows == 0
    assert output.table().schema == pa.schema(
        [pa.field("name", pa.string()), pa.field("score", pa.float64(), nullable=False)]
    )
    assert report.rows.read == 0


def test_a_kept_column_that_an_answer_is_called_like_is_told_before_anything_is_read(run):
    source = Table(people(1, score=pa.array([5])))
    with pytest.raises(InvalidJob) as error:
        run(source, Shelf(), keep=("score",))
    assert error.value.code == "job.columns"
    assert "--rename score=NAME" in str(error.value)
    assert source.asked == []
    output = Shelf()
    run(source, output, keep=("score",), rename={"score": "predicted"})
    assert output.table().to_pylist() == [{"score": 5, "predicted": 2.0}]


def test_a_column_of_another_name_is_found_by_rename(run):
    source = Table(people(1, 2).rename_columns(["years", "name"]))
    with pytest.raises(InvalidTable, match="no column age"):
        run(source, Shelf())
    output = Shelf()
    run(source, output, rename={"age": "years"})
    assert scores(output) == [2.0, 4.0]


def test_a_method_of_single_values_is_asked_row_by_row(run):
    output = Shelf()
    run(Table(people(1, 2, names=["ab", "c"])), output, method="add")
    assert output.table().to_pylist() == [{"add": 3.0}, {"add": 3.0}]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"method": "nothing"}, "job.method"),
        ({"method": "total"}, "job.method"),
        ({"on_bad_row": "quarantine"}, "job.quarantine"),
        ({"rename": {"height": "x"}}, "job.rename"),
        ({"parameters": {"k": 1}}, "job.parameter"),
    ],
)
def test_settings_that_make_no_sense_are_told(run, settings, code):
    with pytest.raises(InvalidJob) as error:
        run(Table(people(1)), Shelf(), **settings)
    assert error.value.code == code


def test_unknown_columns_to_keep_are_told(run):
    with pytest.raises(InvalidTable, match="no column id, which --keep names"):
        run(Table(people(1)), Shelf(), keep=("id",))


class TestBadRows:
    def bad(self):
        return people(1, None, 3, None, 13, 6, names=["a", "b", None, "d", "e", "f"])

    def test_fail_names_all_problems_of_the_first_bad_batch_with_part_and_row(self, run):
        output = Shelf()
        with pytest.raises(InvalidTable) as error:
            run(Table(people(5, 5), self.bad()), output)
        assert error.value.code == "table.rows"
        assert [problem.path for problem in error.value.problems] == [
            "part 1, row 1: $.table.age",
            "part 1, row 3: $.table.age",
            "part 1, row 2: $.table.name",
        ]
        assert "--on-bad-row quarantine" in str(error.value)
        assert output.committed is None

    def test_quarantine_sets_bad_rows_aside_with_their_problems_and_values(self, run):
        output, aside = Shelf(), Shelf()
        report = run(Table(people(5, 5), self.bad()), output, quarantine=aside, on_bad_row="quarantine", keep=("name",))
        assert output.table().to_pylist() == [
            {"name": "n0", "score": 10.0},
            {"name": "n1", "score": 10.0},
            {"name": "a", "score": 2.0},
            {"name": "f", "score": 12.0},
        ]
        rows = aside.table().to_pylist()
        assert [(row["part"], row["row"]) for row in rows] == [("part 1", at) for at in (1, 2, 3, 4)]
        assert json.loads(rows[0]["values"]) == {"age": None, "name": "b"}
        assert rows[0]["problems"][0]["path"] == "$.table.age"
        assert "thirteen brings bad luck" in rows[3]["problems"][0]["found"]
        assert (report.rows.read, report.rows.scored, report.rows.refused) == (8, 4, 4)
        assert report.problems["model.raised"] == 1

    def test_more_bad_rows_than_are_named_at_once_are_all_found(self, run):
        output, aside = Shelf(), Shelf()
        ages = [None if at % 3 else float(at + 20) for at in range(1000)]
        run(Table(people(*ages)), output, quarantine=aside, on_bad_row="quarantine", batch_rows=400)
        assert scores(output) == [age * 2 for age in ages if age is not None]
        assert aside.table().column("row").to_pylist() == [at for at, age in enumerate(ages) if age is None]

    def test_rows_that_the_source_could_not_read_keep_the_numbers_of_the_others_right(self, run):
        broken = BadRow(1, (Problem("$", "3 fields", "2", "table.fields"),), text="1,2,3")
        output, aside = Shelf(), Shelf()
        source = Table(people(1, None, 3), broken={(0, 0): [broken]})
        report = run(source, output, quarantine=aside, on_bad_row="quarantine")
        assert [(row["row"], row["text"]) for row in aside.table().to_pylist()] == [(1, "1,2,3"), (2, None)]
        assert report.rows.read == 4
        with pytest.raises(InvalidTable, match="row 1"):
            run(Table(people(1, 2), broken={(0, 0): [broken]}), Shelf())

    def test_above_the_limit_the_job_fails_and_commits_nothing(self, run):
        output, aside = Shelf(), Shelf()
        with pytest.raises(InvalidTable) as error:
            run(Table(self.bad()), output, quarantine=aside, on_bad_row="quarantine", max_bad_rows=3)
        assert error.value.code == "table.bad-rows"
        assert output.committed is None
        run(Table(self.bad()), Shelf(), quarantine=Shelf(), on_bad_row="quarantine", max_bad_rows=4)
        with pytest.raises(InvalidTable, match=r"the limit is 0\.5"):
            run(Table(self.bad()), Shelf(), quarantine=Shelf(), on_bad_row="quarantine", max_bad_rows=0.5)

    def test_the_limit_counts_rows_that_an_earlier_run_set_aside(self, run):
        source, aside = Table(self.bad(), people(None, 2)), Shelf()
        settings = {"quarantine": aside, "on_bad_row": "quarantine", "max_bad_rows": 4}
        output = Shelf(dies_at=(1, 0))
        with pytest.raises((CannotWrite, InvalidTable)):
            run(source, output, **settings)
        output.dies_at = None
        assert set(output.staged) == {0}
        with pytest.raises(InvalidTable, match="5 rows are bad"):
            run(source, output, **settings)
        assert output.committed is None

    def test_a_column_of_another_type_is_an_error_and_no_bad_row(self, run):
        table = pa.RecordBatch.from_pydict({"age": ["old"], "name": ["a"]})
        with pytest.raises(InvalidTable) as error:
            run(Table(table), Shelf(), quarantine=Shelf(), on_bad_row="quarantine")
        assert error.value.code == "table.types"

    def test_a_model_that_raises_for_every_row_is_an_error(self, run):
        with pytest.raises(ModelFailed, match="thirteen"):
            run(Table(people(*[13.0] * 100)), Shelf(), quarantine=Shelf(), on_bad_row="quarantine")

    def test_single_values_are_set_aside_as_well(self, run):
        output, aside = Shelf(), Shelf()
        source = Table(people(1, None, 3, None))
        run(source, output, quarantine=aside, on_bad_row="quarantine", method="add")
        assert output.table().column("add").to_pylist() == [3.0, 5.0]
        assert aside.table().column("row").to_pylist() == [1, 3]


class TestFailures:
    def test_a_source_that_fails_stops_all_and_keeps_what_is_staged(self, run):
        output = Shelf()
        source = Table(people(1, 2), people(3, 4, 5), fails={1: 1})
        with pytest.raises(OSError, match="the disk is gone"):
            run(source, output, batch_rows=2)
        assert output.events == ["open", "staged 0", "close"]
        source.fails, source.asked = {}, []
        report = run(source, output, batch_rows=2)
        assert [part for part, _ in source.asked] == [1]
        assert scores(output) == [2.0, 4.0, 6.0, 8.0, 10.0]
        assert (report.parts, report.parts_resumed, report.rows.read, report.rows.resumed) == (2, 1, 3, 2)

    def test_a_sink_that_fails_stops_all(self, run):
        output = Shelf(dies_at=(0, 1))
        with pytest.raises(CannotWrite, match="no room"):
            run(Table(people(*range(20, 60))), output, batch_rows=2)
        assert output.events == ["open", "close"]

    def test_a_model_that_fails_is_told_with_the_rows(self, run):
        with pytest.raises(ModelFailed, match=r"rows 2 to 3 of part 0"):
            run(Table(people(1, 2, 13, 4)), Shelf(), batch_rows=2)

    def test_an_interrupt_keeps_what_is_staged(self, run):
        output = Shelf()

        def interrupt(event):
            if event["event"] == "progress" and event["rows"] >= 5:
                raise KeyboardInterrupt

        source = Table(people(1, 2, 3), people(4, 5), people(6))
        with pytest.raises(KeyboardInterrupt):
            run(source, output, report=interrupt)
        assert output.committed is None
        assert output.events[-1] == "close"
        run(source, output)
        assert scores(output) == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]

    def test_an_input_that_changes_meanwhile_commits_nothing(self, run):
        source, output = Table(people(1, 2)), Shelf()

        def change(event):
            source.version = "2"

        with pytest.raises(Changed) as error:
            run(source, output, report=change)
        assert error.value.code == "job.input-changed"
        assert output.committed is None

    def test_all_calls_of_a_source_come_from_one_thread(self, run):
        source = Table(people(1), people(2), people(3))
        run(source, Shelf())
        assert len(source.threads) == 1


def test_the_same_job_has_the_same_identity_and_another_has_another(run):
    def identity(source, **settings):
        return run(source, Shelf(), **settings).identity

    source = Table(people(1, 2))
    first = identity(source)
    assert identity(source, workers=1, max_bad_rows=5) == first
    assert identity(source, keep=("age",)) != first
    assert identity(source, batch_rows=1) != first
    source.version = "2"
    assert identity(source) != first


def test_quarantine_and_log_are_finished_before_the_output(run):
    order = []

    class Ordered(Shelf):
        def commit(self):
            order.append(self.name)
            return super().commit()

    run(
        Table(people(1, None)), Ordered("output"), quarantine=Ordered("quarantine"), log=Ordered("log"),
        on_bad_row="quarantine",
    )  # fmt: skip
    assert order == ["log", "quarantine", "output"]


def test_a_part_that_one_table_has_already_is_not_written_to_it_again(run):
    source = Table(people(1), people(None), people(3))
    aside = Shelf()
    output = Shelf(dies_at=(2, 0))
    with pytest.raises(CannotWrite):
        run(source, output, quarantine=aside, on_bad_row="quarantine")
    del output.staged[1]  # killed after the quarantine had it, before the output did
    output.dies_at, aside.begun = None, []
    run(source, output, quarantine=aside, on_bad_row="quarantine")
    assert aside.begun == [2]
    assert scores(output) == [2.0, 6.0]
    assert aside.table().num_rows == 1


def test_the_report_tells_what_was_done(run):
    events = []
    report = run(
        Table(people(1, 2, 3), people(None)), Shelf("out"), quarantine=Shelf("aside"), on_bad_row="quarantine",
        report=events.append, run_id="tonight",
    )  # fmt: skip
    document = json.loads(json.dumps(report.to_document()))
    assert document["run_id"] == "tonight"
    assert document["rows"] == {"read": 4, "scored": 3, "refused": 1, "resumed": 0}
    assert sum(document["problems"].values()) == 1
    assert document["outputs"]["output"]["rows"] == 3
    assert document["outputs"]["quarantine"]["rows"] == 1
    assert {"reading", "predicting", "writing", "waiting"} <= set(document["seconds"])
    assert document["observations"]["inputs"]["age"]["mean"] == 2.0
    assert document["observations"]["inputs"]["age"]["nulls"] == 1
    assert document["observations"]["answers"]["score"]["max"] == 6.0
    assert report.summary()["rows_written"] == 3
    assert "3 of 4 rows scored" in report.text()
    assert [event["rows"] for event in events if event["event"] == "progress"][-1] == 4


def test_a_job_that_was_done_before_says_that_nothing_was_left(run):
    output = Shelf()
    run(Table(people(1, 2)), output)
    again = run(Table(people(1, 2)), output)
    assert again.rows.read == 0
    assert again.text().startswith("nothing was left to score: an earlier run of this job had written all of it\n")
    assert "rows scored" not in again.text()
