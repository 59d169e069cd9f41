import pytest

from model_envelope.targets.pushing import push_failed
from model_envelope.targets.registry import Base, names_registry, parts

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("name", "found", "named"),
    [
        ("python", ("docker.io", "library/python"), False),
        ("python:3.11-slim", ("docker.io", "library/python"), False),
        ("team/flights:1", ("docker.io", "team/flights"), False),
        ("docker.io/python:3.11", ("docker.io", "library/python"), True),
        ("index.docker.io/me/x", ("docker.io", "me/x"), True),
        ("localhost/x:1", ("localhost", "x"), True),
        ("localhost:5000/x", ("localhost:5000", "x"), True),
        ("r.example.com:5000/a/b:1", ("r.example.com:5000", "a/b"), True),
        (f"r.example.com/a@{DIGEST}", ("r.example.com", "a"), True),
        (f"r.example.com/a:1@{DIGEST}", ("r.example.com", "a"), True),
    ],
)
def test_what_a_name_means(name, found, named):
    assert parts(name) == found
    assert names_registry(name) is named


def test_a_pinned_base_keeps_its_name_and_adds_the_digest():
    assert Base("python:3.11-slim", DIGEST).reference == f"python:3.11-slim@{DIGEST}"
    assert Base("python:3.11-slim").reference == "python:3.11-slim"


@pytest.mark.parametrize(
    ("said", "code", "hint"),
    [
        ('Get "https://r.example.com/v2/": dial tcp: lookup r.example.com: no such host', "push.unreachable", "right"),
        ('Get "https://r.example.com/v2/": dial tcp 10.0.0.1:443: i/o timeout', "push.unreachable", "right"),
        ('Get "https://r.example.com/v2/": net/http: TLS handshake timeout', "push.unreachable", "right"),
        (
            'Get "https://r.example.com/v2/": x509: certificate signed by unknown authority',
            "push.tls",
            "/etc/docker/certs.d/r.example.com/ca.crt",
        ),
        ('Get "https://r.example.com/v2/": http: server gave HTTP response to HTTPS client', "push.tls", "insecure"),
        ("no basic auth credentials", "push.denied", "docker login r.example.com"),
        ("unauthorized: authentication required", "push.denied", "docker login r.example.com"),
        ("denied: requested access to the resource is denied", "push.denied", "docker login r.example.com"),
        ("name unknown: The repository with name 'a' does not exist in the registry", "push.no-repository", "create"),
        ("denied: Quota exceeded for project", "push.full", "quota"),
        ("received unexpected HTTP status: 507 Insufficient Storage", "push.full", "make room"),
        ("write /var/lib/registry/x: no space left on device", "push.full", "make room"),
        ("toomanyrequests: Rate exceeded", "push.busy", "later"),
        ('Patch "https://r.example.com/v2/a": EOF', "push.broken-off", "docker push r.example.com/a:1"),
        ("write tcp: connection reset by peer", "push.broken-off", "docker push r.example.com/a:1"),
        ("received unexpected HTTP status: 502 Bad Gateway", "push.broken-off", "docker push r.example.com/a:1"),
        (
            "Credentials store error: StoreError('docker-credential-x not installed')",
            "push.credentials",
            "docker login",
        ),
        ("something else entirely", "push.failed", "docker push r.example.com/a:1"),
    ],
)
def test_what_an_engine_says_of_a_registry_is_translated(said, code, hint):
    error = push_failed(said, "r.example.com/a:1")
    assert error.code == code
    assert "r.example.com" in error.message
    assert hint in error.hint
    assert error.detail == said


def test_a_registry_that_is_gone_after_the_first_bytes_is_no_wrong_name():
    said = 'Put "http://r.example.com/v2/": dial tcp 10.0.0.1:443: connect: connection refused'
    assert push_failed(said, "r.example.com/a:1", begun=True).code == "push.broken-off"


def test_a_name_without_a_registry_is_told_how_it_names_one():
    denied = push_failed("denied: requested access to the resource is denied", "flights:1.0")
    assert "docker.io" in denied.message
    assert "registry.example.com/flights:1.0" in denied.hint


def test_credentials_of_a_proxy_are_not_shown():
    error = push_failed('proxyconnect tcp: dial "http://me:hidden-word@proxy:8080": timeout', "r.example.com/a:1")
    assert "hidden-word" not in f"{error.message}{error.detail}{error.hint}"
