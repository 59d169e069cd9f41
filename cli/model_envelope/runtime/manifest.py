"""``MANIFEST.sha256``: every sealed file of an envelope with its sha256, in the format of ``sha256sum``.

The digest of an envelope is the sha256 of the bytes of this file, so ``sha256sum -c MANIFEST.sha256`` verifies an
envelope without this tool. Lines are sorted in C order (by the bytes of the path).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_envelope.runtime.errors import InvalidEnvelope

NAME = "MANIFEST.sha256"
OUTSIDE = ("ledger.jsonl", "provenance")
"""What stands beside the manifest: it grows after sealing, or says who, when and where."""


@dataclass(frozen=True)
class Differences:
    """How a folder differs from its manifest; all paths relative, POSIX style, sorted."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed)


def file_digest(path: Path) -> str:
    """Give the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed_files(folder: Path) -> list[str]:
    """List the files that a manifest of this folder has to cover, in C order.

    Raises :class:`InvalidEnvelope` for a link or a special file: what it points at could change unseen.
    """
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name == NAME or name.split("/", 1)[0] in OUTSIDE:
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidEnvelope(
                f"`{name}` in {folder} is a link or a special file",
                code="envelope.link",
                hint="an envelope holds plain files",
            )
        if path.is_file():
            found.append(name)
    return sorted(found, key=str.encode)


def compose(folder: Path) -> bytes:
    """Write the manifest of what stands in a folder now."""
    return "".join(f"{file_digest(folder / name)}  {name}\n" for name in sealed_files(folder)).encode()


def digest(manifest: bytes) -> str:
    """Give the identity of an envelope: the sha256 of its manifest's bytes."""
    return hashlib.sha256(manifest).hexdigest()


def parse(manifest: bytes) -> Mapping[str, str]:
    """Read the bytes of a manifest as ``{path: sha256}``.

    Raises :class:`InvalidEnvelope` for a line that is not in the format, or a path that leads out of the folder.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(manifest.decode("utf-8", "replace").splitlines(), 1):
        value, separator, name = line.partition("  ")
        parts = name.split("/")
        if len(value) != 64 or not separator or not name or name.startswith("/") or ".." in parts or "" in parts:
            raise InvalidEnvelope(
                f"line {number} of {NAME} is {line[:80]!r}, expected `<sha256>  <relative path>`",
                code="envelope.manifest",
                hint="the envelope is damaged: get it again from where it was sealed",
            )
        entries[name] = value
    return entries


def compare(folder: Path) -> Differences:
    """Hold every file of an envelope against its manifest."""
    entries = parse((folder / NAME).read_bytes())
    present = set(sealed_files(folder))
    shared = sorted(present & set(entries), key=str.encode)
    return Differences(
        missing=tuple(sorted(set(entries) - present, key=str.encode)),
        extra=tuple(sorted(present - set(entries), key=str.encode)),
        changed=tuple(name for name in shared if file_digest(folder / name) != entries[name]),
    )
