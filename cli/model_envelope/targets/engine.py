"""The Docker Engine: is it there, and what is done with images and containers beside building."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_envelope.foundation import process
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.platforms import Platform

PORT = 8080
"""Where the service listens inside its container."""
TIMEOUT = 120
FIRST_WITHOUT_BUILTIN = 23
"""Docker clients from this version on need the buildx plugin for BuildKit; older ones have it built in."""


@dataclass(frozen=True)
class Container:
    """A started container of a service."""

    handle: Any
    url: str

    def exit_code(self) -> int | None:
        """Give the code that it ended with, or None while it runs."""
        self.handle.reload()
        state = self.handle.attrs["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def log(self, lines: int = 60) -> str:
        """Give the end of what it said."""
        said: bytes = self.handle.logs(tail=lines)
        return said.decode("utf-8", "replace")

    def follow(self) -> Iterator[str]:
        """Give each line that it says until it ends."""
        rest = b""
        stream = self.handle.logs(stream=True, follow=True)
        try:
            for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in lines)
        finally:
            stream.close()


class Engine:
    """A Docker Engine that answers. Get one with :meth:`connect`."""

    def __init__(self, client: Any, host: str) -> None:
        self.client = client
        self.host = host

    @classmethod
    def connect(cls) -> Engine:
        """Find the engine that the ``docker`` command would use: DOCKER_HOST, else the current context.

        Raises :class:`ToolMissing` (``engine.unreachable``).
        """
        import docker

        host = os.environ.get("DOCKER_HOST") or _context_host()
        client = None
        try:
            _knock(host or "unix:///var/run/docker.sock")
            client = docker.DockerClient(base_url=host, timeout=TIMEOUT) if host else docker.from_env(timeout=TIMEOUT)
            client.ping()
        except (docker.errors.DockerException, OSError, ValueError) as error:
            if client is not None:
                client.close()
            raise ToolMissing(
                f"no Docker Engine answers at {host or 'the default address'}",
                code="engine.unreachable",
                detail=str(error).splitlines()[0][:400],
                hint="start it (`sudo systemctl start docker`), or name one with DOCKER_HOST",
            ) from None
        return cls(client, host or client.api.base_url)

    @property
    def version(self) -> str:
        """The engine's version: ``20.10.24``."""
        return str(self.client.version()["Version"])

    @property
    def platform(self) -> Platform:
        """What its images are for, unless another platform is asked for."""
        said = self.client.version()
        return Platform.of(f"{said['Os']}/{said['Arch']}")

    @property
    def shares_loopback(self) -> bool:
        """Whether a build with the engine's own network reaches what listens on `localhost` of this machine."""
        said = self.client.info()
        rootless = any("rootless" in str(option) for option in said.get("SecurityOptions") or ())
        elsewhere = rootless or said.get("OperatingSystem") == "Docker Desktop"
        return sys.platform == "linux" and self.host.startswith(("unix:", "http+docker:")) and not elsewhere

    @contextmanager
    def running(
        self, image: str, *, host: str = "127.0.0.1", port: int | None = None, arguments: Sequence[str] = ()
    ) -> Iterator[Container]:
        """Run a service hardened, published on ``host`` (``port`` None takes a free one). It is removed afterwards.

        ``arguments`` are added to those of the image's entry point.

        Raises :class:`ToolFailed` where the engine cannot start it, :class:`InvalidInput` where the port is in use.
        """
        import docker

        address = urlsplit(self.host).hostname if self.host.startswith("tcp:") else None
        handle = self.client.containers.create(
            image,
            list(arguments) or None,
            read_only=True,
            tmpfs={"/tmp": ""},  # noqa: S108  the container's own
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            ports={f"{PORT}/tcp": ("0.0.0.0" if address else host, port)},  # noqa: S104  a remote engine is asked from here
            labels={"io.modelenvelope.started-by": "envelope"},
        )
        try:
            try:
                handle.start()
            except docker.errors.APIError as error:
                raise _not_started(error, host, port) from None
            handle.reload()
            published = handle.ports[f"{PORT}/tcp"][0]["HostPort"]
            shown = address or ("127.0.0.1" if host in {"0.0.0.0", "::"} else host)  # noqa: S104  where to ask it
            yield Container(handle, f"http://{shown}:{published}")
        finally:
            with suppress(docker.errors.NotFound):
                handle.remove(force=True, v=True)

    def tag(self, image: str, name: str) -> str:
        """Give an image another name, and its id back."""
        found = self.client.images.get(image)
        repository, tag = split_name(name)
        found.tag(repository, tag)
        return str(found.id)

    def size(self, image: str) -> int:
        """Give the size of an image in bytes, its base included."""
        return int(self.client.images.get(image).attrs["Size"])

    def layers(self, image: str) -> tuple[str, ...]:
        """Give the digests of the layers of an image, those of its base first."""
        return tuple(self.client.images.get(image).attrs["RootFS"]["Layers"])

    def save(self, image: str, path: Path) -> None:
        """Write an image into a file, as ``docker save`` does."""
        with path.open("wb") as file:
            for chunk in self.client.images.get(image).save():
                file.write(chunk)

    def labels(self, image: str) -> dict[str, str] | None:
        """Give the labels of an image, or None where the engine has no such image."""
        import docker

        try:
            return dict(self.client.images.get(image).labels)
        except docker.errors.ImageNotFound:
            return None

    def forget(self, image: str) -> None:
        """Remove a name of an image, and the image with its last name; no matter whether it is there."""
        import docker

        with suppress(docker.errors.ImageNotFound, docker.errors.APIError):
            self.client.images.remove(image, force=True)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


