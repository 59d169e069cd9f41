"""Merges the lock of an envelope with the pins of a target, without a resolver or a network.

The envelope's pin wins where both have one: the model was proven with it. Whether the target can live with it is told
by the ranges that the target and its pinned distributions were released with. So the same envelope and tool give the
same lock at any date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from model_envelope.foundation.errors import Unsolvable
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.runtime.errors import Problem
from model_envelope.targets.target import Target


def merge(envelope_lock: bytes, target: Target, python: str, provided: Mapping[str, str] | None = None) -> bytes:
    """Give the lock of what a target and an envelope need together, for a Python (``3.11``).

    ``provided`` are versions of distributions that are there without this lock, as conda packages: they count as the
    envelope's, and are not in the result.

    Raises :class:`Unsolvable` (``target.clash``) with every pin of the envelope that the target cannot live with, both
    sides named; :class:`InvalidInput` where the lock is malformed or the target is not pinned for this Python.
    """
    sealed, own = Lock.parse(envelope_lock), target.pins(python)
    around = surroundings(python)
    ours = {pin.name: pin for pin in own.pins if counts(pin.marker, around)}
    theirs = {name: _provided(name, version) for name, version in (provided or {}).items()}
    theirs |= {pin.name: pin for pin in sealed.pins if counts(pin.marker, around)}
    clashes = list(_clashes(target, python, {**ours, **theirs}, set(theirs)))
    if clashes:
        raise _clash(target, clashes)
    added = tuple(pin for pin in own.pins if pin.name not in theirs)
    replaced = {pin.name for pin in added}
    # What the envelope pins for other platforms alone gives way to what the target needs on this one.
    kept = tuple(pin for pin in sealed.pins if pin.name not in replaced)
    return Lock((*kept, *added)).to_bytes()


def refuse_versions(target: Target, python: str, versions: Mapping[str, str]) -> None:
    """Refuse versions that the target itself cannot live with: no choice among its own packages mends that.

    Raises :class:`Unsolvable` (``target.clash``) with all of them.
    """
    pins = {name: Pin(name, version, ()) for name, version in versions.items()}
    wishes = [(_whose(target), text) for text in target.requirements]
    if clashes := list(_held_against(wishes, python, pins, set(pins))):
        raise _clash(target, clashes)


def _clash(target: Target, clashes: Sequence[Problem]) -> Unsolvable:
    own = [problem.path for problem in clashes if problem.expected.endswith(f" for {_whose(target)}")]
    if own:
        other = " ".join(f"--upgrade-package {name}" for name in dict.fromkeys(own))
        hint = f"`envelope lock ENVELOPE --for {target.kind} {other}` takes other versions, which the proof judges"
    else:
        hint = f"`envelope lock ENVELOPE --for {target.kind}` looks for versions of the target's packages that fit"
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(problem.path for problem in clashes))
    return Unsolvable(
        f"the envelope and the target `{target.kind}` need different versions of {names}",
        code="target.clash",
        problems=clashes,
        hint=f"{hint}; where there are none, pack the model in an environment with versions in these ranges",
    )


def _whose(target: Target) -> str:
    return f"the target `{target.kind}`"


def _clashes(target: Target, python: str, chosen: Mapping[str, Pin], sealed: set[str]) -> Iterator[Problem]:
    """Hold every pin of the envelope against the ranges of the target and of the target's own pins that stay."""
    wishes = [(_whose(target), text) for text in target.requirements]
    for name, needs in target.requires(python).items():
        if name in chosen and name not in sealed:
            wishes += [(f"{name} {chosen[name].version}", text) for text in needs]
    yield from _held_against(wishes, python, chosen, sealed)


def _held_against(
    wishes: Iterable[tuple[str, str]], python: str, chosen: Mapping[str, Pin], sealed: set[str]
) -> Iterator[Problem]:
    around = surroundings(python)
    for who, text in wishes:
        wish = Requirement(text)
        name = canonicalize_name(wish.name)
        if name not in sealed or (wish.marker and not wish.marker.evaluate(dict(around))):
            continue
        pin = chosen.get(name)
        # A distribution from an address may not tell its version; whoever named the address vouches for it.
        if pin is not None and pin.version and not wish.specifier.contains(pin.version, prereleases=True):
            found = f"{pin.version} in the envelope's lock"
            yield Problem(name, found, f"{wish.specifier} for {who}", "target.clash")


def _provided(name: str, version: str) -> Pin:
    """Make a pin of what is there; conda knows versions that are none for pip (``2024a``), which nobody can judge."""
    try:
        return Pin(name, str(Version(version)), ())
    except InvalidVersion:
        return Pin(name, "", (), source="conda")


def counts(marker: str, around: Mapping[str, str]) -> bool:
    """Whether what has a marker is installed where markers have these values."""
    return not marker or Marker(marker).evaluate(dict(around))


def surroundings(python: str) -> Mapping[str, str]:
    """Give the marker variables of an image: CPython on Linux; the rest is as on this machine."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }
