"""What is wrong with a request can be told without its values: what they are stays, and where they stand."""

import pyarrow as pa
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_python import DEFINITIONS

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.codec.arrow.streams import decode_arrow
from model_envelope.runtime.codec.base import describe
from model_envelope.runtime.codec.csv import decode_csv
from model_envelope.runtime.errors import EnvelopeError, InvalidPayload

SETTINGS = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SECRETS = ("hunter2", "31415926", "2718.2818")
LEAVES = st.sampled_from(["hunter2", "hunter2hunter2", 31415926, -31415926, 2718.28182, 10**30 + 31415926, None, True])
KEYS = st.sampled_from(["a", "b", "x", "type", "value", "columns", "data", "shape", "row", "col", "left", "right"])
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=6
)


def told(error: EnvelopeError) -> str:
    return " ".join([error.message, *(str(problem.redacted()) for problem in error.problems)])


def refusal(codec: MethodCodec, body: object) -> InvalidPayload:
    """Give why a body is refused; an error that says nothing where it is not."""
    try:
        codec.decode(body)
    except InvalidPayload as error:
        return error
    return InvalidPayload("", code="")


def with_secrets(draw, value):
    """Put secrets in some places of a JSON value."""
    if draw(st.integers(0, 4)) == 0:
        return draw(JSON)
    if isinstance(value, list):
        return [with_secrets(draw, item) for item in value]
    return {name: with_secrets(draw, item) for name, item in value.items()} if isinstance(value, dict) else value


@SETTINGS
@given(st.data())
def test_no_value_of_a_request_stands_in_what_is_told(data):
    kind = data.draw(strategies.types(), label="type")
    codec = MethodCodec(s.Method((s.Parameter("x", kind),), s.Any()), DEFINITIONS)
    body = codec.encode_arguments({"x": data.draw(strategies.values(kind, DEFINITIONS), label="value")})
    error = refusal(codec, {"x": with_secrets(data.draw, body["x"])})
    expected = " ".join(problem.expected for problem in error.problems)
    assert not [secret for secret in SECRETS if secret in told(error) and secret not in expected]


TABLE = s.Table(
    (
        s.Column("count", s.Scalar("int8"), "int8"),
        s.Column("city", s.Choice(("Graz", "Linz")), "category"),
        s.Column("day", s.Scalar("date"), "object"),
    )
)


@pytest.mark.parametrize("row", [(31415926, "hunter2", "hunter2"), (2718.28182, "hunter2", "2718.2818")])
def test_csv_and_arrow_tell_no_value_either(row):
    codec = MethodCodec(s.Method((s.Parameter("x", TABLE),), s.Any()), {})
    names = [column.name for column in TABLE.columns]
    with pytest.raises(InvalidPayload) as from_csv:
        decode_csv(codec, "\r\n".join([",".join(names), ",".join(map(str, row))]).encode())
    sink = pa.BufferOutputStream()
    table = pa.table({name: [value] for name, value in zip(names, row, strict=True)})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InvalidPayload) as from_arrow:
        decode_arrow(codec, sink.getvalue().to_pybytes())
    for caught in (from_csv, from_arrow):
        assert len(caught.value.problems) == 3
        assert not [secret for secret in SECRETS if secret in told(caught.value)]
        assert "hunter2" in str(caught.value), "the command line shows them"
    assert "a string of 7 characters (line 2)" in told(from_csv.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("secret", "a string of 6 characters"),
        ("s", "a string of 1 character"),
        (12345, "an integer"),
        (1.5, "a number"),
        (True, "a boolean"),
        (None, "null"),
        ([1, 2], "an array of 2"),
        ({"a": 1}, "an object"),
    ],
)
def test_what_a_value_is_can_be_told_without_it(value, kind):
    assert describe(value).kind == kind
