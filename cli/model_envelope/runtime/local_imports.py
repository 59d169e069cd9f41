"""Imports of local modules that shadow nothing.

Modules of an envelope's ``code/`` are imported by their own names, unless such a name means something else here: to a
library (a local ``yaml.py`` where PyYAML is installed too), to another envelope in this process, or to the process
itself. Then the local module is loaded beside it, as a part of a package that only the local code and the pickle know:
these get theirs, everybody else gets what they would get without the envelope.
"""

from __future__ import annotations

import ast
import builtins
import filecmp
import importlib
import os
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from typing import Any, NoReturn

_BESIDE = "_envelope_local"
_NAMED_BESIDE = re.compile(rf"{_BESIDE}(?:_\d+)?\.")
_STARTED_WITH = frozenset({"abc", "codecs", "encodings", "genericpath", "io", "os", "posixpath", "site", "stat"})
"""What Python has loaded before it runs anything: a file of that name is never imported instead."""
_MODULES = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
_INSTALLED = (".dist-info", ".egg-info")
_active: list[LocalImports] = []


def plain_name(module: str) -> str:
    """Give the name that the author of a module knows it by."""
    return _NAMED_BESIDE.sub("", module, count=1) if module.startswith(_BESIDE) else module


def import_local(module: str) -> Any:
    """Import a module by the name that its author knows: the local one of that name where there is one.

    Of several envelopes in this process the one that was loaded last counts. Raises :class:`ImportError`.
    """
    plain = plain_name(module)
    for imports in reversed(_active):
        if imports.has(plain):
            return imports.module(plain)
    return importlib.import_module(plain)


