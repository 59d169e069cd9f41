"""Seal a trained model with everything that it needs, prove it, and ship it.

Use it as ``import model_envelope as me``: :func:`save_model` seals a model from a script or a notebook,
:func:`load_envelope` opens a sealed one, :func:`score_table` scores a whole table with one. The command line tool is
``envelope``.

This file is copied into every image together with ``runtime``. It therefore imports nothing: the public names are
looked up when they are first used, and where the toolchain is absent they say so.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["Envelope", "EnvelopeError", "__version__", "load_envelope", "register_type", "save_model", "score_table"]

_PUBLIC = {
    "Envelope": "model_envelope.workflows.open",
    "EnvelopeError": "model_envelope.runtime.errors",
    "load_envelope": "model_envelope.workflows.open",
    "register_type": "model_envelope.runtime.registry",
    "save_model": "model_envelope.workflows.save",
    "score_table": "model_envelope.workflows.batch",
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(__name__):
            raise
        raise ImportError(
            f"`model_envelope.{name}` needs the toolchain, and this environment carries only the runtime of one "
            "envelope. Install it where you train: `pip install model-envelope`."
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
