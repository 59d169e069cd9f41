"""Builds an image from a rendered folder: with BuildKit where the machine has it, else with the classic builder.

Index settings and certificate authorities reach a BuildKit build as secrets, so that nothing of them stays in the
image, its history or the engine's store. The classic builder has no secrets: there the locked files are fetched on this
machine first, and the build installs from them without a network.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolFailed
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.progress import Note, Report, silent
from model_envelope.targets.context import WHEELS, Context, Install
from model_envelope.targets.engine import Engine, buildkit_client

TIMEOUT = 3600.0
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CLASSIC_LOSES = (
    "there is no BuildKit here (`docker buildx`, or a docker client older than 23), so the classic builder is used: it "
    "keeps no package cache between builds, and only packages with ready wheels can be installed"
)


@dataclass(frozen=True)
class Network:
    """What a build needs to reach a package index and Debian's mirrors: plain data, found out elsewhere.

    ``pip_conf`` is the content of a pip.conf, which may hold credentials; ``ca_bundle`` a file of authorities, and
    ``apt_conf`` an apt.conf with a proxy or other sources, which may hold credentials too; ``mamba_auth`` is an
    authentication.json of mamba's, with credentials of channels.
    """

    pip_conf: bytes = b""
    ca_bundle: Path | None = None
    apt_conf: Path | None = None
    mamba_auth: bytes | None = None


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

    def build(self, context: Context, image: str, network: Network, python: str, report: Report = silent) -> None:
        """Build, and name the result ``image``. Raises :class:`ToolFailed` (``build.failed`` and kin)."""
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
        report: Report = silent,  # noqa: ARG002  as above
    ) -> None:
        """Build with secrets and a cache that is kept between builds."""
        with scratch_folder(prefix="envelope-secrets-") as scratch:
            command = [str(self.program), *self.words, "--progress", "plain", "--tag", image]
            command += [word for name in _proxies() for word in ("--build-arg", name)]
            for name, content in {"pip_conf": network.pip_conf, "mamba_auth": network.mamba_auth}.items():
                if content:
                    secret = scratch / name
                    secret.touch(mode=0o600)
                    secret.write_bytes(content)
                    command += ["--secret", f"id={name},src={secret}"]
            files = {"ca": network.ca_bundle, "apt_conf": network.apt_conf}
            for name, path in files.items():
                if path and path.is_file():
                    command += ["--secret", f"id={name},src={path}"]
            finished = process.run(
                [*command, str(context.path)], env=process.environment(dict(self.variables)), timeout=TIMEOUT
            )
        if not finished.ok:
            raise build_failed(finished.stderr + finished.stdout, timed_out=finished.timed_out)


@dataclass(frozen=True)
class Classic:
    """The engine's own builder, through the ``docker`` package."""

    engine: Engine
    name: str = "the classic builder"
    install: Install = Install.WHEELHOUSE

    def build(
        self,
        context: Context,
        image: str,
        network: Network,  # noqa: ARG002  pip reads its own configuration here, outside the build
        python: str,
        report: Report = silent,
    ) -> None:
        """Fetch the locked files here, then build; only packages of the system need a network then."""
        report(Note(CLASSIC_LOSES))
        own = context.path / "envelope" / WHEELS
        fetch_wheels(context.path / "requirements.lock", context.path / "wheelhouse", python, own)
        said: list[str] = []
        for event in self._events(context.path, image):
            said += [str(event[key]) for key in ("stream", "error") if event.get(key)]
            if "error" in event:
                raise build_failed("".join(said))

    def _events(self, path: Path, image: str) -> Iterator[Mapping[str, Any]]:
        import docker

        try:
            yield from self.engine.client.api.build(
                path=str(path), tag=image, rm=True, forcerm=True, decode=True, buildargs=_proxies()
            )
        except docker.errors.APIError as error:
            raise build_failed(str(error.explanation or error)) from None


def choose_builder(engine: Engine) -> Builder:
    """Give the best builder of this machine: BuildKit through any docker command on PATH, else the classic one."""
    client = buildkit_client()
    if client is None:
        return Classic(engine)
    host = {"DOCKER_HOST": engine.host} if re.match("(unix|tcp|ssh|npipe):", engine.host) else {}
    return BuildKit(client.program, client.words, {**client.variables, **host})


