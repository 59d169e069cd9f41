"""Several requests as one: what is merged is what one body with all rows gives, and each answer has its own rows."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import strategies
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies_python import DEFINITIONS

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.answers import encode_answer
from model_envelope.runtime.codec.merging import merge_arguments, mergeable, row_parameter, rows_in
from model_envelope.runtime.codec.requests import decode_request, merge_requests
from model_envelope.runtime.errors import InvalidPayload

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


strategies.load()


def types_with_rows() -> st.SearchStrategy[s.Type]:
    inner = strategies.types(depth=1)
    rows = (s.Table, s.Series, s.Tensor, s.List)
    return st.one_of([found.types(inner) for (cls, _), found in strategies.REGISTRY.items() if cls in rows])


def codec_of(*parameters: s.Parameter, returns: s.Type | None = None, row_wise: s.Answer = s.Answer.YES) -> MethodCodec:
    return MethodCodec(s.Method(parameters, returns or s.Any(), row_wise=row_wise), DEFINITIONS)


def bodies_of(codec: MethodCodec, values: list, **others) -> list[bytes]:
    return [dump_json(codec.encode_arguments({"x": value, **others})) for value in values]


def count(kind: s.Type, value: object) -> int:
    return value.shape[kind.batch or 0] if isinstance(kind, s.Tensor) else len(value)


@SETTINGS
@given(st.data())
def test_merged_requests_are_what_one_body_with_all_rows_gives(data):
    kind = data.draw(types_with_rows().filter(lambda kind: not kind.nullable), label="type")
    codec = codec_of(s.Parameter("x", kind))
    values = data.draw(st.lists(strategies.values(kind, DEFINITIONS), min_size=1, max_size=4), label="values")
    bodies = bodies_of(codec, values)
    merged = merge_requests(codec, bodies)
    if row_parameter(codec.method) is None:
        assert merged is None
        return
    rows = row_parameter(codec.method)
    given_rows = [parse_json(body)["x"] for body in bodies]
    if any(rows.count_nested(item) == 0 for item in given_rows):
        assert merged is None
        return
    whole = {"x": rows.join_nested(given_rows)}
    try:
        expected = codec.decode(whole)
    except InvalidPayload:
        assert merged is None  # arrays that do not fit together
        return
    assert strategies.same(merged.arguments.positional[0], expected.positional[0])
    assert merged.counts == tuple(rows.count_nested(item) for item in given_rows)
    assert rows_in(codec, merged.arguments) == sum(merged.counts)


@SETTINGS
@given(st.data())
def test_decoded_requests_merge_to_what_one_body_with_all_rows_gives(data):
    kind = data.draw(types_with_rows().filter(lambda kind: not kind.nullable), label="type")
    codec = codec_of(s.Parameter("x", kind))
    assume(row_parameter(codec.method) is not None)
    values = data.draw(st.lists(strategies.values(kind, DEFINITIONS), min_size=1, max_size=4), label="values")
    bodies = bodies_of(codec, values)
    at_once = merge_requests(codec, bodies)
    merged = merge_arguments(codec, [decode_request(codec, body) for body in bodies])
    if merged is None:
        assert at_once is None or isinstance(kind, s.Table | s.Series | s.Tensor)
        return
    assert at_once is not None
    assert strategies.same(merged.arguments.positional[0], at_once.arguments.positional[0])
    assert merged.counts == at_once.counts


FRAME = pd.DataFrame(
    {
        "whole": [1, 2],
        "maybe": pd.array([1, None], dtype="Int64"),
        "city": pd.Categorical(["Ulm", "Oslo"], categories=["Oslo", "Ulm"], ordered=True),
        "since": pd.to_datetime(["2026-01-01", "2026-01-02"]).tz_localize("Europe/Berlin"),
        "text": ["a", "b"],
    }
)


@pytest.mark.parametrize(
    "value",
    [
        FRAME,
        FRAME.set_index("city"),
        FRAME["since"],
        pl.DataFrame({"a": [1.5, None], "b": ["x", "y"]}),
        pa.table({"a": pa.array(["x", "y"]).dictionary_encode(), "b": [1, 2]}),
        pa.record_batch({"a": [1.5, None]}),
        np.array([(1, "a"), (2, "b")], dtype=[("n", ">i4"), ("t", "<U3")]),
        np.array([[1.5, 2.5], [3.5, 4.5]], dtype=">f4"),
        np.array(["a", "longer"]),
        np.array(["2026-01-01", "2026-01-02"], dtype="M8[s]"),
        [1, 2, 3],
    ],
    ids=lambda value: type(value).__name__,
)
def test_requests_merge_whichever_library_the_model_wants(value):
    codec = codec_of(s.Parameter("x", type_of(value)))
    body = dump_json(codec.encode_arguments({"x": value}))
    at_once = merge_requests(codec, [body, body])
    decoded = merge_arguments(codec, [decode_request(codec, body)] * 2)
    assert at_once is not None
    assert decoded is not None
    assert strategies.same(decoded.arguments.positional[0], at_once.arguments.positional[0])
    assert at_once.counts == decoded.counts == (len(value), len(value))


def test_rows_along_another_axis_merge_along_it():
    codec = codec_of(s.Parameter("x", s.Tensor("int64", (2, None), batch=1)))
    merged = merge_requests(codec, [b'{"x": [[1, 2], [3, 4]]}', b'{"x": [[5], [6]]}'])
    assert merged.arguments.positional[0].tolist() == [[1, 2, 5], [3, 4, 6]]
    decoded = [decode_request(codec, raw) for raw in (b'{"x": [[1, 2], [3, 4]]}', b'{"x": [[5], [6]]}')]
    assert merge_arguments(codec, decoded).arguments.positional[0].tolist() == [[1, 2, 5], [3, 4, 6]]
    assert merged.counts == (2, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"x": [{"a": 1}], "k": 1}', b'{"x": [{"a": 1}], "k": 1.0}'),
        (b'{"x": [{"a": 1}], "k": 1}', b'{"x": [{"a": 1}]}'),
        (b'{"x": [{"a": 1}], "k": 1}', b'{"x": [{"a": 1}], "k": [1]}'),
    ],
)
def test_requests_with_other_parameters_are_not_merged(one, other):
    codec = codec_of(
        s.Parameter("x", type_of(pd.DataFrame({"a": [1]}))), s.Parameter("k", s.Any(), required=False, default=None)
    )
    assert merge_requests(codec, [one, other]) is None
    assert merge_arguments(codec, [decode_request(codec, one), decode_request(codec, other)]) is None
    assert merge_requests(codec, [one, one]).arguments.positional[1] == 1
    assert merge_arguments(codec, [decode_request(codec, one)] * 2).arguments.positional[1] == 1


@pytest.mark.parametrize(
    "bad", [b'{"x": [{"a": "1"}]}', b'{"x": []}', b'{"x": {"a": [1]}}', b'{"y": [{"a": 1}]}', b"[1", b"[]"]
)
def test_one_request_that_does_not_fit_merges_with_none(bad):
    codec = codec_of(s.Parameter("x", type_of(pd.DataFrame({"a": [1]}))))
    assert merge_requests(codec, [b'{"x": [{"a": 1}]}', bad]) is None


def test_a_request_without_rows_is_answered_by_itself():
    codec = codec_of(s.Parameter("x", type_of(pd.DataFrame({"a": [1]}))))
    none, one = decode_request(codec, b'{"x": []}'), decode_request(codec, b'{"x": [{"a": 1}]}')
    assert (rows_in(codec, none), rows_in(codec, one)) == (0, 1)
    assert merge_arguments(codec, [one, none]) is None


def test_what_may_be_merged_is_what_was_found_to_be_row_wise():
    table, numbers = type_of(pd.DataFrame({"a": [1]})), s.Tensor("float64", (None,), batch=0)
    one = (s.Parameter("x", table),)
    assert mergeable(s.Method(one, numbers, row_wise=s.Answer.YES))
    assert not mergeable(s.Method(one, numbers, row_wise=s.Answer.UNKNOWN))
    assert not mergeable(s.Method(one, s.Scalar("float64"), row_wise=s.Answer.YES))
    two = (*one, s.Parameter("weights", numbers))
    assert not mergeable(s.Method(two, numbers, row_wise=s.Answer.YES))
    assert merge_requests(codec_of(*two), [b'{"x": [{"a": 1}], "weights": [1.0]}'] * 2) is None


def test_a_column_whose_name_json_escapes_is_read_and_written():
    frame = pd.DataFrame({'the "size"': [1, 2]})
    codec = codec_of(s.Parameter("x", type_of(frame)), returns=type_of(frame))
    body = dump_json(codec.encode_arguments({"x": frame}))
    assert strategies.same(decode_request(codec, body).positional[0], frame)
    assert merge_requests(codec, [body, body]).counts == (2, 2)
    assert parse_json(encode_answer(codec, frame)) == [{'the "size"': 1}, {'the "size"': 2}]
