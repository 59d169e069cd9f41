import datetime as dt
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import strategies
import strategies_tables
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.arrow.streams import (
    ANSWER,
    PARAMETERS,
    arrow_schema,
    decode_arrow,
    encode_arrow,
    encode_arrow_arguments,
    read_stream,
)  # fmt: skip
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload

INTEGER = s.Scalar("int64")


def stream(table, **metadata):
    said = {PARAMETERS: dump_json(metadata)} if metadata else None
    table = table.replace_schema_metadata(said)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def codec_of(returns=INTEGER, extra_columns="refuse", **kinds):
    parameters = tuple(
        kind if isinstance(kind, s.Parameter) else s.Parameter(name, kind) for name, kind in kinds.items()
    )
    return MethodCodec(s.Method(parameters, returns), {}, extra_columns=extra_columns)


def problems_of(codec, table, **metadata):
    with pytest.raises(InvalidPayload) as caught:
        decode_arrow(codec, stream(table, **metadata))
    return [(problem.path, problem.code) for problem in caught.value.problems]


FRAME = pd.DataFrame(
    {
        "whole": [1, 2**53 + 1],
        "number": [1.5, None],
        "maybe": pd.array([2**63 - 1, None], dtype="Int64"),
        "text": ["a", "ü"],
        "kind": pd.Categorical(["b", None], categories=["a", "b"]),
        "flag": [True, False],
        "when": pd.to_datetime(["2020-01-01T10:00", None]),
        "zone": pd.to_datetime(["2020-06-01T10:00", None]).tz_localize("Europe/Berlin"),
        "long": pd.to_timedelta([1, None], unit="s"),
        "list": [[1], [2, 3]],
    },
    index=pd.Index([7, 8], name="id"),
)


def test_a_table_stands_directly_in_the_stream():
    codec = codec_of(X=type_of(FRAME))
    raw = encode_arrow_arguments(codec, {"X": FRAME})
    assert read_stream(raw).schema.equals(arrow_schema(codec.method), check_metadata=True)
    assert read_stream(raw).column_names == ["id", *FRAME.columns]
    (found,) = decode_arrow(codec, raw).positional
    pd.testing.assert_frame_equal(found, FRAME)
    found["whole"] += 1  # as after JSON, a model may write into it
    arrow_file = pa.BufferOutputStream()
    with pa.ipc.new_file(arrow_file, arrow_schema(codec.method)) as writer:
        writer.write_table(read_stream(raw))
    pd.testing.assert_frame_equal(decode_arrow(codec, arrow_file.getvalue().to_pybytes()).positional[0], FRAME)


@pytest.mark.parametrize("column", list(FRAME))
@pytest.mark.parametrize("convert", [lambda frame: frame, pl.from_pandas, pa.Table.from_pandas])
def test_every_library_has_the_same_values_by_both_roads(column, convert):
    given = convert(FRAME[[column]].reset_index(drop=True))
    codec = codec_of(type_of(given), X=type_of(given))
    by_arrow = decode_arrow(codec, encode_arrow_arguments(codec, {"X": given})).positional[0]
    by_json = codec.decode(parse_json(dump_json(codec.encode_arguments({"X": given})))).positional[0]
    assert codec.encode(by_arrow) == codec.encode(by_json) == codec.encode(given)


def test_columns_of_natural_arrow_types_are_read_as_the_model_wants_them():
    codec = codec_of(X=type_of(FRAME.reset_index(drop=True)))
    table = pa.table(
        {
            "list": pa.array([[1], [2, 3]], pa.large_list(pa.int8())),
            "long": pa.array(["P0DT0H0M1S", None]),
            "zone": pa.array([dt.datetime(2020, 6, 1, 8, tzinfo=dt.UTC), None], pa.timestamp("ms", "UTC")),
            "when": pa.array(["2020-01-01T10:00", None]),
            "flag": [True, False],
            "kind": ["b", None],
            "text": pa.array(["a", "ü"]).dictionary_encode(),
            "maybe": pa.array([2**63 - 1, None], pa.uint64()),
            "number": pa.array([1.5, float("nan")], pa.float32()),
            "whole": pa.array([1, 2**53 + 1], pa.uint64()),
        }
    )
    (found,) = decode_arrow(codec, stream(table)).positional
    pd.testing.assert_frame_equal(found, FRAME.reset_index(drop=True))


