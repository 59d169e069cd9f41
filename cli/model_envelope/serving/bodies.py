"""The body of a request: of a type that can be read, and no longer than the limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request

from model_envelope.serving.problems import HttpProblem

JSON_TYPES = frozenset(
    {
        "",
        "*/*",
        "application/json",
        "text/json",
        # What clients send when they were told nothing: `curl -d`, `fetch` with a string, and plain bytes.
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/octet-stream",
        "binary/octet-stream",
    }
)
"""Media types that are read as JSON, beside all that end in ``+json``."""

PATIENCE = 2.0
"""Seconds for which the rest of a body that is too large is read and thrown away."""


def check_type(request: Request) -> None:
    """Refuse a body that says it is something else than JSON in UTF-8: 415."""
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    if media not in JSON_TYPES and not media.endswith("+json"):
        raise HttpProblem(
            415,
            "request.media-type",
            f"The body is `{media:.80}`; this service reads `application/json`.",
            {"Accept": "application/json"},
        )
    charset = next(
        (value.strip(' "') for name, _, value in _parameters(parameters) if name.strip().lower() == "charset"), "utf-8"
    )
    if charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise HttpProblem(415, "request.charset", f"The body is in `{charset:.40}`; JSON is in UTF-8.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise HttpProblem(415, "request.encoding", f"The body is encoded with `{encoding:.40}`; send it plain.")


def _parameters(text: str) -> list[tuple[str, str, str]]:
    return [item.partition("=") for item in text.split(";") if item.strip()]


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes, with or without Content-Length: else 413, without keeping any of it."""
    declared = request.headers.get("content-length", "")
    stream = request.stream()
    if declared.isdigit() and int(declared) > limit:
        # A client that waits for leave to send its body is answered before it sends any.
        if "expect" not in request.headers:
            await _discard(stream)
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit:
            await _discard(stream)
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Read on for a moment: a client that is still sending when the connection closes would never see the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            async for _ in stream:
                continue


def _too_large(limit: int) -> HttpProblem:
    # The rest of the body is not read, so the connection cannot be used again.
    return HttpProblem(
        413, "request.too-large", f"The body is larger than the limit of {limit:,} bytes.", {"Connection": "close"}
    )


async def read_body(scope, receive, encoding, settings):
    limit = settings.max_body
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        if not message.get("more_body") and not chunks:
            return chunk
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
