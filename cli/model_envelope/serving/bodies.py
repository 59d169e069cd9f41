"""The body of a request: no longer than the limit, there in time, and unpacked."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect

from model_envelope.serving.accepting import header
from model_envelope.serving.compression import decompress
from model_envelope.serving.problems import HttpProblem, too_large

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

PATIENCE = 2.0
"""Seconds for which the rest of a body that is too large is read and thrown away."""

SMALL = 4096
"""Bytes of a packed body that are unpacked at once; more are unpacked beside the event loop."""


async def read_body(scope: Scope, receive: Receive, encoding: str | None, *, limit: int, timeout: float) -> bytes:
    """Read a body of at most ``limit`` bytes, with or without Content-Length, and unpack it to at most as many.

    Raises :class:`HttpProblem`: 413 without keeping any of it, 408 where it is not there within ``timeout`` seconds,
    400 where it is not encoded as it says; and :class:`ClientDisconnect` where nobody is there to be answered.
    """
    declared = header(scope["headers"], b"content-length")
    if declared.isdigit() and int(declared[:20]) > limit:
        # A client that waits for leave to send its body is answered before it sends any.
        if not header(scope["headers"], b"expect"):
            await _discard(receive)
        raise too_large(limit)
    coming = _whole(receive, limit).__await__()
    try:
        # Most bodies are there already: a timer for them would cost more than reading them does.
        waits_for = next(coming)
    except StopIteration as there:
        return await _unpacked(there.value, encoding, limit)
    try:
        async with asyncio.timeout(timeout):
            raw = await _continued(coming, waits_for)
    except TimeoutError:
        late = f"The body was not there within {timeout:g} seconds."
        raise HttpProblem(408, "request.too-slow", late, {"Connection": "close"}) from None
    return await _unpacked(raw, encoding, limit)


async def _unpacked(raw: bytes, encoding: str | None, limit: int) -> bytes:
    if encoding is None:
        return raw
    if len(raw) <= SMALL:
        return decompress(raw, encoding, limit)
    return await asyncio.to_thread(decompress, raw, encoding, limit)


@types.coroutine
def _continued(coming: Generator[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """Go on with what was begun already, and waits for something."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001  whoever waits is told, a cancellation above all
            step = partial(coming.throw, error)
        else:
            step = partial(coming.send, sent)
        try:
            waits_for = step()
        except StopIteration as done:
            found: bytes = done.value
            return found


async def _whole(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        more = message.get("more_body", False)
        if size > limit:
            chunks.clear()
            if more:
                await _discard(receive)
            raise too_large(limit)
        if not more and not chunks:
            return bytes(chunk)
        chunks.append(chunk)
        if not more:
            return b"".join(chunks)


async def _discard(receive: Receive) -> None:
    """Read on for a moment: a client that is still sending when the connection closes would never see the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