SMALL = s.Table(
    (
        s.Column("n", s.Scalar("int8"), "int8"),
        s.Column("f", s.Scalar("float64"), "float64"),
        s.Column("c", s.Choice(("a", "b")), "category"),
        s.Column("t", s.Scalar("datetime", unit="us"), "datetime64[us]"),
    )
)
GOOD = {"n": [1], "f": [1.5], "c": ["a"], "t": [dt.datetime(2020, 1, 1)]}  # noqa: DTZ001


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"n": [128]}, [("$.X.n[0]", "payload.type")]),
        ({"n": [None]}, [("$.X.n[0]", "payload.null")]),
        ({"n": [1.0]}, [("$.X.n", "payload.type")]),
        ({"f": [float("nan")]}, [("$.X.f[0]", "payload.type")]),
        ({"f": [float("inf")]}, [("$.X.f[0]", "payload.type")]),
        ({"f": ["1.5"]}, [("$.X.f", "payload.type")]),
        ({"c": ["c"]}, [("$.X.c[0]", "payload.choice")]),
        ({"c": pa.array(["c"]).dictionary_encode()}, [("$.X.c[0]", "payload.choice")]),
        ({"t": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]}, [("$.X.t", "payload.type")]),
        ({"t": pa.array([2**62], pa.timestamp("s"))}, [("$.X.t", "payload.type")]),
        ({"t": [dt.date(2020, 1, 1)]}, [("$.X.t", "payload.type")]),
        ({"n": [300], "c": ["c"], "f": [None]},
         [("$.X.n[0]", "payload.type"), ("$.X.f[0]", "payload.null"), ("$.X.c[0]", "payload.choice")]),
        ({"n": ["x"], "c": ["c"]}, [("$.X.n", "payload.type"), ("$.X.c[0]", "payload.choice")]),
        ({"more": [1]}, [("$.X.more", "payload.unknown")]),
    ],
)  # fmt: skip
def test_what_does_not_belong_is_named_all_at_once(change, problems):
    assert sorted(problems_of(codec_of(X=SMALL), pa.table({**GOOD, **change}))) == sorted(problems)


def test_missing_and_unknown_columns_are_as_in_json():
    codec = codec_of(X=SMALL)
    lacking = pa.table({"n": [1], "f": [1.5], "t": GOOD["t"]})
    assert problems_of(codec, lacking) == [("$.X.c", "payload.missing")]
    more = pa.table({"more": [1], **GOOD})
    (found,) = decode_arrow(codec_of(X=SMALL, extra_columns="ignore"), stream(more)).positional
    assert list(found) == ["n", "f", "c", "t"]
    twice = pa.Table.from_arrays([*pa.table(GOOD).columns, pa.array([2])], names=[*GOOD, "n"])
    assert ("$", "payload.duplicate") in problems_of(codec, twice)


