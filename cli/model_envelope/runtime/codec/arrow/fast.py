"""Arrow columns to the arrays of a library without a look at each value: where Arrow's own facts settle the verdict.

A function here gives None where they do not; then the column is spelled as JSON, which decides, and names what is
wrong. What NumPy and pandas get is copied once, so that a model may write into it as it may after JSON.
"""

from __future__ import annotations

from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.tables.columns.dtypes import missing_of
from model_envelope.runtime.codec.tables.columns.values import kept, objects
from model_envelope.runtime.codec.values.scalars import INTEGERS, LARGEST

_YEARS = {"s": (-62_135_596_800, 253_402_300_799)}
_YEARS |= {
    unit: (_YEARS["s"][0] * size, (_YEARS["s"][1] + 1) * size - 1)
    for unit, size in (("ms", 10**3), ("us", 10**6), ("ns", 10**9))
}
"""The first and the last count of the years 1 to 9999, which are those that JSON can say."""


def settled(array: Any, kind: s.Type, *, null_is_nan: bool) -> bool:
    """Tell whether all values of an array surely belong to a type: by its Arrow type, its nulls, least and most."""
    import pyarrow as pa

    types, type_ = pa.types, array.type
    if array.null_count and not kind.nullable:
        return False
    if isinstance(kind, s.Choice):
        return kind.dtype is None and kind.enum is None and types.is_dictionary(type_) and _known(array, kind)
    if not isinstance(kind, s.Scalar):
        return False
    if kind.dtype in INTEGERS:
        return types.is_integer(type_) and (str(type_) == kind.dtype or _between(array, *INTEGERS[kind.dtype]))
    if kind.dtype in LARGEST:
        if _FLOATS.get(str(type_)) != kind.dtype:
            return False
        return kind.non_finite or _is_finite(array, nan=null_is_nan and kind.nullable)
    if kind.dtype == "datetime":
        zoned = types.is_timestamp(type_) and (type_.tz is None) == (kind.timezone is None)
        return zoned and type_.unit == kind.unit and _between(array.cast(pa.int64()), *_years(type_.unit))
    if kind.dtype == "timedelta":
        return types.is_duration(type_) and type_.unit == kind.unit and _between(array.cast(pa.int64()), *_SIGNED)
    return (kind.dtype == "bool" and types.is_boolean(type_)) or (
        kind.dtype == "string" and (types.is_string(type_) or types.is_large_string(type_))
    )


_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
_SIGNED = (-(2**63) + 1, 2**63 - 1)
"""The least count of 64 bits stands for "no time" in NumPy."""


def _years(unit: str) -> tuple[int, int]:
    least, most = _YEARS[unit]
    return max(least, _SIGNED[0]), min(most, _SIGNED[1])


def _between(array: Any, least: int, most: int) -> bool:
    import pyarrow.compute as pc

    ends = pc.min_max(array).as_py()
    return ends["min"] is None or (least <= ends["min"] and ends["max"] <= most)


def _is_finite(array: Any, *, nan: bool) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    wide = array.cast(pa.float32()) if pa.types.is_float16(array.type) else array
    odd = pc.is_inf(wide) if nan else pc.invert(pc.is_finite(wide))
    return not pc.any(odd).as_py()


def _known(array: Any, kind: s.Choice) -> bool:
    values = array.dictionary
    if values.null_count or values.type.num_fields:
        return False
    types = set(map(type, kind.values))
    return all(type(value) in types and value in kind.values for value in values.to_pylist())


def numbers(array: Any, dtype: str) -> Any:
    """Give a settled array of numbers as a writable one of NumPy; null becomes NaN."""
    import numpy as np

    return np.array(array.to_numpy(zero_copy_only=False), dtype=dtype)


def counts(array: Any) -> Any:
    """Give a settled array of times as a writable one of NumPy; null becomes NaT."""
    import numpy as np
    import pyarrow as pa

    whole = array.cast(pa.int64())
    if whole.null_count:
        whole = whole.fill_null(-(2**63))
    letter = "M" if pa.types.is_timestamp(array.type) else "m"
    return np.array(whole.to_numpy(zero_copy_only=False)).view(f"{letter}8[{array.type.unit}]")


