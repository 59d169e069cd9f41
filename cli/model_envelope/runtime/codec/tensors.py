"""Arrays of NumPy and tensors of torch: nested JSON arrays of one dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import shapes
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe
from model_envelope.runtime.codec.cells import cell_for
from model_envelope.runtime.codec.scalars import INTEGERS, LARGEST, NON_FINITE, Refused
from model_envelope.runtime.errors import InvalidSignature, Problems

_NONE = type(None)
_SPELLED = {value: name for name, value in NON_FINITE.items() if value == value}  # noqa: PLR0124  all but NaN
_NARROW = {"bfloat16": 3.3895313892515355e38, "complex32": 65504.0}
"""The greatest finite value of dtypes that a storage names."""


def tensor_codec(kind: s.Tensor, definitions: Definitions) -> Codec:
    """Make the codec of an array, dense or sparse."""
    if kind.layout is not None or kind.flavor is s.Flavor.SCIPY:
        from model_envelope.runtime.codec.sparse import SparseCodec

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
        dtype = self.kind.dtype if self.leaves.takes(array) else dtype_of(array.dtype) or array.dtype
        if dtype != self.kind.dtype or not self.leaves.takes(array) or not shapes.fits(array.shape, self.kind.shape):
            found = f"an array of {array.dtype} of shape {shapes.text(array.shape)}"
            problems.add(path, found, self.expected, "answer.type")
            return None
        shape = array.shape
        if self.is_complex:
            part = self.leaves.dtype
            array, shape = np.ascontiguousarray(array).view(part), (*shape, 2)
        return self.leaves.write(array.reshape(shape), path, problems)


class Leaves:
    """The values of an array, whatever its shape. ``item`` is the codec of one of them, for naming what is wrong."""

    item: Codec
    dtype: str

    def build(self, leaves: list[Any]) -> Any:
        """Make an array of one dimension in one go; raises where any value does not belong in it."""
        raise NotImplementedError

    def takes(self, array: Any) -> bool:
        """Tell whether an array is of this dtype."""
        return bool(array.dtype.name == self.dtype)

    def write(self, array: Any, path: str, problems: Problems) -> Any:
        """Write an array as nested lists."""
        raise NotImplementedError

    def one_by_one(self, values: list[Any], shape: tuple[int, ...], path: str, problems: Problems) -> Any:
        """Write each value by itself."""
        found = [self.item.encode(value, path + shapes.place(at, shape), problems) for at, value in enumerate(values)]
        return shapes.nest(found, shape)


def leaves_of(kind: s.Tensor, definitions: Definitions) -> Leaves:
    """Choose how the values of an array are made."""
    if kind.storage == "object":
        return Objects(kind, definitions)
    if kind.dtype in INTEGERS or kind.dtype == "bool":
        return Exact(kind)
    if kind.dtype.startswith(("float", "complex")):
        return Floats(kind)
    if kind.dtype in {"datetime", "timedelta"} and kind.storage:
        return Moments(kind)
    if kind.dtype in {"string", "bytes"}:
        return Texts(kind, definitions)
    raise InvalidSignature(f"there are no arrays of {kind.dtype}", code="signature.storage")


class Exact(Leaves):
    """Integers and booleans."""

    def __init__(self, kind: s.Tensor) -> None:
        self.dtype = kind.dtype
        self.stored = kind.storage or kind.dtype
        self.item = codec_for(s.Scalar(kind.dtype), Definitions())

    def build(self, leaves: list[Any]) -> Any:
        """Check the types, then the range, at once."""
        import numpy as np

        if not set(map(type, leaves)) <= {bool if self.dtype == "bool" else int}:
            raise Refused(self.dtype)
        if leaves and self.dtype != "bool":
            least, most = INTEGERS[self.dtype]
            if min(leaves) < least or max(leaves) > most:
                raise Refused(self.dtype)
        return np.array(leaves, dtype=self.stored)

    def write(self, array: Any, path: str, problems: Problems) -> Any:  # noqa: ARG002  nothing can be wrong
        """Write the values as they are."""
        return array.tolist()


class Floats(Leaves):
    """Floats, and the parts of complex numbers."""

    def __init__(self, kind: s.Tensor) -> None:
        self.dtype = {"complex64": "float32", "complex128": "float64"}.get(kind.dtype, kind.dtype)
        self.whole = kind.dtype
        self.stored = kind.storage if kind.storage and kind.flavor is s.Flavor.NUMPY else self.dtype
        self.most = _NARROW.get(kind.storage or "", LARGEST[self.dtype])
        self.non_finite = kind.non_finite
        self.item = codec_for(s.Scalar(self.dtype, nullable=kind.non_finite, non_finite=kind.non_finite), Definitions())

    def build(self, leaves: list[Any]) -> Any:
        """Check the types, then the range, at once."""
        import numpy as np

        found = set(map(type, leaves))
        if not found <= ({int, float, str, _NONE} if self.non_finite else {int, float}):
            raise Refused(self.dtype)
        if str in found:
            leaves = [NON_FINITE[leaf] if type(leaf) is str else leaf for leaf in leaves]
        wide = np.array(leaves, dtype=np.float64)
        if not self.non_finite and not np.isfinite(wide).all():
            raise Refused(self.dtype)
        if math.isfinite(self.most) and (np.abs(wide[np.isfinite(wide)]) > self.most).any():
            raise Refused(self.dtype)
        return wide.astype(self.stored, copy=False)

    def takes(self, array: Any) -> bool:
        """Tell whether an array is of this dtype, in any byte order."""
        return bool(array.dtype.name == self.whole)

    def write(self, array: Any, path: str, problems: Problems) -> Any:
        """Write finite numbers as they are, the others as the signature allows them."""
        import numpy as np

        finite = np.isfinite(array)
        if finite.all():
            return array.tolist()
        if not self.non_finite:
            at = int(np.argmin(finite.reshape(-1)))
            found = str(array.reshape(-1)[at])
            problems.add(path + shapes.place(at, array.shape), found, "a finite number", "answer.non-finite")
            return None
        flat = array.reshape(-1).tolist()
        return shapes.nest([value if math.isfinite(value) else _SPELLED.get(value) for value in flat], array.shape)


class Moments(Leaves):
    """Times of NumPy, as counts of their unit."""

    def __init__(self, kind: s.Tensor) -> None:
        import numpy as np

        self.dtype = kind.dtype
        self.numpy: Any = np.dtype(kind.storage)
        unit, step = np.datetime_data(self.numpy)
        if step != 1 or unit == "generic":
            raise InvalidSignature(f"there are no arrays of {kind.storage}", code="signature.storage")
        self.non_finite = kind.non_finite
        self.item = cell_for(s.Scalar(kind.dtype, unit=unit, nullable=kind.non_finite), None, Definitions())

    def build(self, leaves: list[Any]) -> Any:
        """Read the texts."""
        import numpy as np

        problems = Problems(1)
        counts = [self.item.decode(leaf, "", problems) for leaf in leaves]
        if problems:
            raise Refused(self.dtype)
        filled = [NOT_A_TIME if count is None else count for count in counts]
        return np.array(filled, dtype=np.int64).view(self.numpy.newbyteorder("=")).astype(self.numpy, copy=False)

    def takes(self, array: Any) -> bool:
        """Tell whether an array has this unit, in any byte order."""
        return bool(array.dtype.newbyteorder("=") == self.numpy.newbyteorder("="))

    def write(self, array: Any, path: str, problems: Problems) -> Any:
        """Write the texts."""
        return self.one_by_one(counts_of(array), array.shape, path, problems)


NOT_A_TIME = -(2**63)
"""The count that stands for "no time" in NumPy."""


def counts_of(array: Any) -> list[Any]:
    """Give the counts of an array of times, None for NaT."""
    import numpy as np

    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    return [None if count == NOT_A_TIME else count for count in native.reshape(-1).view(np.int64).tolist()]


class Texts(Leaves):
    """Strings and bytes, in whichever of NumPy's ways to hold them."""

    def __init__(self, kind: s.Tensor, definitions: Definitions) -> None:
        self.dtype = kind.dtype
        self.storage = kind.storage or "object"
        self.non_finite = kind.non_finite
        self.item = codec_for(s.Scalar(kind.dtype, nullable=kind.non_finite), definitions)
        self.fixed = self.storage.lstrip("<>|=")[:1] if self.storage[-1:].isdigit() else ""
        if self.fixed:
            self.item = Unpadded(self.item)

    def build(self, leaves: list[Any]) -> Any:
        """Read all, and find the width that holds them."""
        import numpy as np

        problems = Problems(1)
        found = [self.item.decode(leaf, "", problems) for leaf in leaves]
        if problems:
            raise Refused(self.dtype)
        if self.fixed:
            width = max(int(self.storage.lstrip("<>|=")[1:]), 1, *map(len, found))
            order = self.storage[0] if self.storage[0] in "<>" else ""
            return np.array(found, dtype=f"{order}{self.fixed}{width}")
        if self.storage == "object":
            return objects(found)
        dtype = string_dtype(self.storage)
        missing = getattr(dtype, "na_object", None)
        return np.array([missing if value is None else value for value in found], dtype=dtype)

    def takes(self, array: Any) -> bool:
        """Tell whether an array holds text in this way, of any width."""
        if self.fixed:
            return bool(array.dtype.kind == self.fixed)
        if self.storage == "object":
            return bool(array.dtype.kind == "O")
        return bool(array.dtype == string_dtype(self.storage))

    def write(self, array: Any, path: str, problems: Problems) -> Any:
        """Write each."""
        values = array.reshape(-1).tolist()
        if array.dtype.kind == "T" and hasattr(array.dtype, "na_object"):
            values = [None if value is array.dtype.na_object else value for value in values]
        return self.one_by_one(values, array.shape, path, problems)


