"""A company's packages: an index with a certificate of its own authority, a password for each host, a proxy before it.

The hosts (`main.packages.test`) are known to the proxy alone; who asks the index at its address gets the host `direct`.
"""

import base64
import contextlib
import html
import http.server
import select
import socket
import ssl
import subprocess
import threading
import urllib.parse
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from wheelhouses import Wheelhouse

DOMAIN = "packages.test"
DIRECT = "direct"


@dataclass
class Credential:
    """A user and a password that both must be escaped in addresses, and how a search finds them again."""

    place: str
    core: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def user(self) -> str:
        return f"me@{self.place}"

    @property
    def password(self) -> str:
        return f"{self.core}@/:%"

    @property
    def userinfo(self) -> str:
        return f"{urllib.parse.quote(self.user, safe='')}:{urllib.parse.quote(self.password, safe='')}"

    @property
    def header(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def forms(self) -> list[bytes]:
        """What is searched: the part that no escape changes, and the whole as headers have it, wherever it begins."""
        inner = f"{self.user}:{self.password}".encode()
        shifted = [base64.b64encode(b"x" * by + inner)[4 if by else 0 : -4] for by in range(3)]
        return [self.core.encode(), *shifted]


@dataclass
class Host:
    """One host of the index: its wheels, and the credential that it wants."""

    name: str
    wheels: Wheelhouse
    credential: Credential

    @property
    def url(self) -> str:
        return f"https://{self.name}.{DOMAIN}/simple"

    @property
    def authorised_url(self) -> str:
        return f"https://{self.credential.userinfo}@{self.name}.{DOMAIN}/simple"


@dataclass
class PrivateIndex:
    """The index with its hosts; ``authority`` is the file to trust, ``port`` where it listens on all addresses."""

    authority: Path
    port: int = 0
    hosts: dict[str, Host] = field(default_factory=dict)

    def add(self, name: str, folder: Path) -> Host:
        place = folder / name
        place.mkdir(parents=True)
        self.hosts[name] = Host(name, Wheelhouse(place), Credential(name))
        return self.hosts[name]


def make_authority(folder: Path, *addresses: str) -> tuple[Path, Path]:
    """Make an authority, and a certificate of it for the hosts and some addresses, with its key: two files."""
    folder.mkdir()
    names = ",".join([f"DNS:*.{DOMAIN}", *(f"IP:{address}" for address in addresses)])
    (folder / "extensions").write_text(
        f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    usage = "keyUsage=critical,keyCertSign,cRLSign"
    signing = "-CA ca.pem -CAkey ca.key -set_serial 7 -days 3 -extfile extensions"
    for words, more in (
        ("req -x509 -keyout ca.key -out ca.pem -days 3 -subj /CN=Company", [*key, "-addext", usage]),
        (f"req -keyout host.key -out host.csr -subj /CN={DOMAIN}", key),
        (f"x509 -req -in host.csr -out host.pem {signing}", []),
    ):
        subprocess.run(["openssl", *words.split(), *more], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "host.pem").read_bytes() + (folder / "host.key").read_bytes())
    return folder / "ca.pem", both


@contextlib.contextmanager
def serving(index: PrivateIndex, certificate: Path):
    """Serve the index with TLS on a free port of all addresses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with _Server(("0.0.0.0", 0), _index_handler(index)) as server:
        server.tls = context
        index.port = server.server_port
        with _running(server):
            yield index


@contextlib.contextmanager
def proxying(index: PrivateIndex, credential: Credential):
    """Serve a proxy that asks for a password and knows the index's hosts alone; gives its port."""
    with _Server(("0.0.0.0", 0), _proxy_handler(index, credential)) as server, _running(server):
        yield server.server_port


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def finish_request(self, request, client_address):
        # The handshake belongs to the connection's own thread: a slow one must not hold up the others.
        if self.tls is None:
            super().finish_request(request, client_address)
        else:
            with contextlib.suppress(OSError), self.tls.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        """Clients come and go."""


@contextlib.contextmanager
def _running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def _index_handler(index: PrivateIndex):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            name = self.headers.get("Host", "").partition(":")[0].removesuffix(f".{DOMAIN}")
            host = index.hosts.get(name) or index.hosts[DIRECT]
            if self.headers.get("Authorization") != f"Basic {host.credential.header}":
                self.answer(401, b"no", "text/plain", {"WWW-Authenticate": 'Basic realm="packages"'})
                return
            first, *rest = [urllib.parse.unquote(part) for part in self.path.strip("/").split("/")]
            if rest and (host.wheels.folder / rest[-1]).is_file():
                self.answer(200, (host.wheels.folder / rest[-1]).read_bytes(), "application/octet-stream")
                return
            wanted = rest[0].replace("-", "_").lower() if first == "simple" and rest else None
            files = [
                path.name
                for path in sorted(host.wheels.folder.iterdir())
                if wanted is None or path.name.split("-")[0].replace(".", "_").lower() == wanted
            ]
            links = "".join(f'<a href="{html.escape(name)}">{html.escape(name)}</a>' for name in files)
            self.answer(
                200 if files else 404, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html"
            )

        do_HEAD = do_GET

        def answer(self, status, body, kind, headers=None):
            self.send_response(status)
            # A cache that keeps what an answer varies with would keep the password.
            kept = {"Cache-Control": "max-age=600", "Vary": "Authorization", "ETag": '"1"'}
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                **kept,
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    return Handler


def _proxy_handler(index: PrivateIndex, credential: Credential):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            if self.headers.get("Proxy-Authorization") != f"Basic {credential.header}":
                self.send_response(407)
                self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if not self.path.partition(":")[0].endswith(f".{DOMAIN}"):
                self.send_error(502)
                return
            with socket.create_connection(("127.0.0.1", index.port)) as onward:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                ends = {self.connection: onward, onward: self.connection}
                while True:
                    for ready in select.select([*ends], [], [], 60)[0] or [None]:
                        if ready is None or not (data := ready.recv(65536)):
                            self.close_connection = True
                            return
                        ends[ready].sendall(data)

        def log_message(self, *_):
            """Say nothing."""

    return Handler
