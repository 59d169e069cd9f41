"""Installs what a lock names, takes out what no image needs, and compiles the rest: the layer of packages.

With uv where the build brings one or the base image has one, else with pip: both give the same files in the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model_envelope.assembling import compiling, network, normalising, pruning
from model_envelope.assembling.installed import distributions
from model_envelope.assembling.inventory import write_inventory

PREFIX = Path("/opt/venv")
"""Where the packages are in the image, and while they are installed: scripts hold that path."""
INSTALLER = Path("/opt/installer")
CARRIED_UV = Path(__file__).resolve().parents[2] / "bin" / "uv"
"""Where a build puts the uv that it brings along."""


class CannotInstall(Exception):
    """The packages cannot be installed; what the installer said stands above."""


def assemble(
    lock: Path,
    into: Path,
    *,
    python: str,
    find_links: Path | None,
    wheelhouse: Path | None,
    published: Sequence[str] = (),
) -> None:
    """Make the environment of a lock, as ``opt/venv`` in the folder ``into``.

    ``python`` (``3.11``) is what the interpreter that runs this must be. ``find_links`` is a folder of wheels beside
    the index, ``wheelhouse`` one in its place. ``published`` are public pages of wheels that are not on the public
    index; settings that are handed in stand for them too. An environment that is there already (conda's) is added to.

    Raises :class:`CannotInstall`.
    """
    found = ".".join(map(str, sys.version_info[:2]))
    if found != python:
        whose = "the conda lock" if sys.prefix == str(PREFIX) else "the base image"
        raise CannotInstall(f"{whose} has Python {found}, and the envelope needs {python}")
    if not (PREFIX / "bin" / "python").exists():
        with _told("environment"):
            _run([sys.executable, "-m", "venv", "--without-pip", PREFIX], "the environment cannot be made")
    count = sum(line[:1].isalnum() for line in lock.read_text("utf-8").splitlines())
    if count:
        options: list[str | Path] = ["--require-hashes", "--no-deps", "--requirement", lock]
        if wheelhouse is not None:
            options += ["--no-index", "--find-links", wheelhouse]
        elif find_links is not None:
            options += ["--find-links", find_links]
        if wheelhouse is None and not network.names_indexes():
            options += [word for page in published for word in ("--find-links", page)]
        name, command, variables = _installer(offline=wheelhouse is not None)
        with _told(f"{count} packages, with {name}"):
            _run([*command, *options], f"{name} cannot install the packages", {**os.environ, **variables})
    with _told("pruning"):
        installed = distributions(PREFIX)
        pruned = pruning.prune(PREFIX, installed, pruning.read_rules())
        normalising.same_for_all_installers(PREFIX, installed)
    with _told("bytecode"):
        compiling.compile_all(PREFIX)
    write_inventory(PREFIX, installed, pruned)
    place = into / PREFIX.relative_to("/")
    place.parent.mkdir(parents=True)
    try:
        PREFIX.rename(place)
    except OSError:
        # What an earlier step made cannot be renamed (EXDEV on overlayfs).
        shutil.copytree(PREFIX, place, symlinks=True)
    normalising.set_modes(into)
    normalising.set_times(into)


def _installer(*, offline: bool) -> tuple[str, list[str | Path], dict[str, str]]:
    """Give the name of an installer, the command that installs into the environment, and its variables."""
    variables = {} if offline else network.variables()
    if not offline and network.has_credentials():
        variables |= {"PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}
    uv = next((path for path in (CARRIED_UV, shutil.which("uv")) if path and _runs(path)), None)
    if uv is not None:
        own = {
            "UV_LINK_MODE": "copy",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_MANAGED_PYTHON": "1",
        }
        if "UV_CONFIG_FILE" not in variables:
            own["UV_NO_CONFIG"] = "1"
        return "uv", [uv, "pip", "install", "--quiet", "--python", PREFIX / "bin" / "python"], {**own, **variables}
    own = {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_NO_COMPILE": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    return "pip", [*_pip(), "install", "--quiet"], {**own, **variables}


def _pip() -> list[str | Path]:
    """Give the words that run pip for the environment: the one that Python brings along, which needs no network.

    Unpacked it runs as it is; an environment of its own would take seconds.
    """
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(sysconfig.get_path("stdlib"), "ensurepip", "_bundled")]
    for wheel in (path for folder in folders if folder for path in sorted(Path(folder).glob("pip-*.whl"))):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(INSTALLER)
        runner = INSTALLER / "pip" / "__pip-runner__.py"
        if runner.is_file():
            return [PREFIX / "bin" / "python", runner]
    _run([sys.executable, "-m", "venv", INSTALLER], "the base image has neither uv nor pip (its module `ensurepip`)")
    return [INSTALLER / "bin" / "python", "-m", "pip", "--python", PREFIX / "bin" / "python"]


def _runs(program: Path | str) -> bool:
    """Tell whether a program runs here: one that a build brings along may be for another system."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str | Path], trouble: str, environ: dict[str, str] | None = None) -> None:
    code = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise CannotInstall(f"{trouble}: ended with {code}")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say when a piece of work begins and how long it took."""
    _say(what)
    began = time.monotonic()
    yield
    _say(f"{what}: done in {time.monotonic() - began:.1f} s")


def _say(what: str) -> None:
    sys.stdout.write(f"envelope: {what}\n")
    sys.stdout.flush()
