"""Checks that an envelope is what was sealed, and that its model still answers as it did then."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from model_envelope.foundation.errors import Answered, InvalidInput, ToolMissing
from model_envelope.foundation.progress import Done, Report, Started, silent
from model_envelope.runtime import manifest
from model_envelope.runtime.errors import EnvelopeError, Problem
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.runtime.replay import MethodReplay
from model_envelope.store import trust as store_trust
from model_envelope.store.ledger import read_ledger
from model_envelope.workflows.replaying import disagreement, replay_with


@dataclass(frozen=True)
class VerifyResult:
    """How an envelope differs from what was sealed.

    ``here`` and ``clean`` hold how each method answered its samples, and nothing where that was not asked for.
    """

    path: Path
    digest: str
    files: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[str, ...]
    here: tuple[MethodReplay, ...] = ()
    clean: tuple[MethodReplay, ...] = ()

    def objection(self) -> EnvelopeError | None:
        """Give the error that says how the envelope does not hold, or None where it does."""
        problems = [
            *(Problem(name, "nothing", "the sealed file", "verify.missing") for name in self.missing),
            *(Problem(name, "other bytes", "the sealed ones", "verify.changed") for name in self.changed),
            *(Problem(name, "a file", "nothing: it was not sealed", "verify.extra") for name in self.extra),
        ]
        if problems:
            count = "a file differs" if len(problems) == 1 else f"{len(problems)} files differ"
            return Answered(
                f"{self.path} is not what was sealed: {count}",
                code="verify.files",
                problems=problems,
                hint="get it again from where it was sealed; tags and metrics are added with `envelope tag` and "
                "`envelope metric`, nothing else in an envelope can change",
            )
        return disagreement(self.here, "here") or disagreement(self.clean, "in the clean room")


def verify(
    envelope: Path,
    *,
    samples: bool = False,
    clean: bool = False,
    trust: bool = False,
    python: Path | None = None,
    report: Report = silent,
) -> VerifyResult:
    """Hold every file against the manifest; then replay the samples where that is asked for.

    ``samples`` replays in ``python`` (default: this interpreter), ``clean`` in an environment made from the lock alone.
    Both run the model's code, so the envelope must have been sealed by this user here, or be trusted explicitly. With a
    file that differs nothing is run.

    Raises ``InvalidEnvelope`` where the folder is none, ``Refused`` where the envelope is not trusted.
    """
    report(Started("files", "Hashing the files"))
    if (envelope / manifest.NAME).is_file():
        # Before anything is read: a changed envelope.json should be told as that, not as one that cannot be read.
        different = manifest.compare(envelope)
        if different:
            report(Done("files", "Hashed the files"))
            return _result(envelope.resolve(), different)
    files = read_envelope(envelope)
    sealed = {entry["digest"] for entry in read_ledger(files.path).sealed}
    if sealed and files.digest not in sealed:
        # Whoever changes a file and writes the manifest anew makes another envelope, which the ledger does not know.
        report(Done("files", "Hashed the files"))
        return _result(files.path, manifest.Differences((), (), (manifest.NAME,)))
    result = _result(files.path, manifest.Differences((), (), ()))
    report(Done("files", f"{result.files} files are as sealed"))
    here: tuple[MethodReplay, ...] = ()
    fresh: tuple[MethodReplay, ...] = ()
    if samples or clean:
        store_trust.require(files, trusted=trust)
    if samples:
        interpreter = python or Path(sys.executable)
        report(Started("samples", "Replaying the samples here"))
        here = replay_with(lambda *words: [interpreter, *words], files, isolated=False)
        report(Done("samples", _count(here)))
    if clean:
        fresh = _clean(files, python, report)
    return VerifyResult(**{**vars(result), "here": here, "clean": fresh})


def _clean(files: EnvelopeFiles, python: Path | None, report: Report) -> tuple[MethodReplay, ...]:
    from model_envelope.dependencies.conda.rooms import CondaRoom
    from model_envelope.dependencies.rooms import Room, clean_room
    from model_envelope.foundation.lockfile import Lock
    from model_envelope.workflows import conda

    if not files.locked:
        raise InvalidInput(
            f"{files.path} has no lock, so no clean room can be made for it",
            code="verify.not-locked",
            hint="`envelope lock ENVELOPE` makes one with a lock; `--samples` replays in an interpreter of yours",
        )
    if (conda_lock := conda.read_lock(files)) is not None:
        room: CondaRoom | Room = conda.room_of(files, conda_lock, report)
    else:
        locked = Lock.parse(files.lock.read_bytes())
        room = clean_room(locked, python=python or interpreter_for(files), report=report)
    report(Started("clean", "Replaying the samples in the clean room"))
    replays = replay_with(room.command, files, env=room.environment())
    report(Done("clean", f"{_count(replays)} in the clean room"))
    return replays


def interpreter_for(files: EnvelopeFiles) -> Path:
    """Find an interpreter of the version that the envelope was packed with: this one, or one on PATH.

    Raises :class:`ToolMissing`.
    """
    wanted = files.description.python
    if wanted == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    found = shutil.which(f"python{wanted}")
    if found is None:
        raise ToolMissing(
            f"the envelope was packed with Python {wanted}, and there is no `python{wanted}` here",
            code="python.missing",
            hint=f"install Python {wanted}, or name one with `--python`",
        )
    return Path(found)


def _result(path: Path, different: manifest.Differences) -> VerifyResult:
    sealed = (path / manifest.NAME).read_bytes()
    return VerifyResult(
        path=path,
        digest=manifest.digest(sealed),
        files=len(manifest.parse(sealed)),
        missing=different.missing,
        extra=different.extra,
        changed=different.changed,
    )


def _count(replays: tuple[MethodReplay, ...]) -> str:
    agree = sum(replay.agrees for replay in replays)
    return f"{agree} of {len(replays)} methods answer as sealed"
