"""What the filter of dependencies means for the steps of packing: the lock, the proof, and what is noted down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from model_envelope.dependencies.graph import Package, closure, packages
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.needs import Dropped, Needs
from model_envelope.dependencies.rooms import clean_room, installed_in
from model_envelope.dependencies.system_libraries import lacking_library
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Note, Report
from model_envelope.runtime.errors import EnvelopeError


def filter_lock(lock: Lock, left_out: Mapping[str, str], report: Report) -> tuple[Lock, tuple[Dropped, ...]]:
    """Take out of a lock what must not be in it although something requires it; say what that was, and give it."""
    gone = tuple(Dropped(pin.name, pin.version, left_out[pin.name]) for pin in lock.pins if pin.name in left_out)
    if gone:
        named = ", ".join(dict.fromkeys(item.name for item in gone))
        report(Note(f"left out of the lock, though required: {named}"))
    return Lock(tuple(pin for pin in lock.pins if pin.name not in left_out)), gone


def needed_packages(needs: Needs, installed: Installed) -> tuple[Package, ...]:
    """Describe what the needs would bring along where nothing is locked, by what is installed here."""
    roots = {item.name: item.version for item in needs.kept}
    brought = closure(roots, installed, without=needs.left_out, as_of=needs.stand_ins).keys() - roots.keys()
    versions = {name: installed.distributions[name].version for name in brought}
    return packages(versions | roots, roots, [installed])


def locked_packages(lock: Lock, needs: Needs, installed: Installed, *, room_of: Path | None) -> tuple[Package, ...]:
    """Describe what a lock holds, by what is installed here.

    What is not installed here is looked for in the clean room of the interpreter ``room_of``, where one was made.
    """
    roots = [item.name for item in needs.kept]
    found = packages(lock.versions(), roots, [installed])
    if room_of is None or all(item.requires is not None for item in found):
        return found
    return packages(lock.versions(), roots, [installed, room_packages(lock, room_of)])


def room_packages(lock: Lock, python: Path) -> Installed:
    """Give what is installed in the clean room of a lock and an interpreter."""
    return installed_in(clean_room(lock, python=python, check=False).folder)


def advise(error: EnvelopeError, needs: Needs, installed: Installed) -> None:
    """Say in the hint of an error how to undo what the filter did, where that may be the cause."""
    said = str(error)
    error.hint = lacking_library(said) or error.hint
    reasons = {item.name: item.reason for item in needs.dropped}
    missing = dict.fromkeys(re.findall(r"No module named '([\w.]+)'", said))
    gone = [owner for module in missing for owner in installed.owners(module) if owner in reasons]
    if gone:
        error.hint = "; ".join(
            f"`{name}` was left out ({reasons[name]})"
            + (", and the model needs it" if name in needs.left_out else f": `--keep {name}` takes it along")
            for name in gone
        )
    for old, new in needs.replaced.items():
        if re.search(rf"(?<![\w-]){re.escape(new)}(?![\w-])", said):
            back = f"`{new}` stands in the place of `{old}`: `--keep {old}` takes that back, "
            version = f"`--replace {old}={new}==VERSION` names a version"
            error.hint = back + version + (f"; {error.hint}" if error.hint else "")
