"""The ASGI app: a short road for requests to the model, and Starlette for everything else.

What a request to a method needs is done here in plain ASGI: no object of a framework stands between the bytes of a body
and the codec. Probes, documents and metrics are asked for seldom, and go through Starlette's routes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from model_envelope.runtime import signature_document
from model_envelope.runtime.codec import dump_json
from model_envelope.runtime.errors import EnvelopeError, ExitCode, InvalidPayload
from model_envelope.runtime.openapi import openapi_document
from model_envelope.runtime.predicting import BoundMethod
from model_envelope.serving import media
from model_envelope.serving.about import about
from model_envelope.serving.answering import Answering, Question
from model_envelope.serving.bodies import read_body
from model_envelope.serving.logs import AccessLog
from model_envelope.serving.metrics import Metrics
from model_envelope.serving.problems import HttpProblem, payload_problem, problem_response, server_problem
from model_envelope.serving.service import Phase, Service
from model_envelope.serving.settings import Settings
from model_envelope.serving.trace import Trace, trace_of
from model_envelope.serving.turns import Turns

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

log = logging.getLogger("model_envelope.serving")
ASSETS = Path(__file__).resolve().parent / "assets"
DOCS_ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "favicon-32x32.png")
DOCS_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that are asked for all the time, and not worth a line in the log."""

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
        self.metrics = Metrics(service.envelope)
        self.access = AccessLog()
        self.answering = Answering(self.metrics, settings)
        self.turns = Turns(
            service.worker,
            self.answering,
            limit=settings.queue,
            time_limit=settings.time_limit,
            waiting=self.metrics.waiting,
            gave_up=_give_up,
        )
        self.documents = _Documents(service, self.turns, self.metrics, lambda: service.start(on_started, self._rehearse))
        self.others = self.documents.app()
        self._methods = {f"/{name}": name for name in service.envelope.signature.methods}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; or start and stop the service."""
        if scope["type"] != "http":
            await self.others(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
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
        except Exception:
            log.exception("%s %s failed", scope["method"], exchange.route, extra=exchange.trace.log_fields())
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
        scope, path = exchange.scope, exchange.scope["path"]
        self.metrics.in_progress(-1)
        self.metrics.request(exchange.route, scope["method"], exchange.status, seconds)
        if path not in PROBES:
            self.access.write(
                exchange.trace, scope["method"], path, exchange.route, exchange.status, seconds, exchange.rows, exchange.code
            )

    async def _answer(self, name: str, exchange: _Exchange, receive: Receive) -> None:
        """Answer a request to a method of the model."""
        service, request_id = self.service, exchange.trace.request_id
        try:
            if not service.may_answer:
                raise HttpProblem(503, "service.not-ready", self.documents.why_not_ready(), {"Retry-After": "1"})
            said = media.speech(exchange.scope["headers"])
            raw = await read_body(exchange.scope, receive, said.encoding, self.settings)
            question = Question(service.method(name), raw, said.reads, said.writes)
            try:
                body = await self._ask(question)
            finally:
                exchange.rows = question.rows
            await exchange.respond(body, said)
            return
        except HttpProblem as error:
            response = problem_response(
                error.status, error.code, error.detail, request_id=request_id, headers=error.headers
            )
            exchange.code = error.code
        except InvalidPayload as error:
            signature = service.envelope.signature.methods[name]
            response = payload_problem(error, signature, request_id, show_values=self.settings.show_values)
            self.metrics.refused(error.problems, signature)
            exchange.code = error.code
        except EnvelopeError as error:
            # The traceback from the model's own code is in its detail; the server's frames say nothing.
            log.error("%s: %s", name, error, extra=exchange.trace.log_fields())  # noqa: TRY400
            response = server_problem(error, request_id)
            self.metrics.failed(name, error.code)
            exchange.code = error.code
        await response(exchange.scope, receive, exchange.send)

    def _rehearse(self) -> None:
        samples = self.service.envelope.samples
        self.answering.rehearse([(self.service.method(item.method), dump_json(item.body)) for item in samples])

    async def _ask(self, question: Question) -> bytes:
        if not question.method.signature.is_async:
            return await self.turns.answer(question)
        try:
            return await self.answering.answer_async(question, self.service.worker)
        except TimeoutError:
            raise self.turns.too_long() from None


class _Exchange:
    """One request and its response, as far as they are observed: who asked, what was answered, and when it began."""

    __slots__ = ("_send", "began", "code", "route", "rows", "scope", "status", "trace")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.began = time.perf_counter()
        self.scope = scope
        self.trace: Trace = trace_of(scope["headers"])
        self.route = ""
        self.status = 0
        self.rows: int | None = None
        self.code = ""
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part of a response; its headers get the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.trace.response_headers()]
        await self._send(message)

    async def respond(self, body: bytes, said: media.Speech) -> None:
        """Send the answer of the model."""
        headers = [(b"content-type", said.content_type), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


class _Documents:
    """What there is beside the methods: probes, metrics, and documents about the service."""

    def __init__(self, service: Service, turns: Turns, metrics: Metrics, start: Callable[[], None]) -> None:
        self.service = service
        self.turns = turns
        self.metrics = metrics
        self.start = start
        signature = signature_document.to_document(service.envelope.signature)
        self.endpoints: Mapping[str, Callable[[Request], Any]] = {
            "/livez": self.livez,
            "/readyz": self.readyz,
            "/metrics": self.exposition,
            "/docs": self.docs,
            "/docs/{name}": self.docs_asset,
            "/openapi.json": _fixed(dump_json(openapi_document(service.envelope))),
            "/signature": _fixed(dump_json(signature)),
            "/envelope": _fixed(dump_json(about(service.envelope))),
        }

    def app(self) -> Starlette:
        """Make the routes; the methods have theirs so that another verb is told what they take."""
        methods = self.service.envelope.signature.methods

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            self.start()
            yield
            self.service.drain()
            self.service.worker.stop()

        return Starlette(
            routes=[
                *(Route(path, endpoint, methods=["GET"]) for path, endpoint in self.endpoints.items()),
                *(Route(f"/{name}", _only_post, methods=["POST"]) for name in methods),
                Route("/", lambda _: RedirectResponse("docs"), methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_exception},
            lifespan=lifespan,
        )

    def route(self, scope: Scope) -> str:
        """Name what a path leads to; nothing where it leads nowhere, since anybody can make up paths."""
        path: str = scope["path"]
        if path in self.endpoints or path == "/" or path[1:] in self.service.envelope.signature.methods:
            return path
        return "/docs/{name}" if path.removeprefix("/docs/") in DOCS_ASSETS else ""

    def why_not_ready(self) -> str:
        """Say why requests are not answered."""
        if self.service.phase is Phase.FAILED:
            return "The model could not be made ready; the log has the reason."
        if self.turns.stuck:
            return "Not ready: the model does not come back from a call."
        return f"Not ready: {self.service.phase.value}."

    async def livez(self, _: Request) -> Response:
        """Say that the process is alive."""
        return _json({"live": True})

    async def readyz(self, request: Request) -> Response:
        """Say whether the model is ready: verified, loaded, its samples replayed, and not on its way out."""
        if self.service.phase is Phase.READY and not self.turns.stuck:
            return _json({"ready": True})
        request_id = request.scope["state"]["request_id"]
        return problem_response(503, "service.not-ready", self.why_not_ready(), request_id=request_id)

    async def exposition(self, request: Request) -> Response:
        """Give the metrics as Prometheus reads them."""
        body, content_type = self.metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def docs(self, _: Request) -> Response:
        """Give the page of Swagger UI, which loads nothing from elsewhere."""
        return FileResponse(ASSETS / "docs.html", headers={"Content-Security-Policy": DOCS_POLICY})

    async def docs_asset(self, request: Request) -> Response:
        """Give one of the page's files."""
        name = request.path_params["name"]
        if name not in DOCS_ASSETS:
            raise HTTPException(404)
        return FileResponse(ASSETS / name)


def _give_up() -> None:
    """End the process: a thread that a model's call never leaves cannot be ended, and nothing can be answered."""
    log.critical("the model does not come back from a call; ending, so that whoever looks after this starts it anew")
    logging.shutdown()
    os._exit(ExitCode.FAILED)


def _json(document: Any) -> Response:
    return Response(dump_json(document), media_type="application/json")


def _fixed(content: bytes) -> Callable[[Request], Any]:
    """Make an endpoint that always gives the same document."""

    async def give(_: Request) -> Response:
        return Response(content, media_type="application/json")

    return give


def _only_post(_: Request) -> Response:
    raise AssertionError("POST to a method takes the short road")


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "request.unknown-path", 405: "request.method"}
    detail = {
        404: f"There is nothing at `{request.url.path:.200}`; `/docs` shows what is here.",
        405: f"`{request.url.path:.200}` does not take {request.method}.",
    }.get(error.status_code, error.detail)
    code = codes.get(error.status_code, "request.refused")
    request_id = request.scope["state"]["request_id"]
    return problem_response(error.status_code, code, detail, request_id=request_id, headers=error.headers)
