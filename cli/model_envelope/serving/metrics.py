"""What Prometheus reads: requests, calls of the model, batches, refusals, and what the processes cost.

A request costs no more than a few additions in :mod:`~model_envelope.serving.cells`; prometheus_client, which takes
longer to import than the rest of the service, is imported by the first scrape and only writes the exposition.

All that can become a label is known beforehand, so that no client decides how many series there are: paths are those of
the routes, verbs those of HTTP, columns those of the signature.
"""

from __future__ import annotations

import os
import platform
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isinf
from pathlib import Path
from typing import TYPE_CHECKING

from model_envelope.runtime.errors import Problem
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.runtime_digest import runtime_digest
from model_envelope.serving import processes
from model_envelope.serving.cells import Cells, Key, Numbers, Reading, added
from model_envelope.serving.problems import columns_of, locate

if TYPE_CHECKING:
    from prometheus_client.core import Metric

VERBS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
OTHER_VERB = "_OTHER"
MOST_REFUSALS = 5000
"""Pairs of column and code that are counted apart; what comes later counts without its column."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""As OpenTelemetry has them for HTTP."""
_CALL_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REQUESTS = tuple(float(2**power) for power in range(11))
_ROWS = tuple(float(2**power) for power in range(0, 21, 2))


@dataclass(frozen=True)
class _Series:
    """One metric: a histogram where it has bounds; a gauge is of what lives now, a counter of all that ever was."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    gauge: bool = False

    @property
    def width(self) -> int:
        """How many numbers it takes: of a histogram one a bucket, one for what is above all, and the sum."""
        return len(self.bounds) + 2 if self.bounds else 1


_REQUEST = _Series(
    "http_server_request_duration_seconds",
    "Duration of HTTP requests, until the last byte of the answer was handed on.",
    ("http_request_method", "http_response_status_code", "http_route"),
    _SECONDS,
)
_IN_PROGRESS = _Series("envelope_requests_in_progress", "Requests that were begun and not answered yet.", gauge=True)
_WAITING = _Series("envelope_requests_waiting", "Requests that wait for the model.", gauge=True)
_CALL = _Series("envelope_predict_duration_seconds", "Duration of calls of the model.", ("method",), _CALL_SECONDS)
_CALL_ROWS = _Series("envelope_predict_rows", "Rows that the model was asked about.", ("method",))
_BATCH_ROWS = _Series("envelope_predict_batch_rows", "Rows of one call of the model.", ("method",), _ROWS)
_BATCH_REQUESTS = _Series(
    "envelope_predict_batch_requests", "Requests that were answered by one call of the model.", ("method",), _REQUESTS
)
_REFUSALS = _Series(
    "envelope_refusals",
    "Requests that were refused, by what was wrong: one with several problems counts for each column and code once.",
    ("column", "code"),
)
_FAILURES = _Series(
    "envelope_failures", "Requests that the model failed on, or answered as its signature forbids.", ("method", "code")
)
_CHECKS = _Series(
    "envelope_batch_checks",
    "Answers given together that were computed again alone, and whether they agree.",
    ("agrees",),
)
_DROPPED = _Series(
    "envelope_log_dropped", "Requests that are not in the inference log, since it could not keep up or be written."
)
_LOADING = _Series("envelope_load_seconds", "Seconds that the model took to load, in the slowest worker.", gauge=True)
_ALL = (
    *(_REQUEST, _IN_PROGRESS, _WAITING, _CALL, _CALL_ROWS, _BATCH_ROWS),
    *(_BATCH_REQUESTS, _REFUSALS, _FAILURES, _CHECKS, _DROPPED, _LOADING),
)


class Metrics:
    """The metrics of one process, and in :meth:`exposition` those of all workers together.

    What is counted here is counted by one thread each: requests by that of the event loop, calls by whichever makes
    them. ``routes`` are the paths that are told apart, those of the methods among them. ``folder`` is where the workers
    of ``supervisor``, a process id, keep what they count; it must be empty when the supervisor starts.
    """

    def __init__(
        self,
        envelope: EnvelopeFiles,
        routes: Iterable[str] = (),
        *,
        folder: Path | None = None,
        supervisor: int | None = None,
    ) -> None:
        self._envelope = envelope
        self._supervisor = supervisor
        self._cpu = 0.0
        self._methods = envelope.signature.methods
        self._routes = frozenset({*routes, *(f"/{name}" for name in self._methods)})
        self._columns = {name: columns_of(method) for name, method in self._methods.items()}
        self._cells = Cells(folder)
        self._values = self._cells.values
        self._requests: dict[tuple[str, str, int], int] = {}
        self._refusals: dict[tuple[str, str], int] = {}
        self._in_progress = self._at(_IN_PROGRESS)
        self._waiting = self._at(_WAITING)
        self._dropped = self._at(_DROPPED)
        self._checks = {agrees: self._at(_CHECKS, str(agrees).lower()) for agrees in (True, False)}
        self._calls = {
            name: tuple(self._at(series, name) for series in (_CALL, _BATCH_REQUESTS, _BATCH_ROWS, _CALL_ROWS))
            for name in self._methods
        }

    def request(self, route: str, verb: str, status: int, seconds: float) -> None:
        """Count a request that was answered; ``route`` is empty where there is none for its path."""
        at = self._requests.get((route, verb, status))
        if at is None:
            at = self._request_at(route, verb, status)
        values = self._values
        values[at + bisect_left(_SECONDS, seconds)] += 1
        values[at + len(_SECONDS) + 1] += seconds

    def in_progress(self, change: int) -> None:
        """Count a request that begins (1) or was answered (-1)."""
        self._values[self._in_progress] += change

    def queued(self, requests: int) -> None:
        """Say how many requests wait for the model now."""
        self._values[self._waiting] = requests

    def called(self, method: str, seconds: float, requests: int, rows: int) -> None:
        """Count one call of the model, which answered so many requests with so many rows together."""
        call, batch_requests, batch_rows, all_rows = self._calls[method]
        values = self._values
        values[call + bisect_left(_CALL_SECONDS, seconds)] += 1
        values[call + len(_CALL_SECONDS) + 1] += seconds
        values[batch_requests + bisect_left(_REQUESTS, requests)] += 1
        values[batch_requests + len(_REQUESTS) + 1] += requests
        values[batch_rows + bisect_left(_ROWS, rows)] += 1
        values[batch_rows + len(_ROWS) + 1] += rows
        values[all_rows] += rows

    def refused(self, problems: Sequence[Problem], method: str, code: str) -> None:
        """Count a request that does not fit the signature of a method: by ``code`` where none is named."""
        for column, found in {(self._column(problem, method), problem.code) for problem in problems} or {("", code)}:
            self._refuse(column, found)

    def turned_away(self, code: str) -> None:
        """Count a request that was refused for something else than its values: its size, its form, a full queue."""
        self._refuse("", code)

    def failed(self, method: str, code: str) -> None:
        """Count a request that the model raised on, or answered as its signature forbids."""
        self._values[self._at(_FAILURES, method, code)] += 1

    def dropped(self) -> None:
        """Count a request that is not in the inference log."""
        self._values[self._dropped] += 1

    def checked(self, *, agrees: bool) -> None:
        """Count an answer of a batch that was computed again alone."""
        self._values[self._checks[agrees]] += 1

    def loaded(self, seconds: float) -> None:
        """Say how long the model took to load."""
        self._values[self._at(_LOADING)] = seconds

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Write the metrics of all workers as the ``Accept`` header asks, and give its media type too.

        The first time it takes as long as an import, and always a few milliseconds: call it beside the event loop.
        """
        from prometheus_client.exposition import choose_encoder

        encode, media_type = choose_encoder(accept)
        return encode(_Collector(self)), media_type

    def families(self) -> Iterator[Metric]:
        """Give all metrics as prometheus_client has them."""
        from prometheus_client.core import InfoMetricFamily

        told = {
            "name": self._envelope.description.name,
            "digest": self._envelope.digest,
            "runtime_digest": runtime_digest(),
            "python": platform.python_version(),
        }
        yield InfoMetricFamily("envelope_model", "The model that answers.", told)
        readings = self._cells.read()
        numbers = _together(readings)
        for series in _ALL:
            yield _family(series, {key[1:]: values for key, values in numbers.items() if key[0] == series.name})
        living = {os.getpid(), *(reading.pid for reading in readings if reading.pid is not None)}
        cost = processes.together(living, self._supervisor)
        if cost is not None:
            # The kernel rounds what the living and the ended have used each for itself.
            self._cpu = max(self._cpu, cost.cpu)
            yield from _costs(replace(cost, cpu=self._cpu))

    def _at(self, series: _Series, *labels: str) -> int:
        return self._cells.at((series.name, *labels), series.width)

    def _request_at(self, route: str, verb: str, status: int) -> int:
        known_route = route if route in self._routes else ""
        known_verb = verb if verb in VERBS else OTHER_VERB
        at = self._at(_REQUEST, known_verb, str(status), known_route)
        if (known_route, known_verb) == (route, verb):
            self._requests[route, verb, status] = at
        return at

    def _refuse(self, column: str, code: str) -> None:
        at = self._refusals.get((column, code))
        if at is None:
            if len(self._refusals) >= MOST_REFUSALS:
                column = ""
            at = self._refusals[column, code] = self._at(_REFUSALS, column, code)
        self._values[at] += 1

    def _column(self, problem: Problem, method: str) -> str:
        """Give the column of the signature that a problem is in, empty where it is in none of them."""
        found, known = locate(problem.path, self._methods[method])[2] or "", self._columns[method]
        if found in known:
            return found
        inside = (name for name in known if found.startswith((f"{name}.", f"{name}[")))
        return max(inside, key=len, default="")


