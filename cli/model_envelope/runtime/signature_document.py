"""``signature.json``: the signature as a document, and back.

Fields that hold their default are left out, so that a document is short and grows without a new format number. A field
that a reader does not know is refused: it would mean something that the reader cannot honour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from typing import Any, TypeVar

from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature

FORMAT = 1

TYPES: Mapping[str, type[s.Type]] = {
    kind.kind: kind
    for kind in (
        s.Scalar, s.Choice, s.List, s.Set, s.Tuple, s.Map, s.Record, s.Union, s.Table, s.Series, s.Tensor, s.Reference,
        s.Any,
    )
}  # fmt: skip

T = TypeVar("T")


def to_document(signature: s.Signature) -> dict[str, Any]:
    """Write a signature as plain JSON values."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "methods": {name: _plain(method) for name, method in signature.methods.items()},
    }
    if signature.definitions:
        document["definitions"] = {name: _plain(kind) for name, kind in signature.definitions.items()}
    return document


def from_document(document: Any) -> s.Signature:
    """Read what :func:`to_document` wrote.

    Raises :class:`InvalidSignature` where the document is not a signature, naming the place.
    """
    _expect(isinstance(document, dict), "$", document, "an object")
    number = document.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise InvalidSignature(
            f"signature.json has format {number}, and this version reads up to {FORMAT}",
            code="signature.newer-format",
            hint="upgrade model-envelope: `pip install --upgrade model-envelope`",
        )
    methods = document.get("methods")
    _expect(isinstance(methods, dict), "$.methods", methods, "an object")
    return s.Signature(
        methods={name: _read(s.Method, value, f"$.methods.{name}") for name, value in methods.items()},
        definitions={
            name: type_from_document(value, f"$.definitions.{name}")
            for name, value in document.get("definitions", {}).items()
        },
    )


def type_to_document(kind: s.Type) -> dict[str, Any]:
    """Write one type."""
    document: dict[str, Any] = _plain(kind)
    return document


def type_from_document(document: Any, path: str = "$") -> s.Type:
    """Read one type."""
    _expect(isinstance(document, dict), path, document, "an object")
    name = document.get("type")
    if name not in TYPES:
        raise InvalidSignature(
            f"{path}.type is {name!r}, which is no type of a signature (known: {', '.join(TYPES)})",
            code="signature.unknown-type",
            hint="the envelope may have been written by a newer version: `pip install --upgrade model-envelope`",
        )
    return _read(TYPES[name], {key: value for key, value in document.items() if key != "type"}, path)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    document = {"type": value.kind} if hasattr(value, "kind") and isinstance(value.kind, str) else {}
    for item in fields(value):
        current = getattr(value, item.name)
        if item.default is not MISSING and current == item.default and type(current) is type(item.default):
            continue
        if item.default_factory is not MISSING and current == item.default_factory():
            continue
        document[item.name] = _plain(current)
    return document


def _read(cls: type[T], document: Any, path: str) -> T:
    _expect(isinstance(document, dict), path, document, "an object")
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise InvalidSignature(
            f"{path} has fields that this version does not know: {', '.join(unknown)}",
            code="signature.unknown-field",
            hint="the envelope may have been written by a newer version: `pip install --upgrade model-envelope`",
        )
    values = {}
    for name, item in known.items():
        if name in document:
            reader = _BY_ANNOTATION.get(str(item.type), _as_is)
            values[name] = reader(document[name], f"{path}.{name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise InvalidSignature(f"{path}.{name} is missing", code="signature.missing-field")
    return cls(**values)


def _as_is(value: Any, path: str) -> Any:  # noqa: ARG001  every reader takes the place that it reads
    return value


def _values(value: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(value, list), path, value, "an array")
    return tuple(value)


def _enum(cls: type[Enum]) -> Callable[[Any, str], Any]:
    def read(value: Any, path: str) -> Enum:
        known = [member.value for member in cls]
        _expect(value in known, path, value, " or ".join(known))
        return cls(value)

    return read


def _each(reader: Callable[[Any, str], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    def read(value: Any, path: str) -> tuple[Any, ...]:
        return tuple(reader(item, f"{path}[{at}]") for at, item in enumerate(_values(value, path)))

    return read


def _object(cls: type[Any]) -> Callable[[Any, str], Any]:
    return lambda value, path: _read(cls, value, path)


def _expect(holds: bool, path: str, found: Any, expected: str) -> None:
    if not holds:
        raise InvalidSignature(f"{path} is {found!r:.80}, expected {expected}", code="signature.malformed")


_BY_ANNOTATION: Mapping[str, Callable[[Any, str], Any]] = {
    "Type": type_from_document,
    "tuple[Type, ...]": _each(type_from_document),
    "tuple[Anything, ...]": _values,
    "tuple[int | None, ...]": _values,
    "tuple[str, ...]": _values,
    "tuple[Column, ...]": _each(_object(s.Column)),
    "tuple[Field, ...]": _each(_object(s.Field)),
    "tuple[Parameter, ...]": _each(_object(s.Parameter)),
    "Kind": _enum(s.Kind),
    "Answer": _enum(s.Answer),
    "Closeness": _enum(s.Closeness),
    "Flavor": _enum(s.Flavor),
    "Style": _enum(s.Style),
    "Tolerance": _object(s.Tolerance),
}
