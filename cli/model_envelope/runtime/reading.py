"""Reads an envelope: its description, signature and samples, without loading the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model_envelope.runtime import manifest, signature_document
from model_envelope.runtime.errors import InvalidEnvelope
from model_envelope.runtime.signature import Signature

FORMAT = 1


@dataclass(frozen=True)
class Loader:
    """How the model comes back from its files.

    ``name`` says with what (``pickle``), ``file`` is its path in the envelope, and ``main`` is the module under
    ``code/`` that stands for ``__main__`` in the pickle, where it refers to one.
    """

    name: str
    file: str
    main: str | None = None


@dataclass(frozen=True)
class Description:
    """``envelope.json``: what the envelope is. Nothing here depends on when, where or by whom it was packed."""

    name: str
    description: str
    methods: Mapping[str, str]
    """Endpoint to attribute of the model: ``{"predict": "predict"}``, or ``"__call__"`` for a function."""
    loader: Loader
    python: str
    """``3.11``: the version that the lock is for, and that the model was pickled under unless another was asked for."""
    implementation: str
    platform: str
    """``linux-x86_64``: what the lock is for."""
    framework: Mapping[str, str]
    """``{"name": "scikit-learn", "version": "1.7.2"}``, or empty."""
    hyperparameters: Mapping[str, Any]
    platforms: tuple[str, ...] = ()
    """All that the lock is for, ``platform`` first, where they are several; else empty."""

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        loader = {"name": self.loader.name, "file": self.loader.file}
        if self.loader.main is not None:
            loader["main"] = self.loader.main
        return {
            "format": FORMAT,
            "name": self.name,
            "description": self.description,
            "methods": dict(self.methods),
            "loader": loader,
            "python": self.python,
            "implementation": self.implementation,
            "platform": self.platform,
            "framework": dict(self.framework),
            "hyperparameters": dict(self.hyperparameters),
            **({"platforms": list(self.platforms)} if self.platforms else {}),
        }


@dataclass(frozen=True)
class Sample:
    """The sealed input of a method (a request body) and the answer to it."""

    method: str
    body: Any
    answer: Any


@dataclass(frozen=True)
class EnvelopeFiles:
    """A sealed envelope on disk. Open one with :func:`read_envelope`."""

    path: Path
    digest: str
    description: Description

    @property
    def short_digest(self) -> str:
        """The first twelve hexadecimal digits: what people compare by eye."""
        return self.digest[:12]

    @cached_property
    def signature(self) -> Signature:
        """What the methods take and give."""
        return signature_document.from_document(read_json(self.path / "signature.json"))

    @property
    def code(self) -> Path:
        """The folder of local modules; it exists only where the model needs some."""
        return self.path / "code"

    @property
    def lock(self) -> Path:
        """The lockfile; it exists only where the envelope was locked."""
        return self.path / "env" / "requirements.lock"

    @property
    def conda_lock(self) -> Path:
        """The lockfile of a conda environment; it exists, in the place of the other, where that was asked for."""
        return self.path / "env" / "conda-lock.yml"

    @property
    def locked(self) -> bool:
        """Whether it has a lock of either kind."""
        return self.lock.is_file() or self.conda_lock.is_file()

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The sealed samples, in the order of the methods; empty where it was packed without."""
        folder = self.path / "samples"
        return tuple(
            Sample(name, read_json(folder / f"{name}.input.json"), read_json(folder / f"{name}.output.json"))
            for name in self.description.methods
            if (folder / f"{name}.input.json").is_file()
        )


def read_envelope(path: Path) -> EnvelopeFiles:
    """Open an envelope. Its files are not hashed here: that is :func:`verify_manifest`.

    Raises :class:`InvalidEnvelope` where the folder is none, or one of a newer format.
    """
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise InvalidEnvelope(
            f"there is {found} at {path}, expected the folder of an envelope",
            code="envelope.missing",
            hint="`envelope pack MODEL --input SAMPLES` makes one and prints its path",
        )
    for name in (manifest.NAME, "envelope.json", "signature.json"):
        if not (path / name).is_file():
            raise InvalidEnvelope(
                f"{path} is no envelope: it has no {name}",
                code="envelope.incomplete",
                hint="`envelope pack MODEL --input SAMPLES` makes one and prints its path",
            )
    document = read_json(path / "envelope.json")
    number = document.get("format") if isinstance(document, dict) else None
    if not isinstance(number, int):
        raise InvalidEnvelope(f"{path}/envelope.json holds no format number", code="envelope.malformed")
    if number > FORMAT:
        raise InvalidEnvelope(
            f"{path} has format {number}, and this version reads up to {FORMAT}",
            code="envelope.newer-format",
            hint="upgrade model-envelope: `pip install --upgrade model-envelope`",
        )
    try:
        description = Description(
            **{key: value for key, value in document.items() if key not in {"format", "loader", "platforms"}},
            loader=Loader(**document["loader"]),
            platforms=tuple(document.get("platforms", ())),
        )
    except (TypeError, KeyError) as error:
        raise InvalidEnvelope(f"{path}/envelope.json is malformed: {error}", code="envelope.malformed") from None
    return EnvelopeFiles(path.resolve(), manifest.digest((path / manifest.NAME).read_bytes()), description)


def verify_manifest(envelope: EnvelopeFiles) -> manifest.Differences:
    """List every missing, extra and changed file of an envelope."""
    return manifest.compare(envelope.path)


def read_json(path: Path) -> Any:
    """Read one JSON document of an envelope, naming the file where it is none."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidEnvelope(f"{path} cannot be read as JSON: {error}", code="envelope.malformed") from None
