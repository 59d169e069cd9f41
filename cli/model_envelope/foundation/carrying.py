"""Carries this package's own source into another interpreter or image, under the same import name.

An environment that runs a model must not have the toolchain installed: its pins would meet the model's. So what has to
run there (the runtime, the server, the probe) is carried as source, standard library only.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def link(into: Path, packages: Iterable[str]) -> Path:
    """Link the named subpackages into a folder, for a process on this machine.

    Links rather than copies, so that compiled bytecode is found again. Gives the folder to put on ``sys.path``.
    """
    home = into / PACKAGE.name
    home.mkdir(parents=True)
    for name in ("__init__.py", *packages):
        (home / name).symlink_to(PACKAGE / name)
    return into


def copy(into: Path, packages: Iterable[str]) -> Path:
    """Copy the named subpackages byte for byte into a folder, for an image. Compiled bytecode stays behind."""
    home = into / PACKAGE.name
    home.mkdir(parents=True)
    shutil.copyfile(PACKAGE / "__init__.py", home / "__init__.py")
    for name in packages:
        for source in sorted((PACKAGE / name).rglob("*")):
            if "__pycache__" in source.parts or not source.is_file():
                continue
            target = home / source.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return into


def arguments(home: Path, module: str, *rest: str | Path, isolated: bool = True) -> list[str]:
    """Give the arguments that make an interpreter run ``main()`` of a carried module.

    This package is imported from ``home``, whatever other version of it the environment may have; then ``home`` goes
    last on ``sys.path``, so that of everything else the environment's own comes first. ``isolated`` keeps the user's
    settings (PYTHONPATH, user site) out; without it only the current folder is kept from being first on the path.
    """
    code = (
        f"import sys; sys.path.insert(0, {str(home)!r}); import {PACKAGE.name}; "
        f"sys.path.append(sys.path.pop(0)); from {module} import main; "
        "from model_envelope.runtime.ending import leave; leave(main())"
    )
    return ["-I" if isolated else "-P", "-c", code, *map(str, rest)]
