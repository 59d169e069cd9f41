"""Finds out how a build reaches its packages: from flags, the settings of pip and uv, and this machine's network."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from model_envelope.dependencies.builds import with_links_for
from model_envelope.dependencies.conda.channels import Channels, read_channels
from model_envelope.dependencies.file_names import distribution_of
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.uv_settings import UvSettings
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note, Report
from model_envelope.foundation.secrets import credentials
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.targets.context import WHEELS
from model_envelope.targets.network import CUT, HOST, Network
from model_envelope.targets.wheelhouse import pick, pick_all
from model_envelope.workflows import network_files

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True)
class NetworkFlags:
    """What is said of the network for one build: single values win over settings, lists are added to them, as in pip.

    ``wheelhouse`` is a folder that all packages come from, with the network cut.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    cert: Path | None = None
    proxy: str | None = None
    netrc: Path | None = None
    wheelhouse: Path | None = None


SETTINGS_ALONE = NetworkFlags()
"""No flags."""


class Loopback(Protocol):
    """An engine, as far as it matters here."""

    @property
    def shares_loopback(self) -> bool:
        """Whether a build can be given the network of this machine itself."""
        ...


def find_network(
    flags: NetworkFlags, files: EnvelopeFiles, lock: Lock, engine: Loopback, report: Report, *, fetches_here: bool
) -> Network:
    """Give what a build needs of the network; what cannot be handed on is told.

    ``lock`` is of what will be installed, ``fetches_here`` says that packages are fetched by a pip on this machine,
    before the build.

    Raises :class:`InvalidInput` where a flag or a setting names a file that cannot be used.
    """
    if flags.wheelhouse is not None:
        _refuse_beside_wheelhouse(flags)
        return Network(mode=CUT)
    channels = read_channels() if files.conda_lock.is_file() else Channels()
    settings = with_links_for(settings_for(flags), lock)
    proxies = proxies_of(settings, UvSettings.from_environment().proxies)
    here = Network(
        netrc=network_files.netrc(flags.netrc, {_host(url) for url in _addresses(settings)}, report),
        ca=network_files.authorities(flags.cert, settings, report),
        mamba_auth=network_files.mamba_authentication(channels) or b"",
        pip_variables={"PIP_NO_INDEX": "0", **settings.pip_environment(), **proxies},
    )
    here = replace(here, hidden=_hidden(settings, proxies.values(), here.netrc, channels))
    if fetches_here:
        # The cache would keep the headers of requests that answers vary with.
        private = {"PIP_NO_CACHE_DIR": "1"} if here.hidden else {}
        return replace(here, pip_variables={**here.pip_variables, **private})
    if settings.keyring and not here.netrc:
        report(Note("passwords in a keyring stay there: name what the build needs in .netrc or in the index's address"))
    if settings.client_cert:
        report(Note("pip's client certificate is not handed to the build: an index that asks for it will refuse"))
    mode = ""
    if alone := sorted({_place(url) for url in [*_addresses(settings), *proxies.values()] if is_loopback(url)}):
        listens = f"{', '.join(alone)} can be reached from this machine alone"
        if engine.shares_loopback:
            mode = HOST
            report(Note(f"{listens}, so the build uses this machine's own network"))
        else:
            report(Note(f"{listens}, and the engine is elsewhere: the build goes without"))
            settings = _without_loopback(settings)
            proxies = {name: url for name, url in proxies.items() if not is_loopback(url)}
    return replace(
        here,
        pip_conf=network_files.pip_conf(settings),
        uv_toml=network_files.uv_toml(settings),
        proxy=network_files.proxy_lines(proxies) + network_files.patience_lines(settings),
        # What the user's own says of a proxy comes last, and wins.
        apt_conf=network_files.apt_proxies(proxies) + network_files.apt_conf(),
        mode=mode,
        folders=_folders(settings),
    )


def wheels_for(
    files: EnvelopeFiles, lock: Lock, flags: NetworkFlags, network: Network, platform: Platform, report: Report
) -> list[Path]:
    """Give the wheels that only this machine has: all that the lock names where the network is to be cut.

    Raises :class:`InvalidInput` (``build.wheelhouse``) where some are missing then.
    """
    if flags.wheelhouse is None and not network.folders:
        return []
    python = files.description.python
    if flags.wheelhouse is None:
        picked = pick(lock, network.folders, python=python, platform=platform)
        _say_listed_elsewhere(lock, network.folders, picked, report)
        return picked
    folder = flags.wheelhouse.expanduser().absolute()
    if not folder.is_dir():
        raise InvalidInput(
            f"{folder} is no folder, so no packages can come from it",
            code="build.wheelhouse",
            hint="name the folder that the wheels of the lock are in: `--wheelhouse DIR`",
        )
    return pick_all(lock, [folder, files.path / WHEELS], python=python, platform=platform)


