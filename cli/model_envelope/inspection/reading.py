"""What is noted while a pickle's opcodes are followed."""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, order=True)
class Global:
    """A name that the pickle takes from a module. ``name`` may be dotted (``Outer.Inner``)."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Broken(Exception):
    """The bytes are no whole pickle: ``what`` and ``offset`` say why and where, ``short`` that they end too early."""

    def __init__(self, what: str, offset: int, *, short: bool = False) -> None:
        super().__init__(f"{what} at byte {offset}")
        self.what = what
        self.offset = offset
        self.short = short


class Buffer(Protocol):
    """What bytes and a memory map have in common."""

    def __getitem__(self, index: Any, /) -> Any: ...

    def __len__(self) -> int: ...

    def find(self, sub: bytes, start: int, /) -> int: ...  # noqa: D102


@dataclass
class Reading:
    """What was seen. ``end`` is the offset behind STOP; after :class:`Broken` the rest holds what came before."""

    protocol: int | None = None
    opcodes: int = 0
    end: int = 0
    globals: set[Global] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    hidden: int = 0
    unknown_extensions: set[int] = field(default_factory=set)
    persistent: int = 0
    out_of_band: int = 0
    root: Global | None = None

    def note(self, module: str, name: str) -> Global:
        """Note a global, under the name that it is imported by: old protocols use the module names of Python 2."""
        if (self.protocol or 0) < 3:
            if (module, name) in NAME_MAPPING:
                module, name = NAME_MAPPING[(module, name)]
            module = IMPORT_MAPPING.get(module, module)
        found = Global(module, name)
        self.globals.add(found)
        return found
