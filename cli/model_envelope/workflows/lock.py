"""Locks an envelope, or locks it anew for something else: a new envelope, with a new digest, that names the old one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.needs import Dropped
from model_envelope.dependencies.requirements import with_versions
from model_envelope.dependencies.resolvers import LockRequest, choose
from model_envelope.dependencies.rooms import pip_recipe
from model_envelope.foundation import conda_lock
from model_envelope.foundation.errors import Answered, InvalidInput
from model_envelope.foundation.interpreter import describe, facts_of
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime import manifest
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope, verify_manifest
from model_envelope.store import trust as store_trust
from model_envelope.store.draft import open_draft
from model_envelope.store.ledger import read_ledger
from model_envelope.store.sealing import seal
from model_envelope.targets.target import Target, find_target
from model_envelope.workflows import conda
from model_envelope.workflows.cpu import tell_exchanged
from model_envelope.workflows.filtering import filter_lock, room_packages
from model_envelope.workflows.fitting import platforms_of
from model_envelope.workflows.locking import Aim, Goal, pinned_needs, read_upgrades, solve, with_upgrades, write_lock
from model_envelope.workflows.provenance import keep_difference, read_provenance, without_proof
from model_envelope.workflows.replaying import as_sealed, proof_document, prove_draft
from model_envelope.workflows.system import note_libraries
from model_envelope.workflows.wheels import index_with, wheels_in


@dataclass(frozen=True)
class LockResult:
    """The new envelope, the digest of the one that it came from, how much was locked, and for what."""

    path: Path
    digest: str
    previous: str
    distributions: int
    proven: bool
    platforms: tuple[str, ...]
    python: str
    cpu: bool = False


def lock(
    envelope: Path,
    *,
    resolver: str = "auto",
    platforms: Sequence[str] = (),
    python_version: str | None = None,
    upgrade: Sequence[str] = (),
    target: str | None = None,
    cpu: bool | None = None,
    prove: bool = True,
    trust: bool = False,
    python: Path | None = None,
    network: bool = False,
    into: Path | None = None,
    report: Report = silent,
) -> LockResult:
    """Lock the requirements of an envelope to the versions of the environment that packed it, prove, and seal anew.

    ``platforms`` (``linux/arm64``) and ``python_version`` (``3.12``) are what the lock is for; without them it is what
    it was for, or where the envelope has no lock yet, this machine. ``upgrade`` names packages (``NAME`` or
    ``NAME==VERSION``) that are to have another version than before. With the name of a ``target`` (``service``) what
    that needs is locked together with what the model needs.

    ``cpu`` makes the lock one for machines without a graphics card: builds for CPUs at the same versions, and nothing
    that is for graphics cards alone. Where it is None that is so for a target without one (``gpu = false``), and for an
    envelope whose lock was such a one before.

    With the resolver ``conda-lock`` it is the lock of a conda environment; an envelope has a lock of one kind, and the
    other is left behind.

    The new envelope appears beside the old one, or in ``into``; the old one stays as it is. The proof runs the model's
    code, so the envelope must have been sealed by this user here, or be trusted explicitly; ``network`` lets the model
    use the network there. A lock for another platform or a Python that is not here cannot be proven, which is reported.

    Raises :class:`Answered` where the envelope is not what was sealed, ``Unsolvable`` where no lock can be found, and
    :class:`InvalidInput` for a platform, Python, package or target that is none.
    """
    aim, upgrades = Aim.read(platforms, python_version), read_upgrades(upgrade)
    together = find_target(target) if target is not None else None
    if together is not None and not together.makes_image:
        raise InvalidInput(
            f"the target `{together.kind}` makes files that run an image, and needs no packages itself",
            code="target.no-image",
            hint=f"`envelope lock ENVELOPE --for {together.runs}` locks for the image that these files run",
        )
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
        conda.refuse({"--python-version": python_version, "--for": target, "--cpu": cpu})
        named = [str(platform) for platform in aim.platforms]
        made = conda.lock_again(
            files, named, upgrades=upgrades, python=python, into=into, prove=prove, network=network, report=report
        )
        shown = tuple(map(str, made.goal.platforms))
        return LockResult(
            made.path, made.digest, files.digest, made.distributions, made.proven, shown, made.goal.python
        )
    goal = _goal(files, aim, python)
    chosen = choose(resolver)
    witness = read_provenance(files)
    for_cpus = _for_cpus(cpu, witness, together)
    before = conda.versions_of(files)
    asked = LockRequest(
        requirements=(files.path / "env" / "requirements.in").read_bytes(),
        constraints={**witness.get("installed", {}), **before},
        origins=witness.get("origins", {}),
        python=goal.interpreter,
        index=IndexSettings.from_environment(),
        wheels=wheels_in(files.path),
    )
    request = with_upgrades(asked, upgrades, (*asked.requirement_names(), *(before or asked.constraints)))
    report(Started("lock", f"Locking with {chosen.name}"))
    found = solve(chosen, request, goal, together, cpu=for_cpus)
    locked, gone = filter_lock(found.lock, witness.get("left_out", {}), report)
    tell_exchanged(found.instead, report)
    report(Done("lock", f"Locked {len(locked.pins)} distributions with hashes{goal.beyond()} ({chosen.name})"))
    destination = into or files.path.parent
    ledger = read_ledger(files.path)
    with open_draft(destination) as draft:
        for name in manifest.sealed_files(files.path):
            draft.copy(name, files.path / name)
        (draft.folder / conda_lock.NAME).unlink(missing_ok=True)
        write_lock(draft, locked, goal, report)
        needs = with_versions(asked.requirements, found.versions_of_needs, found.names)
        draft.write("env/requirements.in", pinned_needs(needs, locked, upgrades))
        draft.describe(goal.noted(files.description))
        proven, proven_as = prove and bool(files.samples) and not goal.unprovable, dict[str, Any]()
        if proven:
            sealed_on = Machine.from_document(witness.get("machine", {}))
            proof = prove_draft(
                draft,
                pip_recipe(locked, python=goal.interpreter, index=index_with(draft.folder)),
                sealed_on=sealed_on,
                network=network,
                report=report,
            )
            proven_as = {"proof": proof_document(proof, network=network)}
            report(Done("prove", f"Proven in a clean room: {as_sealed(proof.replays)}"))
        elif prove:
            report(Note(f"not proven: {goal.unprovable or 'the envelope was sealed without samples'}"))
        place = room_packages(locked, goal.interpreter) if proven else Installed.read(facts_of(goal.interpreter).path)
        note_libraries(draft, locked, place, report, room=proven)
        keep_difference(files, witness, draft)
        sealed = seal(
            draft,
            destination,
            name=files.description.name,
            provenance={
                **without_proof(witness),
                **_dropped(witness, gone, found.gone),
                **({"cpu": {**witness.get("cpu", {}), **found.instead}} if for_cpus else {}),
                **({"upgraded": _upgraded(upgrades, before or asked.constraints, locked)} if upgrades else {}),
                **({"for": together.kind} if together else {}),
                "previous": files.digest,
                "resolver": chosen.name,
                "proven": proven,
                **proven_as,
            },
            tags=ledger.tags,
            metrics=ledger.metrics,
        )
    report(Done("seal", f"Sealed {sealed.path.name}"))
    return LockResult(
        sealed.path,
        sealed.digest,
        files.digest,
        len(locked.pins),
        proven,
        tuple(map(str, goal.platforms)),
        goal.python,
        for_cpus,
    )


def _for_cpus(asked: bool | None, witness: Mapping[str, Any], target: Target | None) -> bool:
    """Say whether a lock is for machines without a graphics card: what is asked for, else as before, or as a target is.

    Raises :class:`InvalidInput` (``lock.cpu-before``) where the way back is asked for.
    """
    before = "cpu" in witness
    if asked is False and before:
        raise InvalidInput(
            "the lock of this envelope is for CPUs, and what was left out for that is not known any more",
            code="lock.cpu-before",
            hint="lock the envelope that it was made from (`envelope show` names it), or pack the model again",
        )
    return bool(before or (target is not None and not target.gpu)) if asked is None else asked


def _goal(files: EnvelopeFiles, aim: Aim, python: Path | None) -> Goal:
    """Say what the lock is for: what is asked for, else what it was for, else this machine."""
    about = files.description
    wanted = Aim(
        aim.platforms or (platforms_of(about) if files.lock.is_file() else ()),
        aim.python or about.python,
    )
    if python is None:
        return Goal.of(wanted, Path(sys.executable))
    found = describe(python).series
    if found != wanted.python:
        raise InvalidInput(
            f"the lock is to be for Python {wanted.python}, and {python} is Python {found}",
            code="lock.other-python",
            hint=f"name a Python {wanted.python} with `--python`, or lock for this one with `--python-version {found}`",
        )
    return Goal.of(wanted, python)


def _upgraded(upgrades: Mapping[str, str], before: Mapping[str, str], lock: Lock) -> dict[str, str]:
    """Say from which version to which each package came that was asked for."""
    after = lock.versions()
    return {name: f"{before.get(name, 'none')} -> {after.get(name, 'none')}" for name in sorted(upgrades)}


def _dropped(witness: Mapping[str, Any], gone: Sequence[Dropped], for_cpus: Sequence[Dropped]) -> dict[str, Any]:
    """Give what was dropped when the envelope was packed, and what the lock had to leave out beside."""
    items = (*map(asdict, gone), *witness.get("dropped", ()), *map(asdict, for_cpus))
    noted = {item["name"]: item for item in items}
    return {"dropped": [noted[name] for name in sorted(noted)]} if noted else {}
