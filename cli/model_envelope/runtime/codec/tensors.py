"""NumPy arrays: nested JSON arrays of one dtype."""

from __future__ import annotations

import math
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions, codec_for, describe
from model_envelope.runtime.codec.scalars import NON_FINITE
from model_envelope.runtime.errors import Problems


class TensorCodec:
    """An array. In a float array NaN and null are one and travel as null; infinities travel as strings."""

    def __init__(self, kind: s.Tensor, definitions: Definitions) -> None:
        self.kind = kind
        self.is_float = kind.dtype.startswith("float")
        scalar = s.Scalar(kind.dtype, nullable=self.is_float and kind.non_finite, non_finite=kind.non_finite)
        self.item = codec_for(scalar, definitions)
        self.python = _PYTHON.get(kind.dtype.rstrip("0123456789"), frozenset())

    @property
    def expected(self) -> str:
        """Say what is expected: ``an array of float64 of shape [any, 3]``."""
        return f"an array of {self.kind.dtype} of shape {shape_text(self.kind.shape)}"

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make an array of nested lists."""
        import numpy as np

        leaves: list[Any] = []
        shape = _flatten(value, 0, len(self.kind.shape), path, problems, leaves)
        if shape is None:
            return None
        if not _fits(shape, self.kind.shape):
            problems.add(path, f"shape {shape_text(shape)}", self.expected, "payload.shape")
            return None
        if not set(map(type, leaves)) <= self.python or self.kind.dtype in _CHECKED:
            leaves = self._slowly(leaves, shape, path, problems)
            if problems:
                return None
        try:
            array = np.array(leaves, dtype=numpy_dtype(self.kind.dtype))
        except OverflowError:
            self._slowly(leaves, shape, path, problems)
            return None
        if self.is_float and not self.kind.non_finite and not np.isfinite(array).all():
            self._slowly(leaves, shape, path, problems)
            return None
        return _flavored(array.reshape(shape), self.kind.flavor)

    def _slowly(self, leaves: list[Any], shape: tuple[int, ...], path: str, problems: Problems) -> list[Any]:
        found = []
        for at, leaf in enumerate(leaves):
            found.append(self.item.decode(leaf, path + _place(at, shape), problems))
        return [math.nan if leaf is None and self.is_float else leaf for leaf in found]

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write an array as nested lists."""
        import numpy as np

        if self.kind.flavor is s.Flavor.TORCH and hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        if not isinstance(value, np.ndarray | np.generic):
            problems.add(path, describe(value), self.expected, "answer.type")
            return None
        array = np.asarray(value)
        if logical_dtype(array) != self.kind.dtype or not _fits(array.shape, self.kind.shape):
            found = f"an array of {logical_dtype(array)} of shape {shape_text(array.shape)}"
            problems.add(path, found, self.expected, "answer.type")
            return None
        if self.is_float and not np.isfinite(array).all():
            if not self.kind.non_finite:
                problems.add(path, "NaN or an infinity", "finite numbers", "answer.non-finite")
                return None
            return _spelled(array.tolist())
        if self.kind.dtype in _CHECKED:
            leaves = [self.item.encode(leaf, path, problems) for leaf in array.reshape(-1).tolist()]
            return np.array(leaves, dtype=object).reshape(array.shape).tolist()
        return array.tolist()


_PYTHON = {
    "bool": frozenset({bool}),
    "int": frozenset({int}),
    "uint": frozenset({int}),
    "float": frozenset({int, float}),
    "string": frozenset({str}),
}
"""What Python types the JSON of a dtype has, where nothing has to be parsed."""

_CHECKED = frozenset({"int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float16", "float32"}) | {
    "bytes", "datetime", "timedelta",
}  # fmt: skip
"""Dtypes whose values are looked at one by one: a narrow range, or a text to parse."""


def logical_dtype(array: Any) -> str:
    """Name the dtype of a NumPy array as signatures do; ``object`` arrays by what they hold: strings or anything."""
    kind = array.dtype.kind
    if kind in "biuf":
        return str(array.dtype.name)
    if kind == "U":
        return "string"
    if kind == "S":
        return "bytes"
    if kind == "M":
        return "datetime"
    if kind == "m":
        return "timedelta"
    if kind == "T" or (kind == "O" and all(type(item) is str for item in array.reshape(-1))):
        return "string"
    return str(array.dtype.name)


def numpy_dtype(dtype: str) -> Any:
    """Give what NumPy calls a dtype of a signature."""
    return {"string": object, "bytes": object, "datetime": "datetime64[ns]", "timedelta": "timedelta64[ns]"}.get(
        dtype, dtype
    )


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Write a shape for people: ``[any, 3]``."""
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want is None or want == size for size, want in zip(shape, wanted, strict=True)
    )


def _place(at: int, shape: tuple[int, ...]) -> str:
    places = []
    for size in reversed(shape):
        places.append(at % size)
        at //= size
    return "".join(f"[{place}]" for place in reversed(places))


def _flatten(
    value: Any, depth: int, dimensions: int, path: str, problems: Problems, leaves: list[Any]
) -> tuple[int, ...] | None:
    """Collect the leaves of nested lists and give their shape; None, with a problem noted, where they are ragged."""
    if depth == dimensions:
        if type(value) is list:
            problems.add(path, describe(value), "a value: the array is nested too deeply", "payload.shape")
            return None
        leaves.append(value)
        return ()
    if type(value) is not list:
        code = "payload.null" if value is None else "payload.type"
        problems.add(path, describe(value), f"an array ({dimensions - depth} more dimensions)", code)
        return None
    if depth == dimensions - 1 and list not in set(map(type, value)):
        leaves.extend(value)
        return (len(value),)
    shapes = set()
    for at, item in enumerate(value):
        shape = _flatten(item, depth + 1, dimensions, f"{path}[{at}]", problems, leaves)
        if shape is None:
            return None
        shapes.add(shape)
    if len(shapes) > 1:
        problems.add(path, "rows of different lengths", "rows of one length", "payload.ragged")
        return None
    inner = shapes.pop() if shapes else (0,) * (dimensions - depth - 1)
    return (len(value), *inner)


def _flavored(array: Any, flavor: s.Flavor) -> Any:
    if flavor is s.Flavor.TORCH:
        import torch

        return torch.from_numpy(array)
    return array


def _spelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else next(key for key, item in NON_FINITE.items() if item == value)
