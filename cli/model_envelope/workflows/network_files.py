"""The files that hand settings of the network to a build: written from settings, or found on this machine."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import ssl
from collections.abc import Collection, Iterable, Mapping
from configparser import RawConfigParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from model_envelope.dependencies.conda.channels import Channels
from model_envelope.dependencies.index import DEFAULT_INDEX, IndexSettings
from model_envelope.foundation.conda_lock import clean_address
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import json_bytes
from model_envelope.foundation.progress import Note, Report

APT_CONF = "ENVELOPE_APT_CONF"
"""The variable that names an apt.conf for builds."""
LARGEST = 500 * 1024
"""Bytes of a secret that BuildKit takes."""
_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
_PUBLIC = ("pypi.org", "files.pythonhosted.org")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def pip_conf(settings: IndexSettings) -> bytes:
    """Give a pip.conf of what a build can reach; none where nothing is set."""
    options = {
        "index-url": [settings.index_url] if settings.index_url else [],
        "extra-index-url": settings.extra_index_urls,
        "find-links": [link for link in settings.find_links if _is_elsewhere(link)],
        "trusted-host": settings.trusted_hosts,
        "timeout": [settings.timeout] if settings.timeout else [],
        "retries": [settings.retries] if settings.retries else [],
        "no-index": ["true"] if settings.no_index else [],
    }
    parser = RawConfigParser()
    parser["global"] = {
        name: "\n".join(kept)
        for name, values in options.items()
        if (kept := [value for value in values if not value.startswith("file:")])
    }
    if not parser["global"]:
        return b""
    text = io.StringIO()
    parser.write(text)
    return text.getvalue().encode()


def uv_toml(settings: IndexSettings) -> bytes:
    """Give a uv.toml of the same; none where nothing is set. The main index is asked first, as by pip."""
    text = json.dumps
    links = [link for link in settings.find_links if _is_elsewhere(link)]
    lines = ["no-index = true"] if settings.no_index else []
    lines += [f"find-links = {text(links)}"] if links else []
    lines += [f"allow-insecure-host = {text(settings.trusted_hosts)}"] if settings.trusted_hosts else []
    extra = [url for url in settings.extra_index_urls if _is_elsewhere(url)]
    if extra:
        lines.append('index-strategy = "unsafe-best-match"')
    main = settings.index_url or DEFAULT_INDEX
    if (settings.index_url or extra) and not settings.no_index:
        *first, last = [url for url in (main, *extra) if _is_elsewhere(url)] or [DEFAULT_INDEX]
        lines += [line for url in first for line in ("[[index]]", f"url = {text(url)}")]
        lines += ["[[index]]", f"url = {text(last)}", "default = true"]
    return "".join(f"{line}\n" for line in lines).encode()


def proxy_lines(proxies: Mapping[str, str]) -> bytes:
    """Give proxies as lines `NAME=value`, in both spellings: curl takes `http_proxy` in small letters only."""
    return "".join(f"{name}={value}\n{name.lower()}={value}\n" for name, value in proxies.items()).encode()


def patience_lines(settings: IndexSettings) -> bytes:
    """Give how long and how often uv tries, for which its files have no setting, as lines `NAME=value`."""
    known = {"UV_HTTP_TIMEOUT": settings.timeout, "UV_HTTP_RETRIES": settings.retries}
    return "".join(f"{name}={value}\n" for name, value in known.items() if value and value.isdecimal()).encode()


def apt_proxies(proxies: Mapping[str, str]) -> bytes:
    """Give proxies in the form of an apt.conf."""
    lines = []
    for kind in ("http", "https"):
        if url := proxies.get(f"{kind.upper()}_PROXY") or proxies.get("ALL_PROXY"):
            address = (url if "://" in url else f"http://{url}").replace('"', "%22")
            lines.append(f'Acquire::{kind}::Proxy "{address}";')
            hosts = [word.strip().lstrip(".") for word in proxies.get("NO_PROXY", "").split(",")]
            lines += [
                f'Acquire::{kind}::Proxy::{host} "DIRECT";' for host in hosts if re.fullmatch(r"[A-Za-z0-9.-]+", host)
            ]
    return "".join(f"{line}\n" for line in lines).encode()


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


def apt_conf() -> bytes:
    """Read the apt.conf for builds that ENVELOPE_APT_CONF names.

    Raises :class:`InvalidInput` (``settings.apt-conf``) where it is no file.
    """
    named = os.environ.get(APT_CONF)
    if not named:
        return b""
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise InvalidInput(
            f"{APT_CONF} names {path}, and there is no such file",
            code="settings.apt-conf",
            hint="name a file in the form of apt.conf, with a proxy or other sources, or unset it",
        )
    return path.read_bytes()


def netrc(named: Path | None, hosts: Collection[str], report: Report) -> bytes:
    """Read the netrc that a flag names; else of the one of NETRC or the home folder what these hosts need.

    Raises :class:`InvalidInput` where a flag names a file that cannot be read.
    """
    if named is not None:
        return _read(named, "--netrc")
    variable = os.environ.get("NETRC")
    places = [Path(variable).expanduser()] if variable else [Path.home() / name for name in (".netrc", "_netrc")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return b""
    try:
        content = path.read_bytes()
    except OSError as error:
        report(Note(f"{path} cannot be read ({error.strerror}): the build goes without"))
        return b""
    return _for_hosts(content, {*hosts, *_PUBLIC})


def _for_hosts(content: bytes, hosts: Collection[str]) -> bytes:
    """Leave the entries of hosts in a netrc as they are written, and take the others out.

    What is no netrc is given whole: whoever reads it will complain.
    """
    text = content.decode("utf-8", "surrogateescape")
    tokens = list(re.finditer(r'"(?:\\.|[^"\\])*"|\S+', re.sub(r"(?m)^\s*#.*$", "", text)))
    kept, at = list[str](), 0
    while at < len(tokens):
        word = tokens[at][0]
        if word not in {"machine", "default"} or (word == "machine" and at + 1 == len(tokens)):
            return content
        begin, taken = at, word == "default" or tokens[at + 1][0].strip('"') in hosts
        at += 1 if word == "default" else 2
        while at + 1 < len(tokens) and tokens[at][0] in {"login", "user", "account", "password"}:
            at += 2
        if taken:
            kept.append(" ".join(found[0] for found in tokens[begin:at]) + "\n")
    return "".join(kept).encode("utf-8", "surrogateescape")


def authorities(named: Path | None, settings: IndexSettings, report: Report) -> bytes:
    """Give the certificates of all authorities that pip or uv would trust here, each once.

    Where nothing names any, these are the machine's own, which pip asks too: a company's are most often there.

    Raises :class:`InvalidInput` where a flag names none.
    """
    if named is not None:
        content = _certificates(_read(named, "--cert"))
        if not content:
            raise InvalidInput(
                f"--cert names {named}, and no certificate is in it",
                code="build.cert",
                hint="name a file of authorities in PEM form: `-----BEGIN CERTIFICATE-----`",
            )
        return _joined(content)
    variables = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    paths = [settings.ca_bundle, *(Path(word) for name in variables if (word := os.environ.get(name)))]
    found = [path for path in dict.fromkeys(paths) if path is not None]
    if not found:
        folders = os.environ.get("SSL_CERT_DIR", "").split(os.pathsep)
        own = ssl.get_default_verify_paths().cafile
        stores = (Path(word) for word in (own, *_STORES) if word)
        found = [Path(word) for word in folders if word] or [path for path in stores if path.is_file()][:1]
    certificates: list[bytes] = []
    for path in found:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        held = [block for file in files if file.is_file() for block in _certificates(file.read_bytes())]
        if not held and path == settings.ca_bundle:
            report(Note(f"{path} is to hold certificate authorities, and none are there: the build goes without"))
        certificates += held
    return _joined(certificates)


def _certificates(content: bytes) -> list[bytes]:
    return _CERTIFICATE.findall(content)


def _joined(certificates: Iterable[bytes]) -> bytes:
    content = b"".join(block + b"\n" for block in dict.fromkeys(certificates))
    if len(content) > LARGEST:
        raise InvalidInput(
            f"the certificate authorities of this machine take {len(content)} bytes, and BuildKit takes {LARGEST}",
            code="build.cert",
            hint="name a bundle of those that the index and the proxy need: `--cert`",
        )
    return content


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{flag} names {path}, which cannot be read: {error.strerror}",
            code="build.network-file",
            hint="name a file that you can read",
        ) from None


def _is_elsewhere(value: str) -> bool:
    return value.startswith(("http:", "https:"))
