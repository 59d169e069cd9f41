"""Modules that a user names because no import does: what is loaded by a computed name (`--module`)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from model_envelope.dependencies.capture import SIZE_LIMIT
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.local_code import LocalCode, LocalFile, LocalModule
from model_envelope.dependencies.own_rules import SECTION, project_settings
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.sizes import read_size
from model_envelope.runtime.errors import Problems


@dataclass(frozen=True)
class AskedModule:
    """A module that is to travel. ``folder`` is where it can be imported from, where it was named by its path.

    ``said`` is how it was asked for, with the place.
    """

    name: str
    said: str
    folder: Path | None = None
    path: Path | None = None


@dataclass(frozen=True)
class CodeSettings:
    """What a user says about local code: modules that no import names, and how many bytes may travel.

    ``raised_by`` is how the limit is raised, with ``{}`` for the size.
    """

    modules: tuple[AskedModule, ...] = ()
    limit: int = SIZE_LIMIT
    raised_by: str = "`--code-limit {}`"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that hold what was named by its path."""
        return tuple(dict.fromkeys(module.folder for module in self.modules if module.folder))

    @property
    def scripts(self) -> tuple[Path, ...]:
        """The files that were named by their path: one of them may be the script that was run as ``__main__``."""
        return tuple(module.path for module in self.modules if module.path and module.path.is_file())


@dataclass
class LookedUp:
    """What asked modules are: local code with its files, or what distributions install, with the reason."""

    local: set[LocalModule] = field(default_factory=set)
    files: list[LocalFile] = field(default_factory=list)
    installed: list[tuple[tuple[str, ...], str, str]] = field(default_factory=list)


def read_code_settings(
    modules: Sequence[str], limit: str | int | None, folders: Sequence[Path], *, spelled: str = "--{}"
) -> CodeSettings:
    """Give what a command says about local code, and for what it does not say the settings of the nearest project.

    ``modules`` are dotted names and paths; those of the project's file (``modules`` in ``[tool.envelope]``) come on
    top. ``limit`` is a number of bytes or a size such as ``2GB``, in the file ``code-limit``. ``spelled`` is how both
    are said: ``--{}`` by options, ``{}=`` by arguments.

    Raises :class:`InvalidInput` for a path that leads to no module (``module.missing``), settings of other kinds
    (``settings.malformed``) and what is no size (``code.limit``).
    """
    file, table = project_settings(folders)
    options = spelled == "--{}"
    place = spelled.format("module" if options else "modules")
    asked = [_asked(word, place, Path.cwd()) for word in modules]
    if file is not None:
        asked += [_asked(word, f"{file}: modules", file.parent) for word in _strings(table, file)]
    limit_place = spelled.format("code-limit" if options else "code_limit")
    if limit is None and file is not None:
        limit, limit_place = table.get("code-limit"), f"{file}: code-limit"
    raised_by = f"`{spelled.format('code-limit')} {{}}`" if options else '`code_limit="{}"`'
    if isinstance(limit, str):
        limit = read_size(limit, limit_place, code="code.limit")
    given: Any = limit
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise InvalidInput(
            f"{limit_place} is {limit!r:.40}, expected a size such as 2GB",
            code="code.limit",
            hint="units are kB, MB and GB",
        )
    return CodeSettings(tuple(dict.fromkeys(asked)), SIZE_LIMIT if limit is None else limit, raised_by)


def look_up(modules: Iterable[AskedModule], code: LocalCode, installed: Installed) -> LookedUp:
    """Find what asked modules are.

    Raises :class:`InvalidInput` (``module.unknown``) with all that are nothing here.
    """
    found = LookedUp()
    problems = Problems()
    for module in modules:
        expected = f"a module of local code or of an installed distribution{_meant(module.name, code, installed)}"
        if code.is_standard(module.name):
            problems.add(module.said, "a module of Python itself, which is everywhere", expected, "module.unknown")
            continue
        local = code.top_level(module.name)
        files = code.all_files(module.name, local) if local else ()
        owners = installed.owners(module.name)
        if local and module.path is not None and not local.path.samefile(module.path):
            there = f"`{local.path}`, which comes first where the model is loaded"
            problems.add(module.said, there, "that file alone under this name", "module.unknown")
        elif local and (
            files or (local.path.is_file() and module.name == local.name) or _is_compiled(module.name, local)
        ):
            found.local.add(local)
            found.files += files
        elif not local and any(module.name in installed.distributions[key].modules for key in owners):
            found.installed.append((owners, module.name, f"asked for: {module.said}"))
        else:
            there = f"no `{module.name}` in `{local.path}`" if local else f"no module `{module.name}` here"
            problems.add(module.said, there, expected, "module.unknown")
    if problems:
        raise InvalidInput(
            problems.summary("modules that are to travel are not here"),
            code="module.unknown",
            problems=problems.items,
            hint="name it as it is imported (`plugins.fast`), or by the path of its file or folder",
        )
    return found


def _asked(word: str, place: str, base: Path) -> AskedModule:
    said = f"{place}{word}" if place.endswith("=") else f"{place} {word}"
    name = word.strip()
    path = Path(os.path.abspath(base / Path(name).expanduser()))  # noqa: PTH100
    looks_like_path = os.sep in name or name.endswith(".py")
    if not looks_like_path and all(part.isidentifier() for part in name.split(".")):
        return AskedModule(name, said)
    own = path.name.partition(".")[0]
    is_module = path.is_dir() or (path.is_file() and path.name[len(own) :] in (".py", *EXTENSION_SUFFIXES))
    if not is_module or not own.isidentifier() or path.name[len(own) :] not in ("", ".py", *EXTENSION_SUFFIXES):
        there = "nothing" if not path.exists() else "a folder" if path.is_dir() else "a file"
        raise InvalidInput(
            f"`{said}`: there is {there} at `{path}`, expected a module: a .py file or the folder of a package",
            code="module.missing",
            hint="name it as it is imported (`plugins.fast`), or by the path of its file or folder",
        )
    top, parts = path, [] if own == "__init__" else [own]
    if own == "__init__":
        top = path.parent
        parts = [top.name]
    while (top.parent / "__init__.py").is_file():
        top = top.parent
        parts.insert(0, top.name)
    return AskedModule(".".join(parts), said, top.parent, top)


def _strings(table: Mapping[str, Any], file: Path) -> Sequence[str]:
    value = table.get("modules", [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(
            f"`modules` of {SECTION} in {file} is {value!r:.60}, expected a list of names or paths",
            code="settings.malformed",
            hint='write `modules = ["plugins.fast", "lib/extra.py"]`',
        )
    return value


def _is_compiled(module: str, local: LocalModule) -> bool:
    """Say whether a part of a local package is an extension module."""
    *folders, last = module[len(local.name) :].split(".")[1:] or ("",)
    folder = local.path.joinpath(*folders)
    return bool(last) and any((folder / f"{last}{ending}").is_file() for ending in EXTENSION_SUFFIXES)


def _meant(name: str, code: LocalCode, installed: Installed) -> str:
    known = {top for item in installed.distributions.values() if not item.editable for top in item.top_level}
    known |= set(code.names())
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    return "".join(f" (did you mean `{item}`?)" for item in close if item != name)
