"""Makes distributions look as if they were not installed, in this process: modules, metadata and files."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Hidden:
    """What is hidden: the canonical names of distributions, and what is theirs alone.

    ``packages`` are modules that are hidden with all below them, ``modules`` single ones; ``folders`` are hidden with
    all in them, ``files`` singly.
    """

    names: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()

    def to_document(self) -> dict[str, list[str]]:
        """Give the JSON form."""
        return {name: sorted(getattr(self, name)) for name in ("names", "packages", "modules", "folders", "files")}

    @classmethod
    def from_document(cls, document: Mapping[str, Sequence[str]]) -> Hidden:
        """Read the JSON form."""
        sets = {name: frozenset(document[name]) for name in ("names", "packages", "modules", "files")}
        return cls(**sets, folders=tuple(document["folders"]))


@dataclass
class Hiding(MetaPathFinder):
    """Hides from :meth:`start` on. ``missed`` lists the modules and files that were asked for, in their order."""

    hidden: Hidden
    missed: dict[str, None] = field(default_factory=dict)

    def start(self) -> None:
        """Begin to hide. There is no way to stop."""
        sys.meta_path.insert(0, self)
        sys.addaudithook(self._heard)
        found = importlib.metadata.MetadataPathFinder.find_distributions

        def find(*arguments: Any, **options: Any) -> Iterator[importlib.metadata.Distribution]:
            for distribution in found(*arguments, **options):
                if _name_of(distribution) not in self.hidden.names:
                    yield distribution

        importlib.metadata.MetadataPathFinder.find_distributions = staticmethod(find)  # type: ignore[assignment]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse what is hidden as Python refuses what is not there."""
        del path, target
        if fullname in self.hidden.modules or any(name in self.hidden.packages for name in _with_parents(fullname)):
            self.missed[fullname] = None
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and type(arguments[0]) is str:
            path = arguments[0]
            if path in self.hidden.files or path.startswith(self.hidden.folders):
                self.missed[path] = None
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _with_parents(module: str) -> Iterator[str]:
    while module:
        yield module
        module = module.rpartition(".")[0]


def _name_of(distribution: importlib.metadata.Distribution) -> str:
    # The name of its folder is known without a look at its metadata, which takes long where there are hundreds.
    name = getattr(distribution, "_normalized_name", None) or distribution.metadata["Name"] or ""
    return re.sub(r"[-_.]+", "-", name).lower()
