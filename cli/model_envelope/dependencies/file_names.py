"""The names of the files that a lock has the hashes of, as indexes and folders of wheels list them.

Resolvers tell hashes alone. That a hash is that of a file of this name is true whichever index says so, so what was
once found is kept in the user's cache, and a lock that was made before asks nobody.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.pages import File, Page, addresses, fetch
from model_envelope.foundation.directories import cache_dir
from model_envelope.foundation.files import json_bytes, write_atomic
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.troubles import State

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
        pages = [(page, _key(pin)) for pin in lacking for page in addresses(index, pin.name)]
        for key, files in _all_listed(index, pages):
            found[key] |= files
    for key, files in found.items():
        if files != before[key]:
            _keep(key, files)
    return Lock(tuple(_named(pin, found[_key(pin)]) for pin in lock.pins))


def _key(pin: Pin) -> tuple[str, str]:
    return pin.name, pin.version


def with_files_of_all_indexes(lock: Lock, index: IndexSettings) -> Lock:
    """Add the hashes of the files that extra indexes, folders of wheels and publishers' pages have of a version.

    uv takes the files of one index, the main one before others, and of a folder those that fit the interpreter; pip
    those of all. Without this a lock would hold on fewer platforms, and be another one than pip-tools gives.
    """
    extra = () if index.no_index else index.extra_index_urls
    found: dict[tuple[str, str], Files] = {_key(pin): {} for pin in lock.pins if not pin.source}
    for folder in index.local_folders():
        _add_folder(folder, found, set(found))
    pages = [(f"{url.rstrip('/')}/{name}/", (name, version)) for name, version in found for url in extra]
    pages += [(page, key) for page in index.published for key in found if page.endswith(f"/{key[0]}/")]
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


def listed_lock(versions: Mapping[str, str], index: IndexSettings) -> Lock | None:
    """Make a lock of some versions with the hashes that indexes and folders list, of all of their files.

    None where a version is not listed, or a file of it without a hash: then it has to be fetched to know it.
    """
    found: dict[tuple[str, str], Files] = {(name, str(Version(version))): {} for name, version in versions.items()}
    for folder in index.local_folders():
        _add_folder(folder, found, set(found))
    wanted = [(page, key) for key in found for page in addresses(index, key[0])]
    for (_, key), page in zip(wanted, fetch(index, [page for page, _ in wanted]), strict=True):
        files = files_of(page, key)
        if page.state not in (State.LISTED, State.MISSING) or not all(file.hash for file in files):
            return None
        found[key] |= {file.hash: file.name for file in files}
    if not all(found.values()):
        return None
    return Lock(tuple(Pin(*key, tuple(files), files=tuple(files.items())) for key, files in found.items()))


def is_listed(name: str, value: str, index: IndexSettings) -> bool:
    """Whether an index has a file of a distribution with this hash; not where none answers."""
    pages = fetch(index, addresses(index, name))
    return any(file.hash == value for page in pages for file in page.files)


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


def files_of(page: Page, key: tuple[str, str]) -> list[File]:
    """Give the files of one version. A page may list thousands, and most tell by their numbers that they are others."""
    numbers = _numbers(key[1])
    found = []
    for file in page.files:
        parts = file.name.split("-", 2)
        if (not file.name.endswith(".whl") or _numbers(parts[min(1, len(parts) - 1)]) == numbers) and (
            distribution_of(file.name) == key
        ):
            found.append(file)
    return found


def _numbers(version: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", version)]


def _all_listed(
    index: IndexSettings, pages: Sequence[tuple[str, tuple[str, str]]]
) -> Iterator[tuple[tuple[str, str], Files]]:
    """Read pages, each for the files of one version."""
    found = fetch(index, [page for page, _ in pages])
    for (_, key), page in zip(pages, found, strict=True):
        yield key, {file.hash: file.name for file in files_of(page, key) if file.hash}


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
