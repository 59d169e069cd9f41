"""Replays the sealed samples of an envelope in another process: the step that `verify` and `pack` share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model_envelope.dependencies.rooms import clean_room
from model_envelope.foundation import carrying, process
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Report, Started, silent
from model_envelope.runtime import manifest
from model_envelope.runtime.errors import AnswersDiffer, Problem, from_document
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.runtime.replay import MethodReplay
from model_envelope.runtime.replay import from_document as replays_from_document
from model_envelope.store.draft import Draft
from model_envelope.workflows.wheels import index_with

Command = Callable[..., Sequence[str | Path]]
"""Gives the command that runs an interpreter with the arguments that it is called with."""


def replay_with(
    command: Command, envelope: EnvelopeFiles, *, isolated: bool = True, env: Mapping[str, str] | None = None
) -> tuple[MethodReplay, ...]:
    """Replay all samples in a child process. The interpreter needs the model's packages, and nothing of this tool.

    Raises :class:`InvalidInput` for an envelope without samples, ``ModelFailed`` where the model cannot be loaded or
    raises, and ``ToolFailed`` where the process ends otherwise.
    """
    if not envelope.samples:
        raise InvalidInput(
            f"{envelope.path} was sealed without samples, so there is nothing to replay",
            code="replay.no-samples",
            hint="pack it again without `--no-samples`",
        )
    with scratch_folder() as scratch:
        home = carrying.link(scratch / "carried", ["runtime"])
        words = carrying.arguments(home, "model_envelope.runtime.replay", envelope.path, isolated=isolated)
        finished = process.run([str(word) for word in command(*words)], env=env)
    document = _document(finished.stdout)
    if document is None:
        raise process.failed(finished, "the samples could not be replayed", code="replay.failed")
    if "error" in document:
        raise from_document(document["error"])
    return replays_from_document(document["replays"])


def prove_draft(draft: Draft, lock: Lock, *, python: Path, report: Report = silent) -> tuple[MethodReplay, ...]:
    """Replay the samples of a draft in a clean room made from its lock; the step that ends `pack` and `lock`.

    Raises :class:`AnswersDiffer` where a method answers otherwise there, and what making the room raises.
    """
    room = clean_room(lock, python=python, report=report, index=index_with(draft.folder))
    report(Started("prove", "Replaying the samples in a clean room"))
    (draft.folder / manifest.NAME).write_bytes(manifest.compose(draft.folder))
    replays = replay_with(room.command, read_envelope(draft.folder), env=room.environment())
    if wrong := disagreement(replays, "in the clean room"):
        raise wrong
    return replays


def disagreement(replays: Sequence[MethodReplay], where: str) -> AnswersDiffer | None:
    """Give the error for answers that are not the sealed ones, or None where all agree."""
    problems = [
        Problem(f"{replay.method}: {found.path}", found.found, found.expected, found.code)
        for replay in replays
        for found in replay.differences
    ]
    wrong = [f"`{replay.method}`" for replay in replays if not replay.agrees]
    if not wrong:
        return None
    return AnswersDiffer(
        f"{' and '.join(wrong)} answered the sealed samples otherwise {where}",
        code="replay.differs",
        problems=problems,
        hint="compare the versions of the packages there with `env/requirements.in` of the envelope",
    )


def _document(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and ("error" in document or "replays" in document) else None
