"""Tables and series of Polars and pyarrow: how they look in JSON, and what is refused."""

import datetime as dt
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.codec.base import Definitions, codec_for
from model_envelope.runtime.codec.tables.storages import read_storage, word
from model_envelope.runtime.errors import InvalidAnswer, InvalidSignature, Problems

BERLIN = dt.datetime(2020, 6, 1, 8, 0, 0, 5, tzinfo=dt.UTC)
FRAME = pl.DataFrame(
    {
        "number": pl.Series([1.5, float("nan")]),
        "price": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
        "kind": pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])),
        "zone": pl.Series([BERLIN, None]).dt.convert_time_zone("Europe/Berlin"),
        "nano": pl.Series([1, None], dtype=pl.Int64).cast(pl.Time()),
        "list": [[{"a": dt.timedelta(seconds=-1)}], []],
        "pair": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
        "blob": [b"a", None],
    }
)
ROWS = [
    {"number": 1.5, "price": "1.50", "kind": "b", "zone": "2020-06-01T10:00:00.000005+02:00",
     "nano": "00:00:00.000000001", "list": [{"a": "P-1DT23H59M59S"}], "pair": [1, 2], "blob": "YQ=="},
    {"number": "NaN", "price": None, "kind": "a", "zone": None, "nano": None, "list": [], "pair": [3, 4],
     "blob": None},
]  # fmt: skip


def test_how_a_polars_frame_looks_in_json():
    codec = MethodCodec(s.Method((s.Parameter("X", type_of(FRAME)),), type_of(FRAME)), {})
    written = codec.encode(FRAME)
    assert written == ROWS
    (found,) = codec.decode({"X": {name: [row[name] for row in ROWS] for name in reversed(FRAME.columns)}}).positional
    assert_frame_equal(found, FRAME)
    split = {"columns": FRAME.columns, "data": [list(row.values()) for row in ROWS]}
    assert_frame_equal(codec.decode({"X": split}).positional[0], FRAME)


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"number": None}, "number", "payload.null"),
        ({"number": "inf"}, "number", "payload.type"),
        ({"price": "1.505"}, "price", "payload.type"),
        ({"price": "123456789.00"}, "price", "payload.type"),
        ({"price": 1.5}, "price", "payload.type"),
        ({"kind": "c"}, "kind", "payload.choice"),
        ({"zone": "2020-06-01T10:00:00"}, "zone", "payload.type"),
        ({"zone": "2020-06-01T10:00:00.0000001Z"}, "zone", "payload.type"),
        ({"nano": "24:00"}, "nano", "payload.type"),
        ({"list": [{"b": None}]}, "list[0].b", "payload.unknown"),
        ({"list": {}}, "list", "payload.type"),
        ({"list": [None]}, "list[0]", "payload.null"),
        ({"pair": [1]}, "pair", "payload.length"),
        ({"pair": [1, 128]}, "pair[1]", "payload.type"),
        ({"blob": "a"}, "blob", "payload.type"),
    ],
)
@pytest.mark.parametrize("convert", [lambda frame: frame, pl.DataFrame.to_arrow])
def test_what_does_not_belong_is_named(change, path, code, convert):
    table = convert(FRAME)
    problems = Problems()
    codec_for(type_of(table), Definitions()).decode([{**ROWS[0], **change}, ROWS[1]], "$.X", problems)
    assert (f"$.X[0].{path}", code) in [(problem.path, problem.code) for problem in problems.items]


@pytest.mark.parametrize(
    ("array", "json"),
    [
        (pa.array([1, None], pa.timestamp("ns", "+05:30")), ["1970-01-01T05:30:00.000000001+05:30", None]),
        (pa.array([1], pa.timestamp("s", "Unknown/Zone")), ["1970-01-01T00:00:01+00:00"]),
        (pa.array([-62_135_596_800], pa.timestamp("s", "America/New_York")), ["0001-01-01T00:00:00+00:00"]),
        (pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), [{"a": 1}, {}]),
        (pa.array([[(1, None)]], pa.map_(pa.int64(), pa.string())), [[[1, None]]]),
        (pa.array([dt.date(2020, 1, 1)]).dictionary_encode(), ["2020-01-01"]),
        (pa.array([b"\0" * 15 + b"\1"], pa.uuid()), ["00000000-0000-0000-0000-000000000001"]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([Decimal("9" * 47 + ".125")], pa.decimal256(50, 3)), ["9" * 47 + ".125"]),
    ],
)
def test_how_an_arrow_array_looks_in_json(array, json):
    problems = Problems()
    codec = codec_for(type_of(array), Definitions())
    assert codec.encode(array, "$", problems) == json
    assert codec.decode(json, "$", problems).equals(array)
    assert not problems


