"""What strangers, networks and models do to a service: over real sockets, and each bounded in time."""

import json
import re
import resource
import signal
import socket
import threading
import time
import urllib.error
from contextlib import suppress

import pytest
from handmade import make_envelope
from services import MODEL, PATIENCE, Client, get, request, running, until

from model_envelope.runtime import signature as s

FLOAT, WHOLE, TEXT = s.Scalar("float64"), s.Scalar("int64"), s.Scalar("string")
METHODS = {
    "predict": s.Method((s.Parameter("x", FLOAT),), FLOAT),
    "pid": s.Method((), WHOLE),
    "do": s.Method((s.Parameter("what", TEXT),), WHOLE),
    "columns": s.Method((s.Parameter("X", s.List(FLOAT)),), s.List(FLOAT), row_wise=s.Answer.YES),
}


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def envelope(tmp_path_factory):
    return make_envelope(tmp_path_factory.mktemp("faults"), MODEL, METHODS, {}, name="faulty")


@pytest.fixture(scope="module")
def service(envelope):
    with running(envelope, "--max-body", "1MB", "--body-timeout", "2") as running_service:
        yield running_service
        assert running_service.ask("/predict", {"x": 0.0}) == 0.0, "it does not answer any more"


def problem(answer):
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    return status, json.loads(body)["code"]


def pushed(client, chunk):
    """Send something again and again until the other side closes the connection."""
    deadline = time.monotonic() + PATIENCE
    with suppress(ConnectionError):
        while time.monotonic() < deadline:
            client.send(chunk)
    assert time.monotonic() < deadline, "it takes whatever comes"


# Clients


def test_headers_that_never_end_are_given_up(service):
    with service.connect() as client:
        client.send(b"POST /predict HTTP/1.1\r\nHost: test\r\n")
        stop = threading.Event()

        def drip():
            try:
                while not stop.wait(0.5):
                    client.send(b"a: b\r\n")
            except OSError:
                return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            answer = client.answer()
        finally:
            stop.set()
            dripping.join()
        assert problem(answer) == (408, "request.too-slow")
        assert answer[1]["connection"] == "close"


def test_a_connection_on_which_nothing_is_said_is_closed(service):
    with service.connect() as client:
        assert client.closed()


def test_empty_lines_do_not_keep_a_connection(service):
    with service.connect() as client:
        client.post("/predict", {"x": 0.0})
        assert client.answer()[0] == 200
        client.send(b"\r\n")
        assert problem(client.answer()) == (408, "request.too-slow")
        assert client.closed()


