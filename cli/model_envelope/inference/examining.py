"""One method of a loaded model, examined: what it takes and gives, how it behaves, and the sample that is sealed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from model_envelope.inference import rows
from model_envelope.inference.axes import Axes, find_axes
from model_envelope.inference.behaviour import Asked, Behaviour, behaviour_of, chosen_rows, timed
from model_envelope.inference.knowledge import (
    CODE,
    Knowledge,
    described,
    disagreement,
    knowledge_of,
    narrowed,
    objections,
    refused,
    strangers,
)
from model_envelope.inference.methods import (
    Inputs,
    Samples,
    bind,
    is_async,
    merge_definitions,
    parameters_of,
    returns_of,
)
from model_envelope.inference.observations import observe
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import Arguments, MethodCodec
from model_envelope.runtime.codec.arguments import arrange
from model_envelope.runtime.codec.base import codec_for
from model_envelope.runtime.comparing import differences
from model_envelope.runtime.errors import AnswersDiffer, InvalidSignature, ModelFailed, Problem, Problems
from model_envelope.runtime.loading import own_traceback
from model_envelope.runtime.predicting import raised

CLOSE = s.Tolerance(s.Closeness.CLOSE, rtol=1e-6, atol=1e-9)
"""How near an answer in floating point must come when it is replayed: processors and BLAS round differently."""

NARROW = s.Tolerance(s.Closeness.CLOSE, rtol=1e-3, atol=1e-6)
"""The same for float16 and float32."""


class Examined:
    """One method while it is examined. ``notes`` say what was looked at in part only."""

    method: s.Method
    seconds: float

    def __init__(self, name: str, model: Any, function: Callable[..., Any], samples: Any, *, is_json: bool) -> None:
        self.name = name
        self.function = function
        self.knowledge: Knowledge = knowledge_of(model, function)
        self.said = described(function)
        bound = bind(self.said, samples, is_json=is_json)
        self._refuse_no_rows(bound.arguments)
        inputs = self._inputs(bound)
        self.parameters, self.values = inputs.parameters, inputs.values
        self.definitions = dict(inputs.definitions)
        self.rows = rows.batches(self.values)[1]
        self.notes: tuple[str, ...] = ()
        self.observed: dict[str, Any] = {}
        self.axes: Axes | None = None

    def _refuse_no_rows(self, arguments: Mapping[str, Any]) -> None:
        if rows.batches(arguments)[1] == 0 or any(value == [] for value in arguments.values() if type(value) is list):
            raise InvalidSignature(
                f"the samples for `{self.name}` have no rows",
                code="samples.empty",
                hint="give at least one row, better a few hundred: types and nullability are read from them",
            )

    def _inputs(self, bound: Samples) -> Inputs:
        """Find the parameters; where annotation and sample disagree, say what the model knows in the same error."""
        try:
            return parameters_of(self.said, bound)
        except InvalidSignature as error:
            if error.code != CODE:
                raise
            further: list[Problem] = []
            for name, value in list(bound.arguments.items())[:1]:
                try:
                    further = objections(type_of(value, f"$.{name}"), self.knowledge, f"$.{name}", asked=True)
                except InvalidSignature:
                    break  # the sample alone makes no sense, which the first error says already
            if not further:
                raise
            raise disagreement(self.name, [*error.problems, *further]) from None

    def examine(self, expected: Any) -> s.Method:
        """Answer all samples, find the type of the answers, and how the method behaves."""
        answer, self.seconds = self._first_answer()
        returns, more = returns_of(self.said, answer)
        self.definitions = merge_definitions(self.definitions, more)
        if isinstance(returns, s.Tensor) and returns.shape and returns.batch == 0 and rows.count(answer) != self.rows:
            # Not one answer a row: what else the length may depend on is not known.
            returns = replace(returns, shape=tuple(answer.shape), batch=None)
        tolerance = tolerance_of(returns)
        self.method = s.Method(self.parameters, returns, is_async=is_async(self.function), tolerance=tolerance)
        self._observe(answer)
        if expected is not None:
            compare_with_given(self.name, encoded(returns, answer, self.definitions), expected, tolerance)
        found = self._behaviour(answer, self.seconds)
        self.notes = tuple(f"`{self.name}`: {note}" for note in found.notes)
        self.method = replace(
            self.method, row_wise=found.row_wise, deterministic=found.deterministic, tolerance=found.tolerance
        )
        return self.method

    def _behaviour(self, answer: Any, seconds: float) -> Behaviour:
        """Find out whether rows are independent, along the first axis or, of arrays, along another."""
        asked = Asked(self.values, answer, self._call, MethodCodec(self.method, self.definitions).encode, seconds)
        found = behaviour_of(asked, self.method.tolerance)
        arrays = {parameter.name for parameter in self.parameters if isinstance(parameter.type, s.Tensor)}
        if found.row_wise is not s.Answer.NO or not rows.batches(self.values)[0].keys() <= arrays:
            return found
        of_any_shape = replace(asked, encode=lambda given: encoded(type_of(given), given))
        along = find_axes(of_any_shape, self.method.tolerance)
        if along is None:
            return found
        self.axes, found = along
        length = rows.count(self.values[next(iter(self.axes.arguments))]) or 0
        self.parameters = tuple(self._along(parameter, length) for parameter in self.parameters)
        returns = self.method.returns
        if isinstance(returns, s.Tensor):
            returns = self.axes.typed(returns, self.axes.answer, tuple(answer.shape), length)
        self.method = replace(self.method, parameters=self.parameters, returns=returns)
        return found

    def _along(self, parameter: s.Parameter, length: int) -> s.Parameter:
        """Give a parameter's array the axis of its rows."""
        if self.axes is None or parameter.name not in self.axes.arguments or not isinstance(parameter.type, s.Tensor):
            return parameter
        shape = tuple(self.values[parameter.name].shape)
        axis = self.axes.arguments[parameter.name]
        return replace(parameter, type=self.axes.typed(parameter.type, axis, shape, length))

    def _first_answer(self) -> tuple[Any, float]:
        """Ask everything, and let the fitted model narrow the types of what it takes."""
        if not self.parameters or self.parameters[0].name not in self.values:
            return timed(lambda: self._call(self.values))
        first = self.parameters[0]
        path, value = f"$.{first.name}", self.values[first.name]
        if problems := objections(first.type, self.knowledge, path):
            raise disagreement(self.name, problems)
        unknown = strangers(first.type, value, self.knowledge)
        try:
            found = timed(lambda: self._call(self.values))
        except ModelFailed as failed:
            if unknown:
                raise disagreement(self.name, refused(unknown, self.knowledge, path)) from failed
            raise
        # A value that no encoder knows and the model answers all the same: then it is not refused.
        kind = narrowed(first.type, self.knowledge, free=unknown)
        self.parameters = (replace(first, type=kind), *self.parameters[1:])
        return found

    def _observe(self, answer: Any) -> None:
        kinds = {parameter.name: parameter.type for parameter in self.parameters}
        inputs = {name: found for name, value in self.values.items() if (found := observe(value, kinds.get(name)))}
        self.observed = {"inputs": inputs}
        if answers := observe(answer, self.method.returns):
            self.observed["answers"] = answers
        if known := self.knowledge.to_document():
            self.observed["model"] = known

    def seal(self, most: int | None) -> tuple[Any, Any]:
        """Keep the first rows as a request body, and what the model answers to this body."""
        count = self._count()
        return self._asked_again(None if most is None or count is None else range(min(most, count)))

    def witness(self) -> tuple[Any, Any]:
        """Give a request of as many rows, evenly chosen, as can be asked again, and what is answered to it."""
        count = self._count()
        return self._asked_again(None if count is None else chosen_rows(count, self.seconds)[0])

    def _count(self) -> int | None:
        return rows.batches(self.values)[1] if self.axes is None else self.axes.count

    def _asked_again(self, places: Sequence[int] | None) -> tuple[Any, Any]:
        codec = MethodCodec(self.method, self.definitions)
        kept = dict(self.values)
        if places is not None and self.axes is not None:
            kept = self.axes.kept(self.values, places)
        elif places is not None:
            # A list may be one argument with many items; only tables, series and arrays are cut.
            batch, _ = rows.batches(self.values)
            kept |= {name: rows.take(value, places) for name, value in batch.items() if not isinstance(value, list)}
        body = codec.encode_arguments(kept)
        return body, codec.encode(self._ask(codec.decode(body)))

    def _call(self, values: Mapping[str, Any]) -> Any:
        return self._ask(arrange(self.parameters, values, self.definitions))

    def _ask(self, arguments: Arguments) -> Any:
        try:
            answer = self.function(*arguments.positional, **arguments.keyword)
            if inspect.isawaitable(answer):
                import asyncio

                return asyncio.run(_awaited(answer))
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            failed = raised(self.name, error)
            raise ModelFailed(
                failed.message,
                code=failed.code,
                detail=own_traceback(error, (__file__,)),
                hint="give samples that the model accepts: the columns and types that it was fitted with",
            ) from error
        return answer


