"""The names of the files that a lock has the hashes of, as indexes and folders of wheels list them.

Resolvers tell hashes alone. That a hash is that of a file of this name is true whichever index says so, so what was
once found is kept in the user's cache, and a lock that was made before asks nobody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import netrc
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion

from model_envelope.dependencies.index import IndexSettings
from model_envelope.foundation.directories import cache_dir
from model_envelope.foundation.files import json_bytes, write_atomic
from model_envelope.foundation.lockfile import Lock, Pin

TIMEOUT = 15.0
"""Seconds that an index has to answer where pip's configuration says nothing else."""
_AT_ONCE = 8
_LARGEST = 64 * 1024 * 1024
_ACCEPTED = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

Files = dict[str, str]
"""Names of files by hash, as a lock writes it."""


def with_file_names(lock: Lock, index: IndexSettings) -> Lock:
    """Give a lock whose pins know the names of their files, as far as anybody here tells them.

    Where all are known, of several source archives of a version only one stays, a ``.tar.gz`` before others: the form
    of PEP 751 can name one. An index that does not answer is no error here: it has been asked by the resolver before.
    """
    before = {_key(pin): _cached(pin) for pin in lock.pins}
    found = {_key(pin): before[_key(pin)] | dict(pin.files) for pin in lock.pins}
    if lacking := _lacking(lock, found):
        for folder in index.local_folders():
            _add_folder(folder, found, {_key(pin) for pin in lacking})
    if lacking := _lacking(lock, found):
        pages = [(page, _key(pin)) for pin in lacking for page in _pages(index, pin.name)]
        for key, files in _all_listed(index, pages):
            found[key] |= files
    for key, files in found.items():
        if files != before[key]:
            _keep(key, files)
    return Lock(tuple(_named(pin, found[_key(pin)]) for pin in lock.pins))


def _key(pin: Pin) -> tuple[str, str]:
    return pin.name, pin.version


def with_files_of_all_indexes(lock: Lock, index: IndexSettings) -> Lock:
    """Add the hashes of the files that extra indexes and folders of wheels have of a version.

    uv takes the files of one index, the main one before others, and of a folder those that fit the interpreter; pip
    those of all. Without this a lock would hold on fewer platforms, and be another one than pip-tools gives.
    """
    extra = () if index.no_index else index.extra_index_urls
    found: dict[tuple[str, str], Files] = {_key(pin): {} for pin in lock.pins if not pin.source}
    for folder in index.local_folders():
        _add_folder(folder, found, set(found))
    pages = [(f"{url.rstrip('/')}/{name}/", (name, version)) for name, version in found for url in extra]
    for key, files in _all_listed(index, pages):
        found[key] |= files
    return Lock(
        tuple(
            replace(pin, hashes=(*pin.hashes, *found[_key(pin)]), files=(*pin.files, *found[_key(pin)].items()))
            if _key(pin) in found
            else pin
            for pin in lock.pins
        )
    )


def is_listed(name: str, value: str, index: IndexSettings) -> bool:
    """Whether an index has a file of a distribution with this hash; not where none answers."""
    return any(value in _listed(index, page) for page in _pages(index, name))


def distribution_of(file: str) -> tuple[str, str] | None:
    """Give the canonical name and the version that the name of a wheel or a source archive tells, or None."""
    try:
        if file.endswith(".whl"):
            name, version, *_ = parse_wheel_filename(file)
        elif file.endswith((".tar.gz", ".zip")):
            name, version = parse_sdist_filename(file)
        else:
            return None
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return name, str(version)


def _lacking(lock: Lock, found: Mapping[tuple[str, str], Files]) -> list[Pin]:
    return [pin for pin in lock.pins if not pin.source and not set(pin.hashes) <= found[_key(pin)].keys()]


def _named(pin: Pin, files: Files) -> Pin:
    mine = {value: files[value] for value in pin.hashes if value in files}
    if len(mine) == len(pin.hashes):
        sdists = sorted((not name.endswith(".tar.gz"), name, value) for value, name in mine.items() if _is_sdist(name))
        for _, _, value in sdists[1:]:
            del mine[value]
        return replace(pin, hashes=tuple(mine), files=tuple(mine.items()))
    return replace(pin, files=tuple(mine.items()))


def _is_sdist(name: str) -> bool:
    return not name.endswith(".whl")


