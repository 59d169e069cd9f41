"""Words of messages."""

from __future__ import annotations

from collections.abc import Iterable


def named(names: Iterable[object]) -> str:
    """List names as people do: `` `a`, `b` and `c` ``."""
    listed = [f"`{name}`" for name in names]
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
