"""Numbers, booleans, strings and Python objects in the columns of pandas.

Each class builds the array of a whole column at once, says of one value whether it is admitted (asked only after the
column as a whole was refused), and writes an array back as a list of JSON values.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for
from model_envelope.runtime.codec.tables.columns.dtypes import dtype_of, missing_of
from model_envelope.runtime.codec.values.scalars import INTEGERS, LARGEST, NON_FINITE, Refused, are_unicode
from model_envelope.runtime.errors import Problems


class Values(Protocol):
    """The values of one column. ``types`` are the Python types of its JSON; None where each value is looked at."""

    types: frozenset[type] | None

    def admits(self, value: Any) -> bool:
        """Say whether a value that is not null, and of one of ``types``, is in order."""
        ...

    def build(self, values: Sequence[Any], null: bool) -> Any:
        """Build the array; ``null`` says whether None is among the values. Raises where a value is not in order."""
        ...

    def write(self, stored: Any) -> list[Any]:
        """Write an array of the very dtype as JSON values. Raises :class:`Refused` where one is not admitted."""
        ...


class Integers:
    """Integers: of NumPy, nullable, sparse, or Python's own."""

    types: frozenset[type] | None = frozenset({int})

    def __init__(self, kind: s.Scalar, storage: str) -> None:
        self.dtype = kind.dtype
        self.least, self.most = INTEGERS[kind.dtype]
        self.store = _Store(storage)

    def admits(self, value: Any) -> bool:
        """Say whether a value is in the range."""
        return bool(self.least <= value <= self.most)

    def build(self, values: Sequence[Any], null: bool) -> Any:
        """Build an array; NumPy itself refuses what is beyond 64 bits."""
        import numpy as np

        filled = [0 if value is None else value for value in values] if null else values
        if self.dtype == "int64":
            # Python's own array takes numbers faster than NumPy does, and is as strict about 64 bits.
            return self.store.build(np.frombuffer(array("q", filled), dtype=np.int64), values, null)
        if len(filled) and not (self.least <= min(filled) and max(filled) <= self.most):
            raise Refused("range")
        return self.store.build(np.array(filled, dtype=self.dtype), values, null)

    def write(self, stored: Any) -> list[Any]:
        """Write integers."""
        return self.store.write(stored)


class Booleans:
    """Booleans."""

    types: frozenset[type] | None = frozenset({bool})

    def __init__(self, storage: str) -> None:
        self.store = _Store(storage)

    def admits(self, value: Any) -> bool:  # noqa: ARG002  either is admitted
        """Say that both are in order."""
        return True

    def build(self, values: Sequence[Any], null: bool) -> Any:
        """Build an array."""
        import numpy as np

        filled = [value is True for value in values] if null else values
        return self.store.build(np.frombuffer(bytearray(filled), dtype=bool), values, null)

    def write(self, stored: Any) -> list[Any]:
        """Write booleans."""
        return self.store.write(stored)


class Floats:
    """Floats: NaN and null are one, and travel as null."""

    def __init__(self, kind: s.Scalar, storage: str) -> None:
        self.dtype = kind.dtype
        self.most = LARGEST[kind.dtype]
        self.non_finite = kind.non_finite
        self.nullable = kind.nullable
        self.store = _Store(storage)
        self.types: frozenset[type] | None = frozenset({int, float, str} if kind.non_finite else {int, float})

    def admits(self, value: Any) -> bool:
        """Say whether a number is finite and in the range, or spells one that is not finite."""
        if type(value) is str:
            return value in NON_FINITE and (value != "NaN" or self.nullable)
        try:
            return math.isfinite(value) and abs(float(value)) <= self.most
        except OverflowError:
            return False

    def build(self, values: Sequence[Any], null: bool) -> Any:
        """Build an array, in which null is NaN."""
        import numpy as np

        nulls, given = values.count(None) if null else 0, values
        spelled = [at for at, value in enumerate(values) if type(value) is str] if self.non_finite else []
        if spelled:
            if not all(self.admits(values[at]) for at in spelled):
                raise Refused("spelling")
            values = [NON_FINITE[value] if type(value) is str else value for value in values]
        if null:
            values = [math.nan if value is None else value for value in values]
        wide = np.frombuffer(array("d", values), dtype=np.float64)
        finite = np.isfinite(wide)
        if len(wide) - int(np.count_nonzero(finite)) != len(spelled) + nulls:
            raise Refused("not finite")
        if self.dtype == "float64":
            return self.store.build(wide, given, null)
        if (np.abs(wide[finite]) > self.most).any():
            raise Refused("range")
        return self.store.build(wide.astype(self.dtype), given, null)

    def write(self, stored: Any) -> list[Any]:
        """Write floats: NaN as null, the infinities spelled."""
        import numpy as np

        floats = self.store.floats(stored)
        finite = np.isfinite(floats)
        if finite.all():
            return list(floats.tolist())
        infinite = np.isinf(floats)
        if infinite.any() and not self.non_finite:
            raise Refused("finite numbers")
        if not self.nullable and not (finite | infinite).all():
            raise Refused("null")
        return [
            value if math.isfinite(value) else None if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
            for value in floats.tolist()
        ]


