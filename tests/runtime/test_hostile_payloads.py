"""Payloads that are made to hurt: each is refused with a brief error, whatever it claims or repeats."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, parse_json
from model_envelope.runtime.codec.arrow.streams import decode_arrow
from model_envelope.runtime.codec.csv import decode_csv
from model_envelope.runtime.codec.requests import decode_request
from model_envelope.runtime.codec.text import parse_slowly
from model_envelope.runtime.errors import InvalidPayload

LARGE = 10**7
ROW = {"age": 1, "name": "x", "tags": ["a"]}
FRAME = pd.DataFrame({"age": pd.array([1, None], dtype="Int64"), "name": ["x", "y"], "tags": [["a"], []]})


def codec_of(frame):
    return MethodCodec(s.Method((s.Parameter("X", type_of(frame, "$")),), s.Any()), {})


NESTED = codec_of(FRAME)
FLAT = codec_of(FRAME.drop(columns="tags"))


def body(**odd):
    return json.dumps({"X": [{**ROW, **odd}]}).encode()


def with_number(digits):
    return body(age="DIGITS").replace(b'"DIGITS"', digits)


def refused(road, codec, raw):
    with pytest.raises(InvalidPayload) as caught:
        road(codec, raw)
    assert len(str(caught.value)) < 20_000
    assert len(caught.value.problems) <= 100
    assert all(len(str(problem)) < 400 for problem in caught.value.problems)
    return caught.value


JSON = {
    "brackets 10,000 deep": (b'{"X":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested more than 128 deep"),
    "objects 1,000,000 deep": (b'{"a":' * 10**6 + b"1" + b"}" * 10**6, "nested more than 128 deep"),
    "brackets that never close": (b'{"X":' + b"[" * 10**6, "nested more than 128 deep"),
    "brackets in a string that never closes": (b'{"X": "' + b"[" * LARGE, "nested more than 128 deep"),
    "10,000 digits": (with_number(b"1" * 10_000), "an integer has more than"),
    "10,000,000 digits": (with_number(b"1" * LARGE), "an integer has more than"),
    "an exponent beyond all floats": (with_number(b"1e999999999"), "found inf, expected an integer"),
    "an exponent below all floats": (with_number(b"1e-999999999"), "found 0.0, expected an integer"),
    "invalid UTF-8": (body(name="NAME").replace(b"NAME", b"\xff\xfe"), "is no UTF-8"),
    "a surrogate in UTF-8": (body(name="NAME").replace(b"NAME", b"\xed\xa0\x80"), "is no UTF-8"),
    "half of an escaped pair": (body(name="NAME").replace(b"NAME", b"\\ud800"), "half of a surrogate pair"),
    "half of an escaped pair in a key": (b'{"X": [], "\\udfff": 1}', "half of a surrogate pair"),
    "UTF-16": (body().decode().encode("utf-16"), "is no UTF-8"),
    "a large string for a number": (body(age="a" * LARGE), '$.X[0].age: found the string "aaa'),
    "a large string of brackets": (body(age="[" * LARGE), '$.X[0].age: found the string "[[['),
    "a large key": (b'{"X": [{"' + b"a" * LARGE + b'": 1}]}', "$.X[*].aaa"),
    "a large unknown parameter": (b'{"X": [], "' + b"a" * LARGE + b'": 1}', "$.aaa"),
    "rows of nothing but null": (
        b'{"X": [' + b"null," * 10**5 + b"null]}",
        "100001 problems (the first 100 are shown)",
    ),
    "rows without columns": (b'{"X": [' + b"{}," * 10**5 + b"{}]}", "$.X[*].age: found nothing"),
    "nulls in a cell": (body(tags="TAGS").replace(b'"TAGS"', b"[" + b"null," * 10**5 + b"null]"), "100001 problems"),
    "many unknown columns": (
        b'{"X": [{' + b",".join(b'"k%d": 1' % at for at in range(10**5)) + b"}]}",
        "100003 problems (the first 100 are shown)",
    ),
    "columns of unequal lengths": (b'{"X": {"age": [' + b"1," * 10**5 + b'1], "name": ["a"], "tags": [[]]}}', "$.X"),
    "nothing": (b"", "no JSON"),
}


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    "road",
    [decode_request, lambda codec, raw: codec.decode(parse_json(raw))],
    ids=["in rows", "as values"],
)
def test_json_is_refused_in_brief(name, road):
    raw, told = JSON[name]
    assert told in str(refused(road, NESTED, raw))


def test_the_standard_library_says_the_same_of_digits():
    with pytest.raises(InvalidPayload, match="an integer has more than 4,300 digits"):
        parse_slowly(b"[" + b"1" * 10_000 + b"]")


CSV = {
    "nothing": (b"", "it is empty"),
    "a quote that never closes": (b'age,"' + b"a" * LARGE, "never closed"),
    "nothing but quotes": (b'"' * LARGE, "$.X.age: found nothing"),
    "nothing but commas": (b"," * 10**6, 'found the column "" 1000001 times'),
    "nothing but lines": (b"\n" * 10**5, "$.X.age: found nothing"),
    "a large field": (b"age,name\n" + b"a" * LARGE + b",x\n", '$.X[0].age: found the string "aaa'),
    "100,000 digits": (b"age,name\n" + b"1" * 10**5 + b",x\n", '$.X[0].age: found the string "111'),
    "an old encoding": ("age,name\n1,é\n".encode("latin-1"), "byte 11 (line 2) is no UTF-8"),
    "UTF-16": ("age,name\n1,a\n".encode("utf-16"), "byte 0 (line 1) is no UTF-8"),
    "a Parquet file": (b"PAR1\x15\x04\xff" * 1000, "is no UTF-8"),
    "semicolons": (b"age;name\n1;a\n", "age;name"),
    "many bad rows": (b"age,name\n" + b"a,\n" * 10**5, "200000 problems (the first 100 are shown)"),
}


@pytest.mark.parametrize("name", CSV)
def test_csv_is_refused_in_brief(name):
    raw, told = CSV[name]
    assert told in str(refused(decode_csv, FLAT, raw))


def stream(columns):
    sink = io.BytesIO()
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(allow_64bit=True)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def nulls(count):
    return pa.Array.from_buffers(pa.null(), count, [None])


def offsets(*values):
    return pa.array(values, pa.int32()).buffers()[1]


def runs(values, end):
    return pa.RunEndEncodedArray.from_arrays(pa.array([end], pa.int64()), values)


def views(text, count):
    """Give an array whose values all are one and the same long text."""
    view = np.array([len(text), 0, 0, 0], dtype=np.int32)
    view.view(np.uint8)[4:8] = list(text[:4].encode())
    repeated = pa.py_buffer(np.tile(view, count).tobytes())
    return pa.Array.from_buffers(pa.string_view(), count, [None, repeated, pa.py_buffer(text.encode())])


BOMBS = {
    "rows of null": lambda: {"age": nulls(2**40)},
    "two columns of null": lambda: {"age": nulls(2**30), "name": nulls(2**30)},
    "structs without fields": lambda: {"tags": pa.Array.from_buffers(pa.struct([]), 2**40, [None])},
    "bytes without width": lambda: {"name": pa.Array.from_buffers(pa.binary(0), 2**40, [None, pa.py_buffer(b"")])},
    "lists without width": lambda: {
        "tags": pa.Array.from_buffers(pa.list_(pa.int8(), 0), 2**40, [None], children=[pa.array([], pa.int8())])
    },
    "one list of nulls": lambda: {
        "tags": pa.Array.from_buffers(
            pa.list_(pa.null()), 1, [None, offsets(0, 2**31 - 1)], children=[nulls(2**31 - 1)]
        )
    },
    "one wide list of nulls": lambda: {
        "tags": pa.Array.from_buffers(pa.list_(pa.null(), 2**31 - 1), 1, [None], children=[nulls(2**31 - 1)])
    },
    "a run of numbers": lambda: {"age": runs(pa.array([1]), 2**40)},
    "a run of text": lambda: {"name": runs(pa.array(["a" * 10**5]), 10**6)},
    "a dictionary of one text": lambda: {
        "name": pa.DictionaryArray.from_arrays(pa.array([0] * 10**5, pa.int8()), pa.array(["a" * 10**5]))
    },
    "views of one text": lambda: {"name": views("a" * 10**6, 10**4)},
    "views of one list": lambda: {
        "tags": pa.ListViewArray.from_arrays(
            pa.array([0] * 10**4, pa.int32()), pa.array([10**4] * 10**4, pa.int32()), pa.array(["a"] * 10**4)
        )
    },
    "views of views": lambda: {"tags": _views_of_views(6)},
    "a map of nulls": lambda: {"tags": _map_of_nulls(2**31 - 1)},
}


def _views_of_views(levels):
    found = pa.array(["a"] * 100)
    for _ in range(levels):
        size = len(found)
        starts, sizes = pa.array([0] * 100, pa.int32()), pa.array([size] * 100, pa.int32())
        found = pa.ListViewArray.from_arrays(starts, sizes, found)
    return found


def _map_of_nulls(count):
    keys = pa.Array.from_buffers(pa.binary(0), count, [None, pa.py_buffer(b"")])
    entry = pa.struct([pa.field("key", keys.type, nullable=False), pa.field("value", pa.null())])
    entries = pa.Array.from_buffers(entry, count, [None], children=[keys, nulls(count)])
    return pa.Array.from_buffers(pa.map_(keys.type, pa.null()), 1, [None, offsets(0, count)], children=[entries])


@pytest.mark.parametrize("name", BOMBS)
def test_an_arrow_stream_that_unpacks_to_far_more_than_it_is_is_refused(name):
    error = refused(decode_arrow, NESTED, stream(BOMBS[name]()))
    assert error.code == "payload.too-large"
    assert "or more, expected" in error.message


HONEST = {
    "booleans": (pa.array([True, False] * 2**20), s.Scalar("bool")),
    "categories": (pa.array(["a category", "another one"] * 2**19).dictionary_encode(), s.Scalar("string")),
    "runs": (runs(pa.array([7]), 10**5), s.Scalar("int64")),
    "views": (pa.array(["short", "longer than twelve bytes"] * 1000, pa.string_view()), s.Scalar("string")),
    "nulls": (pa.nulls(10**5), s.Scalar("float64", nullable=True)),
    "a slice of lists": (pa.array([[1.0], [2.0, 3.0], [4.0]]).slice(1), s.List(s.Scalar("float64"))),
    "maps": (pa.array([[(1, 1)], []], pa.map_(pa.int64(), pa.int64())), s.Map(s.Scalar("int64"), s.Scalar("int64"))),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_arrow_stream_is_taken(name):
    array, kind = HONEST[name]
    codec = MethodCodec(s.Method((s.Parameter("X", s.Table((s.Column("c", kind, "object"),))),), s.Any()), {})
    found = decode_arrow(codec, stream({"c": array})).positional[0]
    assert len(found) == len(array)


@pytest.mark.parametrize("cut", [0, 1, 40, -20, -1000])
def test_an_arrow_stream_that_is_cut_short_is_malformed(cut):
    whole = stream({"age": [1] * 1000, "name": ["a"] * 1000, "tags": [["a"]] * 1000})
    assert refused(decode_arrow, NESTED, whole[:cut]).code == "payload.malformed"
