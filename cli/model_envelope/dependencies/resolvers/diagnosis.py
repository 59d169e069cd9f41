"""Why nothing could be locked: the same words and codes whichever resolver failed.

What a resolver says tells most troubles on the way (a network, a proxy, a hash). Why no version fits it tells in words
of its own, and pip calls an index that does not answer a version that is not there; so the index is asked what it has
of the packages that the resolver names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from model_envelope.dependencies.file_names import distribution_of
from model_envelope.dependencies.pages import File, Page, addresses, fetch, trouble_on_pages
from model_envelope.dependencies.requirements import exact_versions
from model_envelope.dependencies.resolvers.base import LockRequest
from model_envelope.dependencies.wheels import platforms_in, unfit_tags
from model_envelope.foundation.accelerators import builds_of
from model_envelope.foundation.errors import ToolFailed, Unsolvable
from model_envelope.foundation.interpreter import describe
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.process import Finished
from model_envelope.foundation.troubles import Trouble, trouble_in
from model_envelope.runtime.errors import EnvelopeError, Problem

_MOST_ASKED = 12
"""Packages that an index is asked about at most."""
LATER = "`--no-lock` packs without a lock, and `envelope lock` makes it later"


_UNSOLVABLE = (
    r"no solution found|not found in the (?:package registry|cache|provided package locations)|are unsatisfiable"
    r"|conflicting|no versions? of|could not find a version that|no matching distribution|resolutionimpossible"
    r"|cannot install|no wheels?\b"
)
_ASKS = re.compile(
    r"(?P<who>[A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?(?:(?:==| )v?(?P<version>\d[\w.!+]*)|[<>=!~][^\s,]*)? depends? on "
    r"(?P<what>[A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?\s?(?:[<>=!~]=?=?\s?[\w.!+*]+(?:,\s?[<>=!~]=?=?\s?[\w.!+*]+)*)?)"
)
_OBJECTS = re.compile(
    r"SpecifierRequirement\('(?P<what>[^']+)'\), parent=(?:ExtrasCandidate\(base=)?LinkCandidate\('(?P<url>[^'\s#]+)"
)


def explain(request: LockRequest, finished: Finished, resolver: str) -> EnvelopeError:
    """Make the error for a resolver that failed, after asking the index where its words leave open why."""
    said = " ".join((finished.stderr + finished.stdout).split())
    detail = request.index.redact(_without_tracebacks(finished.stderr.strip() or finished.stdout.strip()))
    if finished.timed_out:
        return ToolFailed(
            f"`{resolver}` did not find a lock in time and was ended",
            code="lock.timeout",
            detail=detail,
            hint="a slow index is the usual cause; try again, the packages seen so far are cached",
        )
    unsolvable = re.search(_UNSOLVABLE, said, re.IGNORECASE) is not None
    # Of "no version" pip speaks too where an index did not answer, and says nothing else then.
    if trouble := trouble_in(said):
        return _troubled(trouble, detail)
    if not unsolvable:
        return ToolFailed(
            f"locking: `{resolver}` ended with {finished.returncode}", code="lock.failed", detail=detail, hint=LATER
        )
    return _Case(request, said, detail).explain()


def _troubled(trouble: Trouble, detail: str) -> ToolFailed:
    hint = f"{trouble.hint}; {LATER}" if trouble.passes else trouble.hint
    return ToolFailed(f"{trouble.text}, so nothing was locked", code=f"lock.{trouble.kind}", detail=detail, hint=hint)


class _Case:
    """A request that cannot be solved: what was said of it, and what the indexes have."""

    def __init__(self, request: LockRequest, said: str, detail: str) -> None:
        self.request, self.said, self.detail = request, said, detail
        self.needs = _specifiers(request.requirement_lines())
        words = re.findall(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?=$|[^A-Za-z0-9_-])", said)
        self.named = {canonicalize_name(re.split(r"==|\[", word)[0]) for word in words}
        known = {**request.constraints, **self.needs, **request.origins}
        found = [name for name in known if name in self.named and name not in request.wheels]
        self.names = sorted(found, key=lambda name: (name not in self.needs, name)) or sorted(self.needs)
        interpreter = describe(request.python)
        self.platform = request.platform or Platform.of(interpreter.platform)
        self.python = request.python_version or interpreter.series
        self.asks = _asks(said)

    def explain(self) -> EnvelopeError:
        """Ask the indexes about what was named, and say the first reason that this gives."""
        asked = self.names[:_MOST_ASKED]
        pages = {name: list(fetch(self.request.index, addresses(self.request.index, name))) for name in asked}
        if met := trouble_on_pages(page for found in pages.values() for page in found):
            trouble, bad = met
            where = self.request.index.redact(f"{bad.url}: {bad.said}")
            return _troubled(trouble, f"{where}\n\n{self.detail}")
        files = {name: self._files(name, found) for name, found in pages.items()}
        return self._elsewhere(files) or self._missing(files) or self._conflict()

    def _files(self, name: str, pages: Iterable[Page]) -> list[File]:
        folders = (path for folder in self.request.index.local_folders() for path in sorted(folder.iterdir()))
        listed = [*(file for page in pages for file in page.files), *(File(path.name) for path in folders)]
        return [file for file in listed if (distribution_of(file.name) or ("",))[0] == name]

    def _elsewhere(self, files: Mapping[str, Sequence[File]]) -> Unsolvable | None:
        """Say what was installed from no index, where none has it either."""
        origins = {name: self.request.origins[name] for name in files if name in self.request.origins}
        gone = {name: origin for name, origin in origins.items() if not self._of_version(name, files[name])}
        if not gone:
            return None
        shown = ", ".join(f"`{name}` (from {self.request.index.redact(origin)})" for name, origin in gone.items())
        return Unsolvable(
            f"the environment has packages that were not installed from an index, and no index has them: {shown}",
            code="lock.unsolvable",
            detail=self.detail,
            hint="build a wheel of it (`pip wheel --no-deps ...`) and put that on an index or in a folder that pip's "
            "`find-links` names",
        )

    def _missing(self, files: Mapping[str, Sequence[File]]) -> Unsolvable | None:
        """Say what no index has, has no more, or has for others alone."""
        found: dict[str, list[Problem]] = {}
        for name in files:
            if problem := self._problem(name, files[name]):
                found.setdefault(problem.code, []).append(problem)
        for code, (text, hint) in _REASONS.items():
            if code in found:
                shown = ", ".join(f"`{problem.path}`" for problem in found[code])
                message = text.format(names=shown, platform=self.platform, python=self.python)
                problems = [
                    *found[code],
                    *self._who_asks({canonicalize_name(p.path.partition("=")[0]) for p in found[code]}),
                ]
                return Unsolvable(
                    message, code=code, problems=problems, detail=self.detail, hint=hint + self._published(files)
                )
        return None

    def _published(self, names: Iterable[str]) -> str:
        """Say where else was looked for builds that are published on an index of their own."""
        versions = {**self.request.constraints, **exact_versions(self.request.requirements)}
        known = {builds for name in names if (builds := builds_of(name)) and builds.label(versions.get(name, ""))}
        return "".join(
            f"; builds with such a label are on {item.index}, which does not answer or has none of it: "
            f"{item.variable} names a mirror"
            for item in known
        )

    def _problem(self, name: str, files: Sequence[File]) -> Problem | None:
        shown = self._shown(name)
        if not files:
            return Problem(shown, "no file of that name on any index", "some", "lock.not-on-index")
        mine = self._of_version(name, files)
        if not mine:
            versions = sorted(
                {Version(item[1]) for file in files if (item := distribution_of(file.name))}, reverse=True
            )
            listed = ", ".join(map(str, versions[:5])) + (
                f" and {len(versions) - 5} others" if len(versions) > 5 else ""
            )
            return Problem(shown, f"{listed} on the index", "this version", "lock.version-gone")
        platform, python = self.platform, self.python
        if not any(_allows(file.requires_python, python) for file in mine):
            return Problem(shown, f"a version for Python {mine[0].requires_python}", f"one for {python}", "lock.python")
        wheels = [file.name for file in mine if file.name.endswith(".whl")]
        buildable = len(wheels) < len(mine) and not self.request.is_foreign
        if buildable or any(not unfit_tags(name, platform, python) for name in wheels):
            return None
        there = (
            ", ".join(sorted({place for name in wheels for place in platforms_in(name)})) or "a source archive alone"
        )
        pythons = [f"3.{minor}" for minor in range(6, 40)]
        for_platform = [each for each in pythons if any(not unfit_tags(name, platform, each) for name in wheels)]
        if for_platform:
            return Problem(
                shown, f"wheels for Python {', '.join(for_platform)}", f"one for {python}", "lock.no-python-wheel"
            )
        return Problem(shown, f"files for {there}", f"a wheel for {platform}", "lock.no-wheel")

    def _conflict(self) -> Unsolvable:
        """Say which versions do not fit each other, and who asks for what."""
        asks = self._who_asks(set(self.names))
        wanted = [name for name in self.request.requirement_names() if name in self.named]
        shown = ", ".join(f"`{self._shown(name)}`" for name in wanted or self.request.requirement_names())
        advice = ", ".join(f"`--upgrade-package {problem.path}`" for problem in asks[:2]) or "`--upgrade-package NAME`"
        return Unsolvable(
            f"no set of versions satisfies the needs together with the versions of this environment: {shown}",
            code="lock.conflict",
            problems=asks,
            detail=self.detail,
            hint="`pip check` in the packing environment shows versions that do not fit each other; mend it there and "
            f"train again, or let `envelope lock` take another version ({advice}), which the proof then judges",
        )

    def _who_asks(self, names: set[str]) -> list[Problem]:
        found: dict[tuple[str, str, str], Problem] = {}
        for who, version, what in self.asks:
            try:
                wish = Requirement(what)
            except InvalidRequirement:
                continue
            name = canonicalize_name(wish.name)
            have = self._version_of(name)
            if name in names and str(wish.specifier) and not (have and wish.specifier.contains(have, prereleases=True)):
                asker = f"{who} {version or self._version_of(canonicalize_name(who))}".rstrip()
                held = f"{have} in this environment" if have else "other wishes"
                found[name, str(wish.specifier), asker] = Problem(
                    name, held, f"{wish.specifier} for {asker}", "lock.conflict"
                )
        return list(found.values())

    def _version_of(self, name: str) -> str:
        return _pinned(self.needs.get(name)) or self.request.constraints.get(name, "")

    def _of_version(self, name: str, files: Sequence[File]) -> list[File]:
        specifier = self.needs.get(name) or SpecifierSet()
        if not str(specifier) and name in self.request.constraints:
            try:
                specifier = SpecifierSet(f"=={self.request.constraints[name]}")
            except InvalidSpecifier:
                return list(files)
        return [
            file
            for file in files
            if (item := distribution_of(file.name)) and specifier.contains(item[1], prereleases=True)
        ]

    def _shown(self, name: str) -> str:
        own = str(self.needs.get(name) or "")
        version = self.request.constraints.get(name)
        return f"{name}{own}" if own else f"{name}=={version}" if version else name


_WHEEL = "in a folder that pip's `find-links` names"
_ANOTHER = (
    "take another version of it, which the proof judges (`envelope lock ENVELOPE --upgrade-package NAME`; what is not "
    "packed yet is packed with `--no-lock` first)"
)
_REASONS = {
    "lock.not-on-index": (
        "no index has {names}",
        (
            "is it private? Name its index (`pip config set global.extra-index-url ...`), or put a wheel of it "
            f"{_WHEEL}; is it not needed? `--drop NAME`"
        ),
    ),
    "lock.version-gone": (
        "{names} is gone from the index, and the environment has it",
        f"{_ANOTHER}, or put a wheel of this one {_WHEEL}",
    ),
    "lock.python": (
        "{names} is not for Python {python}",
        f"lock for a Python that it is for (`--python-version`), or {_ANOTHER}",
    ),
    "lock.no-python-wheel": (
        "{names} has no wheel for Python {python} on {platform}",
        (
            f"lock for a Python that it has wheels for (`--python-version`), {_ANOTHER}, or build one on such a "
            f"machine and put it {_WHEEL}"
        ),
    ),
    "lock.no-wheel": (
        "{names} has no wheel for {platform}",
        (
            f"lock for a platform that it has wheels for (`--platform`), {_ANOTHER}, or build one on such a machine "
            f"and put it {_WHEEL}"
        ),
    ),
}
"""What an index may lack, the gravest first."""


def _asks(said: str) -> list[tuple[str, str, str]]:
    """Read which distribution and version depends on what: uv says it in sentences, pip-tools as objects of pip."""
    spoken = [
        (match["who"], match["version"] or "", match["what"].replace(" ", "").rstrip("."))
        for match in _ASKS.finditer(said)
    ]
    objects = [(distribution_of(unquote(match["url"].rpartition("/")[2])), match) for match in _OBJECTS.finditer(said)]
    return spoken + [(*item, match["what"]) for item, match in objects if item]


def _specifiers(lines: bytes) -> dict[str, SpecifierSet]:
    """Read which versions a file of requirements asks for, by canonical name."""
    found: dict[str, SpecifierSet] = {}
    for line in lines.decode().splitlines():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            name = canonicalize_name(requirement.name)
            found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return found


def _pinned(specifier: SpecifierSet | None) -> str:
    exact = [part.version for part in specifier or () if part.operator == "=="]
    return exact[0] if len(exact) == 1 and "*" not in exact[0] else ""


def _allows(requires_python: str, python: str) -> bool:
    try:
        # Of a minor version some release may do.
        return not requires_python or any(
            SpecifierSet(requires_python).contains(f"{python}.{patch}") for patch in (0, 5, 50)
        )
    except InvalidSpecifier:
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
