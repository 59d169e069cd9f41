"""The lock on disk: exact versions with the hash of every file, written one way only.

The same pins give the same bytes, whichever resolver found them: sorted by name, every hash sorted, no header, no
annotations, no index address. The format is pip's requirements file with hashes, so that pip and uv install it as is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NoReturn

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.platforms import Platform

_NAME = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")
_HASH = re.compile(r"^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$")
_REQUIREMENT = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*"
    r"(?:==\s*(?P<version>[^\s;@=]+)|@\s*(?P<source>\S+))\s*(?:;\s*(?P<marker>.+))?$"
)


@dataclass(frozen=True)
class Pin:
    """One distribution at one version, with the hashes of all the files that may be installed for it.

    The name is canonical, the version normalised (PEP 440) and the hashes sorted, whatever they were made from.
    ``marker`` is a PEP 508 marker, ``source`` a URL where the distribution does not come from an index (``version`` is
    then empty where the URL does not tell it). ``files`` are the names of files by hash where they are known; they are
    no part of the lock as it is written here, nor of what makes two pins equal.

    Raises :class:`InvalidInput` where a part cannot be written in a lock.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str = ""
    source: str = ""
    files: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            _refuse(f"`{self.name}` is no name of a distribution")
        if not self.version and not self.source:
            _refuse(f"`{self.name}` has neither a version nor a URL")
        try:
            version = str(Version(self.version)) if self.version else ""
        except InvalidVersion:
            _refuse(f"`{self.version}` of `{self.name}` is no version")
        if re.search(r"\s", self.source):
            _refuse(f"the URL of `{self.name}` has white space in it")
        try:
            marker = str(Marker(self.marker)) if self.marker else ""
        except InvalidMarker:
            _refuse(f"`{self.marker}` of `{self.name}` is no marker")
        hashes = tuple(sorted({value.lower() for value in self.hashes}))
        if wrong := [value for value in hashes if not _HASH.match(value)]:
            _refuse(f"`{wrong[0]}` of `{self.name}` is no hash, expected `sha256:` and 64 hexadecimal digits")
        object.__setattr__(self, "name", canonicalize_name(self.name))
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "marker", marker)
        object.__setattr__(self, "hashes", hashes)
        object.__setattr__(self, "files", tuple(sorted(set(self.files))))

    @property
    def requirement(self) -> str:
        """The pin as a requirement, without its hashes."""
        what = f"{self.name} @ {self.source}" if self.source else f"{self.name}=={self.version}"
        return f"{what} ; {self.marker}" if self.marker else what


