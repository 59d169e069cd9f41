"""Answers as bytes: the JSON of the one codec, whole or in the parts of several requests."""

import numpy as np
import pandas as pd
import pytest
import strategies
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies_python import DEFINITIONS

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.answers import answer_to_nothing, encode_answer, split_answer
from model_envelope.runtime.codec.merging import cut, mergeable
from model_envelope.runtime.errors import InvalidAnswer

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def types_with_rows():
    strategies.load()
    inner = strategies.types(depth=1)
    rows = (s.Table, s.Series, s.Tensor, s.List)
    return st.one_of([found.types(inner) for (cls, _), found in strategies.REGISTRY.items() if cls in rows])


def alike(one, other):
    """Compare JSON values and their types: 1 is not 1.0, but 1e16 is 1e+16."""
    return dump_json(one) == dump_json(other)


@SETTINGS
@given(st.data())
def test_an_answer_is_the_json_of_the_codec(data):
    kind = data.draw(strategies.types(), label="type")
    codec = MethodCodec(s.Method((), kind), DEFINITIONS)
    answer = data.draw(strategies.values(kind, DEFINITIONS), label="answer")
    assert alike(parse_json(encode_answer(codec, answer)), codec.encode(answer))


@SETTINGS
@given(st.data())
def test_the_parts_of_an_answer_are_its_rows(data):
    kind = data.draw(types_with_rows(), label="type")
    method = s.Method((s.Parameter("x", s.List(s.Scalar("int64"))),), kind, row_wise=s.Answer.YES)
    codec = MethodCodec(method, DEFINITIONS)
    assume(mergeable(method) and not (isinstance(kind, s.Tensor) and kind.batch))
    answer = data.draw(strategies.values(kind, DEFINITIONS), label="answer")
    assume(answer is not None)
    rows = codec.encode(answer)
    first = data.draw(st.integers(0, len(rows)), label="rows of the first")
    one, other = split_answer(codec, answer, [first, len(rows) - first])
    assert alike(parse_json(one), rows[:first])
    assert alike(parse_json(other), rows[first:])
    parts = cut(kind, answer, [first, len(rows) - first])
    assert parts is None or [codec.encode(part) for part in parts] == [codec.encode(answer)[:first], rows[first:]]
    assert cut(kind, answer, [first, len(rows)]) is None or not first


def test_an_answer_of_another_length_is_refused():
    codec = MethodCodec(s.Method((), s.Tensor("float64", (None,), batch=0)), {})
    with pytest.raises(InvalidAnswer) as caught:
        split_answer(codec, np.zeros(3), [1, 1])
    assert caught.value.code == "answer.rows"
    assert "2 rows with 3 rows" in caught.value.message


def test_the_parts_of_an_answer_of_arrays_have_their_rows_of_each():
    kind = type_of({"label": ["a", "b", "c"], "score": np.array([0.1, 0.2, 0.3])})
    codec = MethodCodec(s.Method((), kind), {})
    parts = split_answer(codec, {"label": ["a", "b", "c"], "score": np.array([0.1, 0.2, 0.3])}, [1, 2])
    assert list(map(parse_json, parts)) == [
        {"label": ["a"], "score": [0.1]},
        {"label": ["b", "c"], "score": [0.2, 0.3]},
    ]


def test_the_parts_of_an_answer_along_another_axis():
    codec = MethodCodec(s.Method((), s.Tensor("int64", (2, None), batch=1)), {})
    parts = split_answer(codec, np.array([[1, 2, 3], [4, 5, 6]]), [2, 1])
    assert list(map(parse_json, parts)) == [[[1, 2], [4, 5]], [[3], [6]]]


def test_how_a_moment_is_written_does_not_depend_on_its_neighbours():
    moments = pd.Series(pd.to_datetime(["2026-01-01T00:00:00", "2026-01-01T00:00:00.5", None], format="ISO8601"))
    codec = MethodCodec(s.Method((), type_of(moments)), {})
    assert codec.encode(moments) == ["2026-01-01T00:00:00", "2026-01-01T00:00:00.500", None]


def test_numbers_of_numpy_among_python_objects_are_written():
    frame = pd.DataFrame({"x": pd.Series([1.5, 2.5], dtype=object)})
    codec = MethodCodec(s.Method((), type_of(frame)), {})
    found = pd.DataFrame({"x": pd.Series([np.float64(1.5), np.float64(2.5)], dtype=object)})
    assert parse_json(encode_answer(codec, found)) == [{"x": 1.5}, {"x": 2.5}]
    assert split_answer(codec, found, [1, 1]) == [b'[{"x":1.5}]', b'[{"x":2.5}]']


@SETTINGS
@given(st.data())
def test_a_request_without_rows_is_answered_without_rows(data):
    kind = data.draw(types_with_rows(), label="type")
    codec = MethodCodec(s.Method((s.Parameter("x", s.List(s.Any())),), kind, row_wise=s.Answer.YES), DEFINITIONS)
    nothing = answer_to_nothing(codec)
    if nothing is not None:
        assert count_of_first(codec.encode(nothing), kind) == 0


def count_of_first(value, kind):
    return len(value[0]) if isinstance(kind, s.Tensor) and kind.batch and value else len(value)


def test_where_nobody_knows_the_answer_to_nothing_the_model_is_asked():
    table = s.Parameter("x", s.List(s.Scalar("int64")))
    for method in (s.Method((table,), s.List(s.Scalar("int64"))), s.Method((table,), s.Any(), row_wise=s.Answer.YES)):
        assert answer_to_nothing(MethodCodec(method, {})) is None
