"""How a new envelope differs from an old one, and whether it can take its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_envelope.foundation.errors import Answered
from model_envelope.runtime import manifest
from model_envelope.runtime.errors import EnvelopeError, Problem
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.store.compatibility import Change, Comparison, compare
from model_envelope.workflows.pins import locked_versions, required_versions, source_of

__all__ = ["Change", "DiffResult", "FileChanges", "PackageChange", "PackageChanges", "diff"]


@dataclass(frozen=True)
class FileChanges:
    """Sealed files, by path: only in the new envelope, only in the old one, in both with other bytes."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True)
class PackageChange:
    """One distribution whose version is another."""

    name: str
    old: str
    new: str


@dataclass(frozen=True)
class PackageChanges:
    """Distributions by name and version. ``source`` is the file that both envelopes have them from."""

    source: str
    added: Mapping[str, str]
    removed: Mapping[str, str]
    changed: tuple[PackageChange, ...]


@dataclass(frozen=True)
class DiffResult:
    """All differences of two envelopes. ``identical`` says that they have one digest."""

    old: Path
    new: Path
    old_digest: str
    new_digest: str
    identical: bool
    files: FileChanges
    dependencies: PackageChanges
    signature: Comparison

    def objection(self) -> EnvelopeError | None:
        """Give the error that says why the new envelope cannot take the place of the old one, or None."""
        breaking = self.signature.breaking
        if not breaking:
            return None
        count = "a change breaks" if len(breaking) == 1 else f"{len(breaking)} changes break"
        return Answered(
            f"{self.new.name} cannot take the place of {self.old.name}: {count} who asks the old one",
            code="diff.breaking",
            problems=[_problem(change) for change in breaking],
            hint="keep what the old one takes and gives, or serve the new one under another name or version",
        )


def diff(old: Path, new: Path) -> DiffResult:
    """Compare two envelopes: files by their manifests, distributions by lock or requirements, and signatures.

    Nothing of either model is loaded. Raises ``InvalidEnvelope`` where a folder is none.
    """
    before, after = read_envelope(old), read_envelope(new)
    return DiffResult(
        old=before.path,
        new=after.path,
        old_digest=before.digest,
        new_digest=after.digest,
        identical=before.digest == after.digest,
        files=_files(before, after),
        dependencies=_packages(before, after),
        signature=compare(before.signature, after.signature),
    )


def _problem(change: Change) -> Problem:
    place = f"{change.method} {change.path}".rstrip()
    return Problem(place, change.now, f"{change.was}, as before", "diff.breaking")


def _files(before: EnvelopeFiles, after: EnvelopeFiles) -> FileChanges:
    old, new = (manifest.parse((files.path / manifest.NAME).read_bytes()) for files in (before, after))
    return FileChanges(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
    )


def _packages(before: EnvelopeFiles, after: EnvelopeFiles) -> PackageChanges:
    # A lock for pip and one for conda hold different things: then the direct needs are compared.
    locked = before.locked and source_of(before) == source_of(after)
    source = source_of(after) if locked else "env/requirements.in"
    old, new = (locked_versions(files) if locked else required_versions(files) for files in (before, after))
    return PackageChanges(
        source=source,
        added={name: new[name] for name in sorted(new.keys() - old.keys())},
        removed={name: old[name] for name in sorted(old.keys() - new.keys())},
        changed=tuple(
            PackageChange(name, old[name], new[name])
            for name in sorted(old.keys() & new.keys())
            if old[name] != new[name]
        ),
    )
