"""Proves an image of a service: a container of it, hardened as in earnest, answers the samples as the model did."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model_envelope.dependencies.system_libraries import lacking_library
from model_envelope.foundation.errors import Answered, ToolFailed
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime.asking import TIMEOUT, no_answer, read_answer, wait_until_ready
from model_envelope.runtime.codec import dump_json
from model_envelope.runtime.errors import EnvelopeError, ExitCode, ModelFailed, Problem, from_document
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles, Sample
from model_envelope.runtime.replay import MethodReplay, replay
from model_envelope.targets.container import INSIDE, PYTHON, Container
from model_envelope.targets.context import ENVELOPE
from model_envelope.targets.engine import Engine
from model_envelope.workflows.provenance import read_provenance
from model_envelope.workflows.replaying import NO_NETWORK, Replayed, as_sealed

READY = 180.0
"""Seconds in which a container must be ready: its model loaded, and asked the samples once by the service itself."""
SETTLE = 3.0
"""Seconds in which a container ends after what runs in it has."""
LARGEST_BODY = 64_000_000
"""Bytes that a service takes as a request unless it is told to take more."""


@dataclass(frozen=True)
class SampleAnswer:
    """What came back for a sample."""

    seconds: float
    body: str
    error: EnvelopeError | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> SampleAnswer:
        """Read what an image wrote, which nobody trusts: raises what reading JSON of another form raises."""
        error = from_document(document["error"]) if "error" in document else None
        return cls(float(document["seconds"]), str(document.get("body", "")), error)


def prove(
    engine: Engine, image: str, files: EnvelopeFiles, *, network: bool = False, report: Report = silent
) -> tuple[MethodReplay, ...]:
    """Start a container of an image as it will run in earnest, and replay the samples of all methods over HTTP.

    It has no network (``network`` leaves it that), so it is asked from inside, by the same code that asks services from
    outside; what it answered is compared here.

    Raises ``Answered`` (``build.differs``) where an answer is not the sealed one, what the container failed with where
    it does not become ready, and ``ToolFailed`` (``service.not-ready``) where it takes too long.
    """
    if not files.samples:
        report(Note("not proven: the envelope was sealed without samples"))
    report(Started("prove", "Starting the container"))
    with engine.confined(image, network=network, arguments=_limits(files, report)) as container:
        answers, machine = _asked(container, files)
    replays = _judged(files, replayed(files, answers), machine, report)
    refuse_differences(replays)
    if replays:
        report(Done("prove", f"Proven in the container: {as_sealed(replays)}"))
    else:
        report(Done("prove", "Started in the container"))
    return replays


def published_until_ready(container: Container) -> None:
    """Wait until a published container is ready.

    Raises what the container failed with, and ``ToolFailed`` (``service.not-ready``) where it takes too long.
    """
    if why := wait_until_ready(container.url, seconds=READY, check=lambda: still_running(container)):
        raise _not_ready(container, why)


def _limits(files: EnvelopeFiles, report: Report) -> list[str]:
    """Let the service take samples that are larger than what it takes unless it is told to."""
    largest = max((len(dump_json(sample.body)) for sample in files.samples), default=0)
    if largest <= LARGEST_BODY:
        return []
    report(Note(f"a sample has {largest} bytes: a service takes such requests with `--max-body {largest}` only"))
    return ["--max-body", str(largest)]


def _asked(container: Container, files: EnvelopeFiles) -> tuple[Mapping[str, SampleAnswer], Machine | None]:
    """Ask all samples inside a container, and give what came back by method, and the machine that it runs on."""
    words = (PYTHON, "-m", "model_envelope.runtime.asking", f"/{ENVELOPE}", "--url", INSIDE, "--wait", str(READY))
    said, complained = container.execute(words, seconds=READY + TIMEOUT * (len(files.samples) + 1))
    try:
        document = json.loads(said)
        why = str(document["not_ready"])
        answers = {name: SampleAnswer.of(item) for name, item in document["answers"].items()}
        machine = Machine.from_document(document.get("machine", {}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        _settle(container)
        raise ToolFailed(
            "the container could not be asked from inside",
            code="build.not-asked",
            detail=complained.decode("utf-8", "replace")[-2000:] or container.log(),
            hint=f"an image of a target has {PYTHON}, the runtime on its path, and the envelope at /{ENVELOPE}",
        ) from None
    if why:
        _settle(container)
        raise _not_ready(container, why)
    return answers, machine


def _settle(container: Container) -> None:
    """Raise what a container failed with, where it ends within moments; what runs in it ends before it does."""
    until = time.monotonic() + SETTLE
    while time.monotonic() < until:
        still_running(container)
        time.sleep(0.1)


def replayed(
    files: EnvelopeFiles, answers: Mapping[str, SampleAnswer], samples: Sequence[Sample] | None = None
) -> tuple[MethodReplay, ...]:
    """Compare what came back with what was sealed, of all samples or of some; raises an error that came back."""

    def given(sample: Sample) -> Any:
        answer = answers.get(sample.method)
        if answer is None:
            raise no_answer(sample.method, "nothing came back")
        if answer.error is not None:
            raise answer.error
        return read_answer(sample.method, answer.body)

    return tuple(replace(item, seconds=answers[item.method].seconds) for item in replay(files, given, samples))


def _judged(
    files: EnvelopeFiles, replays: tuple[MethodReplay, ...], machine: Machine | None, report: Report
) -> tuple[MethodReplay, ...]:
    """Let last bits pass where the CPU is of another type than the one that the samples were answered on."""
    sealed_on = Machine.from_document(read_provenance(files).get("machine", {}))
    if sealed_on is None or machine is None:
        return replays
    # What the service loaded, and how many threads that takes, is not seen by who asks it.
    there = replace(machine, libraries=sealed_on.libraries, threads=sealed_on.threads)
    judged = Replayed(replays, there).judged(sealed_on)
    for remark in judged.remarks():
        report(Note(remark))
    return judged.replays


def still_running(container: Container) -> None:
    """Raise what a container failed with, where it has ended before it was ready."""
    code = container.exit_code()
    if code is None:
        return
    said = container.log()
    if code == ExitCode.NO:
        raise differs([], said)
    raise ModelFailed(
        f"the container ended with {code} before it was ready",
        code="build.not-ready",
        detail=said,
        hint=way_out(said),
    )


def way_out(said: str) -> str:
    """Say what to do about a container that ended, by what it said."""
    if lacking := lacking_library(said):
        return f"{lacking}; name a base image that has it: `--base-image`"
    if NO_NETWORK.search(said):
        return (
            "there is no network while an image is proven: what the model fetches has to travel with it; where it "
            "needs a service to answer, `--allow-network` proves it with the network"
        )
    return "what the container said stands above; `envelope verify --clean` shows whether the lock is enough here"


def _not_ready(container: Container, why: str) -> ToolFailed:
    return ToolFailed(
        f"the service in the container was not ready after {READY:.0f} s ({why})",
        code="service.not-ready",
        detail=container.log(),
        hint="what the service said stands above; nothing there means that the model is still being loaded",
    )


def refuse_differences(replays: Sequence[MethodReplay], road: str = "") -> None:
    """Raise ``Answered`` (``build.differs``) where an answer is not the sealed one; ``road`` says how it was asked."""
    problems = [
        Problem(f"{item.method}{road}: {found.path}", found.found, found.expected, found.code)
        for item in replays
        for found in item.differences
        if not item.agrees
    ]
    if not all(item.agrees for item in replays):
        raise differs(problems)


def differs(problems: list[Problem], detail: str = "") -> EnvelopeError:
    """Make the error for an image that answers otherwise."""
    return Answered(
        "the image does not answer the sealed samples as the model did when it was sealed, so it got no name",
        code="build.differs",
        problems=problems,
        detail=detail,
        hint="the base image or the platform differs from where the model was packed; name another with --base-image",
    )
