"""The distributions of an environment, of any interpreter: what is installed, and who owns which module.

Nothing is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from model_envelope.dependencies.distribution import Distribution, module_of, read_distribution


@dataclass(frozen=True)
class Installed:
    """The distributions along a search path, by canonical name; of two versions the first counts, as in Python."""

    distributions: Mapping[str, Distribution]
    search_path: tuple[Path, ...] = ()

    @classmethod
    def read(cls, sys_path: Sequence[str]) -> Installed:
        """Read the metadata under these folders. Folders that are not there and broken metadata are passed over."""
        found: dict[str, Distribution] = {}
        folders: list[Path] = []
        for entry in sys_path:
            folder = Path(entry)
            if not entry or folder in folders:
                continue
            try:
                with os.scandir(entry) as entries:
                    names = sorted(item.name for item in entries if item.name.endswith((".dist-info", ".egg-info")))
            except OSError:
                continue
            folders.append(folder)
            for name in names:
                # pip renames what it is about to remove to begin with a tilde.
                if not name.startswith("~") and (distribution := read_distribution(folder, name)):
                    found.setdefault(distribution.key, distribution)
        return cls(found, tuple(folders))

    @property
    def versions(self) -> dict[str, str]:
        """Give the version of every distribution that an index may have: those of checkouts are left out."""
        return {key: item.version for key, item in sorted(self.distributions.items()) if not item.editable}

    @property
    def origins(self) -> dict[str, str]:
        """Give where distributions come from that were not installed from an index."""
        return {key: item.origin for key, item in sorted(self.distributions.items()) if item.origin}

    @cached_property
    def locations(self) -> frozenset[Path]:
        """The folders that distributions are installed in; a checkout is none of them."""
        return frozenset(item.location for item in self.distributions.values() if not item.editable)

    def at(self, location: Path) -> tuple[Distribution, ...]:
        """Give the distributions that are installed in a folder, by name."""
        return self._by_location[location]

    @cached_property
    def _by_location(self) -> Mapping[Path, tuple[Distribution, ...]]:
        found: dict[Path, list[Distribution]] = {location: [] for location in self.locations}
        for item in self.distributions.values():
            if item.location in found:
                found[item.location].append(item)
        return {location: tuple(items) for location, items in found.items()}

    @cached_property
    def _known_owners(self) -> dict[str, tuple[str, ...]]:
        return {}

    def owners(self, module: str) -> tuple[str, ...]:
        """Give the canonical names of the distributions that install a module, most often one.

        A dotted module belongs to whoever owns the longest part of it that is a module: ``google.cloud.storage.Blob``
        to ``google-cloud-storage``. A bare namespace (``google``) belongs to nobody, nor does code of a checkout.
        """
        if module not in self._known_owners:
            self._known_owners[module] = self._find_owners(module)
        return self._known_owners[module]

    def _find_owners(self, module: str) -> tuple[str, ...]:
        top = module.partition(".")[0]
        candidates = self._by_top_level.get(top, [])
        if len(candidates) == 1 and top in self._regular:
            return tuple(candidates)
        if not candidates:
            # The list of top-level names that a distribution keeps may lack some; its record does not.
            candidates = [key for key, item in self.distributions.items() if not item.editable and top in item.modules]
        prefix = module
        while prefix:
            if owners := tuple(sorted(key for key in candidates if prefix in self.distributions[key].modules)):
                return self._in_effect(owners, prefix)
            prefix = prefix.rpartition(".")[0]
        return ()

    def _in_effect(self, owners: tuple[str, ...], module: str) -> tuple[str, ...]:
        """Of several that install a module, those whose file is there; all where that cannot be told."""
        if len(owners) == 1:
            return owners
        return tuple(key for key in owners if self.distributions[key].is_in_effect(module)) or owners

    def real_name(self, module: str, file: str | None) -> str:
        """Give the name under which a distribution installs a module that was loaded under another name.

        Extension modules may call themselves by a short name: scikit-learn's ``sklearn._loss._loss`` was ``_loss`` in
        pickles. The file that it was loaded from tells. Any other name is given back as it is.
        """
        if not file or module.partition(".")[0] in self._by_top_level:
            return module
        for folder in self.locations:
            path = Path(file)
            if path.is_relative_to(folder) and (real := module_of(path.relative_to(folder).as_posix())):
                return real if self.owners(real) else module
        return module

    @cached_property
    def _regular(self) -> frozenset[str]:
        """The top-level names of one owner that are a module or a package with an ``__init__``: nobody shares those."""
        return frozenset(
            top
            for top, keys in self._by_top_level.items()
            if len(keys) == 1 and _is_regular(self.distributions[keys[0]].location, top)
        )

    @cached_property
    def _by_top_level(self) -> Mapping[str, list[str]]:
        index: dict[str, list[str]] = {}
        for key, item in sorted(self.distributions.items()):
            if not item.editable:
                for name in item.top_level:
                    index.setdefault(name, []).append(key)
        return index


def _is_regular(location: Path, top: str) -> bool:
    return (location / top / "__init__.py").is_file() or (location / f"{top}.py").is_file()
