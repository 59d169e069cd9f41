"""The conda environment that a model was packed in: its packages, who has which distribution, its channels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.dependencies.conda.channels import read_channels
from model_envelope.dependencies.freeze import conda_records
from model_envelope.dependencies.installed import Installed
from model_envelope.foundation.conda_lock import clean_address
from model_envelope.foundation.errors import InvalidInput

_INFO = re.compile(r"(?:^|/)([^/]+\.(?:dist|egg)-info)(?:/|$)")

PLATFORMS = {
    "linux-x86_64": "linux-64",
    "linux-aarch64": "linux-aarch64",
    "linux-ppc64le": "linux-ppc64le",
    "macosx-arm64": "osx-arm64",
    "macosx-x86_64": "osx-64",
    "win-amd64": "win-64",
}
"""What conda calls a platform, by the first and last part of what ``sysconfig.get_platform()`` says."""


@dataclass(frozen=True)
class CondaEnvironment:
    """What the ``conda-meta`` of an environment tells.

    ``packages`` are the versions of the conda packages by name. ``owners`` names for each distribution of PyPI,
    canonically, the conda package whose files its metadata is; what pip installed is not in it. ``channels`` are
    addresses without credentials, by priority.
    """

    platform: str
    channels: tuple[str, ...]
    packages: Mapping[str, str]
    owners: Mapping[str, str]

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form, as the provenance keeps it."""
        return {
            "platform": self.platform,
            "channels": list(self.channels),
            "packages": dict(self.packages),
            "owners": dict(self.owners),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> CondaEnvironment:
        """Read the JSON form."""
        return cls(
            document["platform"], tuple(document["channels"]), dict(document["packages"]), dict(document["owners"])
        )


def read_conda_environment(prefix: Path, installed: Installed) -> CondaEnvironment | None:
    """Read the environment in a folder; None where it is none of conda's, or one without a Python.

    A distribution that pip upgraded in place is pip's: the metadata that the conda package wrote is gone then.
    """
    records = conda_records(prefix)
    if records is None:
        return None
    packages = {str(record["name"]): str(record["version"]) for record in records}
    if "python" not in packages:
        return None
    infos = {
        match[1]: str(record["name"])
        for record in records
        for file in record.get("files") or ()
        if (match := _INFO.search(str(file)))
    }
    owners = {
        key: infos[item.info.name]
        for key, item in sorted(installed.distributions.items())
        if item.info.name in infos and item.location.is_relative_to(prefix)
    }
    subdirs = Counter(str(record["subdir"]) for record in records if record.get("subdir") not in (None, "noarch"))
    platform = subdirs.most_common(1)[0][0] if subdirs else ""
    return CondaEnvironment(platform, _channels(records, prefix), dict(sorted(packages.items())), owners)


def platform_of(described: str) -> str:
    """Give conda's name of a platform as ``sysconfig`` tells it (``linux-x86_64``); empty for one that conda lacks."""
    words = described.split("-")
    return PLATFORMS.get(f"{words[0]}-{words[-1]}", "")


def chosen_platforms(asked: Sequence[str], here: str) -> tuple[str, ...]:
    """Give the platforms to lock for: those asked for, else this one and linux-64; sorted.

    What container engines say (``linux/arm64``) is understood too.

    Raises :class:`InvalidInput` (``lock.platform``) for what conda has no packages for.
    """
    spelled = {
        "linux/amd64": "linux-64",
        "linux/arm64": "linux-aarch64",
        "macos/amd64": "osx-64",
        "macos/arm64": "osx-arm64",
    }
    known = {*PLATFORMS.values()}
    chosen = {spelled.get(word, word) for word in asked} or {here or "linux-64", "linux-64"}
    if wrong := sorted(chosen - known):
        raise InvalidInput(
            f"conda has no platform {', '.join(f'`{word}`' for word in wrong)}",
            code="lock.platform",
            hint="one of " + ", ".join(f"`{word}`" for word in sorted(known)),
        )
    return tuple(sorted(chosen))


def _channels(records: Iterable[Mapping[str, Any]], prefix: Path) -> tuple[str, ...]:
    """Give the channels that packages came from: in the order of the settings, then those of most packages first."""
    used = Counter(address for record in records if (address := _channel(record)))
    configured = list(read_channels(prefix).addresses)
    order = sorted(
        used, key=lambda url: (configured.index(url) if url in configured else len(configured), -used[url], url)
    )
    return tuple(order or configured)


def _channel(record: Mapping[str, Any]) -> str:
    """Give the address of the channel that a package came from; empty where its record does not tell."""
    address = str(record.get("url") or "")
    if "://" in address:
        return clean_address(address).rsplit("/", 2)[0]
    channel = str(record.get("channel") or "")
    if "://" not in channel:
        return ""
    folder, _, subdir = clean_address(channel).rstrip("/").rpartition("/")
    return folder if subdir in (record.get("subdir"), "noarch") else f"{folder}/{subdir}"
