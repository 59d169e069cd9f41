"""Shared objects written by hand: just the parts of an ELF file that say what it is linked with."""

import struct
from pathlib import Path

ADDRESS = 0x10000


def elf(
    *needed: str,
    soname: str = "",
    runpath: str = "",
    rpath: str = "",
    bits: int = 64,
    order: str = "<",
) -> bytes:
    """Write a shared object; ``order`` is ``<`` for little-endian and ``>`` for big-endian."""
    strings = b"\0"
    entries = []
    for tag, texts in ((1, needed), (14, [soname]), (15, [rpath]), (29, [runpath])):
        for text in filter(None, texts):
            entries.append((tag, len(strings)))
            strings += text.encode() + b"\0"
    wide = bits == 64
    header_size, segment_size = (64, 56) if wide else (52, 32)
    table = header_size + 2 * segment_size
    width = struct.Struct(order + ("qQ" if wide else "iI"))
    strings_at = table + (len(entries) + 2) * width.size
    entries += [(5, ADDRESS + strings_at), (0, 0)]
    dynamic = b"".join(width.pack(*entry) for entry in entries)
    end = strings_at + len(strings)
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    rest = struct.pack(
        order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        *(3, 62 if wide else 40, 1, 0, header_size, 0, 0, header_size, segment_size, 2, 0, 0, 0),
    )
    return (
        identity
        + rest
        + segment(1, 0, ADDRESS, end, bits=bits, order=order)
        + segment(2, table, ADDRESS + table, len(dynamic), bits=bits, order=order)
        + dynamic
        + strings
    )


def segment(kind: int, offset: int, address: int, size: int, *, bits: int = 64, order: str = "<") -> bytes:
    """Write one program header."""
    if bits == 64:
        return struct.pack(order + "IIQQQQQQ", kind, 5, offset, address, address, size, size, 4096)
    return struct.pack(order + "8I", kind, offset, address, address, size, size, 5, 4096)


def install(
    site: Path,
    name: str,
    version: str,
    files: dict[str, bytes],
    *,
    requires: tuple[str, ...] = (),
    installer: str = "pip",
    more: dict[str, str] | None = None,
) -> None:
    """Put a distribution into a folder as pip does; ``more`` are files of its metadata."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = "".join(f"Requires-Dist: {item}\n" for item in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}")
    (info / "INSTALLER").write_text(f"{installer}\n")
    for file, text in (more or {}).items():
        (info / file).write_text(text)
    for file, content in files.items():
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    listed = [*files, *(f"{info.name}/{path.name}" for path in info.iterdir()), f"{info.name}/RECORD"]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in listed))