class Strings:
    """Strings, of whichever storage."""

    types: frozenset[type] | None = frozenset({str})

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.objects = missing_of(storage)

    @cached_property
    def dtype(self) -> Any:
        """Give the dtype of pandas; None where strings are Python's own."""
        return dtype_of(self.storage) if self.objects is None else None

    def admits(self, value: Any) -> bool:
        """Say whether a string can be written as UTF-8 (one half of a surrogate pair cannot)."""
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True

    def build(self, values: Sequence[Any], null: bool) -> Any:
        """Build an array."""
        import pandas as pd

        dtype = self.dtype
        if dtype is not None and dtype.storage == "pyarrow" and not pd.__version__.startswith("2."):
            import pyarrow as pa

            return pd.arrays.ArrowStringArray(pa.array(values, type=pa.large_string()), dtype=dtype)
        if not are_unicode(values):
            raise Refused("characters")
        if self.objects is None:
            return pd.array(list(values), dtype=dtype)
        return objects([self.objects[0] if value is None else value for value in values] if null else values)

    def write(self, stored: Any) -> list[Any]:
        """Write strings."""
        found = list(stored.tolist())
        if not set(map(type, found)) <= {str}:
            missing = stored.isna().tolist()
            found = [None if null else value for value, null in zip(found, missing, strict=True)]
        if not set(map(type, found)) <= {str, type(None)} or not are_unicode(found):
            raise Refused("strings")
        return found


class Items:
    """Whatever else: each value by the codec of its type, in an array of Python objects (or of complex numbers)."""

    types: frozenset[type] | None = None

    def __init__(self, kind: s.Type, storage: str, definitions: Definitions) -> None:
        self.item: Codec = codec_for(kind, definitions)
        self.storage = storage
        self.missing = missing_of(storage)

    def admits(self, value: Any) -> bool:
        """Say whether the codec of the type takes a value."""
        problems = Problems()
        self.item.decode(value, "$", problems)
        return not problems

    def build(self, values: Sequence[Any], null: bool) -> Any:  # noqa: ARG002  the item's codec knows null
        """Build an array of what the codec makes of each value."""
        problems = Problems(limit=1)
        found = [self.item.decode(value, "$", problems) for value in values]
        if problems:
            raise Refused("value")
        return self.store(found)

    def store(self, found: Sequence[Any]) -> Any:
        """Build an array of Python objects."""
        if self.missing is not None:
            return objects([self.missing[0] if value is None else value for value in found])
        import numpy as np

        return np.array(found, dtype=self.storage)

    def write(self, stored: Any) -> list[Any]:
        """Write each value; the slow road names those that are not admitted."""
        problems = Problems(limit=1)
        values = present(stored) if self.missing is not None else stored.tolist()
        found = [self.item.encode(value, "$", problems) for value in values]
        if problems:
            raise Refused("value")
        return found


class _Store:
    """Where numbers end up: an array of NumPy, one with a mask, a sparse one, or Python objects."""

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.missing = missing_of(storage)
        self.masked = storage[0] in "IUF" or storage == "boolean"
        self.sparse = storage.startswith("Sparse[")

    def build(self, numbers: Any, values: Sequence[Any], null: bool) -> Any:
        """Put an array of NumPy where it belongs."""
        import numpy as np

        if self.masked:
            import pandas as pd

            missing = bytearray([value is None for value in values]) if null else bytearray(len(numbers))
            makers = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
            return makers.get(numbers.dtype.kind, pd.arrays.IntegerArray)(numbers, np.frombuffer(missing, dtype=bool))
        if self.missing is not None:
            missing = self.missing[0]
            plain = numbers.tolist()
            return objects([missing if value is None else plain[at] for at, value in enumerate(values)])
        if null and numbers.dtype.kind != "f":
            raise Refused("a value: this dtype has no place for null")
        if self.sparse:
            import pandas as pd

            return pd.arrays.SparseArray(numbers, dtype=dtype_of(self.storage))
        return numbers

    def write(self, stored: Any) -> list[Any]:
        """Write an array, missing values as null."""
        if self.masked:
            return list(stored.to_numpy(dtype=object, na_value=None).tolist())
        if self.missing is not None:
            return present(stored)
        import numpy as np

        return list(np.asarray(stored).tolist())

    def floats(self, stored: Any) -> Any:
        """Give an array of floats, missing values as NaN."""
        import numpy as np

        if self.masked:
            return stored.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(stored, dtype=np.float64)


def objects(values: Sequence[Any]) -> Any:
    """Build an array of Python objects, whatever their lengths."""
    import numpy as np

    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def kept(stored: Any) -> Any:
    """Keep objects objects: of an array of nothing but strings pandas 3 would make its own strings."""
    if stored.dtype != object:
        return stored
    import pandas as pd

    return pd.Series(stored, dtype=object, copy=False)


def present(stored: Any) -> list[Any]:
    """Give the values of a pandas array as Python objects, None where one is missing."""
    missing = stored.isna().tolist()
    return [None if null is True else value for value, null in zip(stored.tolist(), missing, strict=True)]
