"""What is in the layer of packages, written beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.util import cache_from_source
from pathlib import Path

from model_envelope.assembling.installed import Distribution, size_of

NAME = "packages.json"


def write_inventory(prefix: Path, installed: Iterable[Distribution], pruned: Mapping[str, int]) -> None:
    """Note name, version, files and bytes (bytecode included) of each distribution, and the bytes that were pruned."""
    packages = []
    for item in installed:
        files = set(item.files(prefix))
        files |= {cache_from_source(path) for path in files if path.endswith(".py")}
        sizes = [size for path in files if (size := size_of(f"{prefix}/{path}")) is not None]
        packages.append(
            {
                "name": item.name,
                "version": item.version,
                "files": len(sizes),
                "bytes": sum(sizes),
                "pruned_bytes": pruned.get(item.name, 0),
            }
        )
    text = json.dumps({"packages": packages}, indent=1, ensure_ascii=False)
    (prefix / NAME).write_text(text + "\n", encoding="utf-8")
