"""The OpenAPI 3.1 document of a service, made from the signature and the sealed samples."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.csv import reads_csv, write_sheet, writes_csv
from model_envelope.runtime.codec.csv_schema import csv_pattern
from model_envelope.runtime.json_schema import OPENAPI, body_schema, component_name, schema_of
from model_envelope.runtime.reading import EnvelopeFiles, Sample

Document = dict[str, Any]

MEDIA_TYPE = "application/problem+json"
"""What errors are sent as: RFC 9457."""

JSON_TYPE, CSV_TYPE, ARROW_TYPE = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
"""What requests and answers are sent as."""


def openapi_document(envelope: EnvelopeFiles, *, arrow: bool = False) -> Document:
    """Describe every endpoint; the example of a method is its sealed sample.

    ``arrow`` says that the service has a pyarrow, and speaks Arrow IPC streams.
    """
    description = envelope.description
    samples = {sample.method: sample for sample in envelope.samples}
    definitions = envelope.signature.definitions
    methods = {
        f"/{name}": {"post": _method(name, method, samples.get(name), arrow=arrow)}
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
            },
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
        },
    }


def _method(name: str, method: s.Method, sample: Sample | None, *, arrow: bool) -> Document:
    request: Document = {"schema": body_schema(method, prefix=OPENAPI)}
    answer: Document = {"schema": schema_of(method.returns, prefix=OPENAPI, answer=True)}
    if sample is not None:
        request["example"] = sample.body
        answer["example"] = sample.answer
    return {
        "operationId": f"call_{name}",
        "summary": f"Call the model's {name}",
        "description": _ENCODINGS,
        "tags": ["model"],
        "parameters": [{"$ref": PARAMETERS + found} for found in _PARAMETERS],
        "requestBody": {
            "required": True,
            "content": _formats(request, _csv_in(method, sample), _ARROW_IN if arrow else None),
        },
        "responses": {
            "200": {
                "description": "What the model answers",
                "headers": _headers("Content-Encoding", "Vary"),
                "content": _formats(answer, _csv_out(method), _ARROW_OUT if arrow else None),
            },
            **{
                status: _problem(text, *_MORE_HEADERS.get(status, ()), example=_example(status))
                for status, text in _FAILURES.items()
            },
        },
    }


def _csv_in(method: s.Method, sample: Sample | None) -> Document | None:
    if not reads_csv(method):
        return None
    name, kind = next((item.name, item.type) for item in method.parameters if isinstance(item.type, s.Table))
    pattern = csv_pattern(kind)
    found: Document = {
        "schema": {"type": "string", "description": _CSV_IN, **({"pattern": pattern} if pattern else {})}
    }
    rows = sample.body.get(name) if sample is not None else None
    if isinstance(rows, list):
        header = [column.name for column in (*kind.index, *kind.columns)]
        found["example"] = write_sheet(header, [[row[column] for column in header] for row in rows]).decode()
    return found


def _csv_out(method: s.Method) -> Document | None:
    return {"schema": {"type": "string", "description": _CSV_OUT}} if writes_csv(method) else None


def _formats(as_json: Document, csv: Document | None, arrow: str | None) -> Document:
    """Give the media types of a body. What CSV and Arrow streams hold no schema can say, so words do."""
    found = {JSON_TYPE: as_json}
    if csv is not None:
        found[CSV_TYPE] = csv
    if arrow is not None:
        found[ARROW_TYPE] = {"schema": {"description": arrow}}
    return found


def _problem(text: str, *headers: str, example: Document | None = None) -> Document:
    content: Document = {"schema": {"$ref": OPENAPI + PROBLEM}}
    if example is not None:
        content["example"] = example
    return {"description": text, "headers": _headers(*headers), "content": {MEDIA_TYPE: content}}


def _example(status: str) -> Document:
    """Show what a problem looks like: shortly, but for the one whose list of errors matters."""
    code, detail = _EXAMPLES[status]
    shown: Document = {
        "type": "about:blank",
        "title": HTTPStatus(int(status)).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    if status == "422":
        found = {"expected": "a number (64 bits)", "found": "a string of 4 characters", "code": "payload.type"}
        shown["errors"] = [{"path": "$.X[1].age", "pointer": "/X/1/age", "row": 1, "column": "age", **found}]
    return shown


def _headers(*more: str) -> Document:
    return {name: {"$ref": HEADERS + name} for name in ("X-Request-Id", "traceparent", *more)}


def _get(name: str, summary: str, *media: str, **others: Document) -> Document:
    schema = {JSON_TYPE: {"type": "object"}}
    content = {item: {"schema": schema.get(item, {"type": "string"})} for item in media or (JSON_TYPE,)}
    ok = {"description": summary, "headers": _headers(), "content": content}
    parameters = [{"$ref": PARAMETERS + found} for found in _PARAMETERS]
    responses = {"200": ok, **others}
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "tags": ["about"],
            "parameters": parameters,
            "responses": responses,
        }
    }


PROBLEM = "EnvelopeProblem"
HEADERS, PARAMETERS = "#/components/headers/", "#/components/parameters/"

_ENCODINGS = (
    "Bodies may be packed: gzip and zstd are read by `Content-Encoding`, and written by `Accept-Encoding`. The "
    "media type of an answer is chosen by `Accept`; problems are always `application/problem+json`."
)
_CSV_IN = "A table: a header with the names of the columns, then a line for each row (RFC 4180, UTF-8)"
_CSV_OUT = "The answer as a table: a header, then a line for each row (RFC 4180, UTF-8)"
_ARROW_IN = "An Arrow IPC stream, uncompressed, whose columns are those of the rows"
_ARROW_OUT = "An Arrow IPC stream with the rows of the answer"

_FAILURES = {
    "400": "The body is malformed: no JSON, CSV or Arrow stream, or not packed as it says",
    "406": "No media type of `Accept` can be given",
    "408": "The body did not arrive in time",
    "413": "The body is larger, or has more rows, than the limit",
    "415": "The body is of a media type, a character set or an encoding that is not read here",
    "422": "The body does not fit the signature; `errors` says everything that is wrong with it",
    "500": "The model failed, or answered with what its signature does not allow; the log has the reason under "
    "`request_id`",
    "503": "The model is not ready, too many requests wait for it, or it did not answer in time",
}
_EXAMPLES = {
    "400": ("payload.malformed", "the body is no JSON: Expecting value at line 1 column 8"),
    "406": ("request.not-acceptable", "No format of the Accept header can be given."),
    "408": ("request.too-slow", "The body was not there within 30 seconds."),
    "413": ("request.too-large", "The body is larger than the limit of 64,000,000 bytes."),
    "415": ("request.media-type", "The body is `image/png`; for this method the service reads application/json."),
    "422": ("payload.invalid", "the request does not fit the signature: 1 problem"),
    "500": ("model.raised", "The model failed on this request; the log has the reason under this request id."),
    "503": ("service.busy", "1024 requests wait for the model already; try again later."),
}
_MORE_HEADERS = {"415": ("Accept", "Accept-Encoding"), "503": ("Retry-After",)}

_PARAMETERS: Document = {
    "X-Request-Id": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Names the request in the log and in problems; one is made where there is none, or an odd one",
        "schema": {"type": "string"},
    },
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "The caller's place in a trace (W3C Trace Context)",
        "schema": {"type": "string"},
    },
}

_ABOUT: Document = {
    "/livez": _get("livez", "The process is alive"),
    "/readyz": _get("readyz", "The model is loaded and has answered its samples", **{"503": _problem("Not ready")}),
    "/metrics": _get("metrics", "Metrics, as Prometheus reads them", "text/plain", "application/openmetrics-text"),
    "/signature": _get("signature", "What the methods take and give"),
    "/envelope": _get("envelope", "Which envelope answers here"),
    "/openapi.json": _get("openapi", "This document"),
    "/docs": _get("docs", "This document as a page to try it on", "text/html"),
}

_HEADERS: Document = {
    "X-Request-Id": {"description": "The id of the request in the log", "schema": {"type": "string"}},
    "traceparent": {"description": "The request's place in its trace", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds after which to ask again", "schema": {"type": "integer", "minimum": 0}},
    "Accept": {"description": "The media types that are read here", "schema": {"type": "string"}},
    "Accept-Encoding": {"description": "The encodings that are read here", "schema": {"type": "string"}},
    "Content-Encoding": {"description": "How the answer is packed", "schema": {"enum": ["gzip", "zstd"]}},
    "Vary": {"description": "What the form of the answer depends on", "schema": {"type": "string"}},
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
