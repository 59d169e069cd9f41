"""The cases of the corpus: trains one, packs it as a user would, and reads what it is said to need.

A case is a folder in `cases/`. Its `train.py` writes `model.pkl` and `samples.*` into the folder that it is run in. A
`case.toml` may say otherwise where that is: ``train_in`` (default: the case's folder), ``pack_in``, the folder in which
`envelope pack` is run (default: an empty one somewhere else), ``path``, folders on PYTHONPATH, and ``methods``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from corpus.environment import find_links

HERE = Path(__file__).parent
TRUTH = HERE / "truth.json"
ENVELOPE = Path(sys.executable).with_name("envelope")
PYTHON = "MODEL_ENVELOPE_CORPUS_PYTHON"
"""The variable that names the interpreter of the crowded environment."""


class Failed(Exception):
    """A step of a case that ended otherwise than it should, with what it said."""


@dataclass(frozen=True)
class Case:
    """One case of the corpus."""

    name: str

    @property
    def folder(self) -> Path:
        """Where it lies in the checkout."""
        return HERE / "cases" / self.name

    @cached_property
    def options(self) -> dict[str, Any]:
        """What its `case.toml` says."""
        path = self.folder / "case.toml"
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@dataclass(frozen=True)
class Trained:
    """A case after training: ``home`` is the copy of its folder, ``folder`` holds the model and its samples."""

    case: Case
    home: Path
    folder: Path
    samples: Path
    python: Path

    @property
    def path(self) -> list[Path]:
        """The folders in which its local modules lie."""
        named = [self.home / name for name in self.case.options.get("path", ())]
        return [self.folder, *named, *([self.pack_in] if "pack_in" in self.case.options else [])]

    @property
    def pack_in(self) -> Path:
        """The folder in which it is packed."""
        return self.home / self.case.options["pack_in"] if "pack_in" in self.case.options else self.home.parent

    @property
    def environment(self) -> dict[str, str]:
        """The variables that its programs are started with."""
        return _environment(self.case, self.home, self.python)


@dataclass(frozen=True)
class Packed:
    """A sealed case, what the envelope says that it needs, and the seconds of the steps of packing.

    The steps are told by the first word of what `envelope pack` says of them: `Loaded` is the probe, `Needs` the search
    for what it needs.
    """

    trained: Trained
    envelope: Path
    kept: tuple[str, ...]
    steps: Mapping[str, float]


def cases() -> tuple[Case, ...]:
    """Give all cases, by name."""
    return tuple(Case(path.name) for path in sorted((HERE / "cases").iterdir()) if path.is_dir())


def crowded() -> Path | None:
    """Give the interpreter of the crowded environment, where one is named."""
    named = os.environ.get(PYTHON)
    return Path(named).absolute() if named else None


def truth() -> dict[str, Any]:
    """Read what the oracle found last."""
    found: dict[str, Any] = json.loads(TRUTH.read_text(encoding="utf-8"))
    return found


def train(case: Case, python: Path, scratch: Path) -> Trained:
    """Train a case in a copy of its folder. Raises :class:`Failed`."""
    home = scratch / case.name
    shutil.copytree(case.folder, home, ignore=shutil.ignore_patterns("__pycache__", "case.toml"))
    folder = home / case.options.get("train_in", ".")
    run([python, "train.py"], cwd=folder, env=_environment(case, home, python))
    samples = [path for path in folder.iterdir() if path.stem == "samples"]
    if len(samples) != 1 or not (folder / "model.pkl").is_file():
        raise Failed(f"{case.name}: train.py left no model.pkl, or not exactly one samples.*, in {folder}")
    return Trained(case, home, folder, samples[0], python)


def pack(trained: Trained, scratch: Path) -> Packed:
    """Pack a trained case without a lock, and ask the envelope what it needs. Raises :class:`Failed`."""
    methods = [word for name in trained.case.options.get("methods", ()) for word in ("--method", name)]
    into = scratch / "packed"
    command = [ENVELOPE, "pack", trained.folder / "model.pkl", "--input", trained.samples, "--name", "case", *methods]
    done = run(
        [*command, "--python", trained.python, "--no-lock", "--no-proof", "--output", into],
        cwd=trained.pack_in,
        env=trained.environment,
    )
    envelope = Path(done.stdout.strip())
    document = json.loads(run([ENVELOPE, "dependencies", envelope, "--json"], env=trained.environment).stdout)
    kept = tuple(item["name"] for item in document["result"]["packages"] if item["direct"])
    steps = re.findall(r"^\S (\w+) .*  (\d+\.\d) s$", done.stderr, re.MULTILINE)
    return Packed(trained, envelope, kept, {word: float(seconds) for word, seconds in steps})


def prove(packed: Packed, scratch: Path) -> Path:
    """Lock an envelope, and replay its samples in a clean room: an environment that holds its lock and nothing else.

    Gives the locked envelope. Raises :class:`Failed`, with what the model or the installer said, and where nothing was
    proven.
    """
    command = [ENVELOPE, "lock", packed.envelope, "--output", scratch / "locked", "--json"]
    done = run(command, env=packed.trained.environment)
    result = json.loads(done.stdout)["result"]
    if not result["proven"]:
        raise Failed(f"{packed.trained.case.name} was locked and not proven\n{done.stderr}")
    return Path(result["path"])


def run(
    command: list[Any], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program. Raises :class:`Failed` where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, check=False
    )
    if done.returncode:
        raise Failed(f"{' '.join(words)}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def _environment(case: Case, home: Path, python: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = os.pathsep.join(str(home / name) for name in case.options.get("path", ()))
    return {
        **kept,
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PIP_FIND_LINKS": find_links(python.parent.parent),
        **({"PYTHONPATH": path} if path else {}),
    }
