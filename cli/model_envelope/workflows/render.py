"""Writes the folder that an image is built from, for whoever builds it elsewhere or wants to look at it.

Targets that make no image are written as the files that they are: what another program runs a batch image by.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
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
from model_envelope.targets.orchestrating import render_files
from model_envelope.targets.registry import pinned
from model_envelope.targets.target import Target, find_target
from model_envelope.workflows.cpu import gpu_note

VARIABLE = "ENVELOPE_BASE_IMAGE"
MICROMAMBA_VARIABLE = "ENVELOPE_MICROMAMBA_IMAGE"


@dataclass(frozen=True)
class RenderResult:
    """The folder that was written, the base image in it with its digest where it is pinned, and what comes next.

    ``base_image`` is None for files that no image is built from.
    """

    path: Path
    target: str
    base_image: str | None
    base_digest: str | None
    command: str


def render(
    envelope: Path,
    *,
    target: str = "service",
    options: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    into: Path | None = None,
    base_image: str | None = None,
    micromamba_image: str | None = None,
    pin: bool = False,
    report: Report = silent,
) -> RenderResult:
    """Render a target for an envelope as a new folder in ``into`` (default: the current folder).

    ``options`` add what they need to the target (``arrow`` adds pyarrow to the service where the envelope does not
    bring it, so that it speaks Arrow IPC streams), ``settings`` are the values of a target that makes files. The same
    envelope, options and version of this tool give the same bytes. ``pin`` pins the base image by the digest that the
    engine of this machine, or the registry through it, knows now. A folder that is there already and holds the same is
    given as it is.

    Raises ``Answered`` where the envelope is not what was sealed, ``Unsolvable`` where its lock clashes with the
    target, ``Refused`` where another folder of that name is there, and ``ToolMissing`` where ``pin`` finds no engine.
    """
    files, chosen = verified(envelope, report), chosen_target(target, options)
    if not chosen.makes_image:
        _refuse_image_words(chosen, base_image, micromamba_image, pin=pin)
        return _files(files, chosen, into or Path.cwd(), settings or {}, report)
    if settings:
        raise InvalidInput(
            f"the target `{chosen.kind}` makes an image and has no settings; found {', '.join(settings)}",
            code="target.setting",
            hint="what a job does is said when it is run: `docker run IMAGE --input TABLE --output TABLE`",
        )
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
    command = build_command(context.path, default_image_name(files, chosen))
    return RenderResult(context.path, chosen.kind, named, digest or None, command)


def _files(
    files: EnvelopeFiles, target: Target, into: Path, settings: Mapping[str, str], report: Report
) -> RenderResult:
    """Write the files of a target that makes no image."""
    report(Started("render", f"Rendering {target.kind}"))
    image = default_image_name(files, find_target(target.runs))
    path = _kept(into, lambda scratch: render_files(files, target, scratch, settings=settings, image=image))
    report(Done("render", f"Rendered {path.name}"))
    return RenderResult(path, target.kind, None, None, target.next.replace("{folder}", shlex.quote(str(path))))


def _refuse_image_words(target: Target, *words: str | None, pin: bool) -> None:
    if pin or any(words):
        raise InvalidInput(
            f"the target `{target.kind}` makes files, and no image on a base",
            code="target.no-image",
            hint="leave out --base-image, --micromamba-image and --pin; `--set image=NAME` says which image it runs",
        )


def chosen_target(name: str, options: Sequence[str] = ()) -> Target:
    """Give a target with the options that were asked for. Raises ``InvalidInput`` for what there is not."""
    return find_target(name).with_options(*options)


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
    lock = b""

    def write(scratch: Path) -> Path:
        nonlocal lock
        made = render_context(files, target, scratch, base_image=base_image, micromamba_image=micromamba_image)
        lock = made.lock
        return made.path

    return Context(_kept(into, write), lock)


def _kept(into: Path, write: Callable[[Path], Path]) -> Path:
    """Let a folder be written beside its place, and moved there, unless the same is there already."""
    into.mkdir(parents=True, exist_ok=True)
    with scratch_folder(into, prefix=".envelope-") as scratch:
        made = write(scratch)
        place = into / made.name
        if place.exists():
            if not place.is_dir() or manifest.compose(place) != manifest.compose(made):
                raise Refused(
                    f"{place} is there already, and holds something else",
                    code="target.exists",
                    hint="remove it, or name another folder with --output",
                )
            remove_tree(made)
        else:
            made.rename(place)
    return place.resolve()


def build_command(context: Path, image: str) -> str:
    """Give the command that builds a rendered folder by hand, wherever it is taken."""
    return f"DOCKER_BUILDKIT=1 docker build --tag {shlex.quote(image)} {shlex.quote(str(context))}"


def default_image_name(files: EnvelopeFiles, target: Target) -> str:
    """Give the name that an image gets where none is asked for: ``flights:3f2a9c1d84e0``, ``flights-batch:3f2a…``."""
    name = files.description.name
    return f"{name if target.serves else f'{name}-{target.kind}'}:{files.short_digest}"


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
