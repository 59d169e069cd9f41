"""Which sources answer: one digest of the runtime and the server, the same in an image and on a developer's machine."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
CARRIED = ("runtime", "serving")


@cache
def runtime_digest(package: Path = PACKAGE) -> str:
    """Give the sha256 of a list of all Python files of the runtime and the server, as ``sha256sum`` writes it.

    The list is in C order, with paths relative to the package: ``<sha256>  serving/app.py``.
    """
    names = ["__init__.py"]
    for part in CARRIED:
        for folder, _, files in os.walk(package / part):
            inside = Path(folder).relative_to(package)
            names += [(inside / name).as_posix() for name in files if name.endswith(".py")]
    lines = [
        f"{hashlib.sha256((package / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(names, key=str.encode)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
