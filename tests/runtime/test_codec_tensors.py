import time

import numpy as np
import pytest
import scipy.sparse as sp

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, codec_for, dump_json, parse_json
from model_envelope.runtime.codec.arrays.sparse import LARGEST_SIDE
from model_envelope.runtime.codec.base import Definitions
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload, InvalidSignature, Problems


def written(array):
    problems = Problems()
    found = codec_for(type_of(array), Definitions()).encode(array, "$", problems)
    assert not problems
    return found


def problems_of(kind, value):
    problems = Problems()
    codec_for(kind, Definitions()).decode(value, "$", problems)
    return [(problem.path, problem.code) for problem in problems.items]


@pytest.mark.parametrize(
    ("array", "json"),
    [
        (np.array([2**63 - 1, -(2**63)]), [2**63 - 1, -(2**63)]),
        (np.array([2**64 - 1], "u8"), [2**64 - 1]),
        (np.array([np.nan, np.inf, 1.5]), [None, "Infinity", 1.5]),
        (np.array([1 + 2j, complex(np.nan, 0)]), [[1.0, 2.0], [None, 0.0]]),
        (np.array(1j), [0.0, 1.0]),
        (np.array(["2020-01-02T03:04:05.000000001", "NaT"], "M8[ns]"), ["2020-01-02T03:04:05.000000001", None]),
        (np.array(["2020-02"], "M8[M]"), ["2020-02"]),
        (np.array(["1969-12-31T23:59:59.5"], "M8[ms]"), ["1969-12-31T23:59:59.500"]),
        (np.array([90_000_000_001, -1], "m8[ns]"), ["P0DT0H1M30.000000001S", "P-1DT23H59M59.999999999S"]),
        (np.array([3], "m8[Y]"), ["P3Y"]),
        (np.array([b"\x00a"]), ["AGE="]),
        (np.zeros((2, 0)), [[], []]),
        (np.array([(1, "a")], [("x", "i4"), ("y", "U1")]), [{"x": 1, "y": "a"}]),
        (sp.csr_array(np.array([[0, 2], [3, 0]])), {"shape": [2, 2], "row": [0, 1], "col": [1, 0], "data": [2, 3]}),
    ],
)
def test_how_an_array_looks_in_json(array, json):
    assert written(array) == json
    assert parse_json(dump_json(written(array))) == json


NUMBERS = s.Tensor("int64", (None, 2))


@pytest.mark.parametrize(
    ("kind", "value", "problems"),
    [
        (NUMBERS, [[1, 2], [3], [4, 5, 6]], [("$", "payload.ragged")]),
        (NUMBERS, [1, 2], [("$[0]", "payload.type"), ("$[1]", "payload.type")]),
        (NUMBERS, [[1, "2"], [3.0, 4], [True, None]],
         [("$[0][1]", "payload.type"), ("$[1][0]", "payload.type"), ("$[2][0]", "payload.type"),
          ("$[2][1]", "payload.null")]),
        (NUMBERS, [[[1, 2]]], [("$[0][0]", "payload.shape")]),
        (NUMBERS, [[1, [2]]], [("$[0][1]", "payload.shape")]),
        (s.Tensor("int8", (None,)), [127, 128], [("$[1]", "payload.type")]),
        (s.Tensor("float32", (None,)), [1e39, 1], [("$[0]", "payload.type")]),
        (s.Tensor("float64", (None,)), [None], [("$[0]", "payload.null")]),
        (s.Tensor("float64", (None,)), ["NaN"], [("$[0]", "payload.type")]),
        (s.Tensor("float64", (None,), non_finite=True), ["1.5"], [("$[0]", "payload.type")]),
        (s.Tensor("float64", (None,)), [10**400], [("$[0]", "payload.type")]),
        (s.Tensor("complex128", (None,)), [[1, 2], [1]], [("$", "payload.ragged")]),
        (s.Tensor("datetime", (None,), storage="datetime64[s]"), ["2020-01-01T00:00:00.5", "2020-01-01"],
         [("$[0]", "payload.type"), ("$[1]", "payload.type")]),
        (s.Tensor("datetime", (None,), storage="datetime64[ns]"), ["1600-01-01T00:00:00"], [("$[0]", "payload.type")]),
        (s.Tensor("datetime", (None,), storage="datetime64[M]"), ["2020-13"], [("$[0]", "payload.type")]),
        (s.Tensor("timedelta", (None,), storage="timedelta64[h]"), ["PT30M", "3"],
         [("$[0]", "payload.type"), ("$[1]", "payload.type")]),
        (s.Tensor("timedelta", (None,), storage="timedelta64[Y]"), ["P3M"], [("$[0]", "payload.type")]),
        (s.Tensor("string", (None,), storage="<U2"), ["a\0"], [("$[0]", "payload.type")]),
        (s.Tensor("string", (None,)), ["\ud800"], [("$[0]", "payload.type")]),
        (s.Tensor("bytes", (None,), storage="|S2"), ["?"], [("$[0]", "payload.type")]),
        (s.Tensor("int64", (None,), storage="object"), [1, 1.5], [("$[1]", "payload.type")]),
        (s.Tensor("int64", (3,)), [1], [("$", "payload.shape")]),
        (s.Tensor("int64", ()), [1], [("$", "payload.shape")]),
    ],
)  # fmt: skip
def test_a_bad_array_is_refused_with_every_place(kind, value, problems):
    assert problems_of(kind, value) == problems


def test_longer_texts_than_the_sealed_ones_are_read_whole():
    codec = codec_for(s.Tensor("string", (None,), storage="<U2"), Definitions())
    assert codec.decode(["abcd"], "$", Problems()).tolist() == ["abcd"]


