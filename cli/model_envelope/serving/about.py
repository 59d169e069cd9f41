"""What ``/envelope`` tells: which model answers, made of which commit and packages, by which runtime.

Everybody who may ask the model may read it. So each fact is named here, and nothing is passed on that was not looked
through: no hyperparameters, no repository, no user, no path, no variable.
"""

from __future__ import annotations

import platform
from typing import Any

from model_envelope import __version__
from model_envelope.runtime import manifest
from model_envelope.runtime.origin import origin_of
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.runtime_digest import runtime_digest


def about(envelope: EnvelopeFiles) -> dict[str, Any]:
    """Give the document. What nobody knows is null: the commit where there was no checkout, the lock where is none."""
    description = envelope.description
    origin = origin_of(envelope.path)
    return {
        "name": description.name,
        "description": description.description,
        "digest": envelope.digest,
        "methods": list(envelope.signature.methods),
        "framework": dict(description.framework) or None,
        "git": origin.to_document() if origin else None,
        "lock": _lock(envelope),
        "python": {"envelope": description.python, "process": platform.python_version()},
        "runtime": {"version": __version__, "digest": runtime_digest()},
    }


def _lock(envelope: EnvelopeFiles) -> dict[str, str] | None:
    """Name the sealed lock and its digest, as the manifest has it."""
    sealed = manifest.parse((envelope.path / manifest.NAME).read_bytes())
    for path in (envelope.conda_lock, envelope.lock):
        name = path.relative_to(envelope.path).as_posix()
        if name in sealed:
            return {"file": name, "sha256": sealed[name]}
    return None
