"""The thread in which the model lives: it is loaded there, and every call of it happens there, one after another.

Models are seldom safe to call from two threads at once, some are bound to the thread that made them, and none may hold
up the event loop, or the probes would find the service dead while it works.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from model_envelope.runtime.errors import ModelFailed

T = TypeVar("T")


class Worker:
    """One thread that does jobs in the order in which they come.

    The thread is a daemon: a model that hangs cannot keep the process from ending.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._began: float | None = None
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job is being done or waits."""
        return self._began is not None or not self._jobs.empty()

    @property
    def busy_for(self) -> float:
        """For how many seconds the job that is being done has been going on; 0 where none is."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def post(self, job: Callable[[], None]) -> None:
        """Hand over a job that tells by itself how it ended, and raises nothing."""
        self._jobs.put(job)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Hand over a job and give its future."""
        future: Future[T] = Future()

        def settle() -> None:
            if future.set_running_or_notify_cancel():
                _settle(job, future)

        self.post(settle)
        return future

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job and wait for it without holding up the event loop."""
        return await asyncio.wrap_future(self.submit(job))

    def stop(self) -> None:
        """Let the thread end after the jobs that it has."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._began = time.monotonic()
            try:
                job()
            finally:
                self._began = None


def _settle(job: Callable[[], Any], future: Future[Any]) -> None:
    try:
        result = job()
    except Exception as error:  # noqa: BLE001  whoever waits for the future raises it
        future.set_exception(error)
    except BaseException as error:  # noqa: BLE001  a model that calls sys.exit must not end the service
        failure = ModelFailed(f"the model tried to end the process: {error!r}", code="model.exit")
        failure.__cause__ = error
        future.set_exception(failure)
    else:
        future.set_result(result)
