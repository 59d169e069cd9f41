"""Proves an image of jobs: a container of it, hardened as in earnest, answers the samples as the model did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model_envelope.foundation.errors import ToolFailed
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime.asking import TIMEOUT
from model_envelope.runtime.errors import EnvelopeError, ModelFailed, from_document
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.replay import MethodReplay
from model_envelope.targets.container import PYTHON
from model_envelope.targets.context import ENVELOPE
from model_envelope.targets.engine import Engine
from model_envelope.workflows.image_proof import (
    READY,
    SampleAnswer,
    refuse_differences,
    replayed,
    way_out,
)
from model_envelope.workflows.provenance import read_provenance
from model_envelope.workflows.replaying import Replayed, as_sealed

PROVING = "model_envelope.scoring.proving"


def prove_job(
    engine: Engine, image: str, files: EnvelopeFiles, *, network: bool = False, report: Report = silent
) -> tuple[MethodReplay, ...]:
    """Let a container of an image answer the samples of all methods, as JSON and as the tables that a job reads.

    It has no network (``network`` leaves it that). What it answered is compared here: no image judges itself.

    Raises ``Answered`` (``build.differs``) where an answer is not the sealed one, and ``ModelFailed``
    (``build.not-ready``) with what the container said where it cannot answer.
    """
    if not files.samples:
        report(Note("not proven: the envelope was sealed without samples"))
    report(Started("prove", "Answering the samples in the container"))
    document = _answered(engine, image, files, network=network)
    try:
        answers, tables = (
            {name: SampleAnswer.of(item) for name, item in document[road].items()} for road in ("answers", "tables")
        )
        machine = Machine.from_document(document["machine"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_answers(f"{type(error).__name__}: {error}") from None
    sealed_on = Machine.from_document(read_provenance(files).get("machine", {}))
    read = [sample for sample in files.samples if sample.method in tables]
    try:
        found = Replayed(replayed(files, answers), machine).judged(sealed_on)
        as_tables = Replayed(replayed(files, tables, read), machine).judged(sealed_on)
    except EnvelopeError as error:
        error.hint = way_out(str(error))
        raise
    refuse_differences(found.replays)
    refuse_differences(as_tables.replays, " of a table")
    for remark in dict.fromkeys((*found.remarks(), *as_tables.remarks())):
        report(Note(remark))
    if found.replays:
        also = f", {len(read)} of them tables too" if read else ""
        report(Done("prove", f"Proven in the container: {as_sealed(found.replays)}{also}"))
    else:
        report(Done("prove", "Started in the container"))
    return found.replays


def _answered(engine: Engine, image: str, files: EnvelopeFiles, *, network: bool) -> Mapping[str, Any]:
    """Run what answers the samples in the place of the job, and give what it wrote."""
    words = ["-m", PROVING, f"/{ENVELOPE}"]
    limit = READY + TIMEOUT * (len(files.samples) + 1)
    with engine.confined(image, network=network, arguments=words, entrypoint=[PYTHON]) as container:
        code, out, err = container.finished(seconds=limit)
    said = err.decode("utf-8", "replace")[-4000:]
    if code is None:
        raise ToolFailed(
            f"the samples were not answered in the container within {limit:.0f} s", code="build.not-ready", detail=said
        )
    try:
        document = json.loads(out)
        error = from_document(document["error"]) if "error" in document else None
    except (ValueError, KeyError, TypeError, RecursionError):
        if code:
            raise ModelFailed(
                f"the container ended with {code} before it had answered",
                code="build.not-ready",
                detail=said,
                hint=way_out(said),
            ) from None
        raise _no_answers(said) from None
    if error is not None:
        whole = f"{error}\n{said}".rstrip()
        raise ModelFailed(
            "the model cannot be loaded in the container", code="build.not-ready", detail=whole, hint=way_out(whole)
        )
    found: Mapping[str, Any] = document
    return found


def _no_answers(said: str) -> ToolFailed:
    return ToolFailed(
        "the container did not say what it answers",
        code="build.not-asked",
        detail=said,
        hint=f"an image of jobs has {PYTHON}, `runtime` and `scoring` on its path, and the envelope at /{ENVELOPE}",
    )
