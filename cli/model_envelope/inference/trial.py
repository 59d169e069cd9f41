"""A trial's child process: loads the model with some distributions hidden, and lets it answer what it answered before.

``python -m model_envelope.inference.trial REQUEST RESULT``; both are files with one JSON document.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model_envelope.inference.hiding import Hidden, Hiding
from model_envelope.inference.starting import start
from model_envelope.inference.tracing import mapped_libraries
from model_envelope.runtime import signature_document
from model_envelope.runtime.codec import Arguments, MethodCodec
from model_envelope.runtime.comparing import differences
from model_envelope.runtime.errors import EnvelopeError, ExitCode
from model_envelope.runtime.loading import load_pickle, summary
from model_envelope.runtime.predicting import method_of


def main() -> int:
    """Try in this interpreter; see the module."""
    request, result = start("Load a model with some distributions hidden.")
    hiding = Hiding(Hidden.from_document(request["hidden"]))
    before = set(sys.modules)
    hiding.start()
    try:
        failure = try_all(request)
    except (Exception, SystemExit) as error:  # noqa: BLE001  what a model raises where something is not there
        failure = error.message if isinstance(error, EnvelopeError) else summary(error)
    document = {
        "failure": failure,
        "missed": list(hiding.missed),
        "libraries": mapped_libraries(),
        "modules": {name: getattr(sys.modules[name], "__file__", None) for name in sorted(set(sys.modules) - before)},
    }
    result.write_text(json.dumps(document), encoding="utf-8")
    return ExitCode.OK


def try_all(request: Mapping[str, Any]) -> str | None:
    """Answer the witnesses; gives the first thing that is not as before, None where all is."""
    model = load_pickle(Path(request["model"]), main=request["main"])
    signature = signature_document.from_document(request["signature"])
    for name, method in signature.methods.items():
        codec = MethodCodec(method, signature.definitions)
        function = method_of(model, request["methods"][name])
        witness = request["witnesses"][name]
        answer = codec.encode(_ask(function, codec.decode(witness["input"])))
        if different := differences(witness["output"], answer, method.tolerance, limit=1):
            return f"`{name}` answers otherwise: {different[0]}"
    return None


def _ask(function: Callable[..., Any], arguments: Arguments) -> Any:
    answer = function(*arguments.positional, **arguments.keyword)
    if not inspect.isawaitable(answer):
        return answer
    import asyncio

    async def wait() -> Any:
        return await answer

    return asyncio.run(wait())


if __name__ == "__main__":
    sys.exit(main())
