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
from model_envelope.runtime.codec.answers import answer_to_nothing, split_answer
from model_envelope.runtime.codec.merging import (
    MergedArguments,
    apart_from_rows,
    cut,
    merge_arguments,
    mergeable,
    rows_in,
)
from model_envelope.runtime.codec.requests import merge_requests
from model_envelope.runtime.comparing import differences, only_last_bits
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload, ModelFailed, Problem
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
        self._together: dict[str, bool] = {}
        self._by_row: dict[str, bool] = {}
        self._since_check = 0

    def together(self, method: BoundMethod) -> bool:
        """Whether questions to a method may be answered by one call."""
        may = self._together.get(method.name)
        if may is None:
            signature = method.signature
            deterministic = signature.deterministic is s.Answer.YES
            may = self.settings.batching and deterministic and self._answers_by_row(method)
            self._together[method.name] = may
        return may

    def _answers_by_row(self, method: BoundMethod) -> bool:
        """Whether an answer has a row for each that was asked."""
        found = self._by_row.get(method.name)
        if found is None:
            found = self._by_row[method.name] = mergeable(method.signature)
        return found

    def answer(self, turn: Sequence[Question], deliver: Deliver) -> None:
        """Answer questions to one method, and hand over the answers, some as soon as they are there. Raises nothing."""
        if len(turn) == 1:
            began = time.perf_counter()
            outcome = self._outcome(turn[0])
            deliver([(turn[0], outcome)], time.perf_counter() - began)
            return
        began = flushed = time.perf_counter()
        waiting = dict.fromkeys(question for question in turn if not question.future.done())
        ready: list[Answered] = []
        try:
            for question, outcome in self._answers(list(waiting)):
                del waiting[question]
                ready.append((question, outcome))
                now = time.perf_counter()
                if now - flushed > FLUSH:
                    deliver(ready, None)
                    ready, flushed = [], now
        except BaseException as error:  # noqa: BLE001  whatever happens, nobody waits in vain, and the thread goes on
            failure = _failure(error)
            ready += [(question, failure) for question in waiting]
        deliver(ready, time.perf_counter() - began)

    def rehearse(self, samples: Sequence[tuple[BoundMethod, bytes]]) -> None:
        """Answer sealed samples two at a time: what must not be answered together is known before it matters."""
        for method, raw in samples:
            if self.together(method) and (batch := merge_requests(method.codec, [raw, raw])) is not None:
                self._since_check = self.settings.check_every
                for _ in self._by_batch([Question(method, raw), Question(method, raw)], batch):
                    continue

    def read(self, question: Question) -> Arguments:
        """Decode a question. Raises :class:`EnvelopeError` and :class:`HttpProblem`."""
        arguments = read(question.method, question.reads, question.raw)
        question.rows = rows_in(question.method.codec, arguments)
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
        try:
            async with asyncio.timeout(self.settings.time_limit):
                answer = await awaited(method, arguments)
        except ModelFailed as error:
            if question.rows == 0:
                raise _no_rows(error) from None
            raise
        self.metrics.called(method.name, time.perf_counter() - began, 1, question.rows or 0)
        return await worker.run(lambda: self._written(question, answer))

    def _answers(self, turn: list[Question]) -> Iterator[Answered]:
        if len(turn) < 2 or not self.together(turn[0].method):
            yield from self._one_by_one(turn)
            return
        plain = [question for question in turn if question.reads is Format.JSON]
        batch = merge_requests(turn[0].method.codec, [question.raw for question in plain]) if len(plain) > 1 else None
        if batch is None:
            yield from self._decoded_apart(turn)
        else:
            yield from self._by_batch(plain, batch)
            yield from self._decoded_apart([question for question in turn if question.reads is not Format.JSON])

    def _one_by_one(self, turn: list[Question]) -> Iterator[Answered]:
        for question in turn:
            yield question, self._outcome(question)

    def _decoded_apart(self, turn: list[Question]) -> Iterator[Answered]:
        """Decode each question by itself, so that only those that are wrong are told so, and merge the others."""
        decoded: list[tuple[Question, Arguments]] = []
        for question in turn:
            try:
                decoded.append((question, self.read(question)))
            except Exception as error:  # noqa: BLE001  it is this question's answer, and nobody else's
                yield question, error
        alike: dict[bytes | None, list[tuple[Question, Arguments]]] = {}
        for question, arguments in decoded:
            alike.setdefault(apart_from_rows(question.method.codec, arguments), []).append((question, arguments))
        for group in alike.values():
            batch = None
            if len(group) > 1:
                batch = merge_arguments(group[0][0].method.codec, [arguments for _, arguments in group])
            if batch is not None:
                yield from self._by_batch([question for question, _ in group], batch)
                continue
            for question, arguments in group:
                yield question, self._outcome(question, arguments)

    def _by_batch(self, questions: list[Question], batch: MergedArguments) -> Iterator[Answered]:
        """Answer questions by one call, or by two where they have too many rows, or alone where that fails."""
        method = questions[0].method
        for question, rows in zip(questions, batch.counts, strict=True):
            question.rows = rows
        if not all(batch.counts):
            # Alone, the model may have no answer for no rows, and company must make no difference.
            yield from self._one_by_one([question for question in questions if not question.rows])
            yield from self._answers([question for question in questions if question.rows])
            return
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
        if bodies is None:
            yield from self._one_by_one(questions)
        else:
            yield from zip(questions, bodies, strict=True)

    def _called_together(self, questions: list[Question], batch: MergedArguments) -> list[bytes] | None:
        """Call the model once for all, and give each its part; None where each should rather be answered alone."""
        method, counts = questions[0].method, batch.counts
        if max(counts) > self.settings.max_rows:
            return None
        answer = self._call(method, batch.arguments, len(questions), sum(counts))
        if not self._checked(questions, answer, counts):
            return None
        if all(question.writes is Format.JSON for question in questions):
            return split_answer(method.codec, answer, counts)
        parts = cut(method.signature.returns, answer, counts)
        if parts is None:
            return None
        return [write(method, question.writes, part) for question, part in zip(questions, parts, strict=True)]

    def _checked(self, questions: list[Question], answer: Any, counts: Sequence[int]) -> bool:
        """Now and then compute one answer again alone; False where it is another one, so that none of them is given."""
        self._since_check += len(questions)
        if self._since_check < self.settings.check_every:
            return True
        self._since_check = 0
        method, first = questions[0].method, questions[0]
        alone = self._outcome(Question(method, first.raw, first.reads))
        if not isinstance(alone, bytes):
            return False  # that it fails alone is what it has to be told
        together = split_answer(method.codec, answer, counts)[0]
        different = differences(parse_json(alone), parse_json(together), method.signature.tolerance, limit=3)
        agrees = not different or only_last_bits(different)
        self.metrics.checked(agrees=agrees)
        if not agrees:
            self._together[method.name] = False
            log.error(
                "%s answered %d requests together otherwise than one of them alone, so it is asked for one at a time"
                " from now on: %s",
                method.name,
                len(questions),
                "; ".join(str(item) for item in different),
            )
        return agrees

    def _outcome(self, question: Question, arguments: Arguments | None = None) -> Outcome:
        """Answer one question by a call of its own."""
        method = question.method
        try:
            arguments = arguments or self.read(question)
            if question.rows == 0 and (nothing := answer_to_nothing(method.codec)) is not None:
                return write(method, question.writes, nothing)  # rows are independent: there is nothing to ask
            return self._written(question, self._call(method, arguments, 1, question.rows or 0))
        except BaseException as error:  # noqa: BLE001  it is this question's answer, and nobody else's
            return _no_rows(error) if question.rows == 0 else _failure(error)

    def _written(self, question: Question, answer: Any) -> bytes:
        method = question.method
        if question.writes is Format.JSON and question.rows is not None and self._answers_by_row(method):
            return split_answer(method.codec, answer, (question.rows,))[0]  # it has as many rows as were asked
        return write(method, question.writes, answer)

    def _call(self, method: BoundMethod, arguments: Arguments, questions: int, rows: int) -> Any:
        began = time.perf_counter()
        answer = method.complete(method.call(arguments))
        self.metrics.called(method.name, time.perf_counter() - began, questions, rows)
        return answer


def _no_rows(error: BaseException) -> Exception:
    """Make a refusal of what went wrong with a request without rows, where rows are not known to be independent."""
    if not isinstance(error, ModelFailed | InvalidAnswer):
        return _failure(error)
    log.info("a request without rows is refused, since the model failed on it: %s", error.message)
    problem = Problem("$", "no rows", "at least one row", "payload.empty")
    return InvalidPayload(
        "the request does not fit the signature: 1 problem", code="payload.invalid", problems=[problem]
    )


def _failure(error: BaseException) -> Exception:
    """Make an error that ends a request and nothing else: a model that calls ``sys.exit`` must not end its thread."""
    if isinstance(error, Exception):
        return error
    failure = ModelFailed(f"the model tried to end the process: {error!r}", code="model.exit")
    failure.__cause__ = error
    return failure
