"""The real pip-audit, against a PyPI that is played on this machine, and against none."""

import contextlib
import json
import re
import shutil
import socketserver
import ssl
import subprocess
import threading

import pytest

from model_envelope.dependencies.advisories import Vulnerability
from model_envelope.dependencies.pip_audit import ask_pip_audit

VERSIONS = {"alpha": "1.0.0", "beta-lib": "1.1.0"}
FOUND = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"],
    "summary": "Reads what it should not",
    "details": "In many\nwords",
    "fixed_in": ["1.10", "1.2"],
    "published": "2026-01-31T12:00:00Z",
    "withdrawn": None,
    "link": "https://osv.dev/vulnerability/PYSEC-2026-1",
    "source": "osv",
}


class Tunnel(socketserver.StreamRequestHandler):
    """A proxy that answers itself, as pypi.org, whatever host it is asked to reach."""

    def handle(self):
        with contextlib.suppress(OSError):  # whoever does not trust the certificate goes away
            self._answer()

    def _answer(self):
        method, host, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        if method != "CONNECT":  # an index, which is none
            self.wfile.write(b"HTTP/1.1 502 Nobody there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with self.server.context.wrap_socket(self.connection, server_side=True) as secure:
            path = secure.makefile("rb").readline().split()[1].decode()
            self.server.asked.append(f"{host}{path}")
            code, document = self.server.answers.get(path, (404, {"message": "Not Found"}))
            body = json.dumps(document).encode()
            head = f"HTTP/1.1 {code} Said\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            secure.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)


class Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("NO_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "PIP_PROXY", "PIP_CERT", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def pypi(tmp_path, monkeypatch):
    """What PyPI answers, by path, through the proxy and with the certificate of pip's settings."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes a certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pypi.org"),
            *("-addext", "subjectAltName=DNS:pypi.org", "-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    with Proxy(("127.0.0.1", 0), Tunnel) as proxy:
        proxy.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        proxy.context.load_cert_chain(certificate, key)
        proxy.asked, proxy.answers = [], {}
        for name, version in VERSIONS.items():
            proxy.answers[f"/pypi/{name}/{version}/json"] = (200, {"info": {}, "vulnerabilities": []})
        monkeypatch.setenv("PIP_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("PIP_CERT", str(certificate))
        thread = threading.Thread(target=proxy.serve_forever, args=[0.02])
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def test_nothing_is_found_only_where_all_was_answered(pypi):
    asked = ask_pip_audit(VERSIONS)
    assert asked.not_asked == {}
    assert asked.found == ()
    assert sorted(pypi.asked) == [f"pypi.org:443/pypi/{name}/{version}/json" for name, version in VERSIONS.items()]


def test_what_is_found_is_read_whole(pypi):
    withdrawn = {**FOUND, "id": "PYSEC-2026-2", "withdrawn": "2026-02-01T00:00:00Z"}
    pypi.answers["/pypi/beta-lib/1.1.0/json"] = (200, {"info": {}, "vulnerabilities": [FOUND, withdrawn]})
    asked = ask_pip_audit({**VERSIONS, "beta-lib": "1.1.0+cpu"})
    assert asked.not_asked == {}
    assert asked.found == (
        Vulnerability(
            package="beta-lib",
            version="1.1.0+cpu",
            id="PYSEC-2026-1",
            aliases=("CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"),
            summary="Reads what it should not",
            fixed_in=("1.2", "1.10"),
            source="pip-audit",
        ),
    )


def test_a_package_that_pypi_does_not_know_was_not_asked_about(pypi):
    asked = ask_pip_audit({**VERSIONS, "ours": "2.0"})
    assert asked.found == ()
    assert asked.not_asked.keys() == {"ours"}
    assert "not found on PyPI" in asked.not_asked["ours"]


@pytest.mark.parametrize("answer", [(500, {}), (403, {}), (200, {"vulnerabilities": [{"id": "half"}]})])
def test_a_service_that_is_out_of_order_was_not_asked(pypi, answer):
    pypi.answers["/pypi/alpha/1.0.0/json"] = answer
    asked = ask_pip_audit(VERSIONS)
    assert asked.found == ()
    assert "alpha" in asked.not_asked
    assert all(asked.not_asked.values())


def test_a_certificate_that_nobody_trusts_was_not_asked(pypi, monkeypatch):
    monkeypatch.delenv("PIP_CERT")
    assert ask_pip_audit(VERSIONS).not_asked.keys() == VERSIONS.keys()


def test_where_nothing_can_be_reached_nobody_was_asked(monkeypatch):
    monkeypatch.setenv("PIP_PROXY", "http://me:hunter2hunter2@127.0.0.1:9")
    asked = ask_pip_audit(VERSIONS)
    assert asked.found == ()
    assert asked.not_asked.keys() == VERSIONS.keys()
    assert all(asked.not_asked.values())
    assert "hunter2hunter2" not in str(asked)


def test_the_command_tells_what_the_real_program_found_and_what_it_could_not_ask(cli, pypi, sealed, seal, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    lines = (f"{name}=={version} \\\n    --hash=sha256:{'a' * 64}\n" for name, version in VERSIONS.items())
    (sealed / "env" / "requirements.lock").write_text("".join(lines))
    envelope = seal(sealed)
    pypi.answers["/pypi/beta-lib/1.1.0/json"] = (200, {"info": {}, "vulnerabilities": [FOUND]})
    ran = cli("audit", envelope)
    assert ran.code == 3
    assert "beta-lib 1.1.0: found PYSEC-2026-1, CVE-2026-0001, GHSA-aaaa-bbbb-cccc" in ran.err
    monkeypatch.setenv("PIP_PROXY", "http://127.0.0.1:9")
    ran = cli("audit", envelope)
    assert ran.code == 4
    assert re.search(r"vulnerabilities could not ask about 2: \S", ran.out)
