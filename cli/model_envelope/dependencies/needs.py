"""What a model needs, why, and what it does not need.

A distribution is a direct need when the pickle names something of it, when local code imports it, or when the values of
the signature are made by it. What only another distribution imports comes with the lock, and what merely is installed
is left out; each with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.local_code import LocalCode, LocalFile, LocalModule, follow
from model_envelope.dependencies.rules import Rules, shipped_rules
from model_envelope.foundation.errors import InvalidInput
from model_envelope.runtime.errors import Problems

__all__ = ["Dropped", "Evidence", "Kept", "LocalModule", "Needs", "find_needs"]

_MAIN = ("__main__", "__mp_main__")
_SELF = "model-envelope"


@dataclass(frozen=True)
class Evidence:
    """A module that is needed, and where that is seen, for people: ``pickle: sklearn.pipeline.Pipeline``.

    ``weak`` says that the code can do without it: it is imported inside a function, or under a ``try``.
    """

    module: str
    source: str
    weak: bool = False


@dataclass(frozen=True)
class Kept:
    """A distribution that is a direct need, and all the reasons for it."""

    name: str
    version: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Dropped:
    """A distribution of the packing environment that is no direct need, and why not."""

    name: str
    version: str
    reason: str


@dataclass(frozen=True)
class Needs:
    """Direct needs, everything else that is installed, and local code; each sorted by name."""

    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    local: tuple[LocalModule, ...]

    @property
    def requirements(self) -> bytes:
        """The direct needs as a requirements file: a line each, nothing else, as it is part of what is sealed."""
        return "".join(f"{kept.name}=={kept.version}\n" for kept in self.kept).encode()


@dataclass
class _Findings:
    by_distribution: dict[str, list[Evidence]] = field(default_factory=dict)
    local: set[LocalModule] = field(default_factory=set)

    def add(self, owners: Iterable[str], evidence: Evidence) -> None:
        for owner in owners:
            self.by_distribution.setdefault(owner, []).append(evidence)


def find_needs(
    *,
    scan_globals: Iterable[tuple[str, str]],
    loaded_modules: Mapping[str, str | None],
    flavors: Iterable[str],
    installed: Installed,
    stdlib: frozenset[str],
    local_roots: Sequence[Path],
    rules: Rules | None = None,
    main: Path | None = None,
    code_names: Iterable[str] = (),
) -> Needs:
    """Find what a model needs.

    ``scan_globals`` are (module, name) as the opcodes name them, with an empty name for a whole module.
    ``loaded_modules`` maps the modules that loading and answering imported to their files. ``flavors`` are the modules
    that the signature's values are made by. ``main`` is the script that stands for ``__main__``: local code whose
    imports count. ``code_names`` are the names in code that the pickle carries by value: such a name counts as imported
    where it is dotted or a module of that name was loaded.

    Raises :class:`InvalidInput` (``needs.unknown-module``, with all of them) where something that the pickle or the
    signature names belongs to no distribution, is not Python's own, and is in none of the local folders.
    """
    filters = shipped_rules() if rules is None else rules
    real = {module: installed.real_name(module, file) for module, file in loaded_modules.items()}
    scan_globals = [(real.get(module, module), name) for module, name in scan_globals]
    loaded_modules = {real[module]: file for module, file in loaded_modules.items()}
    roots = [*([main.absolute().parent] if main else []), *local_roots]
    code = LocalCode(loaded=loaded_modules, installed=installed, stdlib=stdlib, roots=roots)
    named = sorted(set(scan_globals))
    findings = _Findings()
    start = _first_hand(named, sorted(set(flavors)), installed, code, findings, main)
    for module in sorted(set(code_names)):
        if all(part.isidentifier() for part in module.split(".")) and ("." in module or module in loaded_modules):
            start += _imported_by_value(module, installed, code, findings)
    for module in code.loaded():
        start += code.find(module) or ()
        findings.local |= {found for found in (code.top_level(module),) if found}
    _follow_local_code(start, installed, code, findings)
    for rule in filters.keeping(module for module, _ in named):
        if rule.distribution in installed.distributions:
            findings.add((rule.distribution,), Evidence(rule.when, f"rule: {rule.reason}"))
    return _decide(findings, loaded_modules, installed, filters)


def _first_hand(
    named: Sequence[tuple[str, str]],
    flavors: Sequence[str],
    installed: Installed,
    code: LocalCode,
    findings: _Findings,
    main: Path | None,
) -> list[LocalFile]:
    """Note what the pickle and the signature name; gives the local files among it."""
    start: list[LocalFile] = []
    problems = Problems()
    if main:
        script = LocalModule(main.stem, main.absolute())
        findings.local.add(script)
        start.append(LocalFile(main.stem, script.path, script))
    asked = [(module, f"pickle: {module}.{name}" if name else f"pickle: {module}") for module, name in named]
    asked += [(flavor, f"signature: {flavor}") for flavor in flavors]
    for module, source in asked:
        if module in _MAIN:
            if main is None:
                problems.add(source, "a name of a script", "the script, to carry it along", "needs.unknown-module")
            continue
        if code.is_standard(module):
            continue
        if (local := code.top_level(module)) is not None:
            if local.path.exists():
                findings.local.add(local)
                start += code.find(module) or ()
            else:
                found = f"code that lies in no file of its own (`{local.path}`)"
                problems.add(source, found, "a module in a folder", "needs.unknown-module")
        elif owners := installed.owners(module):
            findings.add(owners, Evidence(module, source))
        else:
            found = f"no module `{module}` here"
            problems.add(source, found, "one of an installed distribution or local code", "needs.unknown-module")
    if problems:
        raise InvalidInput(
            problems.summary("the model needs modules that are not here"),
            code="needs.unknown-module",
            problems=problems.items,
            hint="install the missing packages into the packing environment, or put the missing files beside the "
            "pickle or into the current folder",
        )
    return start


def _imported_by_value(
    module: str, installed: Installed, code: LocalCode, findings: _Findings
) -> tuple[LocalFile, ...]:
    if code.is_standard(module):
        return ()
    if (local := code.top_level(module)) is not None:
        if local.path.exists():
            findings.local.add(local)
        return code.find(module) or ()
    findings.add(installed.owners(module), Evidence(module, f"pickle: code in it imports {module}"))
    return ()


def _follow_local_code(start: Sequence[LocalFile], installed: Installed, code: LocalCode, findings: _Findings) -> None:
    told: set[tuple[Path, str]] = set()
    for file, found, module in follow(code, start):
        if code.is_standard(module):
            continue
        if (local := code.top_level(module)) is not None:
            if local.path.exists():
                findings.local.add(local)
            continue
        for owner in installed.owners(module):
            weak = found.guarded or found.lazy
            # One line for each file and distribution is enough, but a stronger import must not hide behind a weak one.
            if (file.path, f"{owner} {weak}") not in told:
                told.add((file.path, f"{owner} {weak}"))
                findings.add((owner,), Evidence(module, f"{file.shown} imports {module}", weak=weak))


def _decide(findings: _Findings, loaded_modules: Mapping[str, str | None], installed: Installed, rules: Rules) -> Needs:
    kept: dict[str, Kept] = {}
    reasons: dict[str, str] = {}
    for key, evidence in sorted(findings.by_distribution.items()):
        distribution = installed.distributions[key]
        told = tuple(dict.fromkeys(item.source for item in evidence))
        drop = rules.dropping(key)
        if drop and all(item.weak for item in evidence):
            reasons[key] = f"{drop.reason}, and local code can do without it ({told[0]})"
            continue
        name = key
        if replace := rules.replacing(key):
            name = replace.replacement
            reasons[key] = f"replaced by {name}: {replace.reason}"
            told = (*told, f"instead of {key}: {replace.reason}")
        kept[name] = Kept(name, distribution.version, told)
    brought = _brought_along(kept, installed)
    imported = {owner for module in loaded_modules for owner in installed.owners(module)}
    carried = {module.path for module in findings.local}
    for key, distribution in installed.distributions.items():
        if key in kept or key in reasons:
            continue
        if key == _SELF:
            reasons[key] = "packs the model; the model does not use it"
        elif distribution.editable:
            used = any(distribution.project in path.parents for path in carried)
            reasons[key] = "its code travels with the model" if used else "not used by the model"
        elif key in brought:
            reasons[key] = f"comes with {brought[key]}"
        elif key in imported:
            reasons[key] = (
                "was imported, but no kept distribution requires it and neither the pickle nor local code uses it"
            )
        else:
            drop = rules.dropping(key)
            reasons[key] = f"not used by the model ({drop.reason})" if drop else "not used by the model"
    dropped = (Dropped(key, installed.distributions[key].version, reason) for key, reason in sorted(reasons.items()))
    return Needs(
        kept=tuple(kept[name] for name in sorted(kept)),
        dropped=tuple(item for item in dropped if item.name not in kept),
        local=tuple(sorted(findings.local)),
    )


def _brought_along(kept: Iterable[str], installed: Installed) -> dict[str, str]:
    """Give for each distribution that a kept one requires, however far down, the first kept one that does."""
    found: dict[str, str] = {}
    environment = {name: str(value) for name, value in default_environment().items()}
    for name in sorted(kept):
        queue: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
        done: set[tuple[str, frozenset[str]]] = set()
        while queue:
            key, extras = queue.pop()
            if (key, extras) in done or key not in installed.distributions:
                continue
            done.add((key, extras))
            if key != name:
                found.setdefault(key, name)
            for line in installed.distributions[key].requires:
                requirement = _requirement(line)
                if requirement and _applies(requirement, extras, environment):
                    queue.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _applies(requirement: Requirement, extras: frozenset[str], environment: Mapping[str, str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *sorted(extras)))
