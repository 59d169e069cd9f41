"""Makes installed files the same whatever installed them, and whenever."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from collections.abc import Sequence
from configparser import ConfigParser, Error
from pathlib import Path

from model_envelope.assembling.installed import Distribution

EPOCH = 315532800
"""The time of every file: 1 January 1980, the first that all archive formats can write."""
_SHEBANG = b"#!"


def same_for_all_installers(prefix: Path, installed: Sequence[Distribution]) -> None:
    """Write scripts and records in one form."""
    for item in installed:
        _write_scripts(item, prefix)
    for path in sorted((prefix / "bin").iterdir()):
        if path.is_file() and not path.is_symlink():
            _name_interpreter(path, prefix)
    for item in installed:
        _write_record(item, prefix)


def set_modes(folder: Path) -> None:
    """Let everybody read every file, and only its owner write it."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def set_times(folder: Path) -> None:
    """Give every file and folder the same time."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def _write_scripts(item: Distribution, prefix: Path) -> None:
    """Write the scripts that call an entry point of a distribution: each installer has a form of its own."""
    path = item.folder / "entry_points.txt"
    if not path.is_file():
        return
    parser = ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text("utf-8"))
    except Error:
        return
    for section in ("console_scripts", "gui_scripts"):
        for name, target in parser.items(section) if parser.has_section(section) else ():
            script = prefix / "bin" / name
            module, _, attribute = target.partition("[")[0].strip().partition(":")
            if script.is_file() and attribute:
                function = attribute.strip()
                script.write_text(
                    f"#!{prefix}/bin/python\nimport sys\nfrom {module.strip()} import {function.partition('.')[0]}\n"
                    f"sys.exit({function}())\n",
                    encoding="utf-8",
                )


def _name_interpreter(script: Path, prefix: Path) -> None:
    """Let a script name the environment's Python in one way."""
    with script.open("rb") as file:
        if file.read(2) != _SHEBANG:
            return
        first = file.readline()
        rest = file.read()
    python = f"{prefix}/bin/python".encode()
    if first.startswith(python) and first != python + b"\n":
        script.write_bytes(_SHEBANG + python + b"\n" + rest)


def _write_record(item: Distribution, prefix: Path) -> None:
    """Write a record anew: what is still there, sorted; scripts with the hash that they have now."""
    record = item.folder / "RECORD"
    rows = {}
    for row in item.record():
        path = item.folder.parent / row[0]
        if path.name == "RECORD" and path.parent == item.folder:
            rows[row[0]] = [row[0], "", ""]
        elif path.is_file():
            inside = Path(os.path.normpath(path))
            rows[row[0]] = _row(row[0], inside) if inside.is_relative_to(prefix / "bin") else [*row, "", ""][:3]
    if rows:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows[name] for name in sorted(rows))
        record.write_text(text.getvalue(), encoding="utf-8")


def _row(name: str, path: Path) -> list[str]:
    content = path.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return [name, f"sha256={digest}", str(len(content))]
