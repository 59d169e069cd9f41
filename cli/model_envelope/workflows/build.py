"""Builds an image of an envelope, and names it only when the model in it answers the sealed samples as it did."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from model_envelope.dependencies.conda.channels import Channels, read_channels
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.system_libraries import lacking_library
from model_envelope.foundation.conda_lock import clean_address
from model_envelope.foundation.errors import Answered, InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.files import human_size, json_bytes, scratch_folder
from model_envelope.foundation.libraries import read_libraries
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.foundation.secrets import scrub
from model_envelope.runtime.errors import EnvelopeError, ExitCode, ModelFailed, Problem
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.replay import MethodReplay, replay
from model_envelope.targets.asking import asker, wait_until_ready
from model_envelope.targets.building import Builder, Network, choose_builder
from model_envelope.targets.context import Context, Install, render_context
from model_envelope.targets.engine import Container, Engine, split_name
from model_envelope.targets.target import Target
from model_envelope.workflows.fitting import fitting
from model_envelope.workflows.provenance import read_provenance
from model_envelope.workflows.render import (
    build_command,
    choose_base_image,
    choose_micromamba_image,
    chosen_target,
    default_image_name,
    keep,
    verified,
)
from model_envelope.workflows.replaying import Replayed
from model_envelope.workflows.system import unknown_libraries

APT_CONF = "ENVELOPE_APT_CONF"
"""The variable that names an apt.conf for builds."""


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
    report: Report = silent,
) -> BuildResult:
    """Render, build, start the container hardened, replay the samples of all methods over HTTP, and name the image.

    ``image`` is its name (default: ``<name>:<short digest>``), ``arrow`` as in :func:`render`. Until the answers agree
    it has a temporary one; whatever goes wrong, no container and no name stays behind. A container needs no trust: the
    model runs confined.

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
        temporary = f"envelope-build/{chosen.kind}:{uuid.uuid4().hex}"
        try:
            with scratch_folder(prefix="envelope-build-") as scratch:
                context = render_context(
                    files, chosen, scratch, base_image=base, install=builder.install, micromamba_image=micromamba
                )
                for text in unknown_libraries(read_libraries(files.path)):
                    report(Note(text))
                report(Started("build", f"Building on {base} with {builder.name}"))
                built = time.monotonic()
                with fitting(files, engine.platform, report, "the engine"):
                    _build(builder, context, temporary, files.description.python, report)
                size = engine.size(temporary)
                report(Done("build", f"Built {human_size(size)} in {time.monotonic() - built:.1f} s ({builder.name})"))
            replays = prove(engine, temporary, files, report)
            identity = engine.tag(temporary, name)
        finally:
            engine.forget(temporary)
    report(Done("tag", f"Named {name}"))
    return BuildResult(
        name, identity, size, files.digest, chosen.kind, base, builder.name, replays, time.monotonic() - began
    )


def _judged(files: EnvelopeFiles, replays: tuple[MethodReplay, ...], report: Report) -> tuple[MethodReplay, ...]:
    """Let last bits pass where the CPU is of another type than the one that the samples were answered on."""
    sealed_on = Machine.from_document(read_provenance(files).get("machine", {}))
    if sealed_on is None:
        return replays
    # What a container loaded, and how many threads that takes, is not seen from here; its CPU is that of this machine.
    here = replace(Machine.of_this_process(), libraries=sealed_on.libraries, threads=sealed_on.threads)
    judged = Replayed(replays, here).judged(sealed_on)
    for remark in judged.remarks():
        report(Note(remark))
    return judged.replays


def prove(engine: Engine, image: str, files: EnvelopeFiles, report: Report = silent) -> tuple[MethodReplay, ...]:
    """Start a container of an image as it will run in earnest, and replay the samples of all methods over HTTP.

    Raises ``Answered`` (``build.differs``) where an answer is not the sealed one, and what the container failed with
    where it does not become ready.
    """
    if not files.samples:
        report(Note("not proven: the envelope was sealed without samples"))
    report(Started("prove", "Starting the container"))
    with engine.running(image) as container:
        wait_until_ready(container.url, lambda: still_running(container), container.log)
        report(Started("prove", "Replaying the samples in the container"))
        replays = _judged(files, replay(files, asker(container.url)), report)
    problems = [
        Problem(f"{item.method}: {found.path}", found.found, found.expected, found.code)
        for item in replays
        for found in item.differences
        if not item.agrees
    ]
    if not all(item.agrees for item in replays):
        raise _differs(problems)
    if replays:
        report(Done("prove", f"Proven in the container: {len(replays)} methods answer as sealed"))
    else:
        report(Done("prove", "Started in the container"))
    return replays


