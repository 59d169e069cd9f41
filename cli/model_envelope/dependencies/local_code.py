"""Local code: modules that no distribution owns. Where they are, and what they import in turn."""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.source_imports import Import, read_imports

_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
_OWN = "model_envelope"
_MAPPING = re.compile(r"^MAPPING(?::[^=]+)?\s*=\s*(\{.*\})\s*$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class LocalModule:
    """A top-level module or package that no distribution owns: ``path`` is its file or its folder."""

    name: str
    path: Path


@dataclass(frozen=True)
class LocalFile:
    """One source file of local code, the dotted name that it is imported by, and what it belongs to."""

    module: str
    path: Path
    top: LocalModule

    @property
    def shown(self) -> str:
        """Where it lies in the envelope."""
        return f"code/{self.path.relative_to(self.top.path.parent).as_posix()}"

    @property
    def package(self) -> str:
        """The package that relative imports in it start from."""
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]

    def absolute(self, name: str) -> str | None:
        """Give the absolute name of what it imports; None for a relative import that leaves its package."""
        stripped = name.lstrip(".")
        level = len(name) - len(stripped)
        if not level:
            return name
        parts = self.package.split(".") if self.package else []
        if level > len(parts):
            return None
        return ".".join([*parts[: len(parts) - level + 1], *([stripped] if stripped else [])])


class LocalCode:
    """Finds local code by where the probe saw modules loaded from, and by looking in folders."""

    def __init__(
        self,
        *,
        loaded: Mapping[str, str | None],
        installed: Installed,
        stdlib: frozenset[str],
        roots: Sequence[Path],
    ) -> None:
        self._loaded = loaded
        self._installed = installed
        self._stdlib = stdlib
        elsewhere = (folder for folder in installed.search_path if not _INSTALLED_FOLDERS & set(folder.parts))
        checkouts = (item.project for item in installed.distributions.values() if item.project)
        nested = [folder for project in checkouts for folder in (project / "src", project)]
        folders = dict.fromkeys([*(root.absolute() for root in roots), *elsewhere, *nested])
        self._stdlib_folders = _stdlib_folders(loaded, stdlib)
        self._roots = [
            folder
            for folder in folders
            if folder not in installed.locations and folder not in self._stdlib_folders and folder.is_dir()
        ]
        self._mapped = _mapped_by_finders(installed)

    def is_standard(self, module: str) -> bool:
        """Whether a module is Python's own, or this tool's."""
        top = module.partition(".")[0]
        return top in self._stdlib or top in ("__future__", _OWN)

    def find(self, module: str) -> tuple[LocalFile, ...] | None:
        """Give the files that importing a module runs, outermost package first; None where it is not local.

        Where the probe saw it loaded from decides. Else it is looked for as Python would: modules and packages in the
        given folders, then what is installed, then folders without ``__init__.py``. A local package of which no file is
        source (an extension module, a bare folder) gives no files.
        """
        top = self.top_level(module)
        if top is None:
            return None
        return tuple(_files_of(module, top))

    def top_level(self, module: str) -> LocalModule | None:
        """Give the top-level module or package that a dotted name belongs to; None where it is not local."""
        if self.is_standard(module):
            return None
        name = module.partition(".")[0]
        seen = self._where_loaded(module)
        if seen is not None:
            return None if self._is_installed(module, seen) else LocalModule(name, _top_of(module, seen))
        if name in self._mapped:
            return LocalModule(name, self._mapped[name])
        for root in self._roots:
            if found := _regular(root, name):
                return LocalModule(name, found)
        if self._installed.owners(module):
            return None
        for root in self._roots:
            if (root / name).is_dir() and any((root / name).rglob("*.py")):
                return LocalModule(name, root / name)
        return None

    def loaded(self) -> Iterator[str]:
        """Give the local modules that the probe saw loaded, whoever loaded them."""
        for module in sorted(self._loaded):
            file = self._loaded[module]
            if file is None or self.is_standard(module) or module in ("__main__", "__mp_main__"):
                continue
            path = Path(file)
            if _INSTALLED_FOLDERS & set(path.parts) or self._is_installed(module, path) or not path.is_file():
                continue
            if not any(folder in path.parents for folder in self._stdlib_folders):
                yield module

    def _where_loaded(self, module: str) -> Path | None:
        prefix = module
        while prefix:
            # Some libraries give modules that they make up a file name that leads nowhere.
            if (file := self._loaded.get(prefix)) and Path(file).is_absolute():
                return Path(file) if prefix == module else _file_of_part(module, prefix, Path(file))
            prefix = prefix.rpartition(".")[0]
        return None

    def _is_installed(self, module: str, file: Path) -> bool:
        inside = any(folder in self._installed.locations for folder in file.parents)
        inside = inside or bool(_INSTALLED_FOLDERS & set(file.parts)) or not file.exists()
        return inside and bool(self._installed.owners(module))


