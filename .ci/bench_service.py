"""Measure the service beside a FastAPI app that was written by hand, in one run: `make bench-service`.

The same model file, uvicorn with uvloop and httptools for both, one core for the server and another for the client, one
thread for numeric libraries. Both write a line for each request, as both do unless told otherwise;
`--no-access-log` has neither write them, which is harder for the service: uvicorn's lines cost more than its own.
Both servers are there all the time and are asked in turns; a ratio is the median of the rounds' ratios, and absolute
figures are medians, of this machine at that moment.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import load
import pandas as pd
import pyarrow as pa
from bench_models import flights, pack_adder, pack_flights

ROWS = 1000
DIFFERENT = 64
"""Different requests of one row; of 1,000 rows there are a few."""

LIMIT = """
import pickle, sys, time
import pandas as pd
model = pickle.load(open(sys.argv[1], "rb"))
samples = pd.read_parquet(sys.argv[2])
frames = {1: samples.head(1), 1000: samples.head(1000)}
for rows in (1, 1000):
    model.predict(frames[rows])
print("ready", flush=True)
for line in sys.stdin:
    rows, seconds = line.split()
    frame, seconds = frames[int(rows)], float(seconds)
    began, calls = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds:
        model.predict(frame)
        calls += 1
    print(calls / taken, flush=True)
"""
"""Predicts in a process of its own as often as it can, on rows that are ready."""

LOADS = "import pickle, sys; model = pickle.load(open(sys.argv[1], 'rb')); print('ready', flush=True); sys.stdin.read()"


@dataclass(frozen=True)
class Goal:
    """What is to be reached: at most, or at least, so much."""

    bound: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"

    def reached(self, found: float) -> bool:
        """Say whether it is reached."""
        return found <= self.bound if self.at_most else found >= self.bound


@dataclass
class Table:
    """The lines of the outcome, as Markdown."""

    missed: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Print the head."""
        self._row("", "written by hand", "service", "ratio", "goal", "reached")
        print(f"|{'-' * 52}|{'-' * 18}:|{'-' * 18}:|{'-' * 7}:|{'-' * 8}:|{'-' * 9}|", flush=True)

    def line(self, name: str, theirs: str, ours: str, found: float, goal: Goal, form: str = ".2f") -> None:
        """Print an outcome and its goal."""
        reached = goal.reached(found)
        if not reached:
            self.missed.append(name)
        self._row(name, theirs, ours, f"{found:{form}}", str(goal), "yes" if reached else "**no**")

    def note(self, name: str, theirs: str = "", ours: str = "") -> None:
        """Print figures that have no goal."""
        self._row(name, theirs, ours, "", "", "")

    @staticmethod
    def _row(name: str, theirs: str, ours: str, ratio: str, goal: str, reached: str) -> None:
        print(f"| {name:50} | {theirs:>17} | {ours:>17} | {ratio:>6} | {goal:>7} | {reached:7} |", flush=True)


@dataclass(frozen=True)
class Measurement:
    """Which cores are used, how often and how long is measured, and what the servers are told about logging."""

    server_core: int
    rounds: int
    seconds: float
    access_log: bool
    scratch: Path

    def service(self, envelope: Path) -> load.service:
        """Start the service of an envelope."""
        options = [] if self.access_log else ["--log-level", "warning"]
        return load.service(envelope, self.server_core, self.scratch / "service.log", *options)

    def handwritten(self, app: str, model: Path) -> load.handwritten:
        """Start a hand-written app."""
        options = [] if self.access_log else ["--no-access-log", "--log-level", "warning"]
        return load.handwritten(app, model, self.server_core, self.scratch / f"{app}.log", *options)

    def turns(
        self, first: Callable[[], load.Seen], second: Callable[[], load.Seen]
    ) -> tuple[list[load.Seen], list[load.Seen]]:
        """Ask two servers in turns; what comes first changes."""
        ones, others = [], []
        for turn in range(self.rounds):
            if turn % 2:
                others.append(second())
                ones.append(first())
            else:
                ones.append(first())
                others.append(second())
        return ones, others


