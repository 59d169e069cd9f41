"""Connections, with an app of the test's own: what uvicorn's are changed in, held against whichever uvicorn is here."""

import asyncio
import contextlib
import json
import socket
import threading

import pytest
import uvicorn
from services import Client, get, request

from model_envelope.serving.connection import SMALL, Connection, State


async def app(scope, receive, send):
    """Answer with the body, or with as many bytes as the path says, in as many pieces."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    pieces = [body]
    headers = [(b"x-headers", json.dumps([name.decode() for name, _ in scope["headers"]]).encode())]
    if scope["path"].startswith("/bytes/"):
        size, count = map(int, scope["path"].split("/")[2:])
        pieces = [b"x" * size] * count
    if scope["path"] == "/empty":
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})
        return
    if scope["path"] == "/breaks":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        raise RuntimeError
    headers.append((b"content-length", b"%d" % sum(map(len, pieces))))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number, piece in enumerate(pieces):
        await send({"type": "http.response.body", "body": piece, "more_body": number + 1 < len(pieces)})


class Server(uvicorn.Server):
    def __init__(self, config):
        super().__init__(config)
        self.server_state = State()


@pytest.fixture(scope="module")
def address():
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Connection, ws="none", interface="asgi3", lifespan="off", log_config=None)
    server = Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join(60)


@pytest.fixture
def client(address):
    with Client(address) as connected:
        yield connected


def test_headers_and_a_small_body_come_in_one_piece(client):
    for number in range(20):
        client.post("/echo", b"body %d" % number)
        received = client.socket.recv(65536)
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.endswith(b"\r\n\r\nbody %d" % number)


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, 10 * SMALL])
@pytest.mark.parametrize("count", [1, 3])
def test_bodies_of_any_size_come_whole(client, size, count):
    for _ in range(2):
        client.send(get(f"/bytes/{size}/{count}"))
        status, _, body = client.answer()
        assert (status, body) == (200, b"x" * size * count)


def test_answers_without_a_body_are_not_kept_back(client):
    for _ in range(2):
        client.send(get("/empty"))
        assert client.answer()[0] == 204
        client.send(get("/bytes/5/1", verb="HEAD"))
        status, headers, _ = client.answer(body=False)
        assert (status, headers["content-length"]) == (200, "5")


def test_what_breaks_after_its_headers_ends_the_connection(client):
    client.send(get("/breaks"))
    status, _, body = client.answer()
    assert (status, body) == (200, b"")
    assert client.closed()


@pytest.mark.parametrize("word", ["close", "Close", "keep-alive, close"])
def test_a_client_that_wants_no_more_is_let_go(client, word):
    client.post("/echo", b"a", f"Connection: {word}")
    assert client.answer()[2] == b"a"
    assert client.closed()


def test_leave_to_send_comes_before_the_body(client):
    raw = request("/echo", b"0123456789", "Expect: 100-continue")
    client.send(raw[:-10])
    assert client.answer(body=False)[0] == 100
    client.send(raw[-10:])
    assert client.answer()[2] == b"0123456789"


@pytest.mark.parametrize("cut", [1, 60, 140, -12, -1])
def test_an_upgrade_is_ignored_however_the_request_arrives(client, cut):
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    raw = request("/echo", b"0123456789", *upgrade)
    client.send(raw[:cut])
    with contextlib.suppress(TimeoutError):
        client.socket.settimeout(0.05)
        client.socket.recv(1, socket.MSG_PEEK)
    client.socket.settimeout(60)
    client.send(raw[cut:] + request("/echo", b"next") + get("/bytes/3/1", *upgrade) + get("/bytes/4/1"))
    assert [client.answer()[2] for _ in range(4)] == [b"0123456789", b"next", b"xxx", b"xxxx"]


def test_an_upgrade_with_a_body_in_chunks(client):
    head = "POST /echo HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.send(head.encode() + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert client.answer()[2] == b"abcde"
    client.post("/echo", b"next")
    assert client.answer()[2] == b"next"


def test_trailers_come_too_late_to_be_headers(client):
    client.send(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n")
    client.send(b"a\r\n0\r\nX-Trailer: 1\r\n\r\n")
    status, headers, body = client.answer()
    assert (status, body) == (200, b"a")
    assert "x-trailer" not in headers["x-headers"]


def test_a_body_that_is_broken_in_the_middle_is_answered_once(client):
    client.send(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nnonsense\r\n")
    status, headers, body = client.answer()
    assert (status, json.loads(body)["code"]) == (400, "request.malformed")
    assert headers["connection"] == "close"
    assert client.closed()


@pytest.mark.parametrize("half", [b"", b"POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"])
def test_a_client_that_goes_without_a_whole_request_is_let_go(client, half):
    client.send(half)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.closed()


def test_several_requests_and_then_no_more(client):
    client.send(b"".join(request("/echo", b"%d" % number) for number in range(5)))
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.answer()[2] for _ in range(5)] == [b"%d" % number for number in range(5)]
    assert client.closed()