@pytest.mark.parametrize(
    ("array", "value", "code"),
    [
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), [[]], "payload.type"),
        (pa.array([[(1, 1)]], pa.map_(pa.int64(), pa.int64())), [[[1, 1], [1, 2]]], "payload.duplicate"),
        (pa.array([[(1, 1)]], pa.map_(pa.int64(), pa.int64())), [[[1]]], "payload.type"),
        (pa.array([dt.date(2020, 1, 1)]).dictionary_encode(), ["2020-01-02"], "payload.choice"),
        (pa.array([b"ab"], pa.binary(2)), ["YWJj"], "payload.length"),
        (pa.array([{"a": 1}]), [{}], "payload.missing"),
        (pa.array([{"a": 1}]), [1], "payload.type"),
        (pa.array([1]), {"a": 1}, "payload.type"),
        (pa.array([1]), None, "payload.null"),
        (pa.array([1], pa.duration("ns")), ["P200000D"], "payload.type"),
        (pa.array([Decimal(1)], pa.decimal256(50, 3)), ["9" * 45 + ".1255"], "payload.type"),
        (pa.array([Decimal(1)], pa.decimal256(50, 3)), ["9" * 48 + ".5"], "payload.type"),
        (pa.array([Decimal(1)], pa.decimal128(12, 3)), ["1E+999999999"], "payload.type"),
        (pa.array([1], pa.duration("ns")), ["P"], "payload.type"),
    ],
)
def test_a_bad_arrow_array_is_refused(array, value, code):
    problems = Problems()
    codec_for(type_of(array), Definitions()).decode(value, "$", problems)
    assert [problem.code for problem in problems.items] == [code]


ONE = pl.DataFrame({"a": [1]})


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (type_of(ONE), ONE.to_arrow()),
        (type_of(ONE), pl.DataFrame({"b": [1]})),
        (type_of(ONE), pl.DataFrame({"a": [1.5]})),
        (type_of(ONE), pl.DataFrame({"a": [None]}, schema={"a": pl.Int64})),
        (type_of(ONE["a"]), [1]),
        (type_of(pa.array([1])), pa.chunked_array([[1]])),
        (type_of(pa.array([1])), pa.array([1.5])),
        (type_of(ONE.to_arrow()), ONE),
        (type_of(pa.array([1], pa.timestamp("s"))), pa.array([2**62], pa.timestamp("s"))),
        (type_of(pa.array([dt.date(2020, 1, 1)])), pa.array([2**30], pa.date32())),
        (type_of(pa.array(["a"]).dictionary_encode()), pa.array(["b"]).dictionary_encode()),
        (type_of(pa.array([dt.date(2020, 1, 1)]).dictionary_encode()), pa.array([dt.date.max]).dictionary_encode()),
        (type_of(pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))),
         pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))),
        (type_of(pa.array([86_399], pa.time32("s"))), pa.array([86_400], pa.time32("s"))),
    ],
)  # fmt: skip
def test_another_table_is_no_answer(kind, answer):
    with pytest.raises(InvalidAnswer):
        MethodCodec(s.Method((), kind), {}).encode(answer)


def test_chunks_and_their_dictionaries_are_one():
    chunked = pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()])
    kind = type_of(chunked)
    assert kind.item == s.Choice(("a", "b"))
    assert codec_for(kind, Definitions()).encode(chunked, "$", Problems()) == ["a", "b"]
    empty = pa.chunked_array([], pa.int64())
    assert codec_for(type_of(empty), Definitions()).encode(empty, "$", Problems()) == []


@pytest.mark.parametrize("text", ["", "a<", "a>", "list<>", "a b", "struct<a: >", '"', "a<b,>", "<" * 5000])
def test_what_is_no_dtype_is_refused(text):
    with pytest.raises(InvalidSignature):
        read_storage(text)


def test_odd_names_stand_in_quotes():
    name = 'a "b": <c>, not null'
    read = read_storage(f"struct<{word(name)}: list<int64 not null> not null, b: fixed_size_list<item: int8>[2]>")
    assert read.named(name).required
    assert read.named(name).part(0).required
    assert read.named("b").part(1).name == "2"
    assert (read.named("c"), read.part(7)) == (None, None)


@pytest.mark.parametrize(
    ("flavor", "storage"),
    [
        (s.Flavor.POLARS, "Wrong"),
        (s.Flavor.PYARROW, "wrong"),
        (s.Flavor.PYARROW, "timestamp[years]"),
        (s.Flavor.PYARROW, "decimal128(99)"),
    ],
)
def test_a_dtype_that_the_library_lacks_is_refused(flavor, storage):
    with pytest.raises(InvalidSignature) as caught:
        codec_for(s.Series(s.Scalar("int64"), storage, flavor=flavor), Definitions())
    assert caught.value.code == "signature.storage"


def test_a_column_of_objects_is_refused():
    kind = s.Series(
        s.Record((s.Field("a", s.Scalar("int64")),), cls="m:C"), "struct<a: int64>", flavor=s.Flavor.PYARROW
    )
    with pytest.raises(InvalidSignature):
        codec_for(kind, Definitions())
