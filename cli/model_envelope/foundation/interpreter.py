"""Facts about an interpreter, asked of the interpreter itself."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from model_envelope.foundation import process
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing

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


def find_series(series: str, implementation: str = "cpython") -> Path:
    """Find an interpreter of a version such as ``3.11``: the one that runs this tool, or one on PATH that answers.

    Raises :class:`ToolMissing` (``python.missing``), which says which versions are here.
    """
    own = describe(Path(sys.executable))
    if (own.series, own.implementation) == (series, implementation.lower()):
        return own.python
    here = {f"{own.implementation} {own.version}"}
    for candidate in _on_path(f"python{series}", "python3", "python", f"pypy{series}"):
        try:
            found = describe(candidate)
        except (ToolFailed, ToolMissing):
            # What version managers put on PATH for a version that is not installed.
            continue
        if (found.series, found.implementation) == (series, implementation.lower()):
            return found.python
        here.add(f"{found.implementation} {found.version}")
    raise ToolMissing(
        f"the envelope was packed with Python {series}, and no `python{series}` is here that answers",
        code="python.missing",
        hint=f"found {', '.join(sorted(here))}; install Python {series} (`uv python install {series}` does it, or the "
        "packages of the system), or name one with `--python`",
    )


def find_interpreter(name: str | None) -> Path:
    """Give the interpreter that ``--python`` names, by default the one that runs this tool.

    Raises :class:`InvalidInput` (``python.missing``) where there is none.
    """
    if name is None:
        return Path(sys.executable)
    found = shutil.which(name)
    if found is None:
        raise InvalidInput(
            f"there is no Python interpreter at `{name}`",
            code="python.missing",
            hint="name one by its path, such as `.venv/bin/python`, or by a command on PATH",
        )
    return Path(found).absolute()


def _on_path(*names: str) -> Iterator[Path]:
    """Give all programs of these names on PATH, not only the first of each."""
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    for name in names:
        for folder in dict.fromkeys(folders):
            if (path := folder / name).is_file() and os.access(path, os.X_OK):
                yield path.absolute()


_ASK_FACTS = (
    "import json, platform, sys, sysconfig; i = sys.implementation; print(json.dumps({"
    "'version_info': list(sys.version_info), 'version': sys.version, 'implementation': i.name, "
    "'implementation_version': list(i.version), 'platform': sysconfig.get_platform(), 'libc': platform.libc_ver(), "
    "'prefix': sys.prefix, 'path': sys.path}))"
)


@dataclass(frozen=True)
class Facts:
    """All that an interpreter says of itself.

    ``version_info`` is ``sys.version_info`` whole, ``build`` is ``sys.version``, ``platform`` is ``linux-x86_64``,
    ``libc`` is ``glibc 2.36``, empty where there is no such thing; ``prefix`` is the folder of its environment,
    and ``path`` is ``sys.path`` of it.
    """

    version_info: tuple[int | str, ...]
    build: str
    implementation: str
    implementation_version: tuple[int | str, ...]
    platform: str
    libc: str
    prefix: Path
    path: tuple[str, ...]

    @property
    def version(self) -> str:
        """The numbers of the version: ``3.11.7``."""
        return ".".join(map(str, self.version_info[:3]))

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form, without the folders."""
        return {
            "version": self.version,
            "version_info": list(self.version_info),
            "build": self.build,
            "implementation": self.implementation,
            "implementation_version": list(self.implementation_version),
            "platform": self.platform,
            "libc": self.libc,
        }


def facts_of(python: Path) -> Facts:
    """Ask an interpreter for all that it says of itself.

    Raises :class:`ToolMissing` where there is no such program, :class:`ToolFailed` where it does not answer.
    """
    finished = process.run([located(python), "-I", "-c", _ASK_FACTS], timeout=60)
    if not finished.ok:
        raise process.failed(finished, f"`{python}` does not answer as a Python interpreter", code="python.broken")
    # What the environment's own start-up files print comes first.
    said = json.loads(finished.stdout.splitlines()[-1])
    return Facts(
        tuple(said["version_info"]),
        " ".join(said["version"].split()),
        said["implementation"],
        tuple(said["implementation_version"]),
        said["platform"],
        " ".join(filter(None, said["libc"])),
        Path(said["prefix"]),
        tuple(said["path"]),
    )
