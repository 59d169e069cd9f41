"""What the builder of an image hands in of the network: secrets that are there while one command runs."""

from __future__ import annotations

import re
from pathlib import Path

SECRETS = Path("/run/secrets")
_HOLD_CREDENTIALS = ("pip_conf", "uv_toml", "proxy")
_USER = re.compile(rb"://[^/\s\"']*@|^\w+=[^/\s]+@", re.MULTILINE)
_FILES = {
    "pip_conf": ("PIP_CONFIG_FILE",),
    "uv_toml": ("UV_CONFIG_FILE",),
    "netrc": ("NETRC",),
    "ca": ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "MAMBA_SSL_VERIFY"),
}


def names_indexes(folder: Path = SECRETS) -> bool:
    """Tell whether settings of pip or uv were handed in: they say where packages come from."""
    return any((folder / name).is_file() for name in ("pip_conf", "uv_toml"))


def variables(folder: Path = SECRETS) -> dict[str, str]:
    """Give the variables that lead an installer to the secrets that are there.

    Files are ``pip_conf`` (pip.conf), ``uv_toml`` (uv.toml), ``netrc``, ``ca`` (a bundle of authorities) and ``proxy``
    (lines ``NAME=value``).
    """
    found = {name: str(folder / file) for file, names in _FILES.items() if (folder / file).is_file() for name in names}
    proxy = folder / "proxy"
    if proxy.is_file():
        lines = (line.partition("=") for line in proxy.read_text("utf-8").splitlines())
        found |= {name.strip(): value.strip() for name, equals, value in lines if equals}
    return found


def has_credentials(folder: Path = SECRETS) -> bool:
    """Whether passwords are among the secrets.

    The caches of pip and uv keep the headers of requests that answers vary with (`Vary: Authorization`), and a cache
    that is kept between builds is open to any other build.
    """
    netrc = folder / "netrc"
    held = (folder / name for name in _HOLD_CREDENTIALS)
    return (netrc.is_file() and bool(netrc.read_bytes().strip())) or any(
        _USER.search(path.read_bytes()) for path in held if path.is_file()
    )
