"""Reads a file of samples with the libraries of the packing interpreter, in a process of its own.

So what a reader imports (a Parquet engine, say) is never taken for something that the model needs.
``python -m model_envelope.inference.reader FILE OUT`` leaves the object in OUT as a pickle, or an error as JSON.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model_envelope.runtime.codec import parse_json
from model_envelope.runtime.errors import EnvelopeError, ExitCode, InvalidPayload, InvalidSignature


def _csv(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path)


def _parquet(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def _feather(path: Path) -> Any:
    import pandas as pd

    return pd.read_feather(path)


def _numpy(path: Path) -> Any:
    import numpy as np

    found = np.load(path, allow_pickle=False)
    return dict(found) if path.suffix == ".npz" else found


def _json_lines(path: Path) -> Any:
    return [parse_json(line) for line in path.read_bytes().splitlines() if line.strip()]


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".feather": _feather,
    ".arrow": _feather,
    ".npy": _numpy,
    ".npz": _numpy,
    ".json": lambda path: parse_json(path.read_bytes()),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
"""File endings that can be read. Pickles are not here: the probe loads them beside the model."""

PICKLES = frozenset({".pkl", ".pickle"})
JSON = frozenset({".json", ".jsonl", ".ndjson"})
"""Endings whose content is plain JSON values: annotations or the model decide what they become."""


def read(path: Path) -> Any:
    """Read a file by its ending.

    Raises :class:`InvalidSignature` (``samples.unreadable``) where the file is not what its ending says.
    """
    try:
        return READERS[path.suffix.lower()](path)
    except ImportError as error:
        raise InvalidSignature(
            f"{path} cannot be read: {sys.executable} lacks what reads {path.suffix} files ({error})",
            code="samples.no-reader",
            hint=f"install `{error.name or 'pyarrow'}` there, or give the samples as .json or .pkl",
        ) from None
    except InvalidPayload as error:
        raise InvalidSignature(f"{path} is no JSON: {error.message}", code="samples.unreadable") from None
    except Exception as error:  # noqa: BLE001  readers raise whatever they like
        raise InvalidSignature(
            f"{path} cannot be read as {path.suffix.lstrip('.').upper()}: {type(error).__name__}: {error}",
            code="samples.unreadable",
            hint="check that the file is whole, and that its ending says what it is",
        ) from None


def main() -> int:
    """Read in this interpreter; see the module."""
    parser = argparse.ArgumentParser(description="Read a file of samples.")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        value = read(arguments.file)
    except EnvelopeError as error:
        arguments.out.write_text(json.dumps(error.to_document()), encoding="utf-8")
        return ExitCode.FAILED
    with arguments.out.open("wb") as file:
        pickle.dump(value, file, protocol=5)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
