"""Hypothesis strategies for every type of the grammar: types, and for a type the Python values that it admits.

Each class of the grammar registers one :class:`Strategies` (those of libraries one for each flavor), here or in a
module of :data:`HOMES`. ``types()`` then gives any type, ``values(kind)`` any value of it, and ``same`` tells whether a
value came back equal.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from model_envelope.runtime import signature as s

HOMES = ("strategies_python", "strategies_tables", "strategies_tensors")
"""The modules that register strategies when they are imported."""


@dataclass(frozen=True)
class Strategies:
    """The strategies of one class of the grammar, of one flavor where it has flavors.

    ``types`` makes a strategy of types of this class, given one of inner types (a leaf leaves that aside); ``values``
    one of the Python values that a type admits, null among them where the type is nullable.
    """

    types: Callable[[SearchStrategy[s.Type]], SearchStrategy[s.Type]]
    values: Callable[[Any, Mapping[str, s.Type]], SearchStrategy[Any]]
    leaf: bool = True


REGISTRY: dict[tuple[type, s.Flavor | None], Strategies] = {}
COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {}
"""How two objects of a class are compared, where ``==`` does not say it (frames, arrays)."""


def register(cls: type, strategies: Strategies, flavor: s.Flavor | None = None) -> None:
    """Make the strategies of a class known."""
    assert (cls, flavor) not in REGISTRY, f"{cls.__name__} of {flavor} has strategies already"
    REGISTRY[cls, flavor] = strategies


def compare(cls: type, comparison: Callable[[Any, Any], bool]) -> None:
    """Say how two objects of a class are compared."""
    COMPARISONS[cls] = comparison


@cache
def load() -> None:
    """Import all modules that register strategies."""
    for home in HOMES:
        if importlib.util.find_spec(home):
            importlib.import_module(home)


@cache
def types(
    *, only: frozenset[type] | None = None, without: frozenset[type] = frozenset(), depth: int = 2
) -> SearchStrategy[s.Type]:
    """Give any type of the grammar, nested ``depth`` deep; ``only`` and ``without`` narrow the classes."""
    load()
    chosen = [found for (cls, _), found in REGISTRY.items() if (only is None or cls in only) and cls not in without]
    leaves = st.one_of([found.types(st.nothing()) for found in chosen if found.leaf])
    if depth == 0:
        return leaves
    # Deferred, for hypothesis writes every strategy out in words, and a nested one at length.
    inner = st.deferred(lambda: types(only=only, without=without, depth=depth - 1))
    return st.one_of([leaves, *(found.types(inner) for found in chosen if not found.leaf)])


def values(kind: s.Type, definitions: Mapping[str, s.Type] | None = None) -> SearchStrategy[Any]:
    """Give any Python value that a type admits."""
    load()
    strategies = REGISTRY[type(kind), getattr(kind, "flavor", None)]
    found = strategies.values(kind, definitions or {})
    return st.none() | found if kind.nullable else found


def same(one: Any, other: Any) -> bool:
    """Tell whether a value came back: of the same class and equal, NaN being NaN."""
    if type(one) is not type(other):
        return False
    for cls in type(one).__mro__:
        if cls in COMPARISONS:
            return COMPARISONS[cls](one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(key in other and same(one[key], other[key]) for key in one)
    return bool(one == other) or (one != one and other != other)
