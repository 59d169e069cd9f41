"""Tables of databases as outputs: all at once or part by part, never twice, never half."""

import datetime as dt
import decimal
import json

import pyarrow as pa
import pytest
from scoring.databases import run, write

from model_envelope.scoring.tables import CannotWrite, InvalidJob, MissingPackage, Part

ROWS = pa.table({"n": pa.array([*range(20), None], pa.int64()), "s": [*(f"text {n}" for n in range(20)), None]})


def test_what_is_written_is_read_back(place):
    written = write(place.sink(), ROWS)
    assert written.rows == 21
    assert place.read().equals(ROWS)


def test_rows_that_are_written_are_let_go_of_before_the_commit(place):
    sink = place.sink()
    sink.open(run(), pa.schema([("n", pa.int64())]), "error")
    before = pa.total_allocated_bytes()
    with sink.part(Part(0, "all")) as writer:
        for at in range(20):
            writer.write(pa.record_batch({"n": pa.array(range(at * 20_000, (at + 1) * 20_000), pa.int64())}))
        held = pa.total_allocated_bytes() - before
    sink.commit()
    sink.close()
    assert held < 3 * 20_000 * 8
    assert place.sql("SELECT count(*), max(n) FROM t") == [(400_000, 399_999)]


@pytest.mark.parametrize("commit", ["whole", "parts"])
def test_modes(place, commit):
    assert write(place.sink(commit=commit), ROWS, job=run("1", 3)).rows == 21
    with pytest.raises(CannotWrite) as caught:
        write(place.sink(commit=commit), ROWS, job=run("2"))
    assert caught.value.code == "output.exists"
    write(place.sink(commit=commit), ROWS, job=run("3", 3), mode="append")
    assert place.read().num_rows == 42
    other = pa.table({"score": [0.5, None]})
    write(place.sink(commit=commit), other, job=run("4"), mode="overwrite")
    assert place.read().equals(other)
    write(place.sink(commit=commit), other.slice(1), job=run("5"), mode="overwrite")
    assert place.read().equals(other.slice(1))


def test_all_types_are_exact(place):
    rows = pa.table(
        {
            "int8": pa.array([-128, None], pa.int8()),
            "int16": pa.array([1, None], pa.int16()),
            "int32": pa.array([2**31 - 1, None], pa.int32()),
            "int64": pa.array([2**53 + 1, None], pa.int64()),
            "uint32": pa.array([2**32 - 1, None], pa.uint32()),
            "uint64": pa.array([2**64 - 1, None], pa.uint64()),
            "float64": pa.array([0.1, None], pa.float64()),
            "float32": pa.array([0.5, None], pa.float32()),
            "bool": [True, None],
            "date": [dt.date(1815, 12, 10), None],
            "zone": pa.array([1_719_835_200_123, None], pa.timestamp("ms", "Europe/Berlin")),
            "local": pa.array([1_719_835_200_123_456, None], pa.timestamp("us")),
            "time": pa.array([3_600_000_001, None], pa.time64("us")),
            "decimal": pa.array([decimal.Decimal("123456789012345678901234567890.12"), None], pa.decimal128(38, 2)),
            "bytes": pa.array([b"\0\xff", None]),
            "kind": pa.array(["x", None]).dictionary_encode(),
            "text": ["'\"; DROP -- \N{SNOWMAN} \N{PILE OF POO}\n\t", None],
            'a "quoted", name?': [":colon %s", None],
            "select": ["", None],
        }
    )
    write(place.sink('a "b'.replace('"', "")), rows)
    back = place.read("a b")
    assert back.column_names == rows.column_names
    for name in rows.column_names:
        expected = [int(v) if v is not None and name == "uint64" else v for v in rows[name].to_pylist()]
        found = [int(v) if v is not None and name == "uint64" else v for v in back[name].to_pylist()]
        assert found == expected, name
    assert back.schema.field("zone").type == pa.timestamp("us", "UTC")


def test_lists_are_refused_together_or_written_as_json(place):
    record = {"a": "é", "b": dt.date(2024, 1, 2)}
    rows = pa.table({"v": [[1.5, None], None], "w": [[[1]], None], "r": [record, None], "n": [1, 2]})
    with pytest.raises(CannotWrite, match="nested=json") as caught:
        write(place.sink(), rows)
    assert caught.value.code == "output.types"
    assert [problem.path for problem in caught.value.problems] == ["$.v", "$.w"]
    write(place.sink(nested="json"), rows)
    assert place.read().to_pydict() == {
        "v": ["[1.5, null]", None], "w": ["[[1]]", None], "r": ['{"a": "é", "b": "2024-01-02"}', None], "n": [1, 2]
    }  # fmt: skip


