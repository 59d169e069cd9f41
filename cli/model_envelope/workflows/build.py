"""Builds an image of an envelope, and names it only when the model in it answers the sealed samples as it did."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from model_envelope.dependencies.builds import with_links_for
from model_envelope.dependencies.conda.channels import Channels, read_channels
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_uv
from model_envelope.foundation.errors import ToolFailed, ToolMissing
from model_envelope.foundation.files import human_size, scratch_folder
from model_envelope.foundation.libraries import read_libraries
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.foundation.secrets import scrub
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.replay import MethodReplay
from model_envelope.targets.building import Builder, choose_builder
from model_envelope.targets.context import Context, Install, carry_uv, render_context
from model_envelope.targets.engine import Engine, split_name
from model_envelope.targets.target import Target
from model_envelope.workflows.build_network import apt_conf, mamba_authentication, network
from model_envelope.workflows.cpu import gpu_note
from model_envelope.workflows.fitting import fitting
from model_envelope.workflows.image_proof import prove
from model_envelope.workflows.render import (
    build_command,
    choose_base_image,
    choose_micromamba_image,
    chosen_target,
    default_image_name,
    keep,
    verified,
)
from model_envelope.workflows.reproducing import reproduce
from model_envelope.workflows.system import unknown_libraries


@dataclass(frozen=True)
class BuildResult:
    """The image that was named, its id and size in bytes, what built it, and how it answered."""

    image: str
    id: str
    size: int
    digest: str
    target: str
    base_image: str
    builder: str
    replays: tuple[MethodReplay, ...]
    seconds: float


def build(
    envelope: Path,
    *,
    target: str = "service",
    arrow: bool = False,
    image: str | None = None,
    base_image: str | None = None,
    micromamba_image: str | None = None,
    check_reproducible: bool = False,
    report: Report = silent,
) -> BuildResult:
    """Render, build, start the container hardened, replay the samples of all methods over HTTP, and name the image.

    ``image`` is its name (default: ``<name>:<short digest>``), ``arrow`` as in :func:`render`. Until the answers agree
    it has a temporary one; whatever goes wrong, no container and no name stays behind. A container needs no trust: the
    model runs confined. With ``check_reproducible`` it is built twice without a cache, and has to have the same layers.

    Raises ``Answered`` where the envelope is not what was sealed or the image answers otherwise, ``ToolMissing`` where
    no engine answers (the rendered folder is then kept), ``ToolFailed`` where the build fails.
    """
    began = time.monotonic()
    files, chosen = verified(envelope, report), chosen_target(target, arrow=arrow)
    base, micromamba = choose_base_image(files, base_image), choose_micromamba_image(micromamba_image)
    name = image or default_image_name(files)
    split_name(name)
    with _engine_or_folder(files, chosen, base, micromamba, name) as engine:
        builder = choose_builder(engine)
        _refuse_conda_without_network(files, builder)
        recipe = _Recipe(files, chosen, base, micromamba, builder, engine)
        temporary = f"envelope-build/{chosen.kind}:{uuid.uuid4().hex}"
        try:
            for text in filter(None, [*unknown_libraries(read_libraries(files.path)), gpu_note(files, chosen)]):
                report(Note(text))
            report(Started("build", f"Building on {base} with {builder.name}"))
            built = time.monotonic()
            with fitting(files, engine.platform, report, "the engine"):
                recipe.make(temporary, report, fresh=check_reproducible)
            size = engine.size(temporary)
            report(Done("build", f"Built {human_size(size)} in {time.monotonic() - built:.1f} s ({builder.name})"))
            if check_reproducible:
                reproduce(engine, temporary, lambda again: recipe.make(again, fresh=True), report)
            replays = prove(engine, temporary, files, report)
            identity = engine.tag(temporary, name)
        finally:
            engine.forget(temporary)
    report(Done("tag", f"Named {name}"))
    return BuildResult(
        name, identity, size, files.digest, chosen.kind, base, builder.name, replays, time.monotonic() - began
    )


@dataclass(frozen=True)
class _Recipe:
    """All that an image is made of, and what makes it."""

    files: EnvelopeFiles
    target: Target
    base_image: str
    micromamba_image: str
    builder: Builder
    engine: Engine

    def make(self, image: str, report: Report = silent, *, fresh: bool = False) -> None:
        """Render into a folder of its own, and build; ``fresh`` takes no step from an earlier build."""
        with scratch_folder(prefix="envelope-build-") as scratch:
            context = render_context(
                self.files,
                self.target,
                scratch,
                base_image=self.base_image,
                install=self.builder.install,
                micromamba_image=self.micromamba_image,
            )
            uv = find_uv()
            if uv is not None and self.engine.platform == Platform.here():
                carry_uv(context, uv.resolve())
            _build(self.builder, context, image, self.files.description.python, report, fresh=fresh)


def _build(builder: Builder, context: Context, image: str, python: str, report: Report, *, fresh: bool) -> None:
    """Build with pip's own settings of this machine; what a builder said is shown without their credentials."""
    settings = with_links_for(IndexSettings.from_environment(), Lock.parse(context.lock))
    channels = read_channels() if (context.path / "conda-lock.yml").is_file() else Channels()
    try:
        builder.build(
            context,
            image,
            replace(network(settings), apt_conf=apt_conf(), mamba_auth=mamba_authentication(channels)),
            python,
            report,
            fresh=fresh,
        )
    except ToolFailed as error:
        message, detail = (scrub(settings.redact(text), channels.secrets()) for text in (error.message, error.detail))
        raise ToolFailed(message, code=error.code, hint=error.hint, detail=detail) from None


def _refuse_conda_without_network(files: EnvelopeFiles, builder: Builder) -> None:
    """Refuse to install conda packages in a build that fetches nothing itself."""
    if files.conda_lock.is_file() and builder.install is Install.CLASSIC:
        raise ToolMissing(
            f"the envelope has a conda lock, and {builder.name} cannot install conda packages: that needs BuildKit",
            code="build.conda-needs-buildkit",
            hint="install docker's buildx plugin, or lock for pip: `envelope lock ENVELOPE --resolver auto`",
        )


@contextmanager
def _engine_or_folder(files: EnvelopeFiles, target: Target, base: str, micromamba: str, image: str) -> Iterator[Engine]:
    """Give the engine; where none answers, keep the rendered folder and say how to build it elsewhere."""
    try:
        engine = Engine.connect()
    except ToolMissing as error:
        context = keep(files, target, Path.cwd(), base, micromamba)
        raise ToolMissing(
            f"{error.message}; the folder to build from is kept at {context.path}",
            code=error.code,
            detail=error.detail,
            hint=f"start an engine, or build where there is one: `{build_command(context.path, image)}` "
            "(with a private index add `--secret id=pip_conf,src=PIP_CONF --secret id=ca,src=CA_BUNDLE`, with a "
            "mirror of Debian `--secret id=apt_conf,src=APT_CONF`)",
        ) from None
    try:
        yield engine
    finally:
        engine.close()
