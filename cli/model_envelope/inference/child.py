"""The probe's child process: loads the model, finds its signature, lets it answer its samples.

``python -m model_envelope.inference.child REQUEST RESULT``; both are files with one JSON document. What the model
prints goes to standard error.
"""

from __future__ import annotations

import argparse
import inspect
import json
import pickle
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model_envelope.inference.methods import Samples, bind, head, is_async, parameters_of, returns_of, row_count
from model_envelope.inference.observations import observe
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime import signature_document
from model_envelope.runtime.codec import Arguments, MethodCodec
from model_envelope.runtime.codec.arguments import arrange
from model_envelope.runtime.codec.base import codec_for
from model_envelope.runtime.comparing import differences
from model_envelope.runtime.errors import (
    AnswersDiffer,
    EnvelopeError,
    ExitCode,
    InvalidSignature,
    ModelFailed,
    Problems,
)
from model_envelope.runtime.loading import load_pickle, own_traceback, summary
from model_envelope.runtime.predicting import method_of, raised
from model_envelope.runtime.replay import claim_stdout

CLOSE = s.Tolerance(s.Closeness.CLOSE, rtol=1e-6, atol=1e-9)
"""How near an answer in floating point must come when it is replayed: processors and BLAS round differently."""

NARROW = s.Tolerance(s.Closeness.CLOSE, rtol=1e-3, atol=1e-6)
"""The same for float16 and float32."""


