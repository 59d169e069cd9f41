"""The resolvers: one file each, one row in the table."""

from __future__ import annotations

from model_envelope.dependencies.resolvers.base import LockRequest, Resolver
from model_envelope.dependencies.resolvers.pip_tools import PipTools
from model_envelope.dependencies.resolvers.uv import Uv
from model_envelope.foundation.errors import InvalidInput, ToolMissing

RESOLVERS: tuple[Resolver, ...] = (Uv(), PipTools())
"""In the order in which ``auto`` takes them."""

__all__ = ["RESOLVERS", "LockRequest", "Resolver", "choose"]


def choose(name: str = "auto") -> Resolver:
    """Give a resolver by name; ``auto`` is the first that this machine has.

    Raises :class:`InvalidInput` for a name that is none, :class:`ToolMissing` where the machine has not got it.
    """
    names = [resolver.name for resolver in RESOLVERS]
    if name not in ("auto", *names):
        raise InvalidInput(
            f"`{name}` is no resolver",
            code="lock.unknown-resolver",
            hint="one of " + ", ".join(f"`{known}`" for known in ("auto", *names, "conda-lock")),
        )
    for resolver in RESOLVERS:
        if name in ("auto", resolver.name) and resolver.available():
            return resolver
    raise ToolMissing(
        "no resolver is installed" if name == "auto" else f"the resolver `{name}` is not installed",
        code="lock.no-resolver",
        hint="`pip install 'model-envelope[uv]'`" if name != "pip-tools" else "`pip install pip-tools`",
    )
