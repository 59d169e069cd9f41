"""The toolchain's side of the probe: starts the children, hands them files, reads what they found."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from model_envelope.foundation import carrying, process
from model_envelope.foundation.errors import InvalidInput, ToolFailed
from model_envelope.foundation.interpreter import Interpreter
from model_envelope.inference.reader import JSON, PICKLES, READERS
from model_envelope.inference.tracing import Traced
from model_envelope.runtime import signature_document
from model_envelope.runtime.errors import ModelFailed, from_document
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.signature import Signature

CARRIED = ("runtime", "inference")
BESIDE = ("typing_inspect", "mypy_extensions", "typing_extensions")
"""What the children need beyond the standard library; the environment's own copies come first."""


@dataclass(frozen=True)
class SampleFile:
    """Samples on disk. ``name`` is what the user calls it."""

    path: Path
    name: str


@dataclass(frozen=True)
class Question:
    """What the probe is to find out.

    ``rows`` is how many sample rows are sealed; None keeps all of them. ``columns`` gives types to columns of the
    samples, each as ``NAME=TYPE``.
    """

    model: Path
    samples: SampleFile
    answers: SampleFile | None = None
    methods: tuple[str, ...] = ()
    rows: int | None = 5
    search: tuple[Path, ...] = ()
    columns: tuple[str, ...] = ()
    main: str | None = None


@dataclass(frozen=True)
class Limits:
    """How long loading the model and asking it may take, and how many bytes of memory: None is all that there are."""

    seconds: float = 600.0
    memory: int | None = None


USUAL = Limits()


