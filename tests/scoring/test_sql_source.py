"""Tables and queries of databases as inputs: their own types, parts by a key, one size of batches."""

import datetime as dt
import decimal
import os
import sqlite3
import tempfile

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scoring.databases import Place, read, run, write

from model_envelope.scoring.tables import InvalidJob, InvalidTable, Unreachable, Wanted

ROWS = pa.table({"id": pa.array([5, -3, 12, 0, 25, 7], pa.int64()), "s": ["five", None, "twelve", "", "25", "7"]})


@pytest.fixture
def table(place):
    write(place.sink(), ROWS)
    return place


def test_a_table_is_one_part_in_the_order_that_is_asked_for(table):
    source = table.source(order_by="id DESC")
    (part,) = source.parts()
    assert (part.index, part.name) == (0, "the whole table")
    assert read(source)["id"].to_pylist() == [25, 12, 7, 5, 0, -3]
    by_two = table.source(order_by="s asc, id")
    assert sorted(read(by_two)["id"].to_pylist()) == [-3, 0, 5, 7, 12, 25]


def test_a_key_cuts_a_table_into_the_same_ranges_each_time(table):
    source = table.source(key="id", part_rows="10")
    assert [part.name for part in source.parts()] == [
        "id from -10 to -1", "id from 0 to 9", "id from 10 to 19", "id from 20 to 29"
    ]  # fmt: skip
    found = [
        [value for batch in source.batches(part, Wanted({"id": None})) for value in batch.data["id"].to_pylist()]
        for part in source.parts()
    ]
    assert found == [[-3], [0, 5, 7], [12], [25]]
    assert source.parts() == table.source(key="id", part_rows="10").parts()
    assert read(table.source(key="id"))["id"].to_pylist() == [-3, 0, 5, 7, 12, 25]


def test_a_key_whose_numbers_lie_far_apart_makes_no_millions_of_parts(place):
    write(place.sink(), pa.table({"id": pa.array([-(2**63), 2**63 - 1, 4], pa.int64())}))
    source = place.source(key="id", part_rows="1")
    assert len(source.parts()) <= 10_001
    ends = [source.parts()[0], source.parts()[-1]]
    found = [batch.data["id"].to_pylist() for part in ends for batch in source.batches(part, Wanted({"id": None}))]
    assert found == [[-(2**63)], [2**63 - 1]]


def test_a_query(table):
    query = "SELECT id, s AS name FROM t WHERE id > 0 -- positive\n;"
    source = table.source("", query=query, order_by="id")
    assert source.schema().names == ["id", "name"]
    assert read(source)["name"].to_pylist() == ["five", "7", "twelve", "25"]
    assert "MARK" not in source.name
    parts = table.source("", query=query, key="id", part_rows="10").parts()
    assert [part.name for part in parts] == ["id from 0 to 9", "id from 10 to 19", "id from 20 to 29"]


def test_columns_a_filter_and_batches_of_one_size(place):
    write(place.sink(), pa.table({"n": range(1000), "s": [f"{n}" for n in range(1000)], "unused": [None] * 1000}))
    source = place.source(order_by="n")
    wanted = Wanted({"s": None}, 90, pc.field("n") >= 300)
    batches = list(source.batches(source.parts()[0], wanted))
    assert [(batch.first, batch.data.num_rows) for batch in batches] == [(at * 90, 90) for at in range(7)] + [(630, 70)]
    assert batches[0].data.schema.names == ["s"]
    assert [value for batch in batches for value in batch.data["s"].to_pylist()] == [f"{n}" for n in range(300, 1000)]


def test_reading_can_stop_in_the_middle(place):
    write(place.sink(), pa.table({"n": range(50_000)}))
    source = place.source()
    batches = source.batches(source.parts()[0], Wanted({"n": None}, 10))
    assert next(batches).data.num_rows == 10
    batches.close()
    write(place.sink(), pa.table({"n": [1]}), job=run("2"), mode="overwrite")
    assert place.read().num_rows == 1