@dataclass(frozen=True)
class Lock:
    """All pins of an environment, sorted. Two locks of the same pins are equal and have the same bytes."""

    pins: tuple[Pin, ...]

    def __post_init__(self) -> None:
        ordered = sorted(set(self.pins), key=lambda pin: (pin.name, pin.version, pin.source, pin.marker, pin.hashes))
        for first, second in pairwise(ordered):
            if first.name == second.name and (first.marker == second.marker or not (first.marker and second.marker)):
                _refuse(f"`{first.name}` is pinned twice: `{first.requirement}` and `{second.requirement}`")
        object.__setattr__(self, "pins", tuple(ordered))

    def to_bytes(self) -> bytes:
        """Write the lock. No pins give no bytes."""
        separator = " \\\n    "
        lines = (separator.join([pin.requirement, *(f"--hash={value}" for value in pin.hashes)]) for pin in self.pins)
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def parse(cls, content: bytes, *, where: str = "requirements.lock") -> Lock:
        """Read a lock that this class, uv or pip-tools wrote.

        Comments are left out, and extras too: a lock lists what they stand for. Raises :class:`InvalidInput` with all
        malformed lines and their numbers.
        """
        from model_envelope.runtime.errors import Problems

        problems = Problems()
        pins: list[Pin] = []
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"`{where}` is no lock: it is not UTF-8 (byte {error.start})", code="lock.malformed", hint=_HINT
            ) from None
        for number, line in _logical_lines(text):
            try:
                pins.append(_parse_line(line))
            except InvalidInput as error:
                problems.add(f"{where}:{number}", error.message, "`name==version` with `--hash=sha256:...`", error.code)
        if not problems:
            try:
                return cls(tuple(pins))
            except InvalidInput as error:
                problems.add(where, error.message, "each distribution once", error.code)
        raise InvalidInput(
            problems.summary(f"`{where}` is no lock"), code="lock.malformed", problems=problems.items, hint=_HINT
        )

    @classmethod
    def across(cls, locks: Mapping[Platform, Lock]) -> Lock:
        """Make one lock of those of several platforms.

        What all have at one version is pinned once; anything else with the marker of the platforms that have it.
        """
        wanted: dict[tuple[str, str, str], list[Platform]] = {}
        hashes: dict[tuple[str, str, str], set[str]] = {}
        files: dict[tuple[str, str, str], set[tuple[str, str]]] = {}
        for platform, lock in sorted(locks.items()):
            for pin in lock.pins:
                key = (pin.name, pin.version, pin.source)
                wanted.setdefault(key, []).append(platform)
                hashes.setdefault(key, set()).update(pin.hashes)
                files.setdefault(key, set()).update(pin.files)
        pins = []
        for key, platforms in wanted.items():
            name, version, source = key
            marker = "" if len(platforms) == len(locks) else " or ".join(platform.marker for platform in platforms)
            pins.append(Pin(name, version, tuple(hashes[key]), marker, source, tuple(files[key])))
        return cls(tuple(pins))

    def versions(self) -> dict[str, str]:
        """Give the version of each distribution by canonical name, where the lock tells it."""
        return {pin.name: pin.version for pin in self.pins if pin.version}


@dataclass(frozen=True)
class Unhashed:
    """The ``requirements`` of a lock that have no hash, and the ``rest`` of it, which can be parsed."""

    requirements: tuple[str, ...]
    rest: bytes


def unhashed_lines(content: bytes) -> Unhashed:
    """Take the requirements without a hash out of a lock, which should not be in it. Comments are lost."""
    lines = [line for _, line in _logical_lines(content.decode("utf-8", "replace"))]
    bare = [line for line in lines if not line.startswith("-") and " --hash=" not in line]
    rest = "".join(f"{line}\n" for line in lines if line not in bare)
    return Unhashed(tuple(bare), rest.encode())


_HINT = "a lock is written by `envelope pack` or `envelope lock` and is not edited by hand"


def _refuse(message: str) -> NoReturn:
    raise InvalidInput(message, code="lock.malformed", hint=_HINT)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Join continued lines and drop comments; each comes with the number of its first line."""
    found: list[tuple[int, str]] = []
    start, parts = 0, list[str]()
    # Split at newlines alone: str.splitlines() also splits at characters that may stand inside a line.
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw.rstrip("\r")).rstrip()
        continued = line.endswith("\\")
        start = start if parts else number
        parts.append(line.removesuffix("\\").strip())
        if not continued:
            found.append((start, " ".join(part for part in parts if part)))
            parts = []
    if parts:
        found.append((start, " ".join(part for part in parts if part)))
    return [(number, line) for number, line in found if line]


def _option(line: str) -> str:
    """Give the name of an option without its value, which may be a URL with credentials."""
    return re.split(r"[\s=]", line, maxsplit=1)[0]


def _parse_line(line: str) -> Pin:
    if line.startswith("-"):
        _refuse(f"an option (`{_option(line)}`): where packages come from is a setting of the machine that installs")
    head, *options = re.split(r"\s+(?=--)", line)
    if wrong := [option for option in options if not option.startswith("--hash=")]:
        _refuse(f"an option that is no hash: `{_option(wrong[0])}`")
    match = _REQUIREMENT.match(head.strip())
    if not match:
        _refuse(f"`{head[:80]}`")
    if not options:
        _refuse(f"`{head[:80]}` without a hash")
    return Pin(
        name=match["name"],
        version=match["version"] or "",
        hashes=tuple(option.removeprefix("--hash=").strip() for option in options),
        marker=(match["marker"] or "").strip(),
        source=match["source"] or "",
    )
