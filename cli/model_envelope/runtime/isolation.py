"""Takes a process off the network before a model's code runs in it: a network namespace of its own, on Linux.

In it there is a loopback device and nothing else. Where this process may make no such namespace by itself, it makes one
in a user namespace of its own (``unshare(2)``, ``user_namespaces(7)``); some systems and containers forbid that too,
which is told and changes nothing.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_ITSELF = Path("/proc/self")


def leave_network() -> str:
    """Take this process, and all that it starts from here on, off the network; loopback stays.

    Gives the reason where that is not possible here, and an empty text where it was done. It has to be called before
    anything starts a thread.
    """
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no network namespaces"
    # Half of it may work, and nothing of it can be undone: a copy of this process tries it first.
    reason = _tried()
    if not reason:
        _leave()
    return reason


def _tried() -> str:
    reading, writing = os.pipe()
    copy = os.fork()
    if copy == 0:
        try:
            os.write(writing, _failure().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        found = said.read().decode()
    os.waitpid(copy, 0)
    return "" if found == _WELL else found or "trying it ended the process"


_WELL = "well"


def _failure() -> str:
    try:
        _leave()
    except (OSError, AttributeError, ImportError) as error:
        return f"no network namespace can be made: {error}"
    return _WELL


def _leave() -> None:
    import fcntl

    user, group = os.getuid(), os.getgid()
    try:
        _unshare(CLONE_NEWNET)
    except PermissionError:
        _unshare(CLONE_NEWUSER | CLONE_NEWNET)
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            (_ITSELF / name).write_text(content)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # struct ifreq: the name of a device and its flags, https://man7.org/linux/man-pages/man7/netdevice.7.html
        request = struct.pack("16sH22x", b"lo", 0)
        _, flags = struct.unpack("16sH22x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _unshare(flags: int) -> None:
    """Call ``unshare(2)``, which Python offers from 3.12 on. Raises :class:`OSError`."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
