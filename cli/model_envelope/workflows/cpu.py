"""Locks for machines without a graphics card: what is exchanged for a build for CPUs, and what is left out."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.version import Version

from model_envelope.dependencies.builds import require_builds, with_published
from model_envelope.dependencies.needs import Dropped, Needs
from model_envelope.dependencies.requirements import exact_versions, with_versions
from model_envelope.dependencies.resolvers import LockRequest
from model_envelope.foundation.accelerators import builds_of, cpu_version, gpu_pins, is_for_gpus, stand_in
from model_envelope.foundation.files import human_size
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note, Report
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.targets.target import Target
from model_envelope.workflows.provenance import read_provenance

FOR_GPUS = "for graphics cards alone, and the lock is for CPUs"
FOR_A_BUILD = "only a build for graphics cards requires it, and the lock is for CPUs"


@dataclass(frozen=True)
class Exchange:
    """What is asked of a resolver instead, so that its answer is for CPUs.

    ``versions`` are those of builds for CPUs, by name, ``names`` says which distribution takes the place of which.
    ``found`` is what the lock would be without that, ``needed`` what stays whatever it is for.
    """

    request: LockRequest
    versions: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    found: Lock = field(default_factory=lambda: Lock(()))
    needed: frozenset[str] = frozenset()

    @property
    def pages(self) -> tuple[str, ...]:
        """The pages of publishers that the builds are on."""
        return self.request.index.published

    def without_gpus(self, lock: Lock) -> Lock:
        """Take out of an answer what is for graphics cards alone, and what something else stands in for."""
        gone = {pin.name for pin in gpu_pins(lock)} - self.needed | self.names.keys()
        return Lock(tuple(pin for pin in lock.pins if pin.name not in gone))

    def told(self, after: Mapping[str, str]) -> dict[str, str]:
        """Say what became of the distributions that are another version, another one or gone: `2.0 -> 2.0+cpu`."""
        said = {}
        for pin in self.found.pins:
            if pin.name in self.names and pin.name not in after:
                new = self.names[pin.name]
                said[pin.name] = f"{pin.version} -> {new} {after.get(new, '')}".rstrip()
            elif self.versions.get(pin.name, pin.version) != pin.version:
                said[pin.name] = f"{pin.version} -> {self.versions[pin.name]}"
            elif pin.name not in after:
                said[pin.name] = f"{pin.version} -> none"
        return said

    @property
    def gone(self) -> tuple[Dropped, ...]:
        """Everything that was found without it, with the reason why it would not be in a lock for CPUs."""
        return tuple(
            Dropped(pin.name, pin.version, FOR_GPUS if is_for_gpus(pin.name, pin.version) else FOR_A_BUILD)
            for pin in self.found.pins
            if pin.name not in self.names
        )


def exchange(request: LockRequest, found: Lock, platform: Platform, python: str, keep: Collection[str]) -> Exchange:
    """Say what to ask for so that nothing in a lock is for graphics cards: builds for CPUs, at the same versions.

    ``found`` is the answer to the ``request`` for a ``platform``. Where nothing in it is for graphics cards, nothing
    changes. What is in ``keep`` stays as it is. Raises what ``builds.require_builds`` does.
    """
    direct, versions = set(request.requirement_names()), found.versions()
    # What stands in for a need, and what a need stands in for already, though something else requires it.
    names = {
        name: new
        for name in sorted(versions.keys() - set(keep))
        if (new := stand_in(name, platform)) and (name in direct) != (new in direct)
    }
    if not names and not gpu_pins(found):
        return Exchange(request)
    builds = {
        pin.name: version
        for pin in found.pins
        if pin.name not in keep and (version := cpu_version(pin.name, pin.version, platform))
    }
    index = with_published(request.index, builds)
    require_builds(index, builds, platform, python)
    wanted = {new: Version(versions[old]).public for old, new in names.items() if old in direct}
    constraints = {name: version for name, version in request.constraints.items() if name not in names}
    return Exchange(
        replace(
            request,
            requirements=with_versions(request.requirements, {**builds, **wanted}, names),
            constraints={**constraints, **wanted, **builds},
            wheels={name: path for name, path in request.wheels.items() if name not in {*builds, *names}},
            index=index,
        ),
        builds,
        names,
        found,
        frozenset((direct - names.keys()) | set(keep)),
    )


def without_label(requirements: bytes) -> bytes:
    """Give needs that name builds for CPUs as they would be without: a lock for several platforms may need others."""
    plain = {}
    for name, version in exact_versions(requirements).items():
        builds = builds_of(name)
        if builds is not None and builds.label(version) == builds.cpu:
            plain[name] = Version(version).public
    return with_versions(requirements, plain)


def with_exchanged(
    needs: Needs, versions: Mapping[str, str], names: Mapping[str, str], lock: Lock, gone: Sequence[Dropped]
) -> Needs:
    """Give needs as they are locked: other builds, what stands in for others, what is ``gone``; each with reasons."""
    kept = []
    for item in needs.kept:
        new = names.get(item.name)
        if new is not None:
            told = (*item.reasons, f"instead of {item.name}: it does without a graphics card")
            kept.append(replace(item, name=new, version=lock.versions().get(new, ""), reasons=told))
        else:
            kept.append(replace(item, version=versions[item.name]) if item.name in versions else item)
    dropped = {item.name: item for item in (*needs.dropped, *gone)}
    return replace(
        needs,
        kept=tuple(sorted(kept, key=lambda item: item.name)),
        dropped=tuple(dropped[name] for name in sorted(dropped)),
        replaced={**needs.replaced, **names},
    )


def tell_exchanged(instead: Mapping[str, str], report: Report) -> None:
    """Report what is another in a lock for CPUs."""
    gone = [name for name, text in instead.items() if text.endswith(" -> none")]
    said = [f"{name} {text}" for name, text in instead.items() if name not in gone]
    said += [f"{len(gone)} left out that only graphics cards need ({', '.join(gone)})"] if gone else []
    if said:
        report(Note(f"for CPUs: {'; '.join(said)}"))


def gpu_note(files: EnvelopeFiles, target: Target) -> str:
    """Say how much of a lock a target without a graphics card has no use for, and how to leave it out; else nothing."""
    if target.gpu or not files.lock.is_file():
        return ""
    lock = Lock.parse(files.lock.read_bytes(), where=str(files.lock))
    pins = gpu_pins(lock)
    if not pins:
        return ""
    noted = {(item["name"], item["version"]): item.get("size") for item in read_provenance(files).get("packages", ())}
    sizes = [size for pin in pins if (size := noted.get((pin.name, pin.version)))]
    much = f"{len(pins)} of {len(lock.pins)} packages" + (f", {human_size(sum(sizes))}," if sizes else "")
    return (
        f"{much} are for graphics cards alone, and the target `{target.kind}` has "
        f"none: `envelope lock {shlex.quote(str(files.path))} --cpu` gives an envelope without them"
    )