class _Collector:
    """What prometheus_client asks for its metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self.collect = metrics.families


def _together(readings: Iterable[Reading]) -> Numbers:
    """Put the numbers of all processes together: counters of all, gauges only of those that live."""
    gauges = {series.name for series in _ALL if series.gauge}
    numbers: Numbers = {}
    slowest: dict[Key, tuple[float, ...]] = {}
    for reading in readings:
        for key, values in reading.numbers.items():
            if key[0] == _LOADING.name and reading.pid is not None:
                slowest[key] = max(values, slowest.get(key, values))
        counted = {
            key: values
            for key, values in reading.numbers.items()
            if key[0] != _LOADING.name and (reading.pid is not None or key[0] not in gauges)
        }
        numbers = added(numbers, counted)
    return {**numbers, **slowest}


def _family(series: _Series, numbers: Numbers) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if not series.bounds:
        kind = GaugeMetricFamily if series.gauge else CounterMetricFamily
        plain = kind(series.name, series.help, labels=series.labels)
        for labels, values in sorted(numbers.items()):
            plain.add_metric(labels, values[0])
        return plain
    histogram = HistogramMetricFamily(series.name, series.help, labels=series.labels)
    for labels, values in sorted(numbers.items()):
        count, buckets = 0.0, []
        for bound, found in zip((*series.bounds, inf), values, strict=False):
            count += found
            buckets.append(("+Inf" if isinf(bound) else str(bound), count))
        histogram.add_metric(labels, buckets, values[-1])
    return histogram


def _costs(cost: processes.Cost) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield CounterMetricFamily("process_cpu_seconds", "User and system CPU seconds of all processes.", value=cost.cpu)
    yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory of all processes.", value=cost.memory)
    yield GaugeMetricFamily("process_open_fds", "Open file descriptors of all processes.", value=cost.open_files)
    yield GaugeMetricFamily("process_max_fds", "How many all processes may have.", value=cost.most_files)
    yield GaugeMetricFamily("process_start_time_seconds", "When it was started, since 1970.", value=cost.started)
