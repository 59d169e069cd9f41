"""What an image is made of: its layers by name, with digests and sizes, and the packages in it, without running it."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from model_envelope.targets.build_log import BASE, CODE, MODEL, NAMES, PACKAGES, RUNTIME, SYSTEM, subject_of
from model_envelope.targets.engine import Engine

INVENTORY = "/opt/venv/packages.json"
"""Where the packages of an image are listed in it."""

SETTINGS = "settings"
"""The layer of what instructions leave that write no files of ours: it holds folders at most."""

_LARGEST_INVENTORY = 32 * 1024 * 1024
# What the classic builder notes is `/bin/sh -c #(nop) COPY dir:<digest> in / `: of these only the order tells.
_WRITES = re.compile(r"(?:/bin/sh -c #\(nop\)\s+)?(?:(?P<copies>COPY|ADD)|RUN|WORKDIR)\b|/bin/sh -c (?!#\(nop\))|RUN ")
_COPIED = (SYSTEM, PACKAGES, RUNTIME, CODE, MODEL)


@dataclass(frozen=True)
class Layer:
    """The layers of one name: their digests, bottom first, and their size in bytes, unpacked.

    ``new`` says whether the image that had the same name before lacks one of them; None where there was none.
    """

    name: str
    digests: tuple[str, ...]
    size: int
    new: bool | None


@dataclass(frozen=True)
class Installed:
    """A distribution in an image: the size of its files in bytes, and what was taken out of it."""

    name: str
    version: str
    size: int
    pruned: int


def digests_of(engine: Engine, image: str) -> tuple[str, ...] | None:
    """Give the digests of the layers of an image, bottom first; None where the engine does not have it."""
    found = _attributes(engine, image)
    return None if found is None else tuple(found.get("RootFS", {}).get("Layers") or ())


def id_of(engine: Engine, image: str) -> str | None:
    """Give the id of an image; None where the engine does not have it."""
    found = _attributes(engine, image)
    return None if found is None else str(found["Id"])


def read_layers(
    engine: Engine, image: str, base_image: str, before: Collection[str] | None = None
) -> tuple[Layer, ...]:
    """Give the layers of an image that was built from a rendered folder on ``base_image``, those of the base as one.

    ``before`` holds the digests of the image that had its name before.
    """
    digests = digests_of(engine, image) or ()
    history = [
        (str(item["CreatedBy"]), int(item["Size"])) for item in reversed(engine.client.images.get(image).history())
    ]
    ours = history[_end_of_base(engine, history, base_image) :]
    written = [(text, size) for text, size in ours if _WRITES.match(text)]
    own = digests_of(engine, base_image)
    below = len(own) if own is not None and digests[: len(own)] == own else max(0, len(digests) - len(written))
    # An engine may leave out layers that hold nothing.
    while len(written) > len(digests) - below and any(size == 0 for _, size in written):
        written.pop(next(index for index, (_, size) in enumerate(written) if size == 0))
    groups: dict[str, tuple[list[str], int]] = {}
    groups[BASE] = (list(digests[:below]), sum(size for _, size in history) - sum(size for _, size in ours))
    for name, (_, size), digest in zip(_names(written), written, digests[below:], strict=False):
        known, bytes_ = groups.get(name, ([], 0))
        groups[name] = ([*known, digest], bytes_ + size)
    return tuple(
        Layer(name, tuple(found), size, None if before is None else not set(found) <= set(before))
        for name, (found, size) in groups.items()
    )


def read_installed(engine: Engine, image: str) -> tuple[Installed, ...]:
    """Give the distributions that are noted in an image, the largest first; empty where it has no such list.

    A container is made for that, never started, and removed.
    """
    import docker

    try:
        with engine.created(image) as container:
            chunks, _ = container.get_archive(INVENTORY)
            content = b""
            for chunk in chunks:
                content += chunk
                if len(content) > _LARGEST_INVENTORY:
                    return ()
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            document = json.loads(member.read()) if member else {}
        found = [
            Installed(str(item["name"]), str(item["version"]), int(item["bytes"]), int(item.get("pruned_bytes", 0)))
            for item in document["packages"]
        ]
    except (docker.errors.APIError, tarfile.TarError, ValueError, KeyError, TypeError, IndexError):
        return ()
    return tuple(sorted(found, key=lambda item: (-item.size, item.name)))


def _attributes(engine: Engine, image: str) -> dict[str, Any] | None:
    import docker

    try:
        found: dict[str, Any] = engine.client.images.get(image).attrs
    except docker.errors.ImageNotFound:
        return None
    return found


def _end_of_base(engine: Engine, history: list[tuple[str, int]], base_image: str) -> int:
    """Give how many entries of a history are the base image's."""
    import docker

    try:
        return len(engine.client.images.get(base_image).history())
    except docker.errors.ImageNotFound:
        # BuildKit keeps a base that it fetched to itself. Its notes of our instructions name what they write.
        ours = (at for at, (text, _) in enumerate(history) if subject_of(_instruction(text)) in _COPIED)
        return next(ours, len(history))


def _names(written: list[tuple[str, int]]) -> list[str]:
    kinds = [_WRITES.match(text) for text, _ in written]
    copies = sum(bool(found and found["copies"]) for found in kinds)
    # Without packages of the system there is nothing to copy of them.
    copied = iter(_COPIED[max(0, len(_COPIED) - copies) :])
    names = []
    for (text, _), found in zip(written, kinds, strict=True):
        by_order = next(copied, SETTINGS) if found and found["copies"] else SETTINGS
        by_words = subject_of(_instruction(text))
        names.append(by_words if by_words in NAMES else by_order)
    return names


def _instruction(created_by: str) -> str:
    """Give an instruction as it stands in a Dockerfile, from how a history notes it."""
    text = created_by.removeprefix("/bin/sh -c ").removesuffix(" # buildkit").strip()
    # Of what comes from another stage BuildKit notes the path alone.
    return re.sub(r"^#\(nop\)\s+", "", text)
