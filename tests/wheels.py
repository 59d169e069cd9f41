"""Wheels made by code, and environments that have some of them installed."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_envelope.dependencies.programs import find_uv


def build_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    source: str = "",
    requires: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Build a wheel of one module that has the distribution's name, with the ``source`` given."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    fields = {"Metadata-Version": "2.1", "Name": name, "Version": version, **(metadata or {})}
    lines = [f"{key}: {value}" for key, value in fields.items()] + [f"Requires-Dist: {line}" for line in requires]
    files = {
        f"{stem}.py": f"VERSION = {version!r}\n{source}",
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text.encode())}\n"
        for path, text in files.items()
    )
    path = folder / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(inside, (2020, 1, 1, 0, 0, 0)), text)
    return path


def hash_of(path: Path) -> str:
    """Give the hash of a file as a lock writes it."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def make_environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """Make an environment of this Python with some wheels installed; gives its interpreter."""
    uv = find_uv()
    assert uv
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    if wheels:
        install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, *wheels]
        subprocess.run(install, check=True)
    return python