def _build(builder: Builder, context: Context, image: str, python: str, report: Report) -> None:
    """Build with pip's own settings of this machine; what a builder said is shown without their credentials."""
    settings = IndexSettings.from_environment()
    channels = read_channels() if (context.path / "conda-lock.yml").is_file() else Channels()
    try:
        builder.build(
            context,
            image,
            replace(network(settings), apt_conf=apt_conf(), mamba_auth=mamba_authentication(channels)),
            python,
            report,
        )
    except ToolFailed as error:
        message, detail = (scrub(settings.redact(text), channels.secrets()) for text in (error.message, error.detail))
        raise ToolFailed(message, code=error.code, hint=error.hint, detail=detail) from None


def _refuse_conda_without_network(files: EnvelopeFiles, builder: Builder) -> None:
    """Refuse to install conda packages in a build that fetches nothing itself."""
    if files.conda_lock.is_file() and builder.install is Install.WHEELHOUSE:
        raise ToolMissing(
            f"the envelope has a conda lock, and {builder.name} cannot install conda packages: that needs BuildKit",
            code="build.conda-needs-buildkit",
            hint="install docker's buildx plugin, or lock for pip: `envelope lock ENVELOPE --resolver auto`",
        )


def mamba_authentication(channels: Channels) -> bytes | None:
    """Give an authentication.json for mamba: what `micromamba login` noted here, and what conda's settings name.

    None where there are no credentials. What is no JSON there is left to mamba to complain about.
    """
    path = Path.home() / ".mamba" / "auth" / "authentication.json"
    noted = path.read_bytes() if path.is_file() else b"{}"
    try:
        known = json.loads(noted)
    except ValueError:
        return noted
    found = {}
    for address in channels.configured:
        key = clean_address(address).partition("://")[2]
        parts = urlsplit(address)
        token = re.search(r"/t/([^/]+)", parts.path)
        if parts.username is not None:
            password = base64.b64encode(unquote(parts.password or "").encode()).decode()
            found[key] = {"type": "BasicHTTPAuthentication", "user": unquote(parts.username), "password": password}
        elif token:
            found[key] = {"type": "CondaToken", "token": token[1]}
    return json_bytes({**found, **known}) if found or known else None


def apt_conf() -> Path | None:
    """Give the apt.conf for builds that ENVELOPE_APT_CONF names.

    Raises :class:`InvalidInput` (``settings.apt-conf``) where it is no file.
    """
    named = os.environ.get(APT_CONF)
    if not named:
        return None
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise InvalidInput(
            f"{APT_CONF} names {path}, and there is no such file",
            code="settings.apt-conf",
            hint="name a file in the form of apt.conf, with a proxy or other sources, or unset it",
        )
    return path


def network(settings: IndexSettings) -> Network:
    """Give what a build needs to reach the package index: pip's settings, but for places of this machine alone."""
    options = {
        "index-url": [settings.index_url] if settings.index_url else [],
        "extra-index-url": settings.extra_index_urls,
        "find-links": [link for link in settings.find_links if link.startswith(("http:", "https:"))],
        "trusted-host": settings.trusted_hosts,
    }
    parser = RawConfigParser()
    parser["global"] = {
        name: "\n".join(kept)
        for name, values in options.items()
        if (kept := [value for value in values if not value.startswith("file:")])
    }
    if not parser["global"]:
        return Network(ca_bundle=settings.ca_bundle)
    text = io.StringIO()
    parser.write(text)
    return Network(text.getvalue().encode(), settings.ca_bundle)


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


def still_running(container: Container) -> None:
    """Raise what a container failed with, where it has ended before it was ready."""
    code = container.exit_code()
    if code is None:
        return
    said = container.log()
    if code == ExitCode.NO:
        raise _differs([], said)
    lacking = lacking_library(said)
    raise ModelFailed(
        f"the container ended with {code} before it was ready",
        code="build.not-ready",
        detail=said,
        hint=f"{lacking}; name a base image that has it: `--base-image`"
        if lacking
        else "what the container said stands above; `envelope verify --clean` shows whether the lock is enough here",
    )


def _differs(problems: list[Problem], detail: str = "") -> EnvelopeError:
    return Answered(
        "the image does not answer the sealed samples as the model did when it was sealed, so it got no name",
        code="build.differs",
        problems=problems,
        detail=detail,
        hint="the base image or the platform differs from where the model was packed; name another with --base-image",
    )
