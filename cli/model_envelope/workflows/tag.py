"""Adds tags to an envelope's ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_envelope.runtime.reading import read_envelope
from model_envelope.store.ledger import append_tags, read_ledger


@dataclass(frozen=True)
class TagResult:
    """All tags that the envelope has now, and those that this call took away."""

    path: Path
    digest: str
    tags: Mapping[str, str]
    removed: tuple[str, ...]


def tag(envelope: Path, *, tags: Mapping[str, str]) -> TagResult:
    """Set tags; an empty value takes a tag away. The digest stays: tags stand beside what is sealed.

    Raises ``InvalidEnvelope`` where the folder is none.
    """
    files = read_envelope(envelope)
    before = read_ledger(files.path).tags
    append_tags(files.path, tags)
    after = read_ledger(files.path).tags
    return TagResult(files.path, files.digest, after, tuple(sorted(set(before) - set(after))))
