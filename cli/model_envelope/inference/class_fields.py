"""The fields of a class that a record can say: TypedDict, NamedTuple, dataclass, attrs, pydantic, or plain."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_envelope.inference.plain_classes import constructor_of
from model_envelope.inference.scopes import Scope, Unresolved, scope_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.values.records import alias_of
from model_envelope.runtime.errors import InvalidSignature
from model_envelope.runtime.registry import registration_of

UNKNOWN: Any = inspect.Parameter.empty
"""The annotation of a field that has none, and the default of one that has none."""

_BUILT_IN = (list, dict, set, tuple, frozenset)


@dataclass(frozen=True)
class ClassField:
    """One field: ``name`` is how its class is given it, ``annotation`` means what it means in ``scope``."""

    name: str
    annotation: Any
    scope: Scope
    required: bool
    default: Any = UNKNOWN
    metadata: Sequence[Any] = ()


@dataclass(frozen=True)
class ClassFields:
    """What a class is made of, and how."""

    style: s.Style
    fields: tuple[ClassField, ...]
    is_class: bool = True
    """Whether values are instances of the class; those of a TypedDict are dicts."""


def fields_of(cls: type, arguments: Sequence[Any], scope: Scope, path: str) -> ClassFields | None:
    """Give the fields of a class, or None where it is none of those that have fields.

    ``arguments`` stand for the type variables of a generic class; they mean what they mean in ``scope``.

    Raises :class:`InvalidSignature` for a class that cannot be made of its fields.
    """
    variables = _variables(cls, arguments, scope)
    hints = _Hints(cls, variables)
    if _is_typed_dict(cls):
        found = [
            ClassField(name, annotation, where, _is_required(cls, name, annotation, where))
            for name, (annotation, where) in hints.items()
        ]
        return ClassFields(s.Style.DICT, tuple(found), is_class=False)
    for style, recognise, read in _READERS:
        if recognise(cls):
            return ClassFields(style, tuple(read(cls, hints, path)))
    return None


class _Hints:
    """The annotations of a class and its bases, each with the scope that it was written in."""

    def __init__(self, cls: type, variables: Mapping[Any, tuple[Any, Scope]]) -> None:
        self.fallback = scope_of(cls, variables)
        self.found: dict[str, tuple[Any, Scope]] = {}
        for base in reversed(_lineage(cls)):
            own = scope_of(base, {**_inherited(cls, variables), **variables})
            for name, annotation in inspect.get_annotations(base).items():
                self.found[name] = (annotation, own)

    def __getitem__(self, name: str) -> tuple[Any, Scope]:
        return self.found.get(name, (UNKNOWN, self.fallback))

    def items(self) -> list[tuple[str, tuple[Any, Scope]]]:
        return list(self.found.items())


def _lineage(cls: type) -> list[type]:
    """List a class and its bases; those of a TypedDict are not in its ``__mro__``."""
    if not _is_typed_dict(cls):
        return [base for base in cls.__mro__ if base is not object]
    found = [cls]
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base) or base
        if _is_typed_dict(origin):
            found += [item for item in _lineage(origin) if item not in found]
    return found


def _is_typed_dict(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cls, "__total__")


def _variables(cls: type, arguments: Sequence[Any], scope: Scope) -> dict[Any, tuple[Any, Scope]]:
    parameters = getattr(cls, "__parameters__", ()) or getattr(cls, "__type_params__", ())
    return {parameter: (argument, scope) for parameter, argument in zip(parameters, arguments, strict=False)}


def _inherited(cls: type, variables: Mapping[Any, tuple[Any, Scope]]) -> dict[Any, tuple[Any, Scope]]:
    """Say what the type variables of generic bases stand for."""
    found: dict[Any, tuple[Any, Scope]] = {}
    for base in getattr(cls, "__orig_bases__", ()):
        origin, arguments = typing.get_origin(base), typing.get_args(base)
        if isinstance(origin, type) and origin is not typing.Generic:
            mine = _variables(origin, arguments, scope_of(cls, variables))
            found |= {**_inherited(origin, mine), **mine}
    return found


def _is_required(cls: Any, name: str, annotation: Any, scope: Scope) -> bool:
    """Tell whether a key of a TypedDict must be there; where its annotation is text, the class itself cannot know."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        try:
            annotation = scope.evaluate(annotation)
        except Unresolved:
            return name in cls.__required_keys__
    while (origin := special_form(annotation)) in {"Required", "NotRequired", "ReadOnly", "Annotated"}:
        if origin in {"Required", "NotRequired"}:
            return origin == "Required"
        annotation = typing.get_args(annotation)[0]
    return name in cls.__required_keys__


def special_form(annotation: Any) -> str | None:
    """Name the special form of an annotation, typing's or an extension's: ``Required``, ``Annotated``, ``Final``."""
    origin: Any = typing.get_origin(annotation)
    if origin is None or isinstance(origin, type):
        return "Annotated" if getattr(origin, "__name__", "") == "Annotated" else None
    return getattr(origin, "_name", None) or getattr(origin, "__name__", None)


