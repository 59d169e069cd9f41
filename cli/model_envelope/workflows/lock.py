"""Locks an envelope that was packed without a lock: a new envelope, with a new digest, that names the old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.interpreter import describe, facts_of
from model_envelope.dependencies.needs import Dropped
from model_envelope.dependencies.resolvers import LockRequest, choose
from model_envelope.foundation import conda_lock
from model_envelope.foundation.errors import Answered, InvalidInput
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime import manifest
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope, verify_manifest
from model_envelope.store import trust as store_trust
from model_envelope.store.draft import open_draft
from model_envelope.store.ledger import read_ledger
from model_envelope.store.sealing import seal
from model_envelope.workflows import conda
from model_envelope.workflows.filtering import filter_lock, room_packages
from model_envelope.workflows.provenance import keep_difference, read_provenance
from model_envelope.workflows.replaying import prove_draft
from model_envelope.workflows.system import note_libraries
from model_envelope.workflows.verify import interpreter_for


@dataclass(frozen=True)
class LockResult:
    """The new envelope, the digest of the one that it came from, and how much was locked."""

    path: Path
    digest: str
    previous: str
    distributions: int
    proven: bool


def lock(
    envelope: Path,
    *,
    resolver: str = "auto",
    platforms: Sequence[str] = (),
    prove: bool = True,
    trust: bool = False,
    python: Path | None = None,
    into: Path | None = None,
    report: Report = silent,
) -> LockResult:
    """Lock the requirements of an envelope to the versions of the environment that packed it, prove, and seal anew.

    With the resolver ``conda-lock`` it is the lock of a conda environment, for ``platforms`` (default: the one of that
    environment and linux-64); an envelope has a lock of one kind, and the other is left behind.

    The new envelope appears beside the old one, or in ``into``; the old one stays as it is. The proof runs the model's
    code, so the envelope must have been sealed by this user here, or be trusted explicitly.

    Raises :class:`Answered` where the envelope is not what was sealed, ``Unsolvable`` where no lock can be found.
    """
    files = read_envelope(envelope)
    if verify_manifest(files):
        raise Answered(
            f"{files.path} is not what was sealed, so it is not locked",
            code="envelope.changed",
            hint="`envelope verify` lists what differs",
        )
    if prove:
        store_trust.require(files, trusted=trust)
    if resolver == conda.NAME:
        made = conda.lock_again(files, platforms, python=python, into=into, prove=prove, report=report)
        return LockResult(made.path, made.digest, files.digest, made.distributions, made.proven)
    if platforms:
        raise InvalidInput(
            "platforms can be named for a lock of a conda environment only",
            code="lock.platform",
            hint="add `--resolver conda-lock`, or leave `--platform` out",
        )
    interpreter = python or interpreter_for(files)
    _same_series(files, interpreter)
    chosen = choose(resolver)
    witness = read_provenance(files)
    report(Started("lock", f"Locking with {chosen.name}"))
    locked = chosen.lock(
        LockRequest(
            requirements=(files.path / "env" / "requirements.in").read_bytes(),
            constraints=witness.get("installed", {}),
            python=interpreter,
            index=IndexSettings.from_environment(),
        )
    )
    locked, gone = filter_lock(locked, witness.get("left_out", {}), report)
    report(Done("lock", f"Locked {len(locked.pins)} distributions with hashes ({chosen.name})"))
    target = into or files.path.parent
    ledger = read_ledger(files.path)
    with open_draft(target) as draft:
        for name in manifest.sealed_files(files.path):
            draft.copy(name, files.path / name)
        for name in ("env/requirements.lock", conda_lock.NAME):
            (draft.folder / name).unlink(missing_ok=True)
        draft.write("env/requirements.lock", locked.to_bytes())
        proven = prove and bool(files.samples)
        if proven:
            replays = prove_draft(draft, locked, python=interpreter, report=report)
            report(Done("prove", f"Proven in a clean room: {len(replays)} methods answer as sealed"))
        elif prove:
            report(Note("not proven: the envelope was sealed without samples"))
        place = room_packages(locked, interpreter) if proven else Installed.read(facts_of(interpreter).path)
        note_libraries(draft, locked, place, report, room=proven)
        keep_difference(files, witness, draft)
        sealed = seal(
            draft,
            target,
            name=files.description.name,
            provenance={
                **witness,
                **_dropped(witness, gone),
                "previous": files.digest,
                "resolver": chosen.name,
                "proven": proven,
            },
            tags=ledger.tags,
            metrics=ledger.metrics,
        )
    report(Done("seal", f"Sealed {sealed.path.name}"))
    return LockResult(sealed.path, sealed.digest, files.digest, len(locked.pins), proven)


def _dropped(witness: Mapping[str, Any], gone: Sequence[Dropped]) -> dict[str, Any]:
    """Give what was dropped when the envelope was packed, and what the lock had to leave out beside."""
    noted = {item["name"]: item for item in (*map(asdict, gone), *witness.get("dropped", ()))}
    return {"dropped": [noted[name] for name in sorted(noted)]} if noted else {}


def _same_series(files: EnvelopeFiles, interpreter: Path) -> None:
    found = describe(interpreter).series
    if found != files.description.python:
        raise InvalidInput(
            f"the envelope was packed with Python {files.description.python}, and {interpreter} is Python {found}",
            code="lock.other-python",
            hint=f"name a Python {files.description.python} with `--python`",
        )
