"""Facts about an interpreter, asked of the interpreter itself."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolFailed

_ASK = (
    "import sys, sysconfig, json; print(json.dumps(["
    "'.'.join(map(str, sys.version_info[:3])), sys.implementation.name, sysconfig.get_platform()]))"
)


@dataclass(frozen=True)
class Interpreter:
    """``version`` as ``3.11.7``, ``implementation`` as ``cpython``, ``platform`` as ``linux-x86_64``."""

    python: Path
    version: str
    implementation: str
    platform: str

    @property
    def series(self) -> str:
        """The part of the version that decides which wheels fit: ``3.11``."""
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"{self.implementation} {self.version} on {self.platform}"


def located(python: Path) -> Path:
    """Give the interpreter's path from the root, so that it is the same one from any folder. Links are kept."""
    if len(python.parts) > 1:
        return python.absolute()
    found = shutil.which(python)
    return Path(found) if found else python


@lru_cache(maxsize=32)
def describe(python: Path) -> Interpreter:
    """Ask an interpreter what it is. Asks once; the one that runs this tool is not started again.

    Raises :class:`ToolMissing` where there is no such program, :class:`ToolFailed` where it is no Python.
    """
    python = located(python)
    if python == Path(sys.executable):
        version = ".".join(map(str, sys.version_info[:3]))
        return Interpreter(python, version, sys.implementation.name, sysconfig.get_platform())
    finished = process.run([python, "-I", "-S", "-c", _ASK], timeout=60)
    if not finished.ok:
        raise process.failed(finished, f"`{python}` does not answer as a Python interpreter", code="python.broken")
    try:
        version, implementation, platform = json.loads(finished.stdout)
    except ValueError:
        raise ToolFailed(
            f"`{python}` is no Python interpreter: it answered {finished.stdout[:60]!r}",
            code="python.broken",
            hint="name an interpreter: `--python /path/to/environment/bin/python`",
        ) from None
    return Interpreter(python, version, implementation, platform)
