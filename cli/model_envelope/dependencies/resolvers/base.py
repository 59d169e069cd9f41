"""What every resolver is asked and answers, and how their failures are told apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.interpreter import describe
from model_envelope.foundation.errors import ToolFailed, Unsolvable
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.process import Finished


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

    Two resolvers give the same lock for the same request and index. Raises :class:`Unsolvable` where no set of versions
    fits, :class:`ToolMissing` where its program is not here, and :class:`ToolFailed` where it fails otherwise, with
    code ``lock.index-unreachable`` where an index does not answer.
    """

    @property
    def name(self) -> str:
        """What `--resolver` calls it."""

    def available(self) -> bool:
        """Whether this machine has the program."""

    def lock(self, request: LockRequest) -> Lock:
        """Solve a request."""


@dataclass(frozen=True)
class Symptoms:
    """How one resolver's output tells what went wrong: patterns, looked for in this order."""

    unreachable: Sequence[str]
    unsolvable: Sequence[str]

    def error(self, request: LockRequest, finished: Finished, name: str) -> Unsolvable | ToolFailed:
        """Make the error for a run that failed."""
        said = finished.stderr + finished.stdout
        detail = request.index.redact(_without_tracebacks(finished.stderr.strip() or finished.stdout.strip()))
        if finished.timed_out:
            return ToolFailed(
                f"`{name}` did not find a lock in time and was ended",
                code="lock.timeout",
                detail=detail,
                hint="a slow index is the usual cause; try again, the packages seen so far are cached",
            )
        if any(re.search(pattern, said, re.IGNORECASE) for pattern in self.unreachable):
            return ToolFailed(
                "the package index cannot be reached, so nothing was locked",
                code="lock.index-unreachable",
                detail=detail,
                hint="check the network and pip's settings (`pip config list`); `--no-lock` packs without a lock, "
                "and `envelope lock` makes it later",
            )
        if any(re.search(pattern, said, re.IGNORECASE) for pattern in self.unsolvable):
            return _unsolvable(request, said, detail)
        return ToolFailed(
            f"locking: `{name}` ended with {finished.returncode}",
            code="lock.failed",
            detail=detail,
            hint="`--no-lock` packs without a lock, and `envelope lock` makes it later",
        )


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _without_tracebacks(said: str, lines: int = 30) -> str:
    """Give the last lines of what a program said, of a Python traceback only what was raised."""
    kept: list[str] = []
    inside = False
    for line in said.splitlines():
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif line.startswith(("The above exception was", "During handling of the above")):
            continue
        elif not inside or not line.startswith(" "):
            inside = inside and not line
            if line or (kept and kept[-1]):
                kept.append(line)
    return "\n".join(kept[-lines:]).strip()


def _unsolvable(request: LockRequest, said: str, detail: str) -> Unsolvable:
    named = {canonicalize_name(word) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", said)}
    named |= {canonicalize_name(word) for word in re.findall(r"([A-Za-z0-9][A-Za-z0-9._-]*?)(?:==|\[)", said)}
    elsewhere = {name: origin for name, origin in sorted(request.origins.items()) if name in named}
    if elsewhere:
        shown = ", ".join(f"`{name}` (from {request.index.redact(origin)})" for name, origin in elsewhere.items())
        return Unsolvable(
            f"the environment has packages that were not installed from an index, and no index has them: {shown}",
            code="lock.unsolvable",
            detail=detail,
            hint="build a wheel of it (`pip wheel --no-deps ...`) and put that on an index or in a folder that pip's "
            "`find-links` names",
        )
    wanted = [name for name in request.requirement_names() if name in named] or request.requirement_names()
    shown = ", ".join(
        f"`{name}=={request.constraints[name]}`" if name in request.constraints else f"`{name}`" for name in wanted
    )
    return Unsolvable(
        f"no set of versions satisfies the needs together with the versions of this environment: {shown}",
        code="lock.unsolvable",
        detail=detail,
        hint="`pip check` in the packing environment shows versions that do not fit each other; a version that is gone "
        "from the index has to be replaced there, and the model trained with it",
    )
