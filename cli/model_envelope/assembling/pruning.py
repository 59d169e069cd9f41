"""Takes out of installed packages what no image needs, by the rules of ``rules.toml``."""

from __future__ import annotations

import ast
import os
import re
import shutil
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from model_envelope.assembling.installed import Distribution, site_packages, size_of

# Code is parsed only where a line may import a folder of tests. These words are sought first: that is much faster.
_TESTS = re.compile(rb"tests?\b")
_MAY_IMPORT_TESTS = re.compile(rb"\s*(?:(?:from|import)\b.*\btests?\b|tests?\s*(?:,|as\b|$))")


@dataclass(frozen=True)
class Rules:
    """What is taken out; see ``rules.toml``."""

    test_folders: frozenset[str]
    test_evidence: tuple[str, ...]
    endings: tuple[str, ...]
    globs: tuple[str, ...]
    notes: tuple[str, ...]


def read_rules() -> Rules:
    """Read the rules."""
    document = tomllib.loads(Path(__file__).with_name("rules.toml").read_text("utf-8"))
    return Rules(
        frozenset(document["tests"]["folders"]),
        tuple(document["tests"]["evidence"]),
        tuple(document["files"]["endings"]),
        tuple(document["places"]["globs"]),
        tuple(document["notes"]["names"]),
    )


def prune(prefix: Path, installed: Iterable[Distribution], rules: Rules) -> dict[str, int]:
    """Take out of an environment what the rules name; give the bytes that each distribution lost, by its name."""
    for glob in rules.globs:
        for place in sorted(prefix.glob(glob)):
            _remove(place)
    lost: dict[str, int] = {}
    site = f"{site_packages(prefix).relative_to(prefix)}/"
    gone: set[str] = set()
    for item in installed:
        for name in rules.notes:
            (item.folder / name).unlink(missing_ok=True)
        sizes = {path: size for path in item.files(prefix) if (size := size_of(f"{prefix}/{path}")) is not None}
        folders = _test_folders(prefix, sizes, site, rules)
        doomed = [path for path in sizes if path.endswith(rules.endings) or path.startswith(folders)]
        lost[item.name] = sum(sizes[path] for path in doomed if not path.endswith((".pyc", ".pyo")))
        for path in doomed:
            (prefix / path).unlink()
        gone.update(folders)
    # Bytecode that installers made is in no record.
    for cache in [path for path in (prefix / "lib").rglob("__pycache__") if path.is_dir()]:
        _remove(cache)
    for folder in sorted(gone, key=lambda path: path.count("/"), reverse=True):
        _remove_empty(prefix / folder)
    return lost


def _test_folders(prefix: Path, files: Collection[str], site: str, rules: Rules) -> tuple[str, ...]:
    """Find the outermost folders of tests in a distribution that none of its other code imports.

    ``site`` is where packages are, relative to the environment ``prefix`` as ``files`` are; it and the folders that are
    found end with ``/``.
    """
    found: dict[str, bool] = {}
    for path in files:
        *parts, name = path.removeprefix(site).split("/")
        # The first part is the name of a package, or none is above it: `tests` there is somebody's own package.
        depth = next((at for at, part in enumerate(parts) if at and part in rules.test_folders), None)
        if depth is None or not path.startswith(site) or parts[0].endswith((".dist-info", ".data")):
            continue
        folder = f"{site}{'/'.join(parts[: depth + 1])}/"
        is_evidence = any(fnmatch(name, pattern) for pattern in rules.test_evidence)
        found[folder] = found.get(folder, False) or is_evidence
    candidates = {folder for folder, is_tests in found.items() if is_tests}
    code = [path for path in files if path.endswith(".py") and path.startswith(site)]
    imports: dict[str, set[str]] = {}
    while candidates:
        doomed = tuple(candidates)
        kept = [path for path in code if not path.startswith(doomed)]
        imports |= {path: set(_imports_of_tests(prefix, path, site)) for path in kept if path not in imports}
        used = candidates & {folder for path in kept for folder in imports[path]}
        if not used:
            break
        candidates -= used
    return tuple(sorted(candidates))


def _imports_of_tests(prefix: Path, path: str, site: str) -> Iterator[str]:
    """Give the folders that a file imports something from, as far as their names may be those of tests."""
    source = (prefix / path).read_bytes()
    if not _may_import_tests(source):
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = tuple(path.removeprefix(site).split("/")[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            whole = (*above, *(node.module.split(".") if node.module else ()))
            names = [(*whole, alias.name) for alias in node.names]
        else:
            continue
        for name in names:
            yield from (f"{site}{'/'.join(name[:length])}/" for length in range(1, len(name) + 1))


def _may_import_tests(source: bytes) -> bool:
    """Tell whether a line of code looks as if it imported something of that name."""
    for word in _TESTS.finditer(source):
        begin, end = source.rfind(b"\n", 0, word.start()) + 1, source.find(b"\n", word.end())
        if _MAY_IMPORT_TESTS.match(source[begin : end if end >= 0 else None]):
            return True
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders that are left of a folder."""
    for path, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(path):  # noqa: PTH208  os.walk gives names
            os.rmdir(path)  # noqa: PTH106  as above
