"""Classes that a signature knows because the model's own code says what they are made of: :func:`register_type`.

This module needs nothing but the standard library and travels with every envelope, so the call works wherever the
model's code runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from model_envelope.runtime.errors import InvalidSignature

T = TypeVar("T")


@dataclass(frozen=True)
class Registration:
    """What is known of a class. ``fields`` maps names to annotations; ``make`` and ``read`` are None for the usual."""

    cls: type
    fields: Mapping[str, Any]
    make: Callable[..., Any] | None = None
    read: Callable[[Any], Mapping[str, Any]] | None = None

    def made(self, found: Mapping[str, Any]) -> Any:
        """Make an instance. Raises whatever the class raises."""
        return (self.make or self.cls)(**found)

    def held(self, value: Any) -> Mapping[str, Any]:
        """Read the fields of an instance. Raises whatever reading raises."""
        return self.read(value) if self.read else {name: getattr(value, name) for name in self.fields}


_known: dict[type, Registration] = {}


def register_type(
    cls: type[T],
    fields: Mapping[str, Any],
    *,
    make: Callable[..., T] | None = None,
    read: Callable[[T], Mapping[str, Any]] | None = None,
) -> type[T]:
    """Tell what a class is made of, so that a model's methods may take and give its instances.

    Call it at the top level of the module that defines the model, or of one that this imports: there it runs wherever
    the model is loaded. ``fields`` maps the name of each field to its annotation. ``make`` gets them as keywords and
    gives an instance, by default the class itself does; ``read`` gives them of an instance, by default as its
    attributes. The registration is for this class alone: instances of its subclasses are no instances of it.

    Gives the class. Raises :class:`InvalidSignature` (``type.malformed``) for what is no class or no mapping of names,
    and (``type.twice``) where the class was registered otherwise before.
    """
    given: tuple[Any, Any] = (cls, fields)  # which may be anything, whatever their types say
    if not isinstance(given[0], type):
        raise _malformed(f"{cls!r:.60} is no class")
    if not isinstance(given[1], Mapping) or not fields:
        raise _malformed(f"the fields of `{cls.__qualname__}` are {fields!r:.60}")
    if wrong := [name for name in map(str, fields) if not name.isidentifier()]:
        raise _malformed(f"the fields of `{cls.__qualname__}` have the names {', '.join(map(repr, wrong[:5]))}")
    for label, function in (("make", make), ("read", read)):
        if function is not None and not callable(function):
            raise _malformed(f"`{label}` of `{cls.__qualname__}` is {function!r:.60}, which cannot be called")
    before = _known.get(cls)
    if before is not None and dict(before.fields) != dict(fields):
        raise InvalidSignature(
            f"`{cls.__qualname__}` is registered twice: with the fields {_names(before.fields)}, and with "
            f"{_names(fields)}",
            code="type.twice",
            hint="register a class once, in the module that defines it or the model",
        )
    _known[cls] = Registration(cls, dict(fields), make, read)
    return cls


def registration_of(cls: type) -> Registration | None:
    """Give what was registered of a class itself, None where nothing was."""
    return _known.get(cls)


def _malformed(what: str) -> InvalidSignature:
    return InvalidSignature(
        what,
        code="type.malformed",
        hint='expected a class and its fields: `register_type(Money, {"amount": Decimal, "currency": str})`',
    )


def _names(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {getattr(kind, '__name__', kind)}" for name, kind in fields.items())
