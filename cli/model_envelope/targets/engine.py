"""The Docker Engine: is it there, and what is done with images and containers beside building."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_envelope.foundation import process
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.interrupts import held_back
from model_envelope.foundation.platforms import Platform
from model_envelope.targets.container import HARDENED, PORT, Container

TIMEOUT = 120
FIRST_WITHOUT_BUILTIN = 23
"""Docker clients from this version on need the buildx plugin for BuildKit; older ones have it built in."""


@dataclass(frozen=True)
class Image:
    """What an engine tells of an image; ``digests`` are those that registries know it by, its size is in bytes."""

    id: str
    names: tuple[str, ...]
    digests: tuple[str, ...]
    platform: str
    size: int
    labels: Mapping[str, str]


class Engine:
    """A Docker Engine that answers. Get one with :meth:`connect`."""

    def __init__(self, client: Any, host: str) -> None:
        self.client = client
        self.host = host
        self.left: list[str] = []
        """The commands that remove what could not be removed, since the engine went away."""

    @classmethod
    def connect(cls) -> Engine:
        """Find the engine that the ``docker`` command would use: DOCKER_HOST, DOCKER_CONTEXT, else its current context.

        Raises :class:`ToolMissing` (``engine.unreachable``).
        """
        import docker

        named = os.environ.get("DOCKER_HOST")
        host = named or _context_host()
        client = None
        try:
            _knock(host or "unix:///var/run/docker.sock")
            # From the environment with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as docker-in-docker has it.
            of_context = host if not named else None
            client = (
                docker.DockerClient(base_url=of_context, timeout=TIMEOUT)
                if of_context
                else docker.from_env(timeout=TIMEOUT)
            )
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
        # A remote engine is asked from here.
        ports = {f"{PORT}/tcp": ("0.0.0.0" if address else host, port)}  # noqa: S104
        with self.created(image, arguments, ports=ports) as handle:
            try:
                handle.start()
            except docker.errors.APIError as error:
                raise _not_started(error, host, port) from None
            handle.reload()
            published = handle.ports[f"{PORT}/tcp"][0]["HostPort"]
            shown = address or ("127.0.0.1" if host in {"0.0.0.0", "::"} else host)  # noqa: S104  where to ask it
            yield Container(handle, f"http://{shown}:{published}")

    @contextmanager
    def confined(
        self, image: str, *, network: bool = False, arguments: Sequence[str] = (), **more: Any
    ) -> Iterator[Container]:
        """Run a service hardened and, unless ``network`` leaves it that, without a network. It is removed afterwards.

        Nothing is published: it is asked from inside (:meth:`Container.execute`). ``more`` goes to the engine
        (``user="1000:0"``).

        Raises :class:`ToolFailed` (``engine.start``) where the engine cannot start it.
        """
        import docker

        cut = {} if network else {"network_mode": "none"}
        with self.created(image, arguments, **cut, **more) as handle:
            try:
                handle.start()
            except docker.errors.APIError as error:
                raise ToolFailed(
                    "the engine cannot start the container", code="engine.start", detail=str(error.explanation)[:1000]
                ) from None
            yield Container(handle)

    @contextmanager
    def created(self, image: str, arguments: Sequence[str] = (), **more: Any) -> Iterator[Any]:
        """Create a container, hardened, without starting it. It is removed afterwards, whatever happens."""
        handle = None
        try:
            with held_back():
                handle = self.client.containers.create(image, command=list(arguments) or None, **HARDENED, **more)
            yield handle
        finally:
            if handle is not None:
                self._remove(handle)

    def _remove(self, handle: Any) -> None:
        import docker

        with held_back():
            try:
                handle.remove(force=True, v=True)
            except (docker.errors.DockerException, OSError) as error:
                # It is gone (404), or is being removed already (409).
                if getattr(error, "status_code", None) in {404, 409}:
                    return
                self.left.append(f"docker rm --force {handle.short_id}")

    def tag(self, image: str, name: str) -> str:
        """Give an image another name, and its id back."""
        found = self.client.images.get(image)
        repository, tag = split_name(name)
        found.tag(repository, tag)
        return str(found.id)

    def size(self, image: str) -> int:
        """Give the size of an image in bytes, its base included."""
        return int(self.client.images.get(image).attrs["Size"])

    def save(self, image: str, path: Path) -> None:
        """Write an image into a file, as ``docker save`` does."""
        with path.open("wb") as file:
            for chunk in self.client.images.get(image).save():
                file.write(chunk)

    def image(self, name: str) -> Image | None:
        """Describe an image by a name, an id or a digest (``flights@sha256:…``); None where the engine has none such.

        Nothing of it is run, and no container made.
        """
        import docker

        try:
            found = self.client.images.get(name)
        except docker.errors.ImageNotFound:
            return None
        except docker.errors.APIError as error:
            if error.status_code == 400:  # no name that an image could have
                return None
            raise
        told = found.attrs
        return Image(
            id=str(found.id),
            names=tuple(told.get("RepoTags") or ()),
            digests=tuple(told.get("RepoDigests") or ()),
            platform="/".join(filter(None, (told.get("Os"), told.get("Architecture"), told.get("Variant")))),
            size=int(told["Size"]),
            labels=dict(found.labels),
        )

    def labels(self, image: str) -> dict[str, str] | None:
        """Give the labels of an image, or None where the engine has no such image."""
        found = self.image(image)
        return dict(found.labels) if found else None

    def forget(self, image: str) -> None:
        """Remove a name of an image, and the image with its last name; no matter whether it is there."""
        import docker

        with held_back():
            try:
                self.client.images.remove(image, force=True)
            except docker.errors.APIError:
                return
            except (docker.errors.DockerException, OSError):
                self.left.append(f"docker image rm {image}")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Tell what goes wrong with the engine itself in the block.

        Raises :class:`ToolFailed`: ``engine.lost`` where it went away, with the commands that remove what it may have
        kept, ``build.disk-full`` where its disk is full, and ``engine.refused`` where it would not do something else.
        """
        import docker

        try:
            yield
        except ToolFailed as error:
            if not self.left and self._answers():
                raise
            raise self._lost(error.detail or error.message) from None
        except BrokenPipeError:
            # Who reads what this command writes has gone; what is sent to the engine fails as an error of requests'.
            raise
        except Exception as error:
            known = isinstance(error, docker.errors.DockerException | ConnectionError)
            if not known and type(error).__module__.partition(".")[0] not in {"requests", "urllib3"}:
                raise
            said = str(getattr(error, "explanation", None) or error)[:1000]
            if not self._answers():
                raise self._lost(said) from None
            full = "no space left on device" in said
            raise ToolFailed(
                "the disk of the Docker Engine is full" if full else "the Docker Engine refused what was asked of it",
                code="build.disk-full" if full else "engine.refused",
                detail=said,
                hint="make room: `docker system df` shows what takes it" if full else None,
            ) from None

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except Exception:  # noqa: BLE001  whatever it is, it does not answer
            return False

    def _lost(self, said: str) -> ToolFailed:
        remove = f"; what it may have kept is removed by `{' && '.join(self.left)}`" if self.left else ""
        return ToolFailed(
            f"the Docker Engine at {self.host} went away in the middle",
            code="engine.lost",
            detail=said,
            hint=f"start it again (`sudo systemctl start docker`), and repeat the command{remove}",
        )

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
            # An attestation notes when a build ran, and where engines keep it, it is pushed beside the image.
            return BuildKitClient(program, ("buildx", "build", "--load"), {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})
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
    host = r"(?=localhost/|[^/]*[.:])[A-Za-z0-9.-]+(?::\d+)?/"
    match = re.fullmatch(
        rf"((?:{host})?{part}(?:/{part})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?",
        name,
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
    """Give the address of the docker command's context (DOCKER_CONTEXT, else the current one), but for the default."""
    from docker.context import ContextAPI

    try:
        context: Any = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
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
