"""The signature of an envelope, in its own form or in one that others know."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import InvalidInput
from model_envelope.runtime.forms import FORMS, write
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.signature import Signature

__all__ = ["FORMS", "SignatureResult", "signature"]


@dataclass(frozen=True)
class SignatureResult:
    """A signature in one form: the document, and what that form cannot say, one line each."""

    path: Path
    digest: str
    form: str
    signature: Signature = field(repr=False)
    document: Any
    lost: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form; the signature is the document, in the form that was asked for."""
        return {name: value for name, value in vars(self).items() if name != "signature"}


def signature(envelope: Path, *, form: str = "native", method: str | None = None) -> SignatureResult:
    """Write the signature of an envelope in one of :data:`FORMS`, all methods or one; nothing of the model is loaded.

    Raises ``InvalidEnvelope`` where the folder is none, :class:`InvalidInput` for a form or a method that there is not.
    """
    files = read_envelope(envelope)
    methods = files.signature.methods
    if form not in FORMS:
        raise InvalidInput(
            f"found the form `{form}`, expected one of {', '.join(FORMS)}",
            code="signature.unknown-form",
            hint="name one of these with `--as`",
        )
    if method is not None and method not in methods:
        raise InvalidInput(
            f"{files.path.name} has no method `{method}`, expected one of {', '.join(methods)}",
            code="signature.unknown-method",
            hint="name one of these with `--method`, or leave it out",
        )
    shown = files.signature if method is None else Signature({method: methods[method]}, files.signature.definitions)
    written = write(files, form, method)
    return SignatureResult(files.path, files.digest, form, shown, written.document, written.lost)
