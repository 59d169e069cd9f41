"""The model from its files: with its local code importable and ``__main__`` standing for what it was."""

from __future__ import annotations

import importlib
import pickle
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from model_envelope.runtime.errors import ModelFailed
from model_envelope.runtime.reading import EnvelopeFiles


class _Unpickler(pickle.Unpickler):
    """Looks up what the pickle calls ``__main__`` in the module that stands for it."""

    def __init__(self, file: BinaryIO, main: str) -> None:
        super().__init__(file)
        self.main = main

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(self.main if module == "__main__" else module, name)


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
    if envelope.code.is_dir():
        prefer(envelope.code)
    return load_pickle(envelope.path / loader.file, main=loader.main)


class _SourceOnly(SourceFileLoader):
    """Compiles a sealed module each time: bytecode in an envelope would be files that nobody sealed, or trusts."""

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(f"no bytecode is read or written for {path}")


def prefer(folder: Path) -> None:
    """Put a folder of sealed modules first on the import path. Bytecode is neither read nor written there."""
    if str(folder) in sys.path:
        return

    def finder(entry: str) -> FileFinder:
        if not Path(entry).is_relative_to(folder):
            raise ImportError(f"{entry} is not in {folder}", path=entry)
        return FileFinder(entry, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceOnly, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, finder)
    sys.path.insert(0, str(folder))


def load_pickle(path: Path, *, main: str | None = None) -> Any:
    """Load a pickle file, ``__main__`` in it looked up in the module ``main``.

    Raises :class:`ModelFailed`, with the traceback from the model's own code in ``detail``.
    """
    try:
        with path.open("rb") as file:
            if main is None:
                return pickle.load(file)
            importlib.import_module(main)
            return _Unpickler(file, main).load()
    except ModuleNotFoundError as error:
        raise ModelFailed(
            f"{path.name} needs the module `{error.name}`, which is not here",
            code="model.missing-module",
            detail=own_traceback(error, (__file__,)),
            hint=f"install what provides `{error.name}` in {sys.executable}, or name another interpreter with --python",
        ) from error
    except (Exception, SystemExit) as error:
        raise ModelFailed(
            f"{path.name} cannot be loaded: {summary(error)}",
            code="model.load",
            detail=own_traceback(error, (__file__,)),
            hint="load it as it was saved: with the same packages, its own modules in its folder or the current one",
        ) from error


def summary(error: BaseException) -> str:
    """Give an exception in one line: its class and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def own_traceback(error: BaseException, without: Sequence[str]) -> str:
    """Format an exception with the frames of these files left out: what the model's author wants to see."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in without]
    lines = [*traceback.format_list(frames[-12:]), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()
