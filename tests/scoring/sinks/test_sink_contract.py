"""What every sink promises, whatever it writes to: see ``sink_cases``."""

import random

import pyarrow as pa
import pytest
from sink_cases import CASES, TYPES

from model_envelope.scoring.sinks import open_sink
from model_envelope.scoring.tables import CannotWrite, Part, Run

PARTS = 3
WORDS = ["", "plain", "a,b;c\td", 'say "hi"', "two\nlines", "naïve 😀", "\\back\x1f", None, " spaces "]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture
def place(case, tmp_path):
    return case.place(tmp_path)


def rows_of(part, count=50):
    chance = random.Random(part)
    return pa.table(
        {
            "id": range(part * 1000, part * 1000 + count),
            "name": [chance.choice(WORDS) for _ in range(count)],
            "score": [chance.choice([None, 1.0, 0.1, 1e-7, 2.5e300, -0.0, chance.random()]) for _ in range(count)],
            "ok": [chance.choice([True, False, None]) for _ in range(count)],
        },
        schema=TYPES,
    )


def run_of(identity="job", parts=PARTS):
    return Run(
        identity, "run-of-" + identity, parts, {"digest": "abc", "method": "predict", "run_id": str(random.random())}
    )


def put(sink, part, rows=None, *, size=20):
    with sink.part(Part(part, f"part {part}")) as writer:
        for batch in (rows_of(part) if rows is None else rows).to_batches(max_chunksize=size):
            writer.write(batch)


def fail_in_part(sink, part):
    with sink.part(Part(part, f"part {part}")) as writer:
        writer.write(rows_of(part).to_batches()[0])
        raise ZeroDivisionError


def whole(case, location, *, identity="job", mode="error", size=20):
    sink = open_sink(location)
    try:
        done = sink.open(run_of(identity), TYPES, mode)
        for part in range(PARTS):
            if part not in done:
                put(sink, part, size=size)
        return sink.commit()
    finally:
        sink.close()


EXPECTED = pa.concat_tables([rows_of(part) for part in range(PARTS)])


def same(found, expected):
    assert found is not None
    assert found.cast(TYPES).to_pylist() == expected.to_pylist()


def test_rows_are_read_as_they_were_written_and_in_order(case, place):
    written = whole(case, place)
    same(case.read(place), EXPECTED)
    assert written.rows == EXPECTED.num_rows


def test_a_sink_says_what_it_guarantees_and_what_it_is_called(case, place):
    sink = open_sink(place)
    assert sink.name == place.shown
    assert sink.guarantee.endswith(".")


def test_an_empty_table_is_a_table_without_rows(case, place):
    sink = open_sink(place)
    sink.open(run_of(parts=1), TYPES, "error")
    put(sink, 0, TYPES.empty_table())
    assert sink.commit().rows == 0
    sink.close()
    found = case.read(place)
    assert found.num_rows == 0
    assert found.schema.names == TYPES.names


def test_nothing_is_seen_before_the_commit(case, place):
    sink = open_sink(place)
    sink.open(run_of(), TYPES, "error")
    for part in range(PARTS):
        put(sink, part)
        assert case.read(place) is None
    sink.close()
    assert case.read(place) is None


def test_an_output_that_exists_is_refused_and_not_touched(case, place):
    whole(case, place, identity="first")
    before = case.bytes(place) if case.bytes else None
    sink = open_sink(place)
    with pytest.raises(CannotWrite) as refused:
        sink.open(run_of("second"), TYPES, "error")
    sink.close()
    assert refused.value.code == "output.exists"
    assert "overwrite" in refused.value.hint
    same(case.read(place), EXPECTED)
    if case.bytes:
        assert case.bytes(place) == before


def test_what_is_overwritten_stays_until_the_commit(case, place):
    whole(case, place, identity="first")
    sink = open_sink(place)
    assert sink.open(run_of("second", parts=1), TYPES, "overwrite") == frozenset()
    put(sink, 0, rows_of(7))
    same(case.read(place), EXPECTED)
    sink.commit()
    sink.close()
    same(case.read(place), rows_of(7))


def test_rows_are_appended_once_for_each_job(case, place):
    if not case.appends:
        pytest.skip("nothing can be added to it")
    whole(case, place, identity="first")
    sink = open_sink(place)
    sink.open(run_of("second", parts=1), TYPES, "append")
    put(sink, 0, rows_of(7))
    sink.commit()
    sink.close()
    expected = sorted([*EXPECTED.to_pylist(), *rows_of(7).to_pylist()], key=lambda row: row["id"])
    assert sorted(case.read(place).cast(TYPES).to_pylist(), key=lambda row: row["id"]) == expected
    again = open_sink(place)
    assert again.open(run_of("second", parts=1), TYPES, "append") == {0}
    assert again.commit().rows == 50
    again.close()
    assert case.read(place).num_rows == len(expected)


