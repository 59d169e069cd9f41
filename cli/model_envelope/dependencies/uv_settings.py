"""Where packages come from for uv: its variables and configuration files, read as uv reads them for `uv pip`.

uv has no command that tells its settings for other programs, so they are read here. What is read where was held against
uv itself (`uv pip install --show-settings`, the tests do it again):

* UV_CONFIG_FILE takes the place of all files, UV_NO_CONFIG leaves them out;
* the files are one of the project, one of the user and one of the system. The project's is the first `uv.toml`, or
  `pyproject.toml` with `[tool.uv]`, in the folder of the project and those above it. The folder of the project is that
  of the nearest `pyproject.toml` with `[project]`, or of the workspace that this is a member of; without one it is the
  current folder;
* lists of all files and variables are joined, of single values the first one counts: variables, project, user, system.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from model_envelope.foundation.errors import InvalidInput

_YES = frozenset(("1", "true", "yes", "y", "on", "t"))
_PROXIES = {"http-proxy": "HTTP_PROXY", "https-proxy": "HTTPS_PROXY", "no-proxy": "NO_PROXY"}


@dataclass(frozen=True)
class UvSettings:
    """Indexes (the explicit ones left out, which `uv pip` never asks), folders and pages of links, and the way there.

    Addresses may carry credentials, those of named indexes (`UV_INDEX_NAME_PASSWORD`) included. ``default_index`` is
    None where nothing names one: the public index. ``proxies`` are those of configuration files, by variable;
    ``keyring`` tells that uv asks another program for passwords.
    """

    default_index: str | None = None
    indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    insecure_hosts: tuple[str, ...] = ()
    no_index: bool = False
    timeout: str | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    keyring: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> UvSettings:
        """Read uv's variables and the files that count in a folder (default: the current one).

        Raises :class:`InvalidInput` (``settings.malformed``) where uv itself could not read a file of its own.
        """
        variables = os.environ if environ is None else environ
        place = (folder or Path.cwd()).absolute()
        tables = [table for base, document in _documents(variables, place) for table in _tables(base, document)]
        entries = [
            *_words_of(variables, "UV_DEFAULT_INDEX", place, default=True),
            *_words_of(variables, "UV_INDEX", place),
            *_words_of(variables, "UV_EXTRA_INDEX_URL", place),
            *_words_of(variables, "UV_INDEX_URL", place, default=True),
            *(entry for table in tables for entry in table.indexes()),
            *(_Entry("", url) for table in tables for url in table.addresses("extra-index-url")),
            *(_Entry("", url, default=True) for table in tables for url in table.addresses("index-url")),
        ]
        kept = list(_first_of_each_name(entries))
        links = [_address(word, place) for word in variables.get("UV_FIND_LINKS", "").split(",") if word.strip()]
        single = {name: value for table in reversed(tables) for name, value in table.values.items()}
        return cls(
            default_index=next((entry.with_credentials(variables) for entry in kept if entry.default), None),
            indexes=tuple(entry.with_credentials(variables) for entry in kept if not entry.default),
            find_links=(*links, *(url for table in tables for url in table.addresses("find-links"))),
            insecure_hosts=(
                *variables.get("UV_INSECURE_HOST", "").split(),
                *(host for table in tables for host in _texts(table.values.get("allow-insecure-host"))),
            ),
            no_index=variables.get("UV_NO_INDEX", "").lower() in _YES or single.get("no-index") is True,
            timeout=next(
                (variables[name] for name in ("UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT") if variables.get(name)), None
            ),
            proxies={variable: text for name, variable in _PROXIES.items() for text in [*_texts(single.get(name))][:1]},
            keyring=(variables.get("UV_KEYRING_PROVIDER") or single.get("keyring-provider")) == "subprocess",
        )


@dataclass(frozen=True)
class _Entry:
    """An index as uv knows it."""

    name: str
    url: str
    default: bool = False
    explicit: bool = False

    def with_credentials(self, variables: Mapping[str, str]) -> str:
        """Give its address with the credentials that variables hold for its name, which win over those in it."""
        prefix = "UV_INDEX_" + re.sub(r"[^A-Za-z0-9]", "_", self.name).upper()
        user, password = variables.get(f"{prefix}_USERNAME"), variables.get(f"{prefix}_PASSWORD")
        if not self.name or (user is None and password is None):
            return self.url
        parts = urlsplit(self.url)
        userinfo = quote(user or "", safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc.rpartition('@')[2]}"))


@dataclass(frozen=True)
class _Table:
    """Settings of one table of a file; what is relative there is so to the file's folder."""

    base: Path
    values: Mapping[str, Any]

    def addresses(self, name: str) -> list[str]:
        return [_address(text, self.base) for text in _texts(self.values.get(name))]

    def indexes(self) -> Iterator[_Entry]:
        found = self.values.get("index")
        for item in found if isinstance(found, list) else ():
            if isinstance(item, dict) and isinstance(item.get("url"), str):
                name = item.get("name")
                yield _Entry(
                    name if isinstance(name, str) else "",
                    _address(item["url"], self.base),
                    default=item.get("default") is True,
                    explicit=item.get("explicit") is True,
                )


