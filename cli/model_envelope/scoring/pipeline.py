"""What lets reading, predicting and writing go on at once: threads that stop together, and queues between them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE = 5.0
"""Seconds that reading and writing have to let go of what they hold, once the job is stopped."""


class Stopped(Exception):
    """Another thread has failed, or the job was told to stop: there is nothing more to be done here."""


class Flow:
    """Several threads that stop when one of them fails. ``error`` is the first failure, which is the only one told."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.stopped = False
        self.changed = Condition()

    def stop(self, error: BaseException | None = None) -> None:
        """Wake up whoever waits for a queue; each gets :class:`Stopped`."""
        with self.changed:
            if not self.stopped:
                self.stopped, self.error = True, error
            self.changed.notify_all()

    def raise_error(self) -> None:
        """Raise the first failure, where there is one."""
        if self.error is not None:
            raise self.error


class Channel(Generic[Item]):
    """A queue between two threads of a flow. It holds ``size`` items at most; ``waited`` are seconds spent in it."""

    def __init__(self, flow: Flow, size: int) -> None:
        self.flow = flow
        self.size = size
        self.items: deque[Item] = deque()
        self.waited_to_put = 0.0
        self.waited_to_get = 0.0

    def put(self, item: Item) -> None:
        """Add an item, as soon as there is room. Raises :class:`Stopped`."""
        with self.flow.changed:
            began = time.perf_counter()
            self.flow.changed.wait_for(lambda: self.flow.stopped or len(self.items) < self.size)
            self.waited_to_put += time.perf_counter() - began
            if self.flow.stopped:
                raise Stopped
            self.items.append(item)
            self.flow.changed.notify_all()

    def get(self) -> Item:
        """Take the next item, as soon as there is one. Raises :class:`Stopped`."""
        with self.flow.changed:
            began = time.perf_counter()
            self.flow.changed.wait_for(lambda: self.flow.stopped or bool(self.items))
            self.waited_to_get += time.perf_counter() - began
            if self.flow.stopped:
                raise Stopped
            item = self.items.popleft()
            self.flow.changed.notify_all()
            return item


class Lane:
    """One thread that makes all calls to one end of the job: connections of databases want one."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._started: list[Future[Any]] = []

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the lane and wait for it."""
        return self._pool.submit(function, *arguments).result()

    def start(self, flow: Flow, function: Callable[[], None]) -> Future[None]:
        """Begin to run a function in the lane; its failure stops the flow."""

        def run() -> None:
            try:
                function()
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001  it is raised again by the main thread
                flow.stop(error)

        started = self._pool.submit(run)
        self._started.append(started)
        return started

    def close(self) -> bool:
        """Wait for what runs, for :data:`GRACE` seconds; say whether it has ended."""
        left = wait(self._started, timeout=GRACE).not_done
        self._pool.shutdown(wait=not left, cancel_futures=True)
        return not left


@dataclass
class Clock:
    """Seconds that phases of a job took, by their name."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time that this takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """Count time that was measured elsewhere. One thread counts one phase."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
