"""Compiles Python files to bytecode that is the same each time and that no time stamp makes stale."""

from __future__ import annotations

import compileall
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from py_compile import PycInvalidationMode

_AT_ONCE = 4


def compile_all(folder: Path) -> None:
    """Compile every Python file in a folder and below; what is no Python of this version is left as it is.

    The largest come first, so that no process is left with one of them when the others are done.
    """
    files = [path for path in folder.rglob("*.py") if path.is_file()]
    files.sort(key=lambda path: (-path.stat().st_size, path))
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(_compile, map(str, files), chunksize=_AT_ONCE))


def _compile(path: str) -> None:
    # A string and no Path: of that Python interns the parts, and what else is interned shows in the bytecode of a name.
    compileall.compile_file(path, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
