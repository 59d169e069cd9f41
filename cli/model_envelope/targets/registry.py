"""Which image a name means: in which registry it is, and by which digest it stays the same image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_envelope.foundation.errors import InvalidInput, ToolFailed
from model_envelope.foundation.progress import Note, Report, silent
from model_envelope.targets.engine import Engine

HUB = "docker.io"
"""The registry of names that name none."""


@dataclass(frozen=True)
class Base:
    """An image that a build begins with: what it is called, and its digest (``sha256:...``), where it has one."""

    name: str
    digest: str | None = None

    @property
    def reference(self) -> str:
        """What a Dockerfile begins with: ``python:3.11-slim@sha256:...``."""
        return f"{self.name}@{self.digest}" if self.digest else self.name


def parts(name: str) -> tuple[str, str]:
    """Split the name of an image into its registry and its repository there, without tag and digest.

    ``python:3.11`` gives ``docker.io`` and ``library/python``.
    """
    plain = name.partition("@")[0]
    first, slash, rest = plain.partition("/")
    named = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (first, rest) if named else (HUB, plain)
    path = path.partition(":")[0]
    if host in {HUB, f"index.{HUB}"}:
        return HUB, path if "/" in path else f"library/{path}"
    return host, path


def names_registry(name: str) -> bool:
    """Whether a name says which registry it belongs to."""
    return parts(name)[0] != HUB or name.startswith((f"{HUB}/", f"index.{HUB}/"))


def pinned(engine: Engine, name: str, *, pull: bool = False, report: Report = silent) -> Base:
    """Find the digest of an image: of the one that the engine has, else of the one that its registry has.

    What has been imported or built on this machine has no digest. Its name is not asked for elsewhere, since a registry
    may know another image by it; that the image is not pinned is reported. ``pull`` asks the registry in any case.

    Raises :class:`ToolFailed` (``build.base-image``) where ``pull`` is asked for and the registry does not answer,
    :class:`InvalidInput` (``build.image-name``) where the engine takes it for no name.
    """
    plain, _, digest = name.partition("@")
    if digest:
        return Base(plain, digest)
    local = None if pull else _local_digests(engine, name)
    if local:
        return Base(name, local[0])
    if local is not None:
        report(Note(f"{name} is not pinned by a digest: it was made on this machine, and has none"))
        return Base(name)
    try:
        return Base(name, _registry_digest(engine, name))
    except ToolFailed as error:
        if pull:
            raise
        report(Note(f"{name} is not pinned by a digest: {error.detail.strip()}"))
        return Base(name)


def _local_digests(engine: Engine, name: str) -> list[str] | None:
    """Give the digests that the engine's image has in the repository of its name; None where there is no such image."""
    import docker

    try:
        found: Any = engine.client.images.get(name)
    except docker.errors.ImageNotFound:
        return None
    except docker.errors.APIError as error:
        if "invalid reference format" not in str(error.explanation):
            raise
        raise InvalidInput(
            f"`{name}` is no name of an image to build on",
            code="build.image-name",
            hint="write it as `registry.example.com/team/python:3.11`, lower case but for the tag",
        ) from None
    texts = [str(text) for text in found.attrs.get("RepoDigests") or ()]
    return sorted(text.partition("@")[2] for text in texts if parts(text) == parts(name))


def _registry_digest(engine: Engine, name: str) -> str:
    import docker

    try:
        return str(engine.client.images.get_registry_data(name).id)
    except (docker.errors.DockerException, OSError) as error:
        why = str(getattr(error, "explanation", None) or error)
        raise ToolFailed(
            f"the registry does not say which image `{name}` is",
            code="build.base-image",
            detail=why[:400],
            hint="without --pull an image that the engine has already is taken; another is named with --base-image",
        ) from None
