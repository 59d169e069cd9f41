"""Which request this is: its id, and its place in a trace as W3C Trace Context has it.

A client or a proxy may bring both (``x-request-id``, ``traceparent``), and gets both back. What is not exactly as the
standard says is as if nothing had come: a new trace begins, so that nobody can write into the log what is no id.
``tracestate`` belongs to whoever asks further services on; this service asks none, and no response carries it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"

_GOOD_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
_PARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.DOTALL,
)
_KNOWN_FLAGS = 0x03
"""The caller may have recorded the trace, and its id is random: what the standard has so far. Others become zero."""


class Trace(NamedTuple):
    """One request. ``parent_id`` is the caller's span, None where the trace begins here; all ids are hexadecimal."""

    request_id: str
    trace_id: str
    span_id: str
    flags: str
    parent_id: str | None

    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """Give what tells the client which request in which trace this was."""
        return [
            (REQUEST_ID, self.request_id.encode()),
            (TRACEPARENT, f"00-{self.trace_id}-{self.span_id}-{self.flags}".encode()),
        ]


def trace_of(headers: Iterable[tuple[bytes, bytes]]) -> Trace:
    """Read the ids of a request from its headers, and make up those that did not come, or are not as they must be."""
    given_id = parent = None
    for name, value in headers:
        if name == TRACEPARENT:
            parent = value if parent is None else b""  # of several headers none counts
        elif name == REQUEST_ID and given_id is None:
            given_id = value
    # Read from the system: neither a model that seeds `random` nor workers that were forked give the same ids twice.
    fresh = os.urandom(24).hex()
    new_id, span_id = fresh[:32], fresh[32:]
    request_id = given_id.decode() if given_id is not None and _GOOD_ID.fullmatch(given_id) else new_id
    if parent is not None and (found := _parent(parent)):
        trace_id, parent_id, flags = found
        return Trace(request_id, trace_id, span_id, flags, parent_id)
    return Trace(request_id, new_id, span_id, "00", None)


def _parent(header: bytes) -> tuple[str, str, str] | None:
    """Read a traceparent: trace, span and flags; None where it is none.

    Later versions may have more fields after a dash. Version 00 has none, and ``ff`` is no version.
    """
    found = _PARENT.fullmatch(header.strip(b" \t"))
    if found is None or (found["version"] == b"00" and found["more"] is not None):
        return None
    flags = int(found["flags"], 16) & _KNOWN_FLAGS
    return found["trace"].decode(), found["span"].decode(), f"{flags:02x}"