LEAVES = {
    "int8": (s.Scalar("int8"), "int8", "Int8", "int8"),
    "int64": (s.Scalar("int64"), "int64", "Int64", "int64"),
    "float64": (s.Scalar("float64"), "float64", "Float64", "double"),
    "odd": (s.Scalar("float64", non_finite=True), "float64", "Float64", "double"),
    "bool": (s.Scalar("bool"), "bool", "Boolean", "bool"),
    "string": (s.Scalar("string"), strategies_tables.TEXT_STORAGE, "String", "string"),
    "choice": (s.Choice(("a", "b")), "category", "Enum", "dictionary<int32, string>"),
    "moment": (s.Scalar("datetime", unit="us"), "datetime64[us]", "Datetime(us)", "timestamp[us]"),
}
CELLS = (
    st.none() | st.booleans() | st.integers(-130, 130) | st.integers(2**63 - 2, 2**63)
    | st.floats(-2, 2) | st.just(1e300) | st.sampled_from(["a", "c", "2020-01-01T10:00:00", "2020-01-01T10:00:00Z"])
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_arrow_and_json_give_the_same_verdict(data):
    name = data.draw(st.sampled_from(sorted(LEAVES)))
    flavor = data.draw(st.sampled_from([s.Flavor.PANDAS, s.Flavor.POLARS, s.Flavor.PYARROW]))
    kind, *storages = LEAVES[name]
    storage = dict(zip([s.Flavor.PANDAS, s.Flavor.POLARS, s.Flavor.PYARROW], storages, strict=True))[flavor]
    narrow = flavor is s.Flavor.PANDAS and storage in {"int8", "int64", "bool"}
    null = data.draw(st.booleans()) and not narrow
    table = s.Table((s.Column("x", s.with_nullable(kind, null), storage),), flavor=flavor)
    codec = codec_of(table, X=table)
    cells = data.draw(st.lists(CELLS, min_size=1, max_size=3))
    try:
        arrow = pa.table({"x": cells})
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        assume(False)
    # Arrow has no whole numbers among floats, so JSON has none either here.
    body = {"X": [{"x": cell} for cell in arrow.column("x").to_pylist()]}
    outcomes = []
    for decode in (lambda: codec.decode(body), lambda: decode_arrow(codec, stream(arrow))):
        try:
            outcomes.append(codec.encode(decode().positional[0]))
        except InvalidPayload as refused:
            outcomes.append({problem.code for problem in refused.problems} and "refused")
    assert outcomes[0] == outcomes[1]


NUMBERS = s.Tensor("float32", (None, 2), 0)


def test_arrays_series_and_scalars_each_have_their_place():
    weights = s.Series(s.Scalar("float64"), "Float64", flavor=s.Flavor.POLARS)
    codec = codec_of(X=SMALL, weights=weights, A=NUMBERS, k=s.Parameter("k", INTEGER, required=False, default=3))
    given = {
        "X": pd.DataFrame({"n": np.array([1], "int8"), "f": [1.5], "c": pd.Categorical(["a"], ["a", "b"]),
                           "t": pd.array(GOOD["t"], dtype="datetime64[us]")}),
        "weights": pl.Series([0.5]),
        "A": np.ones((1, 2), "float32"),
        "k": 5,
    }  # fmt: skip
    raw = encode_arrow_arguments(codec, given)
    table = read_stream(raw)
    assert table.column_names == ["X", "weights", "A"]
    assert table.schema.equals(arrow_schema(codec.method))
    assert table.schema.field("A").type == pa.list_(pa.field("item", pa.float32(), nullable=False), 2)
    assert parse_json(table.schema.metadata[PARAMETERS]) == {"k": 5}
    x, found, array, k = decode_arrow(codec, raw).positional
    pd.testing.assert_frame_equal(x, given["X"])
    assert found.equals(given["weights"])
    assert array.dtype == np.float32
    assert array.flags.writeable
    assert (array.tolist(), k) == ([[1, 1]], 5)
    assert problems_of(codec, table.drop_columns("A"), k="5") == [("$.A", "payload.missing"), ("$.k", "payload.type")]
    broken = table.set_column(0, "X", pa.array([1])).append_column("z", pa.array([1]))
    assert problems_of(codec, broken, A=[[1, 2]], q=1) == [
        ("$.q", "payload.unknown"), ("$.z", "payload.unknown"), ("$.X", "payload.type"), ("$.A", "payload.duplicate"),
    ]  # fmt: skip


def test_rows_of_another_number_and_null_travel_as_json():
    optional = s.Parameter("Y", s.with_nullable(NUMBERS), required=False)
    codec = codec_of(X=NUMBERS, Y=optional)
    raw = encode_arrow_arguments(codec, {"X": np.ones((1, 2), "f4"), "Y": np.ones((3, 2), "f4")})
    assert [array.shape for array in decode_arrow(codec, raw).positional] == [(1, 2), (3, 2)]
    raw = encode_arrow_arguments(codec, {"X": np.ones((1, 2), "f4"), "Y": None})
    assert decode_arrow(codec, raw).positional[1] is None
    assert len(decode_arrow(codec, encode_arrow_arguments(codec, {"X": np.ones((1, 2), "f4")})).positional) == 1
    table = s.Parameter("T", s.with_nullable(SMALL), required=False)
    assert decode_arrow(codec_of(T=table), stream(pa.table({}))).positional == ()
    assert decode_arrow(codec_of(T=table), stream(pa.table({}), T=None)).positional == (None,)


def test_lists_are_columns_where_nothing_else_has_rows():
    record = s.Record((s.Field("a", INTEGER), s.Field("b", s.Scalar("string"), required=False)))
    codec = codec_of(items=s.List(record), k=INTEGER)
    items = [{"a": 1}, {"a": 2, "b": "x"}]
    raw = encode_arrow_arguments(codec, {"items": items, "k": 1})
    assert read_stream(raw).column_names == ["items"]
    assert decode_arrow(codec, raw).positional == (items, 1)
    scalars = codec_of(k=INTEGER)
    assert decode_arrow(scalars, encode_arrow_arguments(scalars, {"k": 2**63 - 1})).positional == (2**63 - 1,)
    assert problems_of(scalars, pa.table({"k": [1]})) == [("$.k", "payload.unknown"), ("$.k", "payload.missing")]


def test_what_arrow_cannot_say_is_json_inside_a_column():
    union = s.Union((INTEGER, s.Scalar("string")))
    codec = codec_of(items=s.List(union))
    raw = encode_arrow_arguments(codec, {"items": [1, "a"]})
    field = read_stream(raw).schema.field("items")
    assert (field.type, field.metadata) == (pa.string(), {b"model_envelope.encoding": b"json"})
    assert decode_arrow(codec, raw).positional == ([1, "a"],)
    assert problems_of(codec, pa.table({"items": ["1.5", "2"]})) == [("$.items[0]", "payload.type")]
    assert problems_of(codec, pa.table({"items": ["{"]})) == [("$.items", "payload.type")]


@pytest.mark.parametrize(
    ("item", "values"),
    [
        (s.Map(INTEGER, s.Scalar("float32")), [{1: 0.5}, {}]),
        (s.Map(s.Scalar("string"), s.Any()), [{"a": [1, None]}]),
        (s.Set(s.Scalar("uuid")), [{UUID(int=1)}]),
        (s.Tuple((s.Scalar("date"),) * 2), [(dt.date(2020, 1, 1), dt.date(9999, 1, 1))]),
        (s.Tuple((INTEGER, s.Scalar("string"))), [(1, "a")]),
        (s.Scalar("complex64"), [1 + 2j]),
        (s.Scalar("bytes", nullable=True), [b"a", None]),
        (s.Choice((1, 2)), [2, 1]),
        (s.Choice((True, False)), [True]),
        (s.Choice((1, "a")), ["a", 1]),
        (s.Choice(("2020-01-01",), dtype="date"), [dt.date(2020, 1, 1)]),
        (s.Scalar("time"), [dt.time(1, 2, 3, 4)]),
        (s.Scalar("timedelta"), [dt.timedelta(-1, microseconds=1)]),
        (s.Scalar("decimal"), [Decimal("1.50")]),
        (s.Scalar("float16", non_finite=True), [float("inf"), 0.5]),
        (s.Scalar("null", nullable=True), [None]),
    ],
)
def test_python_values_in_columns_come_back(item, values):
    codec = codec_of(x=s.List(item))
    (found,) = decode_arrow(codec, encode_arrow_arguments(codec, {"x": values})).positional
    assert strategies.same(found, values)


def test_answers_without_rows_stand_in_the_metadata():
    codec = codec_of(s.Record((s.Field("a", INTEGER),)))
    table = read_stream(encode_arrow(codec, {"a": 2}))
    assert (table.num_columns, table.schema.metadata) == (0, {ANSWER: b'{"a":2}'})
    nullable = codec_of(s.with_nullable(NUMBERS))
    assert read_stream(encode_arrow(nullable, None)).schema.metadata == {ANSWER: b"null"}
    assert read_stream(encode_arrow(nullable, np.ones((1, 2), "f4"))).to_pydict() == {"answer": [[1.0, 1.0]]}


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (NUMBERS, np.ones((1, 3), "f4")),
        (NUMBERS, np.full((1, 2), np.nan, "f4")),
        (SMALL, pd.DataFrame({"n": [1]})),
        (INTEGER, "a"),
        (s.Series(INTEGER, "int64", flavor=s.Flavor.PYARROW), pa.array([None], pa.int64())),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_as_for_json(kind, answer):
    codec = codec_of(kind)
    for encode in (lambda: encode_arrow(codec, answer), lambda: codec.encode(answer)):
        with pytest.raises(InvalidAnswer) as caught:
            encode()
        assert caught.value.code == "answer.invalid"
    with pytest.raises(InvalidAnswer):
        encode_arrow_arguments(codec_of(X=kind), {"X": answer})


def test_a_series_with_an_index_travels_as_a_table():
    series = pd.Series([1.5, 2.5], index=pd.Index([1, 2], name="id"), name="price")
    codec = codec_of(type_of(series), x=type_of(series))
    raw = encode_arrow_arguments(codec, {"x": series})
    assert read_stream(raw).to_pydict() == {"id": [1, 2], "price": [1.5, 2.5]}
    assert read_stream(encode_arrow(codec, series)).column_names == ["id", "price"]
    pd.testing.assert_series_equal(decode_arrow(codec, raw).positional[0], series)


WHOLE = stream(pa.table(GOOD))


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"\xff" * 100, WHOLE[:40], WHOLE[: len(WHOLE) // 2], b"ARROW1\0\0" + b"\0" * 40,
     WHOLE.replace(b"a\0\0\0\0\0\0\0", b"\xff\0\0\0\0\0\0\0")],
)  # fmt: skip
def test_a_broken_stream_is_said_to_be_one(raw):
    with pytest.raises(InvalidPayload) as caught:
        decode_arrow(codec_of(X=SMALL), raw)
    assert caught.value.code == "payload.malformed"
    assert "no Arrow IPC stream" in caught.value.message


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_and_never_worse(at, byte):
    raw = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    try:
        decode_arrow(codec_of(X=SMALL), raw)
    except InvalidPayload:
        return


