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
