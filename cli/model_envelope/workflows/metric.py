"""Adds metrics to an envelope's ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_envelope.runtime.reading import read_envelope
from model_envelope.store.ledger import append_metrics, read_ledger


@dataclass(frozen=True)
class MetricResult:
    """The latest value of every metric, and the names of those that this call corrected."""

    path: Path
    digest: str
    metrics: Mapping[str, float]
    corrected: tuple[str, ...]


def metric(envelope: Path, *, metrics: Mapping[str, float]) -> MetricResult:
    """Add metrics, or correct them: the latest value is shown, the history is kept. The digest stays.

    Raises ``InvalidEnvelope`` where the folder is none.
    """
    files = read_envelope(envelope)
    before = read_ledger(files.path).metrics
    append_metrics(files.path, metrics)
    after = read_ledger(files.path).metrics
    corrected = tuple(sorted(name for name in metrics if name in before and before[name] != after[name]))
    return MetricResult(files.path, files.digest, after, corrected)
