"""Writes the folder that an image is built from, for whoever builds it elsewhere or wants to look at it."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from model_envelope.foundation.errors import Answered, InvalidInput, Refused
from model_envelope.foundation.files import remove_tree, scratch_folder
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.foundation.pylock import read_lock
from model_envelope.runtime import manifest
from model_envelope.runtime.errors import Problem
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope, verify_manifest
from model_envelope.targets.context import MICROMAMBA_IMAGE, Context, default_base_image, render_context
from model_envelope.targets.engine import Engine
from model_envelope.targets.registry import pinned
from model_envelope.targets.target import Target, find_target
from model_envelope.workflows.cpu import gpu_note

VARIABLE = "ENVELOPE_BASE_IMAGE"
MICROMAMBA_VARIABLE = "ENVELOPE_MICROMAMBA_IMAGE"


@dataclass(frozen=True)
class RenderResult:
    """The folder that was written, the base image in it with its digest where it is pinned, and what builds it."""

    path: Path
    target: str
    base_image: str
    base_digest: str | None
    command: str


def render(
    envelope: Path,
    *,
    target: str = "service",
    arrow: bool = False,
    into: Path | None = None,
    base_image: str | None = None,
    micromamba_image: str | None = None,
    pin: bool = False,
    report: Report = silent,
) -> RenderResult:
    """Render a target for an envelope as a new folder in ``into`` (default: the current folder).

    ``arrow`` adds pyarrow where the envelope does not bring it, so that the service speaks Arrow IPC streams. The same
    envelope, options and version of this tool give the same bytes. ``pin`` pins the base image by the digest that the
    engine of this machine, or the registry through it, knows now. A folder that is there already and holds the same is
    given as it is.

    Raises ``Answered`` where the envelope is not what was sealed, ``Unsolvable`` where its lock clashes with the
    target, ``Refused`` where another folder of that name is there, and ``ToolMissing`` where ``pin`` finds no engine.
    """
    files, chosen = verified(envelope, report), chosen_target(target, arrow=arrow)
    image, micromamba = choose_base_image(files, base_image), choose_micromamba_image(micromamba_image)
    if pin:
        with closing(Engine.connect()) as engine:
            image = pinned(engine, image, report=report).reference
            if files.conda_lock.is_file():
                micromamba = pinned(engine, micromamba, report=report).reference
    report(Started("render", f"Rendering {chosen.kind}"))
    context = keep(files, chosen, into or Path.cwd(), image, micromamba)
    report(Done("render", f"Rendered {context.path.name}"))
    if note := gpu_note(files, chosen):
        report(Note(note))
    named, _, digest = image.partition("@")
    command = build_command(context.path, default_image_name(files))
    return RenderResult(context.path, chosen.kind, named, digest or None, command)


def chosen_target(name: str, *, arrow: bool) -> Target:
    """Give a target with the options that were asked for. Raises ``InvalidInput`` for what there is not."""
    return find_target(name).with_options(*(["arrow"] if arrow else []))


def verified(envelope: Path, report: Report = silent) -> EnvelopeFiles:
    """Open an envelope whose every file is as it was sealed; a tampered one is refused before anything is made of it.

    Raises ``Answered`` (``verify.files``) that names what differs, or that the two forms of its lock do
    (``lock.forms-differ``).
    """
    report(Started("files", "Hashing the files"))
    files = read_envelope(envelope)
    if found := verify_manifest(files):
        kinds = (("missing", found.missing), ("extra", found.extra), ("changed", found.changed))
        raise Answered(
            f"{files.path} is not what was sealed",
            code="verify.files",
            problems=[Problem(name, kind, "as sealed", f"file.{kind}") for kind, names in kinds for name in names],
            hint="get it again from where it was sealed",
        )
    if files.lock.is_file():
        read_lock(files.path)
    report(Done("files", f"{files.path.name} is as sealed"))
    return files


def keep(files: EnvelopeFiles, target: Target, into: Path, base_image: str, micromamba_image: str) -> Context:
    """Render into a folder that stays; one that holds the same already is kept as it is."""
    into.mkdir(parents=True, exist_ok=True)
    with scratch_folder(into, prefix=".envelope-") as scratch:
        context = render_context(files, target, scratch, base_image=base_image, micromamba_image=micromamba_image)
        place = into / context.path.name
        if place.exists():
            if not place.is_dir() or manifest.compose(place) != manifest.compose(context.path):
                raise Refused(
                    f"{place} is there already, and holds something else",
                    code="target.exists",
                    hint="remove it, or name another folder with --output",
                )
            remove_tree(context.path)
        else:
            context.path.rename(place)
    return Context(place.resolve(), context.lock)


def build_command(context: Path, image: str) -> str:
    """Give the command that builds a rendered folder by hand, wherever it is taken."""
    return f"DOCKER_BUILDKIT=1 docker build --tag {shlex.quote(image)} {shlex.quote(str(context))}"


def default_image_name(files: EnvelopeFiles) -> str:
    """Give the name that an image gets where none is asked for: ``flights:3f2a9c1d84e0``."""
    return f"{files.description.name}:{files.short_digest}"


def choose_base_image(
    files: EnvelopeFiles, named: str | None, environ: Mapping[str, str] = os.environ, folder: Path | None = None
) -> str:
    """Give the base image: the named one, else ENVELOPE_BASE_IMAGE, else the setting of the project in this folder.

    The setting is ``base-image`` in ``[tool.envelope]`` of ``pyproject.toml``; ``{python}`` in any of the three stands
    for the envelope's Python. Without a setting it is the official image of that Python.
    """
    configured = _configured(folder or Path.cwd(), "base-image")
    chosen = named or environ.get(VARIABLE) or configured or default_base_image(files)
    return chosen.replace("{python}", files.description.python)


def choose_micromamba_image(
    named: str | None = None, environ: Mapping[str, str] = os.environ, folder: Path | None = None
) -> str:
    """Give the image with micromamba that conda packages are installed in: by the same rules, without ``{python}``.

    The variable is ENVELOPE_MICROMAMBA_IMAGE, the setting ``micromamba-image``.
    """
    configured = _configured(folder or Path.cwd(), "micromamba-image")
    return named or environ.get(MICROMAMBA_VARIABLE) or configured or MICROMAMBA_IMAGE


def _configured(folder: Path, setting: str) -> str | None:
    path = folder / "pyproject.toml"
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", code="settings.malformed") from None
    found = document.get("tool", {}).get("envelope", {}).get(setting)
    if found is None or isinstance(found, str):
        return found
    raise InvalidInput(
        f"`{setting}` of [tool.envelope] in {path} is {found!r:.60}, expected the name of an image",
        code="settings.malformed",
    )
