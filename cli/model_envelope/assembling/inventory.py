"""What is in the layer of packages, written beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.util import cache_from_source
from pathlib import Path

from model_envelope.assembling.installed import Distribution

NAME = "packages.json"


def write_inventory(prefix: Path, installed: Iterable[Distribution], pruned: Mapping[str, int]) -> None:
    """Note name, version, files and bytes (bytecode included) of each distribution, and the bytes that were pruned."""
    packages = []
    for item in installed:
        files = {path for path in item.files(prefix) if path.is_file()}
        compiled = (Path(cache_from_source(str(path))) for path in files if path.suffix == ".py")
        files |= {path for path in compiled if path.is_file()}
        packages.append(
            {
                "name": item.name,
                "version": item.version,
                "files": len(files),
                "bytes": sum(path.stat().st_size for path in files),
                "pruned_bytes": pruned.get(item.name, 0),
            }
        )
    text = json.dumps({"packages": packages}, indent=1, ensure_ascii=False)
    (prefix / NAME).write_text(text + "\n", encoding="utf-8")
