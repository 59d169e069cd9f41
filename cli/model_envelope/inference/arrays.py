"""The types of NumPy arrays and scalars, structured arrays, SciPy's sparse ones and torch tensors."""

from __future__ import annotations

import dataclasses
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrays.tensors import dtype_of, storage_of
from model_envelope.runtime.codec.tables.numpy import write_fields
from model_envelope.runtime.errors import InvalidSignature, Problem


def array_type(array: Any, path: str) -> s.Type:
    """Find the type of an array; its first axis is free and counts as the batch.

    A structured array is a table of its fields, an array of other objects a series of what they are.

    Raises :class:`InvalidSignature` (``signature.unknown-type``) for what has no type.
    """
    import numpy as np

    if type(array).__name__ in {"MaskedArray", "matrix"}:
        raise _unknown(array, path, "a plain numpy.ndarray (`filled`, `numpy.asarray`)")
    if array.dtype.names is not None:
        return _structured(array, path)
    if array.dtype.kind == "O":
        return _objects(array, path)
    dtype, shape = dtype_of(array.dtype), _free(array.shape)
    if dtype is None:
        raise _unknown(array, path, "numbers of at most 64 bits, booleans, strings, bytes or times")
    if array.dtype.kind in "fc":
        finite = bool(np.isfinite(array).all())
    elif array.dtype.kind == "T" and getattr(array.dtype, "na_object", "") != "":
        finite = not any(item is array.dtype.na_object for item in array.reshape(-1).tolist())
    else:
        finite = array.dtype.kind not in "mM" or not bool(np.isnat(array).any())
    return s.Tensor(
        dtype, shape, batch=0 if shape else None, non_finite=not finite, storage=storage_of(array.dtype, path)
    )


def _free(shape: tuple[int, ...]) -> tuple[int | None, ...]:
    return (None, *shape[1:]) if shape else ()


def _objects(array: Any, path: str) -> s.Type:
    """Find the one type of an array's objects: scalars make a tensor of any shape, others a series."""
    from model_envelope.inference.values import type_of, unify_all

    kinds = list(dict.fromkeys(type_of(item, f"{path}[{at}]") for at, item in enumerate(array.reshape(-1).tolist())))
    item = unify_all(kinds, path)
    if isinstance(item, s.Any) or (isinstance(item, s.Scalar) and item.dtype == "null"):
        found = "nothing but None" if kinds else "no objects"
        raise InvalidSignature(
            f"{path} holds {found}, expected at least one value",
            code="signature.empty-column",
            problems=[Problem(path, found, "at least one value", "signature.empty-column")],
            hint="give samples with values, or an array of a dtype that says its type",
        )
    if isinstance(item, s.Scalar) and not item.timezone and item.dtype not in {"datetime", "timedelta", "period"}:
        storage = None if item.dtype == "string" else "object"
        shape = _free(array.shape)
        return s.Tensor(
            item.dtype, shape, 0 if shape else None, non_finite=item.nullable or item.non_finite, storage=storage
        )
    if array.ndim != 1:
        raise _unknown(array, path, "a list, or an array of numbers, strings or dates")
    return s.Series(item, "object", flavor=s.Flavor.NUMPY)


def _structured(array: Any, path: str) -> s.Table:
    """Find the columns of a structured array."""
    if array.ndim != 1:
        raise _unknown(array, path, "one dimension: records one below the other")
    columns: list[s.Column] = []
    problems: list[Problem] = []
    storages = write_fields(array.dtype)
    for name in array.dtype.names:
        try:
            kind = array_type(array[name], f"{path}.{name}")
        except InvalidSignature as error:
            problems.extend(error.problems or [Problem(f"{path}.{name}", error.message, "a plain dtype", error.code)])
            continue
        columns.append(s.Column(name, _cell(kind, array[name]), storages[name]))
    if problems:
        raise InvalidSignature(
            f"{len(problems)} fields of {path} have no type that a signature can say",
            code=problems[0].code,
            problems=problems,
            hint="convert these fields before the samples are given, so that each has one plain dtype",
        )
    cls = "recarray" if type(array).__name__ == "recarray" else None
    return s.Table(tuple(columns), flavor=s.Flavor.NUMPY, cls=cls)


