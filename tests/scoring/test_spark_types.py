"""Values of all kinds through Spark, beside what the model is given without it."""

import datetime as dt
import zipfile
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import make_envelope

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.predicting import Predictor
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import Location, read_location
from model_envelope.scoring.scorer import Scorer
from model_envelope.scoring.settings import beside
from model_envelope.scoring.sinks import open_sink
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import InvalidJob, InvalidTable

pytestmark = [pytest.mark.spark, pytest.mark.xdist_group("spark")]

ECHO = """
class Model:
    def predict(self, X):
        assert str(X.dtypes["exact"]) == "Int64", X.dtypes
        return X
"""
FRAME = pd.DataFrame(
    {
        "exact": pd.array([2**53 + 1, None, -(2**63), 2**63 - 1], dtype="Int64"),
        "small": pd.array([1, 2, None, 255], dtype="UInt8"),
        "large": pd.Series([0, 2**64 - 1, 2**63, 7], dtype="uint64"),
        "half": pd.Series([0.5, 1.5, None, -2.0], dtype="float32"),
        "kind": pd.Categorical(["b", None, "a", "b"], categories=["a", "b", "c"]),
        "flag": [True, False, True, False],
        "day": pd.Series([dt.date(1582, 1, 1), None, dt.date(2020, 2, 29), dt.date(9999, 12, 31)], dtype=object),
        "naive": pd.to_datetime(
            pd.Series(["2020-03-29T02:30:00", None, "1900-01-01T00:00:00.000001", "2262-01-01"]), format="ISO8601"
        ).astype("datetime64[us]"),
        "zoned": pd.to_datetime(
            pd.Series(["2020-10-25T00:30:00Z", "2020-10-25T01:30:00Z", None, "1970-01-01T00:00:00Z"]), format="ISO8601"
        )
        .dt.tz_convert("Europe/Vienna")
        .astype("datetime64[us, Europe/Vienna]"),
        "nano": pd.to_datetime(pd.Series(["2020-01-01", "2021-01-01", None, "2022-01-01"])).astype("datetime64[ns]"),
        "text": ["ü", "", "a\nb", "`"],
        "list": [[1, 2], [], [3], [4, 5, 6]],
    }
)


@pytest.fixture(scope="module")
def echo(tmp_path_factory) -> Path:
    table = type_of(FRAME)
    method = s.Method((s.Parameter("X", table),), table, row_wise=s.Answer.YES)
    return make_envelope(tmp_path_factory.mktemp("echo"), ECHO, {"predict": method}, {}, name="echo")


def arrow(echo: Path) -> pa.Table:
    """The rows with the types that the signature has, but for moments of nanoseconds, which Spark does not read."""
    scorer = Scorer(Predictor.open(echo).methods["predict"])
    schema = pa.schema([*scorer.types.items()])
    table = pa.Table.from_pandas(FRAME, schema=schema, preserve_index=False)
    at = table.schema.get_field_index("nano")
    return table.set_column(at, "nano", table.column("nano").cast(pa.timestamp("us")))


def asked(echo: Path, table: pa.Table) -> pa.RecordBatch:
    """What the model says of rows that come from Arrow, without Spark."""
    at = table.schema.get_field_index("nano")
    table = table.set_column(at, "nano", table.column("nano").cast(pa.timestamp("ns")))
    return Scorer(Predictor.open(echo).methods["predict"]).score(table.combine_chunks().to_batches()[0])


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
def test_values_of_all_kinds_go_through_spark_unchanged(spark, echo, tmp_path, zone):
    from model_envelope.scoring.spark import score

    table = arrow(echo)
    pq.write_table(table, tmp_path / "in.parquet")
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        score(Job(echo, Location("parquet", str(tmp_path / "in.parquet")), Location("parquet", str(tmp_path / "out"))))
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    found = pq.read_table(tmp_path / "out")
    expected = pa.Table.from_batches([asked(echo, table)])
    assert found.column("exact").to_pylist() == [2**53 + 1, None, -(2**63), 2**63 - 1]
    assert found.column("large").to_pylist() == [Decimal(0), Decimal(2**64 - 1), Decimal(2**63), Decimal(7)]
    assert found.schema.field("naive").type.tz is None
    assert found.schema.field("zoned").type.tz is not None
    at = expected.schema.get_field_index("zoned")
    expected = expected.set_column(at, "zoned", expected.column("zoned").cast(pa.timestamp("us", tz="UTC")))
    for name in expected.column_names:
        assert found.column(name).to_pylist() == expected.column(name).to_pylist(), name