@dataclass(frozen=True)
class BuildKitClient:
    """A docker command that drives BuildKit: the program, the words that build, and the variables that it needs."""

    program: Path
    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.program)


def buildkit_client() -> BuildKitClient | None:
    """Find a docker command on PATH that drives BuildKit: one with buildx, or an older one with it inside."""
    for program in docker_programs():
        if process.run([program, "buildx", "version"], timeout=30).ok:
            return BuildKitClient(program, ("buildx", "build", "--load"))
        major = re.search(r"version (\d+)", process.run([program, "--version"], timeout=30).stdout)
        if major and int(major[1]) < FIRST_WITHOUT_BUILTIN:
            return BuildKitClient(program, ("build",), {"DOCKER_BUILDKIT": "1"})
    return None


def docker_programs() -> tuple[Path, ...]:
    """List every ``docker`` command on PATH, each once."""
    found: dict[Path, Path] = {}
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = Path(folder or ".") / "docker"
        if program.is_file() and os.access(program, os.X_OK):
            found.setdefault(program.resolve(), program.absolute())
    return tuple(found.values())


def split_name(name: str) -> tuple[str, str]:
    """Split the name of an image into repository and tag (``latest`` where it has none).

    Raises :class:`InvalidInput` (``build.image-name``) where the engine would not take it.
    """
    part = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    match = re.fullmatch(
        rf"((?:[A-Za-z0-9.-]+(?::\d+)?/)?{part}(?:/{part})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?", name
    )
    if match is None:
        raise InvalidInput(
            f"`{name}` is no name of an image",
            code="build.image-name",
            hint="write it as `registry.example.com/team/flights:1.0`, lower case but for the tag",
        )
    return match[1], match[2] or "latest"


def _knock(host: str) -> None:
    """Try a socket of this machine first: the docker package leaves its own open where nobody answers."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as trial:
            trial.connect(host.removeprefix("unix://"))


def _context_host() -> str | None:
    """Give the address of the docker command's current context, where it is not the default one."""
    from docker.context import ContextAPI

    try:
        context: Any = ContextAPI.get_current_context()
    except Exception:  # noqa: BLE001  a broken context file of another program must not end ours
        return None
    return None if context is None or context.Name == "default" else str(context.Host)


def _not_started(error: Any, host: str, port: int | None) -> InvalidInput | ToolFailed:
    said = str(error.explanation)
    if "port is already allocated" in said or "address already in use" in said:
        return InvalidInput(
            f"port {port} on {host} is in use",
            code="serve.port-in-use",
            hint="end what listens there, or name another port with --port",
        )
    return ToolFailed("the engine cannot start the container", code="engine.start", detail=said[:1000])
