"""Pin what each target needs, for each Python that it supports: `make pins`.

Writes two files a Python, and two more for each option, into the target's `pins/`: the lock, and what each pinned
distribution requires in turn, so that merging a target's pins with an envelope's lock can tell a clash without a
resolver or a network.
"""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_uv
from model_envelope.foundation.files import json_bytes
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.process import environment
from model_envelope.targets.target import SUPPORTED_PYTHONS, all_targets

COMPILE = "pip compile requirements.in --output-file requirements.lock --universal --generate-hashes --no-annotate"
QUIET = "--no-header --no-emit-index-url --no-emit-find-links --no-progress --quiet"
INSTALL = "pip install --quiet --no-deps --require-hashes --only-binary :all: --requirement requirements.lock"
SOURCES = ("pyspark",)
"""Distributions that publish no wheels: what they require stands in their source distribution."""


def main() -> None:
    """Write the pins of all targets, or of those that are named."""
    for target in all_targets():
        if not target.makes_image or (sys.argv[1:] and target.kind not in sys.argv[1:]):
            continue
        folder = target.folder / "pins"
        folder.mkdir(exist_ok=True)
        for python in SUPPORTED_PYTHONS:
            with tempfile.TemporaryDirectory() as scratch:
                lock, requires = pin(target.requirements, python, Path(scratch))
            write(folder, python, lock, requires)
            print(f"{target.kind}, Python {python}: {', '.join(f'{item.name} {item.version}' for item in lock.pins)}")
            for option in target.offered:
                with tempfile.TemporaryDirectory() as scratch:
                    both, needs = pin(target.with_options(option).requirements, python, Path(scratch))
                more = Lock(tuple(item for item in both.pins if item.name not in requires))
                write(
                    folder, f"{python}.{option}", more, {name: needs[name] for name in needs.keys() - requires.keys()}
                )
                print(f"  with {option}: {', '.join(f'{item.name} {item.version}' for item in more.pins)}")


def write(folder: Path, name: str, lock: Lock, requires: dict[str, list[str]]) -> None:
    """Write the two files of one name."""
    (folder / f"{name}.lock").write_bytes(lock.to_bytes())
    (folder / f"{name}.requires.json").write_bytes(json_bytes(dict(sorted(requires.items()))))


def pin(requirements: tuple[str, ...], python: str, folder: Path) -> tuple[Lock, dict[str, list[str]]]:
    """Solve the requirements for a Python on every platform, and read what each distribution requires in turn."""
    (folder / "requirements.in").write_text("".join(f"{line}\n" for line in requirements))
    uv(folder, *COMPILE.split(), *QUIET.split(), "--python-version", python)
    lock = Lock.parse((folder / "requirements.lock").read_bytes())
    built = [word for name in SOURCES if name in lock.versions() for word in ("--no-binary", name)]
    uv(folder, *INSTALL.split(), *built, "--python-version", python, "--target", "installed")
    requires = {}
    for found in importlib.metadata.distributions(path=[str(folder / "installed")]):
        needs = [Requirement(text) for text in found.requires or ()]
        kept = [need for need in needs if not re.search(r"\bextra\b", str(need.marker or ""))]
        requires[canonicalize_name(found.name)] = sorted(str(need) for need in kept)
    return lock, dict(sorted(requires.items()))


def uv(folder: Path, *words: str) -> None:
    """Run uv with this machine's index settings."""
    program = find_uv()
    if program is None:
        sys.exit("uv is needed: `make setup`")
    variables = environment({"VIRTUAL_ENV": None, **IndexSettings.from_environment().uv_environment()})
    subprocess.run([program, *words], cwd=folder, env=variables, check=True)


if __name__ == "__main__":
    main()
