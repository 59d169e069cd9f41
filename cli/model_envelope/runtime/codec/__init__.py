"""The one codec: JSON to the objects that a model wants, and its answers back to JSON.

The service, the batch job, ``envelope verify`` and the tests all use this one, so that the same JSON becomes the same
Python object everywhere. It is strict: nothing is coerced silently, and everything that is wrong with a payload is told
at once, each with its path. Tables go column by column: the types of a column are checked as one set, and the array is
built in one go; only a failure takes the slow road that names every bad row.
"""

from __future__ import annotations

from model_envelope.runtime.codec.arguments import Arguments, ExtraColumns, MethodCodec
from model_envelope.runtime.codec.base import Codec, codec_for
from model_envelope.runtime.codec.text import dump_json, parse_json

__all__ = ["Arguments", "Codec", "ExtraColumns", "MethodCodec", "codec_for", "dump_json", "parse_json"]
