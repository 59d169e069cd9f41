"""Finds the script whose definitions a pickle calls ``__main__.<name>``."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from model_envelope.foundation.errors import InvalidInput


def find_main(names: Sequence[str], folders: Sequence[Path], first: Sequence[Sequence[Path]] = ()) -> Path:
    """Find the script whose definitions a pickle calls ``__main__.<name>``: in ``folders``.

    ``first`` are groups of scripts that are looked at before, one after the other.

    Raises :class:`InvalidInput` (``pickle.main``) where no script, or more than one, defines all of them.
    """
    found: dict[Path, None] = {}
    for candidates in (*first, scripts_in(folders)):
        found |= dict.fromkeys(path.resolve() for path in candidates if set(names) <= _defined(path))
        if found:
            break
    if len(found) == 1:
        return next(iter(found))
    wanted = ", ".join(f"`{name}`" for name in names)
    what = "no script there defines them" if not found else f"{len(found)} scripts define them: "
    raise InvalidInput(
        f"the pickle refers to {wanted} in the script that was run as `__main__`, and {what}"
        + ", ".join(str(path) for path in found)
        + f" (looked in {', '.join(map(str, folders))})",
        code="pickle.main",
        hint="name the script with `--module PATH`, run pack from its folder, or move them into a module of their own "
        "and save the model again",
    )


def scripts_in(folders: Sequence[Path]) -> list[Path]:
    """Give the Python files that lie directly in some folders."""
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


def _defined(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return set()
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found
