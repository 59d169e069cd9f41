"""Installs libraries and programs of the system that the base image lacks: the layer of system packages.

Debian's tools leave times, logs and lists of the day behind. So they run in a stage that is thrown away, and what they
changed is taken over from there: the same packages give the same layer.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_envelope.assembling import keystores, normalising
from model_envelope.assembling.network import SECRETS
from model_envelope.assembling.packages import CannotInstall

LEFT_BEHIND = ("dev", "proc", "run", "sys", "tmp", "root", "var/cache", "var/log", "var/lib/apt/lists", "var/tmp")
"""Folders of which nothing is taken over."""
AUTHORITIES = "etc/ssl/certs/java/cacerts"
"""Where Java looks for certificate authorities."""


def install(
    libraries: Mapping[str, str], into: Path, *, programs: Mapping[str, str] | None = None, root: Path = Path("/")
) -> None:
    """Install the packages (``libgomp1``) of libraries (``libgomp.so.1``) that cannot be loaded here.

    ``programs`` are those that must be on PATH, each with its package too.

    All that changed below ``root`` is in the folder ``into`` afterwards.

    Raises :class:`CannotInstall`.
    """
    # Slim base images have no manuals, and Debian's Java fails where it cannot put a link to one there.
    (root / "usr/share/man/man1").mkdir(parents=True, exist_ok=True)
    into.mkdir()
    lacking = [package for name, package in libraries.items() if not _loads(name)]
    lacking += [package for name, package in (programs or {}).items() if shutil.which(name) is None]
    packages = list(dict.fromkeys(lacking))
    if packages:
        before = into.stat().st_ctime_ns
        _apt(packages)
        take_over(root, before, into)
        if (into / AUTHORITIES).is_file():
            keystores.without_times(into / AUTHORITIES)
    normalising.set_times(into)


def take_over(root: Path, since: int, into: Path) -> None:
    """Copy what was changed below a folder since a time (ns), owners and modes kept, but for :data:`LEFT_BEHIND`."""
    left = {str(root / name) for name in LEFT_BEHIND} | {str(into)}
    device = root.stat().st_dev
    for parent, folders, files in os.walk(root):
        inside = [name for name in folders if os.path.join(parent, name) not in left]  # noqa: PTH118  a walk of names
        folders[:] = [name for name in inside if os.lstat(os.path.join(parent, name)).st_dev == device]  # noqa: PTH118
        for name in (*folders, *files):
            path = Path(parent, name)
            status = path.lstat()
            if status.st_ctime_ns > since and status.st_dev == device:
                _copy(path, into / path.relative_to(root), root, into)


def _copy(path: Path, copied: Path, root: Path, into: Path) -> None:
    if not copied.parent.exists():
        _copy(path.parent, copied.parent, root, into)
    if path.is_symlink() or path.is_file():
        shutil.copy2(path, copied, follow_symlinks=False)
    elif path.is_dir():
        copied.mkdir(exist_ok=True)
        shutil.copystat(path, copied)
    else:
        return
    status = path.lstat()
    os.chown(copied, status.st_uid, status.st_gid, follow_symlinks=False)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _apt(packages: Sequence[str]) -> None:
    wanted = " ".join(packages)
    apt = shutil.which("apt-get")
    if apt is None:
        raise CannotInstall(f"the base image has no apt-get to install {wanted}")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if (SECRETS / "apt_conf").is_file():
        environ["APT_CONFIG"] = str(SECRETS / "apt_conf")
    authorities = SECRETS / "ca"
    options = ["--option", f"Acquire::https::CaInfo={authorities}"] if authorities.is_file() else []
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        command = [apt, "--quiet=2", *options, *words]
        if subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, check=False).returncode:
            raise CannotInstall(f"apt-get cannot install {wanted}")
