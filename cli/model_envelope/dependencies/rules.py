"""The filter: ordered rules that keep, drop or replace distributions, each with a reason.

Those of ``rules.toml`` are shipped; what the user asks for (:mod:`.own_rules`) stands before them, so it wins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from model_envelope.foundation.errors import InvalidInput


@dataclass(frozen=True)
class Keep:
    """Keep a distribution: always where ``when`` is empty, else when the pickle names that module or a part of it."""

    distribution: str
    when: str
    reason: str
    asked: bool = False

    def fits(self, modules: Iterable[str]) -> bool:
        """Whether one of the modules is the one that this rule waits for."""
        return not self.when or any(module == self.when or module.startswith(f"{self.when}.") for module in modules)

    @property
    def told(self) -> str:
        """The reason, as evidence for the distribution."""
        return self.reason if self.asked else f"rule: {self.reason}"


@dataclass(frozen=True)
class Drop:
    """Drop distributions that local code can do without, or, where it was ``asked`` for, whatever code says."""

    distributions: frozenset[str]
    reason: str
    asked: bool = False


@dataclass(frozen=True)
class Replace:
    """Put a distribution in the place of another.

    ``specifier`` says which versions of it, as the user gave them. ``where`` is a marker (PEP 508) that has to hold on
    this machine; ``unless`` names distributions that speak against it where one of them is installed.
    """

    distribution: str
    replacement: str
    reason: str
    specifier: str = ""
    where: str = ""
    unless: frozenset[str] = frozenset()
    asked: bool = False

    def version(self, replaced: str, installed: str | None) -> str:
        """Give the version to pin, or nothing where it is left to the lock.

        ``replaced`` is the version of what is replaced, ``installed`` that of the replacement where it is installed.
        What the user says counts first, then what is installed. Else it is the version of what is replaced, where the
        two are variants of one thing: by a shipped rule, or by name (`psycopg2` and `psycopg2-binary`).
        """
        if self.specifier:
            first, *others = SpecifierSet(self.specifier)
            exact = not others and first.operator == "==" and not first.version.endswith(".*")
            return first.version if exact else ""
        if installed:
            return installed
        shorter, longer = sorted((self.distribution, self.replacement), key=len)
        if self.asked and not longer.startswith(f"{shorter}-"):
            return ""
        try:
            # A local label (`+cu121`) names one build of the one that is replaced.
            return Version(replaced).public
        except InvalidVersion:
            return ""


Rule = Keep | Drop | Replace


@dataclass(frozen=True)
class Rules:
    """Rules in their order; the first that fits decides."""

    rules: tuple[Rule, ...] = ()

    def here(self, installed: Collection[str]) -> Rules:
        """Give the rules that hold on this machine, in an environment of these distributions."""
        return Rules(tuple(rule for rule in self.rules if not isinstance(rule, Replace) or _holds(rule, installed)))

    @property
    def unwanted(self) -> frozenset[str]:
        """The distributions that the user asks to drop, whoever requires them."""
        return frozenset(
            name for rule in self.rules if isinstance(rule, Drop) and rule.asked for name in rule.distributions
        )

    def dropping(self, distribution: str) -> Drop | None:
        """Give the rule that drops a distribution, where no earlier one keeps it."""
        found = self._first(distribution)
        return found if isinstance(found, Drop) else None

    def replacing(self, distribution: str) -> Replace | None:
        """Give the rule that replaces a distribution, where no earlier one decides otherwise or drops the new one."""
        found = self._first(distribution)
        return found if isinstance(found, Replace) and found.replacement not in self.unwanted else None

    def keeping(self, modules: Iterable[str]) -> tuple[Keep, ...]:
        """Give the rules that keep something, always or because of the modules that the pickle names."""
        named = tuple(modules)
        return tuple(rule for rule in self.rules if isinstance(rule, Keep) and rule.fits(named))

    def _first(self, distribution: str) -> Rule | None:
        for rule in self.rules:
            if isinstance(rule, Drop) and distribution in rule.distributions:
                return rule
            if isinstance(rule, Replace) and distribution == rule.distribution:
                return rule
            if isinstance(rule, Keep) and not rule.when and distribution == rule.distribution:
                return rule
        return None


@cache
def shipped_rules() -> Rules:
    """Give the rules that come with this tool."""
    path = Path(__file__).with_name("rules.toml")
    return read_rules(path.read_bytes(), where=path.name)


def read_rules(content: bytes, *, where: str) -> Rules:
    """Read rules from TOML. Raises :class:`InvalidInput` (``rules.malformed``) naming the rule that makes no sense."""
    try:
        document = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(
            f"`{where}` is no TOML: {error}", code="rules.malformed", hint="correct the line that is named"
        ) from None
    entries = document.get("rule", [])
    return Rules(tuple(_rule(entry, f"{where}: rule {number}") for number, entry in enumerate(entries, start=1)))


def _holds(rule: Replace, installed: Collection[str]) -> bool:
    return not rule.unless & set(installed) and (not rule.where or Marker(rule.where).evaluate())


def _rule(entry: Mapping[str, Any], where: str) -> Rule:
    try:
        reason = str(entry["reason"])
        match entry["action"]:
            case "keep":
                return Keep(canonicalize_name(entry["distribution"]), str(entry["when"]), reason)
            case "drop":
                return Drop(_names(entry["distributions"]), reason)
            case "replace":
                return Replace(
                    canonicalize_name(entry["distribution"]),
                    canonicalize_name(entry["with"]),
                    reason,
                    where=str(Marker(entry["where"])) if "where" in entry else "",
                    unless=_names(entry.get("unless", ())),
                )
            case action:
                raise InvalidInput(
                    f"{where}: the action is `{action}`",
                    code="rules.malformed",
                    hint="expected `keep`, `drop` or `replace`",
                )
    except (KeyError, TypeError, AttributeError, InvalidMarker) as error:
        raise InvalidInput(
            f"{where}: {error} is missing or of the wrong kind",
            code="rules.malformed",
            hint="each rule has an `action`, a `reason`, and what the action is for",
        ) from None


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(canonicalize_name(name) for name in names)