def test_what_a_table_was_is_told(table):
    before = table.source(key="id").state()
    assert before["rows"] == "6"
    assert before["greatest"] == "25"
    assert table.source(key="id").state() == before
    table.sql("INSERT INTO t VALUES (1, 'one')")
    assert table.source(key="id").state() != before
    assert table.source("", query="SELECT 1 AS a").state() == {}
    assert table.source("", query="SELECT * FROM t", key="id").state() == {"rows": "7", "greatest": "25"}


def test_an_update_is_seen_in_postgresql(postgres):
    place = Place("postgresql", postgres.url())
    postgres.sql("CREATE TABLE t AS SELECT 1 AS a")
    before = place.source().state()
    postgres.sql("UPDATE t SET a = 2")
    assert place.source().state() != before
    postgres.sql("CREATE VIEW v AS SELECT * FROM t")
    assert place.source("v").state() == {"rows": "1"}


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("nothing", {}, "table.missing"),
        ("sales.t", {}, "table.missing"),
        ("", {}, "job.location"),
        ("t", {"query": "SELECT 1"}, "job.location"),
        ("t", {"delimiter": ";"}, "job.option"),
        ("t", {"key": "id", "order_by": "id"}, "job.option"),
        ("t", {"key": "s"}, "job.option"),
        ("t", {"key": "nothing"}, "job.option"),
        ("t", {"order_by": "id; DROP TABLE t"}, "job.option"),
        ("t", {"key": "id", "part_rows": "0"}, "job.option"),
        ("", {"query": "SELECT nothing FROM t"}, "table.unreadable"),
        ("", {"query": "SELEC 1"}, "table.unreadable"),
    ],
)
def test_what_makes_no_sense(table, name, options, code):
    with pytest.raises((InvalidJob, InvalidTable)) as caught:
        table.source(name, **options)
    assert caught.value.code == code
    assert "MARK" not in f"{caught.value}{caught.value.to_document()}"


def test_a_key_with_nulls_would_lose_rows(place):
    write(place.sink(), pa.table({"id": pa.array([1, None, None], pa.int64())}))
    with pytest.raises(InvalidTable, match="2 rows of"):
        place.source(key="id")


def test_an_empty_table_has_one_part(place):
    write(place.sink(), ROWS.slice(0, 0))
    for options in ({}, {"key": "id"}):
        source = place.source(**options)
        assert len(source.parts()) == 1
        assert read(source).equals(ROWS.slice(0, 0))


@pytest.fixture
def duck(tmp_path):
    return Place("duckdb", f"duckdb:///{tmp_path}/t.db")


def test_duckdb_takes_the_memory_that_is_said(duck):
    rows = pa.table({"n": range(500_000), "s": [f"text {n}" for n in range(500_000)]})
    write(duck.sink(memory_limit="40MB"), rows)
    assert read(duck.source(memory_limit="40MB", order_by="n DESC"))["n"].to_pylist() == [*range(499_999, -1, -1)]
    hungry = {"query": "SELECT length(list(s || s || s)) AS n FROM t", "memory_limit": "20MB"}
    with pytest.raises(InvalidTable) as caught:
        duck.read("", **hungry)
    assert "memory_limit=2GB" in caught.value.hint
    assert duck.read("", **hungry | {"memory_limit": "2GB"})["n"].to_pylist() == [500_000]


def test_a_query_of_duckdb_that_fails_in_the_middle_is_told(duck):
    write(duck.sink(), pa.table({"n": range(500_000)}))
    broken = "SELECT CASE WHEN n = 499999 THEN CAST('no ' || n AS BIGINT) ELSE n END AS n FROM t"
    source = duck.source("", query=broken)
    batches = source.batches(source.parts()[0], Wanted({"n": None}, 1000))
    with pytest.raises(InvalidTable, match="cannot be read") as caught:
        list(batches)
    assert caught.value.code == "table.unreadable"
    assert "no 499999" in caught.value.detail


