"""Conda locks in the steps of packing: made for the packing environment, proven in an environment made from them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_envelope.dependencies.conda.channels import Channels, read_channels
from model_envelope.dependencies.conda.environment import (
    CondaEnvironment,
    chosen_platforms,
    platform_of,
    read_conda_environment,
)
from model_envelope.dependencies.conda.locking import NAME, CondaLockRequest, lock_conda, programs
from model_envelope.dependencies.conda.rooms import conda_recipe
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.kept_rooms import Recipe
from model_envelope.dependencies.needs import Dropped
from model_envelope.dependencies.programs import find_conda
from model_envelope.dependencies.requirements import with_versions
from model_envelope.foundation import conda_lock, libraries
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.interpreter import describe, facts_of
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime import manifest
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.store.draft import Draft, open_draft
from model_envelope.store.ledger import read_ledger
from model_envelope.store.sealing import seal
from model_envelope.workflows.locking import Aim, Goal, check_upgrades
from model_envelope.workflows.provenance import keep_difference, read_provenance, without_proof
from model_envelope.workflows.replaying import as_sealed, proof_document, prove_draft

__all__ = ["NAME", "Plan", "lock_again", "lock_draft", "plan", "read_lock", "recipe_of", "unprovable", "versions_of"]

OTHERS = ("env/requirements.lock", "env/pylock.toml", libraries.NAME)
"""What a lock for pip consists of; an envelope has a lock of one kind."""


@dataclass(frozen=True)
class Plan:
    """What is locked for conda: the environment that the model was packed in, and the platforms.

    ``channels`` are those of the settings of this machine, with their credentials.
    """

    environment: CondaEnvironment
    platforms: tuple[str, ...]
    channels: Channels

    def goal(self) -> Goal:
        """Say what the lock is for, as an envelope notes it: this machine first, where it is among them."""
        here = platform_here()
        platforms = [Platform.of(name) for name in sorted(self.platforms, key=lambda name: (name != here, name))]
        series = ".".join(self.environment.packages["python"].split(".")[:2])
        return Goal.of(Aim(tuple(platforms), series), Path(sys.executable))


def refuse(options: Mapping[str, object]) -> None:
    """Refuse options that a lock of a conda environment cannot follow, by name, where they have a value.

    Raises :class:`InvalidInput` (``lock.conda-options``).
    """
    if given := [f"`{name}`" for name, value in options.items() if value]:
        raise InvalidInput(
            f"{' and '.join(given)} {'does' if len(given) == 1 else 'do'} not go with a lock of a conda environment",
            code="lock.conda-options",
            hint="a conda lock has the Python of its environment, and an image adds the packages of its target with "
            "pip: leave that out, or lock with `--resolver auto`, as PyPI has the packages",
        )


def plan(python: Path, platforms: Sequence[str], noted: Mapping[str, Any] | None = None) -> Plan:
    """Look whether a model can be locked for conda, before anything takes time.

    ``python`` is the interpreter of the packing environment; ``noted`` is what the provenance of an envelope says of
    that environment, which counts where it is there.

    Raises :class:`ToolMissing` where conda-lock or conda is missing, :class:`InvalidInput` where the environment is
    none of conda's (``lock.no-conda-environment``) or a platform is unknown.
    """
    programs()
    environment, channels = (CondaEnvironment.from_document(noted), read_channels()) if noted else (None, Channels())
    if environment is None:
        facts = facts_of(python)
        channels = read_channels(facts.prefix)
        environment = read_conda_environment(facts.prefix, Installed.read(facts.path))
        if environment is None:
            raise InvalidInput(
                f"`{python}` belongs to no conda environment: {facts.prefix} has no `conda-meta` with a Python in it",
                code="lock.no-conda-environment",
                hint="name the Python of the environment that the model was trained in with `--python`, or lock with "
                "`--resolver auto`, as PyPI has the packages",
            )
    return Plan(environment, chosen_platforms(platforms, environment.platform), channels)


def lock_draft(
    draft: Draft,
    chosen: Plan,
    *,
    requirements: bytes,
    along: Mapping[str, str],
    left_out: Mapping[str, str],
    origins: Mapping[str, str] | None = None,
    upgrades: Mapping[str, str] | None = None,
    report: Report = silent,
) -> tuple[CondaLock, tuple[Dropped, ...]]:
    """Lock direct needs and what they lead to (``along``, with versions) and write the lock into a draft.

    It takes the place of a lock for pip. ``origins`` says what came from elsewhere than an index, ``upgrades`` what is
    to have another version than the packing environment has. ``left_out`` gives reasons for what must not be locked
    although something requires it; what of it was taken out of the lock is given too.
    """
    report(Started("lock", f"Locking for {', '.join(chosen.platforms)} with {NAME}"))
    found = lock_conda(
        CondaLockRequest(
            requirements=requirements,
            along={name: version for name, version in along.items() if name not in left_out},
            environment=chosen.environment,
            platforms=chosen.platforms,
            channels=chosen.channels,
            index=IndexSettings.from_environment(),
            origins=origins or {},
            upgrades=upgrades or {},
        )
    )
    gone = tuple(
        Dropped(name, version, left_out[name]) for name, version in found.versions().items() if name in left_out
    )
    if gone:
        report(Note(f"left out of the lock, though required: {', '.join(item.name for item in gone)}"))
    locked = found.without({item.name for item in gone})
    for name in (*OTHERS, conda_lock.NAME):
        (draft.folder / name).unlink(missing_ok=True)
    draft.write(conda_lock.NAME, locked.to_bytes())
    counts = ", ".join(
        f"{len(locked.of(platform)) + len(locked.of(platform, 'pip'))} for {platform}" for platform in locked.platforms
    )
    report(Done("lock", f"Locked packages with hashes: {counts} ({NAME})"))
    return locked, gone


def unprovable(platforms: Sequence[str]) -> str:
    """Say why no environment can be made from a lock for some platforms here; empty where one can."""
    platform = platform_here()
    if platform not in platforms:
        return f"the lock is not for this machine, which is {platform or 'none that conda knows'}"
    if find_conda() is None:
        return "there is no micromamba, mamba or conda here to make an environment from the lock"
    return ""


@dataclass(frozen=True)
class LockedAgain:
    """An envelope that was made of another one, with a conda lock, and what that is for."""

    path: Path
    digest: str
    distributions: int
    proven: bool
    goal: Goal


def lock_again(
    files: EnvelopeFiles,
    platforms: Sequence[str],
    *,
    upgrades: Mapping[str, str],
    python: Path | None,
    into: Path | None,
    prove: bool,
    network: bool = False,
    report: Report = silent,
) -> LockedAgain:
    """Make a new envelope of one that is as it was sealed: its lock is that of the conda environment that packed it.

    ``python`` names the interpreter of that environment where the provenance does not describe it. ``upgrades`` are
    packages, as PyPI names them, that are to have another version; what the lock before had otherwise stays so.
    """
    witness, ledger = read_provenance(files), read_ledger(files.path)
    chosen = plan(python or Path(sys.executable), platforms, witness.get("conda"))
    target, installed = into or files.path.parent, witness.get("installed", {})
    requirements = (files.path / "env" / "requirements.in").read_bytes()
    along = {item["name"]: item["version"] for item in witness.get("packages", ()) if item["name"] in installed}
    before = versions_of(files)
    at_packing = {**installed, **_of_conda(chosen.environment)} if files.conda_lock.is_file() else installed
    kept = {name: before[name] for name in along if before.get(name, at_packing[name]) != at_packing[name]}
    check_upgrades(upgrades, along)
    goal = chosen.goal()
    with open_draft(target) as draft:
        for name in manifest.sealed_files(files.path):
            draft.copy(name, files.path / name)
        locked, gone = lock_draft(
            draft,
            chosen,
            requirements=requirements,
            along=along,
            left_out=witness.get("left_out", {}),
            upgrades={**kept, **upgrades},
            report=report,
        )
        found = locked.versions_everywhere()
        upgraded = {name: found[name] for name in upgrades if name in found}
        draft.write("env/requirements.in", with_versions(requirements, upgraded))
        draft.describe(goal.noted(files.description))
        why = unprovable(locked.platforms) if files.samples else "the envelope was sealed without samples"
        proven, proven_as = prove and not why, dict[str, Any]()
        if proven:
            proof = prove_draft(
                draft,
                conda_recipe(locked, platform_here()),
                sealed_on=Machine.from_document(witness.get("machine", {})),
                network=network,
                report=report,
            )
            proven_as = {"proof": proof_document(proof, network=network)}
            report(Done("prove", f"Proven in a clean room: {as_sealed(proof.replays)}"))
        elif prove:
            report(Note(f"not proven: {why}"))
        keep_difference(files, witness, draft)
        dropped = {item["name"]: item for item in (*map(asdict, gone), *witness.get("dropped", ()))}
        noted: dict[str, Any] = {"dropped": [dropped[name] for name in sorted(dropped)]} if dropped else {}
        was = {**at_packing, **before}
        if upgrades:
            noted["upgraded"] = {name: f"{was.get(name, 'none')} -> {found.get(name, 'none')}" for name in upgrades}
        changes = {"previous": files.digest, "resolver": NAME, "proven": proven, **proven_as}
        sealed = seal(
            draft,
            target,
            name=files.description.name,
            provenance={**without_proof(witness), **noted, **changes},
            tags=ledger.tags,
            metrics=ledger.metrics,
        )
    report(Done("seal", f"Sealed {sealed.path.name}"))
    return LockedAgain(sealed.path, sealed.digest, len(locked.versions()), proven, goal)


def _of_conda(environment: CondaEnvironment) -> dict[str, str]:
    """Give the versions that conda has of the distributions of an environment."""
    return {key: environment.packages[name] for key, name in environment.owners.items()}


def versions_of(files: EnvelopeFiles) -> dict[str, str]:
    """Give the versions of distributions in the lock of an envelope, of either kind; empty where it has none."""
    if files.lock.is_file():
        return Lock.parse(files.lock.read_bytes()).versions()
    lock = read_lock(files)
    return lock.versions_everywhere() if lock else {}


def read_lock(files: EnvelopeFiles) -> CondaLock | None:
    """Read the conda lock of an envelope; None where it has none."""
    if not files.conda_lock.is_file():
        return None
    return CondaLock.parse(files.conda_lock.read_bytes(), where=str(files.conda_lock))


def recipe_of(files: EnvelopeFiles, lock: CondaLock, *, pip: Lock | None = None) -> Recipe:
    """Say how the clean room of an envelope's conda lock is made; ``pip`` takes the place of what pip installs into it.

    Raises :class:`InvalidInput` where the lock is not for this machine (``room.other-platform``), or its Python is not
    the one that the envelope was packed with (``python.other``).
    """
    platform = platform_here()
    recipe = conda_recipe(lock, platform, pip=pip)
    locked = ".".join(lock.python(platform).split(".")[:2])
    if locked != files.description.python:
        raise InvalidInput(
            f"the conda lock has Python {locked}, and the envelope was packed with {files.description.python}",
            code="python.other",
            hint="lock again: `envelope lock ENVELOPE --resolver conda-lock`",
        )
    return recipe


def platform_here() -> str:
    """Give conda's name of the platform of this machine; empty where conda has none."""
    return platform_of(describe(Path(sys.executable)).platform)
