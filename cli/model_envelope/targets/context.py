"""Renders an envelope into the folder that an image is built from.

A pure function: the same envelope (and commit that it was packed from, which is all of its provenance that goes into an
image), target, options and version of this tool give the same bytes, names, modes and times, in any folder, under any
umask, at any date.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from model_envelope.foundation import carrying, pylock
from model_envelope.foundation.accelerators import public_pages
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.foundation.files import json_bytes, scratch_folder
from model_envelope.foundation.libraries import read_libraries
from model_envelope.foundation.lockfile import Lock
from model_envelope.runtime import manifest
from model_envelope.runtime.origin import CARRIED, Origin, origin_of
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.targets.archive import EPOCH, files_in, write_layer
from model_envelope.targets.container import PYTHON
from model_envelope.targets.labels import instruction, labels_of
from model_envelope.targets.merging import merge
from model_envelope.targets.rendering import generate
from model_envelope.targets.target import Target

LAYERS = "layers"
"""Where the archives of files are in a context: one for each layer."""
WHEELHOUSE = "wheelhouse"
"""Where the wheels are in a context that all packages come from."""
CARRIED_WHEELS = "wheels"
"""Where the wheels that travel in an envelope are in a context."""
ASSEMBLE = "assemble"
"""Where that is in a context which puts the packages of an image together."""
LIB = "opt/model/lib"
ENVELOPE = "opt/model/envelope"

WHEELS = f"env/{pylock.WHEELS}"
"""Where the wheels are that travel in an envelope."""

_ANY_USER = "Any user id works, with group 0: nothing is written but to HOME, which is the temporary folder."
_WIDTH = 122
"""Columns of a comment in a Dockerfile."""

# These end up in a Dockerfile: whatever could begin another instruction there is refused.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PYTHON = re.compile(r"\d+\.\d+")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


class Install(Enum):
    """Where the packages come from while the image is built, and what the builder can do."""

    INDEX = "index"
    WHEELHOUSE = "wheelhouse"
    """From the folder ``wheelhouse`` in the context, without a network."""
    CLASSIC = "classic"
    """As that, for a builder that has no mounts and no secrets."""


@dataclass(frozen=True)
class Context:
    """A rendered folder, and the lock of what will be installed."""

    path: Path
    lock: bytes


def context_name(envelope: EnvelopeFiles, target: Target) -> str:
    """Give the name of the rendered folder: ``flights-3f2a9c1d84e0-service``, and its options."""
    return "-".join([envelope.description.name, envelope.short_digest, target.kind, *target.options])


MICROMAMBA_IMAGE = "mambaorg/micromamba:2"
"""Where conda packages are installed for an image, unless another is set: it needs ``micromamba`` on PATH alone."""


def render_context(
    envelope: EnvelopeFiles,
    target: Target,
    into: Path,
    *,
    base_image: str,
    install: Install = Install.INDEX,
    micromamba_image: str = MICROMAMBA_IMAGE,
    wheels: Sequence[Path] = (),
) -> Context:
    """Write the build context of an envelope for a target as a new folder in ``into``. It appears whole or not at all.

    An envelope with a conda lock gets its packages, Python included, from a stage on ``micromamba_image``. ``wheels``
    are files that the build takes beside those of an index, or in their place, as ``install`` says.

    Raises :class:`InvalidInput` where the envelope has no lock, a malformed list of libraries, or a name that cannot
    stand in a Dockerfile, ``Unsolvable`` where its lock clashes with the target, and ``Refused`` where the folder
    exists.
    """
    description = envelope.description
    lock = merged_lock(envelope, target)
    conda = conda_packages(envelope)
    origin = origin_of(envelope.path)
    variables = {
        "slug": _plain(context_name(envelope, target), _NAME, "the name of the envelope"),
        "name": _plain(description.name, _NAME, "the name of the envelope"),
        "digest": envelope.digest,
        "python": _plain(description.python, _PYTHON, "the Python of the envelope"),
        "base_image": _plain(base_image, _IMAGE, "the base image"),
        "mounts": install is not Install.CLASSIC,
        "wheelhouse": install is not Install.INDEX,
        "system_libraries": [
            {"soname": soname, "package": package}
            for soname, package in sorted(
                {
                    **target.image.libraries,
                    **{item.soname: item.package for item in read_libraries(envelope.path).known},
                }.items()
            )
        ],
        "wheels": (bool(wheels) and install is Install.INDEX) or (envelope.path / WHEELS).is_dir(),
        "published": public_pages(Lock.parse(lock)),
        "conda": conda is not None,
        "micromamba_image": _plain(micromamba_image, _IMAGE, "the image with micromamba"),
        **_facts(target),
        "labels": instruction(
            labels_of(
                envelope,
                target,
                base_image=base_image,
                lock_digest=hashlib.sha256((conda or b"") + lock).hexdigest(),
                origin=origin,
            )
        ),
    }
    into.mkdir(parents=True, exist_ok=True)
    with scratch_folder(into, prefix=".context-") as scratch:
        folder = generate(target.template, variables, scratch)
        (folder / "requirements.lock").write_bytes(lock)
        if conda is not None:
            (folder / "conda-lock.yml").write_bytes(conda)
        carrying.copy(folder / ASSEMBLE, ["assembling"])
        source = carrying.copy(scratch / "carried", target.packages)
        own: dict[str, Mapping[str, Path | bytes]] = {target.image.code: files_in(source, LIB)}
        layers = {**own, **_layers(envelope, origin)}
        (folder / LAYERS).mkdir()
        for name, content in layers.items():
            write_layer(folder / LAYERS / f"{name}.tar", content)
        if (envelope.path / WHEELS).is_dir():
            shutil.copytree(envelope.path / WHEELS, folder / CARRIED_WHEELS)
        if wheels or install is not Install.INDEX:
            place = folder / (CARRIED_WHEELS if install is Install.INDEX else WHEELHOUSE)
            place.mkdir(exist_ok=True)
            for path in wheels:
                shutil.copyfile(path, place / path.name)
        _normalise(folder)
        return Context(_into_place(folder, into / folder.name), lock)


def _facts(target: Target) -> dict[str, object]:
    """Give what the shared Dockerfile says of a target alone."""
    image = target.image
    remark = f"{_ANY_USER} {' '.join(image.remark.split())}".rstrip()
    return {
        "title": image.title,
        "code": image.code,
        "remarks": textwrap.fill(remark, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False),
        "environment": dict(image.environment),
        "programs": dict(image.programs),
        "port": image.port,
        "healthcheck": json.dumps([PYTHON, *image.healthcheck]) if image.healthcheck else "",
        "entrypoint": json.dumps([PYTHON, *image.entrypoint]),
    }


def layer_of(name: str) -> str:
    """Name the layer of a file of an envelope: code and lock, which a new model leaves as they are, or the rest."""
    return "code" if name.partition("/")[0] in ("code", "env") else "model"


def _layers(envelope: EnvelopeFiles, origin: Origin | None) -> dict[str, dict[str, Path | bytes]]:
    """Divide the files of an envelope into layers, by their paths in the image."""
    found: dict[str, dict[str, Path | bytes]] = {"code": {}, "model": {}}
    for name in [manifest.NAME, *manifest.parse((envelope.path / manifest.NAME).read_bytes())]:
        found[layer_of(name)][f"{ENVELOPE}/{name}"] = envelope.path / name
    if origin:
        found["model"][f"{ENVELOPE}/{CARRIED}"] = json_bytes(origin.to_document())
    return found


def carry_uv(context: Context, uv: Path) -> None:
    """Put a uv of this machine into a context: it installs faster than pip, and what comes out is the same."""
    place = context.path / ASSEMBLE / "bin" / "uv"
    place.parent.mkdir()
    shutil.copyfile(uv, place)
    place.chmod(0o755)
    for path in (place, place.parent):
        os.utime(path, (EPOCH, EPOCH))


def merged_lock(envelope: EnvelopeFiles, target: Target) -> bytes:
    """Give the lock of what the envelope and the target need together.

    Raises :class:`InvalidInput` (``envelope.not-locked``) where the envelope was packed without a lock.
    """
    python = envelope.description.python
    if envelope.conda_lock.is_file():
        conda = _read_conda_lock(envelope)
        platforms = _linux(conda)
        provided = {name: version for platform in platforms for name, version in conda.versions(platform).items()}
        return merge(_files_for(conda, platforms).to_bytes(), target, python, provided)
    if not envelope.lock.is_file():
        raise InvalidInput(
            f"{envelope.path} has no lock, so nobody knows what to install",
            code="envelope.not-locked",
            hint=f"`envelope lock {envelope.path}` makes one with a lock",
        )
    return merge(envelope.lock.read_bytes(), target, python)


def conda_packages(envelope: EnvelopeFiles) -> bytes | None:
    """Give the part of an envelope's conda lock that an image installs with micromamba; None where it has no such lock.

    Raises :class:`InvalidInput` (``target.conda-platform``) where that lock is for no Linux.
    """
    if not envelope.conda_lock.is_file():
        return None
    lock = _read_conda_lock(envelope)
    return lock.with_conda(_linux(lock))


def _read_conda_lock(envelope: EnvelopeFiles) -> CondaLock:
    return CondaLock.parse(envelope.conda_lock.read_bytes(), where=str(envelope.conda_lock))


def _files_for(lock: CondaLock, platforms: Collection[str]) -> Lock:
    """Give what pip installs on some platforms, with the files of all of them."""
    return replace(lock, packages=tuple(item for item in lock.packages if item.platform in platforms)).pip_lock()


def _linux(lock: CondaLock) -> list[str]:
    found = [platform for platform in lock.platforms if platform.startswith("linux-")]
    if not found:
        raise InvalidInput(
            f"the conda lock is for {', '.join(lock.platforms) or 'no platform'}, and an image needs one for Linux",
            code="target.conda-platform",
            hint="`envelope lock ENVELOPE --resolver conda-lock --platform linux-64`",
        )
    return found


def default_base_image(envelope: EnvelopeFiles) -> str:
    """Give the official image of the envelope's Python, for where no other is set; conda brings its own Python."""
    if envelope.conda_lock.is_file():
        return "debian:stable-slim"
    return f"python:{envelope.description.python}-slim"


def _plain(text: str, allowed: re.Pattern[str], what: str) -> str:
    if not allowed.fullmatch(text):
        raise InvalidInput(
            f"{what} is {text!r:.100}, which cannot stand in a Dockerfile",
            code="target.name",
            hint="letters, digits, `.`, `-` and `_` can; in the name of an image `/`, `:` and `@` too",
        )
    return text


def _normalise(folder: Path) -> None:
    """Give every file and folder one mode and one time."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (EPOCH, EPOCH))


def _into_place(folder: Path, target: Path) -> Path:
    if target.exists():
        raise Refused(f"{target} exists already", code="target.exists", hint="name another folder, or remove this one")
    folder.rename(target)
    return target
