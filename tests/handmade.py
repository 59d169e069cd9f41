"""Envelopes written by hand, without packing: small, and just what a test says."""

import hashlib
import json
import pickle
import platform
import sys
import types
from pathlib import Path

import pytest

from model_envelope.runtime import manifest, signature_document
from model_envelope.runtime import signature as s
from model_envelope.runtime.reading import Description, Loader

SCORER = '''
class Model:
    """Adds and greets: no package is needed."""

    def predict(self, x, y, k=3):
        return [x * value + k for value in y]

    def greet(self, name):
        if name == "nobody":
            raise ValueError("a secret in the message")
        if name == "exit":
            raise SystemExit(5)
        return 7 if name == "wrong" else f"hello {name}"

    async def later(self, x):
        import asyncio

        await asyncio.sleep(0)
        return x + 1
'''

NUMBER, WHOLE, TEXT = s.Scalar("float64"), s.Scalar("int64"), s.Scalar("string")
SCORER_METHODS = {
    "predict": s.Method(
        (
            s.Parameter("x", NUMBER),
            s.Parameter("y", s.List(WHOLE)),
            s.Parameter("k", WHOLE, required=False, default=3),
        ),
        s.List(NUMBER),
    ),
    "greet": s.Method((s.Parameter("name", TEXT),), TEXT),
    "later": s.Method((s.Parameter("x", WHOLE),), WHOLE, is_async=True),
}
SCORER_SAMPLES = {
    "predict": ({"x": 0.5, "y": [1, 2, 3], "k": 1}, [1.5, 2.0, 2.5]),
    "greet": ({"name": "wörld"}, "hello wörld"),
    "later": ({"x": 1}, 2),
}


def make_envelope(
    into: Path,
    source: str = SCORER,
    methods: dict[str, s.Method] = SCORER_METHODS,
    samples: dict[str, tuple[object, object]] = SCORER_SAMPLES,
    *,
    lock: bytes | None = b"",
    definitions: dict[str, s.Type] | None = None,
    name: str = "scorer",
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}",
) -> Path:
    """Write an envelope; ``source`` defines the class ``Model``, ``samples`` hold body and answer of each method."""
    module = f"handmade_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    folder = into / name
    for part in ("model", "code", "env", "samples"):
        (folder / part).mkdir(parents=True)
    (folder / "code" / f"{module}.py").write_text(source)
    (folder / "model" / "model.pkl").write_bytes(_pickled(source, module))
    if lock is not None:
        (folder / "env" / "requirements.lock").write_bytes(lock)
    description = Description(
        name=name,
        description="Made by hand for a test",
        methods={method: method for method in methods},
        loader=Loader("pickle", "model/model.pkl"),
        python=python,
        implementation="cpython",
        platform=f"linux-{platform.machine()}",
        framework={},
        hyperparameters={},
    )
    _write(folder / "envelope.json", description.to_document())
    signature = s.Signature(methods, definitions or {})
    _write(folder / "signature.json", signature_document.to_document(signature))
    for method, (body, answer) in samples.items():
        _write(folder / "samples" / f"{method}.input.json", body)
        _write(folder / "samples" / f"{method}.output.json", answer)
    seal(folder)
    return folder


def seal(folder: Path) -> None:
    """Write the manifest of what stands in the folder now."""
    (folder / manifest.NAME).write_bytes(manifest.compose(folder))


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")


def _pickled(source: str, name: str) -> bytes:
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(source, f"{name}.py", "exec"), module.__dict__)
        return pickle.dumps(module.Model())
    finally:
        del sys.modules[name]


@pytest.fixture
def scorer(tmp_path):
    """An envelope whose model needs no package: three methods, one of them async, with samples."""
    return make_envelope(tmp_path)
