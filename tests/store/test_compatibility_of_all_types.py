"""Pairs of any types of the grammar: what breaks is shown, and what is compatible has no counter-example."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import types, values
from strategies_python import DEFINITIONS

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.errors import EnvelopeError, InvalidPayload
from model_envelope.store.compatibility import Verdict, compare

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def taking(kind):
    return s.Signature({"predict": s.Method((s.Parameter("x", kind),), s.Scalar("int64"))}, DEFINITIONS)


def admits(signature, body):
    try:
        MethodCodec(signature.methods["predict"], DEFINITIONS).decode(body)
    except InvalidPayload:
        return False
    return True


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(types(), types(), st.data())
def test_any_two_types(old, new, data):
    one, other = taking(old), taking(new)
    found = compare(one, other)
    for change in found.breaking:
        assert admits(one, change.payload)
        assert not admits(other, change.payload)
    if found.verdict is not Verdict.BREAKING:
        try:
            body = MethodCodec(one.methods["predict"], DEFINITIONS).encode_arguments(
                {"x": data.draw(values(old, DEFINITIONS))}
            )
        except EnvelopeError:
            return  # no value of the first type
        assert admits(other, body), f"{body} is a counter-example, and {found} says that there is none"


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(types())
def test_a_type_and_the_same_with_null(kind):
    nullable = s.with_nullable(kind)
    assert compare(taking(kind), taking(kind)).verdict is Verdict.IDENTICAL
    assert not compare(taking(kind), taking(nullable)).breaking
