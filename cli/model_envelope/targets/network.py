"""What a build needs of this machine's network, and how it reaches the builder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Network:
    """What a build needs to reach a package index and Debian's mirrors: plain data, found out elsewhere.

    ``pip_conf`` is the content of a pip.conf, which may hold credentials; ``ca_bundle`` a file of authorities, and
    ``apt_conf`` an apt.conf with a proxy or other sources, which may hold credentials too; ``mamba_auth`` is an
    authentication.json of mamba's, with credentials of channels.
    """

    pip_conf: bytes = b""
    ca_bundle: Path | None = None
    apt_conf: Path | None = None
    mamba_auth: bytes | None = None


def proxies() -> dict[str, str]:
    """Give the proxies to hand on: these arguments are known to every builder and kept in no image or history."""
    found = {name: os.environ.get(name, "") for name in PROXIES}
    return {name: value for name, value in found.items() if value and "//localhost" not in value}
