"""The channels that conda's own settings on this machine name, with the credentials that they need.

Files and precedence are conda's: https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/use-condarc.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.foundation.conda_lock import clean_address
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.secrets import credentials

ALIAS = "https://conda.anaconda.org"
DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
_TOKEN = "/t/"  # noqa: S105  a part of an address


@dataclass(frozen=True)
class Channels:
    """Addresses of channels by priority, as they are configured: they may hold credentials, and are never shown."""

    configured: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses without credentials."""
        return tuple(dict.fromkeys(map(clean_address, self.configured)))

    def authorised(self, url: str) -> str:
        """Give an address below one of the channels with the credentials of that channel, any other as it is."""
        for channel in self.configured:
            clean = clean_address(channel)
            if clean != channel and (url == clean or url.startswith(f"{clean}/")):
                return channel.rstrip("/") + url.removeprefix(clean)
        return url

    def secrets(self) -> set[str]:
        """Give the credentials in the addresses."""
        tokens = {url.split(_TOKEN, 1)[1].split("/")[0] for url in self.configured if _TOKEN in url}
        return {token for token in tokens if len(token) > 3}.union(*map(credentials, self.configured))


def read_channels(prefix: Path | None = None, environ: Mapping[str, str] = os.environ) -> Channels:
    """Read the settings of conda, of the environment in ``prefix`` too; variables in them are filled in.

    Raises :class:`InvalidInput` (``conda.bad-config``) where a file cannot be parsed.
    """
    settings: dict[str, Any] = {}
    for path in _files(prefix, environ):
        for name, value in _read(path).items():
            # The strongest comes last, and its channels come first.
            settings[name] = [*value, *settings.get(name, [])] if isinstance(value, list) else value
    names = [str(item) for item in settings.get("channels") or ()]
    if variable := environ.get("CONDA_CHANNELS"):
        names = [*variable.split(","), *names]
    return Channels(tuple(dict.fromkeys(address for name in names for address in _addresses(name, settings, environ))))


def _addresses(name: str, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    name = _filled(name.strip(), environ)
    custom = settings.get("custom_channels")
    if name == "defaults":
        configured = [str(item) for item in settings.get("default_channels") or ()]
        yield from (_filled(item, environ).rstrip("/") for item in configured or DEFAULTS)
    elif "://" in name:
        yield name.rstrip("/")
    elif name.startswith(("/", "./", "~")):
        yield Path(name).expanduser().absolute().as_uri()
    elif name and name != "nodefaults":
        places = custom if isinstance(custom, Mapping) else {}
        base = str(places.get(name) or settings.get("channel_alias") or ALIAS)
        yield f"{_filled(base, environ).rstrip('/')}/{name}"


def _filled(text: str, environ: Mapping[str, str]) -> str:
    for name, value in environ.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def _files(prefix: Path | None, environ: Mapping[str, str]) -> list[Path]:
    """Give conda's configuration files, weakest first."""
    home = Path(environ.get("HOME") or Path.home())
    settings = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/conda/.condarc"), Path("/etc/conda/condarc")]
    if root := environ.get("CONDA_ROOT") or environ.get("MAMBA_ROOT_PREFIX"):
        files += [Path(root) / ".condarc", Path(root) / ".mambarc"]
    files += [settings / "conda" / ".condarc", home / ".conda" / ".condarc", home / ".condarc", home / ".mambarc"]
    if prefix is not None:
        files.append(prefix / ".condarc")
    if named := environ.get("CONDARC"):
        files.append(Path(named).expanduser())
    return files


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError:
        return {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        raise InvalidInput(
            f"conda's configuration `{path}` cannot be read" + (f": line {where.line + 1} is no YAML" if where else ""),
            code="conda.bad-config",
            hint="`conda config --show-sources` shows which files conda reads",
        ) from None
    return document if isinstance(document, dict) else {}
