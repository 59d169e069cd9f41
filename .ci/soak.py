"""Ask the service at full load for minutes, and hold every answer against what it must be: `make soak`.

32 clients ask without a pause: mostly one row, some 1,000 rows, CSV, and requests that must be refused. The right
answers come from the model itself, in the process of the clients. It fails with the first answer that is another than
expected, where the service's memory grows from the first third of the measured time to the last one, where files stay
open, and where the service does not end with 0 when it is told to.
"""

import argparse
import json
import os
import pickle
import random
import signal
import statistics
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import load
from bench_models import flights, pack_flights

CLIENTS = 32
ROWS = 1000
DIFFERENT = 200
WARM_UP = 0.2
"""The part of the time after which memory is measured: buffers and caches have their size by then."""

GROWTH = 6.0
"""MB by which memory may differ between the first third and the last one: what the allocator does."""


@dataclass(frozen=True)
class Case:
    """A request, how often it is sent in comparison with others, and what must come back."""

    kind: str
    weight: float
    message: bytes
    status: int
    answer: object = None
    code: str = ""


@dataclass
class Watch:
    """Counts the answers, and samples the memory of the service."""

    cases: Sequence[Case]
    server: load.Server
    seen: Counter[str] = field(default_factory=Counter)
    resident: list[float] = field(default_factory=list)

    def check(self, number: int, status: int, body: bytes) -> None:
        """Count an answer; end it all with one that is wrong."""
        case = self.cases[number]
        self.seen[case.kind] += 1
        if status != case.status:
            sys.exit(f"{case.kind}: answered with {status}, expected {case.status}: {body[:500]!r}")
        if status == 200:
            given = body.decode() if case.kind.endswith("CSV") else json.loads(body)
            if given != case.answer:
                sys.exit(f"{case.kind}: a wrong answer: {body[:200]!r}, expected {str(case.answer)[:200]}")
        elif json.loads(body)["code"] != case.code:
            sys.exit(f"{case.kind}: refused as {json.loads(body)['code']}, expected {case.code}")

    def sample(self) -> None:
        """Note how much memory the service has."""
        self.resident.append(self.server.memory()[0])

    def growth(self) -> tuple[float, float]:
        """Give the median of memory in the first third after the warm-up and in the last third, in MB."""
        measured = self.resident[int(len(self.resident) * WARM_UP) :]
        third = max(1, len(measured) // 3)
        return statistics.median(measured[:third]), statistics.median(measured[-third:])


def main() -> None:
    """Serve, ask, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long to ask (%(default)s)")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="how many ask at once (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of requests (%(default)s)")
    arguments = parser.parse_args()
    server_core, client_core = load.cores()
    with tempfile.TemporaryDirectory(prefix="envelope-soak-") as scratch:
        model, envelope = pack_flights(Path(scratch, "flights"))
        os.sched_setaffinity(0, {client_core})
        with load.service(envelope, server_core, Path(scratch, "service.log")) as server:
            watch = Watch(every_case(model, server.port), server)
            chance = random.Random(arguments.seed)
            order = chance.choices(range(len(watch.cases)), [case.weight for case in watch.cases], k=100_003)
            files = open_files(server)
            seen = load.ask(
                server.port,
                [case.message for case in watch.cases],
                arguments.clients,
                arguments.seconds,
                warm_up=0,
                check=watch.check,
                choose=lambda asked: order[asked % len(order)],
                every_second=watch.sample,
            )
            tell(watch, seen)
            hold(watch, files)
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(load.PATIENCE)
        if code:
            sys.exit(f"The service ended with {code}:\n{Path(scratch, 'service.log').read_text()[-2000:]}")
        faults = [line for line in Path(scratch, "service.log").read_text().splitlines() if "Traceback" in line]
        if faults:
            sys.exit(f"The log has {len(faults)} stack traces, the first one:\n{faults[0][:2000]}")
    print("No error, no wrong answer, no growth")


def every_case(model_path: Path, port: int) -> list[Case]:
    """Make the requests, and the right answers from the model itself."""
    frame = flights(max(DIFFERENT, 2 * ROWS), seed=4)
    answers = pickle.loads(model_path.read_bytes()).predict(frame).tolist()
    rows = frame.to_dict("records")

    def post(document: object, kind: str = "application/json") -> bytes:
        return load.request("/predict", json.dumps(document).encode(), kind)

    cases = [Case("one row", 0.8 / DIFFERENT, post({"X": [rows[at]]}), 200, [answers[at]]) for at in range(DIFFERENT)]
    for at in (0, ROWS):
        part = slice(at, at + ROWS)
        cases.append(Case("1,000 rows", 0.02, post({"X": rows[part]}), 200, answers[part]))
    row = rows[0]
    without = {name: value for name, value in row.items() if name != "month"}
    refused = {
        "a missing column": {"X": [without]},
        "an unknown column": {"X": [{**row, "zip": 8010}]},
        "text for a float": {"X": [{**row, "distance": "far"}]},
        "a bad row among good ones": {"X": [*rows[1:50], {**row, "month": 3.7}]},
        "no parameter": {},
    }
    cases += [Case(name, 0.02, post(document), 422, code="payload.invalid") for name, document in refused.items()]
    malformed = load.request("/predict", b'{"X": [{"carrier": "UA",')
    cases.append(Case("malformed JSON", 0.02, malformed, 400, code="payload.malformed"))
    cases.append(Case("another media type", 0.01, post({}, "image/png"), 415, code="request.media-type"))
    sheet = load.request("/predict", frame.head(20).to_csv(index=False).encode(), "text/csv", "text/csv")
    status, body = load.ask_once(port, sheet)
    if status == 415:
        print("CSV is not spoken yet, and left out")
        return cases
    lines = body.decode().split()
    if [int(line) for line in lines[1:]] != answers[:20]:
        sys.exit(f"20 rows as CSV: a wrong answer: {status} {body[:500]!r}")
    return [*cases, Case("20 rows as CSV", 0.05, sheet, 200, body.decode())]


def open_files(server: load.Server) -> int:
    """Count what the service has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def tell(watch: Watch, seen: load.Seen) -> None:
    """Print what was asked, how fast it was answered, and the service's memory."""
    for kind, count in watch.seen.most_common():
        print(f"{kind:30}{count:>10,}")
    print(f"{'together':30}{sum(watch.seen.values()):>10,}   {seen.rate:,.0f} a second, ", end="")
    parts = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    print(", ".join(f"{name} {seen.percentile(part) * 1000:.1f} ms" for name, part in parts.items()))
    first, last = watch.growth()
    print(
        f"memory {first:.1f} MB in the first third, {last:.1f} MB in the last one, {max(watch.resident):.1f} MB at most"
    )


def hold(watch: Watch, files_before: int) -> None:
    """End with what must not be: growth, files that stay open, and a service that is not ready any more."""
    first, last = watch.growth()
    if last - first > GROWTH:
        sys.exit(f"Memory grew by {last - first:.1f} MB")
    if (files := open_files(watch.server)) > files_before + 5:
        sys.exit(f"{files - files_before} more files are open than before")
    with urllib.request.urlopen(f"http://{load.HOST}:{watch.server.port}/readyz", timeout=load.PATIENCE) as response:
        assert response.status == 200
    with urllib.request.urlopen(f"http://{load.HOST}:{watch.server.port}/metrics", timeout=load.PATIENCE) as response:
        for line in response.read().decode().splitlines():
            name, _, value = line.rpartition(" ")
            wrong = name.startswith("envelope_failures_total") or 'agrees="false"' in name
            if wrong and float(value) > 0:
                sys.exit(f"The service counted something wrong: {line}")


if __name__ == "__main__":
    main()
