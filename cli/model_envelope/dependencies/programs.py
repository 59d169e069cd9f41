"""Where the programs are that lock and install."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path


def find_uv() -> Path | None:
    """Find uv: beside this tool's own interpreter (installed as the extra ``uv``), else on PATH."""
    # Not resolved: in an environment the interpreter is a link, and its neighbours are the environment's programs.
    beside = Path(sys.executable).parent / "uv"
    if os.access(beside, os.X_OK) and beside.is_file():
        return beside
    found = shutil.which("uv")
    return Path(found) if found else None


def has_module(name: str) -> bool:
    """Whether this tool's own interpreter can run a module (``pip``, ``piptools``)."""
    return importlib.util.find_spec(name) is not None


def find_conda_lock() -> list[str | Path] | None:
    """Give the words that start conda-lock: beside this tool (the extra ``conda-lock``), else on PATH."""
    if has_module("conda_lock"):
        return [sys.executable, "-m", "conda_lock"]
    found = shutil.which("conda-lock")
    return [found] if found else None


CONDAS = ("micromamba", "mamba", "conda")
"""The programs that solve and make conda environments, in the order in which they are taken."""


def find_conda() -> Path | None:
    """Find a program that makes conda environments: on PATH, else where an activated shell says that it is."""
    places = [shutil.which(name) for name in CONDAS]
    named = [os.environ.get(name) for name in ("MAMBA_EXE", "CONDA_EXE")]
    found = next((path for path in (*places, *named) if path and os.access(path, os.X_OK)), None)
    return Path(found) if found else None
