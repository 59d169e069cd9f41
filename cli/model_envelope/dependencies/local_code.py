"""Local code: modules that no distribution owns. Where they are, and what they import in turn."""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.source_imports import Import, Part, read_parts
from model_envelope.runtime.local_imports import plain_name

_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
_OWN = "model_envelope"
_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg", ".git", ".hg")
_MAPPING = re.compile(r"^MAPPING(?::[^=]+)?\s*=\s*(\{.*\})\s*$", re.MULTILINE)
_MAPPED_MODULE = re.compile(r"""\.map_module\(\s*(['"].*?['"])\s*,\s*(['"].*?['"])\s*\)""")


@dataclass(frozen=True, order=True)
class LocalModule:
    """A top-level module or package that no distribution owns: ``path`` is its file or its folder.

    A part of a package that lies elsewhere than the package itself (an extension module in a folder of builds) comes
    alone, under its dotted name.
    """

    name: str
    path: Path

    def place_of(self, path: Path) -> str:
        """Give where a file or folder of it lies below ``code/``: where it can be imported by its name."""
        place = self.name.replace(".", "/")
        if path != self.path:
            return f"{place}/{path.relative_to(self.path).as_posix()}"
        return place if path.is_dir() else place + path.name[len(path.name.partition(".")[0]) :]