def test_a_body_that_never_comes_is_given_up(service):
    with service.connect() as client:
        client.send(b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n{")
        assert problem(client.answer()) == (408, "request.too-slow")
        assert client.closed()


def test_the_rest_of_a_body_that_nobody_reads_does_not_keep_a_connection(service):
    with service.connect() as client:
        client.send(b"POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
        assert client.answer()[0] == 404
        assert client.closed()


def test_headers_without_end_are_refused_soon(service):
    with service.connect() as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: test\r\n")
        pushed(client, b"a: " + b"b" * 1000 + b"\r\n")
        assert service.peak_memory < 150_000_000


def test_a_body_of_a_gigabyte_is_refused_soon_and_not_kept(envelope):
    with running(envelope, "--max-body", "1MB") as service, service.connect() as client:
        before = service.peak_memory
        client.send(b"POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"0" * 2**20 + b"\r\n"
        pushed(client, chunk)  # it reads on for a moment, and closes
        assert service.peak_memory - before < 30_000_000
        with service.connect() as again:
            again.send(b"POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + 2 * chunk)
            again.send(b"0\r\n\r\n")
            assert problem(again.answer()) == (413, "request.too-large")


def test_a_client_that_only_listens_any_more_gets_its_answer(service):
    with service.connect() as client:
        client.post("/predict", {"x": 0.5})
        client.socket.shutdown(socket.SHUT_WR)
        status, headers, body = client.answer()
        assert (status, body) == (200, b"0.5")
        assert headers["connection"] == "close"
        assert client.closed()


def test_a_client_that_goes_in_the_middle_disturbs_nobody(service):
    for raw in (b"POST /pre", request("/predict", {"x": 0.1})[:-3], request("/predict", {"x": 0.1})):
        client = service.connect()
        client.send(raw)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # it ends with a reset
        client.close()
    assert service.ask("/predict", {"x": 0.0}) == 0.0
    assert not any("Traceback" in line for line in service.log)


def test_2000_connections_at_once(envelope):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 5000:
        pytest.skip(f"needs 5000 open files, and {hard} are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 5000), hard))
    before = ("sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh")  # the service raises it itself
    clients = []
    try:
        with running(envelope, "--queue", "2000", before=before) as service:
            clients += [service.connect() for _ in range(2000)]
            for client in clients:
                client.post("/predict", {"x": 0.0})
            assert [client.answer()[0] for client in clients] == [200] * 2000
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_there_may_be_wait_for_their_turn(envelope):
    before = ("sh", "-c", 'ulimit -n 200; exec "$@"', "sh")
    with running(envelope, before=before) as service:
        clients = [service.connect() for _ in range(300)]
        service.says("new connections wait")
        # The kernel has all of them; those that go make room for those that wait.
        for client in clients[:150]:
            client.close()
        for client in clients[150:]:
            client.post("/predict", {"x": 0.0})
            assert client.answer()[0] == 200
            client.close()
        assert service.ask("/predict", {"x": 0.0}) == 0.0


def test_requests_that_do_not_wait_for_answers_are_answered_in_turn(service):
    with service.connect() as client:
        client.send(b"".join(request("/predict", {"x": number / 100}) for number in range(20)))
        answers = [client.answer() for _ in range(20)]
        assert [json.loads(body) for _, _, body in answers] == [number / 100 for number in range(20)]


def test_garbage_after_a_request_does_not_take_its_answer(service):
    with service.connect() as client:
        client.send(request("/predict", {"x": 0.3}) + b"\x16\x03\x01 garbage\r\n\r\n")
        status, headers, body = client.answer()
        assert (status, body) == (200, b"0.3")
        assert headers["connection"] == "close"
        assert client.closed()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost : test\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: test\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: test\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(service, raw):
    with service.connect() as client:
        client.send(raw)
        status, headers, _ = client.answer()
        assert status in {400, 404}
        assert headers["content-type"] == "application/problem+json"
    assert not any("Traceback" in line for line in service.log)


def test_http_1_0(service):
    with service.connect() as client:
        client.send(b'POST /predict HTTP/1.0\r\nContent-Length: 8\r\n\r\n{"x": 1}')
        status, headers, body = client.answer()
        assert (status, body) == (200, b"1.0")
        assert "transfer-encoding" not in headers
        assert client.closed()


def test_a_client_that_asks_for_leave_to_send_its_body(service):
    with service.connect() as client:
        raw = request("/predict", {"x": 0.0}, "Expect: 100-continue")
        head, body = raw[:-10], raw[-10:]
        client.send(head)
        assert client.answer(body=False)[0] == 100
        client.send(body)
        assert client.answer()[0] == 200
        client.send(b"POST /predict HTTP/1.1\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n")
        assert problem(client.answer()) == (413, "request.too-large")


def test_an_upgrade_is_not_made_and_the_connection_goes_on(service):
    with service.connect() as client:
        upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
        for _ in range(2):
            client.post("/predict", {"x": 0.25}, *upgrade)
            status, _, body = client.answer()
            assert (status, body) == (200, b"0.25")
            client.send(get("/livez", *upgrade))
            assert client.answer()[0] == 200


def test_trailers_are_no_headers(service):
    with service.connect() as client:
        client.send(b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n")
        client.send(b'{"x": 1}\r\n0\r\nContent-Type: text/csv\r\n\r\n')
        status, _, body = client.answer()
        assert (status, body) == (200, b"1.0")


def test_head_and_options(service):
    with service.connect() as client:
        client.send(get("/livez", verb="HEAD"))
        assert client.answer(body=False)[0] == 200
        client.send(get("/predict", verb="HEAD"))
        status, headers, _ = client.answer(body=False)
        assert (status, headers["allow"]) == (405, "POST")
        client.send(get("/predict", verb="OPTIONS"))
        status, headers, _ = client.answer()
        assert (status, headers["allow"]) == (405, "POST")
        client.send(get("/livez"))
        assert client.answer()[0] == 200


# Models


@pytest.mark.parametrize(
    ("what", "code"),
    [("raise", "model.raised"), ("exit", "model.raised"), ("nan", "answer.invalid"), ("word", "answer.invalid")],
)
def test_a_model_that_fails_costs_one_answer(service, what, code):
    with pytest.raises(urllib.error.HTTPError) as caught:
        service.ask("/do", {"what": what})
    assert caught.value.code == 500
    raw = caught.value.read()
    assert json.loads(raw)["code"] == code
    assert b"secret" not in raw
    assert service.ask("/do", {"what": "well"}) == 1


@pytest.mark.parametrize(
    ("values", "code"), [([-1.0, 2.0], "answer.invalid"), ([1.0, 2.0, 3.0], "answer.rows")], ids=["NaN", "too few rows"]
)
def test_an_answer_that_the_signature_does_not_allow_is_not_given(service, values, code):
    assert service.ask("/columns", {"X": [1.0, 2.0]}) == [1.0, 2.0]
    with pytest.raises(urllib.error.HTTPError) as caught:
        service.ask("/columns", {"X": values})
    assert (caught.value.code, json.load(caught.value)["code"]) == (500, code)


@pytest.mark.parametrize("what", ["end", "segfault"])
def test_a_model_that_ends_the_process_ends_the_service(envelope, what):
    with running(envelope) as service, service.connect() as client:
        client.post("/do", {"what": what})
        with pytest.raises((EOFError, ConnectionError)):
            client.answer()
        assert service.ended() == (9 if what == "end" else -signal.SIGSEGV)


def test_a_model_that_does_not_come_back(envelope):
    with running(envelope, "--time-limit", "1.5") as service, service.connect() as client:
        client.post("/do", {"what": "hang"})
        assert service.ask("/livez")["live"]
        assert service.ask("/readyz")["ready"]
        assert problem(client.answer()) == (503, "service.time-limit")

        def ready():
            try:
                return service.ask("/readyz", timeout=5)["ready"]
            except OSError:  # a 503, or there is nobody any more
                return False

        until(lambda: not ready(), "it stays ready with a model that does not come back")
        assert service.ended() == 1
        assert any("does not come back" in line for line in service.log)


# The end


def clients_under_load(service, count):
    """Let clients ask over kept connections until they cannot connect any more; gives how to wait for their results."""
    answered, lost = [], []

    def ask():
        client, asked = None, False
        number = 0
        while True:
            try:
                client, asked = client or Client(service.address), False
                client.post("/predict", {"x": -number})
                asked = True
                status, headers, body = client.answer()
                number += 1
                answered.append((status, json.loads(body) if status == 200 else body))
                if headers.get("connection") == "close":
                    client.close()
                    client = None
            except (OSError, EOFError) as error:
                if client is None:
                    return  # refused: no loss
                lost.append((asked, repr(error)))
                client.close()
                return

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()

    def results():
        for thread in threads:
            thread.join(60)
        return answered, lost

    return answered, results


@pytest.mark.parametrize("options", [(), ("--drain-delay", "1"), ("--workers", "2")])
def test_sigterm_under_load_loses_no_request(envelope, options):
    with running(envelope, *options) as service:
        answered, results = clients_under_load(service, 32)
        until(lambda: len(answered) > 500)
        service.process.send_signal(signal.SIGTERM)
        answered, lost = results()
        assert lost == []
        assert {status for status, _ in answered} == {200}
        assert service.ended() == 0, service.log


def test_what_is_cut_off_at_the_end_is_said(envelope):
    with running(envelope, "--grace", "1", "--log-format", "text") as service, service.connect() as client:
        client.post("/predict", {"x": 100.0})
        service.says("the model prints")
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == 1
        assert any(re.search(r"not finished within 1 s, and cut off: 1 of POST /predict", line) for line in service.log)


def test_a_second_signal_ends_it_at_once(envelope):
    with running(envelope) as service, service.connect() as client:
        client.post("/predict", {"x": 100.0})
        service.says("the model prints")
        service.process.send_signal(signal.SIGTERM)
        service.says("finishing what is under way")
        time.sleep(0.5)  # what comes at the same time means the same
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == 128 + signal.SIGTERM


def test_readiness_ends_before_the_service_does(envelope):
    with running(envelope, "--drain-delay", "2") as service:
        with service.connect() as kept:
            kept.send(get("/readyz"))
            assert kept.answer()[0] == 200
            service.process.send_signal(signal.SIGTERM)
            service.says("finishing what is under way")
            kept.send(get("/readyz"))
            status, headers, _ = kept.answer()
            assert (status, headers["connection"]) == (503, "close")
        assert service.ask("/predict", {"x": 0.5}) == 0.5  # whoever has not heard of it is still answered
        assert service.ended() == 0
