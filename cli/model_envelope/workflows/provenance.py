"""Who packed an envelope, when, from what: kept beside it, never part of its digest."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_envelope import __version__
from model_envelope.dependencies.graph import Package
from model_envelope.dependencies.needs import Needs
from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolMissing
from model_envelope.runtime.errors import InvalidEnvelope
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.store.ledger import author, read_ledger

CI_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "GITHUB_ACTIONS": ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB", "GITHUB_SHA"),
    "GITLAB_CI": ("CI_PROJECT_PATH", "CI_PIPELINE_ID", "CI_JOB_ID", "CI_COMMIT_SHA"),
    "JENKINS_URL": ("JOB_NAME", "BUILD_NUMBER", "GIT_COMMIT"),
    "BUILDKITE": ("BUILDKITE_PIPELINE_SLUG", "BUILDKITE_BUILD_NUMBER", "BUILDKITE_COMMIT"),
}
"""By the variable that tells a CI system: the variables that name its job. None of them holds a secret."""


def describe_packing(
    *,
    folder: Path,
    python: Mapping[str, str],
    installed: Mapping[str, str],
    needs: Needs,
    packages: Sequence[Package],
    resolver: str | None,
    proven: bool,
) -> dict[str, Any]:
    """Describe one packing.

    ``folder`` is where the model came from, ``installed`` the whole packing environment, ``packages`` what the model
    needs of it, all that comes along included.
    """
    return {
        "format": 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "author": author(),
        "tool": {"name": "model-envelope", "version": __version__},
        "machine": {"system": platform.system(), "release": platform.release(), "architecture": platform.machine()},
        "python": dict(python),
        "git": git_state(folder),
        "job": {name: os.environ[name] for name in _job_variables() if name in os.environ},
        "installed": dict(sorted(installed.items())),
        "kept": [asdict(item) for item in needs.kept],
        "dropped": [asdict(item) for item in needs.dropped],
        "left_out": dict(needs.left_out),
        "packages": [asdict(item) for item in packages],
        "local": [item.name for item in needs.local],
        "resolver": resolver,
        "proven": proven,
    }


def read_provenance(files: EnvelopeFiles) -> dict[str, Any]:
    """Read what was noted when an envelope was sealed; empty where its provenance did not travel with it.

    Raises :class:`InvalidEnvelope` (``provenance.changed``) where it is not what was noted then.
    """
    sealed = read_ledger(files.path).sealed
    name = str(sealed[-1]["provenance"]) if sealed else ""
    path = files.path / "provenance" / f"{name}.json"
    if not name or not path.is_file():
        return {}
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != name:
        raise InvalidEnvelope(
            f"{path} was changed after the envelope was sealed",
            code="provenance.changed",
            hint="get it again from where it was sealed, or remove it: what is sealed is not touched by it",
        )
    document: dict[str, Any] = json.loads(content)
    return document


def git_state(folder: Path) -> dict[str, str]:
    """Give commit, branch and the digest of the uncommitted changes; empty where the folder is in no repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        if commit is None:
            return {}
        state = {"commit": commit, "branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD") or ""}
        difference = process.run(["git", "-C", folder, "diff", "--binary", "HEAD"])
    except ToolMissing:
        return {}
    if difference.ok and difference.stdout:
        state["dirty"] = "sha256:" + hashlib.sha256(difference.stdout.encode()).hexdigest()
    return state


def _git(folder: Path, *words: str) -> str | None:
    finished = process.run(["git", "-C", folder, *words])
    return finished.stdout.strip() if finished.ok else None


def _job_variables() -> list[str]:
    return [name for system, names in CI_VARIABLES.items() if system in os.environ for name in names]
