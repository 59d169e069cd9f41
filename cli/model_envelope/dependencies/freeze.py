"""An environment as ``pip freeze`` and ``conda list`` would write it, read from its files: neither of them is started.

Addresses are given as they are noted there, credentials included: whoever keeps these lines takes them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.dependencies.distribution import Distribution
from model_envelope.dependencies.installed import Installed

Checkout = Callable[[Path, str], str | None]
"""Gives where the code of a folder can be had again, as ``git+https://host/repository@commit#egg=name``, or None."""


def pip_freeze(installed: Installed, *, checkout: Checkout = lambda *_: None) -> list[str]:
    """Give the lines of ``pip freeze --all``.

    What comes from elsewhere than an index is a direct reference (PEP 610); an editable distribution is named by its
    ``checkout``, or by its folder where that is in no repository with a remote.
    """
    lines = []
    for _, item in sorted(installed.distributions.items()):
        if item.project is not None:
            lines += _editable(item, item.project, checkout)
        elif item.direct_url:
            lines.append(f"{item.name} @ {_reference(item.direct_url)}")
        else:
            lines.append(f"{item.name}=={item.version}")
    return lines


def _editable(item: Distribution, project: Path, checkout: Checkout) -> list[str]:
    source = checkout(project, item.name)
    if source:
        return [f"-e {source}"]
    return [f"# Editable install with no version control ({item.name}=={item.version})", f"-e {project}"]


def _reference(direct_url: Mapping[str, Any]) -> str:
    url, fragments = str(direct_url["url"]), []
    vcs, archive = direct_url.get("vcs_info"), direct_url.get("archive_info")
    if isinstance(vcs, Mapping):
        url = f"{vcs.get('vcs', 'vcs')}+{url}" + (f"@{vcs['commit_id']}" if vcs.get("commit_id") else "")
    elif isinstance(archive, Mapping):
        hashes = archive.get("hashes")
        if isinstance(archive.get("hash"), str):
            fragments.append(archive["hash"])
        elif isinstance(hashes, Mapping):
            fragments += [f"{name}={value}" for name, value in sorted(hashes.items())][:1]
    if direct_url.get("subdirectory"):
        fragments.append(f"subdirectory={direct_url['subdirectory']}")
    return url + ("#" + "&".join(fragments) if fragments else "")


@dataclass(frozen=True)
class CondaList:
    """A conda environment as the lines of ``conda list --export`` and of ``conda list --explicit --md5``."""

    export: list[str]
    explicit: list[str]


def conda_list(prefix: Path, installed: Installed) -> CondaList | None:
    """Read a conda environment by its ``conda-meta``; None where the folder is no such environment.

    Records that cannot be read are passed over, as conda does. What pip installed there is listed too.
    """
    records = conda_records(prefix)
    if records is None:
        return None
    by_pip = [item for item in installed.distributions.values() if item.installer != "conda"]
    named = {record["name"]: f"{record['name']}={record['version']}={record['build']}" for record in records}
    named |= {item.key: f"{item.key}={item.version}=pypi_0" for item in by_pip if item.key not in named}
    platform = next((str(record["subdir"]) for record in records if record.get("subdir") not in (None, "noarch")), "")
    about = [f"# platform: {platform}"] if platform else []
    addresses = [
        f"{record['url']}#{record['md5']}" if record.get("md5") else str(record["url"])
        for record in records
        if record.get("url")
    ]
    return CondaList([*about, *(line for _, line in sorted(named.items()))], [*about, "@EXPLICIT", *addresses])


def conda_records(prefix: Path) -> list[dict[str, Any]] | None:
    """Read the records of what conda installed into an environment; None where the folder is none of conda's."""
    folder = prefix / "conda-meta"
    if not (folder / "history").is_file():
        return None
    return [record for path in sorted(folder.glob("*.json")) if (record := _record(path))]


def _record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(record, dict) and all(isinstance(record.get(key), str) for key in ("name", "version", "build"))
    return record if known else None
