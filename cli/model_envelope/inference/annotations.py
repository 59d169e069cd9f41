"""Types from annotations: what the author of a method said about it. Recognised with typing_inspect where it serves."""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, time, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import typing_inspect

from model_envelope.inference import rules
from model_envelope.inference.class_fields import UNKNOWN, ClassField, fields_of, special_form
from model_envelope.inference.enums import enum_choice, literal_choices
from model_envelope.inference.holes import Filling, Hole, NoSample, PythonDefault, parts_of, union_of
from model_envelope.inference.scopes import Scope, Unresolved
from model_envelope.inference.values import class_name
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.values.choices import class_named
from model_envelope.runtime.errors import InvalidSignature

_SCALARS: Mapping[Any, s.Scalar] = {
    None: s.Scalar("null", nullable=True),
    type(None): s.Scalar("null", nullable=True),
    bool: s.Scalar("bool"),
    int: s.Scalar("int64"),
    str: s.Scalar("string"),
    bytes: s.Scalar("bytes"),
    UUID: s.Scalar("uuid"),
    date: s.Scalar("date"),
    time: s.Scalar("time"),
    timedelta: s.Scalar("timedelta"),
}

_ABC = collections.abc
_SEQUENCES = frozenset({list, _ABC.Sequence, _ABC.MutableSequence, _ABC.Iterable, _ABC.Collection, _ABC.Reversible})
_SETS = frozenset({set, frozenset, _ABC.Set, _ABC.MutableSet})
_MAPPINGS = frozenset({dict, _ABC.Mapping, _ABC.MutableMapping})
_WRAPPERS = frozenset({"Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})
_AWAITED = frozenset({_ABC.Awaitable, _ABC.Coroutine})
_SELF = frozenset({"typing.Self", "typing_extensions.Self"})


def type_from(annotation: Any, path: str, scope: Scope | None = None) -> s.Type | None:
    """Give the type that an annotation says by itself, or None where samples have to say it (a DataFrame, an array).

    Named types are left out of it; :class:`Reader` keeps them.

    Raises :class:`InvalidSignature` (``signature.unknown-type``) for a class that a signature cannot say.
    """
    reader = Reader()
    kind = reader.read(annotation, scope or Scope({}), path)
    if isinstance(kind, Hole) and kind.rule.fallback == s.Any():
        return None
    filling = Filling(reader.definitions)
    filling.fill_definitions()
    try:
        found = filling.fill(kind)
    except NoSample:
        return None
    filling.finish_definitions([found])
    return filling.finish(found)


class Reader:
    """Reads annotations as types with holes. A type that contains itself goes to :attr:`definitions`."""

    def __init__(self) -> None:
        self.definitions: dict[str, s.Type] = {}
        self._open: set[str] = set()
        self._recursive: set[str] = set()

    def read(self, annotation: Any, scope: Scope, path: str) -> s.Type:
        """Give the type that an annotation says.

        Raises :class:`InvalidSignature` for what no signature can say.
        """
        if isinstance(annotation, str | typing.ForwardRef):
            return self._text(annotation, scope, path)
        if special_form(annotation) == "Annotated":
            base = self.read(typing.get_args(annotation)[0], scope, path)
            return replace(base, metadata=(*base.metadata, *rules.notes(annotation.__metadata__)))
        if annotation is Any or annotation is inspect.Parameter.empty or annotation is object:
            return rules.anything()
        if (known := _lookup(_SCALARS, annotation)) is not None:
            return known
        if (hole := rules.scalar_hole(annotation)) is not None:
            return hole
        if typing_inspect.is_new_type(annotation):
            return self.read(annotation.__supertype__, _module_scope(annotation, scope), path)
        if typing_inspect.is_typevar(annotation):
            return self._variable(annotation, scope, path)
        if type(annotation).__name__ == "TypeAliasType":
            return self._alias(annotation, (), scope, path)
        if repr(annotation) in _SELF:
            return self._class(scope.owner, (), scope, path) if scope.owner else rules.anything()
        if rules.is_array_like(annotation):
            return rules.anything()
        if typing_inspect.is_literal_type(annotation):
            return _literal(typing.get_args(annotation), path)
        if typing_inspect.is_union_type(annotation) or isinstance(annotation, types.UnionType):
            return self._union(typing.get_args(annotation), scope, path)
        return self._generic(annotation, scope, path)

    def _generic(self, annotation: Any, scope: Scope, path: str) -> s.Type:
        origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
        form = special_form(annotation)
        if form in _WRAPPERS:
            return self.read(arguments[0], scope, path)
        if form == "Unpack":
            return rules.anything()
        if type(origin).__name__ == "TypeAliasType":
            return self._alias(origin, arguments, scope, path)
        if origin in {tuple, typing.Tuple}:  # noqa: UP006  the older spelling is in people's code
            return self._tuple(annotation, arguments, scope, path)
        if origin in _AWAITED:
            return self.read(arguments[-1], scope, path) if arguments else rules.anything()
        if origin in _SEQUENCES | _SETS | _MAPPINGS:
            return self._container(origin, arguments, scope, path)
        if isinstance(origin, type):
            return self._class(origin, arguments, scope, path)
        return rules.unsayable(annotation, path)

    def _text(self, annotation: str | typing.ForwardRef, scope: Scope, path: str) -> s.Type:
        """Read an annotation that is text; a name may be that of an alias that contains itself."""
        text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        module = getattr(annotation, "__forward_module__", None)
        if module is not None:
            names = vars(sys.modules[module]) if isinstance(module, str) else vars(module)
            scope = Scope(names, scope.owner, scope.variables)
        try:
            meant = scope.evaluate(text)
        except Unresolved:
            return rules.anything()
        if isinstance(meant, type) or not text.isidentifier():
            return self.read(meant, scope, path)
        name = f"{scope.names.get('__name__', '')}:{text}"
        return self._named(name, path, lambda: self.read(meant, scope, path))

    def _named(self, name: str, path: str, read: Any) -> s.Type:
        """Read what has a name: a reference where it is met within itself, or was before."""
        if name in self.definitions:
            return s.Reference(name)
        if name in self._open:
            self._recursive.add(name)
            return s.Reference(name)
        self._open.add(name)
        try:
            found: s.Type = read()
        finally:
            self._open.discard(name)
        if name not in self._recursive:
            return found
        if isinstance(found, s.Reference) and found.name == name:
            raise InvalidSignature(f"{path}: the type `{name}` is nothing but itself", code="signature.empty-type")
        self.definitions[name] = found
        return s.Reference(name)

    def _alias(self, alias: Any, arguments: Sequence[Any], scope: Scope, path: str) -> s.Type:
        outer = _module_scope(alias, scope)
        meant = [_meant(argument, scope) for argument in arguments]
        own = dict(zip(alias.__type_params__, meant, strict=False))
        inner = Scope(outer.names, None, {**scope.variables, **own})
        suffix = _suffix(meant)

        def read() -> s.Type:
            try:
                value = alias.__value__
            except NameError:  # named for type checkers only
                return rules.anything()
            return self.read(value, inner, path)

        return self._named(f"{alias.__module__}:{alias.__name__}{suffix}", path, read)

    def _variable(self, variable: Any, scope: Scope, path: str) -> s.Type:
        if variable in scope.variables:
            argument, where = scope.variables[variable]
            return rules.anything() if argument is variable else self.read(argument, where, path)
        own = _module_scope(variable, scope)
        if getattr(variable, "__constraints__", ()):
            return self._union(variable.__constraints__, own, path)
        bound = getattr(variable, "__bound__", None)
        return self.read(bound, own, path) if bound is not None else rules.anything()

    def _union(self, arguments: Sequence[Any], scope: Scope, path: str) -> s.Type:
        options = [self.read(argument, scope, path) for argument in arguments]
        nullable = any(option.nullable and not isinstance(option, Hole) for option in options)
        if any(isinstance(option, Hole) and option.rule.fallback == s.Any() for option in options):
            return rules.anything()
        nullable |= any(option.nullable for option in options)
        return union_of(options, nullable=nullable)

    def _tuple(self, annotation: Any, arguments: Sequence[Any], scope: Scope, path: str) -> s.Type:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return s.List(self.read(arguments[0], scope, f"{path}[*]"), variadic=True)
        if not arguments and annotation in {tuple, typing.Tuple}:  # noqa: UP006
            return rules.bare(tuple)
        if any(
            special_form(argument) == "Unpack" or getattr(argument, "__unpacked__", False) for argument in arguments
        ):
            return rules.bare(tuple)
        read = [self.read(argument, scope, f"{path}[{at}]") for at, argument in enumerate(arguments) if argument != ()]
        return s.Tuple(tuple(read))

    def _container(self, origin: Any, arguments: Sequence[Any], scope: Scope, path: str) -> s.Type:
        if not arguments:
            return rules.bare(dict if origin in _MAPPINGS else list if origin in _SEQUENCES else origin)
        first = self.read(arguments[0], scope, f"{path}[*]")
        if origin in _SEQUENCES:
            return s.List(first)
        _expect_hashable(first, path)
        if origin in _SETS:
            return s.Set(first, frozen=origin is frozenset)
        return s.Map(first, self.read(arguments[1], scope, f"{path}[*]"))

    def _class(self, cls: Any, arguments: Sequence[Any], scope: Scope, path: str) -> s.Type:
        if issubclass(cls, Enum):
            _expect_importable(cls, path)
            return enum_choice(cls, path)
        if (hole := rules.library_hole(cls, [_filled(argument, scope) for argument in arguments])) is not None:
            return hole
        found = fields_of(cls, arguments, scope, path)
        if found is None:
            return rules.unsayable(cls, path)
        if found.is_class:
            _expect_importable(cls, path)
        suffix = _suffix([_meant(argument, scope) for argument in arguments])

        def read() -> s.Type:
            fields = tuple(self._field(item, f"{path}.{item.name}") for item in found.fields)
            return s.Record(fields, cls=class_name(cls) if found.is_class else None, style=found.style)

        return self._named(class_name(cls) + suffix, path, read)

    def _field(self, item: ClassField, path: str) -> s.Field:
        kind = self.read(item.annotation, item.scope, path)
        if item.metadata:
            kind = replace(kind, metadata=(*kind.metadata, *rules.notes(item.metadata)))
        if item.default is None:
            kind = s.with_nullable(kind)
        default = None if item.default is UNKNOWN else PythonDefault(item.default)
        return s.Field(item.name, kind, item.required, default)


def _literal(values: Sequence[Any], path: str) -> s.Type:
    known = [value for value in values if value is not None]
    return union_of(literal_choices(known, path), nullable=len(known) < len(values))


def _expect_hashable(kind: s.Type, path: str) -> None:
    """Refuse what no set and no dict can hold."""
    mutable = isinstance(kind, s.Set) and not kind.frozen
    mutable |= isinstance(kind, s.List) and not kind.variadic
    mutable |= isinstance(kind, s.Map | s.Table | s.Series | s.Tensor)
    mutable |= isinstance(kind, s.Record) and (kind.cls is None or class_named(kind.cls).__hash__ is None)
    if mutable:
        raise InvalidSignature(
            f"{path} is annotated as a set of, or a dict keyed by, {_called(kind)}, which cannot be hashed",
            code="signature.unhashable",
            hint="use a tuple, a frozenset, a NamedTuple or a frozen dataclass there",
        )
    if isinstance(kind, s.Tuple | s.List | s.Set | s.Union):
        for part in parts_of(kind):
            _expect_hashable(part, path)


def _called(kind: s.Type) -> str:
    return f"`{kind.cls.partition(':')[2]}`" if isinstance(kind, s.Record) and kind.cls else f"{kind.kind}s"


def _expect_importable(cls: type, path: str) -> None:
    """Refuse a class that only a running function knows: a service could not import it."""
    if "<locals>" in cls.__qualname__:
        raise InvalidSignature(
            f"{path} is annotated as `{cls.__qualname__}`, which is defined within a function",
            code="signature.local-class",
            hint="move the class to the top level of its module: a service imports it from there",
        )


def _module_scope(owner: Any, scope: Scope) -> Scope:
    module = sys.modules.get(getattr(owner, "__module__", None) or "")
    return Scope(vars(module), None, scope.variables) if module else scope


def _lookup(table: Mapping[Any, s.Scalar], annotation: Any) -> s.Scalar | None:
    try:
        return table.get(annotation)
    except TypeError:  # Annotated with something that cannot be hashed
        return None


def _meant(annotation: Any, scope: Scope) -> tuple[Any, Scope]:
    """Follow a type variable to what it stands for."""
    followed: set[Any] = set()
    while typing_inspect.is_typevar(annotation) and annotation in scope.variables and annotation not in followed:
        followed.add(annotation)
        annotation, scope = scope.variables[annotation]
    return annotation, scope


def _filled(annotation: Any, scope: Scope) -> Any:
    """Put what type variables stand for in their places, however deep: ``dtype[T]`` becomes ``dtype[float64]``."""
    meant, where = _meant(annotation, scope)
    origin, arguments = typing.get_origin(meant), typing.get_args(meant)
    if not isinstance(origin, type) or not arguments:
        return meant
    return types.GenericAlias(origin, tuple(_filled(argument, where) for argument in arguments))


def _suffix(arguments: Sequence[tuple[Any, Scope]]) -> str:
    """Name what stands for the type variables of a generic type."""
    names = [item.__qualname__ if isinstance(item, type) else repr(item) for item, _ in arguments]
    return f"[{', '.join(names)}]" if names else ""
