"""The model from its files: with its local code importable and ``__main__`` standing for what it was."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.local_imports import LocalImports
from model_envelope.runtime.reading import EnvelopeFiles

_CLOUDPICKLE = frozenset({"cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast", "cloudpickle"})


class _Unpickler(pickle.Unpickler):
    """Finds local modules where the pickle means them, and what it calls ``__main__`` in what stands for it."""

    def __init__(self, file: BinaryIO, main: str | None, imports: LocalImports) -> None:
        super().__init__(file)
        self.main = main
        self.imports = imports
        self.builtins = dict(imports.builtins())

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__" and self.main is not None:
            module = self.main
        if self.imports.attribute(module, name):
            found = self.imports.module(module)
            for part in name.split("."):
                found = getattr(found, part)
            return found
        if module in _CLOUDPICKLE and name == "subimport":
            return self._import
        found = super().find_class(module, name)
        return self._making(found) if module in _CLOUDPICKLE and name == "_make_function" else found

    def _import(self, name: str) -> Any:
        """Import a module that code in the pickle uses."""
        return self.builtins["__import__"](name, None, None, ("__name__",), 0)

    def _making(self, make: Callable[..., types.FunctionType]) -> Callable[..., types.FunctionType]:
        """Have functions that travel in the pickle import as local modules do."""

        def make_function(*arguments: Any) -> types.FunctionType:
            made = make(*arguments)
            made.__globals__["__builtins__"] = self.builtins
            return types.FunctionType(
                made.__code__, made.__globals__, made.__name__, made.__defaults__, made.__closure__
            )

        return make_function


def load_model(envelope: EnvelopeFiles) -> Any:
    """Load the model of an envelope. This runs the code that its pickle names.

    Raises :class:`ModelFailed`: ``model.missing-module`` where a module is not here, else ``model.load``.
    """
    loader = envelope.description.loader
    if loader.name != "pickle":
        raise ModelFailed(
            f"the model of {envelope.path} wants the loader `{loader.name}`, and this version knows `pickle`",
            code="model.unknown-loader",
            hint="upgrade model-envelope: `pip install --upgrade model-envelope`",
        )
    imports = LocalImports([str(envelope.code)] if envelope.code.is_dir() else [], sealed=True).activate()
    return load_pickle(envelope.path / loader.file, main=loader.main, imports=imports)


def load_pickle(path: Path, *, main: str | None = None, imports: LocalImports | None = None) -> Any:
    """Load a pickle file, ``__main__`` in it looked up in the module ``main``.

    ``imports`` find its local modules; without them these are looked for on ``sys.path``, before Python's own folders.

    Raises :class:`ModelFailed`, with the traceback from the model's own code in ``detail``.
    """
    process = os.getpid()
    try:
        imports = imports or LocalImports.at_the_front().activate()
        if main is not None:
            imports.module(main)
        with path.open("rb") as file:
            if main is None and not imports.names_beside:
                return pickle.load(file)
            return _Unpickler(file, main, imports).load()
    except ModuleNotFoundError as error:
        raise ModelFailed(
            f"{path.name} needs the module `{error.name}`, which is not here",
            code="model.missing-module",
            detail=own_traceback(error, (__file__,)),
            hint=f"install what provides `{error.name}` in {sys.executable}, or name another interpreter with "
            "--python; a module of your own is named to pack by its path: --module PATH",
        ) from error
    except (Exception, SystemExit) as error:
        raise ModelFailed(
            f"{path.name} cannot be loaded: {summary(error)}",
            code="model.load",
            detail=own_traceback(error, (__file__,)),
            hint=_advice(error),
        ) from error
    finally:
        if os.getpid() != process:
            # Code of the model has forked, and this is the copy: what it would do from here on is done already.
            os._exit(0)


def _advice(error: BaseException) -> str:
    """Say what to do about a model that cannot be loaded, by where the error comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    parts = Path(frames[-1].filename).parts if frames else ()
    folder = next((part for part in parts if part in ("site-packages", "dist-packages")), None)
    if folder is None:
        return "load it as it was saved: with the same packages, its own modules in its folder or the current one"
    package = parts[parts.index(folder) + 1].removesuffix(".py")
    return (
        f"the error comes from the installed `{package}`: it may be broken, or another version than the model was "
        "saved with; install it again, in that version"
    )


def summary(error: BaseException) -> str:
    """Give an exception in one line: its class and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def own_traceback(error: BaseException, without: Sequence[str]) -> str:
    """Format an exception with the frames of these files left out: what the model's author wants to see."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in without]
    lines = [*traceback.format_list(frames[-12:]), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()
