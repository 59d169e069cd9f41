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
from model_envelope.dependencies.conda.rooms import CondaRoom, conda_room
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.needs import Dropped
from model_envelope.dependencies.programs import find_conda
from model_envelope.foundation import conda_lock, libraries
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.interpreter import describe, facts_of
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime import manifest
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.runtime.replay import MethodReplay
from model_envelope.store.draft import Draft, open_draft
from model_envelope.store.ledger import read_ledger
from model_envelope.store.sealing import seal
from model_envelope.workflows.provenance import keep_difference, read_provenance
from model_envelope.workflows.replaying import disagreement, replay_in

__all__ = ["NAME", "Plan", "lock_again", "lock_draft", "plan", "prove_draft", "read_lock", "room_of"]

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
    report: Report = silent,
) -> tuple[CondaLock, tuple[Dropped, ...]]:
    """Lock direct needs and what they lead to (``along``, with versions) and write the lock into a draft.

    It takes the place of a lock for pip. ``origins`` says what came from elsewhere than an index. ``left_out`` gives
    reasons for what must not be locked although something requires it; what of it was taken out of the lock is given
    too.
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


def prove_draft(draft: Draft, lock: CondaLock, report: Report = silent) -> tuple[MethodReplay, ...] | None:
    """Replay the samples of a draft in an environment made from its conda lock; None, and a note, where none can be.

    Raises :class:`AnswersDiffer` where a method answers otherwise there, and what making the environment raises.
    """
    platform = platform_here()
    if platform not in lock.platforms:
        report(Note(f"not proven: the lock is not for this machine, which is {platform or 'none that conda knows'}"))
        return None
    if find_conda() is None:
        report(Note("not proven: there is no micromamba, mamba or conda here to make an environment from the lock"))
        return None
    room = conda_room(lock, platform, report=report)
    report(Started("prove", "Replaying the samples in an environment made from the conda lock"))
    (draft.folder / manifest.NAME).write_bytes(manifest.compose(draft.folder))
    replayed = replay_in(room, read_envelope(draft.folder))
    if wrong := disagreement(replayed.replays, "in the environment made from the conda lock"):
        raise wrong
    return replayed.replays


@dataclass(frozen=True)
class LockedAgain:
    """An envelope that was made of another one, with a conda lock."""

    path: Path
    digest: str
    distributions: int
    proven: bool


def lock_again(
    files: EnvelopeFiles,
    platforms: Sequence[str],
    *,
    python: Path | None,
    into: Path | None,
    prove: bool,
    report: Report = silent,
) -> LockedAgain:
    """Make a new envelope of one that is as it was sealed: its lock is that of the conda environment that packed it.

    ``python`` names the interpreter of that environment where the provenance does not describe it.
    """
    witness, ledger = read_provenance(files), read_ledger(files.path)
    chosen = plan(python or Path(sys.executable), platforms, witness.get("conda"))
    target, installed = into or files.path.parent, witness.get("installed", {})
    with open_draft(target) as draft:
        for name in manifest.sealed_files(files.path):
            draft.copy(name, files.path / name)
        locked, gone = lock_draft(
            draft,
            chosen,
            requirements=(files.path / "env" / "requirements.in").read_bytes(),
            along={item["name"]: item["version"] for item in witness.get("packages", ()) if item["name"] in installed},
            left_out=witness.get("left_out", {}),
            report=report,
        )
        replays = prove_draft(draft, locked, report) if prove and files.samples else None
        if replays is not None:
            count = f"{len(replays)} methods answer as sealed"
            report(Done("prove", f"Proven in an environment made from the conda lock: {count}"))
        elif prove and not files.samples:
            report(Note("not proven: the envelope was sealed without samples"))
        keep_difference(files, witness, draft)
        dropped = {item["name"]: item for item in (*map(asdict, gone), *witness.get("dropped", ()))}
        noted = {"dropped": [dropped[name] for name in sorted(dropped)]} if dropped else {}
        changes = {"previous": files.digest, "resolver": NAME, "proven": replays is not None}
        sealed = seal(
            draft,
            target,
            name=files.description.name,
            provenance={**witness, **noted, **changes},
            tags=ledger.tags,
            metrics=ledger.metrics,
        )
    report(Done("seal", f"Sealed {sealed.path.name}"))
    return LockedAgain(sealed.path, sealed.digest, len(locked.versions()), replays is not None)


def read_lock(files: EnvelopeFiles) -> CondaLock | None:
    """Read the conda lock of an envelope; None where it has none."""
    if not files.conda_lock.is_file():
        return None
    return CondaLock.parse(files.conda_lock.read_bytes(), where=str(files.conda_lock))


def room_of(files: EnvelopeFiles, lock: CondaLock, report: Report = silent, *, pip: Lock | None = None) -> CondaRoom:
    """Make the environment of an envelope's conda lock here; ``pip`` takes the place of what pip installs into it.

    Raises :class:`InvalidInput` (``python.other``) where its Python is not the one that the envelope was packed with.
    """
    platform = platform_here()
    room = conda_room(lock, platform, pip=pip, report=report)
    locked = ".".join(lock.python(platform).split(".")[:2])
    if locked != files.description.python:
        raise InvalidInput(
            f"the conda lock has Python {locked}, and the envelope was packed with {files.description.python}",
            code="python.other",
            hint="lock again: `envelope lock ENVELOPE --resolver conda-lock`",
        )
    return room


def platform_here() -> str:
    """Give conda's name of the platform of this machine; empty where conda has none."""
    return platform_of(describe(Path(sys.executable)).platform)
