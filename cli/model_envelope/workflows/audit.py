"""Says what is known against the packages of an envelope: vulnerabilities, licences, yanked and unhashed packages.

What could not be asked is never told as if nothing were found: each question lists the packages that nobody answered
about, with the reason.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from model_envelope.dependencies.advisories import Advisories, Vulnerability, read_advisories
from model_envelope.dependencies.builds import with_published
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.kept_rooms import installed_in, is_kept, kept_room
from model_envelope.dependencies.pages import Page, addresses, fetch
from model_envelope.dependencies.pip_audit import NAME, ask_pip_audit
from model_envelope.dependencies.rooms import pip_recipe
from model_envelope.foundation.errors import Answered, InvalidInput, ToolFailed, ToolMissing
from model_envelope.foundation.interpreter import find_series
from model_envelope.foundation.lockfile import Lock, unhashed_lines
from model_envelope.foundation.progress import Done, Report, Started, silent
from model_envelope.foundation.troubles import State
from model_envelope.runtime.errors import EnvelopeError, Problem
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.workflows.provenance import read_provenance

NOT_SAID = "its licence is not said where it is installed, or it is installed nowhere here"
OFFLINE = "nobody was asked (--offline)"


class Kind(Enum):
    """What may be found."""

    VULNERABILITY = "vulnerability"
    YANKED = "yanked"
    UNHASHED = "unhashed"
    LICENCE = "licence"


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against a package. ``id`` is an advisory's, or the licence; ``source`` is who says so."""

    kind: Kind
    package: str
    version: str
    id: str
    text: str
    aliases: tuple[str, ...] = ()
    fixed_in: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Asked:
    """One question: about how many packages somebody answered, and for each of the others why nobody did."""

    question: str
    sources: tuple[str, ...]
    answered: int
    not_asked: Mapping[str, str]

    def without(self, names: Collection[str]) -> Asked:
        """Give the same without some packages that need no answer."""
        return replace(self, not_asked={name: why for name, why in self.not_asked.items() if name not in names})


@dataclass(frozen=True)
class Audited:
    """A package of the lock and the licence that it says it has, None where that is not known."""

    name: str
    version: str
    licence: str | None


@dataclass(frozen=True)
class AuditResult:
    """All packages of an envelope, what speaks against them, and what was asked.

    ``ignored`` are findings that the user knows. With ``offline`` what was not asked was not meant to be.
    """

    path: Path
    name: str
    digest: str
    packages: tuple[Audited, ...]
    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...]
    asked: tuple[Asked, ...]
    offline: bool

    def objection(self) -> EnvelopeError | None:
        """Give the error for what was found, else for what could not be asked; None where all is well."""
        if self.findings:
            problems = [
                Problem(
                    f"{item.package} {item.version}".rstrip(), _told(item), "nothing known", f"audit.{item.kind.value}"
                )
                for item in self.findings
            ]
            count = len(problems)
            return Answered(
                f"{count} thing{'s' if count != 1 else ''} speak{'' if count != 1 else 's'} against the packages of "
                f"{self.path.name}",
                code="audit.found",
                problems=problems,
                hint="train or lock with other versions; what was looked into and is no harm: `--ignore ID`",
            )
        missing = [item for item in self.asked if item.not_asked]
        if not missing or self.offline:
            return None
        return ToolFailed(
            "not everything could be asked, so this is no clean bill: " + "; ".join(_unasked(item) for item in missing),
            code="audit.not-asked",
            problems=[
                Problem(f"{item.question}: {name}", why, "an answer", "audit.not-asked")
                for item in missing
                for name, why in list(item.not_asked.items())[:5]
            ],
            hint="a file of advisories answers without a network: `--advisories FILE`; `--ignore PACKAGE` does without "
            "an answer about one, and `--offline` without any",
        )


