import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.serving.trace import trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def traced(*values: str):
    return trace_of([(b"host", b"x"), *((b"traceparent", value.encode("latin-1")) for value in values)])


def test_a_request_goes_on_with_the_trace_of_its_caller_under_a_span_of_its_own():
    trace = traced(GOOD)
    assert (trace.trace_id, trace.parent_id, trace.flags) == (TRACE, SPAN, "01")
    headers = dict(trace.response_headers())
    assert headers[b"traceparent"] == f"00-{TRACE}-{trace.span_id}-01".encode()
    assert headers[b"x-request-id"] == trace.request_id.encode()
    assert trace.span_id not in {SPAN, "0" * 16}
    assert trace.request_id != TRACE, "a client may send many requests in one trace"


def test_without_a_trace_one_begins_and_its_id_finds_the_request_too():
    trace = trace_of([])
    assert trace.parent_id is None
    assert trace.flags == "00"
    assert trace.request_id == trace.trace_id
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", dict(trace.response_headers())[b"traceparent"].decode())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        GOOD.upper(),
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0x",
        f"{GOOD}-",
        f"{GOOD}-more",
        f"{GOOD}x",
        f"cc-{TRACE}-{SPAN}-01more",
        f"cc-{TRACE}-{SPAN}",
        f"00_{TRACE}_{SPAN}_01",
        f"{GOOD},{GOOD}",
        f"{GOOD}\n",
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(value):
    trace = traced(value)
    assert trace.trace_id != TRACE
    assert trace.parent_id is None


def test_two_traceparents_are_none():
    assert traced(GOOD, GOOD).parent_id is None
    assert traced(GOOD, GOOD, GOOD).parent_id is None


@pytest.mark.parametrize("more", ["", "-", "-what the future brings", "-a-b"])
def test_later_versions_are_read_as_far_as_this_one_goes(more):
    trace = traced(f"cc-{TRACE}-{SPAN}-01{more}")
    assert (trace.trace_id, trace.parent_id) == (TRACE, SPAN)
    assert dict(trace.response_headers())[b"traceparent"].startswith(b"00-")


@pytest.mark.parametrize(("given_flags", "kept"), [("00", "00"), ("02", "02"), ("ff", "03"), ("fc", "00")])
def test_flags_that_the_standard_does_not_know_are_not_passed_on(given_flags, kept):
    assert traced(f"00-{TRACE}-{SPAN}-{given_flags}").flags == kept


def test_a_client_may_name_its_request_in_a_way_that_cannot_forge_a_log_line():
    assert trace_of([(b"x-request-id", b"order-17/b")]).request_id == "order-17/b"
    for bad in (b"", b"a b", b"x\nPOST /predict 200", b"x" * 129, b"\xff", b'"'):
        assert re.fullmatch("[0-9a-f]{32}", trace_of([(b"x-request-id", bad)]).request_id)


def test_ids_differ_whatever_a_model_does_with_the_random_numbers():
    ids = set()
    for _ in range(100):
        random.seed(0)
        trace = trace_of([])
        ids |= {trace.request_id, trace.span_id}
    assert len(ids) == 200


@given(st.text(string.hexdigits + "-,; x", max_size=70) | st.from_regex(r"[0-9a-f]{2}(-[0-9a-f]{0,34}){3}-?.?"))
def test_whatever_comes_the_answer_is_a_traceparent_and_keeps_a_trace_only_whole(value):
    trace = trace_of([(b"traceparent", value.encode())])
    told = dict(trace.response_headers())[b"traceparent"].decode()
    assert re.fullmatch("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]", told)
    if trace.parent_id is not None:
        assert value.strip(" ")[2:].startswith(f"-{trace.trace_id}-{trace.parent_id}-")
        assert value.strip(" ")[:2] != "ff"


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.integers(0, 255))
def test_every_well_formed_parent_is_kept_unless_it_is_all_zeros(trace_id, span_id, flags):
    trace = traced(f"00-{trace_id.hex()}-{span_id.hex()}-{flags:02x}")
    good = any(trace_id) and any(span_id)
    assert (trace.parent_id == span_id.hex()) is good
    assert (trace.trace_id == trace_id.hex()) is good
