"""Environments made by code, so that a test says what is installed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_envelope.dependencies.installed import Installed


@dataclass
class Environment:
    """A folder of installed distributions; ``sys_path`` is what its interpreter would have."""

    folder: Path
    extra_path: list[Path] = field(default_factory=list)

    def install(
        self,
        name: str,
        version: str = "1.0",
        *,
        files: Mapping[str, str] | None = None,
        requires: Sequence[str] = (),
        top_level: str | None = None,
        direct_url: object = None,
        entry_points: str | None = None,
        record: bool = True,
    ) -> Path:
        stem = name.replace("-", "_")
        files = {f"{stem}/__init__.py": ""} if files is None else files
        info = self.folder / f"{stem}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n\nName: of a description\n")
        if top_level is not None:
            (info / "top_level.txt").write_text(top_level)
        if direct_url is not None:
            (info / "direct_url.json").write_text(json.dumps(direct_url))
        if entry_points is not None:
            (info / "entry_points.txt").write_text(entry_points)
        for path, content in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        if record:
            rows = [*files, f"{info.name}/METADATA", f"{info.name}/RECORD"]
            (info / "RECORD").write_text("".join(f"{row},,\n" for row in rows))
        return info

    def read(self) -> Installed:
        return Installed.read([str(self.folder), *map(str, self.extra_path)])