def sparse(**fields):
    return {"shape": [2, 3], "row": [0], "col": [2], "data": [1.5], **fields}


MATRIX = s.Tensor("float64", (None, 3), flavor=s.Flavor.SCIPY, layout="csr", storage="array")


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        (sparse(shape=[2, 4]), [("$.shape", "payload.shape")]),
        (sparse(shape=[-1, 3]), [("$.shape", "payload.shape")]),
        (sparse(shape=[10**12, 3]), [("$.shape[0]", "payload.shape")]),
        (sparse(shape=None), [("$.shape", "payload.shape")]),
        (sparse(row=[2]), [("$.row[0]", "payload.range")]),
        (sparse(col=[3]), [("$.col[0]", "payload.range")]),
        (sparse(col=[-1]), [("$.col[0]", "payload.range")]),
        (sparse(row=[0, 1]), [("$", "payload.ragged")]),
        (sparse(data=["x"], row=[0.5]), [("$.row[0]", "payload.type"), ("$.data[0]", "payload.type")]),
        (sparse(data=7), [("$.data", "payload.type")]),
        ({"shape": [2, 3], "row": [], "col": [], "values": []},
         [("$.data", "payload.missing"), ("$.values", "payload.unknown")]),
        ([[1, 2]], [("$", "payload.shape")]),
    ],
)  # fmt: skip
def test_a_bad_sparse_matrix_is_refused(value, problems):
    assert problems_of(MATRIX, value) == problems


def test_a_sparse_matrix_may_be_written_dense():
    found = codec_for(MATRIX, Definitions()).decode([[0, 1.5, 0]], "$", Problems())
    assert isinstance(found, sp.csr_array)
    assert found.toarray().tolist() == [[0, 1.5, 0]]
    assert LARGEST_SIDE < 2**31


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (NUMBERS, np.zeros((1, 2))),
        (NUMBERS, np.zeros((1, 3), int)),
        (NUMBERS, [[1, 2]]),
        (s.Tensor("float64", (None,)), np.array([np.nan])),
        (s.Tensor("float64", (None,)), np.zeros(1, "f4")),
        (s.Tensor("datetime", (None,), storage="datetime64[s]"), np.array([1], "M8[ms]")),
        (s.Tensor("string", (None,), storage="<U2"), np.array([b"a"])),
        (s.Tensor("string", (None,)), np.array(["a"])),
        (s.Tensor("string", (None,)), np.array([1], object)),
        (s.Tensor("int64", (None,), storage="object"), np.array([1])),
        (MATRIX, sp.csc_array(np.zeros((1, 3)))),
        (MATRIX, sp.csr_array(np.zeros((1, 3), int))),
        (type_of(np.zeros(1, [("a", "i4")])), np.zeros(1, [("a", "i8")])),
        (type_of(np.zeros(1, [("a", "i4")])), np.zeros(1)),
        (s.Series(s.List(s.Scalar("int64")), "object", flavor=s.Flavor.NUMPY), [[1]]),
    ],
)
def test_another_array_is_no_answer(kind, answer):
    with pytest.raises(InvalidAnswer) as caught:
        MethodCodec(s.Method((), kind), {}).encode(answer)
    assert caught.value.problems[0].path.startswith("$")


STRUCTURED = type_of(np.zeros(1, [("a", "i2"), ("s", "U2"), ("n", [("x", "i4")]), ("p", "f4", (2,))]))


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"a": 2**15}, [("$[0].a", "payload.type")]),
        ({"s": "abc"}, [("$[0].s", "payload.length")]),
        ({"n": {"y": 1}}, [("$[0].n", "payload.type")]),
        ({"n": {"x": "1"}}, [("$[0].n.x", "payload.type")]),
        ({"p": [1]}, [("$[0].p", "payload.shape")]),
        ({"p": [1, "2"]}, [("$[0].p[1]", "payload.type")]),
    ],
)
def test_a_bad_structured_array_is_refused(change, problems):
    good = {"a": 1, "s": "ab", "n": {"x": 1}, "p": [1, 2]}
    assert problems_of(STRUCTURED, [good]) == []
    assert problems_of(STRUCTURED, [good | change]) == problems


@pytest.mark.parametrize(
    "kind",
    [
        s.Tensor("uuid", (None,)),
        s.Tensor("datetime", (None,), storage="datetime64[7s]"),
        s.Tensor("string", (None,), storage="StringDType(na_object=7)"),
        s.Tensor("int64", (None,), flavor=s.Flavor.SCIPY, layout="csr"),
        s.Table((s.Column("a", s.Scalar("int64"), "wrong"),), flavor=s.Flavor.NUMPY),
    ],
)
def test_a_signature_of_no_array_is_refused(kind):
    with pytest.raises(InvalidSignature) as caught:
        codec_for(kind, Definitions()).decode([], "$", Problems())
    assert caught.value.code == "signature.storage"


def test_depth_and_size_cost_no_more_than_the_payload():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    began = time.perf_counter()
    assert problems_of(NUMBERS, deep)[0][1] == "payload.shape"
    assert problems_of(MATRIX, deep)[0][1] == "payload.shape"
    wide = [[1, 2]] * 200_000 + [["x", 2]]
    assert problems_of(NUMBERS, wide) == [("$[200000][0]", "payload.type")]
    assert time.perf_counter() - began < 20
    with pytest.raises(InvalidPayload):
        parse_json(b"[" * 10_000 + b"]" * 10_000)
