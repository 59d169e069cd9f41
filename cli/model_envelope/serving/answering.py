"""Bodies to answers, in the model's thread: one request alone, or several by one call.

Requests of a method that treats rows independently are answered together: their rows are decoded as one batch, the
model is called once, and the answer is cut where each request's rows end. Whatever does not go that way together goes
alone, so that a request that is wrong, or that the model fails on, never touches its neighbours. One in so many is
computed again alone and held against what it got: where these differ the method is not what its samples made it look
like, and its requests are answered alone from then on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import Arguments, parse_json
from model_envelope.runtime.codec.batches import Batch, count_rows, groups, merge_requests, split_answer
from model_envelope.runtime.comparing import differences
from model_envelope.runtime.errors import EnvelopeError, ModelFailed
from model_envelope.runtime.predicting import BoundMethod
from model_envelope.serving.media import Format, read, write
from model_envelope.serving.metrics import Metrics
from model_envelope.serving.problems import HttpProblem
from model_envelope.serving.service import awaited
from model_envelope.serving.settings import Settings
from model_envelope.serving.worker import Worker

log = logging.getLogger("model_envelope.serving")

FLUSH = 0.001
"""Seconds after which answers are handed over though others of the same turn are still being computed."""


@dataclass(eq=False)
class Question:
    """A request to a method that waits for the model. ``future`` and ``deadline`` are set when it begins to wait."""

    method: BoundMethod
    raw: bytes
    reads: Format = Format.JSON
    writes: Format = Format.JSON
    rows: int | None = None
    """How many rows it has, where it has any, as soon as that is known."""
    deadline: float = 0.0
    future: asyncio.Future[bytes] = field(init=False)


Outcome = bytes | Exception
Answered = tuple[Question, Outcome]
Deliver = Callable[[list[Answered], float | None], None]
"""Gets answers, and with the last ones of a turn how many seconds it took."""


class Answering:
    """Answers the questions of one turn after another."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self.metrics = metrics
        self.settings = settings
        self._alone: set[str] = set()
        self._since_check = settings.check_every  # so the first batch is checked

    def together(self, method: BoundMethod) -> bool:
        """Whether questions to a method may be answered by one call."""
        signature = method.signature
        return (
            self.settings.batching
            and signature.row_wise is s.Answer.YES
            and signature.deterministic is s.Answer.YES
            and not signature.is_async
            and method.name not in self._alone
        )

    def answer(self, turn: Sequence[Question], deliver: Deliver) -> None:
        """Answer questions to one method, and hand over the answers, some as soon as they are there. Raises nothing."""
        began = flushed = time.perf_counter()
        ready: list[Answered] = []
        for answered in self._answers([question for question in turn if not question.future.done()]):
            ready.append(answered)
            now = time.perf_counter()
            if now - flushed > FLUSH:
                deliver(ready, None)
                ready, flushed = [], now
        deliver(ready, time.perf_counter() - began)

    def read(self, question: Question) -> Arguments:
        """Decode a question. Raises :class:`EnvelopeError` and :class:`HttpProblem`."""
        arguments = read(question.method, question.reads, question.raw)
        question.rows = count_rows(question.method.codec, arguments)
        if question.rows is not None and question.rows > self.settings.max_rows:
            raise HttpProblem(
                413,
                "request.too-many-rows",
                f"The request has {question.rows:,} rows; {self.settings.max_rows:,} are the most that one may have.",
            )
        return arguments

    async def answer_async(self, question: Question, worker: Worker) -> bytes:
        """Answer a question to an ``async`` method: the model runs on the event loop, and the codec off it.

        Raises what the codec and the model raise, and :class:`TimeoutError`.
        """
        method = question.method
        arguments = await worker.run(lambda: self.read(question))
        began = time.perf_counter()
        async with asyncio.timeout(self.settings.time_limit):
            answer = await awaited(method, arguments)
        self.metrics.called(method.name, time.perf_counter() - began, 1, question.rows or 0)
        return await worker.run(lambda: write(method, question.writes, answer))

    def _answers(self, turn: list[Question]) -> Iterator[Answered]:
        if len(turn) == 1 or not self.together(turn[0].method):
            for question in turn:
                yield question, self._alone_outcome(question)
            return
        plain = [question for question in turn if question.reads is Format.JSON]
        batch = merge_requests(turn[0].method.codec, [question.raw for question in plain]) if len(plain) > 1 else None
        if batch is None:
            yield from self._decoded_apart(turn)
            return
        yield from self._by_batch(plain, batch)
        yield from self._decoded_apart([question for question in turn if question.reads is not Format.JSON])

    def _decoded_apart(self, turn: list[Question]) -> Iterator[Answered]:
        """Decode each question by itself, so that only those that are wrong are told so, and merge the others."""
        decoded: list[tuple[Question, Arguments]] = []
        for question in turn:
            try:
                decoded.append((question, self.read(question)))
            except Exception as error:  # noqa: BLE001  it is this question's answer, and nobody else's
                yield question, error
        if not decoded:
            return
        questions = [question for question, _ in decoded]
        for places, batch in groups(questions[0].method.codec, [arguments for _, arguments in decoded]):
            if batch is None:
                for at in places:
                    yield questions[at], self._outcome(*decoded[at])
            else:
                yield from self._by_batch([questions[at] for at in places], batch)

    def _by_batch(self, questions: list[Question], batch: Batch) -> Iterator[Answered]:
        """Answer questions by one call, or by two where they have too many rows, or alone where that fails."""
        method = questions[0].method
        for question, rows in zip(questions, batch.counts, strict=True):
            question.rows = rows
        if sum(batch.counts) > self.settings.batch_rows and len(questions) > 1:
            half = len(questions) // 2
            for part in (questions[:half], questions[half:]):
                yield from self._answers(part)
            return
        try:
            bodies = self._called_together(questions, batch)
        except Exception as error:  # noqa: BLE001  whoever is to blame is told when it is asked alone
            log.debug("%d requests to %s are answered one by one: %r", len(questions), method.name, error)
            bodies = None
        if bodies is None or not self._checked(questions, bodies):
            for question in questions:
                yield question, self._alone_outcome(question)
        else:
            yield from zip(questions, bodies, strict=True)

    def _called_together(self, questions: list[Question], batch: Batch) -> list[bytes] | None:
        """Call the model once for all, and give each its part; None where one is too large to be answered at all."""
        method, counts = questions[0].method, batch.counts
        if max(counts) > self.settings.max_rows:
            return None
        answer = self._call(method, batch.arguments, len(questions), sum(counts))
        return split_answer(method.codec, answer, counts)

    def _checked(self, questions: list[Question], bodies: list[bytes]) -> bool:
        """Now and then compute one answer again alone; False where it is another one, so that none of them is given."""
        self._since_check += len(questions)
        if self._since_check < self.settings.check_every:
            return True
        self._since_check = 0
        method = questions[0].method
        alone = self._outcome(questions[0], self.read(questions[0]))
        if not isinstance(alone, bytes):
            return False  # that it fails alone is what it has to be told
        different = differences(parse_json(alone), parse_json(bodies[0]), method.signature.tolerance, limit=3)
        self.metrics.checked(agrees=not different)
        if different:
            self._alone.add(method.name)
            log.error(
                "%s answered %d requests together otherwise than one of them alone, so it is asked for one at a time"
                " from now on: %s",
                method.name, len(questions), "; ".join(str(item) for item in different),
            )
        return not different

    def _alone_outcome(self, question: Question) -> Outcome:
        """Answer one question by a call of its own."""
        try:
            arguments = self.read(question)
        except Exception as error:  # noqa: BLE001  it is this question's answer
            return error
        return self._outcome(question, arguments)

    def _outcome(self, question: Question, arguments: Arguments) -> Outcome:
        method = question.method
        try:
            answer = self._call(method, arguments, 1, question.rows or 0)
            return write(method, question.writes, answer)
        except Exception as error:  # noqa: BLE001  it is this question's answer
            return error
        except BaseException as error:  # noqa: BLE001  a model that calls sys.exit must not end its thread
            failure = ModelFailed(f"the model tried to end the process: {error!r}", code="model.exit")
            failure.__cause__ = error
            return failure

    def _call(self, method: BoundMethod, arguments: Arguments, questions: int, rows: int) -> Any:
        began = time.perf_counter()
        answer = method.complete(method.call(arguments))
        self.metrics.called(method.name, time.perf_counter() - began, questions, rows)
        return answer