def audit(
    envelope: Path,
    *,
    advisories: Sequence[Path] = (),
    ignore: Sequence[str] = (),
    deny_licences: Sequence[str] = (),
    offline: bool = False,
    report: Report = silent,
) -> AuditResult:
    """Ask what is known against the packages in the lock of an envelope. Nothing of the envelope is run.

    ``advisories`` are files in the OSV format, asked beside pip-audit. ``ignore`` names advisories, or packages, that
    are no finding, and need no answer. ``deny_licences`` are words that no licence may contain, whatever their case;
    without them licences are listed only. ``offline`` asks neither services nor indexes.

    Raises :class:`InvalidInput` where there is no lock (``audit.not-locked``) or one of conda
    (``audit.conda-lock``), or advisories that cannot be read.
    """
    files = read_envelope(envelope)
    if files.conda_lock.is_file():
        raise InvalidInput(
            f"{files.path} has the lock of a conda environment, and what is known is known of packages of PyPI",
            code="audit.conda-lock",
            hint="`envelope lock ENVELOPE --resolver auto` makes one with a lock of the packages as PyPI has them",
        )
    if not files.lock.is_file():
        raise InvalidInput(
            f"{files.path} has no lock, so nobody knows which packages it will run with",
            code="audit.not-locked",
            hint="`envelope lock ENVELOPE` makes one with a lock",
        )
    content = files.lock.read_bytes()
    bare = unhashed_lines(content)
    lock = Lock.parse(bare.rest, where=str(files.lock))
    versions = lock.versions()
    report(Started("vulnerabilities", f"Asking about {len(versions)} packages"))
    vulnerable, asked_vulnerable = _vulnerabilities(versions, [read_advisories(path) for path in advisories], offline)
    report(Done("vulnerabilities", f"Asked about vulnerabilities: {_counted(asked_vulnerable)}"))
    report(Started("yanked", "Asking the index what was yanked"))
    yanked, asked_yanked = _yanked(lock, offline)
    report(Done("yanked", f"Asked about yanked packages: {_counted(asked_yanked)}"))
    licences = _licences(files, lock)
    denied, asked_licences = _denied(versions, licences, deny_licences)
    findings = (*vulnerable, *yanked, *_unhashed(bare.requirements, lock), *denied)
    known = {word.lower() for word in ignore}
    ignored = tuple(
        item for item in findings if known & {word.lower() for word in (item.package, item.id, *item.aliases)}
    )
    return AuditResult(
        path=files.path,
        name=files.description.name,
        digest=files.digest,
        packages=tuple(Audited(name, version, licences.get(name)) for name, version in sorted(versions.items())),
        findings=tuple(item for item in findings if item not in ignored),
        ignored=ignored,
        asked=tuple(item.without(known) for item in (asked_vulnerable, asked_yanked, asked_licences)),
        offline=offline,
    )


def _vulnerabilities(
    versions: Mapping[str, str], files: Sequence[Advisories], offline: bool
) -> tuple[tuple[Finding, ...], Asked]:
    found = [item for file in files for name, version in versions.items() for item in file.about(name, version)]
    sources = [file.source for file in files]
    not_asked = {} if files else dict.fromkeys(versions, OFFLINE)
    if not offline:
        answer = ask_pip_audit(versions)
        found += answer.found
        not_asked = {} if files else dict(answer.not_asked)
        if len(answer.not_asked) < len(versions) or not versions:
            sources.append(NAME)
    merged = _merged(found)
    findings = tuple(
        Finding(
            Kind.VULNERABILITY,
            item.package,
            item.version,
            item.id,
            item.summary,
            item.aliases,
            item.fixed_in,
            item.source,
        )
        for item in merged
    )
    return findings, Asked("vulnerabilities", tuple(sources), len(versions) - len(not_asked), not_asked)


def _merged(found: Sequence[Vulnerability]) -> Iterator[Vulnerability]:
    """Give each vulnerability once: databases have names of their own for one, and list the others' as aliases."""
    kept: list[Vulnerability] = []
    for item in found:
        names = {item.id, *item.aliases}
        if not any(item.package == other.package and names & {other.id, *other.aliases} for other in kept):
            kept.append(item)
    yield from sorted(kept, key=lambda item: (item.package, item.id))


