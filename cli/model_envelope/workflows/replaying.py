"""Replays the sealed samples of an envelope in another process: the step that `verify` and `pack` share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_envelope.dependencies.kept_rooms import Recipe, Room, kept_room, spoilt
from model_envelope.foundation import carrying, process
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.progress import Note, Report, Started, silent
from model_envelope.runtime import manifest
from model_envelope.runtime.comparing import only_last_bits
from model_envelope.runtime.errors import AnswersDiffer, EnvelopeError, Problem, from_document
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.runtime.replay import MethodReplay
from model_envelope.runtime.replay import from_document as replays_from_document
from model_envelope.store.draft import Draft

Command = Callable[..., Sequence[str | Path]]
"""Gives the command that runs an interpreter with the arguments that it is called with."""

NO_NETWORK = re.compile(
    r"name resolution|Name or service not known|Network is unreachable|No address associated|NameResolutionError|"
    r"getaddrinfo failed|Connection refused|ConnectionError|URLError"
)


class Missed(Exception):
    """The cause that a model's failure is given in another process: the modules that were asked for there in vain."""

    def __init__(self, modules: Sequence[str]) -> None:
        super().__init__(", ".join(modules))
        self.modules = tuple(modules)


@dataclass(frozen=True)
class Replayed:
    """How the samples were answered in another process.

    ``machine`` is where that ran, None where nobody knows; ``exposed`` says why the process was not taken off the
    network, where it should have been; ``apart`` says how the machine is another one than the samples were sealed on.
    """

    replays: tuple[MethodReplay, ...]
    machine: Machine | None
    exposed: str = ""
    apart: tuple[str, ...] = ()

    def judged(self, sealed_on: Machine | None) -> Replayed:
        """Decide about methods that answer otherwise in their last bits alone.

        Where the machine is another one than the samples were sealed on, rounding explains that, and they count as
        answering the same (``rounded``). Where it is the same one, or nobody knows, something else must have changed.
        """
        apart = self.machine.apart_from(sealed_on) if self.machine and sealed_on else ()
        replays = (
            replace(item, agrees=True, rounded=True) if apart and only_last_bits(item.differences) else item
            for item in self.replays
        )
        return replace(self, replays=tuple(replays), apart=apart)

    def remarks(self) -> tuple[str, ...]:
        """Say what the user should know of a replay that went well."""
        found = []
        if self.exposed:
            found.append(f"the network was not out of reach while the model answered: {self.exposed}")
        if rounded := [f"`{item.method}`" for item in self.replays if item.rounded]:
            found.append(
                f"{' and '.join(rounded)} answered otherwise in the last bits alone, which counts as the same on "
                f"another machine: {'; '.join(self.apart)}"
            )
        return tuple(found)


def replay_with(
    command: Command,
    envelope: EnvelopeFiles,
    *,
    isolated: bool = True,
    network: bool = True,
    env: Mapping[str, str] | None = None,
) -> Replayed:
    """Replay all samples in a child process. The interpreter needs the model's packages, and nothing of this tool.

    ``isolated`` keeps the user's settings of Python out, and without ``network`` the child leaves the network first.

    Raises :class:`InvalidInput` for an envelope without samples, ``ToolFailed`` where the process ends without an
    answer, and ``ModelFailed``, caused by :class:`Missed`, where the model cannot be loaded or raises.
    """
    if not envelope.samples:
        raise InvalidInput(
            f"{envelope.path} was sealed without samples, so there is nothing to replay",
            code="replay.no-samples",
            hint="pack it again without `--no-samples`",
        )
    with scratch_folder() as scratch:
        home = carrying.link(scratch / "carried", ["runtime"])
        options = [] if network else ["--no-network"]
        words = carrying.arguments(home, "model_envelope.runtime.replay", envelope.path, *options, isolated=isolated)
        finished = process.run([str(word) for word in command(*words)], env=env)
    document = _document(finished.stdout)
    if document is None:
        raise process.failed(finished, "the samples could not be replayed", code="replay.failed")
    if "error" in document:
        raise from_document(document["error"]) from Missed(document["missed"])
    return Replayed(
        replays_from_document(document["replays"]), Machine.from_document(document["machine"]), document["network"]
    )


