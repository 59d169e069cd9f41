import datetime as dt
import warnings
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature

INTEGER = s.Scalar("int64")
NOW = dt.datetime(2020, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5 and newer
    UNITLESS = np.array([1], "m8")


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.zeros(2, bool), s.Tensor("bool", (None,), 0)),
        (np.zeros((2, 3), "u2"), s.Tensor("uint16", (None, 3), 0)),
        (np.zeros((), "f4"), s.Tensor("float32", ())),
        (np.array([1, np.nan]), s.Tensor("float64", (None,), 0, non_finite=True)),
        (np.zeros(2, ">f8"), s.Tensor("float64", (None,), 0, storage=">f8")),
        (np.array([1j, np.inf]), s.Tensor("complex128", (None,), 0, non_finite=True)),
        (np.array(["abc"]), s.Tensor("string", (None,), 0, storage="<U3")),
        (np.array([b"abc"]), s.Tensor("bytes", (None,), 0, storage="|S3")),
        (np.array(["a"], dtype=np.dtypes.StringDType()), s.Tensor("string", (None,), 0, storage="StringDType()")),
        (
            np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)),
            s.Tensor("string", (None,), 0, non_finite=True, storage="StringDType(na_object=None)"),
        ),
        (
            np.array(["2020-01-01", "NaT"], "M8[D]"),
            s.Tensor("datetime", (None,), 0, non_finite=True, storage="datetime64[D]"),
        ),
        (np.array([1], "m8[ps]"), s.Tensor("timedelta", (None,), 0, storage="timedelta64[ps]")),
        (np.array(["a", None], object), s.Tensor("string", (None,), 0, non_finite=True)),
        (np.array([[1, 2]], object), s.Tensor("int64", (None, 2), 0, storage="object")),
        (np.array([Decimal(1)], object), s.Tensor("decimal", (None,), 0, storage="object")),
        (np.array([{"a": 1}], object), s.Series(s.Record((s.Field("a", INTEGER),)), "object", flavor=s.Flavor.NUMPY)),
        (np.float16(1), s.Scalar("float16")),
        (np.complex64(1), s.Scalar("complex64")),
        (np.bytes_(b"a"), s.Scalar("bytes")),
        (np.datetime64("2020", "Y"), s.Tensor("datetime", (), storage="datetime64[Y]")),
        (
            sp.csr_array(np.eye(2)),
            s.Tensor("float64", (None, 2), 0, s.Flavor.SCIPY, layout="csr", storage="array"),
        ),
        (
            sp.coo_matrix(np.eye(2, dtype="i4")),
            s.Tensor("int32", (None, 2), 0, s.Flavor.SCIPY, layout="coo", storage="matrix"),
        ),
    ],
)  # fmt: skip
def test_the_type_of_an_array(array, kind):
    assert type_of(array) == kind


