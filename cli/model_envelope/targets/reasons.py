"""Translates what a builder said when it failed: which of its many lines is the reason, and what to do about it."""

from __future__ import annotations

import re

from model_envelope.foundation.errors import ToolFailed

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
