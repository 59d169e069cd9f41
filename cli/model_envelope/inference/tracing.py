"""What loading a model and answering its samples was seen to use: imports, entry points, files and shared libraries.

Only seen, not needed: libraries import much because it happens to be installed. Taking it away tells.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

_METADATA = frozenset({"importlib.metadata", "importlib_metadata"})
_CODE = (".py", ".pyc", ".so", ".pyd")
_MAPS = Path("/proc/self/maps")


class Trace(MetaPathFinder):
    """Notes what happens in this process from :meth:`start` on.

    ``importers`` maps each module to the module whose code imported it first, ``entry_points`` each module to the entry
    point that it was loaded for, as ``group: name``; ``files`` are those that were opened and are no code.
    """

    def __init__(self) -> None:
        self.importers: dict[str, str] = {}
        self.entry_points: dict[str, str] = {}
        self.files: dict[str, None] = {}

    def start(self) -> None:
        """Begin to note. There is no way to stop: a process that traces is asked once and ends."""
        sys.meta_path.insert(0, self)
        sys.addaudithook(self._heard)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Note who imports a module, and let the next finder find it."""
        del path, target
        if fullname not in self.importers:
            importer, entry_point = _importer(inspect.currentframe())
            self.importers[fullname] = importer
            if entry_point:
                self.entry_points[fullname] = entry_point
        return None

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and type(arguments[0]) is str and not arguments[0].endswith(_CODE):
            self.files[arguments[0]] = None

    def opened(self) -> list[str]:
        """Give the files that are no code, and the shared libraries that are mapped now."""
        return [*self.files, *mapped_libraries()]


def mapped_libraries() -> list[str]:
    """Give the shared libraries that are mapped into this process; none where the system does not say (Linux does)."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = (line.split(maxsplit=5)[5] for line in lines if line.count("/"))
    return list(dict.fromkeys(path for path in paths if ".so" in path.rpartition("/")[2]))


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
