"""A loaded model that answers by its signature."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import Arguments, ExtraColumns, MethodCodec
from model_envelope.runtime.codec.requests import decode_request
from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.loading import load_model, own_traceback, summary
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope


@dataclass(frozen=True)
class BoundMethod:
    """One method of a loaded model, with the codec of its signature.

    ``decode``, ``call`` and ``encode`` are separate, so that a server can run each where it belongs.
    """

    name: str
    signature: s.Method
    function: Callable[..., Any]
    codec: MethodCodec

    def decode(self, body: Any) -> Arguments:
        """Make arguments of a request body. Raises :class:`InvalidPayload`."""
        return self.codec.decode(body)

    def read(self, raw: bytes) -> Arguments:
        """Make arguments of the bytes of a request body, on the fast road where there is one."""
        return decode_request(self.codec, raw)

    def call(self, arguments: Arguments) -> Any:
        """Call the model; an ``async`` method gives its coroutine. Raises :class:`ModelFailed`."""
        try:
            return self.function(*arguments.positional, **arguments.keyword)
        except (Exception, SystemExit) as error:
            raise raised(self.name, error) from error

    def encode(self, answer: Any) -> Any:
        """Make JSON values of an answer. Raises :class:`InvalidAnswer`."""
        return self.codec.encode(answer)

    def answer(self, body: Any) -> Any:
        """Decode, call and encode in a row; an ``async`` method is run to its end."""
        return self.encode(self.complete(self.call(self.decode(body))))

    def complete(self, answer: Any) -> Any:
        """Run a coroutine to its end; give anything else back as it is."""
        if not inspect.isawaitable(answer):
            return answer

        async def wait() -> Any:
            return await answer

        try:
            return asyncio.run(wait())
        except (Exception, SystemExit) as error:
            raise raised(self.name, error) from error


class Predictor:
    """A loaded model with all methods of its signature. ``extra_columns`` says what is done with unknown columns."""

    def __init__(self, envelope: EnvelopeFiles, model: Any, *, extra_columns: ExtraColumns = "refuse") -> None:
        self.envelope = envelope
        self.model = model
        self.methods: Mapping[str, BoundMethod] = {
            name: BoundMethod(
                name,
                method,
                method_of(model, envelope.description.methods[name]),
                MethodCodec(method, envelope.signature.definitions, extra_columns=extra_columns),
            )
            for name, method in envelope.signature.methods.items()
        }

    @classmethod
    def open(cls, path: Path, *, extra_columns: ExtraColumns = "refuse") -> Predictor:
        """Read an envelope and load its model, which runs the model's code."""
        envelope = read_envelope(path)
        return cls(envelope, load_model(envelope), extra_columns=extra_columns)


def method_of(model: Any, attribute: str) -> Callable[..., Any]:
    """Give a method of a model, or the model itself where it is a function.

    Raises :class:`ModelFailed` (``model.no-method``), naming the methods that it has.
    """
    found = model if attribute == "__call__" else getattr(model, attribute, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    public = [name for name in dir(model) if not name.startswith("_") and callable(getattr(model, name, None))]
    raise ModelFailed(
        f"the model, a {type(model).__module__}.{type(model).__qualname__}, has no method `{attribute}`",
        code="model.no-method",
        hint=f"it has {', '.join(f'`{name}`' for name in public) or 'no public methods'}; name one with --method",
    )


def raised(method: str, error: BaseException) -> ModelFailed:
    """Make the error for a model that raised while it answered."""
    return ModelFailed(
        f"the model raised while it answered `{method}`: {summary(error)}",
        code="model.raised",
        detail=own_traceback(error, (__file__,)),
    )
