"""A small envelope made by hand, and the command line as a function."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_envelope.__main__ import main
from model_envelope.foundation.files import json_bytes
from model_envelope.runtime import manifest, signature_document
from model_envelope.runtime import signature as s
from model_envelope.runtime.reading import Description, Loader

DOUBLER = """\
class Doubler:
    factor = 2.0

    def predict(self, values):
        return [value * self.factor for value in values]

    def total(self, values, *, start=0.0):
        return start + sum(values) * self.factor
"""

FLOAT = s.Scalar("float64")
FLOATS = s.List(FLOAT)
METHODS = {
    "predict": s.Method((s.Parameter("values", FLOATS),), FLOATS),
    "total": s.Method(
        (s.Parameter("values", FLOATS), s.Parameter("start", FLOAT, s.Kind.KEYWORD, required=False, default=0.0)), FLOAT
    ),
}


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def result(self) -> Any:
        """The result of a document that says that all went well."""
        assert self.document.keys() == {"format", "command", "ok", "result"}, self.out + self.err
        assert self.document["format"] == 1
        assert self.document["ok"] is True
        return self.document["result"]

    @property
    def error(self) -> dict[str, Any]:
        """The error of a document that says that something went wrong."""
        assert self.document["ok"] is False
        assert self.document["error"].keys() == {"type", "code", "message", "hint", "problems", "detail"}
        return self.document["error"]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line in this process."""

    def run(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(int(code), captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a state of its own, so that no test trusts what another sealed, and a place for tracebacks."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("ENVELOPE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """An envelope with two methods, local code, no packages and an empty lock."""
    return _write_envelope(tmp_path / "doubler")


@pytest.fixture
def make_sealed(tmp_path: Path) -> Callable[..., Path]:
    """Make such an envelope without samples or lock."""
    return lambda **options: _write_envelope(tmp_path / "bare", **options)


@pytest.fixture
def seal() -> Callable[[Path], Path]:
    """Write the manifest of what stands in a folder now."""
    return _seal


def _write_envelope(folder: Path, *, samples: bool = True, lock: bool = True) -> Path:
    """Write an envelope whose model is a class of a module of its own."""
    description = Description(
        name="doubler",
        description="Doubles numbers",
        methods={name: name for name in METHODS},
        loader=Loader("pickle", "model/model.pkl"),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        implementation="CPython",
        platform="linux-x86_64",
        framework={},
        hyperparameters={"factor": 2.0},
    )
    files = {
        "envelope.json": json_bytes(description.to_document()),
        "signature.json": json_bytes(signature_document.to_document(s.Signature(METHODS))),
        "code/doubling/__init__.py": DOUBLER.encode(),
        "env/requirements.in": b"",
    }
    if lock:
        files["env/requirements.lock"] = b""
    if samples:
        files |= {
            "samples/predict.input.json": json_bytes({"values": [1.0, 2.5]}),
            "samples/predict.output.json": json_bytes([2.0, 5.0]),
            "samples/total.input.json": json_bytes({"values": [1.0, 2.5], "start": 1.0}),
            "samples/total.output.json": json_bytes(8.0),
        }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "model").mkdir()
    (folder / "model" / "model.pkl").write_bytes(_pickle(folder / "code"))
    return _seal(folder)


def _seal(folder: Path) -> Path:
    (folder / manifest.NAME).write_bytes(manifest.compose(folder))
    return folder


def _pickle(code: Path) -> bytes:
    sys.path.insert(0, str(code))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    importlib.invalidate_caches()
    try:
        return pickle.dumps(importlib.import_module("doubling").Doubler())
    finally:
        sys.dont_write_bytecode = before
        sys.path.remove(str(code))
        sys.modules.pop("doubling", None)