@dataclass(frozen=True)
class LocalFile:
    """One source file of local code, the dotted name that it is imported by, and what it belongs to."""

    module: str
    path: Path
    top: LocalModule

    @property
    def shown(self) -> str:
        """Where it lies in the envelope."""
        return f"code/{self.top.place_of(self.path)}"

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
        # Where a local module has the name of an installed one, both were loaded: the local one under another name.
        self._beside = {plain_name(name): file for name, file in loaded.items() if plain_name(name) != name}
        self._loaded = {name: file for name, file in loaded.items() if plain_name(name) == name}
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
        if top in self._beside:
            return False
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
            return None if self._is_installed(module, seen[1]) else self._local_at(*seen)
        if name in self._mapped:
            return LocalModule(name, self._mapped[name])
        for root in self._roots:
            if found := _regular(root, name):
                return LocalModule(name, found)
        if self._installed.owners(module):
            return None
        # Of folders without `__init__.py` there may be several of one name, each with other modules.
        bare = [root / name for root in self._roots if (root / name).is_dir()]
        for folder in sorted(bare, key=lambda folder: not _holds(folder, module)):
            if any(folder.rglob("*.py")):
                return LocalModule(name, folder)
        return None

    def all_files(self, module: str, top: LocalModule) -> tuple[LocalFile, ...]:
        """Give all source files of a local module: of a package those below it too; none where there is no such."""
        if top.path.is_file():
            return tuple(_files_of(module, top)) if module == top.name else ()
        folder = top.path.joinpath(*module[len(top.name) :].split(".")[1:])
        if not folder.is_dir():
            file = folder.with_name(f"{folder.name}.py")
            return tuple(_files_of(module, top)) if file.is_file() else ()
        paths = (
            path
            for path in sorted(folder.rglob("*.py"))
            if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
        return tuple(LocalFile(_dotted(path, top), path, top) for path in paths)

    def names(self) -> Iterator[str]:
        """Give the names of all modules and packages in the folders that local code is looked for in."""
        for root in self._roots:
            for item in root.iterdir():
                if item.suffix == ".py" or (item.is_dir() and any(item.glob("*.py"))):
                    yield item.stem

    def loaded(self) -> Iterator[str]:
        """Give the local modules that the probe saw loaded, whoever loaded them."""
        loaded = {**self._loaded, **self._beside}
        for module in sorted(loaded):
            file = loaded[module]
            if file is None or self.is_standard(module) or module in ("__main__", "__mp_main__"):
                continue
            path = Path(file)
            if _INSTALLED_FOLDERS & set(path.parts) or self._is_installed(module, path) or not path.is_file():
                continue
            if not any(folder in path.parents for folder in self._stdlib_folders):
                yield module

    def _where_loaded(self, module: str) -> tuple[str, Path] | None:
        """Give the longest part of a dotted name that was loaded from a file, and that file."""
        prefix = module
        while prefix:
            file = self._beside.get(prefix) or self._loaded.get(prefix)
            # Some libraries give modules that they make up a file name that leads nowhere.
            if file and Path(file).is_absolute():
                return prefix, Path(file)
            prefix = prefix.rpartition(".")[0]
        return None

    def _local_at(self, module: str, file: Path) -> LocalModule:
        name = module.partition(".")[0]
        own = self._beside.get(name) or self._loaded.get(name)
        if own:
            top = _top_of(name, Path(own))
            if top == file or top in file.parents:
                return LocalModule(name, top)
        above = _top_of(module, file)
        if "." not in module or above.name == name:
            return LocalModule(name, above)
        return LocalModule(module, file.parent if _is_init(file) else file)

    def _is_installed(self, module: str, file: Path) -> bool:
        inside = any(folder in self._installed.locations for folder in file.parents)
        inside = inside or bool(_INSTALLED_FOLDERS & set(file.parts)) or not file.exists()
        return inside and bool(self._installed.owners(module))


def project_folders(starts: Iterable[Path]) -> tuple[Path, ...]:
    """Give the folders that the projects around these folders keep modules in: their own, and ``src``.

    A project is the nearest folder upwards that looks like one; somebody's home and the root of the disk are none.
    """
    found: dict[Path, None] = {}
    for start in starts:
        for folder in (start, *start.parents):
            if folder in (Path.home(), Path(folder.anchor)):
                break
            if any((folder / name).exists() for name in _PROJECT):
                found |= dict.fromkeys(item for item in (folder, folder / "src") if item.is_dir())
                break
    return tuple(found)


@dataclass(frozen=True)
class Followed:
    """An import of local code: where it stands, the import, the absolute name of what it imports.

    ``unused`` names the function or class that it stands in, where nothing asks for that; else it is empty.
    """

    file: LocalFile
    found: Import
    module: str
    unused: str = ""


def follow(
    code: LocalCode, start: Iterable[LocalFile], *, named: Iterable[str] = (), whole: Iterable[LocalFile] = ()
) -> Iterator[Followed]:
    """Give every import of local code, following it from file to file, each file once.

    Of ``start``, functions and classes count that are ``named`` or that other code mentions, by whatever means; of
    ``whole``, and of the files that only these lead to, all count. Imports in others come last, and are not followed.
    """
    following = _Following(code, set(named))
    yield from following.read(start)
    following.everything = True
    yield from following.read(file for file in whole if file.path not in following.done)
    yield from following.unused()


class _Following:
    def __init__(self, code: LocalCode, mentioned: set[str]) -> None:
        self.code = code
        self.mentioned = mentioned
        self.everything = False
        self.done: set[Path] = set()
        self.waiting: dict[str, list[tuple[LocalFile, Part]]] = {}

    def read(self, start: Iterable[LocalFile]) -> Iterator[Followed]:
        queue = deque(start)
        while queue:
            file = queue.popleft()
            if file.path in self.done:
                continue
            self.done.add(file.path)
            for part in read_parts(_source(file.path)):
                if part.name and part.name not in self.mentioned and not self.everything:
                    self.waiting.setdefault(part.name, []).append((file, part))
                    continue
                for owner, reached in self.reach(file, part):
                    for item in _absolute(owner, reached):
                        yield item
                        queue.extend(self.code.find(item.module) or ())

    def reach(self, file: LocalFile, part: Part) -> Iterator[tuple[LocalFile, Part]]:
        """Give a part, and all that waited for what it mentions."""
        pending = deque([(file, part)])
        while pending:
            file, part = pending.popleft()
            yield file, part
            self.mentioned |= part.mentions
            if part.dynamic:
                self.mentioned |= self.waiting.keys()
                self.everything = True
            for name in self.waiting.keys() & self.mentioned:
                pending.extend(self.waiting.pop(name))

    def unused(self) -> Iterator[Followed]:
        for name in sorted(self.waiting):
            for file, part in self.waiting[name]:
                yield from _absolute(file, part, unused=name)


def _absolute(file: LocalFile, part: Part, unused: str = "") -> Iterator[Followed]:
    for found in part.imports:
        if name := file.absolute(found.module):
            yield Followed(file, found, name, unused)


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
    path = file.parent if _is_init(file) else file
    for _ in range(depth):
        path = path.parent
    return path


def _is_init(file: Path) -> bool:
    return file.name.partition(".")[0] == "__init__"


def _holds(folder: Path, module: str) -> bool:
    """Say whether a folder without ``__init__.py`` has the next part of a dotted name."""
    part = module.split(".")[1:2]
    return not part or (folder / part[0]).is_dir() or any(folder.glob(f"{part[0]}.*"))


def _dotted(path: Path, top: LocalModule) -> str:
    parts = path.relative_to(top.path).with_suffix("").parts
    return ".".join((top.name, *parts[: -1 if parts[-1] == "__init__" else None]))


def _files_of(module: str, top: LocalModule) -> Iterator[LocalFile]:
    if top.path.is_file():
        if top.path.suffix == ".py":
            yield LocalFile(top.name, top.path, top)
        return
    folder, name = top.path, top.name
    if (folder / "__init__.py").is_file():
        yield LocalFile(name, folder / "__init__.py", top)
    for part in module[len(top.name) :].split(".")[1:]:
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
    """Give where editable packages lie that a finder knows, instead of a folder on the search path."""
    found: dict[str, Path] = {}
    for folder in installed.search_path:
        for finder in sorted((*folder.glob("__editable___*_finder.py"), *folder.glob("_editable_impl_*.py"))):
            source = finder.read_text(encoding="utf-8", errors="replace")
            found |= {name: _package_or_module(Path(path)) for name, path in _mapped_in(source) if "." not in name}
    return found


def _mapped_in(source: str) -> Iterator[tuple[str, str]]:
    """Give name and path of what such a finder finds: setuptools writes a table, hatchling a call for each."""
    pairs = [f"({match[1]}, {match[2]})" for match in _MAPPED_MODULE.finditer(source)]
    if table := _MAPPING.search(source):
        pairs.append(table[1])
    for text in pairs:
        try:
            found = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            continue
        yield from found.items() if isinstance(found, dict) else (found,)


def _package_or_module(path: Path) -> Path:
    if _is_init(path):
        return path.parent
    module = path.with_name(f"{path.name}.py")
    return module if not path.exists() and module.is_file() else path