def pandas_array(array: Any, kind: s.Type, storage: str, like: Any) -> Any:
    """Give a settled array as what a column of pandas is made of; None where it has to be spelled.

    ``like`` is an empty column, whose dtype is the one to become.
    """
    if isinstance(kind, s.Choice):
        return _categorical(array, kind, like) if storage == "category" else None
    assert isinstance(kind, s.Scalar)
    if kind.dtype in INTEGERS or kind.dtype in LARGEST or kind.dtype == "bool":
        if storage == kind.dtype and not (array.null_count and kind.dtype not in LARGEST):
            return numbers(array, storage)
        if kind.dtype in INTEGERS and storage.lower() == kind.dtype:
            return _masked(array, kind.dtype)
    if kind.dtype == "string" and storage.startswith(("str", "string")):
        return _strings(array, like)
    if kind.dtype == "string" and (missing := missing_of(storage)) is not None:
        return kept(objects([missing[0] if text is None else text for text in array.to_pylist()]))
    if kind.dtype in {"datetime", "timedelta"} and storage.startswith(kind.dtype):
        return _moments(array, kind, like)
    return None


def _masked(array: Any, dtype: str) -> Any:
    import numpy as np
    import pandas as pd

    mask = np.array(array.is_null().to_numpy(zero_copy_only=False))
    return pd.arrays.IntegerArray(numbers(array.fill_null(0) if array.null_count else array, dtype), mask)


def _strings(array: Any, like: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    if not isinstance(like.dtype, pd.StringDtype):
        return None
    return like.dtype.__from_arrow__(pa.chunked_array([array.cast(pa.large_string())]))


def _moments(array: Any, kind: s.Scalar, like: Any) -> Any:
    import pandas as pd

    found = pd.Series(counts(array))
    if kind.dtype == "datetime" and kind.timezone is not None:
        found = found.dt.tz_localize("UTC")
        if not isinstance(like.dtype, pd.DatetimeTZDtype):
            return None
        found = found.dt.tz_convert(like.dtype.tz)
    return found.array if found.dtype == like.dtype else None


def _categorical(array: Any, kind: s.Choice, like: Any) -> Any:
    import numpy as np
    import pandas as pd

    if not isinstance(getattr(like, "dtype", None), pd.CategoricalDtype):
        return None
    places = {value: at for at, value in enumerate(kind.values)}
    # The last place is for null, whose index is given as -1.
    lookup = np.array([*(places[value] for value in array.dictionary.to_pylist()), -1], dtype=np.intp)
    indices = array.indices.fill_null(-1) if array.null_count else array.indices
    taken = indices.to_numpy(zero_copy_only=False)
    return pd.Categorical.from_codes(lookup[taken.astype(np.intp)], dtype=like.dtype)


def polars_array(array: Any, like: Any) -> Any:
    """Give a settled array as a series of Polars of the dtype of ``like``."""
    import polars as pl

    found = pl.Series(pl.from_arrow(array))
    if found.dtype == like.dtype:
        return found
    text = found.dtype in {pl.Categorical, pl.Enum} or isinstance(found.dtype, pl.Categorical)
    return (found.cast(pl.String()) if text else found).cast(like.dtype, strict=True)


def arrow_array(array: Any, like: Any) -> Any:
    """Give a settled array as one of pyarrow of the type of ``like``; a dictionary has to be the sealed one."""
    import pyarrow as pa

    if pa.types.is_dictionary(like.type):
        same = array.type == like.type and array.dictionary.equals(like.dictionary)
        return array if same else None
    return array if array.type == like.type else array.cast(like.type)


def tensor_values(array: Any, shape: tuple[int | None, ...], dtype: str, *, non_finite: bool) -> Any:
    """Give an Arrow array of (nested) lists of numbers as an array of NumPy; None where it has to be spelled."""
    import numpy as np
    import pyarrow as pa

    types = pa.types
    if dtype not in LARGEST and dtype not in INTEGERS and dtype != "bool":
        return None
    sizes = [len(array)]
    for size in shape[1:]:
        if array.null_count:
            return None
        if types.is_fixed_size_list(array.type):
            sizes.append(array.type.list_size)
        elif types.is_list(array.type) or types.is_large_list(array.type):
            lengths = np.diff(array.offsets.to_numpy())
            width = size if size is not None else int(lengths[0]) if len(lengths) else 0
            if (lengths != width).any():
                return None
            sizes.append(width)
        else:
            return None
        if size is not None and sizes[-1] != size:
            return None
        array = array.flatten()
    scalar = s.Scalar(dtype, nullable=non_finite, non_finite=non_finite)
    if (shape[0] is not None and sizes[0] != shape[0]) or not settled(array, scalar, null_is_nan=True):
        return None
    if array.null_count and dtype not in LARGEST:
        return None
    return numbers(array, dtype).reshape(sizes)
