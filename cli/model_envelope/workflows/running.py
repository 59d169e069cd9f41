"""Where a carried package of this project runs on this machine: in a clean room, or in an interpreter of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_envelope.foundation import process
from model_envelope.foundation.progress import Note, Report
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.targets.target import Target


@dataclass(frozen=True)
class Program:
    """A command with its variables. Nobody removes the room that it runs in as long as this is referred to."""

    command: tuple[str, ...]
    variables: Mapping[str, str]
    room: object = field(default=None, repr=False)


def program_for(
    files: EnvelopeFiles, target: Target, words: Sequence[str], *, python: Path | None, report: Report
) -> Program:
    """Give what starts an interpreter with arguments.

    It is that of a room made from the envelope's lock merged with the pins of the target, or ``python``, which has what
    both need.
    """
    if python is not None:
        _say_other_python(files, python, report)
        return Program((str(python), *words), process.environment())

    from model_envelope.dependencies.kept_rooms import kept_room
    from model_envelope.dependencies.rooms import clean_room
    from model_envelope.foundation.interpreter import describe
    from model_envelope.foundation.lockfile import Lock
    from model_envelope.foundation.platforms import Platform
    from model_envelope.targets.context import merged_lock
    from model_envelope.workflows import conda
    from model_envelope.workflows.fitting import fitting
    from model_envelope.workflows.verify import interpreter_for
    from model_envelope.workflows.wheels import index_with

    lock = Lock.parse(merged_lock(files, target))
    if (conda_lock := conda.read_lock(files)) is not None:
        with fitting(files, Platform.here(), report):
            recipe = conda.recipe_of(files, conda_lock, pip=lock)
            room = kept_room(recipe, belongs_to=files.path.name, report=report)
    else:
        interpreter = interpreter_for(files)
        with fitting(files, Platform.of(describe(interpreter).platform), report):
            room = clean_room(
                lock, python=interpreter, report=report, index=index_with(files.path), belongs_to=files.path.name
            )
    return Program(room.command(*words), room.environment(), room)


def _say_other_python(files: EnvelopeFiles, python: Path, report: Report) -> None:
    """Say that an interpreter of the user's is of another version than the envelope is for; it may do all the same."""
    from model_envelope.foundation.interpreter import describe

    found = describe(python).series
    if found != files.description.python:
        report(Note(f"{files.path.name} is for Python {files.description.python}, and {python} is Python {found}"))