class LocalImports:
    """Finds the modules of some folders.

    ``sealed`` folders are no part of ``sys.path``; bytecode is neither read nor written there.
    """

    def __init__(self, folders: Sequence[str], *, sealed: bool = False) -> None:
        self.folders = tuple(os.path.abspath(folder) for folder in folders)  # noqa: PTH100
        self.sealed = sealed
        self._package = ""

    @classmethod
    def at_the_front(cls) -> LocalImports:
        """Those of the folders that come before Python's own on ``sys.path``, and hold no installed distributions."""
        library = os.path.dirname(os.__file__)  # noqa: PTH120
        front = sys.path[: sys.path.index(library)] if library in sys.path else []
        return cls([entry for entry in front if os.path.isdir(entry) and not _holds_distributions(entry)])  # noqa: PTH112

    def activate(self) -> LocalImports:
        """Find modules there from now on; gives the one that does so already for the same folders."""
        if not self.folders:
            return self
        for other in _active:
            if other.folders == self.folders:
                return other
        if self.sealed:
            for folder in self.folders:
                sys.path_hooks.insert(0, _source_only(Path(folder)))
                # For the processes that the model starts.
                sys.path.append(folder)
        elif not self.names_beside:
            return self
        if self.names_beside:
            self._package = _BESIDE if _BESIDE not in sys.modules else f"{_BESIDE}_{len(_active) + 1}"
            package = types.ModuleType(self._package)
            package.__path__ = list(self.folders)
            sys.modules[self._package] = package
        sys.meta_path.insert(0, self)
        _active.append(self)
        return self

    def has(self, module: str) -> bool:
        """Say whether the folders have a module or package of that top-level name.

        A folder without ``__init__.py`` counts only where its name means something else to others.
        """
        name = module.partition(".")[0]
        return name in self.names_beside or self._spec(name, bare=False) is not None

    def module(self, name: str) -> Any:
        """Import a module by the name that its author knows it by."""
        return importlib.import_module(self._named(name))

    def attribute(self, module: str, name: str) -> bool:
        """Say whether what a pickle calls by this module and name is local, where others have the module too."""
        if module.partition(".")[0] not in self.names_beside:
            return False
        file = self._file(module)
        if file is None or not file.endswith(".py"):
            return file is not None
        first = name.partition(".")[0]
        if first in _bound_in(file):
            return True
        try:
            found: Any = importlib.import_module(module)
        except ImportError:
            return True
        return not hasattr(found, first)

    @cached_property
    def names_beside(self) -> frozenset[str]:
        """The names of modules here that mean something else to others.

        Equal code may be shared: an object that the process made is of the class that the model knows. But where one
        module differs, all are kept apart, as one may import the other.
        """
        found = (item for folder in self.folders for item in _listed(folder))
        names = {item.partition(".")[0] for item in found if "." not in item or item.endswith(_MODULES)}
        pairs = {name: pair for name in names if name.isidentifier() and (pair := self._twice(name))}
        return frozenset(pairs if any(ours.differs(theirs) for ours, theirs in pairs.values()) else ())

    def builtins(self, folder: str | None = None) -> Mapping[str, Any]:
        """Give what stands for ``__builtins__`` in local code: its imports find the local modules of its folder."""
        folders = self.folders if folder is None else (folder,)
        mine = frozenset(name for name in self.names_beside if self._spec(name, folders) is not None)

        def import_(
            name: str,
            globals: Mapping[str, Any] | None = None,  # noqa: A002
            locals: Mapping[str, Any] | None = None,  # noqa: A002
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> Any:
            top = name.partition(".")[0]
            if level or top not in mine:
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            found = self.module(name)
            for part in fromlist or ():
                if part != "*" and not hasattr(found, part) and hasattr(found, "__path__"):
                    _import_if_there(f"{found.__name__}.{part}")
            return found if fromlist else sys.modules[self._named(top)]

        return {**vars(builtins), "__import__": import_}

    # What the import system asks.

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Find a module here, or elsewhere if its name means something else to others."""
        if path is None:
            if "." in name or not self.has(name):
                return None
            if name in self.names_beside:
                return self._elsewhere(name, target)
            return self._mine(PathFinder.find_spec(name, list(self.folders), target))
        here = [entry for entry in path if self._folder_of(entry)]
        return self._mine(PathFinder.find_spec(name, path, target)) if here else None

    def _named(self, name: str) -> str:
        return f"{self._package}.{name}" if name.partition(".")[0] in self.names_beside else name

    def _spec(self, name: str, folders: Sequence[str] | None = None, *, bare: bool = True) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, list(self.folders if folders is None else folders))
        return spec if spec is not None and (bare or spec.loader is not None) else None

    def _file(self, module: str) -> str | None:
        path: list[str] = list(self.folders)
        spec = None
        parts = module.split(".")
        for depth in range(len(parts)):
            spec = PathFinder.find_spec(".".join(parts[: depth + 1]), path)
            if spec is None:
                return None
            path = list(spec.submodule_search_locations or ())
        return spec.origin if spec is not None else None

    def _twice(self, name: str) -> tuple[_Code, _Code] | None:
        """Give what a name is here and what it means to others; None where they know nothing but this."""
        spec = self._spec(name, bare=self.sealed)
        if spec is None or name in _STARTED_WITH or name in sys.builtin_module_names:
            return None
        loaded = sys.modules.get(name)
        if loaded is not None:
            theirs = _Code(getattr(loaded, "__file__", None), tuple(getattr(loaded, "__path__", ())))
        else:
            found = self._elsewhere(name, None)
            theirs = _Code.of(found) if found is not None else _Code(None, ())
        theirs = theirs.without(self.folders)
        return (_Code.of(spec), theirs) if theirs.file or theirs.folders else None

    def _elsewhere(self, name: str, target: Any) -> ModuleSpec | None:
        """Find a top-level module where these folders are not looked at, nor those of envelopes loaded later."""
        later = _active[_active.index(self) :] if self in _active else [self]
        known = {folder for imports in later for folder in imports.folders}
        rest = [entry for entry in sys.path if os.path.abspath(entry) not in known]  # noqa: PTH100
        for finder in sys.meta_path:
            if finder in later:
                continue
            if finder is PathFinder:
                spec = PathFinder.find_spec(name, rest, target)
            else:
                find = getattr(finder, "find_spec", None)
                spec = find(name, None, target) if find else None
            if spec is not None:
                return spec
        return None

    def _mine(self, spec: ModuleSpec | None) -> ModuleSpec | None:
        """Have local code see local modules, where that makes a difference."""
        if spec is None or not self.names_beside or not isinstance(spec.loader, SourceFileLoader) or not spec.origin:
            return spec
        folder = self._folder_of(spec.origin)
        if folder is not None:
            spec.loader = _Inside(spec.loader, self.builtins(folder))  # type: ignore[assignment]
        return spec

    def _folder_of(self, path: str) -> str | None:
        return next((folder for folder in self.folders if path == folder or path.startswith(folder + os.sep)), None)


@dataclass(frozen=True)
class _Code:
    """Where the code of a module is: its file (a folder without ``__init__.py`` has none), and a package's folders."""

    file: str | None
    folders: tuple[str, ...]

    @classmethod
    def of(cls, spec: ModuleSpec) -> _Code:
        return cls(spec.origin if spec.loader is not None else None, tuple(spec.submodule_search_locations or ()))

    def without(self, roots: Sequence[str]) -> _Code:
        """Leave out what lies in these folders."""
        inside = tuple(os.path.realpath(root) + os.sep for root in roots)
        file = self.file if self.file and not os.path.realpath(self.file).startswith(inside) else None
        return _Code(file, tuple(path for path in self.folders if not os.path.realpath(path).startswith(inside)))

    def differs(self, other: _Code) -> bool:
        """Say whether another is not as good: bare folders have to agree in what both have, all else in every file."""
        if not self.folders:
            return bool(other.folders) or not _equal(self.file, other.file)
        if not self.file and other.file:
            return True
        for folder in map(Path, self.folders):
            for path in _files(folder):
                there = [place for root in other.folders if (place := Path(root, path.relative_to(folder))).exists()]
                if (self.file and not there) or any(not _equal(path, place) for place in there):
                    return True
        return False


class _Inside:
    """A loader whose modules have ``__builtins__`` of their own. In all else it is the loader that it stands for."""

    def __init__(self, loader: SourceFileLoader, own: Mapping[str, Any]) -> None:
        self._loader = loader
        self._own = own

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """Leave that to the import system."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module's code."""
        module.__dict__["__builtins__"] = dict(self._own)
        self._loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _SourceOnly(SourceFileLoader):
    """Compiles a sealed module each time: bytecode in an envelope would be files that nobody sealed, or trusts."""

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(f"no bytecode is read or written for {path}")


def _source_only(folder: Path) -> Callable[[str], FileFinder]:
    def finder(entry: str) -> FileFinder:
        if not Path(entry).is_relative_to(folder):
            raise ImportError(f"{entry} is not in {folder}", path=entry)
        return FileFinder(entry, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceOnly, SOURCE_SUFFIXES))

    return finder


def _import_if_there(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise


def _listed(folder: str) -> Sequence[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return ()


def _holds_distributions(folder: str) -> bool:
    return any(name.endswith(_INSTALLED) for name in _listed(folder))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def _equal(one: str | Path | None, other: str | Path | None) -> bool:
    try:
        return bool(one and other) and filecmp.cmp(str(one), str(other), shallow=False)
    except OSError:
        return False


def _bound_in(file: str) -> frozenset[str]:
    """List the names that a module binds at its top level, without running it."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name.partition(".")[0] for alias in names}
    return frozenset(found)
