"""The type of a NumPy array."""

from __future__ import annotations

from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.tensors import logical_dtype
from model_envelope.runtime.errors import InvalidSignature


def array_type(array: Any, path: str) -> s.Tensor:
    """Find the type of an array; its first axis is free and counts as the batch.

    Raises :class:`InvalidSignature` (``signature.unknown-type``) for complex numbers, records, other objects.
    """
    import numpy as np

    dtype = logical_dtype(array)
    if dtype not in s.SCALARS:
        raise InvalidSignature(
            f"{path} is an array of {array.dtype}, and a signature has no type for it",
            code="signature.unknown-type",
            hint="give numbers, booleans or strings; a table of mixed columns as a pandas.DataFrame",
        )
    shape = (None, *array.shape[1:]) if array.ndim else ()
    finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
    return s.Tensor(dtype, shape, batch=0 if array.ndim else None, non_finite=not finite)