@dataclass(frozen=True)
class Found:
    """What the probe found out.

    ``interpreter`` is the one that the model was packed in, ``path`` its ``sys.path``, ``stdlib`` what is Python's own.
    ``by_value`` is what code imports that travels in the pickle: module, where the code is from, whether it is guarded.
    ``traced`` is what loading and answering was seen to use, ``preloaded`` are modules that this tool had loaded
    before; ``seconds`` is how long it took.
    """

    interpreter: Interpreter
    path: tuple[str, ...]
    stdlib: frozenset[str]
    model_class: str
    methods: Mapping[str, str]
    signature: Signature
    observations: Mapping[str, Any]
    samples: Mapping[str, Mapping[str, Any]]
    witnesses: Mapping[str, Mapping[str, Any]]
    """By method, more of the samples than are sealed, and their answers: what a trial is held against."""
    modules: Mapping[str, str | None]
    by_value: tuple[tuple[str, str, bool], ...]
    traced: Traced
    preloaded: tuple[str, ...]
    seconds: float
    flavors: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What was looked at in part only, and why."""
    machine: Machine | None = None
    """What the samples were answered on."""


def probe(question: Question, *, python: Path, scratch: Path, limits: Limits = USUAL) -> Found:
    """Load the model in a child of ``python``, find its signature and let it answer its samples.

    The samples are read at the same time, in a process of their own: what reads them is no evidence. ``scratch`` is a
    folder for the files between the processes. Raises whatever the children raised, :class:`ModelFailed` where it took
    longer than it may or was killed, :class:`InvalidInput` for samples of unknown kind.
    """
    home = carrying.link(scratch / "carried", CARRIED)
    carry_beside(home)
    readings = [_reading(question.samples, "samples", home, scratch, question.columns)]
    readings += [_reading(question.answers, "answers", home, scratch)] if question.answers else []
    sources = {reading.label: reading.source for reading in readings}
    request = {
        "model": str(question.model.absolute()),
        "samples": sources["samples"],
        "answers": sources.get("answers"),
        "methods": question.methods,
        "rows": question.rows,
        "search": [str(folder.absolute()) for folder in question.search],
        "main": question.main,
        "memory": limits.memory,
    }
    asked, result = scratch / "request.json", scratch / "result.json"
    asked.write_text(json.dumps(request), encoding="utf-8")
    child = carrying.arguments(home, "model_envelope.inference.child", asked, result, isolated=False)
    with ExitStack() as stack:
        readers = [
            stack.enter_context(process.Running([str(python), *reading.reader]))
            for reading in readings
            if reading.reader
        ]
        running = stack.enter_context(process.Running([str(python), *child]))
        began = time.monotonic()
        for reading, reader in zip((item for item in readings if item.reader), readers, strict=True):
            _check_read(reading, reader.finish())
        finished = running.finish(limits.seconds)
        seconds = time.monotonic() - began
    if finished.timed_out:
        raise ModelFailed(
            f"loading and asking the model took more than {limits.seconds:g} seconds and was stopped",
            code="model.timeout",
            detail=finished.tail(),
            hint="give fewer samples, or raise the limit: `--time-limit SECONDS`",
        )
    if not result.is_file() or not result.stat().st_size:
        raise _died(finished)
    document = json.loads(result.read_bytes())
    if "error" in document:
        raise from_document(document["error"])
    traced = document["traced"]
    there = document["interpreter"]
    return Found(
        interpreter=Interpreter(
            Path(there["executable"]), there["version"], there["implementation"], there["platform"]
        ),
        path=tuple(there["path"]),
        stdlib=frozenset(there["stdlib"]),
        model_class=document["model"],
        methods=document["methods"],
        signature=signature_document.from_document(document["signature"]),
        observations=document["observations"],
        samples=document["samples"],
        witnesses=document["witnesses"],
        modules=document["modules"],
        by_value=tuple((module, home, guarded) for module, home, guarded in document["by_value"]),
        traced=Traced(**{**traced, "late": tuple(traced["late"]), "opened": tuple(traced["opened"])}),
        preloaded=tuple(document["preloaded"]),
        seconds=seconds,
        flavors=tuple(document["flavors"]),
        notes=tuple(document["notes"]),
        machine=Machine.from_document(document["machine"]),
    )


def carry_beside(home: Path) -> None:
    """Link the single-file libraries that the children need into the carried folder."""
    for name in BESIDE:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ToolFailed(f"`{name}` is not installed beside this tool", code="tool.broken", hint="install it again")
        (home / f"{name}.py").symlink_to(spec.origin)


@dataclass(frozen=True)
class _Reading:
    """A file of samples or answers: where the child finds it as a pickle, and the arguments of what makes that."""

    label: str
    source: dict[str, Any]
    reader: tuple[str, ...] = ()


def _reading(file: SampleFile, label: str, home: Path, scratch: Path, columns: Sequence[str] = ()) -> _Reading:
    """Say how a file is read; one that is a pickle already is left alone. Raises :class:`InvalidInput`."""
    ending = file.path.suffix.lower()
    if not file.path.is_file():
        there = "a folder" if file.path.is_dir() else "nothing"
        raise InvalidInput(
            f"there is {there} at {file.name}, expected a file of {label}",
            code=f"{label}.missing",
            hint="name a file that exists",
        )
    if columns and (ending in PICKLES or ending in JSON):
        raise InvalidInput(
            f"types of columns were given, and {file.name} says itself what it holds",
            code="samples.column-type",
            hint="leave `--column` out, or give the samples as .csv, .parquet or .feather",
        )
    if ending in PICKLES:
        return _Reading(label, {"path": str(file.path.absolute()), "name": file.name, "json": False, "awaited": False})
    if ending not in READERS:
        raise InvalidInput(
            f"{file.name} ends in `{ending}`, which is no known kind of {label}",
            code=f"{label}.unknown-kind",
            hint=f"known are {', '.join(sorted({*READERS, *PICKLES}))}",
        )
    out = scratch / f"{label}.pkl"
    given = [f"--column={text}" for text in columns]
    reader = carrying.arguments(
        home, "model_envelope.inference.reader", file.path.absolute(), out, *given, isolated=False
    )
    source = {"path": str(out), "name": file.name, "json": ending in JSON, "awaited": True}
    return _Reading(label, source, tuple(map(str, reader)))


def _check_read(reading: _Reading, finished: process.Finished) -> None:
    out = Path(reading.source["path"])
    if finished.returncode == 1 and out.is_file():
        raise from_document(json.loads(out.read_bytes()))
    if not finished.ok:
        name, label = reading.source["name"], reading.label
        raise process.failed(finished, f"{name} cannot be read", code=f"{label}.unreadable")


def _died(finished: process.Finished) -> ModelFailed:
    if finished.returncode < 0:
        how = f"was killed by signal {-finished.returncode}"
        hint = "the machine may have run out of memory; give fewer samples"
    else:
        how = f"ended by itself with {finished.returncode}"
        hint = "loading a model or samples must not end the process: look for calls of `os._exit` in their code"
    return ModelFailed(
        f"the process that loaded the model and its samples {how}", code="model.died", detail=finished.tail(), hint=hint
    )


def search_folders(model: Path, extra: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Give the folders in which a model's local modules are looked for: its own, the current one, and ``extra``."""
    folders = [model.absolute().parent, Path.cwd(), *extra]
    return tuple(dict.fromkeys(folders))
