"""The probe's child process: loads the model, finds its signature, lets it answer its samples.

``python -m model_envelope.inference.child REQUEST RESULT``; both are files with one JSON document. What the model
prints goes to standard error.
"""

from __future__ import annotations

import inspect
import json
import pickle
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model_envelope.inference.by_value import imports_by_value
from model_envelope.inference.examining import Examined
from model_envelope.inference.methods import merge_definitions
from model_envelope.inference.starting import start
from model_envelope.inference.tracing import Trace
from model_envelope.runtime import signature as s
from model_envelope.runtime import signature_document
from model_envelope.runtime.errors import (
    EnvelopeError,
    ExitCode,
    InvalidSignature,
    ModelFailed,
)
from model_envelope.runtime.loading import load_pickle, summary
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.predicting import method_of


def main() -> int:
    """Probe in this interpreter; see the module."""
    request, result = start("Load a model and find its signature.")
    try:
        document = probe(request)
        code = ExitCode.OK
    except EnvelopeError as error:
        document = {"error": error.to_document(), "interpreter": interpreter()}
        code = ExitCode.FAILED
    except MemoryError:
        failed = ModelFailed(
            "loading or asking the model took more memory than it may",
            code="model.memory",
            hint="give fewer samples, or a machine with more; `--memory-limit SIZE` is how much it may take",
        )
        document = {"error": failed.to_document(), "interpreter": interpreter()}
        code = ExitCode.FAILED
    result.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return code


def probe(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks and give the result as JSON values."""
    before = set(sys.modules)
    trace = Trace()
    trace.start()
    model = load_pickle(Path(request["model"]), main=request["main"])
    by_value = imports_by_value()
    chosen = choose_methods(model, request["methods"])
    samples = _load(request["samples"], "samples")
    answers = _load(request["answers"], "answers") if request["answers"] else None
    methods, kept, observed, witnesses = {}, {}, {}, {}
    notes: dict[str, None] = {}
    definitions: dict[str, s.Type] = {}
    for position, (name, attribute) in enumerate(chosen.items()):
        expected = _answers_for(answers, name, first=position == 0, known=chosen)
        examined = Examined(name, model, method_of(model, attribute), samples, is_json=request["samples"]["json"])
        methods[name] = examined.examine(expected)
        body, answer = examined.seal(request["rows"])
        kept[name] = {"input": body, "output": answer}
        body, answer = examined.witness()
        witnesses[name] = {"input": body, "output": answer}
        observed[name] = examined.observed
        notes |= dict.fromkeys(examined.notes)
        definitions = merge_definitions(definitions, examined.definitions)
    return {
        "interpreter": interpreter(),
        "model": f"{type(model).__module__}.{type(model).__qualname__}",
        "methods": chosen,
        "signature": signature_document.to_document(s.Signature(methods, definitions)),
        "observations": observed,
        "samples": kept,
        "witnesses": witnesses,
        "by_value": by_value,
        "traced": asdict(trace.noted()),
        "notes": list(notes),
        "modules": {name: getattr(sys.modules[name], "__file__", None) for name in sorted(set(sys.modules) - before)},
        "preloaded": sorted({name.partition(".")[0] for name in before} - sys.stdlib_module_names),
        "flavors": sorted(flavors(methods)),
        "machine": Machine.of_this_process().to_document(),
    }


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
    while source["awaited"] and not Path(source["path"]).exists():
        time.sleep(0.005)  # a reader makes it; where that fails, this process is ended
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
