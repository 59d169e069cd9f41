"""The labels of an image: what it carries, told without running it.

``org.opencontainers.image.*`` are those of the specification of OCI images, as far as they are known; no key is made up
there, and ``created`` is left out, which would differ each time. ``io.modelenvelope.*`` are this project's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from model_envelope import __version__
from model_envelope.foundation.secrets import scrub
from model_envelope.runtime import signature_document
from model_envelope.runtime.origin import Origin
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.runtime_digest import runtime_digest
from model_envelope.runtime.signature import Signature
from model_envelope.targets.registry import parts
from model_envelope.targets.target import Target

OCI = "org.opencontainers.image."
OWN = "io.modelenvelope."
FOLD = 1000
"""Characters after which a value goes on in the next line; builders take no line of more than 65,535 bytes."""
LONGEST_TEXT = 1000
"""Characters of a description that are kept."""

_SCP = re.compile(r"(?P<user>[\w.-]+@)(?P<host>[\w.-]+):(?!/)(?P<path>[\w./~+-]+)")


def labels_of(
    envelope: EnvelopeFiles, target: Target, *, base_image: str, lock_digest: str, origin: Origin | None = None
) -> dict[str, str]:
    """Give the labels of the image of an envelope, in their order; none of them is empty or holds a credential.

    ``base_image`` may be pinned (``python:3.11-slim@sha256:…``), ``lock_digest`` is that of what was installed.
    """
    about = envelope.description
    name, _, digest = base_image.partition("@")
    description = _line(scrub(about.description))
    found = {
        f"{OCI}title": about.name,
        f"{OCI}description": f"{description[:LONGEST_TEXT]}…" if len(description) > LONGEST_TEXT else description,
        f"{OCI}version": envelope.short_digest,
        f"{OCI}revision": origin.commit if origin else "",
        f"{OCI}source": _source(origin.remote) if origin else "",
        f"{OCI}base.name": qualified(name),
        f"{OCI}base.digest": digest,
        f"{OWN}name": about.name,
        f"{OWN}digest": envelope.digest,
        f"{OWN}runtime.digest": runtime_digest(),
        f"{OWN}lock.sha256": lock_digest,
        f"{OWN}python": about.python,
        f"{OWN}target": target.kind,
        f"{OWN}options": ",".join(target.options),
        f"{OWN}version": __version__,
        f"{OWN}methods": ",".join(envelope.signature.methods),
        f"{OWN}signature": signature_text(envelope.signature),
    }
    return {key: line for key, value in found.items() if (line := _line(value))}


def instruction(labels: Mapping[str, str]) -> str:
    """Write labels as one instruction of a Dockerfile, without its end of line."""
    return "LABEL " + " \\\n      ".join(f"{key}={quoted(value)}" for key, value in labels.items())


def quoted(value: str, fold: int = FOLD) -> str:
    r"""Write a value in double quotes, as builders read it back; it holds no end of line.

    Inside these a backslash escapes ``"``, ``$`` and itself. A long value goes on in further lines, where a builder
    would take a line that begins with ``#`` for a comment, leave out one of blanks alone, and not see that a line goes
    on where a backslash stands before the one at its end.
    """
    lines, length = [""], 0
    for part in _escaped(value):
        if length >= fold and not lines[-1].endswith("\\") and not part[0].isspace() and part[0] != "#":
            lines.append("")
            length = 0
        lines[-1] += part
        length += len(part)
    return '"' + "\\\n".join(lines) + '"'


def qualified(image: str) -> str:
    """Write the name of an image with the registry and the tag that it means: ``docker.io/library/python:3.11``."""
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "/".join(parts(image)) + (colon + tag if tag else ":latest")


def _escaped(value: str) -> Iterator[str]:
    for character in value:
        yield f"\\{character}" if character in '"\\$' else character


def signature_text(signature: Signature) -> str:
    r"""Write the signature as compact JSON in ASCII, in which every few characters a line may end.

    What keeps a line from ending (:func:`quoted`) is written as JSON's own escapes: backslashes, ``#``, runs of blanks;
    so is the one character of ASCII that JSON leaves as it is and nobody can see.
    """
    document = signature_document.to_document(signature)
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return re.sub(r'\\[\\"]|[#\x7f]| {2,}', lambda found: _as_codes(found[0]), text)


def _as_codes(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text.removeprefix("\\"))


def _line(text: str) -> str:
    """Write a text in one line of characters that can be shown: no label begins another instruction."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())


def _source(remote: str) -> str:
    """Give the address of a repository without anybody's credentials; empty where it is only of the machine's own."""
    if found := _SCP.fullmatch(remote):
        remote = f"ssh://{found['user']}{found['host']}/{found['path']}"
    parts = urlsplit(remote) if re.fullmatch(r"(?:https?|ssh|git)://[!-~]{1,2000}", remote) else None
    if parts is None or not parts.hostname:
        return ""
    user = "git@" if parts.scheme == "ssh" and parts.username == "git" else ""
    return scrub(f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}")