def follow(code: LocalCode, start: Iterable[LocalFile]) -> Iterator[tuple[LocalFile, Import, str]]:
    """Give every import of local code, with its absolute name, following it from file to file, each file once."""
    queue = deque(start)
    done: set[Path] = set()
    while queue:
        file = queue.popleft()
        if file.path in done:
            continue
        done.add(file.path)
        for found in read_imports(_source(file.path)):
            name = file.absolute(found.module)
            if name is None:
                continue
            yield file, found, name
            queue.extend(code.find(name) or ())


def _source(path: Path) -> str:
    content = path.read_bytes()
    declared = re.search(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", b"\n".join(content.split(b"\n")[:2]), re.MULTILINE)
    try:
        return content.decode(declared[1].decode() if declared else "utf-8-sig")
    except (UnicodeDecodeError, LookupError):
        return content.decode("latin-1")


def _regular(root: Path, name: str) -> Path | None:
    """Give the module or package of a name in a folder; a folder without ``__init__.py`` is none."""
    if (root / name / "__init__.py").is_file():
        return root / name
    if (root / f"{name}.py").is_file():
        return root / f"{name}.py"
    extensions = sorted((*root.glob(f"{name}.*.so"), *root.glob(f"{name}.so"), *root.glob(f"{name}.*.pyd")))
    return extensions[0] if extensions else None


def _top_of(module: str, file: Path) -> Path:
    """Give the file or folder of the top-level module, from where a module of it lies."""
    depth = module.count(".")
    path = file.parent if file.name.partition(".")[0] == "__init__" else file
    for _ in range(depth):
        path = path.parent
    return path


def _file_of_part(module: str, prefix: str, file: Path) -> Path:
    """Give where a module would lie whose package was loaded from a file."""
    if file.name.partition(".")[0] != "__init__":
        # Not a package: the rest of the name is something in the module. Named so that the way up is as long.
        return file.joinpath(*module[len(prefix) + 1 :].split("."))
    return file.parent.joinpath(*module[len(prefix) + 1 :].split("."))


def _files_of(module: str, top: LocalModule) -> Iterator[LocalFile]:
    if top.path.is_file():
        if top.path.suffix == ".py":
            yield LocalFile(top.name, top.path, top)
        return
    folder, name = top.path, top.name
    if (folder / "__init__.py").is_file():
        yield LocalFile(name, folder / "__init__.py", top)
    for part in module.split(".")[1:]:
        name = f"{name}.{part}"
        if (folder / part).is_dir():
            folder /= part
            if (folder / "__init__.py").is_file():
                yield LocalFile(name, folder / "__init__.py", top)
        else:
            if (folder / f"{part}.py").is_file():
                yield LocalFile(name, folder / f"{part}.py", top)
            return


def _stdlib_folders(loaded: Mapping[str, str | None], stdlib: frozenset[str]) -> frozenset[Path]:
    """Give the folders that modules of the standard library were seen in."""
    found: set[Path] = set()
    for module, file in loaded.items():
        if file and "." not in module and module in stdlib:
            path = Path(file)
            found.add(path.parent.parent if path.name.partition(".")[0] == "__init__" else path.parent)
    return frozenset(found)


def _mapped_by_finders(installed: Installed) -> dict[str, Path]:
    """Give where editable packages lie that setuptools finds by a table instead of a folder on the search path."""
    found: dict[str, Path] = {}
    for folder in installed.search_path:
        for finder in sorted(folder.glob("__editable___*_finder.py")):
            match = _MAPPING.search(finder.read_text(encoding="utf-8", errors="replace"))
            if not match:
                continue
            try:
                table = ast.literal_eval(match[1])
            except (SyntaxError, ValueError):
                continue
            found |= {name: _package_or_module(Path(path)) for name, path in table.items() if "." not in name}
    return found


def _package_or_module(path: Path) -> Path:
    module = path.with_name(f"{path.name}.py")
    return module if not path.exists() and module.is_file() else path
