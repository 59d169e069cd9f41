"""Waiting for a service, without one."""

import http.server
import threading

import pytest

from model_envelope.foundation.errors import ToolFailed
from model_envelope.runtime.errors import ModelFailed
from model_envelope.targets.asking import wait_until_ready


class Loading(http.server.BaseHTTPRequestHandler):
    """A service that is not ready before it was asked three times."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200 if self.asked > 3 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setattr(Loading, "asked", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Loading) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_waits_until_a_service_is_ready(url):
    wait_until_ready(url, lambda: None, lambda: "")
    assert Loading.asked == 4


def test_says_what_came_back_and_what_the_service_said(url, monkeypatch):
    monkeypatch.setattr(Loading, "asked", -(10**9))
    with pytest.raises(ToolFailed, match=r"was not ready after 0 s \(HTTP Error 503: Service Unavailable\)") as caught:
        wait_until_ready(url, lambda: None, lambda: "still loading", seconds=0.1)
    assert caught.value.code == "service.not-ready"
    assert caught.value.detail == "still loading"


def test_ends_when_the_service_has_ended(url):
    def check():
        raise ModelFailed("it ended", code="build.not-ready")

    with pytest.raises(ModelFailed, match="it ended"):
        wait_until_ready(url, check, lambda: "")
