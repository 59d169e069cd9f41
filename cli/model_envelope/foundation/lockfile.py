"""The lockfile as envelopes and images hold it: exact pins with every hash, normalised.

One pin a block, sorted by canonical name, hashes sorted; no header, no annotations, no index address. Equal locks are
equal bytes, whichever resolver found them. pip and uv install from it with ``--require-hashes --no-deps``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from model_envelope.foundation.errors import InvalidInput

_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_COMMENT = re.compile(r"(^|\s+)#.*$")


@dataclass(frozen=True)
class Pin:
    """One distribution, exactly.

    ``hashes`` are ``sha256:<hex>``, ``marker`` says where it counts (``sys_platform == "linux"``), and ``source`` is
    the address of a distribution that comes from one rather than from an index; its version may then be empty.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str = ""
    source: str = ""

    def __str__(self) -> str:
        wanted = f"{self.name} @ {self.source}" if self.source else f"{self.name}=={self.version}"
        return f"{wanted} ; {self.marker}" if self.marker else wanted

    def to_text(self) -> str:
        """Write the pin as it stands in a lockfile."""
        return " \\\n".join([str(self), *(f"    --hash={value}" for value in sorted(set(self.hashes)))]) + "\n"


@dataclass(frozen=True)
class Lock:
    """All pins of an environment, sorted by canonical name."""

    pins: tuple[Pin, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "pins", tuple(sorted(self.pins, key=lambda pin: (pin.name, pin.marker, pin.version))))

    def __iter__(self) -> Iterator[Pin]:
        return iter(self.pins)

    def __len__(self) -> int:
        return len(self.pins)

    def get(self, name: str) -> Pin | None:
        """Give the first pin of a distribution, however its name is spelled."""
        canonical = canonicalize_name(name)
        return next((pin for pin in self.pins if pin.name == canonical), None)

    def to_bytes(self) -> bytes:
        """Write the lockfile."""
        return "".join(pin.to_text() for pin in self.pins).encode()

    @classmethod
    def parse(cls, content: bytes) -> Lock:
        """Read a lockfile, ours or as a resolver writes it (comments and annotations are passed over).

        Raises :class:`InvalidInput` (``lock.malformed``) with the number of the line that is no pin.
        """
        pins = tuple(_pin(number, line) for number, line in _logical_lines(content))
        seen: dict[tuple[str, str], Pin] = {}
        for pin in pins:
            other = seen.setdefault((pin.name, pin.marker), pin)
            if other is not pin:
                raise InvalidInput(
                    f"the lock pins `{pin.name}` twice: `{other}` and `{pin}`", code="lock.malformed", hint=_HINT
                )
        return cls(pins)


_HINT = "`envelope lock` writes the lock again"


def _logical_lines(content: bytes) -> Iterator[tuple[int, str]]:
    collected, first = "", 0
    for number, raw in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        first = first or number
        if line.endswith("\\"):
            collected += line[:-1] + " "
            continue
        if collected := (collected + line).strip():
            yield first, collected
        collected, first = "", 0
    if collected.strip():
        yield first, collected.strip()


def _pin(number: int, line: str) -> Pin:
    wanted, *rest = line.split(" --hash=")
    hashes = tuple(value.strip() for value in rest)
    try:
        requirement = Requirement(wanted.strip())
        marker = str(Marker(str(requirement.marker))) if requirement.marker else ""
    except (InvalidRequirement, InvalidMarker) as error:
        raise _malformed(number, line, str(error).splitlines()[0]) from None
    wrong = next((value for value in hashes if not _HASH.fullmatch(value)), None)
    if wrong is not None:
        raise _malformed(number, line, f"`{wrong:.80}` is no sha256")
    name = canonicalize_name(requirement.name)
    if requirement.url:
        return Pin(name, "", hashes, marker, requirement.url)
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in {"==", "==="} or specifiers[0].version.endswith("*"):
        raise _malformed(number, line, "expected one exact version, `name==version`")
    return Pin(name, specifiers[0].version, hashes, marker)


def _malformed(number: int, line: str, why: str) -> InvalidInput:
    return InvalidInput(f"line {number} of the lock is `{line:.80}`: {why}", code="lock.malformed", hint=_HINT)
