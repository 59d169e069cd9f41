"""The evidence for what a model needs: what the pickle and the signature name, and what local code imports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.local_code import Followed, LocalCode, LocalFile, LocalModule
from model_envelope.foundation.errors import InvalidInput
from model_envelope.runtime.errors import Problems

_MAIN = ("__main__", "__mp_main__")


@dataclass(frozen=True)
class Evidence:
    """A module that is needed, and where that is seen, for people: ``pickle: sklearn.pipeline.Pipeline``.

    ``lazy`` says that it is imported inside a function, ``guarded`` that it may be that the code goes on without it: it
    is imported under a ``try``, or a shipped rule asks for it. ``certain`` says that nothing can do without it: the
    pickle itself names it, or the signature's values are made by it.
    """

    module: str
    source: str
    lazy: bool = False
    guarded: bool = False
    certain: bool = False

    @property
    def weak(self) -> bool:
        """Whether the code may do without it."""
        return self.lazy or self.guarded


@dataclass
class Findings:
    """What was found so far: evidence by canonical name of the distribution, and the local modules."""

    by_distribution: dict[str, list[Evidence]] = field(default_factory=dict)
    local: set[LocalModule] = field(default_factory=set)
    unused: dict[str, str] = field(default_factory=dict)
    """What only code asks for that nothing asks for, and where."""

    def add(self, owners: Iterable[str], evidence: Evidence) -> None:
        """Note evidence for each of the distributions that own a module."""
        for owner in owners:
            self.by_distribution.setdefault(owner, []).append(evidence)


def first_hand(
    named: Sequence[tuple[str, str]],
    flavors: Sequence[str],
    installed: Installed,
    code: LocalCode,
    findings: Findings,
    main: Path | None,
) -> tuple[list[LocalFile], list[LocalFile]]:
    """Note what the pickle and the signature name.

    Gives the local files of which they name something, and those that they name as a whole.
    """
    start: list[LocalFile] = []
    whole: list[LocalFile] = []
    problems = Problems()
    if main:
        script = LocalModule(main.stem, main.absolute())
        findings.local.add(script)
        start.append(LocalFile(main.stem, script.path, script))
    asked = [(module, f"pickle: {module}.{name}" if name else f"pickle: {module}") for module, name in named]
    asked += [(flavor, f"signature: {flavor}") for flavor in flavors]
    entire = {module for module, name in named if not name}
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
                (whole if module in entire else start).extend(code.find(module) or ())
            else:
                found = f"code that lies in no file of its own (`{local.path}`)"
                problems.add(source, found, "a module in a folder", "needs.unknown-module")
        elif owners := installed.owners(module):
            findings.add(owners, Evidence(module, source, certain=True))
        else:
            found = f"no module `{module}` here"
            problems.add(source, found, "one of an installed distribution or local code", "needs.unknown-module")
    if problems:
        raise InvalidInput(
            problems.summary("the model needs modules that are not here"),
            code="needs.unknown-module",
            problems=problems.items,
            hint="install the missing packages into the packing environment, or put the missing files beside the "
            "pickle or into the current folder, or name them with `--module PATH`",
        )
    return start, whole


def imported_by_value(
    module: str, installed: Installed, code: LocalCode, findings: Findings, *, guarded: bool
) -> tuple[LocalFile, ...]:
    """Note a module that code in the pickle imports; give its files where it is local code."""
    if code.is_standard(module):
        return ()
    if (local := code.top_level(module)) is not None:
        if local.path.exists():
            findings.local.add(local)
        return code.find(module) or ()
    source = f"pickle: code in it imports {module}"
    findings.add(installed.owners(module), Evidence(module, source, guarded=guarded))
    return ()


def note_imports(imports: Iterable[Followed], installed: Installed, code: LocalCode, findings: Findings) -> None:
    """Note what local code imports, and what only code imports that nothing asks for."""
    told: set[tuple[Path, str, bool, bool]] = set()
    for item in imports:
        found, module, shown = item.found, item.module, item.file.shown
        if code.is_standard(module):
            continue
        if (local := code.top_level(module)) is not None:
            if local.path.exists():
                findings.local.add(local)
            continue
        for owner in installed.owners(module):
            # One line for each file and distribution is enough, but a stronger import must not hide behind a weak one.
            line = (item.file.path, owner, found.lazy, found.guarded)
            if item.unused:
                source = f"{shown} imports {module} in `{item.unused}`"
                findings.unused.setdefault(owner, f"not used by the model ({source}, which nothing asks for)")
            elif line not in told:
                told.add(line)
                evidence = Evidence(module, f"{shown} imports {module}", lazy=found.lazy, guarded=found.guarded)
                findings.add((owner,), evidence)