@pytest.mark.parametrize(("raw", "code"), [(b"{", "payload.malformed"), (b"[]", "payload.type")])
def test_metadata_that_is_no_object_is_refused(raw, code):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([], metadata={PARAMETERS: raw})):
        pass
    with pytest.raises(InvalidPayload) as caught:
        decode_arrow(codec_of(k=INTEGER), sink.getvalue().to_pybytes())
    assert caught.value.problems[0].code == code


SQUARE = s.Tensor("float32", (None, 2), 0, non_finite=True)
FREE = s.Tensor("int64", (None, None), 0)


@pytest.mark.parametrize(
    ("kind", "array", "found"),
    [
        (SQUARE, pa.array([[1, 2]], pa.list_(pa.float32(), 2)), [[1, 2]]),
        (SQUARE, pa.array([[1, 2]], pa.large_list(pa.float32())), [[1, 2]]),
        (SQUARE, pa.array([[1, 2]], pa.list_view(pa.float64())), [[1, 2]]),
        (SQUARE, pa.array([[1, None], [float("nan"), float("inf")]], pa.list_(pa.float32())),
         [[1, "nan"], ["nan", "inf"]]),
        (SQUARE, pa.array([[0, 0], [1, 2], [3, 4]], pa.list_(pa.float32(), 2))[1:], [[1, 2], [3, 4]]),
        (SQUARE, pa.array([[0], [1, 2], [3, 4]], pa.list_(pa.float32()))[1:], [[1, 2], [3, 4]]),
        (SQUARE, pa.array([], pa.list_(pa.float32())), []),
        (FREE, pa.array([[1, 2, 3]], pa.list_(pa.int8())), [[1, 2, 3]]),
        (FREE, pa.array([[], []], pa.list_(pa.int64())), [[], []]),
        (s.Tensor("bool", (None,), 0), pa.array([True, False]), [True, False]),
        (s.Tensor("string", (None,), 0), pa.array(["a"]), ["a"]),
        (s.Tensor("float16", (None,), 0), pa.array([1.5], pa.float16()), [1.5]),
    ],
)  # fmt: skip
def test_lists_become_arrays(kind, array, found):
    (value,) = decode_arrow(codec_of(x=kind), stream(pa.table({"x": array}))).positional
    assert value.ndim == len(kind.shape)
    assert [[str(one) if str(one) in {"nan", "inf"} else one for one in row] if isinstance(row, list) else row
            for row in value.tolist()] == found  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "array", "problem"),
    [
        (SQUARE, pa.array([[1, 2, 3]], pa.list_(pa.float32(), 3)), ("$.x", "payload.shape")),
        (SQUARE, pa.array([[1], [1, 2]], pa.list_(pa.float32())), ("$.x", "payload.ragged")),
        (SQUARE, pa.array([None], pa.list_(pa.float32(), 2)), ("$.x[0]", "payload.null")),
        (SQUARE, pa.array([1.5]), ("$.x", "payload.type")),
        (FREE, pa.array([[1, None]]), ("$.x[0][1]", "payload.null")),
        (FREE, pa.array([[1.5]]), ("$.x", "payload.type")),
        (s.Tensor("int64", (2,)), pa.array([1]), ("$.x", "payload.shape")),
        (s.Tensor("int8", (None,)), pa.array([128]), ("$.x[0]", "payload.type")),
    ],
)
def test_lists_that_are_no_such_arrays_are_refused(kind, array, problem):
    assert problems_of(codec_of(x=kind), pa.table({"x": array})) == [problem]


