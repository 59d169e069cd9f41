"""The ASGI app: a short road for requests to the model, and Starlette for everything else.

What a request to a method needs is done here in plain ASGI: no object of a framework stands between the bytes of a body
and the codec. Probes, documents and metrics are asked for seldom, and go through Starlette's routes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import dump_json
from model_envelope.runtime.errors import EnvelopeError, ExitCode, InvalidPayload
from model_envelope.runtime.inference_log import Privacy
from model_envelope.serving.answering import Answering, Question
from model_envelope.serving.bodies import read_body
from model_envelope.serving.documents import ROUTES, Documents
from model_envelope.serving.inference_log import Entry, InferenceLog
from model_envelope.serving.logs import AccessLog, current_trace, failure
from model_envelope.serving.media import Speaker, Speech, packed
from model_envelope.serving.metrics import Metrics
from model_envelope.serving.problems import HttpProblem, columns_of, payload_problem, problem_response, server_problem
from model_envelope.serving.service import Service
from model_envelope.serving.settings import Settings
from model_envelope.serving.trace import Trace, trace_of
from model_envelope.serving.turns import Turns

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

log = logging.getLogger("model_envelope.serving")
LARGE = 65_536
"""Bytes from which on an answer is packed beside the event loop."""

CLIENT_GONE = 499
"""The status of a request whose client did not wait for the answer, as nginx writes it."""


def create_app(
    service: Service, settings: Settings | None = None, on_started: Callable[[], None] = lambda: None
) -> App:
    """Make the app of a service.

    Starting the app starts the service; ``on_started`` is called when it is ready or has failed.
    """
    return App(service, settings or Settings(), on_started)


class App:
    """The ASGI app of a service: each request is observed, and answered on the short road or by Starlette."""

    def __init__(self, service: Service, settings: Settings, on_started: Callable[[], None]) -> None:
        self.service = service
        self.settings = settings
        self.metrics = Metrics(service.envelope, ROUTES, folder=settings.metrics_folder, supervisor=settings.supervisor)
        self.access = AccessLog(settings.log_format)
        self.inference_log = _inference_log(service, settings, self.metrics)
        self.answering = Answering(self.metrics, settings)
        self.turns = Turns(
            service.worker,
            self.answering,
            limit=settings.queue,
            time_limit=settings.time_limit,
            waiting=self.metrics.queued,
            gave_up=self._give_up,
        )
        self.documents = Documents(
            service, self.turns, self.metrics, lambda: service.start(on_started, self._rehearse), self._end
        )
        self.others = self.documents.app()
        methods = service.envelope.signature.methods
        self._methods = {f"/{name}": name for name in methods}
        self._speakers = {name: Speaker(method) for name, method in methods.items()}
        self._names = {name: _names(method) for name, method in methods.items()}

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """Give what starts the service when it is entered, and stops it when it is left."""
        return self.documents.lifespan(self.others)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; or start and stop the service."""
        if scope["type"] != "http":
            await self.others(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        current_trace.set(exchange.trace)
        self.metrics.in_progress(1)
        try:
            name = self._methods.get(scope["path"]) if scope["method"] == "POST" else None
            if name is None:
                scope.setdefault("state", {})["request_id"] = exchange.trace.request_id
                exchange.route = self.documents.route(scope)
                await self.others(scope, receive, exchange.send)
            else:
                exchange.route = scope["path"]
                await self._answer(name, exchange, receive)
        except ClientDisconnect:
            exchange.status = CLIENT_GONE
        except Exception as error:
            failure(exchange.trace, error, show_values=self.settings.show_values)
            if exchange.status:
                raise  # the answer has begun; the server closes the connection
            exchange.code = "service.failed"
            detail = "Something went wrong here; the log has the reason under this request id."
            response = problem_response(500, exchange.code, detail, request_id=exchange.trace.request_id)
            await response(scope, receive, exchange.send)
        finally:
            self._observe(exchange)

    def _observe(self, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.began
        scope = exchange.scope
        self.metrics.in_progress(-1)
        self.metrics.request(exchange.route, scope["method"], exchange.status, seconds)
        self.access.write(
            exchange.trace,
            scope["method"],
            scope["path"],
            exchange.status,
            seconds,
            route=exchange.route,
            rows=exchange.question.rows if exchange.question else None,
            problem_code=exchange.code,
        )

    async def _answer(self, name: str, exchange: _Exchange, receive: Receive) -> None:
        """Answer a request to a method of the model."""
        request_id, show_values = exchange.trace.request_id, self.settings.show_values
        try:
            question, said = await self._read(name, exchange, receive)
            body = await self._ask(question)
        except HttpProblem as error:
            response = problem_response(
                error.status, error.code, error.detail, request_id=request_id, headers=error.headers
            )
            exchange.code = error.code
            self.metrics.turned_away(error.code)
        except InvalidPayload as error:
            signature = self.service.envelope.signature.methods[name]
            response = payload_problem(error, signature, request_id, show_values=show_values)
            self.metrics.refused(error.problems, name, error.code)
            exchange.code = error.code
        except EnvelopeError as error:
            raw = exchange.question.raw if exchange.question else b""
            failure(exchange.trace, error, body=raw, names=self._names[name], show_values=show_values)
            response = server_problem(error, request_id)
            self.metrics.failed(name, error.code)
            exchange.code = error.code
        else:
            self._note(exchange, body)
            await exchange.respond(body, said)
            return
        self._note(exchange, None, response.status_code)
        await response(exchange.scope, receive, exchange.send)

    def _note(self, exchange: _Exchange, answer: bytes | None, status: int = 200) -> None:
        """Hand a request that reached the model, or was refused for its values, to the inference log."""
        question = exchange.question
        if self.inference_log is None or question is None:
            return
        self.inference_log.note(
            Entry(
                question.method,
                question.raw,
                question.reads,
                answer,
                question.writes,
                exchange.trace.request_id,
                status,
                time.time(),
                time.perf_counter() - exchange.began,
            )
        )

    async def _read(self, name: str, exchange: _Exchange, receive: Receive) -> tuple[Question, Speech]:
        """Take in what a request to the model asks; raises :class:`HttpProblem` for one that cannot be answered."""
        if not self.service.may_answer:
            raise HttpProblem(503, "service.not-ready", self.documents.why_not_ready(), {"Retry-After": "1"})
        said = self._speakers[name].speech(exchange.scope["headers"])
        limit, timeout = self.settings.max_body, self.settings.body_timeout
        raw = await read_body(exchange.scope, receive, said.encoding, limit=limit, timeout=timeout)
        exchange.question = question = Question(self.service.method(name), raw, said.reads, said.writes)
        return question, said

    def _rehearse(self) -> None:
        self.metrics.loaded(self.service.load_seconds)
        samples = self.service.envelope.samples
        self.answering.rehearse([(self.service.method(item.method), dump_json(item.body)) for item in samples])

    def _end(self) -> None:
        if self.inference_log is not None:
            self.inference_log.close()

    def _give_up(self) -> None:
        """End the process: a thread that a model's call never leaves cannot be ended, and nothing can be answered."""
        log.critical("the model does not come back from a call: ending, so that this is started anew")
        self.access.flush()
        logging.shutdown()
        os._exit(ExitCode.FAILED)

    async def _ask(self, question: Question) -> bytes:
        if not question.method.signature.is_async:
            return await self.turns.answer(question)
        try:
            return await self.answering.answer_async(question, self.service.worker)
        except TimeoutError:
            raise self.turns.too_long() from None


class _Exchange:
    """One request and its response, as far as they are observed: who asked, what was answered, and when it began."""

    __slots__ = ("_send", "began", "code", "question", "route", "scope", "status", "trace")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.began = time.perf_counter()
        self.scope = scope
        self.trace: Trace = trace_of(scope["headers"])
        self.route = ""
        self.status = 0
        self.question: Question | None = None
        self.code: str | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part of a response; its headers get the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.trace.response_headers()]
        await self._send(message)

    async def respond(self, body: bytes, said: Speech) -> None:
        """Send the answer of the model."""
        if said.packs is not None and len(body) > LARGE:
            body, headers = await asyncio.to_thread(packed, body, said)
        else:
            body, headers = packed(body, said)
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _inference_log(service: Service, settings: Settings, metrics: Metrics) -> InferenceLog | None:
    if not settings.inference_log:
        return None
    return InferenceLog(
        Path(settings.inference_log),
        service.envelope,
        privacy=Privacy(frozenset(settings.log_without), frozenset(settings.log_hashed)),
        fraction=settings.log_fraction,
        dropped=metrics.dropped,
    )


def _names(method: s.Method) -> frozenset[str]:
    """List what the signature of a method names: no secret, wherever it stands."""
    return frozenset(item.name for item in method.parameters) | columns_of(method)
