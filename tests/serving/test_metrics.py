"""The metrics, as a parser of Prometheus reads them."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from handmade import make_envelope
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import EnvelopeError, Problem
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.runtime_digest import runtime_digest
from model_envelope.serving import metrics as module
from model_envelope.serving.cells import Cells
from model_envelope.serving.metrics import Metrics

OPEN_METRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"
ODD = 'a"b\\c\nd'
TABLE = s.Table(
    (
        s.Column("age", s.Scalar("int64"), "int64"),
        s.Column(ODD, s.Scalar("string"), TEXT_STORAGE),
        s.Column("tags", s.List(s.Scalar("string")), "object"),
    )
)
METHODS = {"predict": s.Method((s.Parameter("X", TABLE),), s.Any()), "score": s.Method((), s.Any())}


@pytest.fixture(scope="module")
def envelope(tmp_path_factory):
    return read_envelope(make_envelope(tmp_path_factory.mktemp("metrics"), "class Model: pass", METHODS, {}))


@pytest.fixture
def metrics(envelope):
    return Metrics(envelope, ["/livez"])


def scraped(metrics, accept="") -> dict:
    """Give `{(name, labels): value}` of every sample."""
    raw, media_type = metrics.exposition(accept)
    text = raw.decode()
    parse = openmetrics_parser if media_type.startswith("application/openmetrics") else parser
    samples = {}
    for family in parse.text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples


def value(samples, sample, /, **labels):
    return samples[sample, frozenset(labels.items())]


HTTP = "http_server_request_duration_seconds"


def http(verb="POST", status="200", route="/predict"):
    return {"http_request_method": verb, "http_response_status_code": status, "http_route": route}


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=0.0.4", OPEN_METRICS])
def test_requests_are_counted_in_the_histogram_that_every_dashboard_knows(metrics, accept):
    for seconds in (0.001, 0.005, 0.006, 3.0, 99.0):
        metrics.request("/predict", "POST", 200, seconds)
    metrics.request("/predict", "POST", 422, 0.002)
    samples = scraped(metrics, accept)
    buckets = {
        dict(labels)["le"]: found
        for (name, labels), found in samples.items()
        if name == f"{HTTP}_bucket" and dict(labels)["http_response_status_code"] == "200"
    }
    low = dict.fromkeys(("0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5"), 3)
    assert buckets == {"0.005": 2, "0.01": 3, **low, "5.0": 4, "7.5": 4, "10.0": 4, "+Inf": 5}
    assert value(samples, f"{HTTP}_count", **http()) == 5
    assert value(samples, f"{HTTP}_sum", **http()) == pytest.approx(102.012)
    assert value(samples, f"{HTTP}_count", **http(status="422")) == 1


def test_the_form_is_the_one_that_is_asked_for(metrics):
    raw, media_type = metrics.exposition(OPEN_METRICS)
    assert media_type.startswith("application/openmetrics-text; version=")
    assert raw.endswith(b"# EOF\n")
    raw, media_type = metrics.exposition("text/html,*/*")
    assert media_type.startswith("text/plain; version=0.0.4")
    assert b"# EOF" not in raw


def test_no_client_decides_how_many_series_there_are(metrics):
    metrics.request("/predict", "POST", 200, 0.1)
    before = len(scraped(metrics))
    for number in range(50):
        metrics.request(f"/wp-admin/{number}", "GET", 404, 0.1)
        metrics.request("", f"BREW{number}", 405, 0.1)
        metrics.refused(
            [Problem(f"$.X[0].zip{number}", "an unknown column", "none", "payload.unknown")],
            "predict",
            "payload.invalid",
        )
    samples = scraped(metrics)
    assert value(samples, f"{HTTP}_count", **http("GET", "404", "")) == 50
    assert value(samples, f"{HTTP}_count", **http("_OTHER", "405", "")) == 50
    assert value(samples, "envelope_refusals_total", column="", code="payload.unknown") == 50
    series_of_a_histogram = 17
    assert len(samples) == before + 2 * series_of_a_histogram + 1


def test_a_route_that_is_known_is_told_apart(metrics):
    metrics.request("/livez", "GET", 200, 0.1)
    metrics.request("/score", "POST", 200, 0.1)
    samples = scraped(metrics)
    assert value(samples, f"{HTTP}_count", **http("GET", "200", "/livez")) == 1
    assert value(samples, f"{HTTP}_count", **http("POST", "200", "/score")) == 1


def test_refusals_are_counted_by_column_and_code_once_a_request(metrics):
    bad = Problem("$.X[3].age", "a string", "an integer", "payload.type")
    metrics.refused(
        [bad, Problem("$.X[9].age", "a string", "an integer", "payload.type")], "predict", "payload.invalid"
    )
    metrics.refused([bad], "predict", "payload.invalid")
    metrics.refused([Problem(f"$.X[0].{ODD}", "null", "a string", "payload.null")], "predict", "payload.invalid")
    metrics.refused([Problem("$.X[0].tags[2]", "null", "a string", "payload.null")], "predict", "payload.invalid")
    metrics.refused([Problem("$", "a list", "an object", "payload.type")], "score", "payload.invalid")
    metrics.refused([], "predict", "payload.malformed")
    metrics.turned_away("request.too-large")
    for accept in ("", OPEN_METRICS):
        samples = scraped(metrics, accept)
        found = {
            (dict(labels)["column"], dict(labels)["code"]): count
            for (name, labels), count in samples.items()
            if name == "envelope_refusals_total"
        }
        assert found == {
            ("age", "payload.type"): 2,
            (ODD, "payload.null"): 1,
            ("tags", "payload.null"): 1,
            ("", "payload.type"): 1,
            ("", "payload.malformed"): 1,
            ("", "request.too-large"): 1,
        }


def test_beyond_some_thousands_of_columns_only_the_code_counts(metrics, monkeypatch):
    monkeypatch.setattr(module, "MOST_REFUSALS", 1)
    metrics.refused([Problem("$.X[3].age", "a string", "an integer", "payload.type")], "predict", "payload.invalid")
    metrics.refused([Problem("$.X[3].tags", "a string", "a list", "payload.type")], "predict", "payload.invalid")
    samples = scraped(metrics)
    assert value(samples, "envelope_refusals_total", column="age", code="payload.type") == 1
    assert value(samples, "envelope_refusals_total", column="", code="payload.type") == 1


def test_calls_batches_and_rows_of_the_model(metrics):
    metrics.called("predict", 0.002, requests=3, rows=40)
    metrics.called("predict", 0.02, requests=1, rows=1)
    samples = scraped(metrics)
    assert value(samples, "envelope_predict_rows_total", method="predict") == 41
    assert value(samples, "envelope_predict_duration_seconds_count", method="predict") == 2
    assert value(samples, "envelope_predict_duration_seconds_sum", method="predict") == pytest.approx(0.022)
    assert value(samples, "envelope_predict_batch_requests_sum", method="predict") == 4
    assert value(samples, "envelope_predict_batch_requests_bucket", method="predict", le="1.0") == 1
    assert value(samples, "envelope_predict_batch_rows_bucket", method="predict", le="64.0") == 2
    assert value(samples, "envelope_predict_rows_total", method="score") == 0, "a rate needs the zero before the first"


def test_what_goes_on_now_what_failed_and_what_was_checked(metrics):
    for change in (1, 1, -1):
        metrics.in_progress(change)
    metrics.queued(7)
    metrics.queued(5)
    metrics.failed("predict", "model.raised")
    metrics.checked(agrees=True)
    metrics.checked(agrees=True)
    metrics.checked(agrees=False)
    metrics.loaded(1.25)
    samples = scraped(metrics)
    assert value(samples, "envelope_requests_in_progress") == 1
    assert value(samples, "envelope_requests_waiting") == 5
    assert value(samples, "envelope_failures_total", method="predict", code="model.raised") == 1
    assert value(samples, "envelope_batch_checks_total", agrees="true") == 2
    assert value(samples, "envelope_batch_checks_total", agrees="false") == 1
    assert value(samples, "envelope_load_seconds") == 1.25


def test_which_model_answers(metrics, envelope):
    python = ".".join(map(str, sys.version_info[:3]))
    info = {"name": "scorer", "digest": envelope.digest, "runtime_digest": runtime_digest(), "python": python}
    assert value(scraped(metrics), "envelope_model_info", **info) == 1


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux tells it")
def test_what_the_process_costs(metrics):
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(Path(os.devnull).open())
        first = scraped(metrics)
    second = scraped(metrics)
    assert value(first, "process_open_fds") >= value(second, "process_open_fds") + 5
    assert value(second, "process_cpu_seconds_total") >= value(first, "process_cpu_seconds_total") > 0
    assert value(second, "process_resident_memory_bytes") > 10_000_000
    assert value(second, "process_max_fds") > value(second, "process_open_fds")
    assert value(second, "process_start_time_seconds") > 1.7e9


@settings(max_examples=30)
@given(st.lists(st.floats(0, 100), max_size=40))
def test_every_duration_is_in_the_buckets_that_bound_it(envelope, seconds):
    metrics = Metrics(envelope)
    for duration in seconds:
        metrics.request("/predict", "POST", 200, duration)
    for (name, labels), found in scraped(metrics).items():
        if name == f"{HTTP}_bucket":
            assert found == sum(duration <= float(dict(labels)["le"]) for duration in seconds)


def test_nothing_of_prometheus_is_imported_before_the_first_scrape():
    code = "import sys, model_envelope.serving.metrics; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_no_room_is_left_counting_goes_on_without_an_error():
    cells = Cells(capacity=2)
    first, second, third = cells.at(("a",)), cells.at(("b",)), cells.at(("c",), 100)
    cells.values[first] += 1
    cells.values[third + 99] += 1
    assert cells.at(("d",)) == third
    assert cells.read()[0].numbers == {("a",): (1.0,), ("b",): (0.0,)}
    assert second != first


WORKER = """
import json, os, sys
from pathlib import Path
from model_envelope.runtime.reading import read_envelope
from model_envelope.serving.metrics import Metrics