def _namedtuple(cls: Any, hints: _Hints, _path: str) -> Iterator[ClassField]:
    defaults = cls._field_defaults
    for name in cls._fields:
        yield ClassField(name, *hints[name], name not in defaults, defaults.get(name, UNKNOWN))


def _dataclass(cls: Any, hints: _Hints, path: str) -> Iterator[ClassField]:
    for name, item in cls.__dataclass_fields__.items():
        # Whatever is passed to __post_init__ only cannot be read back.
        if "INITVAR" in repr(item._field_type) and item.default is dataclasses.MISSING:  # noqa: SLF001
            raise InvalidSignature(
                f"{path} is a `{cls.__qualname__}`, whose `{name}` is an InitVar: it cannot be read from an instance",
                code="signature.init-only",
                hint=f"give `{name}` a default, or make it a field",
            )
    for item in dataclasses.fields(cls):
        optional = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
        default = item.default if item.default is not dataclasses.MISSING else _made_by(item.default_factory)
        yield ClassField(item.name, *hints[item.name], item.init and not optional, default)


def _attrs(cls: Any, hints: _Hints, _path: str) -> Iterator[ClassField]:
    for item in cls.__attrs_attrs__:
        annotation, scope = hints[item.name]
        annotation = item.type if annotation is UNKNOWN and item.type is not None else annotation
        has_default = type(item.default).__name__ != "_Nothing"
        factory = getattr(item.default, "factory", None)
        default = UNKNOWN if not has_default else _made_by(factory) if factory else item.default
        yield ClassField(item.alias or item.name, annotation, scope, item.init and not has_default, default)


def _pydantic(cls: Any, hints: _Hints, path: str) -> Iterator[ClassField]:
    if not hasattr(cls, "model_fields"):
        yield from _pydantic_1(cls, hints)
        return
    for name, item in cls.model_fields.items():
        alias = alias_of(item, name)
        if item.validation_alias is not None and alias == name and not _reads_by_name(cls):
            raise InvalidSignature(
                f"{path}.{name} of `{cls.__qualname__}` has an alias that is a path into other data",
                code="signature.alias",
                hint="give the field an alias that is a name",
            )
        annotation, scope = hints[name]
        # What pydantic made of an annotation is whole where it could be resolved; of a generic model it says more.
        annotation = item.annotation if _is_resolved(item.annotation) else annotation
        default = _made_by(item.default_factory) if item.default_factory else item.default
        unset = type(default).__name__ == "PydanticUndefinedType"
        notes = [*([item.description] if item.description else []), *item.metadata]
        yield ClassField(alias, annotation, scope, item.is_required(), UNKNOWN if unset else default, notes)


def _reads_by_name(cls: Any) -> bool:
    return bool(cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name"))


def _is_resolved(annotation: Any) -> bool:
    return annotation is not None and "ForwardRef" not in repr(annotation) and not isinstance(annotation, str)


def _pydantic_1(cls: Any, hints: _Hints) -> Iterator[ClassField]:
    for name, item in cls.__fields__.items():
        default = UNKNOWN if item.required or item.default_factory else item.default
        yield ClassField(item.alias, *hints[name], bool(item.required), default)


def _made_by(factory: Any) -> Any:
    """Give what a default factory makes, where that is an empty container: others may make something new each time."""
    return factory() if factory in _BUILT_IN else UNKNOWN


def _object(cls: Any, hints: _Hints, _path: str) -> Iterator[ClassField]:
    maker = cls.__init__ if cls.__init__ is not object.__init__ else cls.__new__
    for name, item in (constructor_of(cls) or {}).items():
        annotation, scope = hints[name]
        if item.annotation is not UNKNOWN:
            annotation, scope = item.annotation, scope_of(maker, hints.fallback.variables)
        yield ClassField(name, annotation, scope, item.default is UNKNOWN, item.default)


def _registered(cls: Any, hints: _Hints, _path: str) -> Iterator[ClassField]:
    registration = registration_of(cls)
    assert registration is not None, "it was recognised"
    for name, annotation in registration.fields.items():
        yield ClassField(name, annotation, hints.fallback, required=True)


def _is_named_tuple(cls: Any) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _is_pydantic(cls: Any) -> bool:
    return any(base.__module__.startswith("pydantic.") and base.__name__ == "BaseModel" for base in cls.__mro__[1:])


_READERS: Sequence[tuple[s.Style, Any, Any]] = (
    (s.Style.REGISTERED, registration_of, _registered),
    (s.Style.NAMEDTUPLE, _is_named_tuple, _namedtuple),
    (s.Style.PYDANTIC, _is_pydantic, _pydantic),
    (s.Style.ATTRS, lambda cls: hasattr(cls, "__attrs_attrs__"), _attrs),
    (s.Style.DATACLASS, dataclasses.is_dataclass, _dataclass),
    (s.Style.OBJECT, constructor_of, _object),
)