def _say_listed_elsewhere(lock: Lock, folders: Iterable[Path], picked: Iterable[Path], report: Report) -> None:
    """Say what an index that is a folder lists without having the files: a build cannot ask it."""
    taken = {distribution[0] for path in picked if (distribution := distribution_of(path.name))}
    for folder in folders:
        listed = {pin.name for pin in lock.pins if (folder / pin.name / "index.html").is_file()}
        if names := sorted(listed - taken):
            some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            report(Note(f"the build cannot ask {folder}, which lists {some} without holding the files"))


def settings_for(flags: NetworkFlags) -> IndexSettings:
    """Give where packages come from: what flags say, and the settings of pip and of uv on this machine.

    Raises :class:`InvalidInput` where a file of settings cannot be read.
    """
    return combined(IndexSettings.from_environment(), UvSettings.from_environment(), flags)


def combined(pip: IndexSettings, uv: UvSettings, flags: NetworkFlags) -> IndexSettings:
    """Give all places that packages may come from: what is installed is held against the hashes of the lock anyway."""
    main = flags.index_url or pip.index_url or uv.default_index
    others = [*flags.extra_index_urls, *pip.extra_index_urls, *uv.indexes]
    if flags.index_url is None and uv.default_index is not None:
        others.append(uv.default_index)
    named = bool(flags.index_url or flags.extra_index_urls)
    return replace(
        pip,
        index_url=None if main is None else _from_here(main),
        extra_index_urls=tuple(dict.fromkeys(url for url in map(_from_here, others) if url != main)),
        find_links=tuple(dict.fromkeys([*map(_from_here, flags.find_links), *pip.find_links, *uv.find_links])),
        trusted_hosts=tuple(dict.fromkeys([*pip.trusted_hosts, *uv.insecure_hosts])),
        no_index=(pip.no_index or uv.no_index) and not named,
        proxy=flags.proxy or pip.proxy,
        timeout=pip.timeout or uv.timeout,
        keyring=pip.keyring or uv.keyring,
    )


def proxies_of(
    settings: IndexSettings, configured: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Give the proxies by variable: pip's own one is for all addresses; else those of variables, else uv's."""
    variables = os.environ if environ is None else environ
    found = {}
    for name in (*_PROXIES, "NO_PROXY"):
        if settings.proxy and name != "NO_PROXY":
            value = settings.proxy if name != "ALL_PROXY" else ""
        else:
            value = variables.get(name.lower()) or variables.get(name) or configured.get(name, "")
        if value and not re.search(r"[\r\n]", value):
            found[name] = value
    return found


def is_loopback(address: str) -> bool:
    """Whether an address (of a proxy: also `localhost:3128`) is one that each machine has for itself."""
    host = _host(address).rstrip(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _refuse_beside_wheelhouse(flags: NetworkFlags) -> None:
    others = [
        item.name.replace("urls", "url").replace("_", "-")
        for item in fields(flags)
        if item.name != "wheelhouse" and getattr(flags, item.name)
    ]
    if others:
        raise InvalidInput(
            f"--wheelhouse builds without a network, so {', '.join(f'--{name}' for name in others)} would do nothing",
            code="build.wheelhouse-and-network",
            hint="leave out the one or the other",
        )


def _hidden(settings: IndexSettings, proxies: Iterable[str], netrc: bytes, channels: Channels) -> frozenset[str]:
    """Give the credentials that are never shown, in each form that programs may write them in."""
    words = netrc.decode("utf-8", "replace").split()
    plain = settings.secrets() | channels.secrets() | set().union(*map(credentials, proxies))
    plain |= {word for before, word in pairwise(words) if before == "password"}
    return frozenset({form for word in plain for form in (word, quote(word, safe="")) if len(form) > 3})


def _addresses(settings: IndexSettings) -> Iterator[str]:
    yield from (settings.index_url or "", *settings.extra_index_urls, *settings.find_links)


def _without_loopback(settings: IndexSettings) -> IndexSettings:
    def kept(urls: Iterable[str]) -> tuple[str, ...]:
        return tuple(url for url in urls if not is_loopback(url))

    main = settings.index_url
    return replace(
        settings,
        index_url=None if main is None or is_loopback(main) else main,
        extra_index_urls=kept(settings.extra_index_urls),
        find_links=kept(settings.find_links),
    )


def _folders(settings: IndexSettings) -> tuple[Path, ...]:
    """Give the folders of this machine that wheels may be in: of links, and indexes that are folders."""
    indexes = [url for url in _addresses(settings) if url.startswith("file:")]
    local = IndexSettings(find_links=tuple(dict.fromkeys([*settings.find_links, *indexes])))
    return local.local_folders()


def _from_here(value: str) -> str:
    return value if "://" in value else Path(value).expanduser().absolute().as_uri()


def _host(url: str) -> str:
    return urlsplit(url if "://" in url else f"//{url}").hostname or ""


def _place(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"//{url}")
    return parts.netloc.rpartition("@")[2]
