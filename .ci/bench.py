"""Measure the tool against bare Python in one run: `make bench`.

Ratios, not seconds, are what a budget can hold on any machine. Each figure is a median; the commands take turns, so
that a busy moment of the machine falls on all of them alike.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.resolvers import LockRequest, choose
from model_envelope.dependencies.rooms import pip_recipe
from model_envelope.foundation.lockfile import Lock
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows.locking import Aim, Goal, solve
from model_envelope.workflows.replaying import replay_in_room

BIN = Path(sys.executable).parent
ENVELOPE = str(BIN / "envelope")
SAMPLES = ["--input", "samples.parquet"]
METHODS = ["--method", "predict", "--method", "predict_proba"]
UNPICKLE = """
import pickle, pandas, sklearn
model = pickle.load(open("model.pkl", "rb"))
samples = pandas.read_parquet("samples.parquet")
model.predict(samples), model.predict_proba(samples)
"""


def main() -> None:
    """Print one line a figure: the measured ratio and the budget."""
    with tempfile.TemporaryDirectory(prefix="envelope-bench-") as scratch:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "ENVELOPE_CACHE_DIR": str(Path(scratch, "cache")),
            "ENVELOPE_STATE_DIR": str(Path(scratch, "state")),
        }
        print(f"{'':42}{'median':>9}{'ratio':>8}{'budget':>8}")
        start_up(environment)
        packing(Path(scratch), environment)
        locking(Path(scratch), environment)


def start_up(environment: Mapping[str, str]) -> None:
    """Compare ``--version`` and ``--help`` with a Python that does nothing."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "envelope --version": [ENVELOPE, "--version"],
        "envelope --help": [ENVELOPE, "--help"],
        "envelope pack --help": [ENVELOPE, "pack", "--help"],
    }
    tell(medians(commands, 15, environment), {"envelope --version": 8, "envelope --help": 12})


def packing(scratch: Path, environment: Mapping[str, str]) -> None:
    """Compare packing the flights with a Python that unpickles the model and answers the samples once."""
    run([ENVELOPE, "new", "flights", "-o", str(scratch)], environment)
    project = scratch / "flights"
    run([sys.executable, "train.py"], environment, project)
    pack = [ENVELOPE, "pack", "model.pkl", *SAMPLES, *METHODS]
    commands = {
        "python: import, unpickle, predict": [sys.executable, "-c", UNPICKLE],
        "envelope pack --no-lock --no-proof": [*pack, "--no-lock", "--no-proof"],
        "envelope pack --no-proof, a warm lock": [*pack, "--no-proof"],
        "envelope pack, a warm lock and room": pack,
    }
    budgets = {"envelope pack --no-lock --no-proof": 3, "envelope pack --no-proof, a warm lock": 4}
    tell(medians(commands, 3, environment, project, fresh_output=True), budgets)
    proving(next(project.glob("packed-*/*/env/requirements.lock")).parents[1], environment, project)


def proving(envelope: Path, environment: Mapping[str, str], project: Path) -> None:
    """Compare what a proof adds, in a clean room that is there, with a Python that does the same without a proof."""
    os.environ |= environment
    files = read_envelope(envelope)
    lock = Lock.parse(files.lock.read_bytes())
    times: list[tuple[float, float]] = []
    for _ in range(6):
        began = time.perf_counter()
        run([sys.executable, "-c", UNPICKLE], environment, project)
        bare = time.perf_counter()
        replay_in_room(pip_recipe(lock, python=Path(sys.executable)), files)
        times.append((bare - began, time.perf_counter() - bare))
    bare_time, proof = (statistics.median(column) for column in zip(*times[1:], strict=True))
    row("a proof in a room that is there", proof, bare_time, 1.3)


def locking(scratch: Path, environment: Mapping[str, str]) -> None:
    """Compare the step that locks the flights with the bare program that it runs; caches are warm for both.

    Both are asked for the direct needs at the versions of this environment; uv with hashes, `pip-compile` without: it
    fetches every file of every platform for them where an index has pages alone, which takes it a minute.
    """
    envelope = next((scratch / "flights").glob("packed-*/*"))
    installed = Installed.read(sys.path).versions
    constraints, output = scratch / "constraints.txt", scratch / "bare.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in installed.items()))
    needs, index = envelope / "env" / "requirements.in", IndexSettings.from_environment()
    words = [str(needs), "--constraint", str(constraints), "--output-file", str(output), "--quiet"]
    bare = {
        "uv": ("uv pip compile", [str(BIN / "uv"), "pip", "compile", *words, "--generate-hashes"], 2),
        "pip-tools": ("pip-compile", [str(BIN / "pip-compile"), *words, "--allow-unsafe", "--strip-extras"], 1.5),
    }
    goal = Goal.of(Aim(), Path(sys.executable))
    request = LockRequest(needs.read_bytes(), installed, Path(sys.executable), index)
    variables = {**environment, **index.uv_environment(), **index.pip_environment()}

    def alone(command: Sequence[str]) -> None:
        # What is there already would be taken as it is.
        output.unlink(missing_ok=True)
        run(command, variables)

    for name, (program, command, budget) in bare.items():
        works = {program: partial(alone, command), f"locking with {name}": partial(solve, choose(name), request, goal)}
        tell(medians_of(works, 7), {f"locking with {name}": budget})


def medians_of(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Give the median time of each piece of work, after one round that does not count; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def medians(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    environment: Mapping[str, str],
    folder: Path | None = None,
    *,
    fresh_output: bool = False,
) -> dict[str, float]:
    """Give each command's median time, after one round that does not count: it fills caches and writes bytecode."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            output = ["-o", f"packed-{turn}-{len(times[name])}-{len(name)}"] if fresh_output and "pack" in name else []
            began = time.perf_counter()
            run([*command, *output], environment, folder)
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def tell(found: Mapping[str, float], budgets: Mapping[str, float]) -> None:
    """Print times and their ratios to the first of them."""
    bare = next(iter(found.values()))
    for name, seconds in found.items():
        row(name, seconds, bare, budgets.get(name))


def row(name: str, seconds: float, bare: float, budget: float | None) -> None:
    """Print one line."""
    print(f"{name:42}{seconds * 1000:6.0f} ms{seconds / bare:8.2f}{f'{budget:g}' if budget else '':>8}", flush=True)


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> None:
    """Run a command silently; one that fails ends the measurement with what it said."""
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


if __name__ == "__main__":
    main()
