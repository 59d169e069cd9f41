"""The types of pandas' tables: every dtype is found, comes back from its document, and brings the same table back."""

import datetime as dt
import decimal
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime import signature_document
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.requests import decode_request
from model_envelope.runtime.errors import InvalidSignature

MODERN = not pd.__version__.startswith("2.")
DAYS = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-01"])


def arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


COLUMNS = {
    "Int8": pd.array([1, None, 3], dtype="Int8"),
    "UInt64": pd.array([2**64 - 1, None, 3], dtype="UInt64"),
    "Float32": pd.array([1.5, None, 3], dtype="Float32"),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "string": pd.array(["a", None, "b"], dtype="string"),
    "string of python": pd.array(["a", None, "b"], dtype="string[python]"),
    "string of pyarrow": pd.array(["a", None, "b"], dtype="string[pyarrow]"),
    "objects without": pd.Series(["a", None, "b"], dtype=object),
    "objects with nan": pd.Series(["a", np.nan, "b"], dtype=object),
    "objects with NA": pd.Series(["a", pd.NA, "b"], dtype=object),
    "objects with NaT": pd.Series([dt.date(2020, 1, 1), pd.NaT, dt.date(2020, 1, 2)], dtype=object),
    "integers as objects": pd.Series([1, None, 2**62], dtype=object),
    "booleans as objects": pd.Series([True, None, False], dtype=object),
    "floats as objects": pd.Series([0.5, None, 1.5], dtype=object),
    "an ordered category": pd.Categorical(["b", "a", None], categories=["b", "a"], ordered=True),
    "a category of integers": pd.Categorical([3, 1, None]),
    "a category of int8": pd.Series([3, 1, 2], dtype="int8").astype("category"),
    "a category of floats": pd.Categorical([0.5, 1.0, None]),
    "a category with an infinity": pd.Categorical([0.5, np.inf, None]),
    "a category of booleans": pd.Categorical([True, False, None]),
    "a category of days": pd.Categorical(DAYS),
    "a category of moments": pd.Categorical(DAYS.tz_localize("UTC")),
    "a category of periods": pd.Categorical(pd.period_range("2020-01", periods=3, freq="M")),
    "a category of intervals": pd.cut([0.1, 0.5, 0.9], [0, 0.3, 0.7, 1]),
    "a category of open intervals": pd.cut([0.1, 0.5, 0.9], [-np.inf, 0.3, np.inf], right=False),
    "a category of whole intervals": pd.cut([1, 2, 3], [0, 1, 3]),
    "a category of objects": pd.Categorical(["a", "b", None], categories=pd.Index(["a", "b"], dtype=object)),
    "nanoseconds": pd.to_datetime(["2020-01-01T10:00:00.123456789", None, "1970-01-01"], format="ISO8601"),
    "moments in a zone": DAYS.tz_localize("Europe/Berlin"),
    "moments in UTC": pd.to_datetime(["2020-10-25T00:30", "2020-10-25T01:30", None], utc=True),
    "moments with an offset": pd.to_datetime(["2020-10-25T00:30+05:30", "2020-10-25T01:30+05:30", None]),
    "intervals": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3]),
    "intervals with gaps": pd.arrays.IntervalArray.from_tuples([(0.0, 1.0), None, (1.0, np.inf)], closed="left"),
    "intervals of days": pd.arrays.IntervalArray.from_breaks(pd.date_range("2020-01-01", periods=4)),
    "intervals of moments": pd.arrays.IntervalArray.from_breaks(pd.date_range("2020-01-01", periods=4, tz="UTC")),
    "intervals of durations": pd.arrays.IntervalArray.from_breaks(pd.timedelta_range("1D", periods=4)),
    "sparse floats": pd.arrays.SparseArray([1.0, np.nan, 2.0]),
    "sparse floats around zero": pd.arrays.SparseArray([0, 0, 2.0], fill_value=0.0),
    "sparse integers": pd.arrays.SparseArray([0, 0, 2]),
    "sparse int8": pd.arrays.SparseArray([0, 0, 2], dtype=pd.SparseDtype("int8", 0)),
    "sparse booleans": pd.arrays.SparseArray([True, False, False]),
    "lists": pd.Series([[1], [2, 3], []]),
    "dicts": pd.Series([{"a": 1}, {"a": 2, "b": None}, None]),
    "decimals": pd.Series([decimal.Decimal("1.10"), None, decimal.Decimal(2)]),
    "dates": pd.Series([dt.date(2020, 1, 1), None, dt.date(1, 1, 1)]),
    "times": pd.Series([dt.time(1, 2, 3)] * 3),
    "uuids": pd.Series([uuid.UUID(int=5)] * 3),
    "bytes": pd.Series([b"a", None, b"\xff"]),
    "complex128": np.array([1 + 2j, 0, 3j]),
    "complex64": np.array([1 + 2j, 0, np.nan], dtype="complex64"),
    "float16": np.array([1.5, np.nan, -np.inf], dtype="float16"),
    "float32": np.array([0.1, np.nan, 3e38], dtype="float32"),
    "int64": np.array([2**63 - 1, -(2**63), 0]),
    "uint8": np.array([255, 0, 1], dtype="uint8"),
    "bool": np.array([True, False, True]),
    **{f"datetime64[{unit}]": np.array(["2020-01-01T10:00:00", "NaT", "1999-12-31T23:59:59"], dtype=f"M8[{unit}]")
       for unit in ("s", "ms", "us", "ns")},
    **{f"timedelta64[{unit}]": np.array([5, "NaT", -7], dtype=f"m8[{unit}]") for unit in ("s", "ms", "us", "ns")},
    **{f"period[{freq}]": pd.PeriodIndex(["2020-01-15 10:11", "NaT", "1999-12-31"], freq=freq).array
       for freq in ("Y", "Q", "M", "2M", "W", "D", "h", "min", "s", "ms", "us", "ns")},
    "arrow: int32": arrow([1, None, 3], pa.int32()),
    "arrow: string": arrow(["a", None, "b"], pa.string()),
    "arrow: large_string": arrow(["a", None, "b"], pa.large_string()),
    "arrow: double": arrow([1.5, None, 2], pa.float64()),
    "arrow: bool": arrow([True, None, False], pa.bool_()),
    "arrow: timestamp": arrow([pd.Timestamp("2020-01-01T00:00:00.000000001"), None, None], pa.timestamp("ns")),
    "arrow: zoned": arrow([pd.Timestamp("2020-01-01", tz="UTC"), None, None], pa.timestamp("us", tz="Europe/Berlin")),
    "arrow: date": arrow([dt.date(2020, 1, 1), None, None], pa.date32()),
    "arrow: time": arrow([dt.time(1), None, None], pa.time64("us")),
    "arrow: duration": arrow([dt.timedelta(1), None, None], pa.duration("us")),
    "arrow: decimal": arrow([decimal.Decimal("1.10"), None, None], pa.decimal128(10, 2)),
    "arrow: binary": arrow([b"a", None, None], pa.binary()),
    "arrow: list": arrow([[1], None, [2, None]], pa.list_(pa.int64())),
    "arrow: struct": arrow([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}],
                           pa.struct([("a", pa.int64()), ("b", pa.string())])),
    "arrow: dictionary": arrow(["a", None, "b"], pa.dictionary(pa.int32(), pa.string())),
}  # fmt: skip
if MODERN:
    COLUMNS["str"] = pd.array(["a", None, "b"], dtype="str")
    COLUMNS["str of python"] = pd.array(["a", None, "b"], dtype=pd.StringDtype("python", na_value=np.nan))


