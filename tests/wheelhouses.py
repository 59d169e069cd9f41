"""Wheels made by code, so that a test says what an index has."""

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_envelope.dependencies.index import IndexSettings


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
