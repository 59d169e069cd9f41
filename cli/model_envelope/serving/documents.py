"""What there is beside the methods: probes, metrics, and documents about the service, through Starlette's routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from model_envelope.runtime import signature_document
from model_envelope.runtime.codec import dump_json
from model_envelope.runtime.openapi import openapi_document
from model_envelope.serving.about import about
from model_envelope.serving.media import has_arrow
from model_envelope.serving.metrics import Metrics
from model_envelope.serving.problems import problem_response
from model_envelope.serving.service import Phase, Service
from model_envelope.serving.turns import Turns

if TYPE_CHECKING:
    from starlette.types import Scope

ASSETS = Path(__file__).resolve().parent / "assets"
DOCS_ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "favicon-32x32.png")
ROUTES = ("/", "/livez", "/readyz", "/metrics", "/docs", "/docs/{name}", "/openapi.json", "/signature", "/envelope")
"""The paths beside those of the methods."""
DOCS_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


class Documents:
    """What there is beside the methods: probes, metrics, and documents about the service."""

    def __init__(
        self,
        service: Service,
        turns: Turns,
        metrics: Metrics,
        start: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self.service = service
        self.turns = turns
        self.metrics = metrics
        self.start = start
        self.end = end
        signature = signature_document.to_document(service.envelope.signature)
        self.endpoints: Mapping[str, Callable[[Request], Any]] = {
            "/livez": self.livez,
            "/readyz": self.readyz,
            "/metrics": self.exposition,
            "/docs": self.docs,
            "/docs/{name}": self.docs_asset,
            "/openapi.json": _fixed(dump_json(openapi_document(service.envelope, arrow=has_arrow()))),
            "/signature": _fixed(dump_json(signature)),
            "/envelope": self.envelope,
        }

    def app(self) -> Starlette:
        """Make the routes; the methods have theirs so that another verb is told what they take."""
        methods = self.service.envelope.signature.methods
        return Starlette(
            routes=[
                *(Route(path, endpoint, methods=["GET"]) for path, endpoint in self.endpoints.items()),
                *(Route(f"/{name}", _only_post, methods=["POST"]) for name in methods),
                Route("/", lambda _: RedirectResponse("docs"), methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_exception},
            lifespan=self.lifespan,
        )

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Start the service, and end it."""
        self.start()
        yield
        self.service.drain()
        self.service.worker.stop()
        await asyncio.to_thread(self.end)

    def route(self, scope: Scope) -> str:
        """Name what a path leads to; nothing where it leads nowhere, since anybody can make up paths."""
        path: str = scope["path"]
        if path in ROUTES or path[1:] in self.service.envelope.signature.methods:
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
        accept = request.headers.get("accept", "")
        body, content_type = await asyncio.to_thread(self.metrics.exposition, accept)
        return Response(body, headers={"content-type": content_type})

    async def envelope(self, _: Request) -> Response:
        """Say which envelope answers, and what runs it."""
        return _json(await asyncio.to_thread(about, self.service.envelope))

    async def docs(self, _: Request) -> Response:
        """Give the page of Swagger UI, which loads nothing from elsewhere."""
        return FileResponse(ASSETS / "docs.html", headers={"Content-Security-Policy": DOCS_POLICY})

    async def docs_asset(self, request: Request) -> Response:
        """Give one of the page's files."""
        name = request.path_params["name"]
        if name not in DOCS_ASSETS:
            raise HTTPException(404)
        return FileResponse(ASSETS / name)


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
