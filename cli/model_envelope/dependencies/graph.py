"""Who requires whom, by the metadata of what is installed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from model_envelope.dependencies.distribution import Distribution
from model_envelope.dependencies.installed import Installed


@dataclass(frozen=True)
class Package:
    """A distribution in the environment of a model.

    ``requires``, ``size`` (bytes) and ``licence`` (as its metadata has it) are None where nobody knows.
    """

    name: str
    version: str
    requires: tuple[str, ...] | None
    size: int | None
    licence: str | None = None


def closure(
    roots: Iterable[str], installed: Installed, *, without: Collection[str] = (), as_of: Mapping[str, str] | None = None
) -> dict[str, set[str]]:
    """Give all that some distributions lead to: for each of it what it requires in turn.

    What is in ``without`` is not followed. ``as_of`` names, for a distribution that is not installed, the one whose
    requirements stand for its own. Extras and markers count.
    """
    found: dict[str, set[str]] = {}
    queue: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in roots]
    done: set[tuple[str, frozenset[str]]] = set()
    while queue:
        key, extras = queue.pop()
        if (key, extras) in done or key in without:
            continue
        done.add((key, extras))
        known = installed.distributions.get(key) or installed.distributions.get((as_of or {}).get(key, ""))
        if known is None:
            continue
        edges = found.setdefault(key, set())
        for name, more in _required(known, extras):
            if name not in without:
                edges.add(name)
                queue.append((name, more))
    return found


def brought_along(
    roots: Collection[str],
    installed: Installed,
    *,
    without: Collection[str] = (),
    as_of: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Give for each distribution that a root requires, however far down, the first root that does."""
    found: dict[str, str] = {}
    for root in sorted(roots):
        for name in closure([root], installed, without=without, as_of=as_of).keys() - {root}:
            found.setdefault(name, root)
    return found


def packages(
    versions: Mapping[str, str], roots: Collection[str], environments: Sequence[Installed]
) -> tuple[Package, ...]:
    """Describe the distributions of an environment by name and version.

    Each is looked for in the ``environments`` in their order, at that very version; ``roots`` are the direct needs.
    """
    merged: dict[str, Distribution] = {}
    for environment in reversed(environments):
        merged |= {
            name: environment.distributions[name]
            for name, version in versions.items()
            if name in environment.distributions and same_version(environment.distributions[name].version, version)
        }
    edges = closure(roots, Installed(merged))
    # What a lock lists although no chain of requirements that is known here leads to it.
    edges = closure(versions.keys() - edges.keys(), Installed(merged)) | edges
    return tuple(
        Package(
            name,
            version,
            tuple(sorted(edges[name] & versions.keys() - {name})) if name in merged else None,
            merged[name].size if name in merged else None,
            merged[name].licence if name in merged else None,
        )
        for name, version in sorted(versions.items())
    )


@cache
def _required(distribution: Distribution, extras: frozenset[str]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Give what a distribution requires here when it is asked for with these extras: names, and extras of those."""
    found: list[tuple[str, frozenset[str]]] = []
    for line in distribution.requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        if marker is None or any(
            marker.evaluate({**_environment(), "extra": extra}) for extra in ("", *sorted(extras))
        ):
            found.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return tuple(found)


def same_version(first: str, second: str) -> bool:
    """Whether two spellings mean one version: a lock writes `1.0b1`, what is installed may say `1.0-beta1`."""
    try:
        return Version(first) == Version(second)
    except InvalidVersion:
        return first == second


@cache
def _environment() -> dict[str, str]:
    return {name: str(value) for name, value in default_environment().items()}


def extras_with(name: str, among: Iterable[str], installed: Installed) -> tuple[str, ...]:
    """Give the extras that would bring a distribution, as ``pandas[parquet]``, of those among some others."""
    found = []
    for key in sorted(among):
        if (distribution := installed.distributions.get(key)) is not None:
            found += [
                f"{key}[{extra}]"
                for extra in sorted(_extras(distribution))
                if name in {required for required, _ in _required(distribution, frozenset({extra}))}
            ]
    return tuple(found)


def _extras(distribution: Distribution) -> set[str]:
    return {extra for line in distribution.requires for extra in re.findall(r"\bextra\s*==\s*['\"]([^'\"]+)", line)}
