"""What uvicorn's connections do not do by themselves: limits for headers, half-closed clients, a proper end.

uvicorn parses requests with httptools and runs the app for each; this adds what a service that strangers talk to needs.
ARCHITECTURE.md lists the parts of uvicorn that it leans on.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

HEADER_TIMEOUT = 10.0
"""Seconds in which the headers of a request must be there, from its first byte on or from the connection's start."""

MOST_HEADERS = 64 * 1024
"""Bytes of the headers of one request at most."""

CLOSE = (b"connection", b"close")


class State(ServerState):
    """What the connections of a server share."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = False


class _Nowhere(list[tuple[bytes, bytes]]):
    """Takes the trailers of a body: the app has its headers already, and nobody asked for more."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        """Forget a header."""


class _Resumed:
    """Tells a connection what is parsed, but for the headers of the first request: those it knows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known = True
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete

    def on_message_begin(self) -> None:
        if not self._known:
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._known:
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:
            self._connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._known:
            self._connection.on_headers_complete()
        self._known = False


class Connection(HttpToolsProtocol):
    """A connection that waits for nobody for ever, and ends when all that it was asked is answered."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.waits_since: float | None = None
        """When the headers that are awaited were begun, by the loop's clock; None where none are."""
        self.quiet_since = 0.0
        """When a request last came or was answered, by the loop's clock."""
        self._headers_size = 0
        self._receiving = False
        self._broken = False

    @property
    def busy(self) -> bool:
        """Whether there is something to be answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return bool(self.pipeline) or (cycle is not None and not cycle.response_complete)

    @property
    def idle(self) -> bool:
        """Whether nothing is to be answered, and nothing comes in."""
        return not self.busy and not self._receiving

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.waits_since = self.quiet_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Read what a client sent; see that headers come to an end, and that what follows an upgrade is read too."""
        self._unset_keepalive_if_required()
        if self._broken:
            return
        rest = data
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._not_upgraded(rest[upgrade.args[0] :])
                continue
            except httptools.HttpParserError:
                self.refuse(400, "request.malformed", "This is not a request of HTTP/1.1.")
                return
            break
        if self.waits_since is None:
            if not self.idle:
                return
            self.waits_since = self.loop.time()  # an empty line is not the beginning of a request yet
        self._headers_size += len(data)
        if self._headers_size > MOST_HEADERS:
            self.refuse(431, "request.headers", f"The headers are longer than {MOST_HEADERS} bytes.")

    def _not_upgraded(self, rest: bytes) -> bytes:
        """Go on without the upgrade that a client offers, as Java's does at first: nobody has to take it.

        httptools takes what follows for another protocol. Gives what is to be parsed instead: the body, where there is
        one, after headers that say so, and the requests that come after it.
        """
        framing = [item for item in self.scope["headers"] if item[0] in {b"content-length", b"transfer-encoding"}]
        if not framing:
            self.parser = httptools.HttpRequestParser(self)
            return rest
        self.parser = httptools.HttpRequestParser(_Resumed(self))
        self.cycle.more_body = self._receiving = True
        return b"POST / HTTP/1.1\r\n%b\r\n%b" % (b"".join(b"%b: %b\r\n" % item for item in framing), rest)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the headers."""
        super().on_message_begin()
        self.waits_since = self.quiet_since = self.loop.time()
        self._headers_size = 0
        self._receiving = True

    def on_headers_complete(self) -> None:
        """Start the app, as uvicorn does."""
        self.waits_since = None
        super().on_headers_complete()
        self.headers = _Nowhere()
        if not self.parser.should_keep_alive():
            self.cycle.keep_alive = False  # also where the client writes `Close`

    def on_message_complete(self) -> None:
        """Note that the request is there as a whole."""
        self._receiving = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note when the last answer was given."""
        self.quiet_since = self.loop.time()
        super().on_response_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that has said all that it wanted to say, and only listens from now on."""
        if not self.busy or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def close_if_late(self, now: float) -> None:
        """Refuse a client that does not come to the end of its headers, or of a body that nobody reads any more."""
        if self.flow.read_paused:
            # It is not the client that is late.
            self.waits_since = now if self.waits_since is not None else None
        elif self.waits_since is None:
            if self._receiving and not self.busy and now - self.quiet_since >= HEADER_TIMEOUT:
                self.transport.close()
        elif now - self.waits_since < HEADER_TIMEOUT:
            return
        elif self._headers_size:
            self.refuse(408, "request.too-slow", f"The headers did not arrive within {HEADER_TIMEOUT:g} s.")
        elif not self.busy:
            self.transport.close()  # it never said a word

    def close_if_quiet(self, now: float, seconds: float) -> None:
        """Close a connection on which nothing was asked for some seconds."""
        if self.idle and now - self.quiet_since >= seconds and not self.transport.is_closing():
            self.transport.close()

    def drain(self) -> None:
        """Have the answer that is under way say that it is the last one; later ones do so by the server's headers."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_started:
            cycle.default_headers = [*cycle.default_headers, CLOSE]

    def refuse(self, status: int, code: str, detail: str) -> None:
        """Answer what is no request to the app, and close the connection; what was asked before is answered first."""
        self._broken, self.waits_since = True, None
        if self.transport.is_closing():
            return
        if self.busy and not self._reading_body():
            self.cycle.keep_alive = False
            return
        phrase = HTTPStatus(status).phrase
        document = {"type": "about:blank", "title": phrase, "status": status, "detail": detail, "code": code}
        body = json.dumps(document, separators=(",", ":")).encode()
        headers = [*self.server_state.default_headers, (b"content-type", b"application/problem+json")]
        if CLOSE not in headers:
            headers.append(CLOSE)
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], lines, len(body), body))
        self.transport.close()

    def _reading_body(self) -> bool:
        """Whether the request that is under way is not there as a whole, and nothing was answered yet."""
        return self.cycle.more_body and not self.cycle.response_started and not self.pipeline
