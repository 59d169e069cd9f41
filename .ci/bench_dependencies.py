"""Find anew what the models of the corpus need, and hold the tool's lists against it: `make bench-dependencies`.

Prints a line a case and the totals, and writes what was found to tests/corpus/truth.json, which `make test-corpus`
compares with. Words are names of cases, for a part of them; `--known` takes what was found before, tells only what the
tool lists now, and runs one case after the other, so that the seconds are right.

The seconds are those of a process that loads the model and replays its samples once, of the step of `envelope pack`
that loads it, finds its signature and asks it several times, and of the step that finds from this what it needs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from corpus.oracle import Crowded, Oracle, Truth, Verdict
from corpus.running import TRUTH, Case, Failed, cases, crowded, pack, train, truth


@dataclass(frozen=True)
class Row:
    """What was found of one case."""

    name: str
    kept: tuple[str, ...]
    truth: Truth
    verdict: Verdict
    runs: int
    bare: float
    probing: float
    finding: float


def main() -> int:
    """Print the table; 1 where a case could not be judged."""
    parser = argparse.ArgumentParser(description="Find anew what the models of the corpus need.")
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--known", action="store_true", help="take the truth that was found before")
    arguments = parser.parse_args()
    python = crowded()
    if python is None:
        parser.error("MODEL_ENVELOPE_CORPUS_PYTHON has to name the crowded environment's interpreter")
    environment = Crowded(python)
    chosen = [case for case in cases() if not arguments.cases or case.name in arguments.cases]
    found: list[Row] = []
    failed: list[str] = []
    print(f"{'case':28}{'keeps':46}{'needs directly':46}{'all':>4}{'runs':>6}{'replay':>9}{'probe':>8}{'needs':>8}")
    with (
        tempfile.TemporaryDirectory(prefix="corpus-") as scratch,
        ThreadPoolExecutor(1 if arguments.known else os.cpu_count()) as pool,
    ):
        os.environ["ENVELOPE_STATE_DIR"] = str(Path(scratch, "state"))
        os.environ["ENVELOPE_CACHE_DIR"] = str(Path(scratch, "cache"))
        known = truth() if arguments.known else {}
        futures = {
            case.name: pool.submit(judge, case, environment, Path(scratch), known.get(case.name)) for case in chosen
        }
        for name, future in futures.items():
            try:
                found.append(row := future.result())
            except Failed as error:
                failed.append(name)
                print(f"{name:28}{str(error)[-2000:]}", flush=True)
            else:
                tell(row)
    if not arguments.known:
        remember(found, everything=not arguments.cases)
    total(found)
    if failed:
        print(f"not judged: {', '.join(failed)}")
    return 1 if failed else 0


def judge(case: Case, environment: Crowded, scratch: Path, known: dict[str, list[str]] | None) -> Row:
    """Train and pack a case, and find what it needs."""
    folder = scratch / case.name
    trained = train(case, environment.python, folder)
    packed = pack(trained, folder)
    oracle = Oracle(packed.envelope, environment, folders=trained.path, environment=trained.environment)
    needs = Truth(tuple(known["needed"]), tuple(known["direct"])) if known else oracle.truth()
    verdict = environment.judge(packed.kept, needs.needed)
    bare = statistics.median(oracle.seconds() for _ in range(3))
    steps = packed.steps
    return Row(case.name, packed.kept, needs, verdict, oracle.runs, bare, steps["Loaded"], steps["Needs"])


def tell(row: Row) -> None:
    """Print the line of a case, and what is wrong with its list."""
    kept, direct = ", ".join(row.kept) or "-", ", ".join(row.truth.direct) or "-"
    seconds = "".join(f"{found:6.1f} s" for found in (row.bare, row.probing, row.finding))
    counts = f"{len(row.truth.needed):4}{row.runs:6} {seconds}"
    print(f"{row.name:28}{kept:46}{direct:46}{counts}", flush=True)
    for what, names in (("missing", row.verdict.missing), ("needless", row.verdict.needless)):
        if names:
            print(f"{'':28}{what}: {', '.join(names)}", flush=True)


def remember(found: list[Row], *, everything: bool) -> None:
    """Write the truth; that of cases that were not asked for stays."""
    before = truth() if TRUTH.exists() and not everything else {}
    merged = before | {row.name: asdict(row.truth) for row in found}
    TRUTH.write_text(json.dumps({name: merged[name] for name in sorted(merged)}, indent=1) + "\n", encoding="utf-8")


def total(found: list[Row]) -> None:
    """Print recall and precision over all cases."""
    needed, have = (sum(getattr(row.verdict, what) for row in found) for what in ("needed", "found"))
    listed, right = (sum(getattr(row.verdict, what) for row in found) for what in ("listed", "right"))
    print(f"{len(found)} cases, {sum(row.runs for row in found)} replays")
    slowest = max(found, key=lambda row: row.finding, default=None)
    if slowest:
        print(f"needs are found within {slowest.finding:.1f} s of loading and asking ({slowest.name})")
    print(f"recall     {have} of {needed} needed distributions come along: {have / max(needed, 1):.1%}")
    print(f"precision  {right} of {listed} listed distributions are needed: {right / max(listed, 1):.1%}")


if __name__ == "__main__":
    sys.exit(main())