def _yanked(lock: Lock, offline: bool) -> tuple[tuple[Finding, ...], Asked]:
    pins = [pin for pin in lock.pins if pin.hashes and not pin.source]
    not_asked: dict[str, str] = {}
    if offline:
        return (), Asked("yanked", (), 0, {pin.name: OFFLINE for pin in pins})
    settings = with_published(IndexSettings.from_environment(), lock.versions())
    asked = [(pin, url) for pin in pins for url in addresses(settings, pin.name)]
    pages: dict[str, list[Page]] = {pin.name: [] for pin in pins}
    for (pin, _), page in zip(asked, fetch(settings, [url for _, url in asked]), strict=True):
        pages[pin.name].append(page)
    findings = []
    for pin in pins:
        listed = [file for page in pages[pin.name] for file in page.files if file.hashes & set(pin.hashes)]
        if not listed:
            not_asked[pin.name] = _unlisted(pin.name, pages[pin.name], settings)
        elif yanked := [file.yanked for file in listed if file.yanked is not None]:
            text = next(filter(None, yanked), "no reason is given")
            findings.append(Finding(Kind.YANKED, pin.name, pin.version, "yanked", text, source="index"))
    return tuple(findings), Asked("yanked", ("index",), len(pages) - len(not_asked), not_asked)


def _unlisted(name: str, pages: Sequence[Page], settings: IndexSettings) -> str:
    """Say why nobody told of a package: how each index that did not list it answered."""
    failed = [page for page in pages if page.state not in (State.LISTED, State.MISSING)]
    said = [
        settings.redact(f"{page.url.removesuffix(f'/{name}/')}: {page.said or page.state.value}") for page in failed
    ]
    if not pages:
        return "pip's settings name no index"
    return "; ".join(said) or "no index lists a file with one of its hashes"


def _unhashed(requirements: Sequence[str], lock: Lock) -> Iterator[Finding]:
    text = "whatever is downloaded under that name is installed"
    for requirement in (*requirements, *(pin.requirement for pin in lock.pins if not pin.hashes)):
        name, _, version = requirement.partition("==")
        yield Finding(Kind.UNHASHED, name.strip(), version.strip(), "unhashed", text, source="env/requirements.lock")


def _licences(files: EnvelopeFiles, lock: Lock) -> dict[str, str]:
    """Give the licences as they were noted at packing; else those of the clean room, or of what is installed here."""
    noted = {item["name"]: item for item in read_provenance(files).get("packages", ())}
    versions = lock.versions()
    found = {
        name: str(noted[name]["licence"])
        for name, version in versions.items()
        if name in noted and noted[name]["version"] == version and noted[name].get("licence")
    }
    if len(found) < len(versions):
        for place in (_room(files, lock), Installed.read(sys.path)):
            for name, version in versions.items():
                there = place.distributions.get(name) if place else None
                if name not in found and there and there.version == version and there.licence:
                    found[name] = there.licence
    return found


def _room(files: EnvelopeFiles, lock: Lock) -> Installed | None:
    try:
        python = find_series(files.description.python, files.description.implementation)
    except ToolMissing:
        return None
    recipe = pip_recipe(lock, python=python)
    return installed_in(kept_room(recipe).folder) if is_kept(recipe) else None


def _denied(
    versions: Mapping[str, str], licences: Mapping[str, str], words: Sequence[str]
) -> tuple[tuple[Finding, ...], Asked]:
    findings = tuple(
        Finding(Kind.LICENCE, name, versions[name], licences[name], f"`{word}` is not wanted", source="metadata")
        for name in sorted(licences)
        for word in words
        if word.lower() in licences[name].lower()
    )
    unknown = dict.fromkeys(sorted(versions.keys() - licences.keys()), NOT_SAID) if words else {}
    return findings, Asked("licences", ("metadata",), len(licences), unknown)


def _told(item: Finding) -> str:
    match item.kind:
        case Kind.VULNERABILITY:
            names = ", ".join((item.id, *item.aliases))
            fixed = f"; fixed in {', '.join(item.fixed_in)}" if item.fixed_in else ""
            return f"{names}{f' ({item.text})' if item.text else ''}{fixed}"
        case Kind.YANKED:
            return f"it was yanked from the index ({item.text})"
        case Kind.UNHASHED:
            return f"no hash: {item.text}"
        case Kind.LICENCE:
            return f"the licence `{item.id}`: {item.text}"


def _counted(asked: Asked) -> str:
    missing = f", not about {len(asked.not_asked)}" if asked.not_asked else ""
    return f"answers about {asked.answered} packages{missing}"


def _unasked(asked: Asked) -> str:
    count = len(asked.not_asked)
    return f"{asked.question} of {count} package{'s' if count != 1 else ''}"