def test_a_structured_array_is_a_table():
    dtype = [("a", "<i4"), ("m", "<M8[us]"), ("p", "<f4", (2,)), ("n", [("x", "|b1")]), ("f", "<f8")]
    found = type_of(np.array([(1, NOW, [1, 2], (True,), np.nan)], dtype=dtype))
    assert found.flavor is s.Flavor.NUMPY
    assert [(column.name, column.type, column.storage) for column in found.columns] == [
        ("a", s.Scalar("int32"), "<i4"),
        ("m", s.Scalar("datetime", unit="us"), "<M8[us]"),
        ("p", s.Tensor("float32", (2,)), 'array("<f4", 2)'),
        ("n", s.Record((s.Field("x", s.Scalar("bool")),)), 'struct(x: "|b1")'),
        ("f", s.Scalar("float64", nullable=True), "<f8"),
    ]
    assert type_of(np.zeros(1, [("a", "i4")]).view(np.recarray)).cls == "recarray"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.zeros(2, "longdouble"), "signature.unknown-type"),
        (np.ma.masked_array([1]), "signature.unknown-type"),
        (np.matrix([[1]]), "signature.unknown-type"),
        (UNITLESS, "signature.unknown-type"),
        (np.array([1], "m8[10s]"), "signature.unknown-type"),
        (np.array([b"a"], "V1"), "signature.unknown-type"),
        (np.zeros((1, 1), [("a", "i4")]), "signature.unknown-type"),
        (np.zeros(1, [("a", "longdouble"), ("b", "i4")]), "signature.unknown-type"),
        (np.zeros(1, [("a", "i4")])[0], "signature.unknown-type"),
        (np.longdouble(1), "signature.unknown-type"),
        (np.array([[[1], {}]], object), "signature.mixed-types"),
        (np.array([[{"a": 1}]], object), "signature.unknown-type"),
        (np.array([None], object), "signature.empty-column"),
        (np.array([], object), "signature.empty-column"),
        (np.array(["a"], np.dtypes.StringDType(na_object="x")), "signature.unknown-type"),
        (sp.coo_array(np.array([1, 0])), "signature.unknown-type"),
        (sp.csr_array(np.eye(2, dtype="longdouble")), "signature.unknown-type"),
    ],
)
def test_an_array_without_a_type_is_refused(value, code):
    with pytest.raises(InvalidSignature) as caught:
        type_of(value)
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    ("series", "kind", "storage"),
    [
        (pl.Series([1, None], dtype=pl.UInt8), s.Scalar("uint8", nullable=True), "UInt8"),
        (pl.Series([1.5, float("nan")]), s.Scalar("float64", non_finite=True), "Float64"),
        (pl.Series(["b", "a"], dtype=pl.Categorical), s.Choice(("a", "b")), "Categorical"),
        (pl.Series(["b"], dtype=pl.Enum(["b", "a"])), s.Choice(("b", "a"), ordered=True), "Enum"),
        (pl.Series([Decimal(1)], dtype=pl.Decimal(10, 2)), s.Scalar("decimal"), "Decimal(10, 2)"),
        (pl.Series([NOW]), s.Scalar("datetime", unit="us"), "Datetime(us)"),
        (
            pl.Series([NOW]).dt.replace_time_zone("Europe/Berlin"),
            s.Scalar("datetime", unit="us", timezone="Europe/Berlin"),
            "Datetime(us, Europe/Berlin)",
        ),
        (pl.Series([dt.timedelta(1)], dtype=pl.Duration("ns")), s.Scalar("timedelta", unit="ns"), "Duration(ns)"),
        (pl.Series([dt.time(1)]), s.Scalar("time", unit="ns"), "Time"),
        (pl.Series([[1], [None], None]), s.List(s.Scalar("int64", nullable=True), nullable=True), "List(Int64)"),
        (
            pl.Series([[1.0, 2.0]], dtype=pl.Array(pl.Float32, 2)),
            s.Tensor("float32", (2,), flavor=s.Flavor.POLARS),
            "Array(Float32, 2)",
        ),
        (
            pl.Series([[[1], [2]]], dtype=pl.Array(pl.Int8, (2, 1))),
            s.Tensor("int8", (2, 1), flavor=s.Flavor.POLARS),
            "Array(Array(Int8, 1), 2)",
        ),
        (pl.Series([["a"]], dtype=pl.Array(pl.String, 1)), s.Tuple((s.Scalar("string"),)), "Array(String, 1)"),
        (
            pl.Series([{"a b": 1}, None]),
            s.Record((s.Field("a b", INTEGER),), nullable=True),
            'Struct("a b": Int64)',
        ),
    ],
)
def test_the_type_of_a_polars_series(series, kind, storage):
    found = type_of(series)
    assert (found.item, found.storage, found.flavor) == (kind, storage, s.Flavor.POLARS)


@pytest.mark.parametrize(
    ("series", "code"),
    [
        (pl.Series([None, None]), "signature.empty-column"),
        (pl.Series([[], []]), "signature.empty-column"),
        (pl.Series([object()], dtype=pl.Object), "signature.storage"),
        (pl.Series([2**70], dtype=pl.Int128), "signature.storage"),
        (pl.Series([None], dtype=pl.Categorical), "signature.empty-column"),
    ],
)
def test_a_polars_series_without_a_type_is_refused(series, code):
    with pytest.raises(InvalidSignature) as caught:
        type_of(pl.DataFrame({"bad": series}))
    assert [(problem.path.removesuffix("[*]"), problem.code) for problem in caught.value.problems] == [("$.bad", code)]


