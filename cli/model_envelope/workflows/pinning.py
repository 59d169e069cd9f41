"""Pins what a draft needs, for pip or for conda, and proves it: what stands between finding needs and sealing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from model_envelope.dependencies.conda.rooms import conda_recipe
from model_envelope.dependencies.graph import Package, packages
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.kept_rooms import Recipe
from model_envelope.dependencies.needs import Needs, Tried
from model_envelope.dependencies.resolvers import LockRequest, choose
from model_envelope.dependencies.rooms import pip_recipe
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Note, Report, Started
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.machine import Machine
from model_envelope.store.draft import Draft
from model_envelope.workflows import conda
from model_envelope.workflows.cpu import tell_exchanged, with_exchanged
from model_envelope.workflows.filtering import advise, filter_lock, locked_packages, needed_packages, room_packages
from model_envelope.workflows.locking import Aim, Goal, solve, write_lock
from model_envelope.workflows.proving import Locked, Proving
from model_envelope.workflows.system import note_libraries
from model_envelope.workflows.wheels import index_with, take_along


@dataclass(frozen=True)
class Search:
    """What was found that the model needs, and how to find it again after further trials."""

    needs: Needs
    installed: Installed
    find: Callable[[Tried], Needs]
    tried: Tried


@dataclass(frozen=True)
class Pinning:
    """How a lock is to be made and proven.

    ``goal`` is what it is for, ``resolver`` makes it; for conda that is the ``plan``. ``minimal`` takes away what the
    model answers without, ``network`` leaves the network to the model in the clean room, ``cpu`` makes the lock one for
    machines without a graphics card.
    """

    goal: Goal
    resolver: str = "auto"
    plan: conda.Plan | None = None
    prove: bool = True
    minimal: bool = False
    network: bool = False
    cpu: bool = False

    @classmethod
    def of(
        cls, interpreter: Path, aim: Aim, resolver: str, prove: bool, minimal: bool, network: bool, cpu: bool = False
    ) -> Pinning:
        """Look whether it can be done, before anything takes time. Raises what ``conda.plan`` and ``choose`` do."""
        if resolver != conda.NAME:
            if resolver != "auto":
                choose(resolver)
            return cls(Goal.of(aim, interpreter), resolver, None, prove, minimal, network, cpu)
        conda.refuse({"--python-version": aim.python, "--cpu": cpu})
        plan = conda.plan(interpreter, [str(platform) for platform in aim.platforms])
        return cls(plan.goal(), resolver, plan, prove, minimal, network)


@dataclass(frozen=True)
class Ready:
    """What is to be sealed, locked and proven as far as that was asked for.

    ``mended`` was added because the clean room lacked it, ``exposed`` says why the room was not taken off the network,
    ``proof`` is what is noted of it. ``cpu`` says what was exchanged or left out for machines without a graphics card;
    None where the lock is not for these.
    """

    needs: Needs
    packages: tuple[Package, ...]
    resolver: str | None = None
    proven: bool = False
    mended: tuple[str, ...] = ()
    exposed: str = ""
    proof: dict[str, Any] | None = None
    cpu: dict[str, str] | None = None


def pin(
    draft: Draft,
    sought: Search,
    how: Pinning,
    report: Report,
    *,
    sealed_on: Machine | None = None,
    wanted: Collection[str] = (),
) -> Ready:
    """Write the lock of what was found into a draft, and replay its samples in an environment made from that alone.

    ``sealed_on`` is the machine that answered them; what is ``wanted`` is never taken away. Raises what solving and
    proving do, with a hint how to undo what was left out.
    """
    if how.plan is not None:
        return _pin_for_conda(draft, sought, how, how.plan, report, sealed_on=sealed_on, wanted=wanted)
    goal, installed = how.goal, sought.installed
    anew = partial(_lock, draft, how=how, installed=installed, wanted=wanted, report=report)

    def room(locked: Locked[Lock]) -> Recipe:
        return pip_recipe(locked.lock, python=goal.interpreter, index=index_with(draft.folder))

    locked, proof = anew(sought.needs), None
    if how.prove and goal.unprovable:
        report(Note(f"not proven: {goal.unprovable}"))
    elif how.prove:
        proving = Proving(draft, installed, sought.find, anew, room, sealed_on, wanted, how.network)
        proof = proving.settle(locked, sought.tried, report, minimal=how.minimal)
        locked = proof.locked
    proven = proof is not None
    inside = locked_packages(locked.lock, locked.needs, installed, room_of=goal.interpreter if proven else None)
    place = room_packages(locked.lock, goal.interpreter) if proven else installed
    note_libraries(draft, locked.lock, place, report, room=proven)
    ready = Ready(locked.needs, inside, locked.resolver, cpu=dict(locked.instead) if how.cpu else None)
    if proof is None:
        return ready
    return replace(ready, proven=True, mended=proof.mended, exposed=proof.exposed, proof=dict(proof.document))


def _lock(
    draft: Draft, needs: Needs, *, how: Pinning, installed: Installed, wanted: Collection[str], report: Report
) -> Locked[Lock]:
    draft.write("env/requirements.in", needs.requirements)
    resolver, goal = choose(how.resolver), how.goal
    index = IndexSettings.from_environment()
    wheels = take_along(draft, needs, installed, index=index, report=report)
    report(Started("lock", f"Locking with {resolver.name}"))
    request = LockRequest(
        requirements=needs.requirements,
        constraints=installed.versions,
        origins=installed.origins,
        python=goal.interpreter,
        index=index,
        wheels=wheels,
    )
    try:
        found = solve(resolver, request, goal, cpu=how.cpu, keep=wanted)
    except EnvelopeError as error:
        advise(error, needs, installed)
        raise
    locked, gone = filter_lock(found.lock, needs.left_out, report)
    if how.cpu:
        needs = with_exchanged(needs, found.versions, found.names, locked, found.gone)
        draft.write("env/requirements.in", needs.requirements)
        tell_exchanged(found.instead, report)
    write_lock(draft, locked, goal, report)
    report(Done("lock", f"Locked {len(locked.pins)} distributions with hashes{goal.beyond()} ({resolver.name})"))
    return Locked(needs.locked(locked.versions(), gone), locked, resolver.name, found.instead)


def _pin_for_conda(
    draft: Draft,
    sought: Search,
    how: Pinning,
    plan: conda.Plan,
    report: Report,
    *,
    sealed_on: Machine | None,
    wanted: Collection[str],
) -> Ready:
    installed = sought.installed
    anew = partial(_lock_for_conda, draft, plan=plan, installed=installed, report=report)
    locked = anew(sought.needs)
    proof, why = None, conda.unprovable(plan.platforms)
    if how.prove and why:
        report(Note(f"not proven: {why}"))
    elif how.prove:
        proving = Proving(draft, installed, sought.find, anew, _conda_room, sealed_on, wanted, how.network)
        proof = proving.settle(locked, sought.tried, report, minimal=how.minimal)
        locked = proof.locked
    needs, versions = locked.needs, locked.lock.versions()
    inside = packages(versions, [item.name for item in needs.kept], [installed])
    if proof is None:
        return Ready(needs, inside, conda.NAME)
    return Ready(needs, inside, conda.NAME, True, proof.mended, proof.exposed, dict(proof.document))


def _conda_room(locked: Locked[CondaLock]) -> Recipe:
    return conda_recipe(locked.lock, conda.platform_here())


def _lock_for_conda(
    draft: Draft, needs: Needs, *, plan: conda.Plan, installed: Installed, report: Report
) -> Locked[CondaLock]:
    draft.write("env/requirements.in", needs.requirements)
    versions = installed.versions
    try:
        found, gone = conda.lock_draft(
            draft,
            plan,
            requirements=needs.requirements,
            along={item.name: item.version for item in needed_packages(needs, installed) if item.name in versions},
            left_out=needs.left_out,
            origins=installed.origins,
            report=report,
        )
    except EnvelopeError as error:
        advise(error, needs, installed)
        raise
    return Locked(needs.locked(found.versions(), gone), found, conda.NAME)
