"""``env/conda-lock.yml``: a conda environment for several platforms, exact and hashed, written one way only.

The format is version 1 of conda-lock's (https://schemas.conda.org/conda-lock-v1.schema.json), so that conda-lock,
micromamba and mamba install it as it is. The same packages give the same bytes: sorted, no time, no tool, no
credentials. ``custom_metadata`` holds which conda package has which distribution of PyPI, as the packing environment
knew it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from packaging.utils import canonicalize_name

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock, Pin

NAME = "env/conda-lock.yml"
FORMAT = 1

_MANAGERS = ("conda", "pip")
_PLATFORM = re.compile(r"[a-z]+-[a-z0-9_]+")
_WORD = re.compile(r"[^\s#]+")
_HINT = "a lock is written by `envelope pack` or `envelope lock` and is not edited by hand"


@dataclass(frozen=True, order=True)
class CondaPackage:
    """One package for one platform (``linux-64``): a conda package, or one that pip installs beside them.

    The address never has credentials, whatever it was made from. ``dependencies`` are names with their ranges.
    Raises :class:`InvalidInput` where a part cannot be written in a lock.
    """

    manager: str
    name: str
    platform: str
    version: str
    url: str
    md5: str = ""
    sha256: str = ""
    dependencies: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.manager not in _MANAGERS:
            _refuse(f"`{self.name}` is installed by `{self.manager}`, expected `conda` or `pip`")
        for what, text, allowed in (
            ("name", self.name, _WORD),
            ("version", self.version, _WORD),
            ("platform", self.platform, _PLATFORM),
            ("address", self.url, _WORD),
        ):
            if not allowed.fullmatch(text):
                _refuse(f"{text!r:.80} is no {what} of a package")
        wrong = [value for value, digits in ((self.md5, 32), (self.sha256, 64)) if not _is_hash(value, digits)]
        if wrong or not (self.sha256 or (self.md5 and self.manager == "conda")):
            _refuse(f"`{self.name}` for {self.platform} has no hash that can be checked")
        if self.manager == "pip":
            object.__setattr__(self, "name", canonicalize_name(self.name))
        object.__setattr__(self, "url", clean_address(self.url))
        object.__setattr__(self, "dependencies", tuple(sorted(set(self.dependencies))))

    def to_document(self) -> dict[str, Any]:
        """Give the form of conda-lock."""
        hashes = {name: value for name, value in (("md5", self.md5), ("sha256", self.sha256)) if value}
        return {
            "name": self.name,
            "version": self.version,
            "manager": self.manager,
            "platform": self.platform,
            "dependencies": dict(self.dependencies),
            "url": self.url,
            "hash": hashes,
            "category": "main",
            "optional": False,
        }


@dataclass(frozen=True)
class CondaLock:
    """All packages for all platforms. Two locks of the same packages are equal and have the same bytes.

    ``channels`` are addresses in the order of their priority. ``owners`` names for distributions of PyPI, canonically,
    the conda package that has them.
    """

    channels: tuple[str, ...]
    packages: tuple[CondaPackage, ...]
    owners: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ordered = tuple(sorted(set(self.packages)))
        seen: set[tuple[str, str, str]] = set()
        for item in ordered:
            key = (item.manager, item.name, item.platform)
            if key in seen:
                _refuse(f"`{item.name}` is locked twice for {item.platform}")
            seen.add(key)
        names = {item.name for item in ordered if item.manager == "conda"}
        owners = {key: name for key, name in sorted(self.owners.items()) if name in names}
        object.__setattr__(self, "packages", ordered)
        object.__setattr__(self, "channels", tuple(dict.fromkeys(map(clean_address, self.channels))))
        object.__setattr__(self, "owners", owners)

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms that it is for, sorted."""
        return tuple(sorted({item.platform for item in self.packages}))

    def to_bytes(self) -> bytes:
        """Write the lock as YAML."""
        return _yaml(self.to_document())

    def to_document(self) -> dict[str, Any]:
        """Give the form of conda-lock."""
        documents = [item.to_document() for item in self.packages]
        metadata: dict[str, Any] = {
            "content_hash": {
                platform: _digest([item for item in documents if item["platform"] == platform])
                for platform in self.platforms
            },
            "channels": [{"url": channel, "used_env_vars": []} for channel in self.channels],
            "platforms": list(self.platforms),
            "sources": ["requirements.in"],
        }
        if self.owners:
            metadata["custom_metadata"] = dict(self.owners)
        return {"version": FORMAT, "metadata": metadata, "package": documents}

    @classmethod
    def parse(cls, content: bytes, *, where: str = NAME) -> CondaLock:
        """Read a lock that this class or conda-lock wrote.

        Raises :class:`InvalidInput` (``lock.malformed``) that says what is wrong with it.
        """
        import yaml

        try:
            document = yaml.safe_load(content)
            if document["version"] != FORMAT:
                _refuse(f"it has version {document['version']!r:.40}, expected {FORMAT}")
            metadata = document["metadata"]
            return cls(
                channels=tuple(str(item["url"]) for item in metadata["channels"]),
                packages=tuple(map(_package, document["package"])),
                owners={str(key): str(name) for key, name in (metadata.get("custom_metadata") or {}).items()},
            )
        except InvalidInput as error:
            why = error.message
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            why = f"it is no YAML: {' '.join(str(error).split())[:200]}"
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            why = f"{error!r:.100} where the format of conda-lock has something else"
        raise InvalidInput(f"`{where}` is no lock: {why}", code="lock.malformed", hint=_HINT)

    def of(self, platform: str, manager: str = "conda") -> tuple[CondaPackage, ...]:
        """Give the packages for a platform that one manager installs."""
        return tuple(item for item in self.packages if (item.platform, item.manager) == (platform, manager))

    def pip_lock(self, platform: str | None = None) -> Lock:
        """Give what pip installs, as pip reads it: for one platform, or with the files of all of them."""
        hashes: dict[tuple[str, str], list[str]] = {}
        for item in self.packages:
            if item.manager == "pip" and platform in (None, item.platform):
                hashes.setdefault((item.name, item.version), []).append(f"sha256:{item.sha256}")
        return Lock(tuple(Pin(name, version, tuple(found)) for (name, version), found in hashes.items()))

    def versions(self, platform: str | None = None) -> dict[str, str]:
        """Give the versions of the distributions of PyPI that are in it, by canonical name: for one platform, or all.

        Of a conda package whose distributions nobody knew in the packing environment nothing is said.
        """
        chosen = [item for item in self.packages if platform in (None, item.platform)]
        conda = {item.name: item.version for item in chosen if item.manager == "conda"}
        found = {key: conda[name] for key, name in self.owners.items() if name in conda}
        found |= {item.name: item.version for item in chosen if item.manager == "pip"}
        return dict(sorted(found.items()))

    def versions_everywhere(self) -> dict[str, str]:
        """Give the versions of the distributions that are the same for all platforms that have them."""
        found = [self.versions(platform) for platform in self.platforms]
        return {
            name: version
            for name, version in self.versions().items()
            if all(versions.get(name, version) == version for versions in found)
        }

    def python(self, platform: str) -> str:
        """Give the version of Python for a platform. Raises :class:`InvalidInput` where there is none in it."""
        found = [item.version for item in self.of(platform) if item.name == "python"]
        if not found:
            _refuse(f"the conda lock has no Python for {platform}")
        return found[0]

    def explicit(self, platform: str, address: Callable[[str], str] = str) -> str:
        """Write the conda packages for a platform as ``conda create --file`` takes them, with their MD5.

        ``address`` makes of an address the one to fetch it from, with credentials where they are needed.
        """
        lines = [address(item.url) + (f"#{item.md5}" if item.md5 else "") for item in self.of(platform)]
        return "\n".join([f"# platform: {platform}", "@EXPLICIT", *lines, ""])

    def without(self, distributions: Collection[str]) -> CondaLock:
        """Leave out distributions of PyPI; a conda package that has only such goes with them."""
        kept = {name for key, name in self.owners.items() if key not in distributions}
        gone = {name for key, name in self.owners.items() if key in distributions} - kept
        return replace(
            self,
            packages=tuple(
                item
                for item in self.packages
                if item.name not in (gone if item.manager == "conda" else set(distributions))
            ),
            owners={key: name for key, name in self.owners.items() if key not in distributions},
        )

    def with_conda(self, platforms: Collection[str], address: Callable[[str], str] = str) -> bytes:
        """Write it again without what pip installs, for some platforms, with other addresses."""
        chosen = [item for item in self.packages if item.manager == "conda" and item.platform in platforms]
        document = replace(self, packages=tuple(chosen)).to_document()
        for item in document["package"]:
            item["url"] = address(item["url"])
        return _yaml(document)


def clean_address(url: str) -> str:
    """Take the credentials out of an address: user, password, a token in its path, and its query."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return url.partition("#")[0]
    path = re.sub(r"/t/[^/]+(?=/|$)", "", parts.path, count=1)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path.rstrip("/"), "", ""))


def _package(document: Mapping[str, Any]) -> CondaPackage:
    hashes = document["hash"]
    return CondaPackage(
        manager=str(document["manager"]),
        name=str(document["name"]),
        platform=str(document["platform"]),
        version=str(document["version"]),
        url=str(document["url"]),
        md5=str(hashes.get("md5") or ""),
        sha256=str(hashes.get("sha256") or ""),
        dependencies=tuple((str(name), str(wanted)) for name, wanted in (document.get("dependencies") or {}).items()),
    )


def _yaml(document: Mapping[str, Any]) -> bytes:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, default_flow_style=False, allow_unicode=True, width=4096)
    return text.encode()


def _is_hash(value: str, digits: int) -> bool:
    return not value or re.fullmatch(rf"[0-9a-f]{{{digits}}}", value) is not None


def _digest(documents: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()


def _refuse(message: str) -> NoReturn:
    raise InvalidInput(message, code="lock.malformed", hint=_HINT)
