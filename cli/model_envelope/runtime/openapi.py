"""The OpenAPI 3.1 document of a service, made from the signature and the sealed samples."""

from __future__ import annotations

from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.json_schema import OPENAPI, body_schema, component_name, schema_of
from model_envelope.runtime.reading import EnvelopeFiles, Sample

Document = dict[str, Any]

MEDIA_TYPE = "application/problem+json"
"""What errors are sent as: RFC 9457."""

JSON_TYPE, CSV_TYPE, ARROW_TYPE = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
"""What requests and answers are sent as."""


def openapi_document(envelope: EnvelopeFiles) -> Document:
    """Describe every endpoint; the example of a method is its sealed sample."""
    description = envelope.description
    samples = {sample.method: sample for sample in envelope.samples}
    definitions = envelope.signature.definitions
    methods = {
        f"/{name}": {"post": _method(name, method, samples.get(name))}
        for name, method in envelope.signature.methods.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": description.name,
            "version": envelope.short_digest,
            "description": description.description or f"The model `{description.name}` as a service.",
        },
        # A method may have the name of one of the other endpoints: they take GET, it takes POST.
        "paths": {path: {**methods.get(path, {}), **_ABOUT.get(path, {})} for path in [*methods, *_ABOUT]},
        "components": {
            "schemas": {
                **{component_name(name): schema_of(kind, prefix=OPENAPI) for name, kind in definitions.items()},
                PROBLEM: _PROBLEM_SCHEMA,
            }
        },
    }


def _method(name: str, method: s.Method, sample: Sample | None) -> Document:
    request: Document = {"schema": body_schema(method, prefix=OPENAPI)}
    answer: Document = {"schema": schema_of(method.returns, prefix=OPENAPI, answer=True)}
    if sample is not None:
        request["example"] = sample.body
        answer["example"] = sample.answer
    return {
        "operationId": f"call_{name}",
        "summary": f"Call the model's `{name}`",
        "tags": ["model"],
        "requestBody": {"required": True, "content": {"application/json": request}},
        "responses": {
            "200": {"description": "What the model answers", "content": {"application/json": answer}},
            **{status: _problem(text) for status, text in _FAILURES.items()},
        },
    }


def _problem(text: str) -> Document:
    return {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": OPENAPI + PROBLEM}}}}


def _get(name: str, summary: str, **others: Document) -> Document:
    ok = {"description": summary, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"get": {"operationId": name, "summary": summary, "tags": ["about"], "responses": {"200": ok, **others}}}


PROBLEM = "EnvelopeProblem"

_FAILURES = {
    "400": "The body is no JSON",
    "413": "The body is larger than the limit",
    "415": "The body is of another media type",
    "422": "The body does not fit the signature; `errors` says everything that is wrong with it",
    "500": "The model failed; the log has the reason under `request_id`",
    "503": "The model is not ready",
}

_ABOUT: Document = {
    "/livez": _get("livez", "The process is alive"),
    "/readyz": _get("readyz", "The model is loaded and has answered its samples", **{"503": _problem("Not ready")}),
    "/signature": _get("signature", "What the methods take and give"),
    "/envelope": _get("envelope", "Which envelope answers here"),
}

_TEXT: Document = {"type": "string"}
_TEXT_OR_NULL: Document = {"type": ["string", "null"]}

_PROBLEM_SCHEMA: Document = {
    "title": "A problem as RFC 9457 has it",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "code": {"type": "string", "description": "Stable; for programs"},
        "request_id": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "expected", "found", "code"],
                "properties": {
                    "path": {"type": "string", "description": "`$.x[17].age`"},
                    "pointer": {"type": ["string", "null"], "description": "The same as a JSON pointer"},
                    "row": {"type": ["integer", "null"], "description": "Counted from 0"},
                    "column": _TEXT_OR_NULL,
                    "expected": _TEXT,
                    "found": _TEXT,
                    "code": _TEXT,
                },
            },
        },
    },
}
