"""The signature as others write it: JSON Schema, OpenAPI, Arrow, Open Inference Protocol, MLflow.

One file a form. Each gives the document and says what the form cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from model_envelope.runtime.forms.base import Written
from model_envelope.runtime.reading import EnvelopeFiles

FORMS: Mapping[str, str] = {
    "native": "model_envelope.runtime.forms.native",
    "json-schema": "model_envelope.runtime.forms.schema",
    "openapi": "model_envelope.runtime.forms.service",
    "arrow": "model_envelope.runtime.forms.arrow",
    "open-inference": "model_envelope.runtime.forms.open_inference",
    "mlflow": "model_envelope.runtime.forms.mlflow",
}
"""Each form by name, and the module whose ``write`` makes it."""

__all__ = ["FORMS", "Written", "write"]


def write(envelope: EnvelopeFiles, form: str, method: str | None = None) -> Written:
    """Write the signature of an envelope in one of :data:`FORMS`.

    ``method`` chooses the method of a form that knows one only, by default the first.
    """
    maker: Callable[[EnvelopeFiles, str | None], Written] = import_module(FORMS[form]).write
    return maker(envelope, method)