async def _awaited(answer: Any) -> Any:
    return await answer


def tolerance_of(kind: s.Type) -> s.Tolerance:
    """Choose the tolerance class of an answer: exact, or close where floating point is in it."""
    dtypes = set(s.dtypes(kind))
    if dtypes & {"float16", "float32"}:
        return NARROW
    return CLOSE if dtypes & {"float64"} or "any" in dtypes else s.Tolerance()


def encoded(kind: s.Type, answer: Any, definitions: Mapping[str, s.Type] | None = None) -> Any:
    """Write an answer as JSON values by the type that was found for it."""
    problems = Problems()
    value = codec_for(kind, definitions or {}).encode(answer, "$", problems)
    if problems:
        raise InvalidSignature(
            "the model's answers cannot be written as JSON", code="signature.answer", problems=problems.items
        )
    return value


def compare_with_given(name: str, answered: Any, given: Any, tolerance: s.Tolerance) -> None:
    """Hold the model's answers against those that the user gave.

    Raises :class:`AnswersDiffer` with the first differences. A table of one column counts as that column.
    """
    expected = encoded(type_of(given, "$"), given)
    if isinstance(expected, list) and isinstance(answered, list) and not any(isinstance(row, dict) for row in answered):
        expected = [next(iter(row.values())) if isinstance(row, dict) and len(row) == 1 else row for row in expected]
    wrong = differences(expected, answered, tolerance)
    if wrong:
        raise AnswersDiffer(
            f"the model answers `{name}` otherwise than the answers that were given",
            code="answers.differ",
            problems=wrong,
            hint="give the answers of this very model to these samples (true labels are not its answers), or none",
        )
