"""The parameters of a method: from its Python signature, its annotations and its samples, in this order."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model_envelope.inference.annotations import Reader
from model_envelope.inference.class_fields import fields_of, special_form
from model_envelope.inference.holes import Filling, Hole, NoSample, written_default
from model_envelope.inference.scopes import Scope, Unresolved, scope_of
from model_envelope.inference.unification import unify
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import parameter_codec
from model_envelope.runtime.codec.base import codec_for
from model_envelope.runtime.errors import InvalidSignature, Problem, Problems

_KINDS: Mapping[Any, s.Kind] = {
    inspect.Parameter.POSITIONAL_ONLY: s.Kind.POSITIONAL,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: s.Kind.NORMAL,
    inspect.Parameter.VAR_POSITIONAL: s.Kind.VARIADIC,
    inspect.Parameter.KEYWORD_ONLY: s.Kind.KEYWORD,
    inspect.Parameter.VAR_KEYWORD: s.Kind.VARIADIC_KEYWORD,
}
_VARIADIC = (s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD)
_NOTHING: Any = inspect.Parameter.empty
_KEYED = "give samples keyed by parameter: a dict, or a JSON object, with a value for each"


@dataclass(frozen=True)
class Inputs:
    """What a method takes: its parameters, the sample arguments as Python objects, and the named types."""

    parameters: tuple[s.Parameter, ...]
    values: Mapping[str, Any]
    definitions: Mapping[str, s.Type]


@dataclass(frozen=True)
class Samples:
    """The sample arguments of a method, by parameter name.

    ``is_json`` says that they are plain JSON values: annotations, or a table for rows, then decide what they become.
    """

    arguments: Mapping[str, Any]
    is_json: bool


@dataclass(frozen=True)
class Declared:
    """A parameter as Python has it: ``annotation`` means what it means in ``scope``."""

    name: str
    kind: s.Kind
    annotation: Any
    scope: Scope
    required: bool
    default: Any = _NOTHING


def bind(function: Callable[..., Any], value: Any, *, is_json: bool) -> Samples:
    """Find which parameters the samples are for.

    A dict whose keys are all parameters, the required ones among them, is keyed by parameter, as a request body is;
    anything else is the first parameter's.
    """
    parameters = declared_parameters(function)
    names = {parameter.name for parameter in parameters}
    required = {parameter.name for parameter in parameters if parameter.required}
    if isinstance(value, dict) and value and required <= value.keys() <= names:
        return Samples(dict(value), is_json)
    if not parameters:
        raise InvalidSignature("the method takes no arguments, and samples were given", code="signature.no-parameters")
    first = parameters[0]
    return Samples({first.name: [value] if first.kind is s.Kind.VARIADIC else value}, is_json)


def declared_parameters(function: Callable[..., Any]) -> list[Declared]:
    """List a callable's parameters; one called ``input`` where a compiled function does not tell.

    ``**options: Unpack[Options]`` stands for the keys of that TypedDict.
    """
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return [Declared("input", s.Kind.POSITIONAL, _NOTHING, Scope({}), required=True)]
    scope = scope_of(innermost(function))
    parameters = []
    for item in found:
        kind = _KINDS[item.kind]
        if kind is s.Kind.VARIADIC_KEYWORD and (unpacked := _unpacked(item.annotation, scope)) is not None:
            parameters += unpacked
            continue
        required = item.default is _NOTHING and kind not in _VARIADIC
        parameters.append(Declared(item.name, kind, item.annotation, scope, required, item.default))
    return parameters


def _unpacked(annotation: Any, scope: Scope) -> list[Declared] | None:
    if isinstance(annotation, str):
        try:
            annotation = scope.evaluate(annotation)
        except Unresolved:
            return None
    if special_form(annotation) != "Unpack":
        return None
    options = typing.get_args(annotation)[0]
    origin = typing.get_origin(options) or options
    fields = fields_of(origin, typing.get_args(options), scope, "$") if isinstance(origin, type) else None
    if fields is None or fields.is_class:
        return None
    return [Declared(item.name, s.Kind.KEYWORD, item.annotation, item.scope, item.required) for item in fields.fields]


def innermost(function: Any) -> Any:
    """Give the function whose annotations a callable has: beneath partials, wrappers, bound methods and objects."""
    while True:
        if isinstance(function, functools.partial | functools.partialmethod):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.ismethod(function):
            function = function.__func__
        elif isinstance(function, type):
            return function.__init__  # type: ignore[misc]
        elif inspect.isroutine(function) or not hasattr(type(function), "__call__"):  # noqa: B004
            return function
        else:
            function = type(function).__call__


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(innermost(function))


def parameters_of(function: Callable[..., Any], samples: Samples) -> Inputs:
    """Find the parameters of a method and its sample arguments as the Python objects that it wants.

    A parameter belongs to the signature where it has an annotation or a sample. One with neither keeps its Python
    default and is not offered; nor is one with a default whose annotation says nothing without a sample.

    Raises :class:`InvalidSignature`: ``signature.no-sample`` for a required parameter without a sample,
    ``signature.disagreement`` where annotations and samples contradict each other, all of them at once.
    """
    return _Finding(declared_parameters(function), samples).inputs()


class _Finding:
    """Finds the types of all parameters together: they share the named types."""

    def __init__(self, declared: Sequence[Declared], samples: Samples) -> None:
        self.samples = samples
        self.errors: list[InvalidSignature] = []
        reader = Reader()
        self.read: list[tuple[Declared, s.Type]] = []
        for item in declared:
            try:
                self.read.append((item, reader.read(item.annotation, item.scope, f"$.{item.name}")))
            except InvalidSignature as error:
                if item.required or item.name in samples.arguments:
                    self.errors.append(error)
        self.filling = Filling(reader.definitions, is_json=samples.is_json)
        self.tables: dict[str, Any] = {}

    def inputs(self) -> Inputs:
        for item, kind in self.read:
            self._see(item, kind)
        self.filling.fill_definitions()
        filled = [(item, found) for item, kind in self.read if (found := self._fill(item, kind)) is not None]
        definitions = self.filling.finish_definitions([kind for _, kind in filled])
        parameters = self._offered([(item, self.filling.finish(kind)) for item, kind in filled], definitions)
        values = {item.name: self._value(item, definitions) for item in parameters if self._has_sample(item.name)}
        self._raise()
        return Inputs(tuple(parameters), values, definitions)

    def _has_sample(self, name: str) -> bool:
        return name in self.samples.arguments

    def _see(self, item: Declared, kind: s.Type) -> None:
        path = f"$.{item.name}"
        if self._has_sample(item.name):
            value = self.samples.arguments[item.name]
            if self.samples.is_json and _is_anything(kind) and item.kind not in _VARIADIC:
                self.tables[item.name] = _rows_as_table(value)
            elif item.kind is s.Kind.VARIADIC and isinstance(value, list | tuple):
                for at, one in enumerate(value):
                    self.filling.see(kind, one, f"{path}[{at}]")
            elif item.kind is s.Kind.VARIADIC_KEYWORD and isinstance(value, dict):
                for name, one in value.items():
                    self.filling.see(kind, one, f"{path}.{name}")
            else:
                self.filling.see(kind, value, path)
        if item.default is not _NOTHING and item.default is not None:
            self.filling.see_default(kind, item.default, path)

    def _fill(self, item: Declared, kind: s.Type) -> s.Type | None:
        """Give the type of a parameter; None where it is not offered."""
        path, known = f"$.{item.name}", self._has_sample(item.name)
        try:
            if item.name in self.tables:
                return type_of(self.tables[item.name], path)
            if known or not _is_anything(kind):
                found = self.filling.fill(kind)
                if known or not item.required:
                    return found
        except NoSample:
            known = False
        except InvalidSignature as error:
            if known or item.required:
                self.errors.append(_disagreement(item.name, error))
            return None
        if item.required and not known:
            lacking = "neither a sample nor an annotation" if _is_anything(kind) else "no sample"
            self.errors.append(
                InvalidSignature(f"the parameter `{item.name}` has {lacking}", code="signature.no-sample", hint=_KEYED)
            )
        return None

    def _offered(
        self, filled: Sequence[tuple[Declared, s.Type]], definitions: Mapping[str, s.Type]
    ) -> list[s.Parameter]:
        """Make parameters; what comes after one that is not offered can be passed by name only, or not at all."""
        by_name = {item.name: kind for item, kind in filled}
        found, gap = [], False
        for item, _ in self.read:
            if item.name not in by_name:
                gap = True
                continue
            parameter = _parameter(item, by_name[item.name], definitions)
            if gap and parameter.kind is s.Kind.NORMAL:
                parameter = replace(parameter, kind=s.Kind.KEYWORD)
            if not gap or parameter.kind not in {s.Kind.POSITIONAL, s.Kind.VARIADIC}:
                found.append(parameter)
        return found

    def _value(self, parameter: s.Parameter, definitions: Mapping[str, s.Type]) -> Any:
        """Give the sample of a parameter as the method wants it, and note where it is not of its type."""
        if parameter.name in self.tables:
            return self.tables[parameter.name]
        value, problems = self.samples.arguments[parameter.name], Problems()
        codec = parameter_codec(parameter, definitions)
        if self.samples.is_json:
            value = codec.decode(value, f"$.{parameter.name}", problems)
        else:
            codec.encode(value, f"$.{parameter.name}", problems)
        if problems:
            self.errors.append(_disagreement(parameter.name, problems))
        return value

    def _raise(self) -> None:
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            first = self.errors[0]
            problems = [
                problem
                for error in self.errors
                for problem in error.problems
                or (Problem("$", error.message, "a sample for each parameter", error.code),)
            ]
            raise InvalidSignature(
                f"{len(self.errors)} parameters make no sense with their samples",
                code=first.code,
                problems=problems,
                hint=first.hint,
            )


def _as_problem(error: InvalidSignature) -> Problem:
    return Problem("$", error.message, error.hint or "what a signature can say", error.code)


def _is_anything(kind: s.Type) -> bool:
    return isinstance(kind, Hole) and kind.rule.fallback == s.Any() and not kind.rule.refusal


def _disagreement(name: str, found: InvalidSignature | Problems) -> InvalidSignature:
    if isinstance(found, InvalidSignature):
        if found.code != "signature.disagreement":
            return found
        problems = list(found.problems)
    else:
        problems = [
            Problem(item.path, f"{item.found} in the sample", f"{item.expected} by the annotation", item.code)
            for item in found.items
        ]
    return InvalidSignature(
        f"the annotation of `{name}` and its sample disagree",
        code="signature.disagreement",
        problems=problems,
        hint="correct the annotation, or give samples of the annotated type",
    )


def _parameter(item: Declared, kind: s.Type, definitions: Mapping[str, s.Type]) -> s.Parameter:
    """Keep a default that JSON can write; one that it cannot is Python's own affair, and stays there."""
    if item.required:
        return s.Parameter(item.name, kind, item.kind)
    if item.default is _NOTHING:
        return s.Parameter(item.name, kind, item.kind, required=False)
    kind = s.with_nullable(kind) if item.default is None else kind
    default = written_default(kind, item.default, definitions)
    return s.Parameter(item.name, kind, item.kind, required=False, default=default)


