"""What `pack` and `lock` share: what a lock is for, how it is found, and whether it can be proven on this machine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from model_envelope.dependencies.builds import with_published
from model_envelope.dependencies.file_names import with_file_names
from model_envelope.dependencies.needs import Dropped
from model_envelope.dependencies.requirements import exact_versions, with_versions
from model_envelope.dependencies.resolvers import LockRequest, Resolver
from model_envelope.dependencies.wheels import unfit_tags
from model_envelope.foundation import pylock
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing, Unsolvable
from model_envelope.foundation.interpreter import describe
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note, Report
from model_envelope.runtime.errors import Problem
from model_envelope.runtime.reading import Description
from model_envelope.store.draft import Draft
from model_envelope.targets.merging import refuse_versions
from model_envelope.targets.target import Target
from model_envelope.workflows.cpu import Exchange, exchange, without_label
from model_envelope.workflows.wheels import leave_behind, wheels_in


@dataclass(frozen=True)
class Aim:
    """What a lock has to be for: no platform means that of this machine, no Python (``3.12``) the model's own."""

    platforms: tuple[Platform, ...] = ()
    python: str | None = None

    @classmethod
    def read(cls, platforms: Sequence[str] = (), python: str | None = None) -> Aim:
        """Read what a user asks for.

        Raises :class:`InvalidInput` (``lock.platform``, ``lock.python-version``).
        """
        if python is not None and not re.fullmatch(r"3\.\d{1,2}", python):
            raise InvalidInput(
                f"`{python}` is no version of Python that a lock can be for",
                code="lock.python-version",
                hint="write major and minor version, as in `3.12`: a lock holds for all releases of it",
            )
        return cls(tuple(dict.fromkeys(Platform.parse(text) for text in platforms)), python)


@dataclass(frozen=True)
class Goal:
    """What a lock is for, as seen from this machine.

    ``interpreter`` is a Python of the version ``python`` where this machine has one (``runs``), else the one to ask
    about this machine. ``here`` is the platform of that.
    """

    platforms: tuple[Platform, ...]
    python: str
    interpreter: Path
    here: Platform
    runs: bool

    @classmethod
    def of(cls, aim: Aim, interpreter: Path) -> Goal:
        """Hold an aim against this machine; ``interpreter`` is the Python that there is for the model."""
        found = describe(interpreter)
        here, series = Platform.of(found.platform), aim.python or found.series
        other = None if series == found.series else _find_python(series)
        return cls(
            platforms=aim.platforms or (here,),
            python=series,
            interpreter=other or interpreter,
            here=here,
            runs=series == found.series or other is not None,
        )

    @property
    def unprovable(self) -> str:
        """Why nothing that is made from the lock can run here; empty where it can."""
        if not any(self.here.runs(platform) for platform in self.platforms):
            return f"the lock is for {self.shown}, and this machine is {self.here}"
        if not self.runs:
            return f"the lock is for Python {self.python}, and there is no `python{self.python}` here"
        return ""

    @property
    def shown(self) -> str:
        """The platforms as people write them."""
        return " and ".join(map(str, self.platforms))

    def beyond(self) -> str:
        """Say for what it is beside this machine and the Python that was asked: `` for linux/arm64``, or nothing."""
        words = [f"Python {self.python}"] if not self.runs else []
        words += [str(platform) for platform in self.platforms if not self.here.runs(platform)]
        return f" for {', '.join(words)}" if words else ""

    def noted(self, description: Description) -> Description:
        """Give the description of an envelope whose lock is for this."""
        own = describe(self.interpreter).platform
        tags = tuple(own if self.here.runs(platform) else platform.tag for platform in self.platforms)
        return replace(description, python=self.python, platform=tags[0], platforms=tags if len(tags) > 1 else ())


def _find_python(series: str) -> Path | None:
    """Give an interpreter of a version that is on PATH and works: what is there may be a shim for none."""
    found = shutil.which(f"python{series}")
    if found is None:
        return None
    try:
        return Path(found) if describe(Path(found)).series == series else None
    except (ToolFailed, ToolMissing):
        return None