def _cell(kind: s.Type, array: Any) -> s.Type:
    """Give the type of one cell of a field: what is left of the field's array without its rows."""
    import numpy as np

    if isinstance(kind, s.Tensor):
        if len(kind.shape) > 1:
            return dataclasses.replace(kind, shape=kind.shape[1:], batch=None)
        unit = None
        if kind.dtype in {"datetime", "timedelta"} and kind.storage:
            unit = kind.storage.partition("[")[2].removesuffix("]")
        if kind.dtype.startswith("float") and array.dtype.kind == "f":
            return s.Scalar(kind.dtype, bool(np.isnan(array).any()), non_finite=bool(np.isinf(array).any()))
        number = kind.dtype.startswith(("float", "complex"))
        return s.Scalar(kind.dtype, kind.non_finite and not number, unit, non_finite=kind.non_finite and number)
    if isinstance(kind, s.Table):
        return s.Record(tuple(s.Field(column.name, column.type) for column in kind.columns))
    assert isinstance(kind, s.Series)
    return kind.item


def sparse_type(matrix: Any, path: str) -> s.Tensor:
    """Find the type of a SciPy matrix or array; its layout is part of it."""
    import numpy as np

    dtype = dtype_of(matrix.dtype)
    if dtype is None or matrix.ndim != 2 or matrix.dtype.kind not in "biufc":
        raise _unknown(matrix, path, "two dimensions of numbers or booleans")
    finite = bool(np.isfinite(matrix.tocoo().data).all())
    return s.Tensor(
        dtype,
        (None, matrix.shape[1]),
        batch=0,
        flavor=s.Flavor.SCIPY,
        non_finite=not finite,
        layout=str(matrix.format),
        storage=type(matrix).__name__.removeprefix(f"{matrix.format}_"),
    )


def tensor_type(tensor: Any, path: str) -> s.Tensor:
    """Find the type of a torch tensor, wherever its values are."""
    import torch

    name = str(tensor.dtype).removeprefix("torch.")
    dtype, storage = TORCH_DTYPES.get(name, (name, None))
    if dtype not in s.SCALARS or tensor.layout is not torch.strided or tensor.is_quantized:
        raise InvalidSignature(
            f"{path} is a torch.Tensor of {tensor.dtype} ({tensor.layout}), and a signature has no type for it",
            code="signature.unknown-type",
            problems=[Problem(path, f"{tensor.dtype}, {tensor.layout}", "a dense tensor", "signature.unknown-type")],
            hint="give a dense tensor of booleans, integers, floats or complex numbers",
        )
    wide = tensor.detach()
    wide = wide.float() if wide.is_floating_point() else wide
    finite = bool(torch.isfinite(wide).all()) if wide.is_floating_point() or wide.is_complex() else True
    shape = _free(tuple(tensor.shape))
    return s.Tensor(dtype, shape, 0 if shape else None, s.Flavor.TORCH, non_finite=not finite, storage=storage)


TORCH_DTYPES = {"bfloat16": ("float32", "bfloat16"), "complex32": ("complex64", "complex32")}
"""Dtypes of torch that a signature has no word for: the one that holds all their values, and their own as storage."""


def scalar_type(value: Any, path: str) -> s.Type:
    """Find the type of a NumPy scalar: that of an array without dimensions."""
    import numpy as np

    if isinstance(value, np.void) or dtype_of(value.dtype) is None:
        raise _unknown(value, path, "a number of at most 64 bits, a boolean, a string, bytes or a time")
    if isinstance(value, np.datetime64 | np.timedelta64) or value.dtype.byteorder == ">":
        return array_type(np.asarray(value), path)
    if value.dtype.kind in "SU":
        return s.Scalar("bytes" if value.dtype.kind == "S" else "string")
    number = value.dtype.kind in "fc"
    return s.Scalar(str(dtype_of(value.dtype)), non_finite=number and not bool(np.isfinite(value)))


def _unknown(value: Any, path: str, expected: str) -> InvalidSignature:
    cls = type(value)
    found = f"a {cls.__module__}.{cls.__qualname__} of {value.dtype}"
    if getattr(value, "ndim", 0):
        found += f" with {value.ndim} dimensions"
    return InvalidSignature(
        f"{path} is {found}, and a signature has no type for it",
        code="signature.unknown-type",
        problems=[Problem(path, found, expected, "signature.unknown-type")],
        hint=f"expected is {expected}",
    )
