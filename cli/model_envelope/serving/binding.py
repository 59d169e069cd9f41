"""The address of a service: taken before anything else is done, and given up without losing who came before.

Standard library only: the supervisor of several workers does this, and needs nothing else of the server.
"""

from __future__ import annotations

import array
import errno
import logging
import socket
import struct
import sys

from model_envelope.runtime.errors import EnvelopeError

log = logging.getLogger("model_envelope.serving")

BACKLOG = 2048
"""Connections that the kernel takes before this process does; the kernel may have a lower limit."""

SETTLE = 0.2
"""Seconds in which handshakes that are under way when nobody may connect any more come to an end."""

SETTLE_BUSY = 0.9
"""As many where somebody connected within the last second: a virtual CPU that its host lets stand still may have half a
handshake. Who is turned away meanwhile tries again after a second, and so does not wait longer for a refusal.
"""

AGAIN = 0.3
"""Seconds in which a second signal means the same as the first: a terminal, or systemd, tells all processes at once."""


_SO_ATTACH_FILTER = 26


class PortInUse(EnvelopeError):
    """The address is taken, or may not be used."""


def bind(host: str, port: int) -> socket.socket:
    """Take the address before anything else is done. Port 0 is any free one.

    Raises :class:`PortInUse`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections get it from here
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use",
                code="serve.port-in-use",
                hint="end what listens there, or name another port with --port (0 takes any free one)",
            ) from None
        raise PortInUse(
            f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}",
            code="serve.address",
            hint="name an address of this machine with --host and a free port with --port",
        ) from None
    return listening


def url_of(host: str, listening: socket.socket) -> str:
    """Give where a client on this machine finds a server that listens on ``host``."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{listening.getsockname()[1]}"


def refuse_new(listening: socket.socket) -> None:
    """Let nobody connect any more, while those who have begun to still can: on Linux, by a filter on the socket.

    Handshakes that are under way come to an end, and what they lead to is still accepted. Who comes new finds that the
    host does not answer, and after the socket is closed that it refuses. Elsewhere the kernel is only told to keep no
    connection waiting.
    """
    if sys.platform == "linux":
        # Drops segments of TCP with SYN and without ACK: byte 13 & 0x12 == 0x02.
        steps = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0x7FFFFFFF))
        code = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in steps))
        program = struct.pack("HP", len(steps), code.buffer_info()[0])
        try:
            listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        except OSError as error:  # a sandbox may know no filters
            log.debug("no filter for new connections: %s", error)
        else:
            return
    try:
        listening.listen(0)
    except OSError as error:
        log.debug("the backlog cannot be made shorter: %s", error)
