"""What a shared object is linked with: its ELF dynamic section, read as the loader does.

A few hundred bytes of each file are read, so that the hundreds of files of an environment take a fraction of a second.
The format is that of the System V ABI (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html): 32 and 64 bits,
both byte orders. Files may be made to hurt: whatever they say, little is read of them.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x7fELF"
LONGEST_NAME = 4096
"""Bytes of a name or search path: no path on Linux is longer."""
LONGEST_TABLE = 1 << 20
"""Bytes of a dynamic section: those of the largest libraries have a few hundred."""

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 14, 15, 29


class MalformedElf(Exception):
    """A file that begins as ELF and does not go on so."""


@dataclass(frozen=True)
class Linkage:
    """How a shared object is linked.

    ``soname`` is the name that others know it by, empty where it has none; ``needed`` are the names that it asks the
    loader for, and ``search`` the folders that it names for them, ``$ORIGIN`` as it stands.
    """

    soname: str = ""
    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Layout:
    """Where things stand in the files of one class and byte order. A segment: type, offset, address, size in file."""

    header: struct.Struct
    segment: struct.Struct
    fields: tuple[int, int, int, int]
    entry: struct.Struct


def _layout(order: str, *, wide: bool) -> _Layout:
    if wide:
        return _Layout(
            struct.Struct(f"{order}32xQ14xHH"), struct.Struct(f"{order}IIQQQQQQ"), (0, 2, 3, 5), _entry(order, "qQ")
        )
    return _Layout(struct.Struct(f"{order}28xI10xHH"), struct.Struct(f"{order}8I"), (0, 1, 2, 4), _entry(order, "iI"))


def _entry(order: str, form: str) -> struct.Struct:
    return struct.Struct(order + form)


_LAYOUTS = {(kind, order): _layout(sign, wide=kind == 2) for kind in (1, 2) for order, sign in ((1, "<"), (2, ">"))}


def read_linkage(path: Path) -> Linkage | None:
    """Read how a file is linked; None where it is no ELF file (a linker script, another system's library).

    Raises :class:`MalformedElf` where it is a broken one, and :class:`OSError` where it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(handle)
    finally:
        os.close(handle)


def _read(handle: int) -> Linkage | None:
    head = os.pread(handle, 4096, 0)
    if not head.startswith(MAGIC):
        return None
    layout = _LAYOUTS.get((head[4], head[5])) if len(head) > 5 else None
    if layout is None or len(head) < layout.header.size:
        raise MalformedElf("its header is cut off, or of an unknown class or byte order")
    offset, size, count = layout.header.unpack_from(head)
    if count and size != layout.segment.size:
        raise MalformedElf(f"its program headers have {size} bytes each, expected {layout.segment.size}")
    table = _segments(handle, head, offset, size * count)
    segments = [tuple(found[field] for field in layout.fields) for found in layout.segment.iter_unpack(table)]
    dynamic = next((found for found in segments if found[0] == _PT_DYNAMIC), None)
    if dynamic is None:
        return Linkage()
    return _dynamic(handle, layout, [found for found in segments if found[0] == _PT_LOAD], dynamic[1], dynamic[3])


def _segments(handle: int, head: bytes, offset: int, size: int) -> bytes:
    return head[offset : offset + size] if offset + size <= len(head) else _exactly(handle, size, offset)


def _dynamic(handle: int, layout: _Layout, loaded: list[tuple[int, ...]], offset: int, size: int) -> Linkage:
    if size > LONGEST_TABLE:
        raise MalformedElf(f"its dynamic section claims {size} bytes")
    found: dict[int, list[int]] = {}
    for tag, value in layout.entry.iter_unpack(_exactly(handle, size - size % layout.entry.size, offset)):
        if tag == _DT_NULL:
            break
        found.setdefault(tag, []).append(value)
    named = [tag for tag in (_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH) if tag in found]
    if not named:
        return Linkage()
    if _DT_STRTAB not in found:
        raise MalformedElf("its dynamic section has no string table")
    address = found[_DT_STRTAB][0]
    # As a file the table stands where the segment that is loaded at its address does.
    strings = next((start + address - at for _, start, at, length in loaded if at <= address < at + length), None)
    if strings is None:
        raise MalformedElf("its string table is in no segment that is loaded")
    names = {tag: [_name(handle, strings + value) for value in found[tag]] for tag in named}
    # Where both are there the older RPATH does not count.
    search = names.get(_DT_RUNPATH) or names.get(_DT_RPATH) or []
    return Linkage(
        (names.get(_DT_SONAME) or [""])[0],
        tuple(dict.fromkeys(names.get(_DT_NEEDED, ()))),
        tuple(folder for entry in search for folder in entry.split(":") if folder),
    )


def _name(handle: int, offset: int) -> str:
    for size in (256, LONGEST_NAME):
        text, end, _ = _some(handle, size, offset).partition(b"\0")
        if end:
            return text.decode("utf-8", "replace")
    raise MalformedElf("one of its names has no end")


def _exactly(handle: int, size: int, offset: int) -> bytes:
    content = _some(handle, size, offset)
    if len(content) < size:
        raise MalformedElf(f"it ends before byte {offset + size}")
    return content


def _some(handle: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(handle, size, offset)
    except (OverflowError, OSError):
        raise MalformedElf(f"it points to byte {offset}") from None