@pytest.mark.parametrize(
    ("array", "kind", "storage"),
    [
        (pa.array([1, None], pa.uint8()), s.Scalar("uint8", nullable=True), "uint8"),
        (pa.array([1.5], pa.float16()), s.Scalar("float16"), "halffloat"),
        (pa.array([float("inf")]), s.Scalar("float64", non_finite=True), "double"),
        (pa.array(["a"], pa.large_string()), s.Scalar("string"), "large_string"),
        (pa.array([b"ab"], pa.binary(2)), s.Scalar("bytes"), "fixed_size_binary[2]"),
        (pa.array([b"ab"], pa.binary_view()), s.Scalar("bytes"), "binary_view"),
        (pa.array([1], pa.timestamp("ns", "+01:00")), s.Scalar("datetime", unit="ns", timezone="+01:00"),
         'timestamp[ns, tz="+01:00"]'),
        (pa.array(["b", "a"]).dictionary_encode(), s.Choice(("b", "a")), "dictionary<int32, string>"),
        (pa.array([dt.date(2020, 1, 1)]).dictionary_encode(), s.Choice(("2020-01-01",), dtype="date"),
         "dictionary<int32, date32[day]>"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), s.Map(s.Scalar("string"), s.Scalar("int8")),
         "map<string, int8>"),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), s.Tensor("int8", (2,), flavor=s.Flavor.PYARROW),
         "fixed_size_list<int8, 2>"),
        (pa.array([{"a": 1}]), s.Record((s.Field("a", INTEGER),)), "struct<a: int64>"),
        (pa.compute.run_end_encode(pa.array([1, 1])), INTEGER, "run_end_encoded<int32, int64>"),
        (pa.array([b"1" * 16], pa.uuid()), s.Scalar("uuid"), "uuid"),
        (pa.array([Decimal("1.5")]), s.Scalar("decimal"), "decimal128(2, 1)"),
        (pa.array([True]), s.Scalar("bool"), "bool"),
    ],
)  # fmt: skip
def test_the_type_of_an_arrow_array(array, kind, storage):
    found = type_of(array)
    assert (found.item, found.storage, found.cls) == (kind, storage, None)
    assert type_of(pa.chunked_array([array])).cls == "ChunkedArray"


def test_arrow_tables_keep_class_and_nullability_and_names_that_stand_twice():
    schema = pa.schema(
        [pa.field("a", pa.int64(), nullable=False), pa.field("a", pa.int64()), pa.field("a#2", pa.int8())]
    )
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3], pa.int8())], schema=schema)
    found = type_of(table)
    assert [(column.name, column.key, column.storage) for column in found.columns] == [
        ("a", None, "int64 not null"),
        ("a#3", "a", "int64"),
        ("a#2", None, "int8"),
    ]
    assert type_of(table.to_batches()[0]).cls == "RecordBatch"


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (pa.nulls(2), "signature.empty-column"),
        (pa.array([[], None], pa.list_(pa.null())), "signature.empty-column"),
        (pa.array([None], pa.dictionary(pa.int32(), pa.string())), "signature.empty-column"),
        (pa.DictionaryArray.from_arrays([0, 1], ["a", "a"]), "signature.category"),
        (pa.array([1.5]).dictionary_encode(), "signature.category"),
        (pa.DictionaryArray.from_arrays([0], pa.array([[1]])), "signature.category"),
        (pa.ListArray.from_arrays([0, 1], pa.array([b"1" * 16], pa.uuid())), "signature.storage"),
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "signature.storage"),
        (pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), "signature.column-name"),
    ],
)
def test_an_arrow_array_without_a_type_is_refused(array, code):
    with pytest.raises(InvalidSignature) as caught:
        type_of(pa.table({"bad": array}))
    assert {problem.code for problem in caught.value.problems} == {code}
    assert caught.value.problems[0].path.startswith("$.bad")
