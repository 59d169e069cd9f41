"""Who packed an envelope, when, from what: kept beside it, never part of its digest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_envelope import __version__
from model_envelope.dependencies.conda.environment import read_conda_environment
from model_envelope.dependencies.freeze import conda_list, pip_freeze
from model_envelope.dependencies.graph import Package
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.needs import Needs
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.interpreter import Facts, facts_of
from model_envelope.foundation.secrets import scrub, scrub_all, secret_values
from model_envelope.runtime.errors import InvalidEnvelope
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.store.draft import Draft
from model_envelope.store.ledger import author, read_ledger
from model_envelope.workflows.checkout import read_checkout, read_commit
from model_envelope.workflows.job import job_identity

FOLDER = "provenance"


@dataclass(frozen=True)
class Witness:
    """What packing saw: its provenance as a ``document``, and what was not committed, where that was asked for."""

    document: dict[str, Any]
    difference: bytes = b""

    def write_difference(self, draft: Draft) -> None:
        """Write the uncommitted changes beside the provenance, under the name that it has for them."""
        if self.difference:
            draft.write(f"{FOLDER}/{self.document['git']['diff']}", self.difference)


def describe_packing(
    *,
    folder: Path,
    interpreter: Path,
    installed: Installed,
    needs: Needs,
    packages: Sequence[Package],
    resolver: str | None,
    proven: bool,
    proof: Mapping[str, Any] | None = None,
    machine: Machine | None = None,
    with_diff: bool = False,
    cpu: Mapping[str, str] | None = None,
) -> Witness:
    """Describe one packing.

    ``folder`` is where the model came from, ``interpreter`` the Python of the packing environment and ``installed`` all
    of that, ``packages`` what the model needs of it, all that comes along included. ``proof`` is what is to be known of
    the replay in a clean room, and ``machine`` what the samples were answered on. ``with_diff`` takes along what is not
    committed; else only its digest is noted. ``cpu`` says what is another in a lock for CPUs. Secrets of this machine's
    variables, of addresses and of pip's settings are taken out of all that is said about the surroundings.
    """
    secrets = _secrets()
    facts = facts_of(interpreter)
    checkout = read_checkout(folder)
    difference = _scrubbed(checkout.difference, secrets) if checkout and with_diff else b""
    git = checkout.to_document() if checkout else {}
    if difference:
        git["diff"] = f"{hashlib.sha256(difference).hexdigest()}.diff"
    conda = read_conda_environment(facts.prefix, installed)
    document = {
        "format": 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "author": author(),
        "tool": {"name": "model-envelope", "version": __version__},
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            **(machine.to_document() if machine else {}),
        },
        "python": scrub_all(facts.to_document(), secrets),
        "git": scrub_all(git, secrets),
        "job": scrub_all(job_identity(), secrets),
        "environment": scrub_all(_environment(facts, installed), secrets),
        **({"conda": scrub_all(conda.to_document(), secrets)} if conda else {}),
        "installed": {name: item.version for name, item in sorted(installed.distributions.items())},
        "origins": scrub_all(installed.origins, secrets),
        "kept": [{**asdict(item), "reasons": scrub_all(item.reasons, secrets)} for item in needs.kept],
        "dropped": [{**asdict(item), "reason": scrub(item.reason, secrets)} for item in needs.dropped],
        "left_out": {name: scrub(reason, secrets) for name, reason in needs.left_out.items()},
        "packages": [asdict(item) for item in packages],
        "local": [item.name for item in needs.local],
        "resolver": resolver,
        "proven": proven,
        **({"proof": scrub_all(proof, secrets)} if proof else {}),
        **({"cpu": dict(cpu)} if cpu is not None else {}),
    }
    return Witness(document, difference)


def keep_difference(files: EnvelopeFiles, document: Mapping[str, Any], draft: Draft) -> None:
    """Take along what was not committed into a draft that is made of an envelope, where it is still beside that.

    Raises :class:`InvalidEnvelope` (``provenance.changed``) where it is not what was noted.
    """
    name = Path(str(document.get("git", {}).get("diff", ""))).name
    path = files.path / FOLDER / name
    if name and path.is_file():
        draft.write(f"{FOLDER}/{name}", _as_noted(path))


def _as_noted(path: Path) -> bytes:
    """Read a file that is named by its own digest."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise InvalidEnvelope(
            f"{path} was changed after the envelope was sealed",
            code="provenance.changed",
            hint="get it again from where it was sealed, or remove it: what is sealed is not touched by it",
        )
    return content


def _secrets() -> frozenset[str]:
    """Give the secrets of this machine that are known; those of a configuration that cannot be read are not."""
    with suppress(InvalidInput):
        return secret_values() | IndexSettings.from_environment().secrets()
    return secret_values()


def _environment(facts: Facts, installed: Installed) -> dict[str, Any]:
    """Give the packing environment as `pip freeze --all` and `conda list` write it, a list of lines each."""
    lists: dict[str, Any] = {"pip_freeze": pip_freeze(installed, checkout=_reference)}
    conda = conda_list(facts.prefix, installed)
    if conda is not None:
        lists |= {"conda_list_export": conda.export, "conda_list_explicit": conda.explicit}
    return lists


def _reference(project: Path, name: str) -> str | None:
    commit = read_commit(project)
    return commit.reference(name) if commit else None


def _scrubbed(difference: bytes, secrets: frozenset[str]) -> bytes:
    """Take the credentials out of a difference; whatever is no text stays, byte for byte."""
    return scrub(difference.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")


def read_provenance(files: EnvelopeFiles) -> dict[str, Any]:
    """Read what was noted when an envelope was sealed; empty where its provenance did not travel with it.

    Raises :class:`InvalidEnvelope` (``provenance.changed``) where it is not what was noted then.
    """
    sealed = read_ledger(files.path).sealed
    name = str(sealed[-1]["provenance"]) if sealed else ""
    path = files.path / FOLDER / f"{name}.json"
    if not name or not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(_as_noted(path))
    return document


def without_proof(witness: Mapping[str, Any]) -> dict[str, Any]:
    """Give what packing saw without what is said of the lock before: how it was proven, and which target it was for."""
    return {name: value for name, value in witness.items() if name not in ("proof", "for")}
