"""Proves an image: a container of it, hardened as in earnest, answers the sealed samples as the model did."""

from __future__ import annotations

from dataclasses import replace

from model_envelope.dependencies.system_libraries import lacking_library
from model_envelope.foundation.errors import Answered
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime.errors import EnvelopeError, ExitCode, ModelFailed, Problem
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.replay import MethodReplay, replay
from model_envelope.targets.asking import asker, wait_until_ready
from model_envelope.targets.engine import Container, Engine
from model_envelope.workflows.provenance import read_provenance
from model_envelope.workflows.replaying import Replayed


def _judged(files: EnvelopeFiles, replays: tuple[MethodReplay, ...], report: Report) -> tuple[MethodReplay, ...]:
    """Let last bits pass where the CPU is of another type than the one that the samples were answered on."""
    sealed_on = Machine.from_document(read_provenance(files).get("machine", {}))
    if sealed_on is None:
        return replays
    # What a container loaded, and how many threads that takes, is not seen from here; its CPU is that of this machine.
    here = replace(Machine.of_this_process(), libraries=sealed_on.libraries, threads=sealed_on.threads)
    judged = Replayed(replays, here).judged(sealed_on)
    for remark in judged.remarks():
        report(Note(remark))
    return judged.replays


def prove(engine: Engine, image: str, files: EnvelopeFiles, report: Report = silent) -> tuple[MethodReplay, ...]:
    """Start a container of an image as it will run in earnest, and replay the samples of all methods over HTTP.

    Raises ``Answered`` (``build.differs``) where an answer is not the sealed one, and what the container failed with
    where it does not become ready.
    """
    if not files.samples:
        report(Note("not proven: the envelope was sealed without samples"))
    report(Started("prove", "Starting the container"))
    with engine.running(image) as container:
        wait_until_ready(container.url, lambda: still_running(container), container.log)
        report(Started("prove", "Replaying the samples in the container"))
        replays = _judged(files, replay(files, asker(container.url)), report)
    problems = [
        Problem(f"{item.method}: {found.path}", found.found, found.expected, found.code)
        for item in replays
        for found in item.differences
        if not item.agrees
    ]
    if not all(item.agrees for item in replays):
        raise _differs(problems)
    if replays:
        report(Done("prove", f"Proven in the container: {len(replays)} methods answer as sealed"))
    else:
        report(Done("prove", "Started in the container"))
    return replays


def still_running(container: Container) -> None:
    """Raise what a container failed with, where it has ended before it was ready."""
    code = container.exit_code()
    if code is None:
        return
    said = container.log()
    if code == ExitCode.NO:
        raise _differs([], said)
    lacking = lacking_library(said)
    raise ModelFailed(
        f"the container ended with {code} before it was ready",
        code="build.not-ready",
        detail=said,
        hint=f"{lacking}; name a base image that has it: `--base-image`"
        if lacking
        else "what the container said stands above; `envelope verify --clean` shows whether the lock is enough here",
    )


def _differs(problems: list[Problem], detail: str = "") -> EnvelopeError:
    return Answered(
        "the image does not answer the sealed samples as the model did when it was sealed, so it got no name",
        code="build.differs",
        problems=problems,
        detail=detail,
        hint="the base image or the platform differs from where the model was packed; name another with --base-image",
    )