@pytest.mark.parametrize(
    ("series", "arrow"),
    [
        (pl.Series(["a", None], dtype=pl.Categorical), pa.array(["a", None]).dictionary_encode()),
        (pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), pa.array(["b", "a"]).dictionary_encode()),
        (pl.Series([1, 2], dtype=pl.Int8), pa.array([1, 2])),
        (pa.array(["b", "a"]).dictionary_encode(), pa.array(["b", "a"]).dictionary_encode()),
        (pa.array(["b", "a"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()),
        (pa.array([1, 2], pa.int16()), pa.array([1, 2])),
        (pd.Series([1, 2], dtype="int16"), pa.array([1, 2])),
        (pd.Series(["a", None], dtype="string"), pa.array(["a", None])),
        (pd.Series(["a", "b"], dtype=object), pa.array(["a", "b"])),
        (pd.Series(pd.Categorical(["a"], categories=["b", "a"])), pa.array(["a"]).dictionary_encode()),
        (pd.Series(pd.Categorical([2], categories=[1, 2])), pa.array([2]).dictionary_encode()),
        (pd.Series([1, None], dtype="Int8"), pa.array([1, None], pa.int8())),
        (pd.Series([True, None], dtype="boolean"), pa.array([True, None])),
        (pd.Series([1.5, None], dtype="Float32"), pa.array([1.5, None], pa.float32())),
        (pd.Series([b"a"]), pa.array([b"a"])),
        (pd.Series([1.5, 2], dtype="Sparse[float64]"), pa.array([1.5, 2])),
        (pd.Series([1, 2], dtype="int64[pyarrow]"), pa.array([1, 2])),
    ],
)
def test_an_arrow_column_becomes_what_the_model_saw(series, arrow):
    if isinstance(series, pl.Series):
        table = pl.DataFrame({"x": series})
    else:
        table = pd.DataFrame({"x": series}) if isinstance(series, pd.Series) else pa.table({"x": series})
    codec = codec_of(type_of(table), X=type_of(table))
    (found,) = decode_arrow(codec, stream(pa.table({"x": arrow}))).positional
    plain = arrow.to_pylist()
    assert [row["x"] for row in codec.encode(found)] == [
        "YQ==" if value == b"a" else value for value in plain
    ]  # fmt: skip
    if isinstance(table, pd.DataFrame):
        assert found.dtypes.equals(table.dtypes)
    else:
        assert found.schema == table.schema


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("array", [pa.array(np.zeros(10_000)), pa.array(["a"] * 10_000).dictionary_encode()])
def test_a_compressed_stream_is_refused_before_it_is_unpacked(array, compression):
    sink = pa.BufferOutputStream()
    table = pa.table({"x": array})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    with pytest.raises(InvalidPayload, match="without compression"):
        read_stream(sink.getvalue().to_pybytes())
