"""Proves a lock in a clean room before an envelope is sealed: adds what is missing there, takes away what can go."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from packaging.utils import canonicalize_name

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.kept_rooms import Recipe, forget, is_kept
from model_envelope.dependencies.needs import Kept, Needs, Tried
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Note, Report, Started
from model_envelope.foundation.words import named
from model_envelope.runtime.errors import AnswersDiffer, EnvelopeError, ModelFailed
from model_envelope.runtime.machine import Machine
from model_envelope.store.draft import Draft
from model_envelope.workflows.filtering import advise
from model_envelope.workflows.replaying import Missed, Replayed, proof_document, prove_draft

ROUNDS = 8
"""How often a proof that fails for want of a package is tried again with one more."""

_MODULES = (r"No module named '([\w.]+)'", r"needs the module `([\w.]+)`", r"[Mm]issing optional dependency '([\w.]+)'")
_DISTRIBUTIONS = (r"No package metadata was found for ([\w.-]+)", r"The '([\w.-]+)[^']*' distribution was not found")


AnyLock = TypeVar("AnyLock", bound=Lock | CondaLock)


@dataclass(frozen=True)
class Locked(Generic[AnyLock]):
    """Needs and their lock, the name of the resolver that found it, and what was exchanged ``instead`` for CPUs."""

    needs: Needs
    lock: AnyLock
    resolver: str
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Proven(Generic[AnyLock]):
    """What came of a proof: needs and lock as they are now, what was added to them, and what is noted of it.

    ``exposed`` says why the clean room was not taken off the network, where it was not.
    """

    locked: Locked[AnyLock]
    mended: tuple[str, ...]
    exposed: str
    document: Mapping[str, Any]


@dataclass
class Proving(Generic[AnyLock]):
    """The proof of one draft.

    ``find`` finds the needs anew with what was tried, ``lock`` writes them and their lock into the draft, ``room`` says
    how the clean room of that is made. What is in ``wanted`` is not taken away: the user asked for it. ``network``
    leaves the network to the model.
    """

    draft: Draft
    installed: Installed
    find: Callable[[Tried], Needs]
    lock: Callable[[Needs], Locked[AnyLock]]
    room: Callable[[Locked[AnyLock]], Recipe]
    sealed_on: Machine | None
    wanted: Collection[str] = ()
    network: bool = False
    tried: Tried = field(default_factory=Tried)
    mended: dict[str, str] = field(default_factory=dict)

    def settle(self, locked: Locked[AnyLock], tried: Tried, report: Report, *, minimal: bool) -> Proven[AnyLock]:
        """Prove a lock, add to it what is missing, and with ``minimal`` take away what can go; that is proven too.

        Raises what :meth:`prove` does.
        """
        self.tried = tried
        locked, proof = self.prove(locked, report)
        if minimal:
            less = self.minimize(locked, report)
            if less != locked:
                locked, proof = self.prove(less, report)
        methods = named(replay.method for replay in proof.replays)
        report(Done("prove", f"Proven in a clean room: {methods} answer as here"))
        document = proof_document(proof, network=self.network, mended=self.mended)
        return Proven(locked, tuple(self.mended), proof.exposed, document)

    def prove(self, locked: Locked[AnyLock], report: Report) -> tuple[Locked[AnyLock], Replayed]:
        """Replay the samples in a clean room of the lock.

        What is missing there, and is installed here, is added: the distribution that has it becomes a direct need, and
        all is locked and tried again, at most ``ROUNDS`` times. What must be left out is never added.

        Raises what the last try did, with a hint how to undo what was left out.
        """
        innocent: set[str] = set()
        before = ""
        while True:
            try:
                return locked, self._replay(locked, report)
            except EnvelopeError as error:
                failure = str(error)
                if failure == before:
                    innocent.add(self._take_back())
                found = next(self._missing(error, locked, innocent), None)
                if found is None or len(self.mended) + len(innocent) >= ROUNDS:
                    advise(error, locked.needs, self.installed)
                    raise
            before = failure
            name, what = found
            version = self.installed.distributions[name].version
            report(Note(f"{what} in the clean room: {name} {version} is added from this environment"))
            self.mended[name] = f"proof: {what} in the clean room"
            self.tried = Tried(
                {**self.tried.needed, name: self.mended[name]},
                {spare: reason for spare, reason in self.tried.spare.items() if spare != name},
            )
            locked = self.lock(self.find(self.tried))

    def _take_back(self) -> str:
        """Take back what was added last: the model failed just as before."""
        last, _ = self.mended.popitem()
        needed = {name: reason for name, reason in self.tried.needed.items() if name != last}
        self.tried = replace(self.tried, needed=needed)
        return last

    def minimize(self, locked: Locked[AnyLock], report: Report) -> Locked[AnyLock]:
        """Take away direct needs without which the model answers its samples in a clean room, one after the other.

        What the pickle itself names is not tried, since loading imports it, nor what the user asked to keep.
        """
        for item in locked.needs.kept:
            if item.name in self.wanted or item.name in locked.needs.replaced.values() or _is_named(item):
                continue
            report(Started("minimal", f"Trying without {item.name}"))
            tried = Tried(
                {name: reason for name, reason in self.tried.needed.items() if name != item.name},
                {**self.tried.spare, item.name: "minimal: without it the model answers the same in the clean room"},
            )
            less = self.lock(self.find(tried))
            if item.name in less.lock.versions():
                # Something else brings it along: taking the need away would take nothing away.
                self.lock(locked.needs)
                continue
            recipe = self.room(less)
            known = is_kept(recipe)
            if failure := self._failure(less, report):
                report(Done("minimal", f"{item.name} stays: without it, {failure}"))
                if not known:
                    forget(recipe)
                self.lock(locked.needs)
                continue
            gone = sorted(locked.lock.versions().keys() - less.lock.versions().keys())
            report(Note(f"the model answers the same without {', '.join(gone)}: left out"))
            self.tried, locked = tried, less
        return locked

    def _failure(self, locked: Locked[AnyLock], report: Report) -> str:
        try:
            self._replay(locked, _quietly(report))
        except (ModelFailed, AnswersDiffer) as error:
            return error.message
        return ""

    def _replay(self, locked: Locked[AnyLock], report: Report) -> Replayed:
        return prove_draft(
            self.draft,
            self.room(locked),
            sealed_on=self.sealed_on,
            network=self.network,
            report=report,
        )

    def _missing(
        self, error: EnvelopeError, locked: Locked[AnyLock], innocent: Collection[str]
    ) -> Iterator[tuple[str, str]]:
        """Give distributions of this environment that may be what was missing, the likeliest first, and what failed."""
        if not isinstance(error, ModelFailed):
            return
        said = f"{error.message}\n{error.detail}"
        missed = error.__cause__.modules[::-1] if isinstance(error.__cause__, Missed) else ()
        words = set(re.findall(r"\w+", said))
        mentioned = [module for pattern in _MODULES for module in re.findall(pattern, said)]
        asked: list[tuple[str, str]] = [
            (canonicalize_name(name), f"the metadata of {name} was missing")
            for pattern in _DISTRIBUTIONS
            for name in re.findall(pattern, said)
        ]
        # What the failure names comes first. Else the last module that was asked for in vain is the likeliest.
        for module in (*mentioned, *(name for name in missed if name.partition(".")[0] in words), *missed):
            asked += [(owner, f"`import {module}` failed") for owner in self.installed.owners(module)]
        for name, what in asked:
            there = self.installed.distributions.get(name)
            left_out = name in locked.needs.left_out or name in innocent or name in self.mended
            if there is not None and not there.editable and not left_out and name not in locked.lock.versions():
                yield name, what


def _is_named(item: Kept) -> bool:
    return any(reason.startswith("pickle: ") and "code in it" not in reason for reason in item.reasons)


def _quietly(report: Report) -> Report:
    """Report the steps of a trial, and not what it remarks: the proof that follows does."""
    return lambda event: None if isinstance(event, Note | Done) else report(event)
