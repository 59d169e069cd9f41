"""The inference log: who asked what, and what was answered. One schema for the service and for batch jobs.

Names are those of Databricks' inference tables where these have one, so that what reads those reads this. A row is a
plain dictionary whose values JSON and Arrow both have; :func:`arrow_schema` is for those who write it as a table.
Inputs and answers are JSON text, as the codec writes it. Columns can be left out, or be kept as nothing but the sha256
of their values, wherever in a body they stand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from model_envelope.runtime import manifest
from model_envelope.runtime.codec.text import dump_json
from model_envelope.runtime.reading import EnvelopeFiles

VERSION = 1
"""Goes up when a column is renamed, removed, or means something else; new columns come at the end without that."""

COLUMNS: Mapping[str, str] = {
    "schema_version": "int32",
    "request_id": "string",
    "client_request_id": "string",
    "request_time": "timestamp",
    "date": "date",
    "status_code": "int32",
    "execution_duration_ms": "double",
    "sampling_fraction": "double",
    "request": "string",
    "response": "string",
    "requester": "string",
    "source": "string",
    "envelope_name": "string",
    "envelope_digest": "string",
    "signature_digest": "string",
    "method": "string",
    "run_id": "string",
    "part": "string",
    "row_index": "int64",
}
"""The columns, in their order, each with its type.

``request_time`` is UTC, ``date`` its day (to partition by), ``execution_duration_ms`` is that of the whole call, which
other rows may share. ``request`` and ``response`` are JSON text, ``response`` null where nothing was answered.
``row_index`` is the row in the request, or in the ``part`` of the table that a job reads; ``run_id`` and ``part`` are
null for a service, ``client_request_id`` and ``requester`` for a job.
"""
_MAY_BE_NULL = frozenset({"client_request_id", "response", "requester", "run_id", "part", "row_index"})


@dataclass(frozen=True)
class Privacy:
    """Which columns are left out of the log, and of which there is only the sha256 of the value's JSON."""

    without: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()

    def redact(self, body: Any) -> Any:
        """Give a body without what is to be hidden: in rows, in columns, and in ``{columns, data}`` alike."""
        if not (self.without or self.hashed):
            return body
        if isinstance(body, list):
            return [self.redact(item) for item in body]
        if not isinstance(body, dict):
            return body
        names, data = body.get("columns"), body.get("data")
        if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
            return {**body, **self._split(names, data)}
        return {
            name: _hashes(value) if name in self.hashed else self.redact(value)
            for name, value in body.items()
            if name not in self.without
        }

    def _split(self, names: list[Any], data: list[list[Any]]) -> dict[str, Any]:
        kept = [at for at, name in enumerate(names) if name not in self.without]
        rows = [
            [_hashes(row[at]) if names[at] in self.hashed else row[at] for at in kept if at < len(row)] for row in data
        ]
        return {"columns": [names[at] for at in kept], "data": rows}


def _hashes(value: Any) -> Any:
    """Give the sha256 of a value, or of each value of a column."""
    if isinstance(value, list):
        return [_hashes(item) for item in value]
    return "sha256:" + hashlib.sha256(dump_json(value)).hexdigest()


@dataclass(frozen=True)
class Logged:
    """What all rows of one method of one envelope have alike."""

    source: Literal["online", "batch"]
    envelope_name: str
    envelope_digest: str
    signature_digest: str
    method: str
    run_id: str | None = None
    sampling_fraction: float = 1.0
    privacy: Privacy = Privacy()

    @classmethod
    def of(cls, envelope: EnvelopeFiles, method: str, source: Literal["online", "batch"], **more: Any) -> Logged:
        """Name an envelope and one of its methods."""
        signature = manifest.file_digest(envelope.path / "signature.json")
        return cls(source, envelope.description.name, envelope.digest, signature, method, **more)

    def row(
        self,
        request: Any,
        response: Any,
        *,
        request_id: str,
        time: datetime,
        milliseconds: float,
        status: int = 200,
        part: str | None = None,
        row: int | None = None,
        client_request_id: str | None = None,
        requester: str | None = None,
    ) -> dict[str, Any]:
        """Make a row of JSON values as the codec gives them; ``response`` is None where nothing was answered."""
        at = time.astimezone(UTC)
        answered = 200 <= status < 300
        return {
            "schema_version": VERSION,
            "request_id": request_id,
            "client_request_id": client_request_id,
            "request_time": at,
            "date": at.date(),
            "status_code": status,
            "execution_duration_ms": milliseconds,
            "sampling_fraction": self.sampling_fraction,
            "request": dump_json(self.privacy.redact(request)).decode(),
            "response": dump_json(self.privacy.redact(response)).decode() if answered else None,
            "requester": requester,
            "source": self.source,
            "envelope_name": self.envelope_name,
            "envelope_digest": self.envelope_digest,
            "signature_digest": self.signature_digest,
            "method": self.method,
            "run_id": self.run_id,
            "part": part,
            "row_index": row,
        }


def json_line(row: Mapping[str, Any]) -> bytes:
    """Write a row as one line of JSON, for those who have no pyarrow; times are ISO 8601."""
    document = {**row, "request_time": row["request_time"].isoformat(), "date": row["date"].isoformat()}
    return dump_json(document) + b"\n"


def arrow_schema() -> Any:
    """Give the log's Arrow schema; its metadata tell the version."""
    import pyarrow as pa

    types = {"timestamp": pa.timestamp("us", tz="UTC"), "date": pa.date32()}
    fields = [
        pa.field(name, types.get(kind) or getattr(pa, {"double": "float64"}.get(kind, kind))(), name in _MAY_BE_NULL)
        for name, kind in COLUMNS.items()
    ]
    return pa.schema(fields, metadata={"model_envelope.inference_log": str(VERSION)})


def arrow_rows(rows: Sequence[Mapping[str, Any]] | Iterable[Mapping[str, Any]]) -> Any:
    """Make an Arrow record batch of rows."""
    import pyarrow as pa

    return pa.RecordBatch.from_pylist(list(rows), schema=arrow_schema())
