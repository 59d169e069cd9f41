"""The whole request of a method to Python arguments, and its answer to JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe, under
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload, Problems

ExtraColumns = Literal["refuse", "ignore"]
"""What is done with the columns of a table that its signature does not know."""

_TOO_DEEP = ("values nested too deeply to follow", "a few hundred levels at most")


class Arguments(NamedTuple):
    """What a method is called with: ``method(*positional, **keyword)``."""

    positional: tuple[Any, ...]
    keyword: Mapping[str, Any]


def arrange(
    parameters: Sequence[s.Parameter], found: Mapping[str, Any], definitions: Mapping[str, s.Type]
) -> Arguments:
    """Pass by position what Python wants by position; by name what comes after a parameter that was left out.

    Where something that goes by position only comes after one that was left out, the default of the latter is passed.
    """
    at_least = _positions(parameters, found)
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    gap = False
    for at, parameter in enumerate(parameters):
        given = parameter.name in found
        if parameter.kind is s.Kind.VARIADIC:
            positional.extend(found.get(parameter.name, ()))
        elif parameter.kind is s.Kind.VARIADIC_KEYWORD:
            keyword.update(found.get(parameter.name, {}))
        elif given and parameter.kind is not s.Kind.KEYWORD and not gap:
            positional.append(found[parameter.name])
        elif given:
            keyword[parameter.name] = found[parameter.name]
        elif at < at_least:
            positional.append(codec_for(parameter.type, definitions).decode(parameter.default, "$", Problems()))
        else:
            gap = True
    return Arguments(tuple(positional), keyword)


def _usual(parameters: Sequence[s.Parameter]) -> tuple[str, ...] | None:
    """Name the parameters of a method that takes all of them by position, where all are given; else None."""
    if all(item.kind in {s.Kind.NORMAL, s.Kind.POSITIONAL} for item in parameters):
        return tuple(item.name for item in parameters)
    return None


def _positions(parameters: Sequence[s.Parameter], found: Mapping[str, Any]) -> int:
    """Count the parameters up to the last given one that goes by position only."""
    last = 0
    for at, parameter in enumerate(parameters):
        if parameter.name not in found:
            continue
        if parameter.kind is s.Kind.POSITIONAL or (parameter.kind is s.Kind.VARIADIC and len(found[parameter.name])):
            last = at
    return last


class MethodCodec:
    """The codecs of all parameters of a method and of its answer; made once, used for every request."""

    def __init__(
        self,
        method: s.Method,
        definitions: Mapping[str, s.Type],
        *,
        extra_columns: ExtraColumns = "refuse",
    ) -> None:
        self.method = method
        self.definitions = definitions = Definitions(definitions, ignore_columns=extra_columns == "ignore")
        self.parameters: Mapping[str, tuple[s.Parameter, Codec]] = {
            parameter.name: (parameter, parameter_codec(parameter, definitions)) for parameter in method.parameters
        }
        self.returns = codec_for(method.returns, definitions)
        self.made: dict[str, Any] = {}
        """What other parts of the codec make once for a method, by their name."""
        self._usual = _usual(method.parameters)
        self._paths = tuple((name, f"$.{name}", codec) for name, (_, codec) in self.parameters.items())

    def decode(self, body: Any) -> Arguments:
        """Decode a request body, an object keyed by parameter.

        Raises :class:`InvalidPayload` with everything that is wrong with it.
        """
        problems = Problems()
        try:
            found = self._decode(body, problems)
        except RecursionError:
            found = {}
            problems.add("$", *_TOO_DEEP, "payload.depth")
        if problems:
            raise InvalidPayload(
                problems.summary("the request does not fit the signature"),
                code="payload.invalid",
                problems=problems.items,
            )
        return self.arrange(found)

    def arrange(self, found: Mapping[str, Any]) -> Arguments:
        """Pass what was decoded as Python wants it; most often all of it is there, and goes by position."""
        if self._usual is not None and len(found) == len(self._usual):
            return Arguments(tuple([found[name] for name in self._usual]), {})
        return arrange(self.method.parameters, found, self.definitions)

    def _decode(self, body: Any, problems: Problems) -> dict[str, Any]:
        if type(body) is not dict:
            problems.add("$", describe(body), f"an object with {', '.join(self.parameters)}", "payload.type")
            return {}
        if not body.keys() <= self.parameters.keys():
            for name in sorted(body.keys() - self.parameters.keys()):
                problems.add(
                    under("$", name), "an unknown parameter", f"one of {', '.join(self.parameters)}", "payload.unknown"
                )
        found = {}
        for name, path, codec in self._paths:
            if name in body:
                found[name] = codec.decode(body[name], path, problems)
                continue
            parameter = self.parameters[name][0]
            if parameter.required and parameter.kind not in {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD}:
                problems.add(path, "nothing", parameter.type.kind, "payload.missing")
        return found

    def encode(self, answer: Any) -> Any:
        """Write the answer as JSON values.

        Raises :class:`InvalidAnswer` where the model gave something that its signature does not allow.
        """
        return self.encode_by(self.returns.encode, answer)

    def encode_by(self, encode: Callable[[Any, str, Problems], Any], answer: Any) -> Any:
        """Write the answer with a method of its codec; raises as :meth:`encode` does."""
        problems = Problems()
        try:
            value = encode(answer, "$", problems)
        except RecursionError:
            value = None
            problems.add("$", *_TOO_DEEP, "answer.depth")
        if problems:
            raise InvalidAnswer(
                problems.summary("the model's answer does not fit its signature"),
                code="answer.invalid",
                problems=problems.items,
            )
        return value

    def encode_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Write arguments as a request body: what a sealed sample is.

        Raises :class:`InvalidAnswer` for a value that is not of its parameter's type.
        """
        problems = Problems()
        body = {
            name: codec.encode(arguments[name], f"$.{name}", problems)
            for name, (_, codec) in self.parameters.items()
            if name in arguments
        }
        if problems:
            raise InvalidAnswer(
                problems.summary("the sample does not fit the signature"),
                code="sample.invalid",
                problems=problems.items,
            )
        return body


def parameter_codec(parameter: s.Parameter, definitions: Mapping[str, s.Type]) -> Codec:
    """Make the codec of what a request body has for a parameter."""
    if parameter.kind is s.Kind.VARIADIC:
        return codec_for(s.List(parameter.type), definitions)
    if parameter.kind is s.Kind.VARIADIC_KEYWORD:
        return codec_for(s.Map(s.Scalar("string"), parameter.type), definitions)
    return codec_for(parameter.type, definitions)
