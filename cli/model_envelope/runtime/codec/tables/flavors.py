"""Tables and series, each by the library that the model wants them of: one module a flavor, imported when needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions
from model_envelope.runtime.errors import InvalidSignature


def table_codec(kind: s.Table, definitions: Definitions) -> Codec:
    """Make the codec of a table: ``table_codec`` of the module ``<flavor>``."""
    codec: Codec = _maker(kind.flavor, "table_codec")(kind, definitions)
    return codec


def series_codec(kind: s.Series, definitions: Definitions) -> Codec:
    """Make the codec of a series: ``series_codec`` of the module ``<flavor>``."""
    codec: Codec = _maker(kind.flavor, "series_codec")(kind, definitions)
    return codec


def _maker(flavor: s.Flavor, name: str) -> Any:
    module = f"{__package__}.{flavor.value}"
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        found = None
    if found is None:
        what = name.partition("_")[0]
        raise InvalidSignature(
            f"there is no {what} of {flavor.value}",
            code="signature.flavor",
            hint="the envelope may have been written by a newer version: `pip install --upgrade model-envelope`",
        )
    return found
