"""The signature as ``signature.json`` has it: nothing is lost."""

from __future__ import annotations

from model_envelope.runtime import signature as s
from model_envelope.runtime import signature_document
from model_envelope.runtime.forms.base import Written
from model_envelope.runtime.reading import EnvelopeFiles


def write(envelope: EnvelopeFiles, method: str | None) -> Written:
    """Write all methods, or one."""
    signature = envelope.signature
    if method is not None:
        signature = s.Signature({method: signature.methods[method]}, signature.definitions)
    return Written(signature_document.to_document(signature))
