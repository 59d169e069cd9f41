"""Where the names in an annotation are looked up, those that are imported for type checkers only included."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any


class Unresolved(Exception):
    """A name in an annotation means nothing at run time."""


@dataclass(frozen=True)
class Scope:
    """The names of a module, of the class that is defined there, and what its type variables stand for."""

    names: Mapping[str, Any]
    owner: type | None = None
    variables: Mapping[Any, tuple[Any, Scope]] = field(default_factory=dict)

    def evaluate(self, text: str) -> Any:
        """Evaluate an annotation that was written as text.

        Raises :class:`Unresolved` where it names what does not exist at run time.
        """
        try:
            code = compile(text.strip(), "<annotation>", "eval")
            # What typing.get_type_hints does, with one more place in which names are looked up.
            return eval(code, {"__builtins__": {}}, _Names(self))  # noqa: S307
        except Unresolved:
            raise
        except Exception as error:  # an annotation is any expression, and fails in any way
            raise Unresolved(f"{text}: {error}") from error

    def lookup(self, name: str) -> Any:
        """Find what a name means. Raises :class:`Unresolved`."""
        if self.owner is not None:
            if name == self.owner.__name__:
                return self.owner
            if name in vars(self.owner):
                return vars(self.owner)[name]
            for parameter in getattr(self.owner, "__type_params__", ()):
                if parameter.__name__ == name:
                    return parameter
        if name in self.names:
            return self.names[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        return self._for_checkers(name)

    def _for_checkers(self, name: str) -> Any:
        found = names_for_checkers(str(self.names.get("__file__") or "")).get(name)
        if found is None:
            raise Unresolved(name)
        try:
            return found(self)
        except (ImportError, AttributeError) as error:
            raise Unresolved(f"{name}: {error}") from error


class _Names(dict[str, Any]):
    """The local names of an evaluation: whatever a scope finds."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def __missing__(self, name: str) -> Any:
        return self.scope.lookup(name)


def scope_of(owner: Any, variables: Mapping[Any, tuple[Any, Scope]] | None = None) -> Scope:
    """Give the scope of a function or a class."""
    names = getattr(owner, "__globals__", None)
    if names is None:
        module = sys.modules.get(getattr(owner, "__module__", None) or "")
        names = vars(module) if module else {}
    own = dict(variables or {})
    closure = getattr(owner, "__closure__", None)
    if closure:
        names = {**names, **dict(_closed_over(owner.__code__.co_freevars, closure))}
    parameters = {item.__name__: item for item in getattr(owner, "__type_params__", ())}
    if parameters and not isinstance(owner, type):
        names = {**names, **parameters}
    return Scope(names, owner if isinstance(owner, type) else None, own)


def _closed_over(free: tuple[str, ...], cells: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(free, cells, strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue


@lru_cache(maxsize=64)
def names_for_checkers(file: str) -> Mapping[str, Callable[[Scope], Any]]:
    """List the names that a module binds under ``if TYPE_CHECKING:``, each with what finds it.

    Nothing where the module has no source.
    """
    try:
        tree = ast.parse(Path(file).read_bytes()) if file else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, Callable[[Scope], Any]] = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            for statement in node.body:
                found.update(_bound_by(statement))
    return found


def _bound_by(node: ast.stmt) -> Mapping[str, Callable[[Scope], Any]]:
    match node:
        case ast.Import():
            return {
                alias.asname or alias.name.partition(".")[0]: _module(alias.name, whole=alias.asname is not None)
                for alias in node.names
            }
        case ast.ImportFrom():
            source = "." * node.level + (node.module or "")
            return {alias.asname or alias.name: _member(source, alias.name) for alias in node.names}
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            text = ast.unparse(value)
            return {name: lambda scope: scope.evaluate(text)}
    return {}


def _module(name: str, *, whole: bool) -> Callable[[Scope], Any]:
    def find(_scope: Scope) -> Any:
        module = importlib.import_module(name)
        return module if whole else sys.modules[name.partition(".")[0]]

    return find


def _member(source: str, name: str) -> Callable[[Scope], Any]:
    def find(scope: Scope) -> Any:
        module = importlib.import_module(source, scope.names.get("__package__"))
        if hasattr(module, name):
            return getattr(module, name)
        return importlib.import_module(f"{module.__name__}.{name}")

    return find