@dataclass(frozen=True)
class Solved:
    """A lock that was found, and what became of the needs on the way.

    For CPUs some have another ``versions`` (``2.13.0+cpu``) or another distribution in their place (``names``), where
    that is so on all platforms; ``instead`` says what was exchanged or left out, and ``gone`` is what was left out.
    """

    lock: Lock
    versions: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[Dropped, ...] = ()

    @property
    def versions_of_needs(self) -> dict[str, str]:
        """The versions of builds for CPUs, and of what stands in for something else."""
        locked = self.lock.versions()
        return {**self.versions, **{new: locked[new] for new in self.names.values() if new in locked}}


def solve(
    resolver: Resolver,
    request: LockRequest,
    goal: Goal,
    target: Target | None = None,
    *,
    cpu: bool = False,
    keep: Collection[str] = (),
) -> Solved:
    """Find a lock for all platforms of a goal; with a ``target`` one that its requirements fit together with.

    What the model needs keeps the versions that it would have alone: those of the target's own packages are chosen to
    fit them. For machines with a ``cpu`` alone what is for graphics cards is exchanged or left out, but for what the
    model itself names and nothing stands in for, and what is in ``keep``. Raises what the resolver raises, and what
    ``builds.require_builds`` does.
    """
    for platform in goal.platforms:
        _check_wheels(request, platform, goal.python)
    if cpu:
        request = replace(request, requirements=without_label(request.requirements))
    request = replace(request, index=with_published(request.index, exact_versions(request.requirements)))
    locks: dict[Platform, Lock] = {}
    exchanges: list[Exchange] = []
    for platform in goal.platforms:
        asked = replace(
            request,
            python=goal.interpreter,
            platform=None if goal.here.runs(platform) else platform,
            python_version=None if goal.runs else goal.python,
        )
        found, asked = _solve(resolver, asked)
        made = exchange(asked, found, platform, goal.python, keep) if cpu else Exchange(asked)
        if made.request != asked:
            found = resolver.lock(made.request)
        if target is not None:
            refuse_versions(target, goal.python, found.versions())
            beside = "".join(f"{line}\n" for line in target.requirements).encode()
            found = resolver.lock(replace(made.request, constraints=found.versions(), beside=beside))
        locks[platform] = made.without_gpus(found) if cpu else found
        exchanges.append(made)
    first, *others = exchanges
    index = replace(request.index, published=tuple(sorted({url for made in exchanges for url in made.pages})))
    lock = with_file_names(next(iter(locks.values())) if len(locks) == 1 else Lock.across(locks), index)
    alike = all((made.versions, made.names) == (first.versions, first.names) for made in others)
    left = lock.versions()
    return Solved(
        lock,
        first.versions if alike else {},
        first.names if alike else {},
        {name: text for made in exchanges for name, text in made.told(left).items()},
        tuple(
            item for item in dict.fromkeys(item for made in exchanges for item in made.gone) if item.name not in left
        ),
    )


def _solve(resolver: Resolver, request: LockRequest) -> tuple[Lock, LockRequest]:
    """Solve a request; give what was asked in the end.

    Builds that the environment has, and no need names, are looked for where they are published only if nothing is found
    otherwise: most models need none of them, and that index may be out of reach.
    """
    try:
        return resolver.lock(request), request
    except Unsolvable:
        index = with_published(request.index, request.constraints)
        if index == request.index:
            raise
    asked = replace(request, index=index)
    return resolver.lock(asked), asked


