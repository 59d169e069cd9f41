"""Methods whose answers depend on other rows: asked for the whole table, or group by group."""

import pyarrow as pa
import pytest
from scoring.conftest import people
from scoring.faked import Shelf, Table

from model_envelope.runtime.errors import Problem
from model_envelope.scoring import groups
from model_envelope.scoring.tables import BadRow, CannotWrite, InvalidTable


def shares(shelf):
    return shelf.table().to_pylist()


def grouped(*pairs):
    """A part with ages and the groups of them."""
    return people(*(age for age, _ in pairs), team=pa.array([team for _, team in pairs]))


def test_the_whole_table_is_asked_at_once_and_written_in_its_parts(run):
    source, output = Table(people(1, 2), people(), people(5)), Shelf()
    report = run(source, output, method="share", batch_rows=1)
    assert [row["score"] for row in shares(output)] == [1 / 8, 2 / 8, 5 / 8]
    assert [output.committed[at].num_rows for at in range(3)] == [2, 0, 1]
    assert "the whole table is read into memory" in report.notes[0]


def test_groups_that_stand_together_are_asked_as_they_pass_by_and_rows_keep_their_order(run):
    source = Table(grouped((1, "b"), (3, "b"), (5, "a")), grouped((15, "a"), (4, None)), grouped((12, None)))
    output = Shelf()
    report = run(source, output, method="share", by=("team",), keep=("team",), batch_rows=2)
    assert shares(output) == [
        {"team": "b", "score": 0.25},
        {"team": "b", "score": 0.75},
        {"team": "a", "score": 0.25},
        {"team": "a", "score": 0.75},
        {"team": None, "score": 0.25},
        {"team": None, "score": 0.75},
    ]
    assert [output.committed[at].num_rows for at in range(3)] == [3, 2, 1]
    assert "stand together" in report.notes[0]


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_groups_that_stand_apart_are_collected_and_written_group_by_group(run, batch_rows):
    source = Table(
        grouped((1, "b"), (5, "a"), (3, "b")), grouped((15, "a"), (12, None)), grouped((4, None), (0.5, "c"))
    )
    output = Shelf()
    report = run(source, output, method="share", by=("team",), keep=("age", "team"), batch_rows=batch_rows)
    assert [(row["age"], row["team"], row["score"]) for row in shares(output)] == [
        (1, "b", 0.25),
        (3, "b", 0.75),
        (5, "a", 0.25),
        (15, "a", 0.75),
        (12, None, 0.75),
        (4, None, 0.25),
        (0.5, "c", 1.0),
    ]
    assert "written group by group" in report.notes[0]
    assert report.parts == 1


def test_two_columns_make_a_key(run):
    source = Table(people(1, 3, 2, 6, year=pa.array([1, 1, 1, 2]), team=pa.array(["a", "a", "b", "b"])))
    output = Shelf()
    run(source, output, method="share", by=("year", "team"))
    assert [row["score"] for row in shares(output)] == [0.25, 0.75, 1.0, 1.0]


def test_a_bad_row_refuses_its_group_and_no_other(run):
    pairs = [(1, "a"), (None, "b"), (3, "b"), (4, "c")]
    for source in (Table(grouped(*pairs)), Table(grouped(*pairs, (1, "a")))):
        output, aside = Shelf(), Shelf()
        run(source, output, quarantine=aside, on_bad_row="quarantine", method="share", by=("team",), keep=("team",))
        assert {row["team"] for row in shares(output)} == {"a", "c"}
        told = aside.table().to_pylist()
        assert [(row["part"], row["row"]) for row in told] == [("part 0", 1), ("part 0", 2)]
        assert told[0]["problems"][0]["path"] == "$.table.age"
        assert told[1]["problems"][0]["code"] == "row.group"


def test_a_bad_row_of_the_whole_table_is_an_error_with_part_and_row(run):
    with pytest.raises(InvalidTable) as error:
        run(Table(people(1, 2), people(3, None)), Shelf(), method="share")
    assert [problem.path for problem in error.value.problems] == ["part 1, row 1: $.table.age"]
    source = Table(grouped((1, "a"), (1, "b")), grouped((3, "a"), (None, "a")))
    with pytest.raises(InvalidTable) as error:
        run(source, Shelf(), method="share", by=("team",))
    assert [problem.path for problem in error.value.problems] == ["part 1, row 1: $.table.age"]


def test_rows_that_cannot_be_read_are_set_aside_by_themselves(run):
    broken = BadRow(2, (Problem("$", "3 fields", "2", "table.fields"),), text="1,2,3")
    for pairs in ([(1, "a"), (2, "b")], [(1, "a"), (2, "b"), (3, "a")]):
        output, aside = Shelf(), Shelf()
        source = Table(grouped(*pairs), broken={(0, 0): [broken]})
        run(source, output, quarantine=aside, on_bad_row="quarantine", method="share", by=("team",))
        assert [row["text"] for row in aside.table().to_pylist()] == ["1,2,3"]
        assert len(shares(output)) == len(pairs)


def test_an_earlier_run_is_gone_on_with(run):
    source = Table(grouped((1, "a"), (3, "b")), grouped((9, "b"), (4, "c")), grouped((4, "c")))
    output = Shelf(dies_at=(1, 0))
    settings = {"method": "share", "by": ("team",), "keep": ("team",)}
    with pytest.raises(CannotWrite):
        run(source, output, **settings)
    output.dies_at = None
    assert set(output.staged) == {0}
    run(source, output, **settings)
    assert [row["score"] for row in shares(output)] == [1.0, 0.25, 0.75, 0.5, 0.5]
    assert output.begun.count(0) == 1


def test_an_empty_table_has_no_groups(run):
    output = Shelf()
    run(Table(grouped().cast(pa.schema([("age", "double"), ("name", "string"), ("team", "string")]))), output,
        method="share", by=("team",))  # fmt: skip
    assert shares(output) == []


def test_no_room_to_collect_groups_is_told(run, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(groups.pa.ipc, "new_file", full)
    with pytest.raises(CannotWrite, match="No space left") as error:
        run(Table(grouped((1, "a"), (2, "b"), (3, "a"))), Shelf(), method="share", by=("team",))
    assert "TMPDIR" in str(error.value)


def test_rows_that_are_independent_need_no_groups(run):
    output = Shelf()
    report = run(Table(grouped((1, "a"), (2, "b"), (3, "a"))), output, by=("team",))
    assert [row["score"] for row in shares(output)] == [2.0, 4.0, 6.0]
    assert "--by changes nothing" in report.notes[0]
