"""Measure the python engine of batch jobs beside a script that was written by hand, in one run: `make bench-batch`.

Parquet to Parquet, a logistic regression on made-up flights, one thread for numeric libraries and for Arrow. Each
measurement is a process of its own; what is compared is measured in turns, a ratio is the median of the rounds' ratios.
Seconds are those of the work itself: packages are imported and the model is loaded before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bench_models import flights, pack_flights, pack_forest
from bench_service import Goal

SMALL, LARGE = 2, 20
"""Millions of rows between which memory has to stay as it is."""
CHUNK = 1_000_000
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Seen:
    """What one process took."""

    seconds: float
    cpu: float
    megabytes: float


@dataclass
class Bench:
    """Where all is, and what was missed."""

    scratch: Path
    rounds: int
    missed: list[str]

    def measure(self, kind: str, models: tuple[Path, Path], table: Path) -> Seen:
        """Run one kind in a process of its own."""
        output = self.scratch / f"{kind}.parquet"
        command = [sys.executable, str(Path(__file__).with_name("batch_runs.py")), kind, *map(str, models)]
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        done = subprocess.run(
            [*command, str(table), str(output)], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return Seen(**json.loads(done.stdout.splitlines()[-1]))

    def turns(self, kinds: Sequence[str], models: tuple[Path, Path], table: Path) -> dict[str, list[Seen]]:
        """Measure several kinds in turns; what comes first changes."""
        found: dict[str, list[Seen]] = {kind: [] for kind in kinds}
        for turn in range(self.rounds):
            for kind in (*kinds[turn % len(kinds) :], *kinds[: turn % len(kinds)]):
                found[kind].append(self.measure(kind, models, table))
        return found

    def line(self, name: str, theirs: str, ours: str, found: float, goal: Goal) -> None:
        """Print an outcome and its goal."""
        reached = goal.reached(found)
        if not reached:
            self.missed.append(name)
        print(
            f"| {name:44} | {theirs:>16} | {ours:>16} | {found:>6.2f} | {goal!s:>6} | {'yes' if reached else 'no':7} |"
        )


def main() -> None:
    """Measure all, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is measured (%(default)s)")
    parser.add_argument("--only", choices=["speed", "memory", "workers"], help="measure but this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envelope-bench-") as scratch:
        bench = Bench(Path(scratch), arguments.rounds, [])
        print(f"| {'':44} | {'compared with':>16} | {'batch':>16} | ratio  | goal   | reached |")
        print(f"|{'-' * 46}|{'-' * 17}:|{'-' * 17}:|{'-' * 7}:|{'-' * 7}:|{'-' * 9}|", flush=True)
        models = pack_flights(bench.scratch / "flights")
        if arguments.only in {None, "speed"}:
            speed(bench, models)
        if arguments.only in {None, "memory"}:
            memory(bench, models)
        if arguments.only in {None, "workers"}:
            workers(bench)
    print(f"Not reached: {', '.join(bench.missed)}" if bench.missed else "All goals are reached")


def speed(bench: Bench, models: tuple[Path, Path]) -> None:
    """Compare rows a second with those of the script, and with what the process could do at most."""
    table = write(bench.scratch / "one.parquet", 1)
    found = bench.turns(("by-hand", "batch", "limit"), models, table)
    name = "1,000,000 rows: rows/s"
    ours = rate(found["batch"], CHUNK)
    bench.line(f"{name}, a script by hand", rate(found["by-hand"], CHUNK), ours, faster(found, "by-hand"), Goal(1.1))
    bench.line(f"{name}, predict and copy alone", rate(found["limit"], CHUNK), ours, faster(found, "limit"), Goal(0.9))


def faster(found: dict[str, list[Seen]], other: str, ours: str = "batch") -> float:
    """Give how many times faster one kind is than another."""
    pairs = zip(found[other], found[ours], strict=True)
    return statistics.median(theirs.seconds / our.seconds for theirs, our in pairs)


def memory(bench: Bench, models: tuple[Path, Path]) -> None:
    """Compare the peak memory of a long table with that of a short one."""
    found = {}
    for millions in (SMALL, LARGE):
        table = write(bench.scratch / f"{millions}.parquet", millions)
        found[millions] = bench.measure("batch", models, table).megabytes
        table.unlink()
    shown = {millions: f"{megabytes:,.0f} MB" for millions, megabytes in found.items()}
    name = f"peak memory, {SMALL} and {LARGE} million rows"
    bench.line(name, shown[SMALL], shown[LARGE], found[LARGE] / found[SMALL], Goal(1.1, at_most=True))


def workers(bench: Bench) -> None:
    """Compare two workers with one process, where predicting takes most of the time."""
    models = pack_forest(bench.scratch / "forest")
    table = write(bench.scratch / "forest.parquet", 1)
    found = bench.turns(("batch", "two"), models, table)
    ours = rate(found["two"], CHUNK)
    bench.line(
        "a slow model, 2 workers: rows/s", rate(found["batch"], CHUNK), ours, faster(found, "batch", "two"), Goal(1.7)
    )


def rate(found: Sequence[Seen], rows: int) -> str:
    """Say how many rows a second that is."""
    return f"{rows / statistics.median(seen.seconds for seen in found):,.0f}"


def write(path: Path, millions: int) -> Path:
    """Write a table of made-up flights: the same million again and again, numbered."""
    frame = pa.Table.from_pandas(flights(CHUNK, seed=3), preserve_index=False)
    kept = pa.schema([("id", pa.int64()), *((field.name, field.type) for field in frame.schema)])
    with pq.ParquetWriter(path, kept) as writer:
        for at in range(millions):
            numbers = pa.array(range(at * CHUNK, (at + 1) * CHUNK), pa.int64())
            writer.write_table(pa.Table.from_arrays([numbers, *frame.columns], schema=kept))
    return path


if __name__ == "__main__":
    main()
