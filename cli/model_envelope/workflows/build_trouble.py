"""Says why a build could not get its packages, where the installer in it does not tell."""

from __future__ import annotations

import netrc
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.pages import fetch, trouble_on_pages
from model_envelope.foundation.errors import ToolFailed
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.troubles import trouble_in
from model_envelope.targets.network import CUT, Network, write_secret
from model_envelope.workflows.build_network import NetworkFlags, settings_for


@contextmanager
def explaining(network: Network, flags: NetworkFlags, lock: bytes) -> Iterator[None]:
    """Take credentials out of what a builder failed with, and say in plain words what it could not tell itself.

    Both pip and uv call a package that an index refuses to list one that is not there: the indexes are asked again,
    from here. A build without a network does not get system packages.
    """
    try:
        yield
    except ToolFailed as error:
        message, detail, code, hint = (
            network.redact(error.message),
            network.redact(error.detail),
            error.code,
            error.hint,
        )
        if network.mode == CUT and code in {"build.apt-unreachable", "build.system-libraries"}:
            lacks = re.search(r"(?:apt-get cannot|no apt-get to) install ([a-z][\w.+ -]*)", error.detail)
            what = lacks[1] if lacks else "libraries of the system that the packages need"
            message = f"the base image lacks {what}, and a build from a wheelhouse has no network to install that"
            code = "build.system-libraries"
            hint = "name a base image that has them: `--base-image`; `envelope show` lists the libraries"
        elif code == "build.package" and (told := _asked_again(error.message + error.detail, network, flags, lock)):
            text, code, hint = told
            message = f"the image cannot be built: {network.redact(text)}"
        raise ToolFailed(message, code=code, hint=hint, detail=detail) from None


def _asked_again(said: str, network: Network, flags: NetworkFlags, lock: bytes) -> tuple[str, str, str] | None:
    """Ask all indexes about the packages that an installer names; gives what was met in words, its code, and a hint."""
    names = [
        pin.name for pin in Lock.parse(lock).pins if re.search(rf"(?<![\w.-]){re.escape(pin.name)}(?![\w-])", said)
    ]
    with scratch_folder(prefix="envelope-secrets-") as scratch:
        for name, content in {"ca": network.ca, "netrc": network.netrc}.items():
            write_secret(scratch / name, content)
        settings = settings_for(flags)
        settings = replace(settings, ca_bundle=scratch / "ca" if network.ca else None)
        pages = fetch(settings, [page for name in names for page in _pages(settings, name, scratch / "netrc")])
        met = trouble_on_pages(pages)
    if met is None:
        return None
    trouble, page = trouble_in(met[1].said) or met[0], met[1]
    return f"{trouble.text} ({page.url})", f"build.{trouble.kind}", trouble.hint


def _pages(settings: IndexSettings, name: str, noted: Path) -> Iterator[str]:
    """Give the addresses of the pages of a distribution, with the credentials that a netrc has for them."""
    passwords = None
    with suppress(OSError, netrc.NetrcParseError):
        passwords = netrc.netrc(str(noted))
    indexes = [] if settings.no_index else [f"{url.rstrip('/')}/{name}/" for url in settings.indexes]
    for url in [*indexes, *(link for link in settings.find_links if link.startswith(("http:", "https:")))]:
        parts = urlsplit(url)
        entry = passwords.authenticators(parts.hostname or "") if passwords else None
        if entry and parts.username is None and parts.scheme in {"http", "https"}:
            userinfo = f"{quote(entry[0], safe='')}:{quote(entry[2], safe='')}"
            parts = parts._replace(netloc=f"{userinfo}@{parts.netloc}")
        yield urlunsplit(parts)