def merge_definitions(one: Mapping[str, s.Type], other: Mapping[str, s.Type]) -> dict[str, s.Type]:
    """Put named types together; one of which two samples say different things (NaN, null) becomes the wider of both.

    Raises :class:`InvalidSignature` (``signature.mixed-types``) where there is no such type.
    """
    merged = dict(one)
    for name, kind in other.items():
        found = unify(merged.get(name, kind), kind, name)
        if isinstance(found, s.Record) and isinstance(kind, s.Record):
            defaults = {field.name: field.default for field in kind.fields}
            fields = (replace(field, default=defaults.get(field.name, field.default)) for field in found.fields)
            found = replace(found, fields=tuple(fields))
        merged[name] = found
    return merged


def returns_of(function: Callable[..., Any], answer: Any) -> tuple[s.Type, Mapping[str, s.Type]]:
    """Find the type of a method's answers, from its annotation and one answer, and the named types in it.

    Raises :class:`InvalidSignature` (``signature.disagreement``) where the answer is not what the annotation says.
    """
    try:
        annotation = inspect.signature(function).return_annotation
    except (ValueError, TypeError):
        annotation = _NOTHING
    reader = Reader()
    kind = reader.read(annotation, scope_of(innermost(function)), "$")
    if _is_anything(kind):
        return type_of(answer, "$"), {}
    filling = Filling(reader.definitions)
    filling.see(kind, answer, "$")
    filling.fill_definitions()
    try:
        filled = filling.fill(kind)
    except NoSample:
        return type_of(answer, "$"), {}
    definitions = filling.finish_definitions([filled])
    found, problems = filling.finish(filled), Problems()
    codec_for(found, definitions).encode(answer, "$", problems)
    if problems:
        raise InvalidSignature(
            "the annotation of the answer and the answer to the samples disagree",
            code="signature.disagreement",
            problems=[
                Problem(item.path, f"{item.found} in the answer", f"{item.expected} by the annotation", item.code)
                for item in problems.items
            ],
            hint="correct the annotation, or let the method answer what it says",
        )
    return found, definitions


def _rows_as_table(value: Any) -> Any:
    """Make a table of JSON rows: a list of flat objects is what models of tables are asked with."""
    rows = isinstance(value, list) and value and all(isinstance(row, dict) and row for row in value)
    if not rows or any(isinstance(cell, list | dict) for row in value for cell in row.values()):
        return value
    try:
        import pandas as pd
    except ImportError:
        return value
    return pd.DataFrame(value)
