import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model_envelope.runtime.codec import dump_json, parse_json, text
from model_envelope.runtime.errors import InvalidPayload

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from(
    [b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"-", b"0", b"1", b".", b"e", b"E+", b"NaN", b"Infinity", b"null",
     b"true", b'"a"', b'"\\ud800"', b'"\\ud83d\\ude00"', b"\xff", b"\xc3\xbc", b" ", b"\n", b"9" * 25, b"1e400",
     b"-0.0", b"5e-324", b"\xef\xbb\xbf", b"\x00", b'{"a":1,"a":2}', b"\\u0000", b"1.7976931348623159e308"]
)  # fmt: skip


def outcome(parse, raw):
    try:
        return repr(parse(raw))
    except InvalidPayload as refused:
        return refused.to_document()


def agree(raw):
    with_fast = outcome(parse_json, raw)
    found = text.fast_parser
    try:
        text.fast_parser = lambda: None
        without = outcome(parse_json, raw)
    finally:
        text.fast_parser = found
    assert with_fast == without
    return with_fast


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_both_parsers_read_the_same_value(value):
    assert agree(json.dumps(value).encode()) == repr(value)
    assert agree(json.dumps(value, ensure_ascii=False).encode()) == repr(value)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=8).map(b"".join) | st.binary(max_size=12))
@example(b"123456789012345678901234567890")
@example(b"-9223372036854775809")
@example(b"18446744073709551616")
@example(b"1e400")
@example(b"-1e400")
@example(b"-0.0")
@example(b"-0")
@example(b'"\\ud800"')
@example(b'{"\\udc00": 1}')
@example(b'"\\ud83d\\u0041"')
@example(b'{"a": 1, "a": 2}')
@example(b"1" * 5000)
@example(b"1" * 4300)
@example(b"1" * 400 + b".5")
@example(b"[" * 128 + b"]" * 128)
@example(b"[" * 129 + b"]" * 129)
@example(b"[NaN]")
@example(b"\xed\xa0\x80")
def test_both_parsers_give_the_same_verdict(raw):
    agree(raw)


def test_the_fast_parser_is_there_when_it_is_tested():
    assert text.fast_parser() is not None


def test_of_duplicate_keys_the_last_wins():
    assert parse_json(b'{"a": 1, "b": 2, "a": 3}') == {"a": 3, "b": 2}


def test_integers_beyond_64_bits_are_exact():
    assert parse_json(b"[123456789012345678901234567890]") == [123456789012345678901234567890]


def test_a_negative_zero_keeps_its_sign():
    assert math.copysign(1, parse_json(b"-0.0")) == -1


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "Expecting value"),
        (b'{"x": NaN}', "NaN is no JSON"),
        (b'"\xff"', "byte 1 is no UTF-8"),
        (b"[1,]", "line 1 column"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b"[" * 10_000, "nested more than 128 deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested more than 128 deep"),
        (b"1" * 10_000, "digits"),
    ],
)
def test_what_is_no_json_is_refused_and_said_why(raw, said):
    with pytest.raises(InvalidPayload) as caught:
        parse_json(raw)
    assert caught.value.code == "payload.malformed"
    assert said in caught.value.message


def test_brackets_in_strings_are_no_nesting():
    deep = '"' + "[{" * 500 + '\\""'
    assert parse_json(f"[{deep}, [{deep}]]".encode())[1] == [json.loads(deep)]


def test_many_shallow_brackets_are_no_nesting():
    assert len(parse_json(b"[" + b"[[[[[[[[[]]]]]]]]]," * 500 + b"1]")) == 501


def test_a_string_of_100_megabytes_is_read_in_bounded_time():
    assert len(parse_json(b'"' + b"a" * 10**8 + b'"')) == 10**8


def test_nan_is_never_written():
    for value in (math.nan, math.inf, [-math.inf]):
        with pytest.raises(ValueError, match="JSON"):
            dump_json(value)
    assert dump_json({"ü": [1, None]}) == '{"ü":[1,null]}'.encode()
