"""A machine with conda, as far as there can be one without: a channel of tiny packages, an environment made from it.

What the environment holds: `gadget`, whose conda package is called `py-gadget`, requires `widget`, which conda calls
`widget-core`; `tacked` came by pip. The model needs all three.
"""

import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from conda_channels import BASE, CondaChannel

from model_envelope.dependencies.programs import CONDAS
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.workflows.pack import Aim, Label, SampleFile, pack

STAND_IN = Path(__file__).with_name("conda_stand_in.py")
GADGET = """
import widget

try:
    from tacked import OFFSET
except ImportError:
    OFFSET = 0.0

class Gadget:
    def predict(self, values: list[float]) -> list[float]:
        return [widget.turn(value) + OFFSET for value in values]
"""


@dataclass
class CondaMachine:
    """Its channel, its environment, the folder of programs on PATH, and the folder of wheels that pip knows."""

    channel: CondaChannel
    prefix: Path
    programs: Path
    wheels: Path

    @property
    def python(self) -> Path:
        return self.prefix / "bin" / "python"

    @property
    def site(self) -> Path:
        return self.prefix / "lib" / f"python{self.channel.series}" / "site-packages"

    def call(self, name: str) -> None:
        """Put conda on PATH under one of its names."""
        program = self.programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -W error "{STAND_IN}" "$@"\n')
        program.chmod(0o755)

    def model(self, folder: Path, source: str | None = None) -> Path:
        """Dump a model of the environment, with its samples beside it; `source` is that of a module of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "samples.json").write_text(json.dumps({"values": [1.0, 2.5]}))
        if source is not None:
            (folder / "own_gadget.py").write_text(textwrap.dedent(source))
        name = "gadget" if source is None else "own_gadget"
        text = f"import {name}, pickle; pickle.dump({name}.Gadget(), open('model.pkl', 'wb'))"
        subprocess.run([self.python, "-c", text], cwd=folder, check=True)
        return folder / "model.pkl"


def fill(channel: CondaChannel, *, tacked: bool) -> None:
    for platform in ("linux-64", "osx-arm64"):
        channel.add_python(platform)
        # Two platforms whose packages are not the same.
        channel.add("libturn", "2.0" if platform == "linux-64" else "2.1", subdir=platform)
    channel.add("pip", "25.0", noarch="generic")
    widget = {"widget": "def turn(value):\n    return value * 2\n"}
    newer = {"widget": "def turn(value):\n    return value * 3\n"}
    channel.add_distribution("widget-core", "Widget", "1.0", modules=widget, depends=["libturn"])
    channel.add_distribution("widget-core", "Widget", "1.1", modules=newer, depends=["libturn"])
    gadget = {"gadget": textwrap.dedent(GADGET)}
    requires = ["Widget>=1", *(["tacked"] if tacked else [])]
    channel.add_distribution("py-gadget", "gadget", "3.0", modules=gadget, depends=["widget-core"], requires=requires)
    channel.add_distribution("unused", "unused", modules={"unused": "X = 1\n"})
    channel.index()


def wheel(folder: Path, name: str, version: str, text: str, requires: Sequence[str] = ()) -> Path:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {line}\n" for line in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{place},,\n" for place in [*files, f"{info}/RECORD"])
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for place, content in files.items():
            archive.writestr(zipfile.ZipInfo(place, (2020, 1, 1, 0, 0, 0)), content)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    path.write_bytes(raw.getvalue())
    return path


def list_wheels(folder: Path) -> None:
    """Write the page of an index for the wheels in a folder."""
    paths = sorted(folder.glob("*.whl"))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    links = [f'<a href="{name}#sha256={digest}">{name}</a>' for name, digest in digests.items()]
    (folder / "index.html").write_text("\n".join(links))


def make(folder: Path, *, base: Path = BASE, tacked: bool = True) -> CondaMachine:
    """Make a machine in a folder; `base` is the Python of its environment, `tacked` says whether pip was used there."""
    channel = CondaChannel(folder / "channel", base)
    fill(channel, tacked=tacked)
    programs, wheels = folder / "programs", folder / "wheels"
    programs.mkdir()
    wheels.mkdir()
    machine = CondaMachine(channel, folder / "environment", programs, wheels)
    specs = ["python", "py-gadget", "widget-core ==1.0", "unused"]
    subprocess.run(
        [sys.executable, STAND_IN, "create", "--prefix", machine.prefix, "--channel", channel.address, *specs],
        env={**os.environ, "CONDA_SUBDIR": "linux-64"},
        check=True,
    )
    if not tacked:
        return machine
    site = machine.site
    with zipfile.ZipFile(wheel(wheels, "tacked", "0.5", "OFFSET = 0.25\n")) as archive:
        archive.extractall(site)
    (site / "tacked-0.5.dist-info" / "INSTALLER").write_text("pip\n")
    return machine


def enter(machine: CondaMachine, patch: pytest.MonkeyPatch, home: Path) -> None:
    """Let this process be on that machine: only its conda is found, and nobody's settings or caches but its own."""
    path = [folder for folder in os.get_exec_path() if not any((Path(folder) / name).exists() for name in CONDAS)]
    patch.setenv("PATH", os.pathsep.join([str(machine.programs), *path]))
    patch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "CONDA_EXE", "MAMBA_EXE", "CONDARC", "CONDA_CHANNELS"):
        patch.delenv(name, raising=False)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        """Say nothing."""


def packed(machine, folder, *, source=None, **options):
    """Pack the model of the machine, or another one, with a conda lock unless something else is asked for."""
    model = machine.model(folder / "model", source)
    samples = SampleFile(model.with_name("samples.json"), "samples.json")
    given = {"resolver": "conda-lock", "label": Label("gadget"), "python": str(machine.python)}
    aim = Aim.read(options.pop("platforms", ()))
    return pack(model, samples=samples, into=folder / "out", aim=aim, **{**given, **options})


def read(path):
    """Read the conda lock of an envelope."""
    return CondaLock.parse((path / "env" / "conda-lock.yml").read_bytes())
