"""The filter: ordered rules that keep, drop or replace distributions, each with a reason. Shipped as ``rules.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from model_envelope.foundation.errors import InvalidInput


@dataclass(frozen=True)
class Keep:
    """Keep a distribution when a module is named by the pickle (itself or a part of it)."""

    distribution: str
    when: str
    reason: str

    def fits(self, modules: Iterable[str]) -> bool:
        """Whether one of the modules is the one that this rule waits for."""
        return any(module == self.when or module.startswith(f"{self.when}.") for module in modules)


@dataclass(frozen=True)
class Drop:
    """Drop distributions that local code can do without."""

    distributions: frozenset[str]
    reason: str


@dataclass(frozen=True)
class Replace:
    """Put a distribution in the place of another, at the same version."""

    distribution: str
    replacement: str
    reason: str


Rule = Keep | Drop | Replace


@dataclass(frozen=True)
class Rules:
    """Rules in their order; the first that fits decides."""

    rules: tuple[Rule, ...] = ()

    def dropping(self, distribution: str) -> Drop | None:
        """Give the rule that drops a distribution, where no earlier one keeps it."""
        found = self._first(distribution)
        return found if isinstance(found, Drop) else None

    def replacing(self, distribution: str) -> Replace | None:
        """Give the rule that replaces a distribution, where no earlier one decides otherwise."""
        found = self._first(distribution)
        return found if isinstance(found, Replace) else None

    def keeping(self, modules: Iterable[str]) -> tuple[Keep, ...]:
        """Give the rules that keep something because of the modules that the pickle names."""
        named = tuple(modules)
        return tuple(rule for rule in self.rules if isinstance(rule, Keep) and rule.fits(named))

    def _first(self, distribution: str) -> Rule | None:
        for rule in self.rules:
            if isinstance(rule, Drop) and distribution in rule.distributions:
                return rule
            if isinstance(rule, Replace) and distribution == rule.distribution:
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


def _rule(entry: Mapping[str, Any], where: str) -> Rule:
    try:
        reason = str(entry["reason"])
        match entry["action"]:
            case "keep":
                return Keep(canonicalize_name(entry["distribution"]), str(entry["when"]), reason)
            case "drop":
                return Drop(frozenset(canonicalize_name(name) for name in entry["distributions"]), reason)
            case "replace":
                first, second = canonicalize_name(entry["distribution"]), canonicalize_name(entry["with"])
                return Replace(first, second, reason)
            case action:
                raise InvalidInput(
                    f"{where}: the action is `{action}`",
                    code="rules.malformed",
                    hint="expected `keep`, `drop` or `replace`",
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{where}: {error} is missing or of the wrong kind",
            code="rules.malformed",
            hint="each rule has an `action`, a `reason`, and what the action is for",
        ) from None
