"""Shows what an image carries, from its labels alone: nothing of it is run, and no container made."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import ToolMissing
from model_envelope.runtime import signature_document
from model_envelope.runtime.errors import InvalidEnvelope, InvalidSignature
from model_envelope.runtime.signature import Signature
from model_envelope.targets.engine import Engine, Image
from model_envelope.targets.labels import OCI, OWN

PREFIX = "docker://"
"""What says that a name is that of an image, whatever folder is there."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_REQUIRED = ("name", "digest", "runtime.digest", "lock.sha256", "python", "target", "version", "signature")


@dataclass(frozen=True)
class ImageResult:
    """What an image carries, as far as its labels tell.

    ``image`` is what was asked for; ``id``, ``names``, ``platform`` and ``size`` (in bytes, of all layers) are what the
    engine says. ``digest`` is that of the envelope, ``lock`` of what was installed, ``runtime`` of the sources that
    answer, and ``version`` is the version of this tool that built it. What is not known is empty.
    """

    image: str
    id: str
    names: tuple[str, ...]
    platform: str
    size: int
    name: str
    digest: str
    description: str
    signature: Signature = field(repr=False)
    python: str
    target: str
    options: tuple[str, ...]
    lock: str
    runtime: str
    version: str
    base_image: str
    base_digest: str
    revision: str
    source: str

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form: the fields, the signature as in ``signature.json``."""
        return {**vars(self), "signature": signature_document.to_document(self.signature)}


def is_image(word: str) -> bool:
    """Say whether a word means an image: it begins with ``docker://``, or nothing is there that has this path."""
    return word.startswith(PREFIX) or not Path(word).exists()


def show_image(word: str) -> ImageResult:
    """Read the labels of an image: ``word`` is a name, an id or a name with a digest, with or without ``docker://``.

    Raises :class:`InvalidEnvelope` where there is no such image (``envelope.missing``), where it carries no envelope
    (``image.no-envelope``) or labels that nobody wrote so (``image.malformed``), and :class:`ToolMissing`
    (``engine.unreachable``) where only an engine could tell.
    """
    name = word.removeprefix(PREFIX)
    forced = name != word
    if not _NAME.fullmatch(name):
        raise _missing(word, "nothing", "")
    try:
        engine = Engine.connect()
    except ToolMissing as error:
        if forced:
            raise
        raise _missing(word, "no such folder", f"; whether there is such an image nobody can tell: {error}") from None
    try:
        with engine.watched():
            found = engine.image(name)
    finally:
        engine.close()
    if found is None:
        raise _missing(word, "no such image" if forced else "neither such a folder nor such an image", "")
    return _read(name, found)


def _missing(word: str, what: str, why: str) -> InvalidEnvelope:
    message = "there is nothing at" if what == "nothing" else f"there is {what}:"
    return InvalidEnvelope(
        f"{message} {word}{why.splitlines()[0] if why else ''}",
        code="envelope.missing",
        hint="`envelope pack MODEL --input SAMPLES` makes an envelope, `envelope build` an image of it; "
        "`docker images` lists those that are here, `docker pull` gets others",
    )


def _read(name: str, found: Image) -> ImageResult:
    own = {key.removeprefix(OWN): value for key, value in found.labels.items() if key.startswith(OWN)}
    if "digest" not in own:
        raise InvalidEnvelope(
            f"the image {name} carries no envelope: it has no label `{OWN}digest`",
            code="image.no-envelope",
            hint="an image that `envelope build` made has it",
        )
    if lacking := [key for key in _REQUIRED if not own.get(key)]:
        raise _malformed(name, f"it lacks `{OWN}{lacking[0]}`")
    oci = {key: found.labels.get(f"{OCI}{key}", "") for key in _OCI}
    for key, value in [*own.items(), *oci.items()]:
        if not value.isprintable():
            raise _malformed(name, f"`{key}` holds what cannot be shown")
    return ImageResult(
        image=name,
        id=found.id,
        names=found.names,
        platform=found.platform,
        size=found.size,
        name=own["name"],
        digest=own["digest"],
        description=oci["description"],
        signature=_signature(name, own),
        python=own["python"],
        target=own["target"],
        options=tuple(filter(None, own.get("options", "").split(","))),
        lock=own["lock.sha256"],
        runtime=own["runtime.digest"],
        version=own["version"],
        base_image=oci["base.name"],
        base_digest=oci["base.digest"],
        revision=oci["revision"],
        source=oci["source"],
    )


_OCI = ("description", "base.name", "base.digest", "revision", "source")


def _signature(name: str, own: Mapping[str, str]) -> Signature:
    try:
        return signature_document.from_document(json.loads(own["signature"]))
    except (ValueError, RecursionError, InvalidSignature) as error:
        raise _malformed(name, f"`{OWN}signature` is none: {str(error).splitlines()[0]}") from None


def _malformed(name: str, what: str) -> InvalidEnvelope:
    return InvalidEnvelope(
        f"the labels of the image {name} are not those that `envelope build` writes: {what}",
        code="image.malformed",
        hint="build it anew with this version: `envelope build ENVELOPE`",
    )