def main() -> int:
    """Probe in this interpreter; see the module."""
    parser = argparse.ArgumentParser(description="Load a model and find its signature.")
    parser.add_argument("request", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    request = json.loads(arguments.request.read_bytes())
    claim_stdout()
    if request["memory"]:
        resource.setrlimit(resource.RLIMIT_DATA, (request["memory"], request["memory"]))
    try:
        document = probe(request)
        code = ExitCode.OK
    except EnvelopeError as error:
        document = {"error": error.to_document(), "interpreter": interpreter()}
        code = ExitCode.FAILED
    except MemoryError:
        failed = ModelFailed("loading or asking the model took more memory than allowed", code="model.memory")
        document = {"error": failed.to_document(), "interpreter": interpreter()}
        code = ExitCode.FAILED
    arguments.result.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return code


def probe(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks and give the result as JSON values."""
    for folder in reversed(request["search"]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    before = set(sys.modules)
    model = load_pickle(Path(request["model"]), main=request["main"])
    chosen = choose_methods(model, request["methods"])
    samples = _load(request["samples"], "samples")
    answers = _load(request["answers"], "answers") if request["answers"] else None
    methods, bodies, found_answers, observed = {}, {}, {}, {}
    definitions: dict[str, s.Type] = {}
    for position, (name, attribute) in enumerate(chosen.items()):
        expected = _answers_for(answers, name, first=position == 0, known=chosen)
        asked = _Asked(name, method_of(model, attribute), samples, is_json=request["samples"]["json"])
        methods[name] = asked.examine(expected)
        bodies[name], found_answers[name] = asked.seal(request["rows"], methods[name])
        methods[name] = asked.method
        observed[name] = asked.observed
        definitions |= asked.definitions
    return {
        "interpreter": interpreter(),
        "model": f"{type(model).__module__}.{type(model).__qualname__}",
        "methods": chosen,
        "signature": signature_document.to_document(s.Signature(methods, definitions)),
        "observations": observed,
        "samples": {name: {"input": bodies[name], "output": found_answers[name]} for name in chosen},
        "modules": {name: getattr(sys.modules[name], "__file__", None) for name in sorted(set(sys.modules) - before)},
        "flavors": sorted(flavors(methods)),
    }


class _Asked:
    """One method while it is examined."""

    def __init__(self, name: str, function: Callable[..., Any], samples: Any, *, is_json: bool) -> None:
        self.name = name
        self.function = function
        bound: Samples = bind(function, samples, is_json=is_json)
        self.inputs = parameters_of(function, bound)
        self.parameters, self.values = self.inputs.parameters, self.inputs.values
        self.definitions = dict(self.inputs.definitions)
        self.rows = row_count(self.values)
        if self.rows == 0 or any(value == [] for value in self.values.values() if isinstance(value, list)):
            raise InvalidSignature(
                f"the samples for `{name}` have no rows",
                code="samples.empty",
                hint="give at least one row, better a few hundred: types and nullability are read from them",
            )
        self.observed: dict[str, Any] = {}

    def examine(self, expected: Any) -> s.Method:
        """Answer all samples and find the type of the answers."""
        answer = self._call(self.values)
        returns, more = returns_of(self.function, answer)
        self.definitions |= more
        if isinstance(returns, s.Tensor) and returns.shape and len(answer) != self.rows:
            returns = s.Tensor(returns.dtype, tuple(answer.shape), flavor=returns.flavor, non_finite=returns.non_finite)
        tolerance = tolerance_of(returns)
        self.method = s.Method(self.parameters, returns, is_async=is_async(self.function), tolerance=tolerance)
        self._observe(answer)
        if expected is not None:
            compare_with_given(self.name, encoded(returns, answer, self.definitions), expected, tolerance)
        return self.method

    def _observe(self, answer: Any) -> None:
        inputs = {name: found for name, value in self.values.items() if (found := observe(value))}
        self.observed = {"inputs": inputs}
        if answers := observe(answer):
            self.observed["answers"] = answers

    def seal(self, rows: int | None, method: s.Method) -> tuple[Any, Any]:
        """Keep the first rows as a request body, and what the model answers to this body, asked twice."""
        codec = MethodCodec(method, self.definitions)
        kept = self.values if rows is None else head(self.values, rows)
        body = codec.encode_arguments(kept)
        answers = [codec.encode(self._ask(codec.decode(body))) for _ in range(2)]
        same = not differences(answers[0], answers[1], method.tolerance)
        closeness = method.tolerance if same else s.Tolerance(s.Closeness.SHAPE)
        self.method = s.Method(
            method.parameters,
            method.returns,
            method.is_async,
            method.row_wise,
            s.Answer.YES if same else s.Answer.NO,
            closeness,
        )
        return body, answers[0]

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
            refused = raised(self.name, error)
            raise ModelFailed(
                refused.message,
                code=refused.code,
                detail=own_traceback(error, (__file__,)),
                hint="give samples that the model accepts: the columns and types that it was fitted with",
            ) from error
        return answer


async def _awaited(answer: Any) -> Any:
    return await answer


def choose_methods(model: Any, named: list[str]) -> dict[str, str]:
    """Decide which methods are sealed, as endpoint to attribute.

    Those that are named; else ``predict`` and, where the model has it, ``predict_proba``; else calling the model.
    """
    if named:
        for name in named:
            method_of(model, name)
        return {"predict" if name == "__call__" else name: name for name in named}
    usual = [name for name in ("predict", "predict_proba") if _answers_to(model, name)]
    if "predict" in usual:
        return {name: name for name in usual}
    if inspect.isroutine(model) or callable(model):
        return {"predict": "__call__"}
    method_of(model, "predict")
    raise AssertionError


def _answers_to(model: Any, name: str) -> bool:
    return callable(getattr(model, name, None))


def _load(source: Mapping[str, Any], what: str) -> Any:
    try:
        with Path(source["path"]).open("rb") as file:
            return pickle.load(file)
    except (Exception, SystemExit) as error:  # noqa: BLE001  unpickling raises whatever the classes in it like
        raise InvalidSignature(
            f"the {what} in {source['name']} cannot be read: {summary(error)}",
            code="samples.unreadable",
            hint="check that the file is a whole pickle, and that what it holds can be imported here",
        ) from None


def _answers_for(answers: Any, name: str, *, first: bool, known: Mapping[str, str]) -> Any:
    """Give the answers that belong to a method: keyed by method, or the first method's."""
    if isinstance(answers, dict) and answers and answers.keys() <= known.keys():
        return answers.get(name)
    return answers if first else None


def tolerance_of(kind: s.Type) -> s.Tolerance:
    """Choose the tolerance class of an answer: exact, or close where floating point is in it."""
    dtypes = set(_dtypes(kind))
    if dtypes & {"float16", "float32"}:
        return NARROW
    return CLOSE if dtypes & {"float64"} or "any" in dtypes else s.Tolerance()


def _dtypes(kind: s.Type) -> list[str]:
    match kind:
        case s.Scalar() | s.Tensor():
            return [kind.dtype]
        case s.List() | s.Set():
            return _dtypes(kind.item)
        case s.Tuple():
            return [dtype for item in kind.items for dtype in _dtypes(item)]
        case s.Map():
            return _dtypes(kind.key) + _dtypes(kind.value)
        case s.Record():
            return [dtype for field in kind.fields for dtype in _dtypes(field.type)]
        case s.Union():
            return [dtype for option in kind.options for dtype in _dtypes(option)]
        case s.Table():
            return [dtype for column in kind.columns for dtype in _dtypes(column.type)]
        case s.Series():
            return _dtypes(kind.item)
        case s.Any():
            return ["any"]
    return []


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


def flavors(methods: Mapping[str, s.Method]) -> set[str]:
    """Name the libraries whose objects the methods take or give."""
    found = set()
    for method in methods.values():
        for kind in [*(parameter.type for parameter in method.parameters), method.returns]:
            if isinstance(kind, s.Table | s.Series | s.Tensor):
                found.add(kind.flavor.value)
                if kind.flavor is s.Flavor.TORCH:
                    found.add("numpy")
    return found


def interpreter() -> dict[str, Any]:
    """Describe this interpreter."""
    return {
        "executable": sys.executable,
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": f"{platform.system().lower()}-{platform.machine()}",
        "path": list(sys.path),
        "stdlib": sorted(sys.stdlib_module_names),
    }


if __name__ == "__main__":
    sys.exit(main())
