"""The errors of the toolchain, beside those that the runtime raises."""

from __future__ import annotations

from model_envelope.runtime.errors import EnvelopeError, ExitCode


class InvalidInput(EnvelopeError):
    """Something that the user gave (a file, a name, an option) cannot be used."""


class InvalidPickle(EnvelopeError):
    """A file is no pickle, or not a whole one."""


class Unsolvable(EnvelopeError):
    """The requirements cannot be locked."""


class Refused(EnvelopeError):
    """Something is not done for the sake of safety: an untrusted envelope, a sealed file, an existing folder."""


class Answered(EnvelopeError):
    """A question was answered no: the envelope does not verify, the image does not reproduce its answers."""

    exit_code = ExitCode.NO


class ToolMissing(EnvelopeError):
    """A program that is needed is not here, or does not answer."""

    exit_code = ExitCode.TOOL


class ToolFailed(EnvelopeError):
    """A program was started and failed. ``detail`` holds the end of what it said."""

    exit_code = ExitCode.TOOL
