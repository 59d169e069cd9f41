"""Builds an image of an envelope, and names it only when the model in it answers the sealed samples as it did."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from model_envelope.dependencies.programs import find_uv
from model_envelope.foundation.errors import InvalidInput, Refused, ToolMissing
from model_envelope.foundation.files import human_size, scratch_folder
from model_envelope.foundation.libraries import read_libraries
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.targets.build_log import BuildLog, Step, by_name
from model_envelope.targets.building import Builder, choose_builder
from model_envelope.targets.context import Context, Install, carry_uv, conda_packages, merged_lock, render_context
from model_envelope.targets.engine import Engine, split_name
from model_envelope.targets.layers import digests_of, read_installed, read_layers
from model_envelope.targets.network import CUT, Network
from model_envelope.targets.pushing import knock, push_image
from model_envelope.targets.registry import Base, pinned
from model_envelope.targets.target import Target
from model_envelope.workflows.build_network import SETTINGS_ALONE, NetworkFlags, find_network, wheels_for
from model_envelope.workflows.build_records import Ingredients, kept_log
from model_envelope.workflows.build_report import BuildResult, as_before, refuse_folder, with_reasons, write_report
from model_envelope.workflows.build_trouble import explaining
from model_envelope.workflows.cpu import gpu_note
from model_envelope.workflows.fitting import fitting
from model_envelope.workflows.image_proof import prove
from model_envelope.workflows.job_proof import prove_job
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


def build(
    envelope: Path,
    *,
    target: str = "service",
    options: Sequence[str] = (),
    image: str | None = None,
    base_image: str | None = None,
    micromamba_image: str | None = None,
    network: NetworkFlags = SETTINGS_ALONE,
    allow_network: bool = False,
    check_reproducible: bool = False,
    rebuild: bool = False,
    report_file: Path | None = None,
    pull: bool = False,
    push: bool = False,
    report: Report = silent,
) -> BuildResult:
    """Render, build, start the container hardened, replay the samples of all methods over HTTP, and name the image.

    ``image`` is its name (default: ``<name>:<short digest>``), ``options`` as in :func:`render`, ``network`` what is
    said of the way to packages beside the settings of pip and uv; ``allow_network`` leaves the network to the model
    while it is proven. A job is asked nothing over HTTP: its samples are replayed in its container. Until the answers
    agree the image has a temporary name; whatever goes wrong, no container and no name stays behind. A container needs
    no trust: the model runs confined. With ``check_reproducible`` it is built twice without a cache, and has to have
    the same layers. Where all is as it was in an earlier build that was proven, and its image has that name still,
    nothing is done, unless ``rebuild`` says so. ``report_file`` is where the result is written as JSON too, also where
    the push fails then.

    Base images are pinned by digest where they have one; ``pull`` takes what their registries have now rather than what
    the engine has. ``push`` pushes the image under its name once it is proven; its registry is asked first whether it
    answers.

    Raises ``Answered`` where the envelope is not what was sealed or the image answers otherwise, ``ToolMissing`` where
    no engine answers (the rendered folder is then kept), ``ToolFailed`` where the build fails.
    """
    began = time.monotonic()
    refuse_folder(report_file)
    files, chosen = verified(envelope, report), chosen_target(target, options)
    if not chosen.makes_image:
        raise InvalidInput(
            f"the target `{chosen.kind}` makes files that run an image, and none itself",
            code="target.no-image",
            hint=f"`envelope build ENVELOPE --target {chosen.runs}` builds the image that these files run, "
            f"`envelope render ENVELOPE --target {chosen.kind}` writes them",
        )
    base, micromamba = choose_base_image(files, base_image), choose_micromamba_image(micromamba_image)
    name = image or default_image_name(files, chosen)
    split_name(name)
    with _engine_or_folder(files, chosen, base, micromamba, name) as engine:
        if push:
            knock(engine, name, report)
        begun = pinned(engine, base, pull=pull, report=report)
        if files.conda_lock.is_file():
            micromamba = pinned(engine, micromamba, pull=pull, report=report).reference
        ingredients = Ingredients.of(
            files,
            chosen,
            name,
            begun.reference,
            micromamba_image=micromamba,
            platform=str(engine.platform),
            network=str(allow_network),
        )
        if not (rebuild or check_reproducible) and (known := ingredients.built_before(engine)):
            report(Done("build", f"Nothing has changed since {name} was built and proven"))
            result = as_before(known)
        else:
            builder, lock = choose_builder(engine), Lock.parse(merged_lock(files, chosen))
            way = find_network(network, files, lock, engine, report, fetches_here=builder.install is Install.CLASSIC)
            _refuse_conda_without_network(files, builder, way)
            wheels = wheels_for(files, lock, network, way, engine.platform, report)
            recipe = _Recipe(files, chosen, begun, micromamba, builder, engine, way, network, tuple(wheels))
            result = _build_and_prove(recipe, name, report, twice=check_reproducible, connected=allow_network)
            ingredients.remember(engine, result)
        told = write_report(replace(result, seconds=time.monotonic() - began), report_file)
        if not push:
            return told
        contents = {digest: layer.name for layer in result.layers for digest in layer.digests}
        before, pushed = time.monotonic(), push_image(engine, name, contents, report)
    steps = (*told.steps, Step("push", cached=False, seconds=time.monotonic() - before))
    return write_report(replace(told, pushed=pushed, steps=steps, seconds=time.monotonic() - began), report_file)


def _build_and_prove(recipe: _Recipe, name: str, report: Report, *, twice: bool, connected: bool) -> BuildResult:
    """Build an image under a temporary name, prove it, and give it its own; nothing is left of one that fails."""
    began = time.monotonic()
    files, engine = recipe.files, recipe.engine
    temporary = f"envelope-build/{recipe.target.kind}:{uuid.uuid4().hex}"
    # Where the engine goes away the log is named too.
    with kept_log(files.description.name, recipe.way.redact, report) as kept, engine.watched():
        log = BuildLog(kept.keep, report)
        try:
            for text in filter(None, [*unknown_libraries(read_libraries(files.path)), gpu_note(files, recipe.target)]):
                report(Note(text))
            report(Started("build", f"Building on {recipe.base.name} with {recipe.builder.name}"))
            built = time.monotonic()
            with fitting(files, engine.platform, report, "the engine"):
                context = recipe.make(temporary, log, fresh=twice)
            size, took = engine.size(temporary), time.monotonic() - built
            report(Done("build", f"Built {human_size(size)} in {took:.1f} s ({recipe.builder.name})"))
            if twice:
                reproduce(engine, temporary, lambda again: recipe.make(again, BuildLog(kept.keep), fresh=True), report)
            asked = time.monotonic()
            proof = prove if recipe.target.serves else prove_job
            replays = proof(engine, temporary, files, network=connected, report=report)
            steps = (*by_name(log.finish()), Step("proof", cached=False, seconds=time.monotonic() - asked))
            layers = read_layers(engine, temporary, recipe.base.reference, digests_of(engine, name))
            packages = with_reasons(read_installed(engine, temporary), files, recipe.target)
            identity = engine.tag(temporary, name)
        finally:
            engine.forget(temporary)
        report(Done("tag", f"Named {name}"))
        return BuildResult(
            image=name,
            id=identity,
            size=size,
            name=files.description.name,
            digest=files.digest,
            lock=hashlib.sha256((conda_packages(files) or b"") + context.lock).hexdigest(),
            target=recipe.target.kind,
            base_image=recipe.base.name,
            base_digest=recipe.base.digest,
            builder=recipe.builder.name,
            layers=layers,
            packages=packages,
            steps=steps,
            replays=replays,
            seconds=time.monotonic() - began,
            log=kept.path,
        )


@dataclass(frozen=True)
class _Recipe:
    """All that an image is made of, and what makes it."""

    files: EnvelopeFiles
    target: Target
    base: Base
    micromamba_image: str
    builder: Builder
    engine: Engine
    way: Network
    flags: NetworkFlags
    wheels: tuple[Path, ...]

    def make(self, image: str, log: BuildLog, *, fresh: bool = False) -> Context:
        """Render into a folder of its own, and build; ``fresh`` takes no step from an earlier build.

        What was built from is given back; its folder is gone.
        """
        install = self.builder.install
        if self.way.mode == CUT and install is not Install.CLASSIC:
            install = Install.WHEELHOUSE
        with scratch_folder(prefix="envelope-build-") as scratch:
            context = render_context(
                self.files,
                self.target,
                scratch,
                base_image=self.base.reference,
                install=install,
                micromamba_image=self.micromamba_image,
                wheels=self.wheels,
            )
            uv = find_uv()
            if uv is not None and self.engine.platform == Platform.here():
                carry_uv(context, uv.resolve())
            with explaining(self.way, self.flags, context.lock):
                self.builder.build(context, image, self.way, self.files.description.python, log, fresh=fresh)
            return context


def _refuse_conda_without_network(files: EnvelopeFiles, builder: Builder, way: Network) -> None:
    """Refuse to install conda packages in a build that fetches nothing itself."""
    if not files.conda_lock.is_file():
        return
    if way.mode == CUT:
        raise InvalidInput(
            "the envelope has a conda lock, and a wheelhouse holds no conda packages",
            code="build.conda-wheelhouse",
            hint="build with a network, or lock for pip: `envelope lock ENVELOPE --resolver auto`",
        )
    if builder.install is Install.CLASSIC:
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
        try:
            context = keep(files, target, Path.cwd(), base, micromamba)
        except (OSError, Refused):
            # What is told is that no engine answers, also where the folder cannot be kept.
            raise error from None
        raise ToolMissing(
            f"{error.message}; the folder to build from is kept at {context.path}",
            code=error.code,
            detail=error.detail,
            hint=f"start an engine, or build where there is one: `{build_command(context.path, image)}` "
            "(with a private index add `--secret id=pip_conf,src=PIP_CONF --secret id=ca,src=CA_BUNDLE`, with a "
            "mirror of Debian `--secret id=apt_conf,src=APT_CONF`)",
        ) from None
    try:
        with engine.watched():
            yield engine
    finally:
        engine.close()
