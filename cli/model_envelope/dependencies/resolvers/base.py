"""What every resolver is asked and answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from model_envelope.dependencies.index import IndexSettings
from model_envelope.foundation.interpreter import describe
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform


@dataclass(frozen=True)
class LockRequest:
    """What to lock, and for what.

    ``requirements`` are the bytes of a requirements file: the direct needs. ``constraints`` are the versions of the
    whole packing environment by name; only those that the needs lead to end in the lock. ``origins`` says where
    distributions of that environment come from that were installed from no index (PEP 610), for a better message.

    The lock is for the interpreter ``python``; where ``platform`` or ``python_version`` (``3.12``) are given, for those
    instead, and then from wheels alone: what is not built yet cannot be built here for another platform or Python.
    ``wheels`` are files by the canonical names of distributions that come from no index and from nowhere else.
    ``beside`` are requirements that have to fit together with the needs and are none of them: those of a target.
    """

    requirements: bytes
    constraints: Mapping[str, str]
    python: Path
    index: IndexSettings = field(default_factory=IndexSettings)
    origins: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    python_version: str | None = None
    beside: bytes = b""
    wheels: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_foreign(self) -> bool:
        """Whether it is for another platform or Python than those of the interpreter."""
        return self.platform is not None or self.python_version is not None

    def described(self) -> str:
        """Say what the lock is for: ``Python 3.12 on linux/arm64``."""
        interpreter = describe(self.python)
        platform = self.platform or Platform.of(interpreter.platform)
        return f"Python {self.python_version or interpreter.series} on {platform}"

    def requirement_lines(self) -> bytes:
        """Write all that has to be fulfilled as a requirements file."""
        return self.requirements + self.beside

    def constraint_lines(self) -> bytes:
        """Write the constraints as a requirements file, sorted.

        A version that is none by PEP 440 (some systems' packages have such) is left out: it would make the resolver
        refuse all of them, and no index can have it. So is that of a need that says itself which versions it takes.
        """
        own = {name for name, line in self._needs().items() if re.search(r"[=<>!~]", line)}
        lines = {
            name: f"{name}=={version}"
            for name, version in self.constraints.items()
            if name not in own and _is_version(version)
        }
        lines |= {name: f"{name} @ {path.absolute().as_uri()}" for name, path in self.wheels.items()}
        return "".join(f"{lines[name]}\n" for name in sorted(lines)).encode()

    def settled(self, lock: Lock) -> Lock:
        """Give the answer of a resolver as it is kept: its markers are answered, and wheels are named by their hashes.

        A resolver lists what is needed for one platform and one Python, so whatever it lists is needed there.
        """
        pins = []
        for pin in lock.pins:
            path = self.wheels.get(pin.name)
            if path is None:
                pins.append(replace(pin, marker=""))
                continue
            with path.open("rb") as file:
                value = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            version = str(parse_wheel_filename(path.name)[1])
            pins.append(Pin(pin.name, version, (value,), files=((value, path.name),)))
        return Lock(tuple(pins))

    def requirement_names(self) -> tuple[str, ...]:
        """Give the canonical names of the direct needs."""
        return tuple(self._needs())

    def _needs(self) -> dict[str, str]:
        """Give the lines of the direct needs by canonical name."""
        lines = (line.strip() for line in self.requirements.decode().splitlines())
        return {
            canonicalize_name(re.split(r"[\s=<>!~;@\[]", line, maxsplit=1)[0]): line
            for line in lines
            if line and not line.startswith(("#", "-"))
        }


class Resolver(Protocol):
    """Finds exact versions with hashes for a request.

    Two resolvers give the same lock for the same request and index. Raises ``Unsolvable`` where no set of versions
    fits, ``ToolMissing`` where its program is not here, and ``ToolFailed`` where it fails otherwise: all of them as
    ``diagnosis.explain`` tells them apart.
    """

    @property
    def name(self) -> str:
        """What `--resolver` calls it."""

    def available(self) -> bool:
        """Whether this machine has the program."""

    def lock(self, request: LockRequest) -> Lock:
        """Solve a request."""


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
