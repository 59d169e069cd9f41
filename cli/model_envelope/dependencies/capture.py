"""Copies the local code that a model needs into its envelope."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.local_code import LocalModule
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import human_size
from model_envelope.runtime.errors import Problem, Problems

SIZE_LIMIT = 500_000_000
"""How many bytes of local code travel where nothing else is said."""
FILES_LIMIT = 100_000
"""How many files of local code travel: more is no code, and a link out of the folder can lead to all of a disk."""
LEFT_OUT = frozenset(
    {
        *("__pycache__", ".git", ".hg", ".svn", ".bzr", ".gitignore", ".gitattributes", ".gitmodules"),
        *(".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".pytype"),
        *(".tox", ".nox", ".venv", ".direnv", "node_modules", ".eggs", ".coverage", "htmlcov"),
        *(".DS_Store", "Thumbs.db", ".idea", ".vscode", ".dvc"),
    }
)
"""Names of files and folders that never belong to a module."""
LEFT_OUT_ENDINGS = (".pyc", ".pyo", ".swp", "~", ".egg-info", ".dist-info")
"""How the names of others end: bytecode, what editors keep, metadata of installs."""
BUILT = frozenset({"build", "dist", "wandb", "mlruns", "lightning_logs", ".cache"})
"""Folders of results: left out where they hold no module themselves."""


_ASKS_FOR_METADATA = re.compile(
    rb"\bimportlib[._]metadata\b|\bfrom importlib import [^\n]*\bmetadata\b|\bpkg_resources\b"
)


def capture(
    local: Iterable[LocalModule],
    into: Path,
    *,
    limit: int = SIZE_LIMIT,
    raised_by: str = "",
    behind: Callable[[str], None] = lambda _: None,
) -> tuple[str, ...]:
    """Copy modules and packages, with the data files in them, and give the paths of the copies, sorted.

    Links are followed, so that the copy stands alone. What editors, version control, builds and interpreters leave
    behind stays behind, and so do environments. ``raised_by`` is how the limit is raised, for the error. ``behind`` is
    told the folders that stay behind although a model might miss them: results of builds and runs.

    Raises :class:`InvalidInput` where the code is larger than ``limit`` bytes (``code.too-large``), holds a link that
    leads nowhere or in circles (``code.broken-link``), too many files (``code.too-many``), something that cannot be
    read (``code.unreadable``) or is no file (``code.not-a-file``), has bytecode alone (``code.no-source``) or two files
    for one place (``code.twice``), or is not there (``code.missing``). Nothing is copied then.
    """
    chosen: dict[str, Path] = {}
    for module in sorted(local):
        if not module.path.exists():
            raise InvalidInput(
                f"the local module `{module.name}` is not at `{module.path}` any more",
                code="code.missing",
                hint="pack again with the module's folder in place",
            )
        if module.path.suffix in (".pyc", ".pyo"):
            raise InvalidInput(
                f"of the local module `{module.name}` there is bytecode alone, `{module.path}`",
                code="code.no-source",
                hint="put its source beside it: bytecode is not sealed, as nobody can read it",
            )
        for source, relative in _files(module, behind):
            if len(chosen) >= FILES_LIMIT:
                raise _too_many(module)
            before = chosen.setdefault(relative, source)
            if before != source and not _same(before, source):
                raise InvalidInput(
                    f"`{before}` and `{source}` differ, and both would be `code/{relative}` of the envelope",
                    code="code.twice",
                    hint=f"keep one folder of `{module.name}`, or rename one of the files",
                )
    _check_readable(chosen)
    _check_size(chosen, limit, raised_by)
    for relative, source in sorted(chosen.items()):
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return tuple(sorted(chosen))


def capture_metadata(local: Iterable[LocalModule], installed: Installed, into: Path) -> None:
    """Give captured code that asks for its own version or entry points what it would find where it is installed.

    That is the metadata of editable installs whose code was copied below ``into``; without the address it came from.
    """
    if not any(_ASKS_FOR_METADATA.search(path.read_bytes()) for path in sorted(into.rglob("*.py"))):
        return
    folders = {module.path for module in local}
    for _, distribution in sorted(installed.distributions.items()):
        if distribution.project is None or not any(distribution.project in path.parents for path in folders):
            continue
        info = into / f"{distribution.key.replace('-', '_')}-{distribution.version}.dist-info"
        for names, name in ((("METADATA", "PKG-INFO"), "METADATA"), (("entry_points.txt",), "entry_points.txt")):
            if source := next((file for given in names if (file := distribution.info / given).is_file()), None):
                info.mkdir(exist_ok=True)
                shutil.copyfile(source, info / name)


def _files(module: LocalModule, behind: Callable[[str], None]) -> Iterator[tuple[Path, str]]:
    path = module.path
    if path.is_dir():
        yield from _walk(path, module.place_of(path), (path.resolve(),), behind)
        return
    yield path, module.place_of(path)
    if "." not in module.name and path.stem.partition(".")[0] != module.name:
        # It was loaded by its path, and its own code may do so too.
        yield path, path.name


def _walk(
    folder: Path, relative: str, above: tuple[Path, ...], behind: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    for item in _listed(folder):
        name = f"{relative}/{item.name}"
        if _left_out(item):
            if item.name in BUILT:
                behind(f"{name}/")
            continue
        if item.is_dir():
            real = item.resolve()
            if real in above:
                raise _broken_link(item, "leads in a circle")
            yield from _walk(item, name, (*above, real), behind)
        elif item.exists():
            yield item, name
        else:
            raise _broken_link(item, "leads in a circle" if _is_loop(item) else "leads nowhere")


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InvalidInput(
            f"`{folder}` in the model's local code cannot be read: {error.strerror}",
            code="code.unreadable",
            hint="make it readable, or move it out of the folder of the module",
        ) from None


def _left_out(item: Path) -> bool:
    if item.name in BUILT:
        return item.is_dir() and not any(item.glob("*.py"))
    if item.name in LEFT_OUT or item.name.endswith(LEFT_OUT_ENDINGS):
        return True
    # Environments are named as anybody likes.
    return item.is_dir() and (item / "pyvenv.cfg").exists()


def _is_loop(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _same(one: Path, other: Path) -> bool:
    return one.samefile(other) or one.read_bytes() == other.read_bytes()


def _broken_link(path: Path, how: str) -> InvalidInput:
    return InvalidInput(
        f"the link `{path}` in the model's local code {how}",
        code="code.broken-link",
        hint="remove the link or put the file in its place",
    )


def _too_many(module: LocalModule) -> InvalidInput:
    return InvalidInput(
        f"the model's local code has more than {FILES_LIMIT:,} files, most likely below `{module.path}`",
        code="code.too-many",
        hint="keep data out of the folders of modules, and links that lead to it",
    )


def _check_readable(chosen: Mapping[str, Path]) -> None:
    """Look at each file before any is copied: reading a pipe would wait for ever."""
    problems = Problems()
    for relative, path in chosen.items():
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            problems.add(f"code/{relative}", _kind(mode), "a file that can be copied", "code.not-a-file")
        elif not os.access(path, os.R_OK):
            problems.add(f"code/{relative}", f"`{path}`, which you may not read", "a readable file", "code.unreadable")
    if problems:
        raise InvalidInput(
            problems.summary("the model's local code holds what cannot be copied"),
            code=problems.items[0].code,
            problems=problems.items,
            hint="move it out of the folder of the module, or make it readable",
        )


def _kind(mode: int) -> str:
    for test, kind in ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder")):
        if test(mode):
            return kind
    return "a device"


def _check_size(chosen: Mapping[str, Path], limit: int, raised_by: str) -> None:
    sizes = {relative: path.stat().st_size for relative, path in chosen.items()}
    total = sum(sizes.values())
    if total <= limit:
        return
    files = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:5]
    shown = [*files, *_largest_folders(sizes, total)]
    raise InvalidInput(
        f"the model's local code has {human_size(total)}, and at most {human_size(limit)} travel in an envelope",
        code="code.too-large",
        problems=[
            Problem(f"code/{relative}", human_size(size), "code and small data files", "code.too-large")
            for relative, size in shown
        ],
        hint=f"keep data and checkpoints out of the folders of modules{_raising(raised_by, total)}",
    )


def _raising(by: str, total: int) -> str:
    return f", or raise the limit: {by.format(f'{-(-total * 11 // 10 // 10**6)}MB')}" if by else ""


def _largest_folders(sizes: Mapping[str, int], total: int) -> list[tuple[str, int]]:
    """Give the folders that hold most of it, each once: not the ones around them as well."""
    sums: dict[str, int] = {}
    for relative, size in sizes.items():
        parts = relative.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth]) + "/"
            sums[folder] = sums.get(folder, 0) + size
    large = {folder: size for folder, size in sums.items() if size * 5 >= total}
    inner = [
        (folder, size)
        for folder, size in large.items()
        if not any(
            other != folder and other.startswith(folder) and more * 5 >= size * 4 for other, more in large.items()
        )
    ]
    return sorted(inner, key=lambda item: (-item[1], item[0]))[:3]
