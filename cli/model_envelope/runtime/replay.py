"""Replays the sealed samples of an envelope and compares the answers: the proof.

``python -m model_envelope.runtime.replay ENVELOPE`` loads the model in this interpreter, replays all methods, prints
one JSON document on standard output and ends with 0 (all agree), 3 (some differ) or 1 (it could not be done). With
``--no-network`` the process first leaves the network, where the system lets it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from model_envelope.runtime.comparing import differences
from model_envelope.runtime.ending import leave
from model_envelope.runtime.errors import EnvelopeError, ExitCode, Problem
from model_envelope.runtime.isolation import leave_network
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles, Sample
from model_envelope.runtime.signature import Type, dtypes


@dataclass(frozen=True)
class MethodReplay:
    """How one method answered its sealed sample; ``seconds`` is how long asking took.

    ``rounded`` says that it agreed only when last bits are left out of account, which another CPU or BLAS explains:
    ``differences`` lists them.
    """

    method: str
    agrees: bool
    differences: tuple[Problem, ...]
    seconds: float
    rounded: bool = False

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "method": self.method,
            "agrees": self.agrees,
            "differences": [problem.to_document() for problem in self.differences],
            "seconds": round(self.seconds, 6),
            "rounded": self.rounded,
        }


def replay(
    envelope: EnvelopeFiles, ask: Callable[[Sample], Any], samples: Sequence[Sample] | None = None
) -> tuple[MethodReplay, ...]:
    """Ask each sealed sample and compare. ``ask`` gets a sample and gives the JSON value that was answered.

    ``samples`` are those to ask, where it is not all of them.
    """
    replays = []
    for sample in envelope.samples if samples is None else samples:
        started = time.perf_counter()
        found = ask(sample)
        seconds = time.perf_counter() - started
        method = envelope.signature.methods[sample.method]
        different = differences(sample.answer, found, method.tolerance, dtype=_floating(method.returns))
        replays.append(MethodReplay(sample.method, not different, different, seconds))
    return tuple(replays)


def from_document(document: Iterable[dict[str, Any]]) -> tuple[MethodReplay, ...]:
    """Read what another process replayed."""
    return tuple(
        MethodReplay(
            item["method"],
            item["agrees"],
            tuple(Problem(**problem) for problem in item["differences"]),
            item["seconds"],
            item["rounded"],
        )
        for item in document
    )


def _floating(kind: Type) -> str:
    """Give the coarsest floating point in an answer: what its numbers are rounded to."""
    found = set(dtypes(kind))
    if "float16" in found:
        return "float16"
    return "float32" if found & {"float32", "complex64"} else "float64"


def main() -> int:
    """Replay in this interpreter; see the module."""
    parser = argparse.ArgumentParser(description="Replay the sealed samples of an envelope and compare the answers.")
    parser.add_argument("envelope", type=Path)
    parser.add_argument("--no-network", action="store_true", help="leave the network before the model is loaded")
    arguments = parser.parse_args()
    answer = claim_stdout()
    surroundings: dict[str, Any] = {"network": leave_network() if arguments.no_network else ""}
    missed = Missed()
    sys.meta_path.append(missed)
    try:
        from model_envelope.runtime.predicting import Predictor

        predictor = Predictor.open(arguments.envelope)
        replays = replay(predictor.envelope, lambda sample: predictor.methods[sample.method].answer(sample.body))
    except EnvelopeError as error:
        answer({**surroundings, "error": error.to_document(), "missed": list(missed.names)})
        return ExitCode.FAILED
    surroundings["machine"] = Machine.of_this_process().to_document()
    answer({**surroundings, "replays": [item.to_document() for item in replays], "missed": list(missed.names)})
    return ExitCode.OK if all(item.agrees for item in replays) else ExitCode.NO


class Missed(MetaPathFinder):
    """The last to be asked for a module: notes which were asked for and are not here, whoever catches that."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Note a module that no other finder has; it is not found here either."""
        del path, target
        self.names[fullname] = None
        return None


def claim_stdout() -> Callable[[Any], None]:
    """Keep standard output for one JSON document: whatever the model prints goes to standard error from now on."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)

    def answer(document: Any) -> None:
        with os.fdopen(kept, "w", encoding="utf-8") as file:
            json.dump(document, file)

    return answer


if __name__ == "__main__":
    leave(main())
