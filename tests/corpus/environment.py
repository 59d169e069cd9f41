"""Makes the crowded environment of the corpus: `python environment.py FOLDER`.

It holds what `.ci/corpus.lock` says, torch, the distributions in `distributions/` as wheels, and those in `editable/`
as their authors have them. Nothing of this tool is in it. The wheels stay in ``FOLDER/wheels``: clean rooms find them
there, as no index has them.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_uv

HERE = Path(__file__).parent
LOCK = HERE.parents[1] / ".ci" / "corpus.lock"
TORCH = "torch==2.13.0"
"""Installed by pip, which may know a folder of wheels for the CPU alone."""


def main() -> None:
    """Make the environment, or bring one that is there up to date."""
    parser = argparse.ArgumentParser(description="Make the crowded environment of the corpus.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=sys.executable, help="the interpreter to make it with")
    arguments = parser.parse_args()
    make(arguments.folder.absolute(), arguments.python)


def make(folder: Path, base: str) -> None:
    """Make the environment in a folder."""
    python, wheels = folder / "bin" / "python", wheels_of(folder)
    if not python.exists():
        run(base, "-m", "venv", folder)
    if uv := find_uv():
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*install, "--require-hashes", "--requirement", LOCK)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", TORCH)
    wheels.mkdir(exist_ok=True)
    for source in sorted((HERE / "distributions").iterdir()):
        run(python, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels, cwd=source)
    names = [f"{source.name}==1.0" for source in sorted((HERE / "distributions").iterdir())]
    again = "--reinstall" if uv else "--force-reinstall"
    run(*install, "--no-deps", "--no-index", "--find-links", wheels, again, *names)
    for source in sorted((HERE / "editable").iterdir()):
        run(*install, "--no-deps", "--no-build-isolation", "--editable", source)


def wheels_of(folder: Path) -> Path:
    """Give the folder of the wheels that no index has."""
    return folder / "wheels"


def find_links(folder: Path) -> str:
    """Give the value of ``PIP_FIND_LINKS`` that has these wheels beside what pip knows here anyway."""
    return " ".join([str(wheels_of(folder)), *IndexSettings.from_environment().find_links])


def run(*words: str | Path, cwd: Path | None = None) -> None:
    """Run a program; what it says is shown where it fails."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
