"""What is read of the pages of indexes, and how an index that does not help is told apart."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model_envelope.dependencies import pages
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.pages import File, addresses, fetch
from model_envelope.foundation.troubles import State

SHA, MD5 = "a" * 64, "b" * 32
JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture
def index(monkeypatch, tmp_path):
    """An index that answers with what stands in `said`: status, kind and bytes; `asked` are the headers it got."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, kind, content, *length = self.server.said
            self.server.asked.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(*length or [len(content)]))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words):
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(index, name="alpha"):
    settings = IndexSettings(index_url=f"http://127.0.0.1:{index.server_port}/simple")
    (page,) = fetch(settings, addresses(settings, name))
    return page


def test_both_forms_of_a_page_say_the_same(index):
    listed = [
        {"filename": "a-1.whl", "hashes": {"sha256": SHA.upper()}, "requires-python": ">=3.11", "yanked": False},
        {"filename": "a-2.whl", "hashes": {"sha256": SHA}, "yanked": "it is > broken"},
        {"filename": "a-3.whl", "hashes": {"md5": MD5}, "yanked": True},
        {"filename": "a-4.whl", "hashes": {}, "yanked": ""},
        {"filename": "a-5.whl", "hashes": {}},
    ]
    index.said = (200, JSON, json.dumps({"files": listed}).encode())
    as_json = ask(index)
    html = f"""
        <a href="../a-1.whl#sha256={SHA}" data-requires-python="&gt;=3.11">a</a>
        <A title='data-yanked="no"' HREF='a-2.whl#sha256={SHA}' data-yanked="it is > broken">a</A>
        <a data-yanked href=a-3.whl#md5={MD5}>a</a>
        <a href="a-4.whl" data-yanked="">a</a>
        <a href="a-5.whl">a</a>
        <a name="top">nothing</a>
    """
    index.said = (200, "text/html", html.encode())
    as_html = ask(index)
    assert as_html.state is as_json.state is State.LISTED
    assert as_html.files == as_json.files == (
        File("a-1.whl", frozenset({f"sha256:{SHA}"}), ">=3.11"),
        File("a-2.whl", frozenset({f"sha256:{SHA}"}), "", "it is > broken"),
        File("a-3.whl", frozenset({f"md5:{MD5}"}), "", ""),
        File("a-4.whl", frozenset(), "", ""),
        File("a-5.whl"),
    )  # fmt: skip
    assert [file.hash for file in as_html.files] == [f"sha256:{SHA}"] * 2 + [""] * 3


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ((404, "text/html", b""), State.MISSING),
        ((403, "text/html", b""), State.FORBIDDEN),
        ((407, "text/html", b""), State.PROXY),
        ((503, "text/html", b""), State.BROKEN),
        ((200, JSON, b"{"), State.BROKEN),
        ((200, JSON, b'{"files": 3}'), State.BROKEN),
        ((200, JSON, b"{}", 100), State.BROKEN),
    ],
)
def test_an_index_that_does_not_help_is_told_apart(index, said, state):
    index.said = said
    page = ask(index)
    assert page.state is state
    assert page.files == ()
    assert page.said or state is State.MISSING


def test_a_page_without_end_is_not_read(index, monkeypatch):
    monkeypatch.setattr(pages, "_LARGEST", 1000)
    index.said = (200, "text/html", b"<a href='a-1.whl'>a</a>" * 100)
    page = ask(index)
    assert (page.state, page.files) == (State.BROKEN, ())
    assert page.said == "the page is larger than 1.0 kB"


def test_credentials_of_netrc_are_used(index, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    index.said = (200, JSON, b'{"files": []}')
    assert ask(index).state is State.LISTED
    (headers,) = index.asked
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:hunter2").decode()
