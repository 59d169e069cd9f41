"""Whatever arrays, tables and series of the column libraries hold comes back equal, through JSON and through Arrow."""

import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.arrow.streams import decode_arrow, encode_arrow, encode_arrow_arguments

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
HOMES = [
    (s.Tensor, s.Flavor.NUMPY),
    (s.Tensor, s.Flavor.SCIPY),
    (s.Table, s.Flavor.NUMPY),
    (s.Table, s.Flavor.POLARS),
    (s.Table, s.Flavor.PYARROW),
    (s.Series, s.Flavor.NUMPY),
    (s.Series, s.Flavor.POLARS),
    (s.Series, s.Flavor.PYARROW),
]


@pytest.mark.parametrize(
    ("cls", "flavor"), HOMES, ids=lambda part: getattr(part, "value", getattr(part, "__name__", ""))
)
@SETTINGS
@given(data=st.data())
def test_values_come_back_equal_by_json_and_by_arrow(cls, flavor, data):
    strategies.load()
    kind = data.draw(strategies.REGISTRY[cls, flavor].types(st.nothing()), label="type")
    value = data.draw(strategies.values(kind), label="value")
    codec = MethodCodec(s.Method((s.Parameter("answer", kind),), kind), {})
    body = codec.encode_arguments({"answer": value})
    (found,) = codec.decode(parse_json(dump_json(body))).positional
    assert strategies.same(found, value), (found, value)
    (found,) = decode_arrow(codec, encode_arrow_arguments(codec, {"answer": value})).positional
    assert strategies.same(found, value), (found, value)
    if not (isinstance(kind, s.Tensor) and (not kind.shape or kind.layout or kind.batch)):
        (found,) = decode_arrow(codec, encode_arrow(codec, value)).positional
        assert strategies.same(found, value), (found, value)
