"""One job at a time on an output.

On this machine the kernel holds the lock, and lets go of it with the process, however that ends. Elsewhere it is an
object that is renewed while the job lives: best effort, since two jobs that begin in the same moment may both pass.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
import weakref
from pathlib import Path
from typing import Any

from model_envelope.scoring.sinks.places import Remote
from model_envelope.scoring.tables import CannotWrite

_log = logging.getLogger(__name__)
_RENEWED = 30.0
"""Seconds after which a lock on an object store is written anew."""
_GONE = 180.0
"""Seconds after which one that was not renewed is nobody's."""
_UNKNOWN = {errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.ENOSYS}


class LocalLock:
    """A lock of the kernel on ``FOLDER/lock``. Raises :class:`CannotWrite` (``output.busy``)."""

    def __init__(self, name: str, folder: str) -> None:
        self._folder = Path(folder)
        self._path = self._folder / "lock"
        self._handle: int | None = self._taken(name)
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, _me(), 0)
        _held.add(self)

    def _taken(self, name: str) -> int:
        while True:
            self._folder.mkdir(exist_ok=True)
            try:
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # another job ended just now, and took the folder away
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(handle, 1000, 0)
                os.close(handle)
                raise _busy(name, owner) from None
            except OSError as error:
                if error.errno not in _UNKNOWN:
                    os.close(handle)
                    raise
                _log.warning("%s: this file system has no locks; see that no other job writes there", name)
                return handle
            # Whoever held it may have removed it: then this is the lock of a file that nobody else will find.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(handle).st_ino == self._path.stat().st_ino:
                    return handle
            os.close(handle)

    def release(self, *, last: bool) -> None:
        """Let go; ``last`` takes the folder away too, which has nothing else in it."""
        if self._handle is None:
            return
        if last:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
                self._folder.rmdir()
        self.forget()

    def forget(self) -> None:
        """Close the handle: in a child that was forked the lock stays the parent's."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class RemoteLock:
    """A lock that is an object, ``FOLDER/lock``, renewed by a thread. Raises as :class:`LocalLock` does."""

    def __init__(self, name: str, folder: str, place: Remote) -> None:
        self._place, self._path = place, f"{folder}/lock"
        self._token = uuid.uuid4().hex
        found = _document(place.read(self._path))
        if found and _lives(found):
            raise _busy(name, json.dumps(found).encode())
        self._renew()
        # Of two that came at once the one whose token stays has it.
        found = _document(place.read(self._path))
        if found.get("token") != self._token:
            raise _busy(name, json.dumps(found).encode())
        _tokens.add(self._token)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._stay, name="output lock", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        self._place.write(self._path, _me(token=self._token, at=time.time()))

    def _stay(self) -> None:
        while not self._ended.wait(_RENEWED):
            try:
                self._renew()
            except Exception:  # noqa: BLE001  whatever a store's library raises; the next time may be better
                _log.warning("the lock %s could not be renewed", self._path)

    def release(self, *, last: bool) -> None:  # noqa: ARG002  there are no folders to take away
        """Let go."""
        if self._token not in _tokens:
            return
        self._ended.set()
        self._thread.join()
        _tokens.discard(self._token)
        self._place.remove(self._path)


def _me(**more: Any) -> bytes:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), **more}).encode()


def _document(content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lives(found: dict[str, Any]) -> bool:
    if time.time() - float(found.get("at", 0)) > _GONE:
        return False
    if found.get("host") != socket.gethostname():
        return True
    pid = int(found.get("pid", 0))
    if pid == os.getpid():
        # In containers each life of a job may have the same number.
        return found.get("token") in _tokens
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _busy(name: str, owner: bytes) -> CannotWrite:
    found = _document(owner)
    who = f"process {found['pid']} on {found['host']}" if {"pid", "host"} <= found.keys() else "another process"
    return CannotWrite(
        f"{name} is being written by another job ({who})",
        code="output.busy",
        hint="wait for that job to end, or write elsewhere",
    )


_held: weakref.WeakSet[LocalLock] = weakref.WeakSet()
_tokens: set[str] = set()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


# A worker that outlives the job must not hold the output.
os.register_at_fork(after_in_child=_forget_all)
