"""Builds of one version that are told apart by a local label (``2.13.0+cpu``), and where their files are.

Whoever publishes them has an index for each label, which no configuration of pip's needs to name: a version with such a
label is looked for there where no index or folder of this machine has it. Of that index only the page of the
distribution is looked at, as pip and uv do with ``--find-links``: no other package can come from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from packaging.version import InvalidVersion, Version

from model_envelope.dependencies.file_names import distribution_of, files_of
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.pages import Page, addresses, fetch, trouble_on_pages
from model_envelope.dependencies.wheels import unfit_tags
from model_envelope.foundation.accelerators import builds_of, page_of
from model_envelope.foundation.errors import ToolFailed, Unsolvable
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.troubles import State
from model_envelope.runtime.errors import Problem


def with_published(index: IndexSettings, versions: Mapping[str, str]) -> IndexSettings:
    """Give the same settings with the pages of those who publish these versions, where nothing else has them.

    A page that cannot be read is left out, and so are all where pip is to ask no index.
    """
    if index.no_index:
        return index
    found = []
    for name, version in sorted(versions.items()):
        address = page_of(name, version)
        if address and address not in index.published and not _own_files(index, name, version):
            page = next(iter(fetch(index, [address])))
            found += [address] if files_of(page, (name, str(Version(version)))) else []
    return replace(index, published=(*index.published, *found))


def with_links_for(index: IndexSettings, lock: Lock) -> IndexSettings:
    """Give settings for an installer elsewhere, which is to find all that a lock names: such pages are links to it."""
    found = with_published(index, lock.versions())
    return replace(found, find_links=(*found.find_links, *found.published), published=())


def require_builds(index: IndexSettings, versions: Mapping[str, str], platform: Platform, python: str) -> None:
    """Look whether there are wheels of all of these versions for a platform and a Python (``3.12``).

    Raises :class:`ToolFailed` (``lock.cpu-index``) where the index that should have them does not answer, and
    ``Unsolvable`` (``lock.no-cpu-build``) that names all that it has no wheels of.
    """
    problems, silent = [], list[Page]()
    for name, version in sorted(versions.items()):
        files, pages = _own_files(index, name, version), list[Page]()
        if not files and not index.no_index:
            pages = list(fetch(index, [page_of(name, version)]))
            files = [file.name for page in pages for file in files_of(page, (name, version))]
        if any(file.endswith(".whl") and not unfit_tags(file, platform, python) for file in files):
            continue
        silent += [page for page in pages if page.state not in (State.LISTED, State.MISSING)]
        expected = f"a wheel of {version} for Python {python} on {platform}"
        problems.append(Problem(name, f"{len(files)} files of {version}", expected, "lock.no-cpu-build"))
    known = [builds for name in versions if (builds := builds_of(name))]
    mirror = "; ".join(dict.fromkeys(f"{item.variable} names a mirror of {item.index}" for item in known))
    if silent:
        trouble = trouble_on_pages(silent)
        said = "\n".join(index.redact(f"{page.url}: {page.said or page.state.value}") for page in silent)
        raise ToolFailed(
            f"the index of builds for CPUs does not help: {trouble[0].text if trouble else 'it gave no list'}",
            code="lock.cpu-index",
            detail=said,
            hint=f"{mirror}; what an index in pip's settings has is taken from there",
        )
    if problems:
        raise Unsolvable(
            f"there is no build for CPUs of {', '.join(f'`{item.path} {versions[item.path]}`' for item in problems)}",
            code="lock.no-cpu-build",
            problems=problems,
            hint=f"take a version that has one (`--upgrade-package`), or lock with what there is (`--gpu`); {mirror}",
        )


def _own_files(index: IndexSettings, name: str, version: str) -> list[str]:
    """Give the names of the files of a version that the indexes and folders of this machine have."""
    try:
        key = (name, str(Version(version)))
    except InvalidVersion:
        return []
    here = [path.name for folder in index.local_folders() for path in sorted(folder.iterdir())]
    found = [file for file in here if distribution_of(file) == key]
    return found or [file.name for page in fetch(index, addresses(index, name)) for file in files_of(page, key)]