def fetch_wheels(lock: Path, into: Path, python: str, own: Path) -> None:
    """Download what a lock names, for a Linux image of a Python (``3.11``) on this machine's architecture.

    ``own`` is the folder of wheels that travel in the envelope, where there is one.

    Raises :class:`ToolFailed` (``build.fetch``).
    """
    into.mkdir()
    if not lock.read_bytes():
        return
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
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
        timeout=TIMEOUT,
    )
    if not finished.ok:
        raise process.failed(
            finished,
            "the packages for the image cannot be fetched",
            code="build.fetch",
            hint="a builder with BuildKit can also build packages that have no ready wheel",
        )


_NO_BASE = (
    r"(?P<what>(?:pull access denied|manifest (?:for \S+ )?(?:unknown|not found)|failed to resolve source metadata"
    r"|failed to do request|repository does not exist|Get \"?https?://\S+/v2/|no such host|i/o timeout)[^\n]*)"
)

_REASONS = (
    (
        r"(?P<what>the base image has no apt-get to install [a-z][^\n]*)",
        "{what}",
        "build.system-libraries",
        "name a base image of Debian or Ubuntu, or one that has these libraries: `--base-image`",
    ),
    (
        r"E: (?P<what>(?:Unable to locate package|Package '[^']*' has no|Couldn't find any package)[^\n]*)",
        "apt in the base image says: {what}",
        "build.system-libraries",
        "name a base image that has the library or knows the package: `--base-image`; `envelope show` lists both",
    ),
    (
        r"(?:[EW]: Failed to fetch|Err:\d+) (?P<what>[^\n]*)",
        "a package of the system cannot be fetched: {what}",
        "build.apt-unreachable",
        "name a base image that has the libraries (see `envelope show`), or an apt.conf for builds: ENVELOPE_APT_CONF",
    ),
    (
        r"(?P<what>the conda lock has Python \d[\d.]*, and the envelope needs \d[\d.]*)",
        "{what}",
        "build.conda-python",
        "lock again: `envelope lock ENVELOPE --resolver conda-lock`",
    ),
    (
        r"micromamba: (?:command )?not found",
        "the image that conda packages are installed in has no micromamba",
        "build.micromamba",
        "name one that has: `--micromamba-image`, or ENVELOPE_MICROMAMBA_IMAGE",
    ),
    (
        r"conda packages cannot be installed: (?P<what>[^\n\"]*)",
        "micromamba cannot install the conda packages; what it said stands above",
        "build.conda-packages",
        "is a channel out of reach, or a package gone from it? `envelope verify --clean` tries it on this machine",
    ),
    (
        r"(?P<what>the base image has Python \d[\d.]*, and the envelope needs \d[\d.]*)",
        "{what}",
        "build.base-python",
        "name a base image with this Python: `--base-image`, or ENVELOPE_BASE_IMAGE",
    ),
    (
        _NO_BASE,
        "{what}",
        "build.base-image",
        "name a base image that this engine has or can pull: `--base-image`, or ENVELOPE_BASE_IMAGE",
    ),
    (
        r"(?P<what>no space left on device)",
        "{what}",
        "build.disk-full",
        "make room: `docker system df` shows what takes it",
    ),
    (
        r"DO NOT MATCH THE HASHES[^\n]*\n(?:#\d+ [\d.]+)?\s*(?P<what>[^\s=]+==\S+)",
        "the index gave another file of `{what}` than the one that was locked",
        "build.hashes",
        "lock again where the index is trusted, and compare",
    ),
    (
        r"(?:No matching distribution found for|Could not find a version that satisfies the requirement) (?P<what>\S+)",
        "the index has no `{what}`, or not for this platform",
        "build.package",
        "the build asks the index that pip's configuration on this machine names",
    ),
)
"""What builders say, what it means, and what to do about it."""


def build_failed(said: str, *, timed_out: bool = False) -> ToolFailed:
    """Translate what a builder said: the reason first, the end of its output as detail."""
    detail = "\n".join(said.strip().splitlines()[-25:])
    if timed_out:
        return ToolFailed("the build took too long and was ended", code="build.timeout", detail=detail)
    for pattern, text, code, hint in _REASONS:
        if found := re.search(pattern, said):
            why = text.format(what=found.groupdict().get("what", "")[:300])
            return ToolFailed(f"the image cannot be built: {why}", code=code, detail=detail, hint=hint)
    return ToolFailed("the image cannot be built", code="build.failed", detail=detail)


def _proxies() -> dict[str, str]:
    """Give the proxies to hand on: these arguments are known to every builder and kept in no image or history."""
    found = {name: os.environ.get(name, "") for name in PROXIES}
    return {name: value for name, value in found.items() if value and "//localhost" not in value}
