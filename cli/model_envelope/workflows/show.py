"""Shows what an envelope is: everything that can be told without loading the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_envelope.foundation.libraries import Library, read_libraries
from model_envelope.runtime import signature_document
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.runtime.signature import Signature
from model_envelope.store.ledger import read_ledger


@dataclass(frozen=True)
class ShowResult:
    """What an envelope holds.

    ``system`` are libraries of the system that the locked packages need, those without a known package last;
    ``samples`` names the methods that have one; sizes are in bytes.
    """

    path: Path
    name: str
    digest: str
    description: str
    signature: Signature = field(repr=False)
    python: str
    implementation: str
    platform: str
    framework: Mapping[str, str]
    hyperparameters: Mapping[str, Any]
    dependencies: tuple[str, ...]
    locked: bool
    system: tuple[Library, ...]
    code: tuple[str, ...]
    samples: tuple[str, ...]
    attachments: tuple[str, ...]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    size: int

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form: the fields, the signature as in ``signature.json``."""
        return {**vars(self), "signature": signature_document.to_document(self.signature)}


def show(envelope: Path) -> ShowResult:
    """Read an envelope and its ledger.

    Raises ``InvalidEnvelope`` where the folder is none, ``InvalidInput`` where its list of libraries is malformed.
    """
    files = read_envelope(envelope)
    about = files.description
    ledger = read_ledger(files.path)
    libraries = read_libraries(files.path)
    return ShowResult(
        path=files.path,
        name=about.name,
        digest=files.digest,
        description=about.description,
        signature=files.signature,
        python=about.python,
        implementation=about.implementation,
        platform=", ".join(about.platforms) or about.platform,
        framework=about.framework,
        hyperparameters=about.hyperparameters,
        dependencies=_requirements(files),
        locked=files.locked,
        system=(*libraries.known, *libraries.unknown),
        code=_inside(files.code),
        samples=tuple(sample.method for sample in files.samples),
        attachments=_inside(files.path / "attachments"),
        tags=ledger.tags,
        metrics=ledger.metrics,
        size=sum(path.stat().st_size for path in files.path.rglob("*") if path.is_file()),
    )


def _requirements(files: EnvelopeFiles) -> tuple[str, ...]:
    path = files.path / "env" / "requirements.in"
    return tuple(path.read_text(encoding="utf-8").split("\n")[:-1]) if path.is_file() else ()


def _inside(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