class Unpadded:
    """A text for an array of fixed width, where NumPy would drop NULs at its end."""

    def __init__(self, inner: Codec) -> None:
        self.inner = inner

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read the text."""
        found = self.inner.decode(value, path, problems)
        if isinstance(found, str | bytes) and found[-1:] in {"\0", b"\0"}:
            problems.add(path, "a NUL at the end", "a text that does not end in NUL", "payload.type")
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write the text."""
        return self.inner.encode(value, path, problems)


class Objects(Leaves):
    """Python objects in an array."""

    def __init__(self, kind: s.Tensor, definitions: Definitions) -> None:
        self.dtype = kind.dtype
        number = kind.dtype.startswith("float") or kind.dtype == "decimal"
        scalar = s.Scalar(kind.dtype, nullable=kind.non_finite, non_finite=kind.non_finite and number)
        self.item = codec_for(scalar, definitions)

    def build(self, leaves: list[Any]) -> Any:
        """Read each."""
        problems = Problems(1)
        found = [self.item.decode(leaf, "", problems) for leaf in leaves]
        if problems:
            raise Refused(self.dtype)
        return objects(found)

    def takes(self, array: Any) -> bool:
        """Tell whether an array holds objects."""
        return bool(array.dtype.kind == "O")

    def write(self, array: Any, path: str, problems: Problems) -> Any:
        """Write each."""
        return self.one_by_one(array.reshape(-1).tolist(), array.shape, path, problems)


def objects(values: list[Any]) -> Any:
    """Make an array of objects of one dimension, lists among them."""
    import numpy as np

    array = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        array[at] = value
    return array


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


def string_dtype(text: str, *, missing: bool = False) -> Any:
    """Make NumPy's dtype of strings of any length as it was written; None (or an error) where it has no such text."""
    import numpy as np

    makers: Mapping[str, Callable[[Any], Any]] = {
        "StringDType()": lambda make: make(),
        "StringDType(coerce=False)": lambda make: make(coerce=False),
        "StringDType(na_object=None)": lambda make: make(na_object=None),
        "StringDType(na_object=nan)": lambda make: make(na_object=math.nan),
        "StringDType(na_object=None, coerce=False)": lambda make: make(na_object=None, coerce=False),
        "StringDType(na_object=nan, coerce=False)": lambda make: make(na_object=math.nan, coerce=False),
    }
    if text in makers:
        return makers[text](np.dtypes.StringDType)
    if missing:
        return None
    raise InvalidSignature(f"NumPy has no dtype {text[:80]!r} that is known here", code="signature.storage")


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
