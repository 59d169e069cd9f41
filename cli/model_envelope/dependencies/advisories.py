"""Known vulnerabilities from files of advisories in the OSV format, without asking anybody.

A file holds one advisory, a list of them, or one a line; a folder or zip archive holds many such files, as the one that
https://osv.dev gives for PyPI (`all.zip`). Format and rule of evaluation: https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from model_envelope.foundation.errors import InvalidInput


@dataclass(frozen=True)
class Vulnerability:
    """One known vulnerability of a distribution; ``fixed_in`` are versions without it, ``source`` is who says so."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    summary: str
    fixed_in: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Advisories:
    """The advisories of one file or folder, by the canonical name of the package that they are about."""

    source: str
    by_package: Mapping[str, Sequence[Mapping[str, Any]]]

    def about(self, name: str, version: str) -> Iterator[Vulnerability]:
        """Give the vulnerabilities of a version; a range that cannot be read counts, rather than being passed over."""
        for advisory in self.by_package.get(name, ()):
            affected = [item for item in _of_pypi(advisory) if canonicalize_name(item["package"]["name"]) == name]
            if any(_affects(item, version) for item in affected):
                yield Vulnerability(
                    package=name,
                    version=version,
                    id=str(advisory["id"]),
                    aliases=tuple(sorted(map(str, advisory.get("aliases") or ()))),
                    summary=_summary(advisory),
                    fixed_in=_fixes(affected),
                    source=self.source,
                )


def read_advisories(path: Path) -> Advisories:
    """Read the advisories about packages of PyPI; those that were withdrawn are left out.

    Raises :class:`InvalidInput` (``audit.advisories``) where there is nothing, or something that is no advisory.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name, content in _files(path):
        for advisory in _parsed(name, content):
            if not isinstance(advisory, dict) or not isinstance(advisory.get("id"), str):
                raise _unreadable(name, "it holds something that is no advisory in the OSV format")
            if advisory.get("withdrawn"):
                continue
            try:
                packages = {canonicalize_name(item["package"]["name"]) for item in _of_pypi(advisory)}
            except (KeyError, TypeError, AttributeError):
                raise _unreadable(name, f"`affected` of {advisory['id']} is not as the OSV format has it") from None
            for package in packages:
                found.setdefault(package, []).append(advisory)
    return Advisories(path.name, found)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            files = sorted(item for item in path.rglob("*") if item.suffix in (".json", ".jsonl") and item.is_file())
            if not files:
                raise _unreadable(str(path), "there is no .json file in it")
            for file in files:
                yield str(file), file.read_bytes()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith((".json", ".jsonl")):
                        yield f"{path}/{name}", archive.read(name)
        else:
            yield str(path), path.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(str(path), str(getattr(error, "strerror", None) or error)) from None


def _parsed(name: str, content: bytes) -> Iterable[Any]:
    try:
        document = json.loads(content)
    except ValueError:
        try:
            return [json.loads(line) for line in content.splitlines() if line.strip()]
        except ValueError as error:
            raise _unreadable(name, f"it is no JSON: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("vulns"), list):
        return list(document["vulns"])
    return document if isinstance(document, list) else [document]


def _unreadable(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{name} cannot be read as advisories: {why}",
        code="audit.advisories",
        hint="expected is the OSV format: one advisory, a list, one a line, or a folder or zip archive of them",
    )


def _of_pypi(advisory: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    affected = advisory.get("affected") or ()
    return [item for item in affected if str(item.get("package", {}).get("ecosystem", "")).partition(":")[0] == "PyPI"]


def _affects(affected: Mapping[str, Any], text: str) -> bool:
    version = _version(text)
    if version is None:
        return True
    if any(_version(listed) == version for listed in map(str, affected.get("versions") or ())):
        return True
    ranges = [item for item in affected.get("ranges") or () if item.get("type") in ("ECOSYSTEM", "SEMVER")]
    return any(_within(item.get("events") or (), version) for item in ranges)


def _within(events: Sequence[Mapping[str, Any]], version: Version) -> bool:
    """Go through the events of a range in the order of their versions; the last one that counts decides."""
    ordered: list[tuple[Version, int, str]] = []
    for event in events:
        for kind, text in event.items():
            at = Version("0.dev0") if text == "0" else _version(str(text))
            if at is None:
                return True
            # At one version the fix comes after the introduction.
            ordered.append((at, int(kind != "introduced"), kind))
    inside = False
    for at, _, kind in sorted(ordered):
        if kind == "introduced" and at <= version:
            inside = True
        elif (kind == "fixed" and at <= version) or (kind == "last_affected" and at < version):
            inside = False
    return inside


def _fixes(affected: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    found = {
        str(event["fixed"])
        for item in affected
        for part in item.get("ranges") or ()
        if part.get("type") in ("ECOSYSTEM", "SEMVER")
        for event in part.get("events") or ()
        if "fixed" in event
    }
    return tuple(sorted(found, key=lambda text: (_version(text) or Version("0"), text)))


def _summary(advisory: Mapping[str, Any]) -> str:
    lines = str(advisory.get("summary") or advisory.get("details") or "").strip().splitlines()
    return lines[0][:200] if lines else ""


def _version(text: str) -> Version | None:
    """Read a version, without the build that it may name (`2.13.0+cpu`): advisories know none."""
    try:
        return Version(Version(text).public)
    except InvalidVersion:
        return None