@pytest.mark.parametrize(
    ("kind", "carried"),
    [
        (pa.int64(), pa.int64()),
        (pa.uint8(), pa.int16()),
        (pa.uint32(), pa.int64()),
        (pa.uint64(), pa.decimal128(20, 0)),
        (pa.float16(), pa.float32()),
        (pa.dictionary(pa.int32(), pa.large_string()), pa.string()),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.timestamp("s", tz="Europe/Vienna"), pa.timestamp("us", tz="UTC")),
        (pa.duration("ms"), pa.duration("us")),
        (pa.date64(), pa.date32()),
        (pa.binary(4), pa.binary()),
        (pa.list_(pa.float16(), 3), pa.list_(pa.float32())),
        (pa.struct([pa.field("a", pa.uint8(), nullable=False)]), pa.struct([("a", pa.int16())])),
        (pa.map_(pa.string(), pa.uint16()), pa.map_(pa.string(), pa.int32())),
        (pa.decimal256(38, 2), pa.decimal128(38, 2)),
    ],
    ids=str,
)
def test_what_spark_has_no_word_for_is_carried_as_what_loses_nothing(kind, carried):
    from model_envelope.scoring.spark import types

    assert types.carried(kind) == carried
    types.spark_type(kind)


@pytest.mark.parametrize("kind", [pa.decimal256(40, 2), pa.decimal128(5, -2), pa.month_day_nano_interval()], ids=str)
def test_what_spark_cannot_hold_is_refused(kind):
    from model_envelope.scoring.spark import types

    with pytest.raises(InvalidTable) as caught:
        types.carried(kind)
    assert caught.value.code == "table.type"
    assert str(kind) in caught.value.message


def test_an_answer_that_spark_would_change_is_refused():
    from model_envelope.scoring.spark import types

    found = types.to_spark(pa.array([1000], pa.timestamp("ns")))
    assert found.equals(pa.array([1], pa.timestamp("us")))
    with pytest.raises(InvalidTable) as caught:
        types.to_spark(pa.array([1001], pa.timestamp("ns")))
    assert caught.value.code == "table.type"


def test_columns_that_do_not_fit_are_left_to_the_codec():
    from model_envelope.scoring.spark import types

    data = pa.RecordBatch.from_pydict(
        {
            "kind": pa.array(["a", "b", "a"]),
            "large": pa.array([Decimal(1), Decimal(2**64), None], pa.decimal128(20, 0)),
            "when": pa.array([1, 2, 3], pa.int64()),
            "other": pa.array([1, 2, 3]),
        }
    )
    wanted = {"kind": pa.dictionary(pa.int32(), pa.string()), "large": pa.uint64(), "when": pa.timestamp("ns")}
    found = types.from_spark(data, wanted)
    assert [str(kind) for kind in found.schema.types[1:]] == ["decimal128(20, 0)", "int64", "int64"]
    assert found.column("kind").to_pylist() == ["a", "b", "a"]
    assert pa.types.is_dictionary(found.schema.field("kind").type)


def test_the_code_that_workers_get_is_the_same_file_each_time_and_all_they_need():
    from model_envelope.scoring.spark import session

    first = session.zipped_package()
    raw = first.read_bytes()
    assert session.zipped_package() == first
    assert first.read_bytes() == raw
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
    assert {"model_envelope/__init__.py", "model_envelope/scoring/spark/worker.py"} <= set(names)
    assert names == sorted(names)
    assert {name.split("/")[1] for name in names} == {"__init__.py", "runtime", "scoring"}


def test_tables_of_a_catalogue_are_those_of_spark_alone():
    there = read_location("table:sales.answers", {"mergeSchema": "true"})
    assert (there.format, there.url, there.shown) == ("table", "sales.answers", "sales.answers")
    assert beside(there, "quarantine") == Location("table", "sales.answers_quarantine")
    for opened in (open_source, open_sink):
        with pytest.raises(InvalidJob) as caught:
            opened(there)
        assert "--engine spark" in caught.value.hint
