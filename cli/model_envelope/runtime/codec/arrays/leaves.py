"""The values of an array, whatever its shape: one dtype of NumPy at a time, checked at once and made in one go."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrays import shapes
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe
from model_envelope.runtime.codec.tables.cells import cell_for
from model_envelope.runtime.codec.values.scalars import INTEGERS, LARGEST, NON_FINITE, Refused, are_unicode
from model_envelope.runtime.errors import InvalidSignature, Problems

_NONE = type(None)
_SPELLED = {value: name for name, value in NON_FINITE.items() if value == value}  # noqa: PLR0124  all but NaN
_NARROW = {"bfloat16": 3.3895313892515355e38, "complex32": 65504.0}
"""The greatest finite value of dtypes that a storage names."""


@cache
def name_of(dtype: Any) -> str:
    """Give the name of a dtype, which NumPy makes anew each time."""
    return str(dtype.name)


class Leaves:
    """The values of an array, whatever its shape. ``item`` is the codec of one of them, for naming what is wrong."""

    item: Codec
    dtype: str

    def build(self, leaves: list[Any]) -> Any:
        """Make an array of one dimension in one go; raises where any value does not belong in it."""
        raise NotImplementedError

    def takes(self, array: Any) -> bool:
        """Tell whether an array is of this dtype."""
        return name_of(array.dtype) == self.dtype

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
        item = codec_for(s.Scalar(self.dtype, nullable=kind.non_finite, non_finite=kind.non_finite), Definitions())
        self.item = Bounded(item, self.most, kind.storage or self.dtype) if kind.storage in _NARROW else item

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
        return name_of(array.dtype) == self.whole

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


class Bounded:
    """A float of a dtype that JSON's own codecs do not know, which holds less than the one that stands for it."""

    def __init__(self, inner: Codec, most: float, dtype: str) -> None:
        self.inner = inner
        self.most = most
        self.expected = f"a number that {dtype} holds, at most {most:.5g}"

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read the number, and hold it against the greatest one."""
        found = self.inner.decode(value, path, problems)
        if isinstance(found, float) and math.isfinite(found) and abs(found) > self.most:
            problems.add(path, describe(value), self.expected, "payload.type")
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write the number."""
        return self.inner.encode(value, path, problems)


class Moments(Leaves):
    """Times of NumPy, as counts of their unit."""

    def __init__(self, kind: s.Tensor) -> None:
        import numpy as np

        self.dtype = kind.dtype
        dtype: Any = np.dtype(kind.storage)
        unit, step = np.datetime_data(dtype)
        if step != 1 or unit == "generic":
            raise InvalidSignature(f"there are no arrays of {kind.storage}", code="signature.storage")
        self.numpy = dtype
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
        if self.dtype == "string" and set(map(type, values)) == {str} and are_unicode(values):
            return array.tolist()
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
