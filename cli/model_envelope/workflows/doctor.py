"""Says what this machine has of what the tool can use, and how to get what is missing."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from model_envelope.foundation import process
from model_envelope.foundation.directories import cache_dir, state_dir
from model_envelope.foundation.errors import ToolMissing
from model_envelope.foundation.files import human_size
from model_envelope.runtime.errors import EnvelopeError

TIMEOUT = 15.0
"""Seconds that a program has to tell its version."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked for: whether it is here, what was found, and what to do about it where it is not."""

    name: str
    ok: bool
    found: str
    advice: str = ""


@dataclass(frozen=True)
class DoctorResult:
    """Everything that was looked for, in a fixed order."""

    checks: tuple[Check, ...]


def doctor() -> DoctorResult:
    """Look for everything at once. Nothing is changed, and nothing that is missing is an error."""
    with ThreadPoolExecutor() as pool:
        return DoctorResult(tuple(pool.map(lambda look: look(), CHECKS)))


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    return Check("python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer")


def _uv() -> Check:
    from model_envelope.dependencies.programs import find_uv

    advice = "`pip install 'model-envelope[uv]'`: locks and clean rooms become several times faster"
    path = find_uv()
    return Check("uv", False, "not installed", advice) if path is None else _version("uv", [path, "--version"], advice)


def _pip_tools() -> Check:
    try:
        return Check("pip-tools", True, metadata.version("pip-tools"))
    except metadata.PackageNotFoundError:
        return Check(
            "pip-tools", False, "not installed", "`pip install pip-tools`, or install uv: one of them is enough"
        )


def _rooms() -> Check:
    from model_envelope.dependencies.programs import find_uv, has_module

    if find_uv() is not None:
        return Check("clean rooms", True, "made with uv")
    if importlib.util.find_spec("ensurepip") and has_module("pip"):
        return Check("clean rooms", True, "made with venv and pip")
    advice = "`pip install 'model-envelope[uv]'`; or pip and the module venv (on Debian `apt-get install python3-venv`)"
    return Check("clean rooms", False, "neither uv, nor venv and pip", advice)


def _conda_lock() -> Check:
    from model_envelope.dependencies.programs import find_conda_lock

    advice = "`pip install 'model-envelope[conda-lock]'`: only locks of conda environments need it"
    if find_conda_lock() is None:
        return Check("conda-lock", False, "not installed", advice)
    try:
        return Check("conda-lock", True, metadata.version("conda-lock"))
    except metadata.PackageNotFoundError:
        return _version("conda-lock", ["conda-lock", "--version"], advice)


def _conda() -> Check:
    from model_envelope.dependencies.programs import CONDAS, find_conda

    advice = (
        "install micromamba (https://mamba.readthedocs.io): only locks of conda environments and their proof need it"
    )
    path = find_conda()
    if path is None:
        return Check("conda", False, f"none of {', '.join(CONDAS)} on PATH", advice)
    check = _version("conda", [path, "--version"], advice)
    return Check("conda", check.ok, f"{path.name} {check.found}" if check.ok else check.found, check.advice)


def _engine() -> Check:
    from model_envelope.targets.engine import Engine

    try:
        with closing(Engine.connect()) as engine:
            return Check("docker engine", True, f"{engine.version} at {engine.host}")
    except EnvelopeError as error:
        advice = f"{error.hint}; without it `envelope build` renders the folder and says how to build it elsewhere"
        return Check("docker engine", False, error.message, advice)


def _buildkit() -> Check:
    from model_envelope.targets.engine import buildkit_client

    client = buildkit_client()
    if client is None:
        advice = "install docker's buildx plugin; the classic builder works too, and keeps no package cache"
        return Check("buildkit client", False, "no docker command that drives BuildKit", advice)
    return Check("buildkit client", True, str(client))


def _java() -> Check:
    advice = "only Spark batch jobs need it: install a JRE 17 (on Debian `apt-get install openjdk-17-jre-headless`)"
    return _version("java", ["java", "-version"], advice)


def _caches() -> Check:
    sizes = {path: _size(path) for path in (cache_dir(), state_dir())}
    cache = cache_dir()
    return Check("cache", True, f"{human_size(sizes[cache])} at {cache}; may be deleted at any time")


def _templates() -> Check:
    from model_envelope.targets.rendering import templates_dir

    try:
        folder = templates_dir()
    except EnvelopeError as error:
        return Check("templates", False, error.message, error.hint or "")
    kinds = {kind: sorted(path.parent.name for path in (folder / kind).glob("*/cookiecutter.json")) for kind in KINDS}
    return Check("templates", True, "; ".join(f"{kind}: {', '.join(names) or 'none'}" for kind, names in kinds.items()))


KINDS = ("targets", "projects")

CHECKS: tuple[Callable[[], Check], ...] = (
    _python, _uv, _pip_tools, _rooms, _conda_lock, _conda, _engine, _buildkit, _java, _caches, _templates,
)  # fmt: skip


def _version(name: str, command: list[str | Path], advice: str) -> Check:
    path = shutil.which(str(command[0]))
    if path is None:
        return Check(name, False, "not installed", advice)
    try:
        finished = process.run(command, timeout=TIMEOUT)
    except ToolMissing as error:
        return Check(name, False, error.message, advice)
    if not finished.ok:
        return Check(name, False, f"`{path}` does not work: {finished.tail(1)}", advice)
    said = finished.stdout.strip() or finished.stderr.strip()
    number = re.search(r"\d+(\.[\w+-]+)+", said)
    return Check(name, True, f"{number.group() if number else said.splitlines()[0]} at {path}")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