def sent(value):
    """Find the type, write it down and read it, and send the value through JSON as a request and as an answer."""
    document = parse_json(dump_json(signature_document.type_to_document(type_of(value))))
    kind = signature_document.type_from_document(document)
    codec = MethodCodec(s.Method((s.Parameter("x", kind),), kind), {})
    raw = dump_json(codec.encode_arguments({"x": value}))
    assert codec.encode(value) == parse_json(raw)["x"]
    found = codec.decode(parse_json(raw)).positional[0]
    assert type(decode_request(codec, raw).positional[0]) is type(found)
    return found


@pytest.mark.parametrize("name", COLUMNS)
def test_every_dtype_comes_back_as_a_column(name):
    frame = pd.DataFrame({"x": COLUMNS[name]})
    pd.testing.assert_frame_equal(sent(frame), frame, check_exact=True)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_dtype_comes_back_as_a_series(name):
    series = pd.Series(COLUMNS[name], name=("a", 1))
    pd.testing.assert_series_equal(sent(series), series, check_exact=True)


@pytest.mark.parametrize(
    "name", [name for name in COLUMNS if not name.startswith(("float16", "sparse", "lists", "dict"))]
)
def test_every_dtype_that_an_index_may_have_comes_back_as_one(name):
    frame = pd.DataFrame({"y": [1, 2, 3]}, index=pd.Index(pd.Series(COLUMNS[name]), name="i"))
    pd.testing.assert_frame_equal(sent(frame), frame, check_exact=True)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "a", "a#2"],
        [0, 1, 2],
        [0, "0", None],
        [0.5, np.nan, True],
        pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
        pd.period_range("2020-01", periods=3, freq="M"),
        [pd.Timedelta(1), pd.Timestamp("2020-01-01", tz="UTC"), pd.Interval(0, 1)],
        [dt.date(2020, 1, 1), decimal.Decimal("1.5"), uuid.UUID(int=1)],
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("b", 3)], names=["x", None]),
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("b", 3)]),
        pd.Index([("a", 1), ("b", 2), ("b", 3)], tupleize_cols=False),
        pd.Index(["a", "b", "c"], name="feature"),
        pd.Index(["a", "b", "c"], dtype=object),
        pd.CategoricalIndex(["a", "b", "c"]),
        pd.Index([1, 2, 3], dtype="int8", name="n"),
    ],
    ids=lambda labels: f"{type(labels).__name__} {list(labels)}",
)
def test_every_name_of_a_column_comes_back(labels):
    frame = pd.DataFrame([[1, 2.5, "x"]], columns=labels)
    pd.testing.assert_frame_equal(sent(frame), frame)