def test_duckdb_sorts_what_it_has_no_memory_for_beside_a_file_or_elsewhere(duck, tmp_path, monkeypatch):
    write(duck.sink(), pa.table({"n": range(1_000_000), "s": [f"text {n}" for n in range(1_000_000)]}))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    monkeypatch.setattr(os, "access", lambda *_: False)  # as where the folder can only be read
    source = duck.source(memory_limit="40MB", order_by="s")
    batches = source.batches(source.parts()[0], Wanted({"n": None}))
    assert next(batches).data["n"].to_pylist()[:3] == [0, 1, 10]
    assert list(elsewhere.iterdir())
    batches.close()
    assert not list(elsewhere.iterdir())
    assert [path.name for path in tmp_path.glob("t.db*")] == ["t.db"]


def test_a_memory_limit_is_a_size_and_duckdbs(duck, tmp_path):
    write(duck.sink(), ROWS)
    with pytest.raises(InvalidJob) as caught:
        duck.source(memory_limit="much")
    assert "512MB" in caught.value.hint
    with pytest.raises(InvalidJob, match="memory_limit"):
        Place("sqlite", f"sqlite:///{tmp_path}/u.db").sink(memory_limit="1GB")


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb", "sqlite+pysqlite"])
def test_no_file_is_made_to_read(tmp_path, scheme):
    with pytest.raises((InvalidTable, Unreachable)):
        Place(scheme, f"{scheme}:///{tmp_path}/none.db").source()
    for url in (f"{scheme}://", f"{scheme}:///:memory:"):
        with pytest.raises((InvalidJob, InvalidTable)):
            Place(scheme, url).source()


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_a_file_that_is_something_else(tmp_path, scheme):
    (tmp_path / "x.db").write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(Unreachable) as caught:
        Place(scheme, f"{scheme}:///{tmp_path}/x.db").source()
    assert caught.value.exit_code == 4


def test_types_of_postgresql(postgres):
    postgres.sql("CREATE TYPE mood AS ENUM ('good', 'bad')")
    postgres.sql(
        "CREATE TABLE t AS SELECT 9007199254740993::bigint AS big, 1.10::numeric(10,2) AS price, "
        "1e30::numeric AS free, "
        "'NaN'::float8 AS nan, 'good'::mood AS mood, '0b4dd7a6-64d4-4a4c-a5a5-a6bbd3ba3c3b'::uuid AS id, "
        "'{\"a\": 1}'::jsonb AS doc, '1 day'::interval AS span, ARRAY[1, NULL] AS list, "
        "'2024-07-01 12:00+02'::timestamptz AS at, "
        "4294967295::oid AS oid, 'ab'::char(4) AS padded, '10.0.0.1'::inet AS address"
    )
    assert Place("postgresql", postgres.url()).read().to_pylist() == [
        {
            "big": 9007199254740993,
            "price": decimal.Decimal("1.10"),
            "free": "1000000000000000000000000000000",
            "nan": pytest.approx(float("nan"), nan_ok=True),
            "mood": "good",
            "id": "0b4dd7a6-64d4-4a4c-a5a5-a6bbd3ba3c3b",
            "doc": '{"a": 1}',
            "span": "1 day",
            "list": [1, None],
            "at": dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC),
            "oid": 4294967295,
            "padded": "ab  ",
            "address": "10.0.0.1/32",
        }
    ]


def test_types_of_sqlite(tmp_path):
    place = Place("sqlite", f"sqlite:///{tmp_path}/t.db")
    with sqlite3.connect(tmp_path / "t.db") as made:
        made.execute(
            "CREATE TABLE t (flag BOOLEAN, n INTEGER, price DECIMAL(10,2), day DATE, at DATETIME, "
            "zone TIMESTAMPTZ, any, num NUMERIC)"
        )
        made.execute(
            "INSERT INTO t VALUES (1, 9007199254740993, 1.1, '2024-07-01', '2024-07-01 12:00:00', "
            "'2024-07-01T12:00:00+02:00', 1, 2.5)"
        )
        made.execute("INSERT INTO t (any, num) VALUES ('x', 3)")
    made.close()
    first, second = place.read().to_pylist()
    assert first["flag"] is True
    assert first["price"] == decimal.Decimal("1.10")
    assert (first["n"], first["day"], first["at"]) == (
        2**53 + 1,
        dt.date(2024, 7, 1),
        dt.datetime.fromisoformat("2024-07-01 12:00"),
    )
    assert first["zone"] == dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC)
    assert (first["num"], second["num"]) == (2.5, 3.0)
    assert (first["any"], second["any"]) == ("1", "x")
    asked = place.source("", query="SELECT n + 1 AS more, price, any, num, x'00' AS raw FROM t WHERE n > 0")
    assert asked.schema() == pa.schema(
        [
            ("more", pa.int64()),
            ("price", pa.decimal128(10, 2)),
            ("any", pa.int64()),
            ("num", pa.float64()),
            ("raw", pa.binary()),
        ]
    )


