"""Which envelopes were sealed by this user on this machine. Opening any other one runs somebody else's code."""

from __future__ import annotations

from model_envelope.foundation.directories import state_dir
from model_envelope.foundation.errors import Refused
from model_envelope.runtime.reading import EnvelopeFiles


def remember(digest: str) -> None:
    """Note that this user sealed an envelope here."""
    folder = state_dir() / "sealed"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / digest).touch(mode=0o600)


def is_known(digest: str) -> bool:
    """Tell whether this user sealed this envelope here."""
    return (state_dir() / "sealed" / digest).is_file()


def require(envelope: EnvelopeFiles, *, trusted: bool) -> None:
    """Let an envelope through that was sealed here, or that the user says to trust.

    Raises :class:`Refused` (``trust.unknown``).
    """
    if trusted or is_known(envelope.digest):
        return
    raise Refused(
        f"{envelope.path.name} was not sealed by you on this machine, and loading its model runs the code in it",
        code="trust.unknown",
        hint="where you trust its origin, add `--trust` (in Python `trust=True`); a container needs no trust",
    )
