"""Environments and wheels made by code, so that a test says what is installed and what an index has."""

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model_envelope.dependencies.index import IndexSettings
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


@pytest.fixture
def environment(tmp_path) -> Environment:
    folder = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    folder.mkdir(parents=True)
    return Environment(folder)


@dataclass
class Wheelhouse:
    """A folder of wheels that stands for an index."""

    folder: Path

    @property
    def index(self) -> IndexSettings:
        return IndexSettings(no_index=True, find_links=(str(self.folder),))

    def add(self, name: str, version: str = "1.0", *, requires: Sequence[str] = (), tag: str = "py3-none-any") -> str:
        """Build a wheel and give its hash as a lock writes it."""
        stem = name.replace("-", "_")
        info = f"{stem}-{version}.dist-info"
        metadata = "".join(f"Requires-Dist: {line}\n" for line in requires)
        files = {
            f"{stem}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        record = io.StringIO()
        writer = csv.writer(record)
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
            writer.writerow([path, f"sha256={digest}", len(content.encode())])
        writer.writerow([f"{info}/RECORD", "", ""])
        path = self.folder / f"{stem}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for inside, content in {**files, f"{info}/RECORD": record.getvalue()}.items():
                archive.writestr(zipfile.ZipInfo(inside, (2020, 1, 1, 0, 0, 0)), content)
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def wheelhouse(tmp_path) -> Wheelhouse:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return Wheelhouse(folder)