@pytest.mark.parametrize("value", ["'many'", "1.5", "x'00'"])
def test_a_value_of_sqlite_that_is_not_what_its_column_is(tmp_path, value):
    place = Place("sqlite", f"sqlite:///{tmp_path}/t.db")
    place.sql("CREATE TABLE t (n INTEGER)")
    place.sql(f"INSERT INTO t VALUES (1), ({value})")
    with pytest.raises(InvalidTable, match="column n") as caught:
        place.read()
    assert caught.value.code == "table.value"


def test_nobody_answers(postgres):
    for url in (
        "postgresql://owner:MARKsecret@127.0.0.1:1/db",
        "postgresql+psycopg://owner:MARKsecret@127.0.0.1:1/db",
        postgres.url().replace("MARK", "MARKwrong"),
        postgres.url("nothing"),
        postgres.url() + "?password=MARKsecret&nonsense=MARKsecret",
        "postgresql://owner:MARK secret@127.0.0.1:x/db",
        "mysql+nosuch://owner:MARKsecret@127.0.0.1/db",
    ):
        place = Place("postgresql", url)
        for opening in (place.source, lambda place=place: place.sink().open(run(), ROWS.schema, "error")):
            with pytest.raises((Unreachable, InvalidJob)) as caught:
                opening()
            text = f"{caught.value}{caught.value.to_document()}{caught.value.__cause__}"
            assert "MARK" not in text, text
            assert caught.value.exit_code == 4


def test_sqlalchemy_reads_and_writes_the_same(postgres):
    place = Place("postgresql", postgres.url(scheme="postgresql+psycopg"))
    rows = pa.table(
        {
            "n": pa.array([2**53 + 1, None], pa.int64()),
            "s": ["é'\"%s :x", None],
            "b": [True, None],
            "d": [dt.date(2024, 1, 1), None],
            "at": pa.array([1_719_835_200_123_456, None], pa.timestamp("us", "UTC")),
            "price": pa.array([decimal.Decimal("1.10"), None], pa.decimal128(10, 2)),
            "x": [0.1, None],
            "raw": [b"\0\xff", None],
        }
    )
    for commit in ("whole", "parts"):
        job = run(commit, 2)
        write(place.sink(commit=commit), rows, job=job, mode="overwrite", until=1)
        assert write(place.sink(commit=commit), rows, job=job, mode="overwrite").rows == 2
        assert place.read().equals(rows)
        assert Place("postgresql", postgres.url()).read().equals(rows)
    write(place.sink(), rows, job=run("more"), mode="append")
    assert place.read().num_rows == 4
    source = place.source("", query="SELECT n, s, price FROM t WHERE n > 0", key="n")
    assert read(source).num_rows == 2
    with pytest.raises(InvalidTable):
        place.source("nothing")


def test_sqlalchemy_appends_where_tables_are_not_made_in_transactions(tmp_path):
    place = Place("sqlite", f"sqlite+pysqlite:///{tmp_path}/t.db")
    with pytest.raises(InvalidJob, match="no tables in a transaction"):
        write(place.sink(), ROWS)
    sqlite3.connect(tmp_path / "t.db").execute("CREATE TABLE t (id INTEGER, s TEXT)").connection.close()
    write(place.sink(), ROWS, mode="append")
    assert write(place.sink(), ROWS, mode="append").rows == 6
    assert place.read().equals(ROWS)