def _documents(variables: Mapping[str, str], place: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Give the settings in the files that count, strongest first, with the folder of each file."""
    if named := variables.get("UV_CONFIG_FILE"):
        yield from _own(place / Path(named).expanduser(), must_be_there=True)
        return
    if variables.get("UV_NO_CONFIG", "").lower() in _YES:
        return
    start = _project(place)
    for folder in (start, *start.parents):
        found = [*_own(folder / "uv.toml")]
        if not found and (settings := _tool_uv(folder)) is not None:
            found = [(folder, settings)]
        if found:
            yield from found
            break
    home = Path(variables.get("HOME") or Path.home())
    yield from _own(Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "uv" / "uv.toml")
    shared = [Path(word) for word in (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if word]
    for folder in (*shared, Path("/etc")):
        if found := [*_own(folder / "uv" / "uv.toml")]:
            yield from found
            break


def _project(place: Path) -> Path:
    """Give the folder of the project that uv would see: the nearest one, or the workspace that it is a member of."""
    for folder in (place, *place.parents):
        document = _pyproject(folder)
        if document is None:
            continue
        if _workspace(document) is not None:
            return folder
        if "project" not in document:
            continue
        for above in folder.parents:
            workspace = _workspace(_pyproject(above) or {})
            if workspace is not None:
                return above if _is_member(folder, above, workspace) else folder
        return folder
    return place


def _is_member(folder: Path, root: Path, workspace: Mapping[str, Any]) -> bool:
    def among(name: str) -> bool:
        return any(folder in root.glob(pattern) for pattern in _texts(workspace.get(name)))

    return among("members") and not among("exclude")


def _workspace(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = _of(_of(document, "tool") or {}, "uv")
    return _of(found or {}, "workspace")


def _tool_uv(folder: Path) -> Mapping[str, Any] | None:
    return _of(_of(_pyproject(folder) or {}, "tool") or {}, "uv")


def _of(document: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = document.get(name)
    return found if isinstance(found, dict) else None


def _pyproject(folder: Path) -> Mapping[str, Any] | None:
    """Read a pyproject.toml; one that is malformed is passed by, as uv does with a warning."""
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None


def _own(path: Path, *, must_be_there: bool = False) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Read a file of uv's own, where it is there."""
    try:
        yield path.parent, tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if must_be_there:
            raise InvalidInput(
                f"UV_CONFIG_FILE names {path}, which cannot be read: {error.strerror}",
                code="settings.malformed",
                hint="name a uv.toml, or unset it",
            ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {error}", code="settings.malformed", hint="uv itself refuses it too: mend it"
        ) from None


def _tables(base: Path, document: Mapping[str, Any]) -> list[_Table]:
    """Give the tables of a file that count for `uv pip`: its own first."""
    own = _of(document, "pip")
    return [*([_Table(base, own)] if own else []), _Table(base, document)]


def _words_of(variables: Mapping[str, str], name: str, place: Path, *, default: bool = False) -> Iterator[_Entry]:
    """Read the indexes of a variable: addresses, which may have a name (`ours=https://...`)."""
    for word in variables.get(name, "").split():
        before, separator, rest = word.partition("=")
        named = bool(separator) and ":" not in before
        yield _Entry(before if named else "", _address(rest if named else word, place), default=default)


def _first_of_each_name(entries: Sequence[_Entry]) -> Iterator[_Entry]:
    """Leave out what uv does: further indexes of a name, all default ones but the first, and explicit ones."""
    seen: set[str] = set()
    default = False
    for entry in entries:
        if (entry.name and entry.name in seen) or (entry.default and default):
            continue
        seen.add(entry.name)
        if not entry.explicit:
            default |= entry.default
            yield entry


def _texts(found: Any) -> list[str]:
    return [item for item in (found if isinstance(found, list) else [found]) if isinstance(item, str) and item]


def _address(value: str, base: Path) -> str:
    return value if "://" in value else (base / Path(value.strip()).expanduser()).absolute().as_uri()
