"""The thread in which the model lives: it is loaded there, and every call of it happens there, one after another.

Models are seldom safe to call from two threads at once, some are bound to the thread that made them, and none may hold
up the event loop, or the probes would find the service dead while it works.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from model_envelope.runtime.errors import ModelFailed

T = TypeVar("T")
_Job = tuple[Callable[[], Any], "Future[Any]"]


class Worker:
    """One thread that does jobs in the order in which they come.

    The thread is a daemon: a model that hangs cannot keep the process from ending.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job is being done or waits."""
        return self._waiting > 0

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Hand over a job and give its future."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting += 1
        self._jobs.put((job, future))
        return future

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job and wait for it without holding up the event loop."""
        return await asyncio.wrap_future(self.submit(job))

    def stop(self) -> None:
        """Let the thread end after the jobs that it has."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                if future.set_running_or_notify_cancel():
                    _settle(job, future)
            finally:
                with self._lock:
                    self._waiting -= 1


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
