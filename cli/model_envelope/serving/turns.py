"""Which requests are answered next, and which of them by one call of the model.

Requests to the model wait as questions on the event loop. A *turn* is what the model's thread gets at once: questions
to one method, the oldest first. Only one turn is under way, and the next one is taken when the event loop has nothing
left to read: whoever holds the interpreter's lock for a call of the model keeps the loop from reading, so what is there
already should come along. A lone client never waits for company. Where the last turn answered many, their clients are
likely to ask again, and a turn waits a little for them: a part of the time that a turn takes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from model_envelope.serving.problems import HttpProblem

if TYPE_CHECKING:
    from model_envelope.serving.answering import Answered, Answering, Question
    from model_envelope.serving.worker import Worker

TARGET = 0.1
"""Seconds that a turn should take at most, by what was measured; a single question may take longer."""

SHORT = 0.001
"""Seconds up to which questions that are answered one by one share a turn, which saves them hand-offs."""

PATIENCE = 0.25
"""The part of the time of a call that a turn waits for questions that are likely to come."""

LONGEST_WAIT = 0.005
"""Seconds that a turn waits for company at most."""

TICK = 0.1
"""Seconds between two looks at what has waited for too long."""


class Cost:
    """What the turns of one method cost, as measured: so many seconds a call and so many a byte of the bodies.

    A line through what was measured of late, where turns were of different sizes. As long as they were not, all is put
    down to the bytes, which is too much for large turns: these grow step by step, as their cost is seen not to.
    """

    FORGET = 0.9
    """The weight that a measurement has left after each later one."""

    def __init__(self) -> None:
        self._weight = self._size = self._seconds = self._squares = self._products = self._questions = 0.0

    def observe(self, questions: int, size: int, seconds: float) -> None:
        """Take in how long a turn took whose bodies have so many bytes together."""
        keep = self.FORGET
        self._weight = keep * self._weight + 1
        self._questions = keep * self._questions + questions
        self._size = keep * self._size + size
        self._seconds = keep * self._seconds + seconds
        self._squares = keep * self._squares + size * size
        self._products = keep * self._products + size * seconds

    @property
    def known(self) -> bool:
        """Whether there is anything to go by."""
        return self._weight > 0

    @property
    def turn(self) -> float:
        """The seconds of a turn, on average."""
        return self._seconds / self._weight if self._weight else 0.0

    @property
    def question(self) -> float:
        """The seconds of a question, on average."""
        return self._seconds / self._questions if self._questions else 0.0

    @property
    def byte(self) -> float:
        """The seconds that one more byte costs."""
        if not self._size:
            return 0.0
        most = self._seconds / self._size
        spread = self._weight * self._squares - self._size**2
        if spread <= 0.01 * self._size**2:
            return most
        slope = (self._weight * self._products - self._size * self._seconds) / spread
        return min(max(slope, 0.0), most)


class _Queue:
    """What the turns of one method go by: ``last`` is how many questions the last one had."""

    def __init__(self) -> None:
        self.cost = Cost()
        self.last = 0


class Turns:
    """Takes questions to the model, and their answers back. Lives on the event loop.

    ``time_limit`` is in seconds; ``limit`` is how many questions may wait. ``gave_up`` is called once for a call that
    has taken twice the time limit: the model will most likely never come back from it.
    """

    def __init__(
        self,
        worker: Worker,
        answering: Answering,
        *,
        limit: int,
        time_limit: float,
        waiting: Callable[[int], None] = lambda _: None,
        gave_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.worker = worker
        self.answering = answering
        self.limit = limit
        self.time_limit = time_limit
        self._tell_waiting = waiting
        self._gave_up = gave_up
        self._waiting: deque[Question] = deque()
        self._under_way: list[Question] = []
        self._queues: dict[str, _Queue] = {}
        self._given_up = False
        self._looking = False
        self._seen = 0
        self._expected = 0
        self._patience: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many questions wait or are being answered."""
        return len(self._waiting) + len(self._under_way)

    @property
    def stuck(self) -> bool:
        """Whether a question that the model is on has been given up, and the model has not come back from it since."""
        return self._given_up

    async def answer(self, question: Question) -> bytes:
        """Wait for the answer to a question.

        Raises what the codec and the model raise, and :class:`HttpProblem` where too many wait already, or where it
        takes too long.
        """
        if len(self._waiting) >= self.limit or self.stuck:
            raise self._busy()
        loop = asyncio.get_running_loop()
        question.future = loop.create_future()
        question.deadline = time.monotonic() + self.time_limit
        self._waiting.append(question)
        if not self._looking and not self._under_way:
            queue = self._queue(question)
            if len(self._waiting) == 1 and queue.last <= 1:
                self._begin(queue)  # a lone client, as far as is known: it need not even wait for the loop to look
            else:
                self._looking, self._seen = True, len(self._waiting)
                loop.call_soon(self._look)
        elif self._patience is not None and len(self._waiting) >= self._expected:
            self._patience.cancel()
            self._look()
        if self._ticking is None:
            self._ticking = loop.call_later(TICK, self._tick)
        return await question.future

    def _busy(self) -> HttpProblem:
        # As long as what waits will take, and at least until a next try makes sense.
        seconds = sum(self._queue(item).cost.question for item in self._waiting)
        after = min(60, max(1, round(seconds)))
        return HttpProblem(
            503,
            "service.busy",
            f"{len(self._waiting)} requests wait for the model already; try again later.",
            {"Retry-After": str(after)},
        )

    def _queue(self, question: Question) -> _Queue:
        name = question.method.name
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue()
        return queue

    def _look(self) -> None:
        """Begin a turn if the event loop has read all that was there; else look again when it has read on."""
        if self._under_way or not self._waiting:
            self._looking = False
            return
        count = len(self._waiting)
        if count > self._seen:
            self._seen = count
            asyncio.get_running_loop().call_soon(self._look)
            return
        queue = self._queue(self._waiting[0])
        if self._patience is None and count < queue.last // 2:
            wait = min(LONGEST_WAIT, PATIENCE * queue.cost.turn)
            if wait >= SHORT:
                self._expected = queue.last
                self._patience = asyncio.get_running_loop().call_later(wait, self._look)
                return
        self._looking, self._patience = False, None
        self._begin(queue)

    def _begin(self, queue: _Queue) -> None:
        turn = self._take(queue)
        if not turn:
            return
        self._under_way = turn
        self._tell_waiting(len(self._waiting))
        loop = asyncio.get_running_loop()

        def deliver(outcomes: list[Answered], seconds: float | None) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(self._deliver, outcomes, queue, seconds)

        self.worker.post(lambda: self.answering.answer(turn, deliver))

    def _take(self, queue: _Queue) -> list[Question]:
        """Take the oldest question, and those of its method that should be answered with it."""
        first = self._waiting[0].method
        cost = queue.cost
        together, each, byte = self.answering.together(first), cost.question, cost.byte
        turn: list[Question] = []
        others: list[Question] = []
        spent = 0.0
        while self._waiting:
            question = self._waiting.popleft()
            if question.future.done():
                continue  # it took too long
            if question.method is not first:
                others.append(question)
                continue
            spent += byte * len(question.raw) if together else each
            if turn and (spent > (TARGET if together else SHORT) or not (cost.known or together)):
                others.append(question)
                break
            turn.append(question)
        self._waiting.extendleft(reversed(others))
        queue.last = len(turn)
        return turn

    def _deliver(self, outcomes: list[Answered], queue: _Queue, seconds: float | None) -> None:
        """Hand answers to those who wait; ``seconds`` is how long the whole turn took, with its last answers."""
        for question, outcome in outcomes:
            if question.future.done():
                continue
            if isinstance(outcome, bytes):
                question.future.set_result(outcome)
            else:
                question.future.set_exception(outcome)
        if seconds is None:
            return
        turn = self._under_way
        queue.cost.observe(len(turn), sum(len(question.raw) for question in turn), seconds)
        self._under_way, self._given_up = [], False
        if self._waiting and not self._looking:
            self._looking, self._seen = True, 0
            asyncio.get_running_loop().call_soon(self._look)

    def _tick(self) -> None:
        """Answer those who have waited for too long, and see whether the model comes back at all."""
        self._ticking = None
        now = time.monotonic()
        for question in (*self._under_way, *self._waiting):
            if now > question.deadline and not question.future.done():
                question.future.set_exception(self.too_long())
                self._given_up |= question in self._under_way
        if self._under_way and self.worker.busy_for > 2 * self.time_limit:
            self._gave_up()
        if self.count:
            self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)

    def too_long(self) -> HttpProblem:
        """Make the answer to a request that took too long."""
        return HttpProblem(
            503,
            "service.time-limit",
            f"The model has not answered within {self.time_limit:g} s.",
            {"Retry-After": str(min(60, max(1, round(self.time_limit))))},
        )