def test_rows_of_other_columns_are_not_appended(case, place):
    if not case.appends:
        pytest.skip("nothing can be added to it")
    whole(case, place, identity="first")
    sink = open_sink(place)
    with pytest.raises(CannotWrite) as refused:
        sink.open(run_of("second"), pa.schema([("id", pa.int64()), ("other", pa.string())]), "append")
    sink.close()
    assert refused.value.code == "output.schema"
    same(case.read(place), EXPECTED)


@pytest.mark.parametrize("mode", ["error", "overwrite", "append"])
def test_a_job_that_is_done_is_not_done_again(case, place, mode):
    if mode == "append" and not case.appends:
        pytest.skip("nothing can be added to it")
    first = whole(case, place, mode=mode)
    before = case.bytes(place) if case.bytes else None
    sink = open_sink(place)
    assert sink.open(run_of(), TYPES, mode) == frozenset(range(PARTS))
    assert sink.commit() == first
    sink.close()
    assert case.read(place).num_rows == EXPECTED.num_rows
    if case.bytes:
        assert case.bytes(place) == before


def test_a_job_that_is_done_takes_rows_and_writes_them_nowhere(case, place):
    # Another table of the same job may have to be written again.
    whole(case, place)
    sink = open_sink(place)
    sink.open(run_of(), TYPES, "error")
    put(sink, 1)
    assert sink.commit().rows == EXPECTED.num_rows
    sink.close()
    same(case.read(place), EXPECTED)


def test_a_commit_can_be_asked_for_twice(case, place):
    sink = open_sink(place)
    sink.open(run_of(), TYPES, "error")
    for part in range(PARTS):
        put(sink, part)
    assert sink.commit() == sink.commit()
    sink.close()
    sink.close()
    same(case.read(place), EXPECTED)


@pytest.mark.parametrize("staged", range(PARTS + 1))
def test_a_job_that_goes_on_ends_as_one_that_was_not_interrupted(case, tmp_path, staged):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    straight, broken = case.place(tmp_path / "one"), case.place(tmp_path / "two")
    whole(case, straight)
    sink = open_sink(broken)
    sink.open(run_of(), TYPES, "error")
    for part in range(staged):
        put(sink, part)
    sink.close()
    assert case.read(broken) is None
    sink = open_sink(broken)
    done = sink.open(run_of(), TYPES, "error")
    assert done == (frozenset(range(staged)) if case.resumes else frozenset())
    for part in set(range(PARTS)) - done:
        put(sink, part)
    sink.commit()
    sink.close()
    same(case.read(broken), EXPECTED)
    if case.bytes:
        assert case.bytes(broken) == case.bytes(straight)


def test_a_part_that_fails_leaves_nothing(case, place):
    sink = open_sink(place)
    sink.open(run_of(), TYPES, "error")
    put(sink, 0)
    with pytest.raises(ZeroDivisionError):
        fail_in_part(sink, 1)
    sink.close()
    assert case.read(place) is None
    sink = open_sink(place)
    assert sink.open(run_of(), TYPES, "error") == ({0} if case.resumes else frozenset())
    for part in range(PARTS):
        put(sink, part)  # a part that is staged can be written again
    sink.commit()
    sink.close()
    same(case.read(place), EXPECTED)


def test_a_part_that_is_missing_is_not_committed_over(case, place):
    sink = open_sink(place)
    sink.open(run_of(), TYPES, "error")
    put(sink, 0)
    with pytest.raises(CannotWrite):
        sink.commit()
    sink.close()
    assert case.read(place) is None


def test_what_another_job_left_is_replaced(case, place):
    sink = open_sink(place)
    sink.open(run_of("first"), TYPES, "error")
    put(sink, 0, rows_of(9))
    sink.close()
    whole(case, place, identity="second")
    same(case.read(place), EXPECTED)


def test_two_jobs_do_not_write_at_once(case, place):
    if not case.one_writer:
        pytest.skip("several jobs may write to it")
    first, second = open_sink(place), open_sink(place)
    first.open(run_of("first"), TYPES, "overwrite")
    put(first, 0)
    with pytest.raises(CannotWrite) as refused:
        second.open(run_of("second"), TYPES, "overwrite")
    second.close()
    assert refused.value.code == "output.busy"
    for part in (1, 2):
        put(first, part)
    first.commit()
    first.close()
    same(case.read(place), EXPECTED)
    whole(case, place, identity="second", mode="overwrite")


def test_the_size_of_batches_changes_no_byte(case, tmp_path):
    if not case.bytes:
        pytest.skip("its bytes are nobody's business")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = case.place(tmp_path / "one"), case.place(tmp_path / "two")
    whole(case, one, size=3)
    whole(case, two, size=50)
    assert case.bytes(one) == case.bytes(two)
