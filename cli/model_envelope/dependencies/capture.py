"""Copies the local code that a model needs into its envelope."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from model_envelope.dependencies.local_code import LocalModule
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import human_size
from model_envelope.runtime.errors import Problem

SIZE_LIMIT = 500_000_000
LEFT_OUT = frozenset(
    {
        *("__pycache__", ".git", ".hg", ".svn", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
        *(".tox", ".nox", ".venv", "node_modules", ".DS_Store", ".idea", ".vscode"),
    }
)
"""Names of files and folders that never belong to a module."""


def capture(local: Iterable[LocalModule], into: Path, *, limit: int = SIZE_LIMIT) -> tuple[str, ...]:
    """Copy modules and packages, with the data files in them, and give the paths of the copies, sorted.

    Links are followed, so that the copy stands alone. What editors, version control and interpreters leave behind stays
    behind.

    Raises :class:`InvalidInput` where the code is larger than ``limit`` bytes (``code.too-large``; nothing is copied
    then), holds a link that leads nowhere or in circles (``code.broken-link``), or is not there (``code.missing``).
    """
    chosen: dict[str, Path] = {}
    for module in sorted(local, key=lambda module: module.name):
        if not module.path.exists():
            raise InvalidInput(
                f"the local module `{module.name}` is not at `{module.path}` any more",
                code="code.missing",
                hint="pack again with the module's folder in place",
            )
        chosen |= {relative: source for source, relative in _files(module.path)}
    _check_size(chosen, limit)
    for relative, source in sorted(chosen.items()):
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return tuple(sorted(chosen))


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    if path.is_file():
        yield path, path.name
        return
    yield from _walk(path, path.name, (path.resolve(),))


def _walk(folder: Path, relative: str, above: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    for item in sorted(folder.iterdir()):
        name = f"{relative}/{item.name}"
        if item.name in LEFT_OUT or item.suffix in (".pyc", ".pyo"):
            continue
        if item.is_dir():
            real = item.resolve()
            if real in above:
                raise _broken_link(item, "leads in a circle")
            yield from _walk(item, name, (*above, real))
        elif item.is_file():
            yield item, name
        elif item.is_symlink():
            raise _broken_link(item, "leads nowhere")


def _broken_link(path: Path, how: str) -> InvalidInput:
    return InvalidInput(
        f"the link `{path}` in the model's local code {how}",
        code="code.broken-link",
        hint="remove the link or put the file in its place",
    )


def _check_size(chosen: dict[str, Path], limit: int) -> None:
    sizes = {relative: path.stat().st_size for relative, path in chosen.items()}
    total = sum(sizes.values())
    if total <= limit:
        return
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    raise InvalidInput(
        f"the model's local code has {human_size(total)}, and at most {human_size(limit)} travel in an envelope",
        code="code.too-large",
        problems=[
            Problem(f"code/{relative}", human_size(size), "code and small data files", "code.too-large")
            for relative, size in largest
        ],
        hint="keep data and checkpoints out of the folders of modules, or put the module into a file of its own",
    )
