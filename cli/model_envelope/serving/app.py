"""The ASGI app: one endpoint a method, probes, and what describes the service."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from model_envelope import __version__
from model_envelope.runtime import signature_document
from model_envelope.runtime.codec import dump_json
from model_envelope.runtime.errors import EnvelopeError, InvalidPayload
from model_envelope.runtime.openapi import openapi_document
from model_envelope.serving.bodies import read_body
from model_envelope.serving.guard import Guard
from model_envelope.serving.media import Speaker, has_arrow, packed
from model_envelope.serving.problems import HttpProblem, payload_problem, problem_response, server_problem, told
from model_envelope.serving.service import Phase, Service

log = logging.getLogger("model_envelope.serving")
ASSETS = Path(__file__).resolve().parent / "assets"
DOCS_ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "favicon-32x32.png")
DOCS_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
JSON = "application/json"


@dataclass(frozen=True)
class Settings:
    """What whoever starts the service may choose. ``max_body`` is in bytes, ``body_timeout`` in seconds."""

    max_body: int = 64_000_000
    body_timeout: float = 30.0
    show_values: bool = False


def create_app(
    service: Service, settings: Settings | None = None, on_started: Callable[[], None] = lambda: None
) -> Starlette:
    """Make the app of a service.

    Starting the app starts the service; ``on_started`` is called when it is ready or has failed.
    """
    settings = settings or Settings()
    endpoints = _Endpoints(service, settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.start(on_started)
        yield
        service.drain()
        service.worker.stop()

    return Starlette(
        routes=[
            *(
                Route(f"/{name}", endpoints.method(name), methods=["POST"])
                for name in service.envelope.signature.methods
            ),
            Route("/", lambda _: RedirectResponse("docs"), methods=["GET"]),
            Route("/livez", endpoints.livez, methods=["GET"]),
            Route("/readyz", endpoints.readyz, methods=["GET"]),
            Route("/docs", endpoints.docs, methods=["GET"]),
            Route("/docs/{name}", endpoints.docs_asset, methods=["GET"]),
            Route(
                "/openapi.json",
                endpoints.fixed(dump_json(openapi_document(service.envelope, arrow=has_arrow()))),
                methods=["GET"],
            ),
            Route("/signature", endpoints.fixed(dump_json(_signature(service))), methods=["GET"]),
            Route("/envelope", endpoints.fixed(dump_json(_about(service))), methods=["GET"]),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _http_exception, HttpProblem: _http_problem},
        lifespan=lifespan,
    )


class _Endpoints:
    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self.settings = settings

    def method(self, name: str) -> Callable[[Request], Any]:
        """Make the endpoint of one method."""
        signature = self.service.envelope.signature.methods[name]
        speaker = Speaker(signature)

        async def answer(request: Request) -> Response:
            request_id = request.state.request_id
            if not self.service.may_answer:
                raise HttpProblem(503, "service.not-ready", self._why_not_ready(), {"Retry-After": "1"})
            speech = speaker.speech(request.scope["headers"])
            limit, patience = self.settings.max_body, self.settings.body_timeout
            raw = await read_body(request.scope, request.receive, speech.encoding, limit=limit, timeout=patience)
            try:
                body, headers = packed(await self.service.answer(name, raw, speech), speech)
            except InvalidPayload as error:
                return payload_problem(error, signature, request_id, show_values=self.settings.show_values)
            except EnvelopeError as error:
                # The traceback from the model's own code is in its detail; the server's frames say nothing.
                log.error("request %s: %s", request_id, told(error, show_values=self.settings.show_values))  # noqa: TRY400
                return server_problem(error, request_id)
            return Response(body, headers={key.decode(): value.decode() for key, value in headers})

        return answer

    async def livez(self, _: Request) -> Response:
        """Say that the process is alive."""
        return Response(dump_json({"live": True}), media_type=JSON)

    async def readyz(self, request: Request) -> Response:
        """Say whether the model is ready: verified, loaded, its samples replayed, and not on its way out."""
        if self.service.phase is Phase.READY:
            return Response(dump_json({"ready": True}), media_type=JSON)
        return problem_response(503, "service.not-ready", self._why_not_ready(), request_id=request.state.request_id)

    def _why_not_ready(self) -> str:
        if self.service.phase is Phase.FAILED:
            return "The model could not be made ready; the log has the reason."
        return f"Not ready: {self.service.phase.value}."

    async def docs(self, _: Request) -> Response:
        """Give the page of Swagger UI, which loads nothing from elsewhere."""
        return FileResponse(ASSETS / "docs.html", headers={"Content-Security-Policy": DOCS_POLICY})

    async def docs_asset(self, request: Request) -> Response:
        """Give one of the page's files."""
        name = request.path_params["name"]
        if name not in DOCS_ASSETS:
            raise HTTPException(404)
        return FileResponse(ASSETS / name)

    def fixed(self, content: bytes) -> Callable[[Request], Any]:
        """Make an endpoint that always gives the same document."""

        async def give(_: Request) -> Response:
            return Response(content, media_type=JSON)

        return give


def _signature(service: Service) -> Any:
    return signature_document.to_document(service.envelope.signature)


def _about(service: Service) -> dict[str, Any]:
    envelope = service.envelope
    return {"digest": envelope.digest, "runtime": __version__, **envelope.description.to_document()}


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "request.unknown-path", 405: "request.method"}
    detail = {
        404: f"There is nothing at `{request.url.path:.200}`; `/docs` shows what is here.",
        405: f"`{request.url.path:.200}` does not take {request.method}.",
    }.get(error.status_code, error.detail)
    code = codes.get(error.status_code, "request.refused")
    return problem_response(error.status_code, code, detail, request_id=request.state.request_id, headers=error.headers)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HttpProblem)
    return problem_response(
        error.status, error.code, error.detail, request_id=request.state.request_id, headers=error.headers
    )
