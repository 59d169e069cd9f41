"""The one translator: from whatever was raised to a code, a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from typing import Any

from model_envelope.runtime.errors import EnvelopeError, ExitCode


class Misuse(EnvelopeError):
    """The command line makes no sense: an unknown option, a pair without `=`."""

    exit_code = ExitCode.USAGE


class Interrupted(EnvelopeError):
    """The user stopped the command."""

    exit_code = ExitCode.INTERRUPTED


class SystemRefused(EnvelopeError):
    """The operating system would not do something that the user can see to: no space, no permission."""


class Bug(EnvelopeError):
    """Nobody foresaw this."""

    exit_code = ExitCode.BUG


_REFUSALS = {
    errno.ENOSPC: ("system.no-space", "free some space there, or name another place"),
    errno.EDQUOT: ("system.no-space", "your quota there is used up: free some space, or name another place"),
    errno.EACCES: ("system.no-permission", "change the permissions, or name another place"),
    errno.EPERM: ("system.no-permission", "change the permissions, or name another place"),
    errno.EROFS: ("system.read-only", "that file system is mounted read-only: name another place"),
    errno.EMFILE: ("system.open-files", "too many files are open: raise the limit, `ulimit -n 4096`"),
    errno.ENAMETOOLONG: ("system.name-too-long", "choose a shorter name"),
}


def translate(error: BaseException) -> EnvelopeError:
    """Give the error that the user is told."""
    if os.environ.get("ENVELOPE_DEBUG"):
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, EnvelopeError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted", code="interrupted")
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        code, hint = _REFUSALS[error.errno]
        # Where a copy failed, space lacks at its second name.
        lacking = code == "system.no-space" and error.filename2
        place = error.filename2 if lacking else error.filename
        where = f": `{place}`" if place else ""
        return SystemRefused(f"{os.strerror(error.errno)}{where}", code=code, hint=hint)
    return _bug(error)


def misuse(error: Any) -> Misuse:
    """Translate what Typer's parser raised."""
    message = str(error.format_message())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "envelope"
    return Misuse(
        message[:1].lower() + message[1:].rstrip(".").replace("'", "`"),
        code="usage",
        hint=f"`{path} --help` says what it takes",
    )


def _bug(error: BaseException) -> Bug:
    said = "".join(traceback.format_exception_only(error)).strip()
    hint = "please report it with the traceback above"
    if not os.environ.get("ENVELOPE_DEBUG"):
        hint = "please report it with the traceback; `ENVELOPE_DEBUG=1` prints it here"
        try:
            with tempfile.NamedTemporaryFile(
                "w", prefix="envelope-", suffix=".traceback.txt", delete=False, encoding="utf-8"
            ) as file:
                traceback.print_exception(error, file=file)
            hint = f"please report it with the traceback in `{file.name}`; `ENVELOPE_DEBUG=1` prints it here"
        except OSError as unwritten:
            said += f" (and the traceback could not be written: {unwritten})"
    return Bug(f"this is a bug in model-envelope: {said}", code="bug", hint=hint)
