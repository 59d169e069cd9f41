"""The user's own rules: options of a command, arguments of ``save_model``, ``[tool.envelope]`` of a pyproject.toml.

They are said in the same three words everywhere::

    [tool.envelope]
    keep = ["pyarrow", { name = "lightgbm", reason = "loaded by its name" }]
    drop = ["ipykernel", { name = "nvidia-nccl-cu12", reason = "the model runs on CPUs" }]

    [tool.envelope.replace]
    opencv-python = "opencv-python-headless"
    xgboost = { with = "xgboost-cpu==3.0.2", reason = "no GPU in production" }

Whoever runs the command wins over the file, and the file over the rules that are shipped.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.rules import Drop, Keep, Replace, Rule, Rules, shipped_rules
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.secrets import scrub
from model_envelope.runtime.errors import Problem, Problems

FILE = "pyproject.toml"
SECTION = "[tool.envelope]"
SETTINGS = ("base-image", "code-limit", "drop", "keep", "modules", "replace")
"""Every key that the section may have."""


@dataclass(frozen=True)
class Asked:
    """What a user asks for, as it was said: names to keep and to drop, and pairs of an old and a new one.

    The new one of a pair may carry a version (`xgboost-cpu==3.0.2`). ``spelled`` is how the three are said there:
    ``--{}`` by options, ``{}=`` by arguments.
    """

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    spelled: str = "--{}"


@dataclass(frozen=True)
class Wish:
    """One thing that a user asks for, about one distribution.

    ``place`` is where it is said, for errors; ``reason`` is what is noted down. ``configured`` says that a project's
    file asks for it.
    """

    action: str
    name: str
    place: str
    reason: str
    configured: bool = False
    instead: str = ""
    specifier: str = ""

    def __str__(self) -> str:
        what = f"{self.name}={self.instead}{self.specifier}" if self.instead else self.name
        return f"{self.place}{what}" if self.place.endswith("=") else f"{self.place} {what}"

    @property
    def rule(self) -> Rule:
        """The rule that grants it."""
        if self.action == "keep":
            return Keep(self.name, "", self.reason, asked=True)
        if self.action == "drop":
            return Drop(frozenset({self.name}), self.reason, asked=True)
        return Replace(self.name, self.instead, self.reason, self.specifier, asked=True)


def read_wishes(asked: Asked, folders: Sequence[Path]) -> tuple[Wish, ...]:
    """Give all wishes: those of the command, and of the project whose folder is the first one found from ``folders``.

    A wish of the command takes the place of those that the file has about the same distributions. Raises
    :class:`InvalidInput` for names and versions that are none (``rules.malformed``), settings that are none
    (``settings.unknown-key``), and wishes that speak against each other (``rules.contradiction``).
    """
    first = tuple(_said(asked))
    decided = {wish.name for wish in first} | {wish.instead for wish in first}
    gone = {wish.name for wish in first if wish.action != "keep"}
    configured = (wish for wish in _configured(folders) if wish.name not in decided and wish.instead not in gone)
    wishes = (*first, *configured)
    _refuse_contradictions(wishes)
    return tuple(dict.fromkeys(wishes))


def with_shipped(wishes: Sequence[Wish], installed: Installed) -> Rules:
    """Give the rules for an environment: what the user asks for, then what is shipped.

    Raises :class:`InvalidInput` (``rules.not-installed``) with everything that is to be kept and is not there, or is
    the checkout of an editable install, which no index has.
    """
    problems = Problems()
    for wish in wishes:
        found = installed.distributions.get(wish.name)
        if wish.action == "keep" and (found is None or found.editable):
            there = "an editable install, whose code travels with the model where it is used" if found else "nothing"
            close = () if found else difflib.get_close_matches(wish.name, installed.distributions, n=1, cutoff=0.75)
            meant = "".join(f" (did you mean `{name}`?)" for name in close)
            expected = f"a distribution of the packing environment{meant}"
            problems.add(str(wish), there, expected, "rules.not-installed")
    if problems:
        raise InvalidInput(
            problems.summary("what is to be kept is not installed"),
            code="rules.not-installed",
            problems=problems.items,
            hint="install it into the environment that the model is packed in (`--python` names it): its version is "
            "the one that is pinned",
        )
    return Rules((*(wish.rule for wish in wishes), *shipped_rules().rules)).here(installed.distributions)


def idle(wishes: Sequence[Wish], installed: Installed) -> tuple[str, ...]:
    """Say which wishes of the command are about what is not installed: a slip of the pen, most often.

    Those of a file are not among them: a project has more than one model.
    """
    found = []
    for wish in wishes:
        if not wish.configured and wish.name not in installed.distributions:
            close = difflib.get_close_matches(wish.name, installed.distributions, n=1, cutoff=0.75)
            meant = "".join(f"; did you mean `{name}`?" for name in close)
            found.append(f"`{wish}`: no {wish.name} is installed{meant}")
    return tuple(found)


def _said(asked: Asked) -> Iterator[Wish]:
    """Read what a command was asked for."""
    problems = Problems()
    entries: list[tuple[str, str, str | None]] = [("keep", name, None) for name in asked.keep]
    entries += [("drop", name, None) for name in asked.drop]
    entries += [("replace", old, new) for old, new in asked.replace]
    for action, name, new in entries:
        place = asked.spelled.format(action)
        yield from _wish(Wish(action, name, place, f"asked for: {place.rstrip('=')}"), new, problems)
    _refuse_malformed(problems)


def _configured(folders: Sequence[Path]) -> Iterator[Wish]:
    """Read what the nearest project asks for."""
    path, table = project_settings(folders)
    if path is None:
        return
    problems = Problems()
    for key in table.keys() - set(SETTINGS):
        close = "".join(f" (did you mean `{name}`?)" for name in difflib.get_close_matches(key, SETTINGS, n=1))
        known = f"one of {', '.join(SETTINGS)}{close}"
        problems.add(f"{SECTION} {key}", "an unknown key", known, "settings.unknown-key")
    if problems:
        raise InvalidInput(
            problems.summary(f"{path} has settings that are none"),
            code="settings.unknown-key",
            problems=sorted(problems.items, key=str),
            hint="correct them, or take them out",
        )
    for action in ("keep", "drop", "replace"):
        if action in table:
            yield from _entries(action, table[action], path, problems)
    _refuse_malformed(problems)


def _entries(action: str, value: Any, path: Path, problems: Problems) -> Iterator[Wish]:
    """Read one key of the section."""
    pairs: Iterable[tuple[str, Any]]
    if action == "replace":
        known, container, shape = "with", "table", 'OLD = "NEW" or OLD = { with = "NEW", reason = "..." }'
        pairs = value.items() if isinstance(value, dict) else ()
    else:
        known, container, shape = "name", "list", '"NAME" or { name = "NAME", reason = "..." }'
        pairs = [("", entry) for entry in value] if isinstance(value, list) else ()
    place = f"{path}: {action}"
    if not isinstance(value, dict if action == "replace" else list):
        problems.add(place, _shown(repr(value)), f"a {container} of {shape}", "rules.malformed")
    for old, entry in pairs:
        table = {known: entry} if isinstance(entry, str) else entry
        if (
            not isinstance(table, dict)
            or not {known} <= table.keys() <= {known, "reason"}
            or not all(isinstance(item, str) for item in table.values())
        ):
            problems.add(f"{place} {old}".rstrip(), _shown(repr(entry)), shape, "rules.malformed")
            continue
        # It goes into the provenance, and people paste addresses.
        reason = scrub(" ".join(table.get("reason", "").split()))
        told = f"asked for: {action} in {FILE}" + (f" ({reason})" if reason else "")
        name, new = (old, table[known]) if action == "replace" else (table[known], None)
        yield from _wish(Wish(action, name, place, told, configured=True), new, problems)


def _wish(said: Wish, new: str | None, problems: Problems) -> Iterator[Wish]:
    """Give the wish that is meant, or note what is wrong with it."""
    try:
        name = canonicalize_name(said.name.strip(), validate=True)
    except InvalidName:
        expected = "the name of a distribution, without a version"
        problems.add(said.place, f"`{_shown(said.name)}`", expected, "rules.malformed")
        return
    if new is None:
        yield replace(said, name=name)
        return
    wanted = _replacement(new)
    if wanted is None:
        expected = "the name of a distribution, or one with its version (`name==1.2`)"
        problems.add(f"{said.place} {name}", f"`{_shown(new)}`", expected, "rules.malformed")
    elif canonicalize_name(wanted.name) == name:
        problems.add(f"{said.place} {name}", "the same again", "another distribution", "rules.malformed")
    else:
        yield replace(said, name=name, instead=canonicalize_name(wanted.name), specifier=str(wanted.specifier))


def _replacement(text: str) -> Requirement | None:
    try:
        found = Requirement(text)
    except InvalidRequirement:
        return None
    return None if found.url or found.marker or found.extras else found


def _shown(text: str) -> str:
    return scrub(text)[:80]


def _refuse_malformed(problems: Problems) -> None:
    if problems:
        raise InvalidInput(
            problems.summary("what to keep, drop or replace is not said in a way that can be read"),
            code="rules.malformed",
            problems=problems.items,
            hint="names are those that `pip list` shows",
        )


def _refuse_contradictions(wishes: Sequence[Wish]) -> None:
    decided: dict[str, Wish] = {}
    problems: list[Problem] = []
    for wish in wishes:
        other = decided.setdefault(wish.name, wish)
        if (other.action, other.instead, other.specifier) != (wish.action, wish.instead, wish.specifier):
            problems.append(_against(wish, other))
    for wish in wishes:
        after = decided.get(wish.instead)
        if after is not None and after.action != "keep":
            problems.append(_against(wish, after))
    if problems:
        raise InvalidInput(
            "what is asked for speaks against itself",
            code="rules.contradiction",
            problems=problems,
            hint="say one of them",
        )


def _against(wish: Wish, other: Wish) -> Problem:
    return Problem(wish.name, f"`{other}` and `{wish}`", "one of them", "rules.contradiction")


def project_settings(folders: Sequence[Path]) -> tuple[Path | None, Mapping[str, Any]]:
    """Find the nearest pyproject.toml that has the section, upwards from each folder in turn.

    Raises :class:`InvalidInput` (``settings.malformed``) for a file on the way that cannot be read.
    """
    for path in dict.fromkeys(folder / FILE for start in folders for folder in (start, *start.parents)):
        try:
            tool = tomllib.loads(path.read_text("utf-8")).get("tool", {})
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidInput(
                f"{path} cannot be read: {error}", code="settings.malformed", hint="correct it: it may hold rules"
            ) from None
        section = tool.get("envelope") if isinstance(tool, dict) else None
        if section is None:
            continue
        if not isinstance(section, dict):
            raise InvalidInput(
                f"{SECTION} of {path} is no table", code="settings.malformed", hint="write its keys under the heading"
            )
        return path, section
    return None, {}
