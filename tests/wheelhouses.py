"""Wheels made by code, so that a test says what an index has."""

import base64
import csv
import hashlib
import html
import http.server
import io
import json
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model_envelope.dependencies.index import IndexSettings


@dataclass
class Wheelhouse:
    """A folder of wheels that stands for an index."""

    folder: Path

    @property
    def index(self) -> IndexSettings:
        return IndexSettings(no_index=True, find_links=(self.folder.as_uri(),))

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        requires: Sequence[str] = (),
        extras: Sequence[str] = (),
        python: str = "",
        tag: str = "py3-none-any",
        files: Mapping[str, str] | None = None,
    ) -> str:
        """Build a wheel, with more ``files`` in it, and give its hash as a lock writes it."""
        stem = name.replace("-", "_")
        info = f"{stem}-{version}.dist-info"
        metadata = "".join(f"Requires-Dist: {line}\n" for line in requires)
        metadata += "".join(f"Provides-Extra: {extra}\n" for extra in extras)
        metadata += f"Requires-Python: {python}\n" if python else ""
        content_of = {
            f"{stem}.py": f"VERSION = {version!r}\n",
            **(files or {}),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        record = io.StringIO()
        writer = csv.writer(record)
        for path, content in content_of.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
            writer.writerow([path, f"sha256={digest}", len(content.encode())])
        writer.writerow([f"{info}/RECORD", "", ""])
        path = self.folder / f"{stem}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for inside, content in {**content_of, f"{info}/RECORD": record.getvalue()}.items():
                archive.writestr(zipfile.ZipInfo(inside, (2020, 1, 1, 0, 0, 0)), content)
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def wheelhouse(tmp_path) -> Wheelhouse:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return Wheelhouse(folder)


@dataclass
class SimpleIndex(Wheelhouse):
    """An index as pip and uv ask it (PEP 503), over HTTP on this machine, and how it may fail.

    ``delay`` are seconds before each answer, ``status`` what it answers instead of a page or a file where that is not
    200, ``cut`` ends each file after a few bytes, ``wrong_hashes`` lists other hashes than the files have, without
    ``hashes`` none are, and ``json`` answers in the newer form (PEP 691).
    """

    url: str = ""
    delay: float = 0.0
    status: int = 200
    cut: bool = False
    wrong_hashes: bool = False
    hashes: bool = True
    json: bool = False
    asked: list[str] = field(default_factory=list)

    @property
    def index(self) -> IndexSettings:
        return IndexSettings(self.url, trusted_hosts=("127.0.0.1",))

    def page(self, name: str) -> bytes | None:
        paths = [
            path for path in sorted(self.folder.glob("*.whl")) if path.name.split("-")[0].replace("_", "-") == name
        ]
        files = [self._listed(path) for path in paths]
        if not files:
            return None
        if self.json:
            document = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
            return json.dumps(document).encode()
        return "<br>".join(["<!DOCTYPE html><html><body>", *map(_link, files), "</body></html>"]).encode()

    def _listed(self, path: Path) -> dict[str, object]:
        digest = hashlib.sha256(path.read_bytes() + (b"?" if self.wrong_hashes else b"")).hexdigest()
        with zipfile.ZipFile(path) as archive:
            about = next(archive.read(each).decode() for each in archive.namelist() if each.endswith("METADATA"))
        python = about.partition("Requires-Python: ")[2].partition("\n")[0]
        return {
            "filename": path.name,
            "url": f"../files/{urllib.parse.quote(path.name)}",
            "hashes": {"sha256": digest} if self.hashes else {},
            **({"requires-python": python} if python else {}),
        }


def _link(file: dict[str, object]) -> str:
    fragment = "".join(f"#sha256={digest}" for digest in file["hashes"].values())
    only = f' data-requires-python="{html.escape(file["requires-python"])}"' if "requires-python" in file else ""
    return f'<a href="{file["url"]}{fragment}"{only}>{html.escape(file["filename"])}</a>'


def _handler(index: SimpleIndex) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(self.path)
            time.sleep(index.delay)
            parts = [urllib.parse.unquote(part) for part in self.path.strip("/").split("/")]
            content = (index.folder / parts[-1]).read_bytes() if "files" in parts else index.page(parts[-1])
            status = index.status if index.status != 200 else 200 if content is not None else 404
            body = content if status == 200 and content is not None else b"no"
            self.send_response(status)
            page = "application/vnd.pypi.simple.v1+json" if index.json else "text/html"
            self.send_header("Content-Type", "application/octet-stream" if "files" in parts else page)
            self.send_header("Content-Length", str(len(body)))
            # What it has may change within a test; uv keeps pages for ten minutes where nothing is said of that.
            self.send_header("Cache-Control", "no-cache")
            if status in (401, 407):
                self.send_header("WWW-Authenticate" if status == 401 else "Proxy-Authenticate", 'Basic realm="index"')
            self.end_headers()
            if self.command != "HEAD":
                # Who asked may have gone meanwhile.
                with suppress(ConnectionError):
                    self.wfile.write(body[:40] if index.cut and "files" in parts else body)

        do_HEAD = do_GET

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def simple_index(tmp_path) -> Iterator[Callable[[str], SimpleIndex]]:
    """Start indexes on free ports of this machine."""
    servers = []

    def start(name: str = "index") -> SimpleIndex:
        folder = tmp_path / f"files of {name}"
        folder.mkdir()
        index = SimpleIndex(folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(index))
        index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        servers.append((server, thread))
        return index

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
