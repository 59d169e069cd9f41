"""The body of a request: no longer than the limit, there in time, and unpacked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect

from model_envelope.serving.accepting import header
from model_envelope.serving.compression import decompress
from model_envelope.serving.problems import HttpProblem, too_large

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

_T = TypeVar("_T")

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
    step = receive().__await__()
    try:
        waits_for = next(step)
    except StopIteration as done:  # it was there already, which is cheaper found out than timed
        message = done.value
    else:
        message = await _timed(_Resumed(step, waits_for), timeout)
    if message.get("more_body", False):
        raw = await _timed(_whole(message, receive, limit), timeout)
    else:
        raw = _part(message)
        if len(raw) > limit:
            raise too_large(limit)
    if encoding is None:
        return raw
    if len(raw) <= SMALL:
        return decompress(raw, encoding, limit)
    return await asyncio.to_thread(decompress, raw, encoding, limit)


class _Resumed:
    """The rest of an awaitable that was begun by hand, and waits for a future."""

    def __init__(self, step: Generator[Any, Any, Message], waits_for: Any) -> None:
        self._step = step
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Message]:
        try:
            yield self._waits_for
        except BaseException as error:
            self._step.throw(error)  # what it holds is its own to give back
            raise
        return (yield from self._step)


async def _timed(coming: Awaitable[_T], timeout: float) -> _T:
    try:
        async with asyncio.timeout(timeout):
            return await coming
    except TimeoutError:
        late = f"The body was not there within {timeout:g} seconds."
        raise HttpProblem(408, "request.too-slow", late, {"Connection": "close"}) from None


def _part(message: Message) -> bytes:
    """Take the part of a body out of a message."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return bytes(message.get("body", b""))


async def _whole(message: Message, receive: Receive, limit: int) -> bytes:
    """Read the parts of a body, of which the first is there."""
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk, more = _part(message), message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            chunks.clear()
            if more:
                await _discard(receive)
            raise too_large(limit)
        chunks.append(chunk)
        if not more:
            return b"".join(chunks)
        message = await receive()


async def _discard(receive: Receive) -> None:
    """Read on for a moment: a client that is still sending when the connection closes would never see the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
