"""Compiles Python files to bytecode that is the same each time and that no time stamp makes stale."""

from __future__ import annotations

import compileall
import os
from pathlib import Path
from py_compile import PycInvalidationMode


def compile_all(folder: Path) -> None:
    """Compile every Python file in a folder and below; what is no Python of this version is left as it is."""
    compileall.compile_dir(
        folder,
        maxlevels=100,
        quiet=2,
        workers=len(os.sched_getaffinity(0)),
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