def test_records_are_json_text(place):
    """The table of bad rows has a list of problems, and has to go to the same database."""
    problem = {"path": "$.age[3]", "found": "'x'", "expected": "a number", "code": "payload.type"}
    write(place.sink(), pa.table({"row": [3, 4], "problems": [[problem], None], "values": ['{"age": "x"}', None]}))
    assert [row and json.loads(row) for row in place.read()["problems"].to_pylist()] == [[problem], None]


def test_a_value_that_would_change_is_refused_and_nothing_is_written(place):
    hopeless = {
        "sqlite": {"x": [1.0, float("nan")]},
        "postgresql": {"x": ["a", "a\0b"]},
        "duckdb": {"x": pa.array([1], pa.timestamp("ns", "UTC"))},
    }
    rows = pa.table(hopeless[place.kind])
    with pytest.raises(CannotWrite, match="column x") as caught:
        write(place.sink(), rows)
    assert caught.value.code == "output.value"
    write(place.sink(), ROWS, job=run("2"))


def test_nan_and_infinity_stay_where_they_can(place):
    if place.kind == "sqlite":
        rows = pa.table({"x": [float("inf"), float("-inf")]})
    else:
        rows = pa.table({"x": [float("inf"), float("-inf"), float("nan")]})
    write(place.sink(), rows)
    assert str(place.read()["x"].to_pylist()) == str(rows["x"].to_pylist())


def test_all_differences_of_an_append_are_told_at_once(place):
    place.sql("CREATE TABLE t (n BIGINT, s TEXT, needed TEXT NOT NULL, given TEXT NOT NULL DEFAULT 'x', free TEXT)")
    rows = pa.table({"n": ["one"], "new": [1], "s": ["x"]})
    with pytest.raises(CannotWrite) as caught:
        write(place.sink(), rows, mode="append")
    assert caught.value.code == "output.schema"
    assert sorted(problem.path for problem in caught.value.problems) == ["$.n", "$.needed", "$.new"]
    fitting = pa.table({"s": ["x"], "needed": ["y"], "n": pa.array([3], pa.int16())})
    write(place.sink(), fitting, mode="append")
    assert place.read().to_pylist() == [{"n": 3, "s": "x", "needed": "y", "given": "x", "free": None}]


@pytest.mark.parametrize("commit", ["whole", "parts"])
def test_the_same_job_is_not_written_twice(place, commit):
    first = write(place.sink(commit=commit), ROWS, job=run("1", 3))
    sink = place.sink(commit=commit)
    assert sink.open(run("1", 3), ROWS.schema, "error") == {0, 1, 2}
    assert sink.commit() == first
    sink.close()
    append = run("2", 3)
    write(place.sink(commit=commit), ROWS, job=append, mode="append")
    write(place.sink(commit=commit), ROWS, job=run("3"), mode="append")
    assert write(place.sink(commit=commit), ROWS, job=append, mode="append").rows == 21
    assert place.read().num_rows == 63


def test_a_job_runs_again_where_another_has_replaced_its_rows(place):
    write(place.sink(), ROWS, job=run("append"), mode="append")
    write(place.sink(), ROWS.slice(0, 1), job=run("overwrite"), mode="overwrite")
    write(place.sink(), ROWS, job=run("append"), mode="append")
    assert place.read().num_rows == 22
    write(place.sink(), ROWS.slice(0, 1), job=run("overwrite"), mode="overwrite")
    assert place.read().num_rows == 1
    place.sql("DROP TABLE t")
    assert write(place.sink(), ROWS.slice(0, 1), job=run("overwrite"), mode="overwrite").rows == 1
    assert place.read().num_rows == 1


def test_a_job_that_stops_leaves_nothing(place):
    write(place.sink(), ROWS, job=run("1", 3), until=2)
    with pytest.raises(Exception, match="there is no table"):
        place.read()
    assert write(place.sink(), ROWS, job=run("1", 3)).rows == 21
    write(place.sink(), ROWS, job=run("2", 3), mode="overwrite", until=2)
    assert place.read().equals(ROWS)


@pytest.mark.parametrize("mode", ["error", "overwrite", "append"])
def test_parts_are_gone_on_with(place, mode):
    if mode != "error":
        write(place.sink(), ROWS.slice(0, 2), job=run("before"))
    job = run("sha256:abcdef0123456789", 3)
    assert write(place.sink(commit="parts"), ROWS, job=job, mode=mode, until=2) == []
    if mode == "overwrite":
        assert place.read().num_rows == 2
    assert write(place.sink(commit="parts"), ROWS, job=job, mode=mode, until=2) == [0, 1]
    assert write(place.sink(commit="parts"), ROWS, job=job, mode=mode).rows == 21
    expected = pa.concat_tables([ROWS.slice(0, 2), ROWS]) if mode == "append" else ROWS
    assert place.read().equals(expected)
    assert write(place.sink(commit="parts"), ROWS, job=job, mode=mode).rows == 21
    assert place.read().equals(expected)


