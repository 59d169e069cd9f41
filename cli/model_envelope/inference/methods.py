"""The parameters of a method: from its Python signature, its annotations and its samples, in this order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_envelope.inference.annotations import hints_of, type_from
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
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


def bind(function: Callable[..., Any], value: Any, *, is_json: bool) -> Samples:
    """Find which parameters the samples are for.

    A dict whose keys are all parameters, the required ones among them, is keyed by parameter, as a request body is;
    anything else is the first parameter's.
    """
    parameters = python_parameters(function)
    names = {parameter.name for parameter in parameters if _KINDS[parameter.kind] not in _VARIADIC}
    required = {name for name in names if _is_required(parameters, name)}
    if isinstance(value, dict) and value and required <= value.keys() <= names:
        return Samples(dict(value), is_json)
    if not parameters:
        raise InvalidSignature("the method takes no arguments, and samples were given", code="signature.no-parameters")
    return Samples({parameters[0].name: value}, is_json)


def _is_required(parameters: Sequence[inspect.Parameter], name: str) -> bool:
    return any(item.name == name and item.default is inspect.Parameter.empty for item in parameters)


def python_parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """List a callable's parameters; one called ``input`` where a compiled function does not tell."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return [inspect.Parameter("input", inspect.Parameter.POSITIONAL_ONLY)]


def parameters_of(function: Callable[..., Any], samples: Samples) -> Inputs:
    """Find the parameters of a method and its sample arguments as the Python objects that it wants.

    A parameter belongs to the signature where it has an annotation or a sample. One with neither keeps its Python
    default and is not offered.

    Raises :class:`InvalidSignature`: ``signature.no-sample`` for a required parameter without a sample,
    ``signature.disagreement`` where annotation and sample contradict each other.
    """
    hints = hints_of(function)
    found: list[s.Parameter] = []
    values: dict[str, Any] = {}
    for item in python_parameters(function):
        path = f"$.{item.name}"
        kind = _KINDS[item.kind]
        annotated = type_from(hints.get(item.name, item.annotation), path)
        if item.name in samples.arguments:
            declared, value = _settle(annotated, samples.arguments[item.name], path, is_json=samples.is_json)
            values[item.name] = value
        elif annotated is not None:
            declared = annotated
        elif item.default is inspect.Parameter.empty and kind not in _VARIADIC:
            raise InvalidSignature(
                f"the parameter `{item.name}` has neither a sample nor an annotation",
                code="signature.no-sample",
                hint="give samples keyed by parameter: a dict, or a JSON object, with a value for each",
            )
        else:
            continue
        parameter = _with_default(s.Parameter(item.name, declared, kind), item)
        if parameter.required and item.name not in values and kind not in _VARIADIC:
            raise InvalidSignature(
                f"the samples hold nothing for the parameter `{item.name}`",
                code="signature.no-sample",
                hint="give samples keyed by parameter: a dict, or a JSON object, with a value for each",
            )
        if parameter.required or parameter.default is not inspect.Parameter.empty:
            found.append(parameter)
    return Inputs(tuple(found), values, {})


def returns_of(function: Callable[..., Any], answer: Any) -> tuple[s.Type, Mapping[str, s.Type]]:  # noqa: ARG001
    """Find the type of a method's answers, and the named types in it."""
    return type_of(answer, "$"), {}


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling gives a coroutine."""
    target = inspect.unwrap(function)
    called = getattr(type(target), "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(called)


def _with_default(parameter: s.Parameter, item: inspect.Parameter) -> s.Parameter:
    """Keep a default that JSON can write; one that it cannot is Python's own affair, and stays there."""
    if item.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return s.Parameter(parameter.name, parameter.type, parameter.kind, required=False)
    if item.default is inspect.Parameter.empty:
        return parameter
    kind = s.with_nullable(parameter.type) if item.default is None else parameter.type
    problems = Problems()
    default = codec_for(kind, {}).encode(item.default, "$", problems)
    return s.Parameter(parameter.name, kind, parameter.kind, required=False, default=None if problems else default)


def _settle(annotated: s.Type | None, value: Any, path: str, *, is_json: bool) -> tuple[s.Type, Any]:
    if annotated is None:
        value = _rows_as_table(value) if is_json else value
        return type_of(value, path), value
    problems = Problems()
    codec = codec_for(annotated, {})
    made = codec.decode(value, path, problems) if is_json else value
    if not is_json:
        codec.encode(value, path, problems)
    if problems:
        raise InvalidSignature(
            f"the annotation of `{path.removeprefix('$.')}` and its sample disagree",
            code="signature.disagreement",
            problems=[
                Problem(item.path, f"{item.found} in the sample", f"{item.expected} by the annotation", item.code)
                for item in problems.items
            ],
            hint="correct the annotation, or give samples of the annotated type",
        )
    return annotated, made


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


def row_count(arguments: Mapping[str, Any]) -> int | None:
    """Count the rows of the first table, series or array among the arguments; None where there is none."""
    for value in arguments.values():
        if is_batch(value):
            return len(value)
    return None


def is_batch(value: Any) -> bool:
    """Tell whether a value holds rows: a table, a series, or an array of one dimension or more."""
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    return (
        kind in {"pandas.DataFrame", "pandas.Series", "numpy.ndarray", "torch.Tensor"} and getattr(value, "ndim", 1) > 0
    )


def head(arguments: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Keep the first rows of every batch among the arguments that is as long as the first one."""
    count = row_count(arguments)
    kept = {}
    for name, value in arguments.items():
        if count is not None and is_batch(value) and len(value) == count:
            kept[name] = value.iloc[:rows] if hasattr(value, "iloc") else value[:rows]
        else:
            kept[name] = value
    return kept