def _add_folder(folder: Path, found: dict[tuple[str, str], Files], lacking: set[tuple[str, str]]) -> None:
    for path in sorted(folder.iterdir()):
        key = distribution_of(path.name)
        if key in lacking and path.is_file():
            with path.open("rb") as file:
                found[key][f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"] = path.name


def _pages(index: IndexSettings, name: str) -> Iterator[str]:
    """Give the addresses of all pages that may list the files of a distribution."""
    for url in index.all_indexes():
        yield f"{url.rstrip('/')}/{name}/"
    yield from (link for link in index.find_links if link.startswith(("http:", "https:")))


def _all_listed(
    index: IndexSettings, pages: Sequence[tuple[str, tuple[str, str]]]
) -> Iterator[tuple[tuple[str, str], Files]]:
    """Read pages at once, each for the files of one version."""
    if not pages:
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for (_, key), files in zip(pages, pool.map(lambda item: _listed(index, item[0]), pages), strict=True):
            yield key, {value: name for value, name in files.items() if distribution_of(name) == key}


def _listed(index: IndexSettings, page: str) -> Files:
    """Read what a page lists; nothing where it cannot be had or is no such page."""
    with suppress(OSError, ValueError, urllib.error.URLError):
        if page.startswith("file:"):
            content, kind = Path(unquote(urlsplit(page).path), "index.html").read_bytes(), "text/html"
            return _read(content, kind, page)
        request, opener = _request(page), _opener(index, urlsplit(page).hostname or "")
        with opener.open(request, timeout=float(index.timeout or TIMEOUT)) as answer:
            return _read(answer.read(_LARGEST), answer.headers.get_content_type(), answer.url)
    return {}


def _read(content: bytes, kind: str, page: str) -> Files:
    if kind.endswith("json"):
        document = json.loads(content)
        files = document.get("files", ()) if isinstance(document, dict) else ()
        return {f"sha256:{item['hashes']['sha256']}": item["filename"] for item in files if "sha256" in item["hashes"]}
    links = _Links(page)
    links.feed(content.decode("utf-8", "replace"))
    return links.found


class _Links(HTMLParser):
    """Collects the links of a page of an index (PEP 503) that tell their hash."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page
        self.found: Files = {}

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note a link."""
        target = dict(attrs).get("href") if tag == "a" else None
        if target:
            address = urlsplit(urljoin(self._page, target))
            algorithm, _, digest = address.fragment.partition("=")
            if algorithm == "sha256":
                self.found[f"sha256:{digest.lower()}"] = unquote(address.path.rpartition("/")[2])


def _request(page: str) -> urllib.request.Request:
    """Ask as pip does: with the credentials of the address, else those of ``.netrc``."""
    address = urlsplit(page)
    user, password = address.username, address.password
    host = address.netloc.rpartition("@")[2]
    if user is None:
        with suppress(OSError, netrc.NetrcParseError):
            entry = netrc.netrc().authenticators(address.hostname or "")
            user, password = (entry[0], entry[2]) if entry else (None, None)
    request = urllib.request.Request(urlunsplit(address._replace(netloc=host)), headers={"Accept": _ACCEPTED})  # noqa: S310  http(s) alone comes here
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}".encode()
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode())
    return request


def _opener(index: IndexSettings, host: str) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=str(index.ca_bundle) if index.ca_bundle else None)
    if host in {trusted.partition(":")[0] for trusted in index.trusted_hosts}:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    proxies = {"http": index.proxy, "https": index.proxy} if index.proxy else None
    handlers = [urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)]
    return urllib.request.build_opener(*handlers)


def _place(key: tuple[str, str]) -> Path:
    name, version = key
    return cache_dir() / "files" / name / f"{version}.json"


def _cached(pin: Pin) -> Files:
    """Give what was once found; what cannot be read is found anew."""
    try:
        document = json.loads(_place(_key(pin)).read_bytes())
    except (OSError, ValueError):
        return {}
    known = document.items() if isinstance(document, dict) else ()
    return {value: name for value, name in known if isinstance(name, str) and distribution_of(name) == _key(pin)}


def _keep(key: tuple[str, str], files: Files) -> None:
    """Note what was found. A cache that cannot be written costs time, and nothing else."""
    path = _place(key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json_bytes(dict(sorted(files.items()))))
