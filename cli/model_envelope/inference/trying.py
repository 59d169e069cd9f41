"""The toolchain's side of a trial: the same model once more, with some distributions hidden."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from model_envelope.foundation import carrying, process
from model_envelope.inference.hiding import Hidden
from model_envelope.inference.probe import Found, Limits, Question
from model_envelope.runtime import signature_document

_numbers = count()


@dataclass(frozen=True)
class Trial:
    """How a trial ended. ``failure`` says what was not as before, None where everything was.

    ``missed`` are the hidden modules and files that were asked for, in their order; ``libraries`` the shared libraries
    that were mapped in the end, hidden ones among them where nothing but the system's loader brought them; ``modules``
    those that the model brought, with their files.
    """

    failure: str | None
    missed: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    modules: Mapping[str, str | None] = field(default_factory=dict)


def try_without(
    hidings: Sequence[Hidden], question: Question, found: Found, *, python: Path, scratch: Path, limits: Limits
) -> list[Trial]:
    """Load the model again and ask it all samples with some distributions hidden: in a child of ``python`` for each.

    They run side by side. ``scratch`` is the folder that the probe was given: what it left there is used again.
    """
    timeout = min(limits.seconds, max(30.0, 5 * found.seconds) * len(hidings))
    with ExitStack() as stack:
        running: list[tuple[process.Running, Path]] = []
        for hidden in hidings:
            number = next(_numbers)
            asked, result = scratch / f"trial-{number}.json", scratch / f"tried-{number}.json"
            asked.write_text(json.dumps(_request(hidden, question, found, limits)), encoding="utf-8")
            child = carrying.arguments(
                scratch / "carried", "model_envelope.inference.trial", asked, result, isolated=False
            )
            running.append((stack.enter_context(process.Running([str(python), *child])), result))
        return [_ended(child.finish(timeout), result) for child, result in running]


def _request(hidden: Hidden, question: Question, found: Found, limits: Limits) -> dict[str, Any]:
    return {
        "model": str(question.model.absolute()),
        "main": question.main,
        "search": [str(folder.absolute()) for folder in question.search],
        "methods": dict(found.methods),
        "signature": signature_document.to_document(found.signature),
        "witnesses": dict(found.witnesses),
        "hidden": hidden.to_document(),
        "memory": limits.memory,
    }


def _ended(finished: process.Finished, result: Path) -> Trial:
    if finished.timed_out:
        return Trial("it took far longer than with all that is installed")
    if not result.is_file():
        return Trial(f"the process ended with {finished.returncode}: {finished.tail(3)}")
    document = json.loads(result.read_bytes())
    return Trial(document["failure"], tuple(document["missed"]), tuple(document["libraries"]), document["modules"])
