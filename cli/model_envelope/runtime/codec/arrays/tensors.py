"""Arrays of NumPy and tensors of torch: nested JSON arrays of one dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrays import shapes
from model_envelope.runtime.codec.arrays.leaves import leaves_of, string_dtype
from model_envelope.runtime.codec.base import Codec, Definitions, describe
from model_envelope.runtime.codec.values.scalars import Refused
from model_envelope.runtime.errors import InvalidSignature, Problems


def tensor_codec(kind: s.Tensor, definitions: Definitions) -> Codec:
    """Make the codec of an array, dense or sparse."""
    if kind.layout is not None or kind.flavor is s.Flavor.SCIPY:
        from model_envelope.runtime.codec.arrays.sparse import SparseCodec

        return SparseCodec(kind, definitions)
    return TensorCodec(kind, definitions)


class TensorCodec:
    """A dense array. NaN travels as null in it (as do NaT, and None among objects), infinities as strings.

    A complex number is an array of two, so to JSON an array of them is one of floats with one dimension more.
    """

    def __init__(self, kind: s.Tensor, definitions: Definitions) -> None:
        self.kind = kind
        self.is_complex = kind.dtype.startswith("complex")
        self.shape = (*kind.shape, 2) if self.is_complex else kind.shape
        self.leaves = leaves_of(kind, definitions)

    @property
    def expected(self) -> str:
        """Say what is expected: ``an array of float64 of shape [any, 3]``."""
        return f"an array of {self.kind.dtype} of shape {shapes.text(self.kind.shape)}"

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make an array of nested lists."""
        taken = shapes.flatten(value, len(self.shape), path, problems)
        if taken is None:
            return None
        leaves, shape = taken
        if not shapes.fits(shape, self.shape):
            problems.add(path, f"shape {shapes.text(shape)}", self.expected, "payload.shape")
            return None
        whole = tuple(shapes.settled(shape, self.shape))
        try:
            array = self.leaves.build(leaves)
        except (Refused, TypeError, ValueError, KeyError, OverflowError):
            before = problems.count
            for at, leaf in enumerate(leaves):
                self.leaves.item.decode(leaf, path + shapes.place(at, whole), problems)
            if problems.count == before:
                problems.add(path, "values that do not fit", self.expected, "payload.type")
            return None
        if self.is_complex:
            array = array.view(self.kind.dtype)
            whole = whole[:-1]
        return _flavored(array.reshape(whole), self.kind)

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write an array as nested lists."""
        import numpy as np

        array = _as_numpy(value, self.kind)
        if array is None:
            problems.add(path, describe(value), self.expected, "answer.type")
            return None
        if not self.leaves.takes(array) or not shapes.fits(array.shape, self.kind.shape):
            found = f"an array of {array.dtype} of shape {shapes.text(array.shape)}"
            problems.add(path, found, self.expected, "answer.type")
            return None
        shape = array.shape
        if self.is_complex:
            part = self.leaves.dtype
            array, shape = np.ascontiguousarray(array).view(part), (*shape, 2)
        return self.leaves.write(array.reshape(shape), path, problems)


def dtype_of(dtype: Any) -> str | None:
    """Name a dtype of NumPy as signatures do; None for objects, records and what is wider than 64 bits."""
    if dtype.kind in "biufc":
        return str(dtype.name) if dtype.name in s.SCALARS else None
    return _LETTERS.get(dtype.kind)


_LETTERS: Mapping[str, str] = {"U": "string", "T": "string", "S": "bytes", "M": "datetime", "m": "timedelta"}


def storage_of(dtype: Any, path: str) -> str | None:
    """Write a dtype of NumPy where its name in signatures does not say it all.

    Raises :class:`InvalidSignature` (``signature.unknown-type``) for one that has no text.
    """
    import numpy as np

    if dtype.kind in "mM":
        unit, step = np.datetime_data(dtype)
        if unit == "generic" or step != 1:
            raise InvalidSignature(
                f"{path} is an array of {dtype}, and a signature has no type for it",
                code="signature.unknown-type",
                hint="convert it to a plain unit, such as `datetime64[ns]`",
            )
        return str(dtype.str) if dtype.byteorder == ">" else str(dtype.name)
    if dtype.kind == "T":
        text = repr(dtype)
        if string_dtype(text, missing=True) is None:
            raise InvalidSignature(
                f"{path} is an array of {dtype!r}, and a signature has no type for it",
                code="signature.unknown-type",
                hint="let None or NaN stand for missing strings",
            )
        return text
    if dtype.kind in "SU":
        return str(dtype.str)
    return str(dtype.str) if dtype.byteorder == ">" else None


def _as_numpy(value: Any, kind: s.Tensor) -> Any:
    """Give the answer as an array of NumPy; None where it is none of the flavor."""
    import numpy as np

    if kind.flavor is s.Flavor.TORCH:
        if not hasattr(value, "detach"):
            return None
        dense = value.detach().cpu().resolve_conj().resolve_neg()
        name = str(dense.dtype).removeprefix("torch.")
        if name != (kind.storage or kind.dtype):
            return np.empty(tuple(dense.shape), dtype="V1") if name not in kind.dtype else None
        return (getattr(dense, _WIDER[name])() if name in _WIDER else dense).numpy()
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


_WIDER = {"bfloat16": "float", "complex32": "cfloat"}


def _flavored(array: Any, kind: s.Tensor) -> Any:
    if kind.flavor is not s.Flavor.TORCH:
        return array
    import torch

    tensor = torch.from_numpy(array)
    return tensor.to(getattr(torch, kind.storage)) if kind.storage else tensor
