"""What an index lists of a distribution, or how it does not answer: asked with pip's settings of this machine.

Resolvers tell neither the names of the files that they lock nor, most often, why an index did not help. Both forms of
the simple repository API are read (https://packaging.python.org/en/latest/specifications/simple-repository-api/).
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
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from model_envelope.dependencies.index import IndexSettings

TIMEOUT = 15.0
"""Seconds that an index has to answer where pip's configuration says nothing else."""
_AT_ONCE = 8
_LARGEST = 64 * 1024 * 1024
_ACCEPTED = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

_LINK = re.compile(r"""<a\s(?:[^>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_GIVEN = re.compile(r"""(href|data-requires-python)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)


class State(Enum):
    """How an index answered."""

    LISTED = "listed"
    MISSING = "missing"
    FORBIDDEN = "forbidden"
    PROXY = "proxy"
    BROKEN = "broken"
    SLOW = "slow"
    DOWN = "down"


@dataclass(frozen=True)
class File:
    """A file that is listed: its name, its hash as a lock writes it or nothing, and the Pythons that it is for."""

    name: str
    hash: str = ""
    requires_python: str = ""


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
    return (*(f"{url.rstrip('/')}/{name}/" for url in index.all_indexes()), *links)


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
            return _read(answer.read(_LARGEST), answer.headers.get_content_type(), answer.url)
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
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
            File(item["filename"], _sha256(item.get("hashes") or {}), item.get("requires-python") or "")
            for item in json.loads(content)["files"]
        )
    else:
        files = tuple(_links(content.decode("utf-8", "replace")))
    return Page(url, State.LISTED, files)


def _sha256(hashes: Any) -> str:
    return f"sha256:{hashes['sha256'].lower()}" if "sha256" in hashes else ""


def _links(text: str) -> Iterator[File]:
    """Read the links of a page; a parser of HTML takes ten times as long for the thousands that some have."""
    for link in _LINK.finditer(text):
        given = {name.lower(): html.unescape(double or single) for name, double, single in _GIVEN.findall(link[0])}
        path, _, fragment = given.get("href", "").partition("#")
        name = unquote(path.partition("?")[0].rpartition("/")[2])
        digest = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
        value = f"sha256:{digest[1].lower()}" if digest else ""
        if name:
            yield File(name, value, given.get("data-requires-python", ""))


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
