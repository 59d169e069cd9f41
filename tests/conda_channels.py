"""Conda channels made by code: tiny packages in a folder, with their index, as a test needs them.

Their Python is the one that runs the tests: a link to it, and the file that makes an environment of its surroundings.
"""

import bz2
import functools
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BASE = Path(getattr(sys, "_base_executable", sys.executable)).resolve()


@dataclass
class CondaChannel:
    """A channel in a folder. What was added is in its index once :meth:`index` was called."""

    folder: Path
    base: Path = BASE
    records: dict[str, dict[str, dict]] = field(default_factory=dict)

    @functools.cached_property
    def python(self) -> str:
        """The whole version of its Python."""
        words = [self.base, "-c", "import platform; print(platform.python_version())"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    @property
    def series(self) -> str:
        return ".".join(self.python.split(".")[:2])

    @property
    def address(self) -> str:
        return self.folder.as_uri()

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        subdir: str = "noarch",
        depends: Sequence[str] = (),
        files: Mapping[str, bytes | Path] | None = None,
        noarch: str | None = None,
    ) -> Path:
        """Write one package. A file that is a path becomes a link to it; `noarch="python"` is linked into any."""
        build = "py_0" if noarch else "0"
        index = {
            "name": name,
            "version": version,
            "build": build,
            "build_number": 0,
            "depends": list(depends),
            "subdir": subdir,
            "timestamp": 1577836800000,
            **({"noarch": noarch} if noarch else {}),
        }
        content = dict(files or {})
        paths = [
            {"_path": path, "path_type": "softlink"}
            if isinstance(value, Path)
            else {
                "_path": path,
                "path_type": "hardlink",
                "sha256": hashlib.sha256(value).hexdigest(),
                "size_in_bytes": len(value),
            }
            for path, value in content.items()
        ]
        info: dict[str, bytes] = {
            "info/index.json": json.dumps(index).encode(),
            "info/files": "".join(f"{path}\n" for path in content).encode(),
            "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
        }
        if noarch == "python":
            link = {"noarch": {"type": "python"}, "package_metadata_version": 1}
            info["info/link.json"] = json.dumps(link).encode()
        path = self.folder / subdir / f"{name}-{version}-{build}.tar.bz2"
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            for place, value in {**info, **content}.items():
                member = tarfile.TarInfo(place)
                if isinstance(value, Path):
                    member.type, member.linkname = tarfile.SYMTYPE, str(value)
                    archive.addfile(member)
                else:
                    member.size = len(value)
                    member.mode = 0o644
                    archive.addfile(member, io.BytesIO(value))
        path.write_bytes(bz2.compress(raw.getvalue()))
        content_of = path.read_bytes()
        self.records.setdefault(subdir, {})[path.name] = {
            **index,
            "size": len(content_of),
            "md5": hashlib.md5(content_of).hexdigest(),
            "sha256": hashlib.sha256(content_of).hexdigest(),
        }
        return path

    def add_python(self, subdir: str) -> Path:
        """Write the Python of a platform: a link to the one that runs the tests."""
        configuration = f"home = {self.base.parent}\ninclude-system-site-packages = false\nversion = {self.python}\n"
        files: dict[str, bytes | Path] = {
            f"bin/python{self.series}": self.base,
            "bin/python3": Path(f"python{self.series}"),
            "bin/python": Path(f"python{self.series}"),
            "pyvenv.cfg": configuration.encode(),
        }
        return self.add("python", self.python, subdir=subdir, files=files)

    def add_distribution(
        self,
        conda_name: str,
        distribution: str,
        version: str = "1.0",
        *,
        modules: Mapping[str, str],
        depends: Sequence[str] = (),
        requires: Sequence[str] = (),
    ) -> Path:
        """Write a package that holds a distribution of PyPI, whose name may be another."""
        info = f"{distribution.replace('-', '_')}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        files = {f"{name}.py": text.encode() for name, text in modules.items()}
        files[f"{info}/METADATA"] = ("\n".join(lines) + "\n").encode()
        files[f"{info}/INSTALLER"] = b"conda\n"
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]).encode()
        placed = {f"site-packages/{path}": content for path, content in files.items()}
        return self.add(
            conda_name, version, depends=[f"python >={self.series}", *depends], files=placed, noarch="python"
        )

    def forget(self, file: str) -> None:
        """Take a package out of the index, as when a channel gave it up."""
        for records in self.records.values():
            records.pop(file, None)

    def index(self) -> None:
        """Write the index of every platform."""
        for subdir in ("noarch", *self.records):
            folder = self.folder / subdir
            folder.mkdir(parents=True, exist_ok=True)
            document = {"info": {"subdir": subdir}, "packages": self.records.get(subdir, {}), "packages.conda": {}}
            (folder / "repodata.json").write_text(json.dumps({**document, "repodata_version": 1}))
