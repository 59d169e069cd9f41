"""What package indexes say of the files of a project: their hashes, and whether they were yanked.

Read from the simple API as JSON or HTML (https://packaging.python.org/en/latest/specifications/simple-repository-api/,
with `yanked` of PEP 592), with the settings that pip has on this machine.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from model_envelope.dependencies.index import DEFAULT_INDEX, IndexSettings

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_TIMEOUT = 15.0
_AT_ONCE = 8


@dataclass(frozen=True)
class ListedFile:
    """A file that an index lists. ``hashes`` are as a lock writes them; ``yanked`` is None, or the reason given."""

    name: str
    hashes: frozenset[str]
    yanked: str | None


@dataclass(frozen=True)
class Pages:
    """What the indexes say of one project: the files, and why an index could not be asked, without credentials."""

    files: tuple[ListedFile, ...]
    failures: tuple[str, ...] = ()


def ask_indexes(names: Iterable[str], settings: IndexSettings) -> dict[str, Pages]:
    """Ask all indexes of this machine about projects, several at once. What cannot be asked is part of the answer."""
    if settings.no_index:
        return {name: Pages((), ("pip's settings name no index",)) for name in names}
    asker = _Asker(settings)
    listed = list(dict.fromkeys(names))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(listed, pool.map(asker.pages, listed), strict=True))


@dataclass
class _Asker:
    settings: IndexSettings
    _openers: dict[bool, urllib.request.OpenerDirector] = field(default_factory=dict)

    def pages(self, name: str) -> Pages:
        files: list[ListedFile] = []
        failures: list[str] = []
        for index in (self.settings.index_url or DEFAULT_INDEX, *self.settings.extra_index_urls):
            try:
                files += self._page(f"{index.rstrip('/')}/{name}/")
            except (OSError, HTTPException, ValueError) as error:
                reason = getattr(error, "reason", None) or error
                failures.append(self.settings.redact(f"{index}: {reason}"))
        return Pages(tuple(files), tuple(failures))

    def _page(self, url: str) -> list[ListedFile]:
        if url.startswith("file://"):
            folder = Path(unquote(urlsplit(url).path))
            page = folder / "index.html"
            if not page.is_file():
                return []
            return _from_html(page.read_text("utf-8"))
        request = urllib.request.Request(url, headers={"Accept": _ACCEPT})  # noqa: S310  pip's own settings name it
        parts = urlsplit(url)
        if parts.username is not None:
            account = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            host = parts.netloc.rpartition("@")[2]
            request.full_url = urlunsplit(parts._replace(netloc=host))
            request.add_header("Authorization", f"Basic {base64.b64encode(account.encode()).decode()}")
        try:
            with self._opener(parts.netloc.rpartition("@")[2]).open(
                request, timeout=float(self.settings.timeout or _TIMEOUT)
            ) as response:
                content = response.read().decode("utf-8", "replace")
                kind = response.headers.get_content_type()
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (404, 410):
                    return []
                raise OSError(f"it answers {error.code} {error.reason}") from None
        return _from_json(json.loads(content)) if kind.endswith("json") else _from_html(content)

    def _opener(self, host: str) -> urllib.request.OpenerDirector:
        trusted = host in self.settings.trusted_hosts or host.partition(":")[0] in self.settings.trusted_hosts
        if trusted not in self._openers:
            bundle = self.settings.ca_bundle
            context = ssl.create_default_context(cafile=str(bundle) if bundle else None)
            if trusted:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
            if proxy := self.settings.proxy:
                handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
            self._openers[trusted] = urllib.request.build_opener(*handlers)
        return self._openers[trusted]


def _from_json(document: Mapping[str, object]) -> list[ListedFile]:
    files = document.get("files")
    if not isinstance(files, list):
        raise ValueError("it answers with no list of files")  # noqa: TRY004  it is the answer that is wrong
    found = []
    for item in files:
        yanked = item.get("yanked", False)
        hashes = frozenset(f"{name}:{value}".lower() for name, value in (item.get("hashes") or {}).items())
        reason = None if yanked is False or yanked is None else yanked if isinstance(yanked, str) else ""
        found.append(ListedFile(str(item.get("filename", "")), hashes, reason))
    return found


def _from_html(text: str) -> list[ListedFile]:
    reader = _Links()
    reader.feed(text)
    return reader.found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[ListedFile] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag != "a" or not values.get("href"):
            return
        address = urlsplit(values["href"] or "")
        name, _, value = address.fragment.partition("=")
        hashes = frozenset({f"{name}:{value}".lower()}) if value else frozenset[str]()
        yanked = (values["data-yanked"] or "") if "data-yanked" in values else None
        self.found.append(ListedFile(unquote(address.path).rpartition("/")[2], hashes, yanked))
