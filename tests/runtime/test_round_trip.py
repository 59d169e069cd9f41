"""Whatever a signature admits comes back equal through JSON text; whatever it does not is refused, and said why."""

import typing

import jsonschema
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_python import DEFINITIONS

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.errors import InvalidPayload
from model_envelope.runtime.json_schema import body_schema

SETTINGS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
PYTHON = frozenset({s.Table, s.Series, s.Tensor})


def test_every_type_of_the_grammar_has_strategies():
    strategies.load()
    assert {cls for cls, _ in strategies.REGISTRY} == set(typing.get_args(s.Type))


def codec_of(kind):
    return MethodCodec(s.Method((s.Parameter("x", kind),), kind), DEFINITIONS)


def round_trip(kind, value):
    codec = codec_of(kind)
    body = codec.encode_arguments({"x": value})
    assert dump_json(codec.encode(value)) == dump_json(body["x"])
    found = codec.decode(parse_json(dump_json(body))).positional[0]
    assert strategies.same(found, value), (found, value)
    return body


@SETTINGS
@given(st.data())
def test_what_is_admitted_comes_back_equal(data):
    kind = data.draw(strategies.types(), label="type")
    value = data.draw(strategies.values(kind, DEFINITIONS), label="value")
    round_trip(kind, value)


@SETTINGS
@given(st.data())
def test_the_json_schema_admits_what_is_written(data):
    kind = data.draw(strategies.types(), label="type")
    body = round_trip(kind, data.draw(strategies.values(kind, DEFINITIONS), label="value"))
    schema = body_schema(codec_of(kind).method, DEFINITIONS)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
    | st.sampled_from(["", "a", "NaN", "2020-01-01", "2020-01-01T00:00:00Z", "10:00", "P1D", "aGk=", "1.5", "\ud800"])
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def mutated(draw, value):
    """Change one place of a JSON value: put something else there, leave something out, add something."""
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        rest = draw(st.sampled_from(["inside", "without", "twice"]))
        if rest == "without":
            return value[:at] + value[at + 1 :]
        return [*value[:at], mutated(draw, value[at]), *value[at + 1 :]] if rest == "inside" else [*value, value[at]]
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        rest = draw(st.sampled_from(["inside", "without", "more"]))
        if rest == "without":
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: mutated(draw, value[name])} if rest == "inside" else {**value, name + "?": draw(JSON)}
    return draw(JSON)


def accepts(codec, body):
    try:
        codec.decode(body)
    except InvalidPayload as error:
        refused = error
    else:
        return True
    assert refused.problems
    assert all(problem.path.startswith("$") and problem.expected for problem in refused.problems)
    return False


@SETTINGS
@given(st.data())
def test_what_is_not_admitted_is_refused_with_problems(data):
    kind = data.draw(strategies.types(), label="type")
    codec = codec_of(kind)
    body = codec.encode_arguments({"x": data.draw(strategies.values(kind, DEFINITIONS), label="value")})
    body = mutated(data.draw, body)
    if accepts(codec, body):
        found = codec.decode(body).positional[0]
        round_trip(kind, found)


PLAIN = frozenset({s.List, s.Tuple, s.Record, s.Any, s.Scalar, s.Choice, s.Union})


def is_exact(kind):
    """Tell whether JSON Schema can say all of a type: no text to parse, no sets and no keys."""
    match kind:
        case s.Scalar():
            return kind.dtype in {"null", "bool"} or kind.dtype.startswith(("int", "uint"))
        case s.Record():
            return kind.style is not s.Style.INTERVAL and all(is_exact(field.type) for field in kind.fields)
        case s.List():
            return is_exact(kind.item)
        case s.Tuple():
            return all(map(is_exact, kind.items))
        case s.Union():
            return all(map(is_exact, kind.options))
    return isinstance(kind, s.Any | s.Choice)


@SETTINGS
@given(st.data())
def test_the_json_schema_agrees_with_the_codec(data):
    kind = data.draw(strategies.types(only=PLAIN), label="type")
    codec = codec_of(kind)
    body = codec.encode_arguments({"x": data.draw(strategies.values(kind, DEFINITIONS), label="value")})
    body = {"x": mutated(data.draw, body["x"])}
    valid = jsonschema.Draft202012Validator(body_schema(codec.method, DEFINITIONS)).is_valid(body)
    if accepts(codec, body):
        assert valid
    elif is_exact(kind):
        assert not valid
