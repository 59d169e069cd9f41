"""Jobs done by Spark on this machine, held against what the model says of the same rows."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from handmade import make_envelope
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.predicting import Predictor
from model_envelope.scoring.filtering import read_filter
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import read_location
from model_envelope.scoring.scorer import Scorer
from model_envelope.workflows.save import save_model

pytestmark = [pytest.mark.spark, pytest.mark.xdist_group("spark")]

PLAIN = """
import os
import pathlib

class Model:
    def __setstate__(self, state):
        log = os.environ.get("LOADS_OF_THE_TEST")
        if log:
            with pathlib.Path(log).open("a") as file:
                file.write(f"{os.getpid()}\\n")

    def __getstate__(self):
        return {"a": 1}

    def predict(self, X):
        if (X["amount"] == 666.0).any():
            raise ValueError("not this one")
        return X["amount"] * 2

    def ranks(self, X):
        return X["amount"].rank(method="first").astype("int64")

    def spread(self, X):
        import numpy as np

        return np.column_stack([X["amount"], -X["amount"]])
"""
X = s.Table(
    (
        s.Column("amount", s.Scalar("float64"), "float64"),
        s.Column("shop", s.Scalar("string"), TEXT_STORAGE),
    )
)
PARAMETERS = (s.Parameter("X", X),)
METHODS = {
    "predict": s.Method(PARAMETERS, s.Series(s.Scalar("float64"), "float64"), row_wise=s.Answer.YES),
    "ranks": s.Method(PARAMETERS, s.Series(s.Scalar("int64"), "int64"), row_wise=s.Answer.NO),
    "spread": s.Method(PARAMETERS, s.Tensor("float64", (None, 2), batch=0), row_wise=s.Answer.YES),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    return make_envelope(tmp_path_factory.mktemp("shop"), PLAIN, METHODS, {}, name="shop")


def rows(count: int, **more: pa.Array) -> pa.Table:
    columns = {
        "id": pa.array(range(count), pa.int64()),
        "amount": pa.array([float(at % 97) for at in range(count)]),
        "shop": pa.array([f"s{at % 5}" for at in range(count)]),
    }
    return pa.table(columns | more)


@pytest.fixture
def run(spark, tmp_path):
    """A function that does a job with Spark, and gives its report; paths are in the folder of the test."""
    from model_envelope.scoring.spark import score

    def run(envelope: Path, source="in.parquet", output="out", *, options=None, **settings):
        if "quarantine" in settings:
            settings |= {"quarantine": location(tmp_path, settings["quarantine"]), "on_bad_row": "quarantine"}
        return score(Job(envelope, location(tmp_path, source, options), location(tmp_path, output), **settings))

    return run


def location(folder: Path, text: str, options=None):
    if text.startswith("table:"):
        return read_location(text, options)
    prefix, colon, rest = text.rpartition(":")
    return read_location(f"{prefix}{colon}{folder / rest}", options)


def read(path: Path) -> list[dict]:
    return sorted(pq.read_table(path).to_pylist(), key=lambda row: row.get("id") or 0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "spark-warehouse")


def refused(run, *arguments, **settings) -> EnvelopeError:
    with pytest.raises(EnvelopeError) as caught:
        run(*arguments, **settings)
    return caught.value


def test_answers_are_written_beside_the_columns_that_are_kept(run, shop, tmp_path):
    pq.write_table(rows(1000), tmp_path / "in.parquet")
    report = run(shop, keep=("id", "shop"))
    assert read(tmp_path / "out") == [
        {"id": at, "shop": f"s{at % 5}", "predict": float(at % 97) * 2} for at in range(1000)
    ]
    assert (report.rows.read, report.rows.scored, report.rows.refused) == (1000, 1000, 0)
    assert report.outputs["output"].written.rows == 1000
    assert report.outputs["output"].written.bytes > 0
    assert {"session", "scoring"} <= report.seconds.keys()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_model_is_loaded_once_in_each_worker(run, shop, tmp_path, spark, monkeypatch):
    log = tmp_path / "loads"
    (tmp_path / "in").mkdir()
    for at in range(8):
        pq.write_table(rows(500), tmp_path / "in" / f"{at}.parquet")
    monkeypatch.setitem(spark.sparkContext.environment, "LOADS_OF_THE_TEST", str(log))
    spark.conf.set("spark.sql.files.openCostInBytes", str(128 << 20))
    try:
        run(shop, "in", batch_rows=50)
        run(shop, "in", "again", batch_rows=50)
    finally:
        spark.conf.unset("spark.sql.files.openCostInBytes")
    loads = log.read_text().split()
    assert 1 <= len(loads) <= 2
    assert len(set(loads)) == len(loads)


def test_answers_that_are_arrays_become_lists(run, shop, tmp_path):
    pq.write_table(rows(3), tmp_path / "in.parquet")
    run(shop, method="spread", keep=("id",))
    assert [row["spread"] for row in read(tmp_path / "out")] == [[0.0, -0.0], [1.0, -1.0], [2.0, -2.0]]


def test_methods_that_need_the_whole_table_get_it_in_its_order(run, shop, tmp_path):
    (tmp_path / "in").mkdir()
    for name, first in (("a", 0), ("b", 50)):
        pq.write_table(rows(100).slice(first, 50), tmp_path / "in" / f"{name}.parquet")
    report = run(shop, "in", method="ranks", keep=("id", "amount"))
    assert any("whole table" in note for note in report.notes)
    by_amount = sorted(range(100), key=lambda at: (at % 97, at))
    assert {row["id"]: row["ranks"] for row in read(tmp_path / "out")} == {
        at: place for place, at in enumerate(by_amount, 1)
    }


def test_groups_are_asked_each_by_itself_in_the_order_of_the_table(run, shop, tmp_path):
    table = rows(100).set_column(1, "amount", pa.array([1.0] * 100))
    pq.write_table(table, tmp_path / "in.parquet")
    run(shop, method="ranks", by=("shop",), keep=("id",))
    assert [row["ranks"] for row in read(tmp_path / "out")] == [at // 5 + 1 for at in range(100)]


def test_a_group_with_a_bad_row_is_set_aside_as_a_whole(run, shop, tmp_path):
    table = rows(10).set_column(1, "amount", pa.array([1.0, None, *range(8)], pa.float64()))
    pq.write_table(table, tmp_path / "in.parquet")
    assert refused(run, shop, method="ranks", by=("shop",)).code == "table.rows"
    report = run(shop, method="ranks", by=("shop",), keep=("id",), quarantine="bad")
    assert [row["id"] for row in read(tmp_path / "out")] == [0, 2, 3, 4, 5, 7, 8, 9]
    first, second = sorted(pq.read_table(tmp_path / "bad").to_pylist(), key=lambda row: row["row"])
    assert (first["part"], json.loads(second["values"])) == ("group shop=s1", {"amount": 4.0, "shop": "s1"})
    assert [row["problems"][0]["path"] for row in (first, second)] == ["$.X.amount", "$"]
    assert (report.rows.scored, report.rows.refused) == (8, 2)
    assert refused(run, shop, output="whole", method="ranks", quarantine="more").code == "table.rows"


def test_columns_have_other_names_where_the_job_says_so(run, shop, tmp_path):
    table = rows(3).rename_columns(["id", "a b.c", "Shop"])
    pq.write_table(table, tmp_path / "in.parquet")
    error = refused(run, shop)
    assert (error.code, "amount" in error.message, "shop" in error.message) == ("table.columns", True, True)
    run(shop, rename={"amount": "a b.c", "shop": "Shop", "predict": "price"}, keep=("id", "a b.c"))
    assert read(tmp_path / "out")[1] == {"id": 1, "a b.c": 1.0, "price": 2.0}


def test_a_filter_chooses_the_same_rows_as_that_of_the_other_engine(run, shop, tmp_path, spark):
    from model_envelope.scoring.spark.condition import condition

    days = pa.array([None, *(dt.date(2013, 1, 1 + at) for at in range(9))])
    moments = pa.array([None, *(f"2013-03-31T0{at}:30:00" for at in range(9))]).cast(pa.timestamp("us"))
    table = rows(
        10,
        day=days,
        flag=pa.array([at % 3 == 0 if at else None for at in range(10)]),
        naive=moments,
        zoned=moments.cast(pa.timestamp("us", tz="UTC")),
        money=pa.array([Decimal(at) / 4 for at in range(10)], pa.decimal128(9, 2)),
        odd=pa.array([float("nan"), None, 2.0, *(float(at) for at in range(7))]),
    ).append_column("a b.c", pa.array(range(10)))
    pq.write_table(table, tmp_path / "in.parquet")
    filters = [
        "2 <= id < 5",
        "shop in ('s1', 's2') and not id == 7",
        "day >= '2013-01-08'",
        "day is None or amount > 8.5",
        "flag and day is not None and '2013-01-05' > day",
        "not flag",
        "flag == True",
        "id not in [0, 1, 2, 3, 4, 5, 6]",
        "day not in ('2013-01-02', '2013-01-03')",
        "naive > '2013-03-31T02:30:00'",
        "zoned <= '2013-03-31T04:30:00+02:00'",
        "money == '1.25' or money > 2",
        "odd > 1",
        "not odd <= 1",
        "odd != 2",
        "odd == odd",
        "odd < amount",
        "`a b.c` == 3 or id == -1",
    ]
    told, frame = ds.dataset(table), spark.read.parquet(str(tmp_path / "in.parquet"))
    for where in filters:
        expected = told.to_table(filter=read_filter(where, table.schema)).column("id").to_pylist()
        found = frame.where(condition(where, frame, table.schema)).select("id").collect()
        assert [row["id"] for row in found] == expected, where
        assert 0 < len(expected) < 10, where
    run(shop, where="`a b.c` == 3 or id == 5", keep=("id",))
    assert read(tmp_path / "out") == [{"id": 3, "predict": 6.0}, {"id": 5, "predict": 10.0}]
    for where in ("id =", "id + 1", "nobody == 1", "id == 'a'", "id == None", "__import__('os')", "id is 3", "shop"):
        assert refused(run, shop, output="none", where=where).code == "job.where", where


def test_bad_rows_fail_the_job_and_nothing_is_written(run, shop, tmp_path):
    table = rows(10).set_column(1, "amount", pa.array([1.0, None, *range(8)], pa.float64()))
    pq.write_table(table, tmp_path / "in.parquet")
    error = refused(run, shop)
    assert error.code == "table.rows"
    assert "partition 0, row 1" in error.problems[0].path
    assert "amount" in error.problems[0].path
    assert names(tmp_path) == ["in.parquet"]


def test_bad_rows_are_set_aside_with_their_problems(run, shop, tmp_path):
    amounts = pa.array([1.0, None, 666.0, *range(7)], pa.float64())
    pq.write_table(rows(10).set_column(1, "amount", amounts), tmp_path / "in.parquet")
    report = run(shop, keep=("id",), quarantine="bad")
    assert [row["id"] for row in read(tmp_path / "out")] == [0, 3, 4, 5, 6, 7, 8, 9]
    null, raised = sorted(pq.read_table(tmp_path / "bad").to_pylist(), key=lambda row: row["row"])
    assert (null["part"], null["row"], json.loads(null["values"])) == ("partition 0", 1, {"amount": None, "shop": "s1"})
    assert [problem["path"] for problem in null["problems"]] == ["$.X.amount"]
    assert "not this one" in raised["problems"][0]["found"]
    assert (report.rows.read, report.rows.scored, report.rows.refused) == (10, 8, 2)
    assert report.outputs["quarantine"].written.rows == 2
    assert sum(report.problems.values()) == 2
    for limit in (1, 0.1):
        error = refused(run, shop, "in.parquet", "other", quarantine="more", max_bad_rows=limit)
        assert error.code == "table.bad-rows"
        assert len(error.problems) == 2
    assert names(tmp_path) == ["bad", "in.parquet", "out"]
    run(shop, "in.parquet", "other", quarantine="more", max_bad_rows=0.2)


def test_an_output_that_exists_is_refused_replaced_or_added_to(run, shop, tmp_path):
    pq.write_table(rows(4), tmp_path / "in.parquet")
    run(shop, keep=("id",))
    assert refused(run, shop).code == "output.exists"
    run(shop, mode="append", keep=("id",))
    assert len(read(tmp_path / "out")) == 8
    error = refused(run, shop, mode="append", keep=("shop",))
    assert (error.code, len(error.problems)) == ("output.schema", 2)
    assert len(read(tmp_path / "out")) == 8
    run(shop, mode="overwrite", where="id == 2", keep=("id",))
    assert read(tmp_path / "out") == [{"id": 2, "predict": 4.0}]
    pq.write_table(rows(4).set_column(1, "amount", pa.array([666.0] * 4)), tmp_path / "in.parquet")
    assert "not this one" in refused(run, shop, mode="overwrite", keep=("id",)).message
    assert read(tmp_path / "out") == [{"id": 2, "predict": 4.0}]
    assert names(tmp_path) == ["in.parquet", "out"]


def test_a_job_that_was_killed_while_it_replaced_its_output_has_lost_nothing(run, shop, tmp_path):
    pq.write_table(rows(4), tmp_path / "in.parquet")
    run(shop, keep=("id",))
    (tmp_path / ".out.envelope-batch").mkdir()
    (tmp_path / "out").rename(tmp_path / ".out.envelope-batch" / "replaced")
    assert refused(run, shop).code == "output.exists"
    assert len(read(tmp_path / "out")) == 4


def test_folders_and_tables_of_the_catalogue(run, shop, tmp_path, spark):
    pq.write_table(rows(10), tmp_path / "in.parquet")
    run(shop, keep=("id", "shop"), partition_by=("shop",))
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {f"shop=s{at}" for at in range(5)}
    assert refused(run, shop, "in.parquet", "x", partition_by=("nothing",)).code == "table.columns"
    spark.sql("create database if not exists sales")
    try:
        run(shop, output="table:sales.answers", keep=("*",), rename={"predict": "price"})
        assert refused(run, shop, output="table:sales.answers").code == "output.exists"
        run(shop, "table:sales.answers", "again", keep=("id", "price"))
        assert read(tmp_path / "again")[3] == {"id": 3, "price": 6.0, "predict": 6.0}
        assert spark.table("sales.answers").count() == 10
        pq.write_table(rows(2).set_column(1, "amount", pa.array([666.0] * 2)), tmp_path / "in.parquet")
        assert "not this one" in refused(run, shop, output="table:sales.more").message
        pq.write_table(rows(2), tmp_path / "in.parquet")
        run(shop, output="table:sales.more")
        assert spark.table("sales.more").count() == 2
    finally:
        spark.sql("drop database sales cascade")
    assert refused(run, shop, "table:sales.nothing").code == "table.read"


def test_text_is_read_by_the_types_of_the_signature(run, shop, tmp_path):
    lines = ["id,amount,shop", "1,1.5,007", "2,2,x", '3,3e1,"a,b"']
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    run(shop, "in.csv", keep=("id", "shop"))
    assert [tuple(row.values()) for row in read(tmp_path / "out")] == [(1, "007", 3.0), (2, "x", 4.0), (3, "a,b", 60.0)]
    documents = [{"id": 1, "amount": 1.5, "shop": "007"}, {"id": 2, "amount": 2, "shop": "x"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    run(shop, "in.jsonl", "out.csv", keep=("id", "shop"))
    (written,) = (tmp_path / "out.csv").glob("part-*.csv")
    assert written.read_text() == "id,shop,predict\n1,007,3.0\n2,x,4.0\n"


def test_lines_that_cannot_be_read_are_no_answers(run, shop, tmp_path):
    (tmp_path / "in.csv").write_text("id,amount,shop\n1,1.5,a\n2,many,b\n3,2.5,c\n")
    error = refused(run, shop, "in.csv")
    assert error.code == "table.rows"
    assert "row 1" in error.problems[0].path
    run(shop, "in.csv", quarantine="bad", keep=("id",))
    assert [row["id"] for row in read(tmp_path / "out")] == [1, 3]
    (bad,) = pq.read_table(tmp_path / "bad").to_pylist()
    assert (bad["text"], bad["row"], bad["values"]) == ("2,many,b", 1, None)


def test_an_empty_table_gives_an_empty_output(run, shop, tmp_path):
    pq.write_table(rows(0), tmp_path / "in.parquet")
    report = run(shop, keep=("id",))
    assert pq.read_table(tmp_path / "out").schema.names == ["id", "predict"]
    assert report.rows.read == 0
    assert run(shop, output="more", quarantine="bad").rows.refused == 0


def test_what_cannot_be_read_or_written_is_told(run, shop, tmp_path):
    pq.write_table(rows(4), tmp_path / "in.parquet")
    assert refused(run, shop, "nothing.parquet").code == "table.read"
    assert refused(run, shop, "in.arrow").code == "job.format"
    assert refused(run, shop, "delta:in").code in {"table.read", "spark.failed"}
    assert refused(run, shop, output="out.arrow").code == "job.format"
    assert refused(run, shop, keep=("nobody",)).code == "table.columns"
    assert refused(run, shop, keep=("*",), rename={"predict": "id"}).code == "job.columns"
    assert refused(run, shop, workers=2).code == "job.workers"
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "in.parquet").read_bytes()[:-20])
    assert refused(run, shop, "cut.parquet").code in {"table.read", "spark.failed"}
    pq.write_table(rows(4).set_column(1, "amount", pa.array(list("abcd"))), tmp_path / "text.parquet")
    error = refused(run, shop, "text.parquet", quarantine="bad")
    assert error.code == "table.types"
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet"}


def test_settings_of_the_session_are_left_as_they_were(run, shop, tmp_path, spark):
    pq.write_table(rows(4), tmp_path / "in.parquet")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kathmandu")
    before = dict(spark.sparkContext.environment)
    run(shop)
    assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Kathmandu"
    assert spark.sparkContext.environment == before
    spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_a_packed_pipeline_answers_as_it_does_without_spark(run, tmp_path):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "carrier": rng.choice(["UA", "B6", "EV"], 500),
            "distance": rng.integers(80, 4983, 500).astype(float),
            "month": rng.integers(1, 13, 500),
        }
    )
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), (StandardScaler(), ["distance"]), remainder="passthrough"
    )
    late = (frame["month"] > 6) ^ (frame["carrier"] == "UA")
    model = make_pipeline(columns, LogisticRegression()).fit(frame, late)
    sealed = save_model(
        model=model, instance_name="late", api_input=frame.head(50), query_function=["predict", "predict_proba"],
        lock=False, prove=False, into=tmp_path / "sealed",
    )  # fmt: skip
    table = pa.Table.from_pandas(frame, preserve_index=False).append_column("id", pa.array(range(500)))
    pq.write_table(table, tmp_path / "in.parquet")
    methods = Predictor.open(sealed.path).methods
    for method in ("predict", "predict_proba"):
        run(sealed.path, output=method, method=method, keep=("id",))
        answers = Scorer(methods[method]).score(table.combine_chunks().to_batches()[0])
        found = pq.read_table(tmp_path / method).sort_by("id")
        for name in answers.schema.names:
            assert found.column(name).to_pylist() == answers.column(name).to_pylist()
