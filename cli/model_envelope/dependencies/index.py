"""Where packages come from on this machine: what pip's own configuration says, handed to uv too.

uv reads none of pip's configuration, so a machine set up for pip alone would lock from the wrong index. No pip process
is started for it: reading a few small files takes a millisecond, asking pip half a second.

Precedence and file locations are pip's: https://pip.pypa.io/en/stable/topics/configuration/
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.secrets import credentials, scrub

DEFAULT_INDEX = "https://pypi.org/simple"
_SECTIONS = ("global", "install")
_UV_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


@dataclass(frozen=True)
class IndexSettings:
    """Index, extra indexes, folders of wheels, trusted hosts, certificate authorities, proxy, seconds to wait.

    URLs may carry credentials: they are handed to programs through their environment, and everything that is shown to
    a user goes through :meth:`redact`. ``index_url`` is None where nothing names one: the public index. ``wheels`` is a
    folder of an envelope, ``published`` are pages of those who publish builds of their own (:mod:`.builds`): both are
    looked into whatever is set on this machine. ``keyring`` and ``client_cert`` tell that pip is to ask a keyring for
    passwords, and to show a certificate of its own.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    ca_bundle: Path | None = None
    no_index: bool = False
    proxy: str | None = None
    timeout: str | None = None
    retries: str | None = None
    wheels: Path | None = None
    published: tuple[str, ...] = ()
    keyring: bool = False
    client_cert: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> IndexSettings:
        """Read pip's configuration files and variables.

        Raises :class:`InvalidInput` where a configuration file cannot be parsed.
        """
        variables = os.environ if environ is None else environ
        values = _configured(variables)
        certificates = values.get("cert") or variables.get("REQUESTS_CA_BUNDLE") or variables.get("SSL_CERT_FILE")
        return cls(
            index_url=_as_url(values["index-url"]) if values.get("index-url") else None,
            extra_index_urls=tuple(_as_url(url) for url in values.get("extra-index-url", "").split()),
            find_links=tuple(_absolute(link) for link in values.get("find-links", "").split()),
            trusted_hosts=tuple(values.get("trusted-host", "").split()),
            ca_bundle=Path(certificates).expanduser().absolute() if certificates else None,
            proxy=values.get("proxy") or None,
            timeout=values.get("timeout") or values.get("default-timeout") or None,
            retries=values.get("retries") or None,
            no_index=values.get("no-index", "").lower() in ("1", "true", "yes", "y", "on", "t"),
            keyring=values.get("keyring-provider", "") in {"import", "subprocess"},
            client_cert=bool(values.get("client-cert")),
        )

    def pip_environment(self) -> dict[str, str]:
        """Give the settings as pip's variables: for a pip that does not read the configuration that this tool reads."""
        variables = {
            "PIP_INDEX_URL": self.index_url or "",
            "PIP_EXTRA_INDEX_URL": " ".join(self.extra_index_urls),
            "PIP_FIND_LINKS": " ".join([*self.find_links, *self._always()]),
            "PIP_TRUSTED_HOST": " ".join(self.trusted_hosts),
            "PIP_CERT": str(self.ca_bundle or ""),
            "PIP_PROXY": self.proxy or "",
            "PIP_TIMEOUT": self.timeout or "",
            "PIP_RETRIES": self.retries or "",
            "PIP_NO_INDEX": "1" if self.no_index else "",
        }
        return {name: value for name, value in variables.items() if value}

    def uv_flags(self) -> list[str]:
        """Give what uv has no variable for, as options; they hold no credentials."""
        return ["--no-index"] if self.no_index else []

    def uv_environment(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the settings as variables of uv, leaving out what the user has set for uv itself.

        Where several indexes have the same version, pip takes the files of all of them, and uv those of the first one
        in its order, which puts extra indexes first. So the main index is named first here, and the last one takes the
        place of uv's default: both resolvers then give the same hashes.
        """
        own = os.environ if environ is None else environ
        given: dict[str, str] = {}
        # A machine whose pip names no index may still name one in uv's own configuration file.
        configured = self.index_url or self.extra_index_urls or self.no_index
        if configured and not any(own.get(name) for name in _UV_INDEX_VARIABLES):
            *first, last = self.indexes
            given["UV_DEFAULT_INDEX"] = last
            if first:
                given["UV_INDEX"] = " ".join(first)
                given["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        if self.find_links:
            given["UV_FIND_LINKS"] = ",".join(self.find_links)
        if self.trusted_hosts:
            given["UV_INSECURE_HOST"] = " ".join(self.trusted_hosts)
        if self.ca_bundle:
            given["SSL_CERT_FILE"] = str(self.ca_bundle)
        if self.proxy:
            given |= {"HTTPS_PROXY": self.proxy, "HTTP_PROXY": self.proxy}
        if self.timeout:
            given["UV_HTTP_TIMEOUT"] = self.timeout
        if self.retries:
            given["UV_HTTP_RETRIES"] = self.retries
        kept = {name: value for name, value in given.items() if not own.get(name)}
        if always := self._always():
            set_for_uv = own.get("UV_FIND_LINKS") or kept.get("UV_FIND_LINKS")
            kept["UV_FIND_LINKS"] = ",".join([*filter(None, [set_for_uv]), *always])
        return kept

    def local_folders(self) -> tuple[Path, ...]:
        """Give the folders of wheels among ``find_links`` that are on this machine."""
        paths = (Path(unquote(urlsplit(link).path)) for link in self.find_links if link.startswith(("/", "file://")))
        return tuple(path for path in paths if path.is_dir())

    def all_indexes(self, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Give all indexes that files may come from, those that are set for uv alone included."""
        own = os.environ if environ is None else environ
        # An index of uv may have a name: `UV_INDEX=ours=https://...`.
        words = [word for name in _UV_INDEX_VARIABLES for word in own.get(name, "").split()]
        of_uv = [re.sub(r"^[\w-]+=", "", word) for word in words]
        return tuple(dict.fromkeys([*(() if self.no_index else self.indexes), *map(_as_url, of_uv)]))

    def redact(self, text: str) -> str:
        """Take credentials out of a text that is shown or kept: those of any URL, those of these settings anywhere."""
        return scrub(text, self.secrets())

    def secrets(self) -> set[str]:
        """Give the credentials in these settings."""
        urls = (self.index_url or "", *self.extra_index_urls, *self.find_links, *self.published, self.proxy or "")
        return set().union(*map(credentials, urls))

    def with_wheels(self, folder: Path) -> IndexSettings:
        """Give the same settings with the wheels that travel in an envelope, where the folder is there."""
        return replace(self, wheels=folder.absolute()) if folder.is_dir() else self

    def _always(self) -> list[str]:
        # As an address: a path may hold what separates the values of these variables.
        return [*([] if self.wheels is None else [self.wheels.as_uri()]), *self.published]

    @property
    def indexes(self) -> list[str]:
        """The indexes of these settings, the main one first; those that are set for uv alone are not among them."""
        return [self.index_url or DEFAULT_INDEX, *self.extra_index_urls]


def _configured(variables: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for path in _files(variables):
        values |= _read(path)
    for name, value in variables.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
            values[name[4:].lower().replace("_", "-")] = value
    return values


def _files(variables: Mapping[str, str]) -> list[Path]:
    """Give pip's configuration files, weakest first."""
    named = variables.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(variables.get("HOME") or Path.home())
    shared = [Path(folder) / "pip" for folder in (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if folder]
    shared = [Path("/Library/Application Support/pip")] if sys.platform == "darwin" else [*shared, Path("/etc")]
    own = Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    application_support = home / "Library/Application Support/pip"
    if sys.platform == "darwin" and application_support.is_dir():
        own = application_support
    files = [folder / "pip.conf" for folder in shared]
    if not (named and Path(named).exists()):
        files += [home / ".pip" / "pip.conf", own / "pip.conf"]
    files.append(Path(sys.prefix) / "pip.conf")
    return [*files, Path(named)] if named else files


def _read(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"pip's configuration `{path}` cannot be read: {error}",
            code="index.bad-config",
            hint="`pip config debug` shows which files pip reads",
        ) from None
    found: dict[str, str] = {}
    for section in _SECTIONS:
        if parser.has_section(section):
            found |= {_key(name): value for name, value in parser.items(section)}
    return found


def _key(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _as_url(value: str) -> str:
    return value if "://" in value else Path(value).expanduser().absolute().as_uri()


def _absolute(value: str) -> str:
    return value if "://" in value else str(Path(value).expanduser().absolute())
