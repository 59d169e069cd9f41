"""How bodies are read off the network, and what headers ask for."""

import asyncio
import gzip

import pytest
from starlette.requests import ClientDisconnect

from model_envelope.runtime import signature as s
from model_envelope.serving import media
from model_envelope.serving.accepting import weighted
from model_envelope.serving.bodies import read_body
from model_envelope.serving.compression import MEMBERS, compress, decompress, encodings, wanted_encoding
from model_envelope.serving.media import Format, Speaker, answer_format, request_format
from model_envelope.serving.problems import HttpProblem

ALL = tuple(Format)
ARROW = b"application/vnd.apache.arrow.stream"
NUMBERS = s.Method((s.Parameter("x", s.List(s.Scalar("float64"))),), s.Map(s.Scalar("string"), s.Scalar("float64")))
TABLE = s.Method(
    (s.Parameter("x", s.Table((s.Column("a", s.Scalar("int64"), "int64"),))),), s.Series(s.Scalar("int64"), "int64")
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", Format.JSON),
        (b"*/*", Format.JSON),
        (b"application/*", Format.JSON),
        (b"text/*", Format.CSV),
        (b"text/html, application/xhtml+xml, */*;q=0.8", Format.JSON),
        (b"text/csv, application/json", Format.JSON),
        (b"text/csv, application/json;q=0.9", Format.CSV),
        (b"application/json;q=0, */*", Format.CSV),
        (b"application/*;q=0.1, application/vnd.apache.arrow.stream, text/csv;q=0.5", Format.ARROW),
        (b"TEXT/CSV;header=present", Format.CSV),
        (b"nonsense", Format.JSON),
    ],
)
def test_an_answer_goes_as_what_is_wanted_most(accept, expected):
    assert answer_format(accept, ALL) is expected


@pytest.mark.parametrize("accept", [b"image/png", b"application/json;q=0", b"text/csv;q=0, */*;q=0"])
def test_an_answer_that_nobody_wants_is_not_made(accept):
    with pytest.raises(HttpProblem) as caught:
        answer_format(accept, ALL)
    assert (caught.value.status, caught.value.code) == (406, "request.not-acceptable")


def test_a_method_speaks_csv_where_its_values_are_tables():
    json_only, both = Speaker(NUMBERS), Speaker(TABLE)
    assert Format.CSV not in json_only.reads + json_only.writes
    assert Format.CSV in both.reads
    assert Format.CSV in both.writes
    with pytest.raises(HttpProblem) as caught:
        json_only.speech([(b"content-type", b"text/csv")])
    assert caught.value.status == 415
    assert "application/json" in caught.value.headers["Accept"]


def test_without_pyarrow_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(media, "has_arrow", lambda: False)
    speaker = Speaker(TABLE)
    for headers in ([(b"content-type", ARROW)], [(b"accept", ARROW)]):
        with pytest.raises(HttpProblem) as caught:
            speaker.speech(headers)
        assert "--arrow" in caught.value.detail
    assert caught.value.status == 406


def test_what_was_asked_once_is_remembered_and_memory_has_an_end():
    speaker = Speaker(TABLE)
    headers = [(b"content-type", b"application/json"), (b"accept", b"text/csv"), (b"accept", b"*/*;q=0.1")]
    assert speaker.speech(headers) is speaker.speech(list(headers))
    assert speaker.speech(headers).writes is Format.CSV
    for at in range(2000):
        speaker.speech([(b"accept", b"*/*, text/x%d" % at)])
    assert len(speaker._known) == media.REMEMBERED


def test_a_character_set_other_than_utf_8_is_refused():
    assert request_format(b'Text/CSV; Charset="UTF-8"', ALL) is Format.CSV
    with pytest.raises(HttpProblem) as caught:
        request_format(b"text/csv; charset=utf-16", ALL)
    assert caught.value.code == "request.charset"


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        (b"", None),
        (b"identity", None),
        (b"br", None),
        (b"gzip", "gzip"),
        (b"gzip, deflate, br, zstd", encodings()[0]),
        (b"gzip;q=1.0, zstd;q=0.5", "gzip"),
        (b"*", encodings()[0]),
        (b"gzip;q=0", None),
        (b"gzip;q=0.5, identity", None),
    ],
)
def test_an_answer_is_packed_as_it_is_wanted(accept_encoding, expected):
    assert wanted_encoding(accept_encoding) == expected


