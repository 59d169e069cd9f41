"""What source code imports, read from its syntax tree: nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_FALLBACK = re.compile(r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)
_CATCHES_IMPORT_ERROR = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, order=True)
class Import:
    """A module that code imports, as written: relative ones keep their leading dots.

    ``from a import b`` may take a name or a module: it gives ``a`` and, with ``attribute`` true, ``a.b``. ``guarded``
    says that the code goes on without it (it stands in a ``try`` that catches ImportError), ``lazy`` that it stands in
    a function.
    """

    module: str
    attribute: bool = False
    guarded: bool = False
    lazy: bool = False


def imports_of(source: str) -> frozenset[str]:
    """Give all modules that source code imports, wherever in it; what only type checkers see is left out.

    Names taken from a module come as ``module.name`` too, as they may be modules. Relative imports keep their dots.
    """
    return frozenset(found.module for found in read_imports(source))


def read_imports(source: str) -> tuple[Import, ...]:
    """Give all imports of source code, sorted.

    Source that this Python cannot parse (it may be of a newer one) is read line by line instead.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return tuple(sorted(set(_read_lines(source))))
    reader = _Reader()
    reader.read(tree.body)
    return tuple(sorted(reader.found))


class _Reader:
    def __init__(self) -> None:
        self.found: set[Import] = set()
        self.guarded = 0
        self.lazy = 0

    def read(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit(self, node: ast.AST) -> None:
        match node:
            case ast.Import():
                for alias in node.names:
                    self.add(alias.name)
            case ast.ImportFrom():
                self.import_from(node)
            case ast.If():
                self.condition(node)
            case ast.Try() | ast.TryStar():
                self.attempt(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self.lazy += 1
                self.read(ast.iter_child_nodes(node))
                self.lazy -= 1
            case ast.Call():
                self.call(node)
                self.read(ast.iter_child_nodes(node))
            case _:
                self.read(ast.iter_child_nodes(node))

    def add(self, module: str, *, attribute: bool = False) -> None:
        self.found.add(Import(module, attribute, guarded=self.guarded > 0, lazy=self.lazy > 0))

    def import_from(self, node: ast.ImportFrom) -> None:
        base = "." * node.level + (node.module or "")
        if node.module:
            self.add(base)
        for alias in node.names:
            if alias.name != "*":
                self.add(f"{base}.{alias.name}" if node.module else f"{base}{alias.name}", attribute=True)
            elif not node.module:
                self.add(base)

    def condition(self, node: ast.If) -> None:
        verdict = _known(node.test)
        if verdict is not False:
            self.read(node.body)
        if verdict is not True:
            self.read(node.orelse)
        self.visit(node.test)

    def attempt(self, node: ast.Try | ast.TryStar) -> None:
        catches = any(_catches_import_error(handler.type) for handler in node.handlers)
        self.guarded += catches
        self.read(node.body)
        self.guarded -= catches
        # What stands in the handlers takes the place of what was missing: it is optional as well.
        self.guarded += catches
        self.read(node.handlers)
        self.guarded -= catches
        self.read((*node.orelse, *node.finalbody))

    def call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("import_module", "__import__") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.strip("."):
                self.add(first.value)


def _known(test: ast.expr) -> bool | None:
    """Say what a condition is when a module is imported to be used: never type checked, never the script."""
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return False
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]):
            return False
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _known(operand)
            return None if inner is None else not inner
    return None


def _catches_import_error(kind: ast.expr | None) -> bool:
    match kind:
        case None:
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _CATCHES_IMPORT_ERROR
        case ast.Tuple(elts=kinds):
            return any(_catches_import_error(item) for item in kinds)
    return False


def _read_lines(source: str) -> Iterator[Import]:
    for match in _FALLBACK.finditer(source):
        if match[1]:
            yield Import(match[1])
        else:
            for part in match[2].split(","):
                if words := part.split():
                    yield Import(words[0])