def main() -> None:
    """Measure all, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is measured (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each time (%(default)s)")
    parser.add_argument(
        "--access-log",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="have both servers, or neither, log each request",
    )
    arguments = parser.parse_args()
    server_core, client_core = load.cores()
    with tempfile.TemporaryDirectory(prefix="envelope-bench-") as scratch:
        measurement = Measurement(server_core, arguments.rounds, arguments.seconds, arguments.access_log, Path(scratch))
        model, envelope = pack_flights(Path(scratch, "flights"))
        adder, adder_envelope = pack_adder(Path(scratch, "adder"))
        os.sched_setaffinity(0, {client_core})
        table = Table()
        table.begin()
        ask_flights(measurement, table, model, envelope)
        ask_adder(measurement, table, adder, adder_envelope)
        starts(measurement, table, model, envelope)
        memory(measurement, table, model, envelope)
    logs = "each logs every request" if arguments.access_log else "neither logs requests"
    print(
        f"\n{arguments.rounds} rounds of {arguments.seconds:g} s; {logs}; "
        f"the server on core {server_core}, the client on {client_core}"
    )
    print(f"Not reached: {', '.join(table.missed)}" if table.missed else "All goals are reached")


def ask_flights(measurement: Measurement, table: Table, model: Path, envelope: Path) -> None:
    """Compare requests of one row and of 1,000 rows to the model of flights."""
    frame = flights(max(DIFFERENT, 4 * ROWS), seed=2)
    rows = frame.to_dict("records")
    one = [{**row} for row in rows[:DIFFERENT]]
    many = [rows[at : at + ROWS] for at in range(0, 4 * ROWS, ROWS)]
    parts = [frame[at : at + ROWS] for at in range(0, 4 * ROWS, ROWS)]
    seconds = measurement.seconds
    with ExitStack() as stack:
        ours = stack.enter_context(measurement.service(envelope)).port
        theirs = stack.enter_context(measurement.handwritten("flights", model)).port
        limit = stack.enter_context(in_process(measurement, model))
        their_one = [load.request("/predict", dump(row)) for row in one]
        our_one = [load.request("/predict", dump({"X": [row]})) for row in one]
        same(theirs, their_one, ours, our_one)

        by_hand, by_us = measurement.turns(
            partial(load.ask, theirs, their_one, 1, seconds), partial(load.ask, ours, our_one, 1, seconds)
        )
        found = ratio(by_us, by_hand, lambda seen: seen.percentile(0.5))
        table.line("one row, 1 client: p50", p50(by_hand), p50(by_us), found, Goal(0.95, at_most=True))
        table.note("one row, 1 client: requests/s", rate(by_hand), rate(by_us))

        by_hand, by_us = measurement.turns(
            partial(load.ask, theirs, their_one, 32, seconds), partial(load.ask, ours, our_one, 32, seconds)
        )
        table.line("one row, 32 clients: requests/s", rate(by_hand), rate(by_us), ratio(by_us, by_hand), Goal(6))
        tail = statistics.median(
            our.percentile(0.99) / their.percentile(0.5) for our, their in zip(by_us, by_hand, strict=True)
        )
        shown = milliseconds(statistics.median(seen.percentile(0.99) for seen in by_us))
        table.line("one row, 32 clients: p99, and its p50", p50(by_hand), shown, tail, Goal(1, at_most=True))
        alone = statistics.median(limit(1, seconds) for _ in range(measurement.rounds))
        table.note("one row that is ready, predict alone: calls/s", ours=f"{alone:,.0f}")

        their_many = [load.request("/predict_many", dump(part)) for part in many]
        our_many = [load.request("/predict", dump({"X": part})) for part in many]
        by_hand, by_us = measurement.turns(
            partial(load.ask, theirs, their_many, 4, seconds), partial(load.ask, ours, our_many, 4, seconds)
        )
        found = ratio(by_us, by_hand)
        table.line("1,000 rows as JSON, 4 clients: requests/s", rate(by_hand), rate(by_us), found, Goal(3.6))
        ask_arrow(measurement, table, ours, parts, limit)


def ask_arrow(
    measurement: Measurement,
    table: Table,
    port: int,
    parts: Sequence[pd.DataFrame],
    limit: Callable[[int, float], float],
) -> None:
    """Compare requests of 1,000 rows as Arrow with predicting alone, in the same process that only does that."""
    name, goal = "1,000 rows as Arrow, 4 clients: of the limit", Goal(0.85)
    requests = [load.request("/predict", arrow_stream(part), load.ARROW, load.ARROW) for part in parts]
    status, body = load.ask_once(port, requests[0])
    if status == 415:
        table.missed.append(name)
        table.note(name, ours="not spoken yet")
        return
    if status != 200:
        sys.exit(f"Arrow was answered with {status}: {body[:500]!r}")
    rates, limits = [], []
    for _ in range(measurement.rounds):
        limits.append(limit(ROWS, measurement.seconds))
        rates.append(load.ask(port, requests, 4, measurement.seconds).rate)
    found = statistics.median(our / bound for our, bound in zip(rates, limits, strict=True))
    table.line(name, "", f"{statistics.median(rates):,.1f}", found, goal)
    table.note("1,000 rows that are ready, predict alone: calls/s", ours=f"{statistics.median(limits):,.1f}")


def ask_adder(measurement: Measurement, table: Table, model: Path, envelope: Path) -> None:
    """Compare requests to a model that costs nothing."""
    requests = [
        load.request("/predict", dump({"a": at / 7, "b": 2.0, "c": -3.5, "d": at * 1.5})) for at in range(DIFFERENT)
    ]
    with measurement.service(envelope) as ours, measurement.handwritten("adder", model) as theirs:
        same(theirs.port, requests, ours.port, requests)
        for clients, goal in ((1, 1.2), (32, 2)):
            by_hand, by_us = measurement.turns(
                partial(load.ask, theirs.port, requests, clients, measurement.seconds),
                partial(load.ask, ours.port, requests, clients, measurement.seconds),
            )
            name = f"a costless model, {clients} client{'s' * (clients > 1)}: requests/s"
            table.line(name, rate(by_hand), rate(by_us), ratio(by_us, by_hand), Goal(goal))


def starts(measurement: Measurement, table: Table, model: Path, envelope: Path) -> None:
    """Compare the time from the start of the process to the first answer; bytecode is cached for both by then."""
    row = flights(1).to_dict("records")[0]
    by_hand, by_us = load.request("/predict", dump(row)), load.request("/predict", dump({"X": [row]}))

    def first_answer(start: Callable[[], load.service], message: bytes) -> float:
        began = time.perf_counter()
        with start() as server:
            status, _ = load.ask_once(server.port, message)
            taken = time.perf_counter() - began
        assert status == 200
        return taken

    theirs, ours = [], []
    for _ in range(measurement.rounds):
        theirs.append(first_answer(lambda: measurement.handwritten("flights", model), by_hand))
        ours.append(first_answer(lambda: measurement.service(envelope), by_us))
    found = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
    table.line(
        "from start to the first answer",
        f"{statistics.median(theirs):.2f} s",
        f"{statistics.median(ours):.2f} s",
        found,
        Goal(1.2, at_most=True),
    )


def memory(measurement: Measurement, table: Table, model: Path, envelope: Path) -> None:
    """Compare memory, after the start and after requests, with that of a process that only loads the model."""
    rows = flights(ROWS, seed=3).to_dict("records")
    shown = {}
    with only_loads(measurement, model) as bare:
        shown["only loads"] = load.memory(bare)
    for name, start, message in (
        ("theirs", lambda: measurement.handwritten("flights", model), load.request("/predict_many", dump(rows))),
        ("ours", lambda: measurement.service(envelope), load.request("/predict", dump({"X": rows}))),
    ):
        with start() as server:
            shown[f"{name}, started"] = server.memory()
            load.ask(server.port, [message], 4, 2 * measurement.seconds)
            shown[f"{name}, after"] = server.memory()
    table.note("memory of a process that only loads the model", ours=megabytes(shown["only loads"]))
    table.note(
        "memory after the start, and PSS", megabytes(shown["theirs, started"]), megabytes(shown["ours, started"])
    )
    above = shown["ours, after"][0] - shown["only loads"][0]
    name = "memory after requests, MB above loading alone"
    theirs, ours = megabytes(shown["theirs, after"]), megabytes(shown["ours, after"])
    table.line(name, theirs, ours, above, Goal(60, at_most=True), form=".0f")


@contextmanager
def in_process(measurement: Measurement, model: Path) -> Iterator[Callable[[int, float], float]]:
    """Start a process on the server's core that predicts alone when asked; give what asks it for calls a second."""
    samples = measurement.scratch / "limit.parquet"
    flights(ROWS, seed=2).to_parquet(samples)
    command = [sys.executable, "-c", LIMIT, str(model), str(samples)]
    process = load.begin(
        command,
        measurement.server_core,
        load.environment(),
        measurement.scratch / "limit.log",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def calls(rows: int, seconds: float) -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{rows} {seconds}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    with load.ended(process):
        assert process.stdout is not None
        process.stdout.readline()
        yield calls


@contextmanager
def only_loads(measurement: Measurement, model: Path) -> Iterator[int]:
    """Start a process that loads the model and waits; give its id."""
    process = load.begin(
        [sys.executable, "-c", LOADS, str(model)],
        measurement.server_core,
        load.environment(),
        measurement.scratch / "loads.log",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with load.ended(process):
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def same(theirs: int, their_requests: Sequence[bytes], ours: int, our_requests: Sequence[bytes]) -> None:
    """Hold the answers of both against each other: they must say the same before they are timed."""
    for by_hand, by_us in zip(their_requests, our_requests, strict=True):
        (status, expected), (our_status, answer) = load.ask_once(theirs, by_hand), load.ask_once(ours, by_us)
        said = json.loads(answer)
        said = said[0] if isinstance(said, list) else said
        if (status, our_status) != (200, 200) or said != json.loads(expected):
            sys.exit(f"The answers differ: {status} {expected!r} by hand, {our_status} {answer!r} by the service")


def dump(document: object) -> bytes:
    """Write JSON as clients do."""
    return json.dumps(document).encode()


def arrow_stream(frame: pd.DataFrame) -> bytes:
    """Write a table as an Arrow IPC stream."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def ratio(
    ours: Sequence[load.Seen], theirs: Sequence[load.Seen], of: Callable[[load.Seen], float] = lambda seen: seen.rate
) -> float:
    """Give the median of the ratios of the rounds."""
    return statistics.median(of(one) / of(other) for one, other in zip(ours, theirs, strict=True))


def p50(seen: Sequence[load.Seen]) -> str:
    """Give the median of the rounds' medians."""
    return milliseconds(statistics.median(one.percentile(0.5) for one in seen))


def rate(seen: Sequence[load.Seen]) -> str:
    """Give the median of the rounds' requests a second."""
    median = statistics.median(one.rate for one in seen)
    return f"{median:,.0f}" if median >= 200 else f"{median:,.1f}"


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{seconds * 1000:.3f} ms"


def megabytes(found: tuple[float, float]) -> str:
    """Write resident memory and the proportional share."""
    return f"{found[0]:.0f} ({found[1]:.0f}) MB"


if __name__ == "__main__":
    main()