def replay_in_room(
    recipe: Recipe, envelope: EnvelopeFiles, *, network: bool = False, name: str = "", report: Report = silent
) -> Replayed:
    """Replay the samples in a clean room, with an empty home folder and, on Linux, without a network.

    ``network`` leaves the network to the model, ``name`` says whose room it is. A room of the cache in which the model
    fails or answers otherwise is looked through; if it is not as it was installed, it is made anew and asked again.

    Raises ``ModelFailed``, caused by :class:`Missed`, where the model fails, and what making the room raises.
    """
    room = kept_room(recipe, belongs_to=name, report=report)
    report(Started("prove", "Replaying the samples in a clean room"))
    try:
        found = _replay_in(room, envelope, network=network)
        if not room.cached or all(item.agrees for item in found.replays) or not spoilt(room):
            return found
    except EnvelopeError:
        if not room.cached or not spoilt(room):
            raise
    room = kept_room(recipe, belongs_to=name, report=report)
    report(Started("prove", "Replaying the samples in a clean room"))
    return _replay_in(room, envelope, network=network)


def _replay_in(room: Room, envelope: EnvelopeFiles, *, network: bool) -> Replayed:
    # What lies in the user's home (downloaded data, settings of libraries) would not be where the model goes.
    with scratch_folder(prefix="envelope-home-") as home:
        own = {name: value for name, value in room.environment().items() if not name.startswith("XDG_")}
        try:
            return replay_with(room.command, envelope, network=network, env={**own, "HOME": str(home)})
        except EnvelopeError as failed:
            said = str(failed)
            if not network and NO_NETWORK.search(said):
                failed.hint = (
                    "there is no network in a clean room: what the model fetches has to travel with it; where it "
                    "needs a service to answer, `--allow-network` proves it with the network"
                )
            elif str(home) in said:
                failed.hint = (
                    "the home folder is empty in a clean room: data that the model reads from there has to travel "
                    "with it, in a package or in its local code"
                )
            raise


def prove_draft(
    draft: Draft,
    recipe: Recipe,
    *,
    sealed_on: Machine | None = None,
    network: bool = False,
    report: Report = silent,
) -> Replayed:
    """Replay the samples of a draft in its clean room, and report what is to be known of it.

    ``sealed_on`` is the machine that the samples were answered on, and ``network`` leaves the network to the model.

    Raises :class:`AnswersDiffer` where a method answers otherwise there, and what :func:`replay_in_room` does.
    """
    (draft.folder / manifest.NAME).write_bytes(manifest.compose(draft.folder))
    files = read_envelope(draft.folder)
    name = files.description.name
    proof = replay_in_room(recipe, files, network=network, name=name, report=report).judged(sealed_on)
    if wrong := disagreement(proof.replays, "in the clean room", apart=proof.apart):
        raise wrong
    for remark in proof.remarks():
        report(Note(remark))
    return proof


def proof_document(proof: Replayed, *, network: bool, mended: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Give what is noted of a proof in the provenance; ``mended`` is what had to be added to the lock, and why."""
    return {
        "network": "allowed" if network else proof.exposed or "none",
        "machine": proof.machine.to_document() if proof.machine else None,
        "rounded": [item.method for item in proof.replays if item.rounded],
        "mended": dict(mended or {}),
    }


def as_sealed(replays: Sequence[MethodReplay]) -> str:
    """Say how many methods answered, where all did."""
    return "1 method answers as sealed" if len(replays) == 1 else f"{len(replays)} methods answer as sealed"


def disagreement(replays: Sequence[MethodReplay], where: str, *, apart: Sequence[str] = ()) -> AnswersDiffer | None:
    """Give the error for answers that are not the sealed ones, or None where all agree.

    ``apart`` says how the machine is another one than the answers were sealed on.
    """
    wrong = [replay for replay in replays if not replay.agrees]
    if not wrong:
        return None
    problems = [
        Problem(f"{replay.method}: {found.path}", found.found, found.expected, found.code)
        for replay in wrong
        for found in replay.differences
    ]
    named = " and ".join(f"`{replay.method}`" for replay in wrong)
    if all(only_last_bits(replay.differences) for replay in wrong):
        return AnswersDiffer(
            f"{named} answered the sealed samples otherwise {where}, in the last bits alone",
            code="replay.last-bits",
            problems=problems,
            hint="rounding explains that where the CPU or the BLAS is another one, and nothing says that it is: "
            "compare the versions of the packages there with `env/requirements.in` of the envelope",
        )
    return AnswersDiffer(
        f"{named} answered the sealed samples otherwise {where}",
        code="replay.differs",
        problems=problems,
        hint="compare the versions of the packages there with `env/requirements.in` of the envelope"
        + (f"; the machine is another one too, which explains last bits only: {'; '.join(apart)}" if apart else ""),
    )


def _document(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and ("error" in document or "replays" in document) else None
