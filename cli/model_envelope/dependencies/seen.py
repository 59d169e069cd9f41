"""What a run of the model was seen to use, by distribution; what is not there where one is not installed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_envelope.dependencies.distribution import Distribution
from model_envelope.dependencies.installed import Installed

_OWN = "model_envelope"


@dataclass(frozen=True)
class Seen:
    """What loading a model and answering its samples used.

    ``modules`` maps those that were imported to their files, ``importers`` to the modules that imported them first,
    ``entry_points`` to the entry point (``group: name``) that they were loaded for. ``late`` are those that a function
    asked for in its work, and not a module for its own import. ``opened`` are other files, shared libraries among them.
    Of ``preloaded`` modules nobody saw whether the model uses them: this tool had loaded them before.
    """

    modules: Mapping[str, str | None] = field(default_factory=dict)
    importers: Mapping[str, str] = field(default_factory=dict)
    entry_points: Mapping[str, str] = field(default_factory=dict)
    late: Collection[str] = ()
    opened: tuple[str, ...] = ()
    preloaded: tuple[str, ...] = ()

    def renamed(self, names: Mapping[str, str]) -> Seen:
        """Give the same with modules under other names."""
        return Seen(
            {names.get(name, name): file for name, file in self.modules.items()},
            {names.get(name, name): by for name, by in self.importers.items()},
            {names.get(name, name): point for name, point in self.entry_points.items()},
            {names.get(name, name) for name in self.late},
            self.opened,
            self.preloaded,
        )


@dataclass(frozen=True)
class Use:
    """How a distribution was in use, for people, and whether it is ``likely`` that this was for a purpose.

    It is where a function asked for it in its work, or an entry point; other things are imported by a library because
    they happen to be there.
    """

    source: str
    likely: bool = False


def in_use(seen: Seen, installed: Installed, explained: Collection[str]) -> dict[str, Use]:
    """Give the distributions that were seen in use, and how; those that are ``explained`` left out.

    A module or file that one of these has too (a library, and its variant) says nothing of the other.
    """
    found: dict[str, Use] = {}
    for module in sorted(seen.modules, key=lambda name: (name.count("."), name)):
        owners = installed.owners(module)
        if not any(owner in explained for owner in owners):
            for owner in owners:
                likely = module in seen.late or module in seen.entry_points
                found.setdefault(owner, Use(_imported(module, seen), likely))
    for path in seen.opened:
        owners = owners_of_file(Path(path), installed)
        if not any(owner in explained for owner in owners):
            for owner in owners:
                found.setdefault(owner, Use(f"its file {Path(path).name} is opened"))
    return found


def _imported(module: str, seen: Seen) -> str:
    if point := seen.entry_points.get(module):
        return f"entry point {point}"
    importer = seen.importers.get(module, "")
    return f"{importer} imports {module}" if importer and not importer.startswith(_OWN) else f"{module} is imported"


def owners_of_file(path: Path, installed: Installed) -> tuple[str, ...]:
    """Give the distributions whose record has a file; none for one that lies outside of all folders of installation."""
    for location in installed.locations:
        if path.is_relative_to(location):
            relative = path.relative_to(location).as_posix()
            top = relative.partition("/")[0].partition(".")[0]
            there = installed.at(location)
            # The records of those that have such a top-level name are enough, most often.
            first = [item.key for item in there if top in item.top_level and relative in item.files]
            return tuple(first or [item.key for item in there if relative in item.files])
    return ()


@dataclass(frozen=True)
class Absent:
    """What is not there where some distributions are not installed.

    Their canonical ``names``; ``packages``, which are gone with all below them, and single ``modules``; ``folders``,
    which are gone with all in them and end in a slash, and single ``files``.
    """

    names: frozenset[str]
    packages: frozenset[str]
    modules: frozenset[str]
    folders: tuple[str, ...]
    files: frozenset[str]


def absent_without(names: Collection[str], installed: Installed) -> Absent:
    """Say what is not there where these distributions are not installed: what no other one has too."""
    packages: set[str] = set()
    modules: set[str] = set()
    folders: set[str] = set()
    files: set[str] = set()
    for name in sorted(names):
        item = installed.distributions[name]
        folders.add(f"{item.info}/")
        whole = {top for top in item.top_level if installed.owners(top) == (name,) and _is_regular(item, top)}
        packages |= whole
        folders |= {f"{item.location / top}/" for top in whole}
        modules |= {
            module
            for module in item.modules
            if module.partition(".")[0] not in whole and set(installed.owners(module)) <= set(names)
        }
        files |= {str(path) for path in _paths(item, whole)}
    return Absent(frozenset(names), frozenset(packages), frozenset(modules), tuple(sorted(folders)), frozenset(files))


def _paths(item: Distribution, whole: Collection[str]) -> Iterator[Path]:
    for name in item.files:
        if name.partition("/")[0] not in whole:
            path = item.location / name
            yield Path(path.resolve()) if ".." in path.parts else path


def _is_regular(item: Distribution, top: str) -> bool:
    return (item.location / top / "__init__.py").is_file() or (item.location / f"{top}.py").is_file()
