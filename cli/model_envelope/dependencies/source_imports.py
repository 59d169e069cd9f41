"""What source code imports, read from its syntax tree: nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_FALLBACK = re.compile(r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_DYNAMIC = frozenset({"globals", "locals", "vars", "dir", "eval", "exec", "__dict__", "getmembers", "__subclasses__"})
"""Who says one of these may go on to names that stand nowhere."""
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


@dataclass(frozen=True)
class Part:
    """A function or class at the top of a module, or (``name`` is empty) all else in it.

    Importing the module only makes what has a name here: its imports matter where something asks for it by that name.
    ``mentions`` are the identifiers in it, also those in texts; ``dynamic`` says that it may ask for more by names that
    it makes up.
    """

    name: str
    imports: tuple[Import, ...]
    mentions: frozenset[str] = frozenset()
    dynamic: bool = False


def read_parts(source: str) -> tuple[Part, ...]:
    """Give the parts of source code with their imports, sorted; what only type checkers see is left out.

    Source that this Python cannot parse (it may be of a newer one) is read line by line instead, as one part.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return (Part("", tuple(sorted(set(_read_lines(source)))), dynamic=True),)
    rest = _Reader()
    parts = []
    for node in tree.body:
        if name := _made_only(node):
            reader = _Reader()
            rest.read(_run_when_made(node))
            reader.visit(node)
            parts.append(reader.part(name))
        else:
            rest.visit(node)
    return (rest.part(""), *parts)


class _Reader:
    def __init__(self) -> None:
        self.found: set[Import] = set()
        self.mentions: set[str] = set()
        self.dynamic = False
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
            case ast.Expr(value=ast.Constant()):
                pass  # text for people
            case _:
                self.mention(node)
                self.read(ast.iter_child_nodes(node))

    def mention(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                self.mentions.add(name)
            case ast.Constant(value=str(text)):
                self.mentions.update(_IDENTIFIER.findall(text))

    def part(self, name: str) -> Part:
        dynamic = self.dynamic or not _DYNAMIC.isdisjoint(self.mentions)
        return Part(name, tuple(sorted(self.found)), frozenset(self.mentions), dynamic)

    def add(self, module: str, *, attribute: bool = False) -> None:
        self.found.add(Import(module, attribute, guarded=self.guarded > 0, lazy=self.lazy > 0))

    def import_from(self, node: ast.ImportFrom) -> None:
        base = "." * node.level + (node.module or "")
        if node.module:
            self.add(base)
        for alias in node.names:
            if alias.name != "*":
                self.mentions.add(alias.name)
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
        elif name in ("getattr", "attrgetter"):
            names = node.args[1:2] if name == "getattr" else node.args
            self.dynamic |= not all(isinstance(item, ast.Constant) for item in names)


def _made_only(node: ast.stmt) -> str:
    """Give the name of what a statement makes and does nothing else with; empty for other statements."""
    match node:
        case ast.FunctionDef(name=name, decorator_list=[]) | ast.AsyncFunctionDef(name=name, decorator_list=[]):
            return "" if name.startswith("__") else name
        case ast.ClassDef(name=name, bases=[] | [ast.Name(id="object")], keywords=[], decorator_list=[]):
            return name
    return ""


def _run_when_made(node: ast.AST) -> Iterator[ast.AST]:
    """Give what of a function or class is run when it is made."""
    match node:
        case ast.FunctionDef(args=arguments, returns=returns) | ast.AsyncFunctionDef(args=arguments, returns=returns):
            yield arguments
            if returns is not None:
                yield returns
        case ast.ClassDef(body=body):
            for item in body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from item.decorator_list
                    yield from _run_when_made(item)
                elif isinstance(item, ast.ClassDef):
                    yield from (*item.decorator_list, *item.bases, *item.keywords)
                    yield from _run_when_made(item)
                else:
                    yield item


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
