"""Checks that an envelope is what was sealed, and that its model still answers as it did then."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from model_envelope.dependencies.rooms import pip_recipe
from model_envelope.foundation.errors import Answered, InvalidInput
from model_envelope.foundation.interpreter import describe, find_series
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.foundation.pylock import read_lock
from model_envelope.runtime import manifest
from model_envelope.runtime.errors import EnvelopeError, Problem
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.runtime.replay import MethodReplay
from model_envelope.store import trust as store_trust
from model_envelope.store.ledger import read_ledger
from model_envelope.workflows.fitting import check_python, fitting
from model_envelope.workflows.provenance import read_provenance
from model_envelope.workflows.replaying import Replayed, disagreement, replay_in_room, replay_with
from model_envelope.workflows.wheels import index_with


@dataclass(frozen=True)
class VerifyResult:
    """How an envelope differs from what was sealed.

    ``here`` and ``clean`` hold how each method answered its samples, and nothing where that was not asked for. Answers
    that differ in their last bits alone agree where the machine is another one (``rounded``), and ``exposed`` says why
    the network was not out of reach in the clean room, where it was not. ``apart`` says how the machine is another one
    than the samples were sealed on.
    """

    path: Path
    digest: str
    files: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[str, ...]
    here: tuple[MethodReplay, ...] = ()
    clean: tuple[MethodReplay, ...] = ()
    exposed: str = ""
    apart: tuple[str, ...] = ()

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
        return disagreement(self.here, "here", apart=self.apart) or disagreement(
            self.clean, "in the clean room", apart=self.apart
        )


def verify(
    envelope: Path,
    *,
    samples: bool = False,
    clean: bool = False,
    trust: bool = False,
    python: Path | None = None,
    network: bool = False,
    report: Report = silent,
) -> VerifyResult:
    """Hold every file against the manifest; then replay the samples where that is asked for.

    ``samples`` replays in ``python`` (default: this interpreter), ``clean`` in an environment made from the lock alone,
    where the model has no network unless ``network`` is said. Both run the model's code, so the envelope must have been
    sealed by this user here, or be trusted explicitly. With a file that differs nothing is run.

    Raises ``InvalidEnvelope`` where the folder is none, ``Answered`` where the two forms of its lock do not say the
    same, ``Refused`` where the envelope is not trusted.
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
    if files.lock.is_file():
        read_lock(files.path)
    if samples or clean:
        store_trust.require(files, trusted=trust)
    sealed_on = Machine.from_document(read_provenance(files).get("machine", {})) if samples or clean else None
    if samples:
        interpreter = python or Path(sys.executable)
        report(Started("samples", "Replaying the samples here"))
        asked = replay_with(lambda *words: [interpreter, *words], files, isolated=False)
        replayed = _judged(asked, sealed_on, report)
        report(Done("samples", _count(replayed.replays)))
        result = replace(result, here=replayed.replays, apart=replayed.apart)
    if clean:
        replayed = _judged(_clean(files, python, network, report), sealed_on, report)
        report(Done("clean", f"{_count(replayed.replays)} in the clean room"))
        result = replace(result, clean=replayed.replays, exposed=replayed.exposed, apart=replayed.apart)
    return result


def _judged(replayed: Replayed, sealed_on: Machine | None, report: Report) -> Replayed:
    """Let last bits pass where the machine is another one; that is reported."""
    judged = replayed.judged(sealed_on)
    for remark in judged.remarks():
        report(Note(remark))
    return judged


def _clean(files: EnvelopeFiles, python: Path | None, network: bool, report: Report) -> Replayed:
    if not files.locked:
        raise InvalidInput(
            f"{files.path} has no lock, so no clean room can be made for it",
            code="verify.not-locked",
            hint="`envelope lock ENVELOPE` makes one with a lock; `--samples` replays in an interpreter of yours",
        )
    from model_envelope.workflows import conda

    if (conda_lock := conda.read_lock(files)) is not None:
        with fitting(files, Platform.here(), report):
            recipe = conda.recipe_of(files, conda_lock)
            return replay_in_room(recipe, files, network=network, name=files.path.name, report=report)
    interpreter = python or interpreter_for(files)
    check_python(files, interpreter)
    with fitting(files, Platform.of(describe(interpreter).platform), report):
        recipe = pip_recipe(read_lock(files.path), python=interpreter, index=index_with(files.path))
        return replay_in_room(recipe, files, network=network, name=files.path.name, report=report)


def interpreter_for(files: EnvelopeFiles) -> Path:
    """Find an interpreter of the version that the envelope is for: this one, or one on PATH.

    Raises :class:`ToolMissing` (``python.missing``), which names those that are here.
    """
    return find_series(files.description.python, files.description.implementation)


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
