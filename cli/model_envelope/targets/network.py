"""What a build needs of the network, and how it reaches the builder: as secrets, which no layer and no cache keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.secrets import scrub

CUT = "none"
"""The network of a build that has none."""
HOST = "host"
"""The network of a build that reaches what listens on this machine alone (`localhost`)."""


@dataclass(frozen=True)
class Network:
    """What a build needs to reach an index, channels and Debian's mirrors: plain data, found out elsewhere.

    The bytes are the content of a pip.conf, a uv.toml, a netrc, a bundle of authorities (PEM), lines `NAME=value` of
    proxies, an apt.conf, and an authentication.json of mamba's; all but the bundle may hold credentials. ``mode`` is
    the network of the build itself: the engine's own, none (:data:`CUT`) or this machine's (:data:`HOST`).
    ``pip_variables`` are for a pip that is run on this machine and is to reach the same places, ``folders`` those of
    this machine whose wheels the build may need, ``hidden`` the credentials in all of it.
    """

    pip_conf: bytes = b""
    uv_toml: bytes = b""
    netrc: bytes = b""
    ca: bytes = b""
    proxy: bytes = b""
    apt_conf: bytes = b""
    mamba_auth: bytes = b""
    mode: str = ""
    pip_variables: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    hidden: frozenset[str] = frozenset()

    @property
    def secrets(self) -> dict[str, bytes]:
        """What is handed to the builder, by the id that the Dockerfile knows it by; what is empty is left out."""
        known = ("pip_conf", "uv_toml", "netrc", "ca", "proxy", "apt_conf", "mamba_auth")
        return {name: content for name in known if (content := getattr(self, name))}

    @contextmanager
    def words(self) -> Iterator[list[str]]:
        """Give what to add to `docker build`; the files that it names are this user's alone and are gone afterwards."""
        with scratch_folder(prefix="envelope-secrets-") as scratch:
            words = ["--network", self.mode] if self.mode else []
            for name, content in self.secrets.items():
                write_secret(scratch / name, content)
                words += ["--secret", f"id={name},src={scratch / name}"]
            yield words

    @contextmanager
    def pip_environment(self) -> Iterator[dict[str, str]]:
        """Give the variables for a pip on this machine; the files that they name are gone afterwards."""
        with scratch_folder(prefix="envelope-secrets-") as scratch:
            variables = dict(self.pip_variables)
            # A variable of requests, which pip uses, wins over what pip itself was told.
            authorities = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
            for content, names in ((self.ca, authorities), (self.netrc, ("NETRC",))):
                if content:
                    write_secret(scratch / names[0], content)
                    variables |= dict.fromkeys(names, str(scratch / names[0]))
            yield variables

    def redact(self, text: str) -> str:
        """Take the credentials out of what a builder said."""
        return scrub(text, self.hidden)


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that this user alone may read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