def test_names_are_spelled_for_people():
    frame = pd.DataFrame([[1, 2, 3, 4, 5]], columns=["a", "a", 0, ("price", "mean"), None])
    assert [column.name for column in type_of(frame).columns] == ["a", "a#2", "0", "price/mean", "null"]


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (None, []),
        (pd.Index([5, 3]), []),
        (pd.Index([5, 3], name="id"), ["id"]),
        (pd.RangeIndex(2, name="n"), ["n"]),
        (pd.Index(["x", "y"]), ["index"]),
        (pd.DatetimeIndex(["2020-01-01", "2020-01-03"], tz="UTC"), ["index"]),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", None]), ["k", "level_1"]),
    ],
)
def test_an_index_that_says_something_is_part_of_the_table(index, names):
    frame = pd.DataFrame({"a": [1, 2]}, index=index)
    assert [level.name for level in type_of(frame).index] == names
    expected = frame if names else frame.reset_index(drop=True)
    pd.testing.assert_frame_equal(sent(frame), expected)


def test_an_index_without_a_name_gives_way_to_columns():
    frame = pd.DataFrame({"index": [1, 2]}, index=["x", "y"])
    assert type_of(frame).columns[0].name == "index#2"
    pd.testing.assert_frame_equal(sent(frame), frame)


@pytest.mark.parametrize("name", [None, "v", 0])
@pytest.mark.parametrize("index", [pd.Index([3, 4], name="value"), pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])])
def test_a_series_keeps_its_index(name, index):
    series = pd.Series([1.5, 2.5], index=index, name=name)
    pd.testing.assert_series_equal(sent(series), series)


def test_integers_with_gaps_keep_their_type_and_admit_null():
    (column,) = type_of(pd.DataFrame({"a": pd.array([1, 2], dtype="Int64")})).columns
    assert (column.type, column.storage) == (s.Scalar("int64", nullable=True), "Int64")


def test_strings_that_look_like_dates_stay_strings():
    (column,) = type_of(pd.DataFrame({"a": ["2020-01-01", "2020-01-02"]})).columns
    assert column.type == s.Scalar("string")


def test_categories_are_not_lost():
    kind = pd.CategoricalDtype(["low", "high", "never seen"], ordered=True)
    (column,) = type_of(pd.DataFrame({"a": pd.Series(["low", "high"], dtype=kind)})).columns
    assert column.type == s.Choice(("low", "high", "never seen"), ordered=True)


def test_columns_with_gaps_are_optional_and_others_are_not():
    frame = pd.DataFrame({"a": [1.5, None], "b": [1.5, 2.5], "c": pd.Series(["x", None], dtype=object)})
    assert [column.type.nullable for column in type_of(frame).columns] == [True, False, True]


def test_lists_in_columns_have_a_type():
    (column,) = type_of(pd.DataFrame({"a": [[1], [2, 3]]})).columns
    assert column.type == s.List(s.Scalar("int64"))


def objects(*values):
    return pd.DataFrame({"a": pd.Series(values, dtype=object)})


@pytest.mark.parametrize(
    ("frame", "code", "said"),
    [
        (objects("x", 7), "signature.mixed-types", "string (row 0) and int64 (row 1)"),
        (objects(None, None), "signature.empty-column", "nothing but nulls"),
        (objects(), "signature.empty-column", "no values"),
        (pd.DataFrame({"a": pd.Categorical([None, None])}), "signature.empty-column", "no categories"),
        (pd.DataFrame(index=[0, 1]), "signature.empty-table", "no columns"),
        (objects("x", dt.date(2020, 1, 1)).astype("category"), "signature.category", "object"),
        (pd.DataFrame([[1]], columns=[frozenset()]), "signature.column-name", "frozenset()"),
    ],
)  # fmt: skip
def test_what_a_signature_cannot_say_is_refused(frame, code, said):
    with pytest.raises(InvalidSignature) as caught:
        type_of(frame)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_every_row_is_read_and_every_bad_column_told():
    frame = pd.DataFrame(
        {
            "a": pd.Series([*["x"] * 1000, 7], dtype=object),
            "b": range(1001),
            "c": pd.Series([None] * 1001, dtype=object),
        }
    )
    with pytest.raises(InvalidSignature) as caught:
        type_of(frame)
    assert [problem.path for problem in caught.value.problems] == ["$.a", "$.c"]
    assert "int64 (row 1000)" in caught.value.problems[0].found
