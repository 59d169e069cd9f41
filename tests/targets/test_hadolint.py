"""Every Dockerfile that can be rendered is clean by hadolint, those for bases that cannot be run here too."""

import subprocess
import sys
from pathlib import Path

import pytest
from handmade import make_envelope, seal

from model_envelope.foundation.conda_lock import CondaLock, CondaPackage
from model_envelope.foundation.libraries import Libraries, Library
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.context import Install, render_context
from model_envelope.targets.target import all_targets, find_target

HADOLINT = Path(sys.executable).with_name("hadolint")
LIBRARIES = Libraries.of(
    [Library("libgomp.so.1", "libgomp1", ("a.so",)), Library("libGL.so.1", "libgl1", ("cv2/cv2.so",))]
)
TORCH = Lock((Pin("torch", "2.13.0+cpu", ("sha256:" + "a" * 64,)),))
CONDA = CondaLock(
    ("conda-forge",),
    tuple(
        CondaPackage("conda", name, "linux-64", version, f"https://conda.example.com/{name}.conda", "a" * 32, "b" * 64)
        for name, version in (("python", "3.11.9"), ("numpy", "2.0.0"))
    ),
)
JOBS = [target.kind for target in all_targets() if target.makes_image and not target.serves]
KINDS = ("plain", "libraries", "carried wheels", "builds for CPUs", "conda")
BASES = (
    "python:3.11-slim",
    "registry.example.com:5000/bases/python@sha256:" + "c" * 64,
    # What these are like nobody here can see: that they are rendered and linted is all that is known.
    "gcr.io/distroless/python3-debian12",
    "nvidia/cuda:13.0.1-runtime-ubuntu24.04",
    "arm64v8/python:3.11-slim",
)


def an_envelope(folder: Path, kind: str) -> Path:
    lock = {"conda": None, "builds for CPUs": TORCH.to_bytes()}.get(kind, b"")
    envelope = make_envelope(folder, python="3.11", lock=lock)
    if kind == "libraries":
        (envelope / "env" / "system.json").write_bytes(LIBRARIES.to_bytes())
    elif kind == "carried wheels":
        (envelope / "env" / "wheels").mkdir()
        (envelope / "env" / "wheels" / "own-1.0-py3-none-any.whl").write_bytes(b"a wheel")
    elif kind == "conda":
        (envelope / "env" / "conda-lock.yml").write_bytes(CONDA.to_bytes())
    seal(envelope)
    return envelope


def rendered(folder: Path, kind: str, target: str = "service", **options) -> Path:
    envelope = read_envelope(an_envelope(folder, kind))
    options = {"base_image": BASES[0], **options}
    return render_context(envelope, find_target(target), folder / "out", **options).path / "Dockerfile"


def findings(dockerfile: Path) -> str:
    command = [HADOLINT, "--no-color", "--failure-threshold", "style", dockerfile]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"ended with {done.returncode}")


@pytest.mark.parametrize("install", Install)
@pytest.mark.parametrize("kind", KINDS)
def test_hadolint_finds_nothing(tmp_path, kind, install):
    assert findings(rendered(tmp_path, kind, install=install)) == ""


@pytest.mark.parametrize("install", Install)
@pytest.mark.parametrize("kind", ["plain", "libraries", "conda"])
@pytest.mark.parametrize("target", JOBS)
def test_nor_in_jobs(tmp_path, target, kind, install):
    assert findings(rendered(tmp_path, kind, target, install=install)) == ""


@pytest.mark.parametrize("base", BASES[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_nor_on_a_base_that_cannot_be_run_here(tmp_path, kind, base):
    dockerfile = rendered(tmp_path, kind, base_image=base)
    assert f"ARG BASE_IMAGE={base}\n" in dockerfile.read_text()
    assert findings(dockerfile) == ""


def test_hadolint_would_find_something(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && apt-get install curl\n")
    assert "DL3006" in findings(tmp_path / "Dockerfile")


def test_builds_that_pypi_does_not_have_are_looked_for_where_they_are_published(tmp_path):
    page = "--published https://download.pytorch.org/whl/cpu/torch/"
    for install in Install:
        text = rendered(tmp_path / install.value, "builds for CPUs", install=install).read_text()
        assert (page in text) == (install is Install.INDEX)
    assert "--published" not in rendered(tmp_path / "plain", "plain").read_text()