def test_weights_that_are_none_count_as_one():
    assert weighted(b"a;q=x, b;q=2, c;q=0.5,, d; q = 0") == [("a", 1.0), ("b", 1.0), ("c", 0.5), ("d", 0.0)]


@pytest.mark.parametrize("encoding", encodings())
def test_what_is_packed_comes_back_and_what_is_cut_off_is_told(encoding):
    body = bytes(range(256)) * 20_000
    packed = compress(body, encoding)
    assert decompress(packed, encoding, len(body)) == body
    assert decompress(packed + packed, encoding, 2 * len(body)) == body + body
    with pytest.raises(HttpProblem, match="ends too early"):
        decompress(packed[:-8], encoding, len(body))
    with pytest.raises(HttpProblem, match="not what it says"):
        decompress(packed + b"garbage garbage", encoding, len(body))


@pytest.mark.parametrize("encoding", encodings())
def test_a_bomb_is_refused_while_it_is_unpacked(encoding):
    bomb = compress(compress(bytes(500_000_000), encoding), encoding)
    once = decompress(bomb, encoding, 10_000_000)
    with pytest.raises(HttpProblem) as caught:
        decompress(once, encoding, 10_000_000)
    assert caught.value.status == 413


def test_many_packed_nothings_are_refused():
    with pytest.raises(HttpProblem, match="members"):
        decompress(gzip.compress(b"") * (MEMBERS + 1), "gzip", 1000)


def receiving(*messages, forever: bool = False):
    left = list(messages)

    async def receive():
        if left:
            return left.pop(0)
        assert forever, "asked for more than there is"
        return await asyncio.sleep(3600)

    return receive


def part(body: bytes, *, more: bool) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


def read(receive, *, limit=100, timeout=5.0, headers=()):
    return asyncio.run(read_body({"headers": list(headers)}, receive, None, limit=limit, timeout=timeout))


def test_a_body_comes_in_parts_or_at_once():
    assert read(receiving(part(b"all", more=False))) == b"all"
    assert read(receiving(part(b"a", more=True), part(b"ll", more=False))) == b"all"
    assert read(receiving(part(b"", more=False))) == b""


def test_a_body_may_be_waited_for():
    parts = [part(b"a", more=True), part(b"ll", more=False)]

    async def receive():
        await asyncio.sleep(0.001)
        return parts.pop(0)

    assert read(receive) == b"all"


def test_who_waits_for_a_body_can_be_told_to_stop():
    async def main():
        body = read_body({"headers": []}, receiving(forever=True), None, limit=10, timeout=60.0)
        waiting = asyncio.create_task(body)
        await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


def test_a_body_that_does_not_come_in_time_is_given_up():
    with pytest.raises(HttpProblem) as caught:
        read(receiving(part(b"a", more=True), forever=True), timeout=0.05)
    assert (caught.value.status, caught.value.headers) == (408, {"Connection": "close"})


def test_a_client_that_leaves_is_not_answered():
    with pytest.raises(ClientDisconnect):
        read(receiving(part(b"a", more=True), {"type": "http.disconnect"}))


def test_a_body_over_the_limit_is_refused_at_once_where_it_is_there():
    with pytest.raises(HttpProblem) as caught:
        read(receiving(part(b"a" * 101, more=False)))
    assert caught.value.status == 413


def test_a_client_that_waits_for_leave_is_refused_before_it_sends():
    headers = [(b"content-length", b"101"), (b"expect", b"100-continue")]
    with pytest.raises(HttpProblem) as caught:
        read(receiving(), headers=headers)
    assert caught.value.status == 413
