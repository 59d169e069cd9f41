"""What is for graphics cards alone, and what stands for it where there is none: the data of ``accelerators.toml``."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from urllib.parse import quote

from packaging.markers import Marker
from packaging.version import InvalidVersion, Version

from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform


@dataclass(frozen=True)
class Builds:
    """Distributions of which each version comes in several builds, with a local label and an index for each of these.

    ``index`` is the address before the label, ``variable`` the setting that names a mirror of it, ``labels`` a regular
    expression of the known ones, ``cpu`` the one without code for graphics cards, ``where`` a marker of the machines
    that need that one.
    """

    distributions: frozenset[str]
    index: str
    variable: str
    labels: str
    cpu: str
    where: str

    def label(self, version: str) -> str:
        """Give the label of a version, where it is one of these; else nothing."""
        try:
            label = Version(version).local or ""
        except InvalidVersion:
            return ""
        return label if re.fullmatch(self.labels, label) else ""

    def address(self, label: str, *, mirrors: Mapping[str, str] | None = None) -> str:
        """Give the index of a label; ``mirrors`` are variables that may name another place, none for the public one."""
        return f"{((mirrors or {}).get(self.variable) or self.index).rstrip('/')}/{label}"


@dataclass(frozen=True)
class _Known:
    gpu: tuple[str, ...]
    builds: tuple[Builds, ...]
    replaced: Mapping[str, tuple[str, str]]


@cache
def _known() -> _Known:
    document = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return _Known(
        tuple(document["gpu"]),
        tuple(Builds(**{**row, "distributions": frozenset(row["distributions"])}) for row in document["build"]),
        {row["distribution"]: (row["with"], row.get("where", "")) for row in document["replace"]},
    )


def builds_of(name: str) -> Builds | None:
    """Give what is known of the builds of a distribution, by its canonical name."""
    return next((item for item in _known().builds if name in item.distributions), None)


def is_for_gpus(name: str, version: str = "") -> bool:
    """Whether a distribution, or one build of it, is for graphics cards alone."""
    builds = builds_of(name)
    label = builds.label(version) if builds and version else ""
    return bool(builds and label not in ("", builds.cpu)) or any(fnmatchcase(name, text) for text in _known().gpu)


def gpu_pins(lock: Lock) -> tuple[Pin, ...]:
    """Give what a lock holds for graphics cards alone."""
    return tuple(pin for pin in lock.pins if is_for_gpus(pin.name, pin.version))


def cpu_version(name: str, version: str, platform: Platform) -> str:
    """Give the version of the build for CPUs (``2.13.0+cpu``) of a distribution that has one there; else nothing."""
    builds = builds_of(name)
    if builds is None or not _holds(builds.where, platform):
        return ""
    return f"{Version(version).public}+{builds.cpu}"


def stand_in(name: str, platform: Platform) -> str:
    """Give the distribution that has the same modules without code for graphics cards; nothing where there is none."""
    replacement, where = _known().replaced.get(name, ("", ""))
    return replacement if _holds(where, platform) else ""


def page_of(name: str, version: str, environ: Mapping[str, str] = os.environ) -> str:
    """Give the page on which whoever publishes a build lists its files; nothing for a version without a known label.

    The variable of a mirror (``ENVELOPE_PYTORCH_INDEX``) names another place; it may hold credentials.
    """
    builds = builds_of(name)
    label = builds.label(version) if builds else ""
    return f"{builds.address(label, mirrors=environ)}/{name}/" if builds and label else ""


def public_pages(lock: Lock) -> list[str]:
    """Give the public pages that list the files of such builds in a lock, sorted."""
    return sorted({page for pin in lock.pins if (page := page_of(pin.name, pin.version, {}))})


def public_file(name: str, version: str, file: str) -> str:
    """Give the public address of a file of such a build; nothing for a version without a known label."""
    builds = builds_of(name)
    label = builds.label(version) if builds else ""
    return f"{builds.address(label)}/{quote(file)}" if builds and label else ""


def _holds(where: str, platform: Platform) -> bool:
    if not where:
        return True
    system = {"macos": "darwin", "windows": "win32"}.get(platform.system, platform.system)
    return Marker(where).evaluate({"sys_platform": system, "platform_machine": platform.tag.rpartition("-")[2]})
