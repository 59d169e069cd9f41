"""Around every request: an id, one line in the log, and no exception that leaves without a proper response."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from model_envelope.serving.problems import problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("model_envelope.serving")
HEADER = b"x-request-id"
PROBES = frozenset({"/livez", "/readyz"})
_GOOD_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")


class Guard:
    """ASGI middleware. The request's id is in ``scope["state"]["request_id"]``; a client may bring its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and look after it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = 499  # as nginx writes it: nobody is there to be answered
        except Exception:
            log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            if status:
                raise
            detail = "Something went wrong here; the log has the reason under this request id."
            response = problem_response(500, "service.failed", detail, request_id=request_id)
            await response(scope, receive, send_with_id)
        finally:
            if scope["path"] not in PROBES:
                took = 1000 * (time.perf_counter() - began)
                log.info("%s %s %d %.1f ms request %s", scope["method"], scope["path"], status, took, request_id)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return given.decode("ascii") if _GOOD_ID.fullmatch(given) else uuid.uuid4().hex
