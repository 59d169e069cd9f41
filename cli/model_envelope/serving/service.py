"""What stands behind the app: one envelope, its model, and whether it may answer yet."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from model_envelope.runtime.codec import Arguments, ExtraColumns
from model_envelope.runtime.comparing import only_last_bits
from model_envelope.runtime.errors import AnswersDiffer, InvalidEnvelope, Problem
from model_envelope.runtime.manifest import Differences
from model_envelope.runtime.predicting import BoundMethod, Predictor, raised
from model_envelope.runtime.reading import EnvelopeFiles, Sample, read_envelope, verify_manifest
from model_envelope.runtime.replay import replay
from model_envelope.serving.worker import Worker

log = logging.getLogger("model_envelope.serving")


class Phase(Enum):
    """Where the service stands. It answers requests when it is ready, and finishes them while it drains."""

    VERIFYING = "verifying the manifest"
    LOADING = "loading the model"
    REPLAYING = "replaying the samples"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class Service:
    """An envelope that answers. :meth:`start` makes it ready: verified, loaded, and its samples replayed."""

    def __init__(self, envelope: EnvelopeFiles, *, extra_columns: ExtraColumns = "refuse") -> None:
        self.envelope = envelope
        self.extra_columns = extra_columns
        self.phase = Phase.VERIFYING
        self.failure: BaseException | None = None
        self.load_seconds = 0.0
        self.worker = Worker()
        self._predictor: Predictor | None = None

    @classmethod
    def open(cls, path: Path, *, extra_columns: ExtraColumns = "refuse") -> Service:
        """Open an envelope; its model is not loaded yet."""
        return cls(read_envelope(path), extra_columns=extra_columns)

    def start(self, done: Callable[[], None] = lambda: None, rehearse: Callable[[], None] = lambda: None) -> None:
        """Begin to get ready in the model's own thread; ``done`` is called in the loop when it is, or has failed.

        ``rehearse`` is called in the model's thread when all but readiness is there.
        """
        loop = asyncio.get_running_loop()

        def prepare() -> None:
            try:
                self._prepare(loop, rehearse)
            except BaseException as error:  # noqa: BLE001  whatever a model's import raises ends the start, not the thread
                self.failure = error
                self.phase = Phase.FAILED
            loop.call_soon_threadsafe(done)

        self.worker.submit(prepare)

    def drain(self) -> None:
        """Say that it is not ready any more; requests that are under way are finished."""
        if self.phase is not Phase.FAILED:
            self.phase = Phase.DRAINING

    @property
    def may_answer(self) -> bool:
        """Whether a request can be answered."""
        return self._predictor is not None and self.phase in {Phase.READY, Phase.DRAINING}

    def method(self, name: str) -> BoundMethod:
        """Give a method of the loaded model."""
        assert self._predictor is not None
        return self._predictor.methods[name]

    def _prepare(self, loop: asyncio.AbstractEventLoop, rehearse: Callable[[], None]) -> None:
        began = time.perf_counter()
        if differences := verify_manifest(self.envelope):
            raise _damaged(self.envelope, differences)
        self.phase = Phase.LOADING
        loading = time.perf_counter()
        self._predictor = Predictor.open(self.envelope.path, extra_columns=self.extra_columns)
        self.load_seconds = time.perf_counter() - loading
        self.phase = Phase.REPLAYING
        samples = self._replay(loop)
        rehearse()
        self.phase = Phase.READY
        proof = f"{samples} samples agree" if samples else "it has no samples to replay"
        log.info("ready after %.1f s: %s", time.perf_counter() - began, proof)

    def _replay(self, loop: asyncio.AbstractEventLoop) -> int:
        """Answer the sealed samples; raises :class:`AnswersDiffer` with every difference.

        Whether its packages give the sealed answers was proven when they were locked or the image was built. So what
        rounding explains, on a CPU of another type, is only told.
        """

        def ask(sample: Sample) -> Any:
            bound = self.method(sample.method)
            if not bound.signature.is_async:
                return bound.answer(sample.body)
            # On the loop that requests will use: what an async model opens is bound to the loop that it opened it in.
            coming = asyncio.run_coroutine_threadsafe(awaited(bound, bound.decode(sample.body)), loop)
            return bound.encode(coming.result())

        replays = replay(self.envelope, ask)
        for item in replays:
            if only_last_bits(item.differences):
                log.warning("%s answers otherwise in the last bits: %s", item.method, item.differences[0])
        wrong = [item for item in replays if not item.agrees and not only_last_bits(item.differences)]
        problems = [
            Problem(f"{item.method}: {problem.path}", problem.found, problem.expected, problem.code)
            for item in wrong
            for problem in item.differences
        ]
        if wrong:
            names = ", ".join(item.method for item in wrong)
            raise AnswersDiffer(
                f"the model answers its sealed samples otherwise than when it was sealed ({names})",
                code="replay.differs",
                problems=problems,
                hint="something in this environment is not what the envelope was locked with",
            )
        return len(replays)


async def awaited(bound: BoundMethod, arguments: Arguments) -> Any:
    """Call an ``async`` method and wait for its answer. Raises :class:`ModelFailed`."""
    answer = bound.call(arguments)
    if not inspect.isawaitable(answer):
        return answer
    try:
        return await answer
    except (Exception, SystemExit) as error:
        raise raised(bound.name, error) from error


def _damaged(envelope: EnvelopeFiles, differences: Differences) -> InvalidEnvelope:
    kinds = (("missing", differences.missing), ("extra", differences.extra), ("changed", differences.changed))
    return InvalidEnvelope(
        f"{envelope.path} is not as it was sealed",
        code="envelope.tampered",
        problems=[Problem(name, kind, "as sealed", f"file.{kind}") for kind, names in kinds for name in names],
        hint="get the envelope again from where it was sealed",
    )
