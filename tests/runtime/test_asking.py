"""Asking a service, without one: a stand-in that becomes ready after a while."""

import http.server
import json
import subprocess
import sys
import threading

import pytest
from handmade import SCORER_SAMPLES, make_envelope

from model_envelope.runtime.asking import ask, read_answer, wait_until_ready
from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import Sample, read_envelope
from model_envelope.runtime.replay import replay


class Loading(http.server.BaseHTTPRequestHandler):
    """A service that is not ready before it was asked three times, and answers samples as they are sealed."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self._answer(200 if self.asked > 3 else 503, b"")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = self.path[1:]
        sealed, answer = SCORER_SAMPLES.get(method, (None, None))
        if body == sealed:
            self._answer(200, json.dumps(answer).encode())
        elif method == "large":
            self._answer(200, json.dumps("ü" * len(body)).encode())
        else:
            self._answer(422, b'{"detail": "no such sample"}')

    def _answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setattr(Loading, "asked", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Loading) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_waits_until_a_service_is_ready(url):
    assert wait_until_ready(url, seconds=60) == ""
    assert Loading.asked == 4


def test_says_what_came_back_last(url, monkeypatch):
    monkeypatch.setattr(Loading, "asked", -(10**9))
    assert wait_until_ready(url, seconds=0.1) == "HTTP Error 503: Service Unavailable"


def test_ends_when_the_service_has_ended(url):
    def check():
        raise ModelFailed("it ended", code="build.not-ready")

    with pytest.raises(ModelFailed, match="it ended"):
        wait_until_ready(url, seconds=60, check=check)


def test_a_refusal_is_told_with_what_was_said(url):
    with pytest.raises(ModelFailed) as caught:
        ask(url, Sample("greet", {"name": "nobody"}, ""))
    assert caught.value.code == "service.refused"
    assert "no such sample" in caught.value.detail


def test_what_nobody_answers_is_told(url):
    with pytest.raises(ModelFailed) as caught:
        ask(url.replace("127.0.0.1", "127.0.0.2"), Sample("greet", {}, ""))
    assert caught.value.code == "service.silent"
    with pytest.raises(ModelFailed) as caught:
        read_answer("greet", b"<html>")
    assert caught.value.code == "service.silent"


def run(*words):
    done = subprocess.run(
        [sys.executable, "-m", "model_envelope.runtime.asking", *map(str, words)],
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    return json.loads(done.stdout)


def test_as_a_program_it_gives_every_answer_as_it_came(url, tmp_path):
    envelope = make_envelope(tmp_path)
    document = run(envelope, "--url", url, "--wait", "60")
    assert document["not_ready"] == ""
    assert document["answers"].keys() == SCORER_SAMPLES.keys()
    assert Machine.from_document(document["machine"]).cpu == Machine.of_this_process().cpu
    answers = {method: read_answer(method, item["body"]) for method, item in document["answers"].items()}
    assert all(item.agrees for item in replay(read_envelope(envelope), lambda sample: answers[sample.method]))


def test_as_a_program_it_asks_and_answers_at_any_size(url, tmp_path):
    samples = {**SCORER_SAMPLES, "greet": ("x" * 5_000_000, "")}
    envelope = make_envelope(tmp_path, samples=samples)
    (envelope / "envelope.json").write_text(
        (envelope / "envelope.json").read_text().replace('"greet": "greet"', '"large": "greet"')
    )
    for kind in ("input", "output"):
        (envelope / "samples" / f"greet.{kind}.json").rename(envelope / "samples" / f"large.{kind}.json")
    answers = run(envelope, "--url", url, "--wait", "60")["answers"]
    assert read_answer("large", answers["large"]["body"]) == "ü" * 5_000_000


def test_as_a_program_it_tells_what_was_refused_and_goes_on(url, tmp_path):
    envelope = make_envelope(tmp_path, samples={**SCORER_SAMPLES, "greet": ({"name": "other"}, "x")})
    answers = run(envelope, "--url", url, "--wait", "60")["answers"]
    assert answers["greet"]["error"]["code"] == "service.refused"
    assert "body" in answers["later"]


def test_as_a_program_it_says_why_a_service_is_not_ready(tmp_path):
    document = run(make_envelope(tmp_path), "--url", "http://127.0.0.2:9", "--wait", "0")
    assert "refused" in document["not_ready"]
    assert document["answers"] == {}