def _check_wheels(request: LockRequest, platform: Platform, python: str) -> None:
    """Refuse a platform or Python that wheels which travel in the envelope were not built for."""
    unfit = {path.name: tags for path in request.wheels.values() if (tags := unfit_tags(path.name, platform, python))}
    if unfit:
        raise InvalidInput(
            f"{', '.join(f'`{name}`' for name in sorted(unfit))} travels in the envelope, as no index has it, and does "
            f"not run with Python {python} on {platform}",
            code="lock.wheel-elsewhere",
            problems=[
                Problem(name, f"a wheel for {tags}", f"one for Python {python} on {platform}", "lock.wheel-elsewhere")
                for name, tags in sorted(unfit.items())
            ],
            hint="pack the model on such a machine, or put wheels for it on an index and install from there",
        )


def write_lock(draft: Draft, lock: Lock, goal: Goal, report: Report) -> None:
    """Write a lock into a draft, in both of its forms, in the place of what was there."""
    (draft.folder / "env" / "requirements.lock").unlink(missing_ok=True)
    draft.write("env/requirements.lock", lock.to_bytes())
    (draft.folder / pylock.NAME).unlink(missing_ok=True)
    leave_behind(draft, lock)
    carried = {path.name for path in wheels_in(draft.folder).values()}
    content = pylock.render(lock, python=goal.python, platforms=goal.platforms, carried=carried)
    if content is None:
        report(Note(f"no {pylock.NAME}: the index does not tell the names and the hashes of all files"))
    else:
        draft.write(pylock.NAME, content)


def read_upgrades(words: Sequence[str]) -> dict[str, str]:
    """Read `NAME` or `NAME==VERSION`: the version by canonical name, empty where any will do.

    Raises :class:`InvalidInput` (``lock.upgrade``) that names all words that are neither.
    """
    found: dict[str, str] = {}
    wrong = []
    for word in words:
        try:
            requirement = Requirement(word)
        except InvalidRequirement:
            wrong.append(word)
            continue
        parts = [(part.operator, part.version) for part in requirement.specifier]
        plain = not (requirement.url or requirement.marker or requirement.extras)
        if plain and (not parts or (len(parts) == 1 and parts[0][0] == "==" and "*" not in parts[0][1])):
            found[canonicalize_name(requirement.name)] = parts[0][1] if parts else ""
        else:
            wrong.append(word)
    if wrong:
        raise InvalidInput(
            f"found {', '.join(f'`{word}`' for word in wrong)}, expected NAME or NAME==VERSION",
            code="lock.upgrade",
            hint="write it as `--upgrade-package numpy` or `--upgrade-package numpy==2.4.6`",
        )
    return found


def check_upgrades(upgrades: Mapping[str, str], known: Collection[str]) -> None:
    """Raise :class:`InvalidInput` (``lock.upgrade``) for packages to upgrade that the envelope does not have."""
    if strange := [name for name in upgrades if name not in known]:
        raise InvalidInput(
            f"the envelope does not need {', '.join(f'`{name}`' for name in strange)}, so nothing is there to upgrade",
            code="lock.upgrade",
            hint="`envelope dependencies ENVELOPE` lists what it needs",
        )


def with_upgrades(request: LockRequest, upgrades: Mapping[str, str], known: Sequence[str]) -> LockRequest:
    """Let go of the versions of some packages, or ask for others; those that are ``known`` can be upgraded.

    Raises :class:`InvalidInput` (``lock.upgrade``) for packages that the envelope does not have.
    """
    check_upgrades(upgrades, known)
    constraints = {name: version for name, version in request.constraints.items() if name not in upgrades}
    constraints |= {name: version for name, version in upgrades.items() if version}
    return replace(
        request,
        requirements=with_versions(request.requirements, upgrades),
        constraints=constraints,
        wheels={name: path for name, path in request.wheels.items() if name not in upgrades},
    )


def pinned_needs(requirements: bytes, lock: Lock, names: Mapping[str, str]) -> bytes:
    """Give the direct needs with the versions that a lock found for those among ``names``."""
    versions: dict[str, set[str]] = {}
    for pin in lock.pins:
        versions.setdefault(pin.name, set()).add(pin.version)
    # One that differs between platforms stays as it was asked for.
    found = {name: versions[name].pop() for name in names if len(versions.get(name, ())) == 1}
    return with_versions(requirements, found)
