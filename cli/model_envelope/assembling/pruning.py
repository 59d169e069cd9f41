"""Takes out of installed packages what no image needs, by the rules of ``rules.toml``."""

from __future__ import annotations

import ast
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from model_envelope.assembling.installed import Distribution, site_packages

# Code is parsed only where a line may import a folder of tests.
_MAY_IMPORT_TESTS = re.compile(rb"(?m)^\s*(?:from|import)\b.*\btests?\b|^\s+tests?\s*(?:,|as\b|$)")


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
        for path in sorted(prefix.glob(glob)):
            _remove(path)
    lost: dict[str, int] = {}
    site = site_packages(prefix)
    gone: set[Path] = set()
    for item in installed:
        for name in rules.notes:
            (item.folder / name).unlink(missing_ok=True)
        files = [path for path in item.files(prefix) if path.is_file() and not path.is_symlink()]
        folders = _test_folders(files, site, rules)
        doomed = [path for path in files if path.suffix in rules.endings or not folders.isdisjoint(path.parents)]
        lost[item.name] = sum(path.stat().st_size for path in doomed if path.suffix not in (".pyc", ".pyo"))
        for path in doomed:
            path.unlink(missing_ok=True)
        gone |= folders
    # Bytecode that installers made is in no record.
    for cache in [path for path in (prefix / "lib").rglob("__pycache__") if path.is_dir()]:
        _remove(cache)
    for folder in sorted(gone, key=lambda path: len(path.parts), reverse=True):
        _remove_empty(folder)
    return lost


def _test_folders(files: Iterable[Path], site: Path, rules: Rules) -> set[Path]:
    """Find the outermost folders of tests in a distribution that none of its other code imports."""
    found: dict[Path, bool] = {}
    for path in files:
        if not path.is_relative_to(site):
            continue
        parts = path.relative_to(site).parts[:-1]
        # The first part is the name of a package, or none is above it: `tests` there is somebody's own package.
        depth = next((at for at, name in enumerate(parts) if at and name in rules.test_folders), None)
        if depth is None or any(part.endswith((".dist-info", ".data")) for part in parts[:1]):
            continue
        folder = site.joinpath(*parts[: depth + 1])
        is_evidence = any(fnmatch(path.name, pattern) for pattern in rules.test_evidence)
        found[folder] = found.get(folder, False) or is_evidence
    candidates = {folder for folder, is_tests in found.items() if is_tests}
    while candidates:
        kept = [path for path in files if path.suffix == ".py" and candidates.isdisjoint(path.parents)]
        used = {folder for path in kept for folder in _imports_of_tests(path, site) if folder in candidates}
        if not used:
            break
        candidates -= used
    return candidates


def _imports_of_tests(path: Path, site: Path) -> Iterator[Path]:
    """Give the folders that a file imports something from, as far as their names may be those of tests."""
    source = path.read_bytes()
    if not _MAY_IMPORT_TESTS.search(source):
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = path.relative_to(site).parts[:-1]
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
            yield from (site.joinpath(*name[:length]) for length in range(1, len(name) + 1))


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
