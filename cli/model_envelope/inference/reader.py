"""Reads a file of samples with the libraries of the packing interpreter, in a process of its own.

So what a reader imports (a Parquet engine, say) is never taken for something that the model needs.
``python -m model_envelope.inference.reader FILE OUT`` leaves the object in OUT as a pickle, or an error as JSON. OUT
appears when it is whole: who waits for it may read it then.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model_envelope.inference.columns import Override, apply_overrides, parse_override
from model_envelope.inference.memory import available_memory, limit_memory
from model_envelope.runtime.codec import parse_json
from model_envelope.runtime.codec.csv import read_sheet
from model_envelope.runtime.errors import EnvelopeError, ExitCode, InvalidPayload, InvalidSignature, Problem

_EMPTY = "signature.empty-column"


def _csv(path: Path, overrides: Sequence[Override]) -> Any:
    import pandas as pd

    sheet = read_sheet(path.read_bytes())
    texts = {item.column: object for item in overrides}
    frame = pd.read_csv(path, encoding="utf-8-sig", low_memory=False, skip_blank_lines=False, dtype=texts)
    for name in texts:
        if name in frame:
            at = sheet.header.index(name)
            frame[name] = pd.Series([row[at] for row in sheet.rows], dtype=object, index=frame.index)
    empty = [str(name) for name in frame.columns if name not in texts and len(frame) and bool(frame[name].isna().all())]
    if empty:
        names = ", ".join(f"`{name}`" for name in empty[:20])
        raise InvalidSignature(
            f"nothing says what {names} in {path.name} holds: every row is empty",
            code="signature.empty-column",
            problems=[Problem(f"$.{name}", "nothing but nulls", "at least one value", _EMPTY) for name in empty[:100]],
            hint=f"say it: `--column {empty[0]}=float64?`",
        )
    return frame


def _parquet(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def _arrow(path: Path) -> Any:
    """Read Arrow IPC: the file format, which Feather is, or the stream format."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        try:
            table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
        return table.to_pandas()


def _numpy(path: Path) -> Any:
    import numpy as np

    with path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        return dict(found) if path.suffix.lower() == ".npz" else found


def _json_lines(path: Path) -> Any:
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                found.append(parse_json(line))
            except InvalidPayload as error:
                raise InvalidPayload(
                    f"line {number}: {error.message.removeprefix('the body is no JSON: ')}", code=error.code
                ) from None
    return found


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".csv": lambda path: _csv(path, ()),
    ".parquet": _parquet,
    ".feather": _arrow,
    ".arrow": _arrow,
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


def read(path: Path, overrides: Sequence[Override] = ()) -> Any:
    """Read a file by its ending, and give columns the types that were given.

    Raises :class:`InvalidSignature`: ``samples.unreadable`` where the file is not what its ending says,
    ``samples.column-type`` where values are not of the types that were given.
    """
    try:
        ending = path.suffix.lower()
        found = _csv(path, overrides) if ending == ".csv" else READERS[ending](path)
        return _typed(found, path, overrides, texts=ending == ".csv") if overrides else found
    except InvalidSignature:
        raise
    except ImportError as error:
        raise InvalidSignature(
            f"{path} cannot be read: {sys.executable} lacks what reads {path.suffix} files ({error})",
            code="samples.no-reader",
            hint=f"install `{error.name or 'pyarrow'}` there, or give the samples as .json or .pkl",
        ) from None
    except InvalidPayload as error:
        what = path.suffix.lstrip(".").upper()
        raise InvalidSignature(
            f"{path} cannot be read as {what}: {error.message.removeprefix('the body is no JSON: ')}",
            code="samples.unreadable",
            problems=error.problems,
            hint=error.hint,
        ) from None
    except MemoryError:
        raise InvalidSignature(
            f"{path} holds more than the {available_memory():,} bytes of memory here ",
            code="samples.too-large",
            hint="give fewer rows: a few thousand say all that a signature needs",
        ) from None
    except Exception as error:  # noqa: BLE001  readers raise whatever they like
        raise InvalidSignature(
            f"{path} cannot be read as {path.suffix.lstrip('.').upper()}: {type(error).__name__}: {error}",
            code="samples.unreadable",
            hint="check that the file is whole, and that its ending says what it is",
        ) from None


def _typed(found: Any, path: Path, overrides: Sequence[Override], *, texts: bool) -> Any:
    if type(found).__name__ != "DataFrame":
        raise InvalidSignature(
            f"{path} holds no table, and types of columns were given",
            code="samples.column-type",
            hint="leave `--column` out: JSON and arrays say themselves what they hold",
        )
    return apply_overrides(found, overrides, texts=texts)


def main() -> int:
    """Read in this interpreter; see the module."""
    parser = argparse.ArgumentParser(description="Read a file of samples.")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--column", action="append", default=[])
    arguments = parser.parse_args()
    limit_memory()
    try:
        value = read(arguments.file, [parse_override(text) for text in arguments.column])
    except EnvelopeError as error:
        arguments.out.write_text(json.dumps(error.to_document()), encoding="utf-8")
        return ExitCode.FAILED
    part = arguments.out.with_suffix(".part")
    with part.open("wb") as file:
        pickle.dump(value, file, protocol=5)
    part.replace(arguments.out)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
