"""Seals a draft: modes, manifest, provenance, and one rename."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import Refused
from model_envelope.foundation.files import json_bytes
from model_envelope.runtime import manifest
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.store import trust
from model_envelope.store.draft import Draft, check_path
from model_envelope.store.ledger import LedgerWriter


def seal(
    draft: Draft,
    into: Path,
    *,
    name: str,
    provenance: Mapping[str, Any],
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
) -> EnvelopeFiles:
    """Make an envelope of a draft: it appears whole as ``<name>-<first 12 digits of the digest>``, or not at all.

    ``provenance`` (who, when, where from), ``tags`` and ``metrics`` stand outside the digest.

    Raises :class:`Refused` (``envelope.exists``) where that folder exists.
    """
    names = manifest.sealed_files(draft.folder)
    for file in names:
        check_path(file)
    _refuse_twins(names)
    content = manifest.compose(draft.folder)
    (draft.folder / manifest.NAME).write_bytes(content)
    digest = manifest.digest(content)
    target = into / f"{name}-{digest[:12]}"
    witness = json_bytes(provenance)
    witness_name = hashlib.sha256(witness).hexdigest()
    draft.write(f"provenance/{witness_name}.json", witness)
    ledger = LedgerWriter(draft.folder)
    ledger.append("sealed", digest=digest, provenance=witness_name)
    if tags:
        ledger.append("tag", tags=dict(tags))
    if metrics:
        ledger.append("metric", metrics=dict(metrics))
    _set_modes(draft.folder)
    trust.remember(digest)
    if target.exists() or not _rename(draft.folder, target):
        same = (target / manifest.NAME).is_file() and (target / manifest.NAME).read_bytes() == content
        raise Refused(
            f"{target} exists already" + (", and it is this very envelope" if same else ""),
            code="envelope.exists",
            hint="use it as it is: the same content always gives the same digest; `envelope tag` and `envelope metric` "
            "add to it"
            if same
            else "remove it, or name another folder with -o",
        )
    return read_envelope(target)


def _rename(source: Path, target: Path) -> bool:
    """Rename a folder into place; False where another process was faster."""
    try:
        source.rename(target)
    except OSError:
        if target.exists():
            return False
        raise
    return True


def _set_modes(folder: Path) -> None:
    """Make every file read-only but the ledger, and every folder readable, whatever the umask."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o444)
    (folder / "ledger.jsonl").chmod(0o644)
    folder.chmod(0o755)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_twins(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(name.casefold(), name)
        if twin != name:
            raise Refused(
                f"`{twin}` and `{name}` differ in case only, and would be one file on some systems",
                code="envelope.file-name",
                hint="rename one of them",
            )
