"""What an index lists of a distribution, or how it does not answer: asked with pip's settings of this machine.

Resolvers tell neither the names of the files that they lock nor, most often, why an index did not help, nor what was
yanked (PEP 592). Both forms of the simple repository API are read
(https://packaging.python.org/en/latest/specifications/simple-repository-api/).
"""

from __future__ import annotations

import base64
import html
import json
import netrc
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from model_envelope.dependencies.index import IndexSettings
from model_envelope.foundation.files import human_size
from model_envelope.foundation.troubles import TROUBLES, State, Trouble

TIMEOUT = 15.0
"""Seconds that an index has to answer where pip's configuration says nothing else."""
_AT_ONCE = 8
_LARGEST = 64 * 1024 * 1024
_ACCEPTED = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

# A link with all its attributes, and one of these: those that are not asked for may hold anything.
_LINK = re.compile(r"""<a\s(?:[^>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_GIVEN = re.compile(r"""([\w:-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")


@dataclass(frozen=True)
class File:
    """A file that is listed: its name, its hashes as a lock writes them, and the Pythons that it is for.

    ``yanked`` is the reason given for that, which may be empty; None where it is not.
    """

    name: str
    hashes: frozenset[str] = frozenset()
    requires_python: str = ""
    yanked: str | None = None

    @property
    def hash(self) -> str:
        """Its SHA-256, as a lock writes it, or nothing."""
        return next((value for value in self.hashes if value.startswith("sha256:")), "")


@dataclass(frozen=True)
class Page:
    """What an index says of a distribution; ``said`` is its answer in words where that is no list."""

    url: str
    state: State
    files: tuple[File, ...] = ()
    said: str = ""


def addresses(index: IndexSettings, name: str) -> tuple[str, ...]:
    """Give the addresses of all pages that may list files of a distribution."""
    links = (link for link in index.find_links if link.startswith(("http:", "https:")))
    published = (page for page in index.published if page.endswith(f"/{name}/"))
    return (*(f"{url.rstrip('/')}/{name}/" for url in index.all_indexes()), *links, *published)


def fetch(index: IndexSettings, urls: Iterable[str]) -> Iterator[Page]:
    """Read pages, several at once, in their order. Nothing that an index does raises here."""
    wanted = list(urls)
    if wanted:
        with ThreadPoolExecutor(min(_AT_ONCE, len(wanted))) as pool:
            yield from pool.map(lambda url: _fetch(index, url), wanted)


def _fetch(index: IndexSettings, url: str) -> Page:
    try:
        if url.startswith("file:"):
            path = Path(unquote(urlsplit(url).path), "index.html")
            return _read(path.read_bytes(), "text/html", url)
        opener = _opener(index, urlsplit(url).hostname or "")
        with opener.open(_request(url), timeout=float(index.timeout or TIMEOUT)) as answer:
            content = answer.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                return Page(url, State.BROKEN, said=f"the page is larger than {human_size(_LARGEST)}")
            return _read(content, answer.headers.get_content_type(), answer.url)
    except FileNotFoundError:
        return Page(url, State.MISSING)
    except urllib.error.HTTPError as error:
        with error:
            return Page(url, _of_status(error.code), said=f"{error.code} {error.reason}")
    except urllib.error.URLError as error:
        return Page(url, _of_words(str(error.reason)), said=str(error.reason))
    except TimeoutError as error:
        return Page(url, State.SLOW, said=str(error))
    except OSError as error:
        return Page(url, _of_words(str(error)), said=str(error))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, HTTPException) as error:
        return Page(url, State.BROKEN, said=f"{type(error).__name__}: {error}")


def _of_status(code: int) -> State:
    if code in (404, 410):
        return State.MISSING
    return {401: State.FORBIDDEN, 403: State.FORBIDDEN, 407: State.PROXY}.get(code, State.BROKEN)


def _of_words(said: str) -> State:
    if "407" in said:
        return State.PROXY
    return State.SLOW if "timed out" in said.lower() else State.DOWN


def _read(content: bytes, kind: str, url: str) -> Page:
    if kind.endswith("json"):
        files = tuple(
            File(
                item["filename"],
                frozenset(f"{name}:{value.lower()}" for name, value in (item.get("hashes") or {}).items()),
                item.get("requires-python") or "",
                _yanked(item.get("yanked")),
            )
            for item in json.loads(content)["files"]
        )
    else:
        files = tuple(_links(content.decode("utf-8", "replace")))
    return Page(url, State.LISTED, files)


def _yanked(said: Any) -> str | None:
    return None if said is None or said is False else said if isinstance(said, str) else ""


def _links(text: str) -> Iterator[File]:
    """Read the links of a page; a parser of HTML takes ten times as long for the thousands that some have."""
    for link in _LINK.finditer(text):
        found = _GIVEN.findall(link[0], 2)
        given = {name.lower(): html.unescape(double or single or bare) for name, double, single, bare in found}
        path, _, fragment = given.get("href", "").partition("#")
        name = unquote(path.partition("?")[0].rpartition("/")[2])
        digest = re.fullmatch(r"(\w+)=([0-9a-fA-F]{32,128})", fragment)
        hashes = frozenset({f"{digest[1]}:{digest[2]}".lower()} if digest else ())
        if name:
            yield File(name, hashes, given.get("data-requires-python", ""), given.get("data-yanked"))


def _request(url: str) -> urllib.request.Request:
    """Ask as pip does: with the credentials of the address, else those of ``.netrc``."""
    address = urlsplit(url)
    user, password = address.username, address.password
    if user is None:
        with suppress(OSError, netrc.NetrcParseError):
            entry = netrc.netrc().authenticators(address.hostname or "")
            user, password = (entry[0], entry[2]) if entry else (None, None)
    bare = urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))
    request = urllib.request.Request(bare, headers={"Accept": _ACCEPTED})  # noqa: S310  from pip's settings alone
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}".encode()
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode())
    return request


def _opener(index: IndexSettings, host: str) -> urllib.request.OpenerDirector:
    trusted = host in {name.partition(":")[0] for name in index.trusted_hosts}
    context = _context(str(index.ca_bundle) if index.ca_bundle else None, trusted=trusted)
    proxies = {"http": index.proxy, "https": index.proxy} if index.proxy else None
    return urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
    )


@lru_cache(maxsize=4)
def _context(certificates: str | None, *, trusted: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates)
    if trusted:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def trouble_on_pages(pages: Iterable[Page]) -> tuple[Trouble, Page] | None:
    """Give what was met when an index was asked for its pages, the gravest first, and on which of them."""
    asked = list(pages)
    found = ((each, page) for each in TROUBLES for page in asked if page.state is each.state)
    return next(found, None)