def test_what_a_dead_job_staged_goes_when_another_takes_the_table(place):
    write(place.sink(commit="parts"), ROWS, job=run("dead", 3), until=2)
    write(place.sink(commit="parts"), ROWS, job=run("alive"))
    names = place.sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1" if place.kind == "sqlite" else
        "SELECT table_name FROM information_schema.tables "
        f"WHERE table_schema = '{'public' if place.kind == 'postgresql' else 'main'}' ORDER BY 1"
    )  # fmt: skip
    assert [name for (name,) in names] == ["model_envelope_runs", "t"]


@pytest.mark.parametrize("commit", ["whole", "parts"])
def test_a_part_that_fails_is_gone(place, commit):
    sink = place.sink(commit=commit)
    sink.open(run("1", 2), ROWS.schema, "error")
    with sink.part(Part(0, "one")) as writer:
        writer.write(ROWS.to_batches()[0])
    with pytest.raises(ZeroDivisionError), sink.part(Part(1, "two")) as writer:
        writer.write(ROWS.to_batches()[0].slice(1 // len(writer.name[:0])))
    if commit == "whole":
        with pytest.raises(CannotWrite, match="takes no more rows"):
            sink.commit()
    else:
        with sink.part(Part(1, "two")) as writer:
            writer.write(ROWS.to_batches()[0])
        assert sink.commit().rows == 42
    sink.close()
    assert (
        write(place.sink(commit=commit), ROWS, job=run("1" if commit == "whole" else "2"), mode="overwrite").rows == 21
    )


def test_outputs_of_one_job_in_one_database_appear_together(place):
    output, quarantine = place.sink("out"), place.sink("bad")
    for sink in (output, quarantine):
        sink.open(run("1", 1), ROWS.schema, "error")
    with output.part(Part(0, "one")) as rows, quarantine.part(Part(0, "one")) as bad:
        rows.write(ROWS.to_batches()[0])
        bad.write(ROWS.to_batches()[0].slice(3))
    assert quarantine.commit().rows == 18
    assert output.commit().rows == 21
    for sink in (output, quarantine):
        sink.close()
    assert (place.read("out").num_rows, place.read("bad").num_rows) == (21, 18)


def test_two_jobs_at_once(place):
    sinks = [place.sink(commit="parts") for _ in range(2)]
    sinks[0].open(run("1"), ROWS.schema, "error")
    with pytest.raises(CannotWrite) as caught:
        sinks[1].open(run("2"), ROWS.schema, "error")
    assert caught.value.code == "output.busy"
    sinks[1].close()
    sinks[0].close()
    write(sinks[1], ROWS, job=run("2"))


def test_an_empty_table_is_a_table(place):
    write(place.sink(), ROWS.slice(0, 0))
    assert place.read().equals(ROWS.slice(0, 0))


def test_schemas(place):
    if place.kind == "sqlite":
        return
    place.sql("CREATE SCHEMA sales")
    write(place.sink("sales.t"), ROWS)
    write(place.sink('"sales"."a.b"'), ROWS)
    assert place.read("sales.t").equals(place.read('sales."a.b"'))
    write(place.sink("t"), ROWS.slice(0, 1))
    assert place.read("sales.t").num_rows == 21


@pytest.mark.parametrize(
    ("table", "options", "code"),
    [
        ("t", {"commit": "sometimes"}, "job.option"),
        ("t", {"delimiter": ";"}, "job.option"),
        ("", {}, "job.location"),
        ('"t', {}, "job.location"),
        ("a..b", {}, "job.location"),
        ("a.b.c.d", {}, "job.location"),
    ],
)
def test_options_and_names_that_make_no_sense(place, table, options, code):
    with pytest.raises(InvalidJob) as caught:
        place.sink(table, **options)
    assert caught.value.code == code


def test_a_driver_that_is_not_installed(place, monkeypatch):
    import sys

    module = {"postgresql": "adbc_driver_postgresql", "duckdb": "duckdb", "sqlite": "sqlalchemy"}[place.kind]
    monkeypatch.setitem(sys.modules, module, None)
    url = place.url.replace("sqlite:", "sqlite+pysqlite:")
    sink = type(place)(place.kind, url).sink()
    with pytest.raises(MissingPackage, match="not installed") as caught:
        sink.open(run(), ROWS.schema, "error")
    assert caught.value.exit_code == 4
