"""Replays the sealed samples of an envelope and compares the answers: the proof.

``python -m model_envelope.runtime.replay ENVELOPE`` loads the model in this interpreter, replays all methods, prints
one JSON document on standard output and ends with 0 (all agree), 3 (some differ) or 1 (it could not be done).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.runtime.comparing import differences
from model_envelope.runtime.ending import leave
from model_envelope.runtime.errors import EnvelopeError, ExitCode, Problem
from model_envelope.runtime.reading import EnvelopeFiles, Sample


@dataclass(frozen=True)
class MethodReplay:
    """How one method answered its sealed sample; ``seconds`` is how long asking took."""

    method: str
    agrees: bool
    differences: tuple[Problem, ...]
    seconds: float

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "method": self.method,
            "agrees": self.agrees,
            "differences": [problem.to_document() for problem in self.differences],
            "seconds": round(self.seconds, 6),
        }


def replay(envelope: EnvelopeFiles, ask: Callable[[Sample], Any]) -> tuple[MethodReplay, ...]:
    """Ask each sealed sample and compare. ``ask`` gets a sample and gives the JSON value that was answered."""
    replays = []
    for sample in envelope.samples:
        started = time.perf_counter()
        found = ask(sample)
        seconds = time.perf_counter() - started
        tolerance = envelope.signature.methods[sample.method].tolerance
        different = differences(sample.answer, found, tolerance)
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
        )
        for item in document
    )


def main() -> int:
    """Replay in this interpreter; see the module."""
    parser = argparse.ArgumentParser(description="Replay the sealed samples of an envelope and compare the answers.")
    parser.add_argument("envelope", type=Path)
    arguments = parser.parse_args()
    answer = claim_stdout()
    try:
        from model_envelope.runtime.predicting import Predictor

        predictor = Predictor.open(arguments.envelope)
        replays = replay(predictor.envelope, lambda sample: predictor.methods[sample.method].answer(sample.body))
    except EnvelopeError as error:
        answer({"error": error.to_document()})
        return ExitCode.FAILED
    answer({"replays": [item.to_document() for item in replays]})
    return ExitCode.OK if all(item.agrees for item in replays) else ExitCode.NO


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
