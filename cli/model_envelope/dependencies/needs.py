"""What a model needs, why, and what it does not need.

A distribution is a direct need when the pickle names something of it, when local code imports it, or when the values of
the signature are made by it. What only another distribution imports comes with the lock, and what merely is installed
is left out; each with a reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from model_envelope.dependencies.asked_modules import AskedModule, look_up
from model_envelope.dependencies.findings import Evidence, Findings, first_hand, imported_by_value, note_imports
from model_envelope.dependencies.graph import brought_along
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.local_code import LocalCode, LocalModule, follow
from model_envelope.dependencies.rules import Replace, Rules, shipped_rules
from model_envelope.dependencies.seen import Seen, Use, in_use
from model_envelope.foundation.errors import InvalidInput
from model_envelope.runtime.errors import Problems

__all__ = ["Doubt", "Dropped", "Kept", "LocalModule", "Needs", "Seen", "Tried", "find_needs"]

_SELF = "model-envelope"


@dataclass(frozen=True)
class Kept:
    """A distribution that is a direct need, and all the reasons for it.

    ``version`` is empty where the lock is to find one, within ``specifier``.
    """

    name: str
    version: str
    reasons: tuple[str, ...]
    specifier: str = ""


@dataclass(frozen=True)
class Dropped:
    """A distribution of the packing environment that is no direct need, and why not."""

    name: str
    version: str
    reason: str


@dataclass(frozen=True)
class Doubt:
    """A distribution that was in use when the model answered, although nothing says that it has to be there.

    ``source`` says how it was in use. ``kept`` tells one that local code asks for, under a ``try``, from one that some
    library imports. ``likely`` are those that are needed more often than not, ``fallback`` those that were not in use:
    they may stand in for something else.
    """

    name: str
    source: str
    kept: bool
    likely: bool = False
    fallback: bool = False


@dataclass(frozen=True)
class Tried:
    """What became of doubts by trying: with the reason for each, what the model needs, and what it can do without."""

    needed: Mapping[str, str] = field(default_factory=dict)
    spare: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """Direct needs, everything else that is installed, and local code; each sorted by name.

    ``replaced`` says what stands in the place of what. ``left_out`` gives reasons for what must not be locked, whoever
    requires it: what was replaced, what the user asks to drop, and what only these require. ``stand_ins`` names, for a
    kept one that is not installed, the one whose requirements are taken for its own. ``doubts`` are what only trying
    can tell.
    """

    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    local: tuple[LocalModule, ...]
    replaced: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()

    @property
    def requirements(self) -> bytes:
        """The direct needs as a requirements file: a line each, nothing else, as it is part of what is sealed."""
        lines = (f"{kept.name}=={kept.version}" if kept.version else kept.name + kept.specifier for kept in self.kept)
        return "".join(f"{line}\n" for line in lines).encode()

    def locked(self, versions: Mapping[str, str], gone: Iterable[Dropped] = ()) -> Needs:
        """Give the needs with the versions that a lock found for those that had none, and what it had to leave out."""
        kept = (replace(item, version=item.version or versions.get(item.name, "")) for item in self.kept)
        dropped = {item.name: item for item in (*gone, *self.dropped)}
        return replace(self, kept=tuple(kept), dropped=tuple(dropped[name] for name in sorted(dropped)))


def find_needs(
    *,
    scan_globals: Iterable[tuple[str, str]],
    seen: Seen,
    flavors: Iterable[str],
    installed: Installed,
    stdlib: frozenset[str],
    local_roots: Sequence[Path],
    rules: Rules | None = None,
    main: Path | None = None,
    by_value: Iterable[tuple[str, str, bool]] = (),
    modules: Iterable[AskedModule] = (),
    tried: Tried | None = None,
) -> Needs:
    """Find what a model needs.

    ``scan_globals`` are (module, name) as the opcodes name them, with an empty name for a whole module. ``seen`` is
    what loading and answering used. ``flavors`` are the modules that the signature's values are made by. ``main`` is
    the script that stands for ``__main__``: local code whose imports count. ``by_value`` is what code imports that
    belongs to no module: the module, where the code is from, and whether it can do without; code from a distribution
    does not count. ``modules`` are those that the user names. ``tried`` is what was found by trying what was in
    doubt.

    Raises :class:`InvalidInput` (``needs.unknown-module``, with all of them) where something that the pickle or the
    signature names belongs to no distribution, is not Python's own, and is in none of the local folders; and
    (``rules.needed``) where the user asks to drop what the model cannot be loaded without; (``module.unknown``) where a
    module that the user names is not here.
    """
    filters = shipped_rules().here(installed.distributions) if rules is None else rules
    real = {module: installed.real_name(module, file) for module, file in seen.modules.items()}
    scan_globals = [(real.get(module, module), name) for module, name in scan_globals]
    seen = seen.renamed(real)
    roots = [*([main.absolute().parent] if main else []), *local_roots]
    code = LocalCode(loaded=seen.modules, installed=installed, stdlib=stdlib, roots=roots)
    named = sorted(set(scan_globals))
    findings = Findings()
    start, whole = first_hand(named, sorted(set(flavors)), installed, code, findings, main)
    for module, home, guarded in by_value:
        if not installed.owners(home):
            whole += imported_by_value(module, installed, code, findings, guarded=guarded)
    for module in code.loaded():
        whole += code.find(module) or ()
        findings.local |= {found for found in (code.top_level(module),) if found}
    asked = look_up(modules, code, installed)
    findings.local |= asked.local
    for owners, module, told in asked.installed:
        findings.add(owners, Evidence(module, told, certain=True))
    names = {part for _, name in named for part in name.split(".")}
    note_imports(follow(code, start, named=names, whole=[*whole, *asked.files]), installed, code, findings)
    for rule in filters.keeping(module for module, _ in named):
        if rule.distribution in installed.distributions:
            findings.add((rule.distribution,), Evidence(rule.when, rule.told, guarded=not rule.asked))
    tried = tried or Tried()
    for name, source in tried.needed.items():
        findings.add((name,), Evidence(name, source, certain=True))
    return _decide(findings, seen, installed, filters, tried)


def _decide(findings: Findings, seen: Seen, installed: Installed, rules: Rules, tried: Tried) -> Needs:
    _refuse_to_drop(findings, installed, rules)
    kept, reasons, replaced = _choose(findings, installed, rules, tried)
    left_out = {name: drop.reason for name in rules.unwanted if (drop := rules.dropping(name))}
    for old, new in replaced.items():
        if (rule := rules.replacing(old)) and old not in kept:
            left_out[old] = f"replaced by {new}: {rule.reason}"
    stand_ins = {new: old for old, new in replaced.items() if new not in installed.distributions}
    requiring = brought_along(kept, installed, as_of=stand_ins)
    brought = brought_along(kept, installed, without=left_out, as_of=stand_ins)
    orphans = requiring.keys() - brought.keys() - left_out.keys() - kept.keys()
    left_out |= dict.fromkeys(orphans, "only what is left out requires it")
    # A rule may say that code can do without something: whether it can is seen where it was in use.
    ruled = {key for key in reasons if (drop := rules.dropping(key)) and not drop.asked and key not in tried.spare}
    used = in_use(seen, installed, {*kept, *brought, *left_out, *(reasons.keys() - ruled), _SELF})
    carried = {module.path for module in findings.local}
    for key, distribution in installed.distributions.items():
        if key in kept or key in reasons:
            continue
        drop = rules.dropping(key)
        if drop and drop.asked:
            reasons[key] = drop.reason + (f", though {requiring[key]} requires it" if key in requiring else "")
        elif key in left_out:
            reasons[key] = left_out[key]
        elif key == _SELF:
            reasons[key] = "packs the model; the model does not use it"
        elif distribution.editable:
            carries = any(distribution.project in path.parents for path in carried)
            reasons[key] = "its code travels with the model" if carries else "not used by the model"
        elif key in brought:
            reasons[key] = f"comes with {brought[key]}"
        elif key in tried.spare:
            reasons[key] = tried.spare[key]
        elif key in used:
            reasons[key] = f"in use because it is installed ({used[key].source}), and nothing that is kept requires it"
        elif key in findings.unused:
            reasons[key] = findings.unused[key]
        else:
            reasons[key] = f"not used by the model ({drop.reason})" if drop else "not used by the model"
    dropped = (Dropped(key, installed.distributions[key].version, reason) for key, reason in sorted(reasons.items()))
    return Needs(
        kept=tuple(kept[name] for name in sorted(kept)),
        dropped=tuple(item for item in dropped if item.name not in kept),
        local=tuple(sorted(findings.local)),
        replaced=replaced,
        left_out={name: left_out[name] for name in sorted(left_out)},
        stand_ins=stand_ins,
        doubts=_with_preloaded(
            tuple(_doubts(findings, kept, brought, used, seen, installed, tried)),
            seen,
            installed,
            {*kept, *brought, *left_out, *tried.needed, *tried.spare, _SELF},
        ),
    )


def _doubts(
    findings: Findings,
    kept: Mapping[str, Kept],
    brought: Mapping[str, str],
    used: Mapping[str, Use],
    seen: Seen,
    installed: Installed,
    tried: Tried,
) -> Iterator[Doubt]:
    """Give what only trying can tell: what is in use unexplained, and what local code asks for under a ``try``."""
    settled = tried.needed.keys() | tried.spare.keys()
    for name in sorted(used.keys() - settled):
        if not installed.distributions[name].editable:
            yield Doubt(name, used[name].source, kept=False, likely=used[name].likely)
    for name in sorted(kept.keys() - brought.keys() - settled):
        evidence = findings.by_distribution.get(name, [])
        there = any(item.module in seen.modules for item in evidence)
        # What is asked for in a function, and was not in use, may be of use another time.
        if evidence and all(item.guarded and (there or not item.lazy) for item in evidence):
            late = any(item.module in seen.late for item in evidence)
            yield Doubt(name, evidence[0].source, kept=True, likely=late, fallback=not there)


def _with_preloaded(
    doubts: tuple[Doubt, ...], seen: Seen, installed: Installed, explained: Collection[str]
) -> tuple[Doubt, ...]:
    """Where something is tried, try what nobody could see as well; alone it is not worth a trial."""
    owners = {owner for module in seen.preloaded for owner in installed.owners(module)}
    unseen = owners - {doubt.name for doubt in doubts} - set(explained)
    more = (Doubt(name, "this tool loads it as well", kept=False, fallback=True) for name in sorted(unseen))
    return (*doubts, *(doubt for doubt in more if not installed.distributions[doubt.name].editable)) if doubts else ()


def _choose(
    findings: Findings, installed: Installed, rules: Rules, tried: Tried
) -> tuple[dict[str, Kept], dict[str, str], dict[str, str]]:
    """Give the direct needs, reasons for what is none in spite of evidence, and what is replaced by what."""
    kept: dict[str, Kept] = {}
    reasons: dict[str, str] = {}
    replaced: dict[str, str] = {}
    replacements: list[Kept] = []
    for key, evidence in sorted(findings.by_distribution.items()):
        told = tuple(dict.fromkeys(item.source for item in evidence))
        drop = rules.dropping(key)
        if drop and drop.asked:
            reasons[key] = f"{drop.reason}, though {told[0]}"
        elif key in tried.spare:
            reasons[key] = tried.spare[key]
        elif drop and all(item.weak for item in evidence):
            reasons[key] = f"{drop.reason}, and local code can do without it ({told[0]})"
        elif rule := rules.replacing(key):
            replaced[key] = rule.replacement
            replacements.append(_replacement(rule, installed, (*told, f"instead of {key}: {rule.reason}")))
        else:
            kept[key] = Kept(key, installed.distributions[key].version, told)
    for key, root in sorted(brought_along(kept, installed, without=rules.unwanted).items()):
        rule = rules.replacing(key)
        if rule and rule.asked and key not in kept:
            replaced[key] = rule.replacement
            told = (f"instead of {key}, which comes with {root}: {rule.reason}",)
            replacements.append(_replacement(rule, installed, told))
    for item in replacements:
        # What takes a place may be needed for itself too: all reasons count, and the version of the replacement.
        before = kept[item.name].reasons if item.name in kept else ()
        kept[item.name] = replace(item, reasons=tuple(dict.fromkeys((*before, *item.reasons))))
    return kept, reasons, replaced


def _replacement(rule: Replace, installed: Installed, told: tuple[str, ...]) -> Kept:
    there = installed.distributions.get(rule.replacement)
    version = rule.version(installed.distributions[rule.distribution].version, there.version if there else None)
    return Kept(rule.replacement, version, told, "" if version else rule.specifier)


def _refuse_to_drop(findings: Findings, installed: Installed, rules: Rules) -> None:
    """Refuse to drop on demand what the model could not be loaded without: only a replacement has its modules."""
    problems = Problems()
    for key in sorted(rules.unwanted & findings.by_distribution.keys()):
        # Of two distributions with one module (a library, and its variant) either may go.
        certain = [
            item.source
            for item in findings.by_distribution[key]
            if item.certain and rules.unwanted >= set(installed.owners(item.module))
        ]
        if certain and (drop := rules.dropping(key)):
            more = f" and {len(certain) - 1} more" if len(certain) > 1 else ""
            problems.add(key, f"`{drop.reason}`", f"to be kept, or replaced ({certain[0]}{more})", "rules.needed")
    if problems:
        names = " and ".join(f"`{problem.path}`" for problem in problems.items)
        raise InvalidInput(
            f"the model cannot be loaded without {names}, and that is to be dropped",
            code="rules.needed",
            problems=problems.items,
            hint="where another distribution has the same modules, name it: `--replace OLD=NEW`",
        )
