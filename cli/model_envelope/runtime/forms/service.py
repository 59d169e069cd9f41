"""The OpenAPI 3.1 document that a service of the envelope gives."""

from __future__ import annotations

from model_envelope.runtime.forms.base import Written
from model_envelope.runtime.openapi import openapi_document
from model_envelope.runtime.reading import EnvelopeFiles


def write(envelope: EnvelopeFiles, method: str | None) -> Written:
    """Write the whole service, or one method of it."""
    document = openapi_document(envelope)
    if method is not None:
        document["paths"] = {f"/{method}": document["paths"][f"/{method}"]}
    return Written(document)
