"""The signature as one JSON Schema (2020-12): under ``$defs`` the request and the answer of each method."""

from __future__ import annotations

from typing import Any

from model_envelope.runtime.forms.base import Written
from model_envelope.runtime.json_schema import DIALECT, LOCAL, body_schema, component_name, schema_of
from model_envelope.runtime.reading import EnvelopeFiles


def write(envelope: EnvelopeFiles, method: str | None) -> Written:
    """Write all methods; of one, the schema of its request stands at the root."""
    signature = envelope.signature
    chosen = signature.methods if method is None else {method: signature.methods[method]}
    # A reference has to point into this document: the definitions stand beside the methods, once.
    definitions: dict[str, Any] = {
        component_name(name): schema_of(kind) for name, kind in signature.definitions.items()
    }
    for name, found in chosen.items():
        definitions[f"{name}.request"] = body_schema(found)
        definitions[f"{name}.answer"] = schema_of(found.returns, answer=True)
    root = {} if method is None else {"$ref": f"{LOCAL}{method}.request"}
    return Written({"$schema": DIALECT, "title": envelope.description.name, **root, "$defs": definitions})
