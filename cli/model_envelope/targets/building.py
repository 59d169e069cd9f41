"""Builds an image from a rendered folder: with BuildKit where the machine has it, else with the classic builder.

What a build needs of the network reaches BuildKit as secrets, so that nothing of it stays in the image, its history or
the engine's store. The classic builder has no secrets: there the locked files are fetched on this machine first, and
the build installs from them without a network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolFailed
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Doing, Note
from model_envelope.targets.build_log import STEP, BuildLog
from model_envelope.targets.context import CARRIED_WHEELS, Context, Install
from model_envelope.targets.engine import Engine, buildkit_client
from model_envelope.targets.network import CUT, Network
from model_envelope.targets.reasons import build_failed, reason_of

TIMEOUT = 3600.0
CLASSIC_LOSES = (
    "there is no BuildKit here (`docker buildx`, or a docker client older than 23), so the classic builder is used: it "
    "has no secrets, so packages are fetched by this machine, only those with ready wheels can be installed, and apt "
    "gets none of your settings; it keeps no package cache between builds, and its first stage stays behind as a "
    "nameless image (`docker image prune`)"
)
_MORE = "a builder with BuildKit can also build packages that have no ready wheel"


class Builder(Protocol):
    """Makes an image of a rendered folder."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def install(self) -> Install:
        """Where its builds take packages from."""
        ...

    def build(
        self,
        context: Context,
        image: str,
        network: Network,
        python: str,
        log: BuildLog,
        *,
        fresh: bool = False,
    ) -> None:
        """Build, and name the result ``image``; ``fresh`` takes no step from an earlier build.

        Raises :class:`ToolFailed` (``build.failed`` and kin).
        """
        ...


@dataclass(frozen=True)
class BuildKit:
    """The docker command with BuildKit."""

    program: Path
    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    name: str = "BuildKit"
    install: Install = Install.INDEX

    def build(
        self,
        context: Context,
        image: str,
        network: Network,
        python: str,  # noqa: ARG002  the classic builder needs it
        log: BuildLog,
        *,
        fresh: bool = False,
    ) -> None:
        """Build with secrets and a cache that is kept between builds."""
        with network.words() as words:
            command = [str(self.program), *self.words, "--progress", "plain", "--tag", image, *words]
            command += ["--no-cache"] if fresh else []
            finished = process.run(
                [*command, str(context.path)],
                env=process.environment(dict(self.variables)),
                timeout=TIMEOUT,
                on_line=log.line,
                on_error_line=log.line,
            )
        if not finished.ok:
            raise _failed(log, context, timed_out=finished.timed_out)


@dataclass(frozen=True)
class Classic:
    """The engine's own builder, through the ``docker`` package."""

    engine: Engine
    name: str = "the classic builder"
    install: Install = Install.CLASSIC

    def build(
        self,
        context: Context,
        image: str,
        network: Network,
        python: str,
        log: BuildLog,
        *,
        fresh: bool = False,
    ) -> None:
        """Fetch the locked files here, then build; only packages of the system need a network then."""
        log.report(Note(CLASSIC_LOSES))
        log.report(Doing(STEP, "Building: fetching packages"))
        own = context.path / CARRIED_WHEELS
        if network.mode != CUT:
            with network.pip_environment() as variables:
                lock, into = context.path / "requirements.lock", context.path / "wheelhouse"
                fetch_wheels(lock, into, python, self.engine.platform, own, variables, log)
        built = ""
        for event in self._events(context.path, network.mode, fresh=fresh):
            log.event(event)
            if "error" in event:
                raise _failed(log, context)
            built = event.get("aux", {}).get("ID", built)
        # Named only now: the engine goes on for a while when a build is interrupted.
        self.engine.tag(built, image)

    def _events(self, path: Path, network: str, *, fresh: bool) -> Iterator[Mapping[str, Any]]:
        import docker

        try:
            yield from self.engine.client.api.build(
                path=str(path),
                rm=True,
                forcerm=True,
                decode=True,
                nocache=fresh,
                network_mode=network or None,
            )
        except docker.errors.APIError as error:
            yield {"error": str(error.explanation or error)}


def _failed(log: BuildLog, context: Context, *, timed_out: bool = False) -> ToolFailed:
    dockerfile = (context.path / "Dockerfile").read_text("utf-8")
    return build_failed(log, timed_out=timed_out, dockerfile=dockerfile, lock=context.lock)


def choose_builder(engine: Engine) -> Builder:
    """Give the best builder of this machine: BuildKit through any docker command on PATH, else the classic one."""
    client = buildkit_client()
    if client is None:
        return Classic(engine)
    host = {"DOCKER_HOST": engine.host} if re.match("(unix|tcp|ssh|npipe):", engine.host) else {}
    return BuildKit(client.program, client.words, {**client.variables, **host})


def fetch_wheels(
    lock: Path, into: Path, python: str, platform: Platform, own: Path, variables: Mapping[str, str], log: BuildLog
) -> None:
    """Download what a lock names, for an image of a Python (``3.11``) and platform: that of the engine.

    ``own`` is the folder of wheels that travel in the envelope, where there is one, ``variables`` say where pip looks.

    Raises :class:`ToolFailed` (``build.fetch``).
    """
    into.mkdir(exist_ok=True)
    if not lock.read_bytes():
        return
    machine = platform.tag.rpartition("-")[2]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(34, 4, -1)]
    tags += [f"manylinux2014_{machine}", f"linux_{machine}"]
    finished = process.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", lock, "--dest", into),
            *("--python-version", python, "--implementation", "cp"),
            *(("--find-links", own) if own.is_dir() else ()),
            *(word for tag in tags for word in ("--platform", tag)),
        ],
        env=process.environment(variables),
        timeout=TIMEOUT,
        on_line=log.fetching,
        on_error_line=log.fetching,
    )
    if not finished.ok:
        why, code, hint, _ = reason_of(finished.stderr + finished.stdout)
        raise process.failed(
            finished,
            f"the packages for the image cannot be fetched{why and ': '}{why}",
            code=code if why else "build.fetch",
            hint=f"{hint}; {_MORE}" if code == "build.package" else hint if why else _MORE,
        )