metrics = Metrics(read_envelope(Path(sys.argv[1])), folder=Path(sys.argv[2]), supervisor=os.getppid())
for line in sys.stdin:
    name, *arguments = json.loads(line)
    answer = getattr(metrics, name)(*arguments)
    print(json.dumps(answer[0].decode() if answer else None), flush=True)
"""


class Worker:
    """A process with metrics that does what it is told."""

    def __init__(self, envelope, folder):
        command = [sys.executable, "-c", WORKER, str(envelope.path), str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, name, *arguments):
        self.process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def exposition(self, accept=""):
        return self.do("exposition", accept).encode(), "text/plain"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@contextmanager
def working(envelope, folder):
    workers = []

    def start():
        workers.append(Worker(envelope, folder))
        return workers[-1]

    try:
        yield start
    finally:
        for worker in workers:
            worker.kill()


def test_any_worker_tells_of_all_and_of_those_that_were_killed(envelope, tmp_path):
    with working(envelope, tmp_path) as start:
        one, two, three = start(), start(), start()
        for number, worker in enumerate((one, two, three), 1):
            for _ in range(number):
                worker.do("request", "/predict", "POST", 200, 0.02)
            worker.do("in_progress", 1)
            worker.do("queued", 10 * number)
            worker.do("loaded", number / 2)
        two.do("failed", "predict", "model.raised")
        for worker in (one, three):
            samples = scraped(worker)
            assert value(samples, f"{HTTP}_count", **http()) == 6
            assert value(samples, f"{HTTP}_bucket", **http(), le="0.025") == 6
            assert value(samples, "envelope_requests_in_progress") == 3
            assert value(samples, "envelope_requests_waiting") == 60
            assert value(samples, "envelope_load_seconds") == 1.5
            assert value(samples, "envelope_failures_total", method="predict", code="model.raised") == 1
        for killed, (progress, waiting) in ((three, (2, 30)), (two, (1, 10))):
            killed.kill()
            samples = scraped(one)
            assert value(samples, f"{HTTP}_count", **http()) == 6, "what it counted is kept"
            assert value(samples, "envelope_requests_in_progress") == progress
            assert value(samples, "envelope_requests_waiting") == waiting
        assert value(samples, "envelope_load_seconds") == 0.5


def test_workers_that_die_again_and_again_leave_no_files_behind_and_no_count_is_lost(envelope, tmp_path):
    with working(envelope, tmp_path) as start:
        last = start()
        for _ in range(4):
            last.do("request", "/predict", "POST", 200, 0.02)
            last.do("refused", [], "predict", "payload.malformed")
            last.kill()
            last = start()
        samples = scraped(last)
        assert value(samples, f"{HTTP}_count", **http()) == 4
        assert value(samples, f"{HTTP}_sum", **http()) == pytest.approx(0.08)
        assert len(list(tmp_path.glob("*.cells"))) == len(list(tmp_path.glob("*.keys"))) == 1


def test_a_key_that_was_cut_off_by_a_death_is_left_out(envelope, tmp_path):
    with working(envelope, tmp_path) as start:
        dying, other = start(), start()
        dying.do("request", "/predict", "POST", 200, 0.02)
        dying.kill()
        (cut,) = tmp_path.glob(f"{dying.process.pid}-*.keys")
        cut.write_bytes(cut.read_bytes() + b'[90, 1, ["envelope_fai')
        assert value(scraped(other), f"{HTTP}_count", **http()) == 1
        assert value(scraped(start()), f"{HTTP}_count", **http()) == 1


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux tells it")
def test_the_cost_of_all_processes_never_becomes_less_cpu_when_one_dies(envelope, tmp_path):
    with working(envelope, tmp_path) as start:
        one, two = start(), start()
        two.do("queued", 0)  # from then on it is there
        both = scraped(one)
        two.kill()
        alone = scraped(one)
        assert value(alone, "process_cpu_seconds_total") >= value(both, "process_cpu_seconds_total")
        assert value(alone, "process_open_fds") < value(both, "process_open_fds")
        assert value(alone, "process_max_fds") < value(both, "process_max_fds")


def test_a_scrape_in_another_thread_meets_new_series(metrics):
    with ThreadPoolExecutor(1) as pool:
        scrapes = pool.submit(lambda: [len(scraped(metrics)) for _ in range(5)])
        for status in range(400, 600):
            metrics.request("/predict", "POST", status, 0.1)
        sizes = scrapes.result(60)
    assert sizes == sorted(sizes)
    assert value(scraped(metrics), f"{HTTP}_count", **http(status="599")) == 1


def test_a_folder_that_cannot_be_used_is_said(envelope, tmp_path):
    with pytest.raises(EnvelopeError) as caught:
        Metrics(envelope, folder=tmp_path / "missing")
    assert caught.value.code == "serve.metrics-folder"
