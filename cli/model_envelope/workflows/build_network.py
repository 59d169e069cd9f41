"""Finds out what a build needs to reach packages, from the settings of this machine."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from configparser import RawConfigParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from model_envelope.dependencies.conda.channels import Channels
from model_envelope.dependencies.index import IndexSettings
from model_envelope.foundation.conda_lock import clean_address
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import json_bytes
from model_envelope.targets.network import Network

APT_CONF = "ENVELOPE_APT_CONF"
"""The variable that names an apt.conf for builds."""


def mamba_authentication(channels: Channels) -> bytes | None:
    """Give an authentication.json for mamba: what `micromamba login` noted here, and what conda's settings name.

    None where there are no credentials. What is no JSON there is left to mamba to complain about.
    """
    path = Path.home() / ".mamba" / "auth" / "authentication.json"
    noted = path.read_bytes() if path.is_file() else b"{}"
    try:
        known = json.loads(noted)
    except ValueError:
        return noted
    found = {}
    for address in channels.configured:
        key = clean_address(address).partition("://")[2]
        parts = urlsplit(address)
        token = re.search(r"/t/([^/]+)", parts.path)
        if parts.username is not None:
            password = base64.b64encode(unquote(parts.password or "").encode()).decode()
            found[key] = {"type": "BasicHTTPAuthentication", "user": unquote(parts.username), "password": password}
        elif token:
            found[key] = {"type": "CondaToken", "token": token[1]}
    return json_bytes({**found, **known}) if found or known else None


def apt_conf() -> Path | None:
    """Give the apt.conf for builds that ENVELOPE_APT_CONF names.

    Raises :class:`InvalidInput` (``settings.apt-conf``) where it is no file.
    """
    named = os.environ.get(APT_CONF)
    if not named:
        return None
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise InvalidInput(
            f"{APT_CONF} names {path}, and there is no such file",
            code="settings.apt-conf",
            hint="name a file in the form of apt.conf, with a proxy or other sources, or unset it",
        )
    return path


def network(settings: IndexSettings) -> Network:
    """Give what a build needs to reach the package index: pip's settings, but for places of this machine alone."""
    options = {
        "index-url": [settings.index_url] if settings.index_url else [],
        "extra-index-url": settings.extra_index_urls,
        "find-links": [link for link in settings.find_links if link.startswith(("http:", "https:"))],
        "trusted-host": settings.trusted_hosts,
    }
    parser = RawConfigParser()
    parser["global"] = {
        name: "\n".join(kept)
        for name, values in options.items()
        if (kept := [value for value in values if not value.startswith("file:")])
    }
    if not parser["global"]:
        return Network(ca_bundle=settings.ca_bundle)
    text = io.StringIO()
    parser.write(text)
    return Network(text.getvalue().encode(), settings.ca_bundle)
