"""What loading a model and answering its samples was seen to use: imports, entry points, files and shared libraries.

Only seen, not needed: libraries import much because it happens to be installed. Taking it away tells.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

_METADATA = frozenset({"importlib.metadata", "importlib_metadata"})
_CODE = (".py", ".pyc", ".so", ".pyd")
_MAPS = Path("/proc/self/maps")


@dataclass(frozen=True)
class Traced:
    """What was noted.

    ``importers`` maps each module to the module whose code imported it first, ``entry_points`` each module to the entry
    point that it was loaded for, as ``group: name``. ``late`` are modules that a function asked for in its work, and
    not the code of a module that was just being imported. ``opened`` are files that are no code, and the shared
    libraries that were mapped in the end.
    """

    importers: Mapping[str, str]
    entry_points: Mapping[str, str]
    late: tuple[str, ...]
    opened: tuple[str, ...]


class Trace(MetaPathFinder):
    """Notes what happens in this process from :meth:`start` on."""

    def __init__(self) -> None:
        self._importers: dict[str, str] = {}
        self._entry_points: dict[str, str] = {}
        self._late: list[str] = []
        self._files: dict[str, None] = {}

    def start(self) -> None:
        """Begin to note. There is no way to stop: a process that traces is asked once and ends."""
        sys.meta_path.insert(0, self)
        sys.addaudithook(self._heard)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Note who imports a module, and let the next finder find it."""
        del path, target
        if fullname not in self._importers:
            frame = inspect.currentframe()
            importer, entry_point = _importer(frame)
            self._importers[fullname] = importer
            if entry_point:
                self._entry_points[fullname] = entry_point
            if not _importing(frame):
                self._late.append(fullname)
        return None

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and type(arguments[0]) is str and not arguments[0].endswith(_CODE):
            self._files[arguments[0]] = None

    def noted(self) -> Traced:
        """Give what was noted so far."""
        opened = (*self._files, *mapped_libraries())
        return Traced(dict(self._importers), dict(self._entry_points), tuple(self._late), opened)


def mapped_libraries() -> list[str]:
    """Give the shared libraries that are mapped into this process; none where the system does not say (Linux does)."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = (line.split(maxsplit=5)[5] for line in lines if line.count("/"))
    return list(dict.fromkeys(path for path in paths if ".so" in path.rpartition("/")[2]))


def _importing(frame: FrameType | None) -> bool:
    """Say whether the code of some module is being run for the first time."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__":
            return True
        frame = frame.f_back
    return False


def _importer(frame: FrameType | None) -> tuple[str, str | None]:
    """Give the module whose code imports, and the entry point on the way to it, if there is one."""
    entry_point = None
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name in _METADATA:
            asked: Any = frame.f_locals.get("self")
            if frame.f_code.co_name == "load" and hasattr(asked, "group"):
                entry_point = f"{asked.group}: {asked.name}"
        elif name != __name__ and not name.startswith(("importlib", "_frozen_importlib")):
            return name, entry_point
        frame = frame.f_back
    return "", entry_point
