"""The dtypes of pandas as text, and back: what a column's ``storage`` says.

pandas' own spelling, with these additions: ``category[int8]`` tells the dtype of categories that pandas would not infer
from their values, ``str[python]`` and ``string[python]`` tell a storage of strings that is not the default,
``utf8[pyarrow]`` is Arrow's string (pandas calls two dtypes ``string[pyarrow]``), and ``object[nan]`` says how objects
are missing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

ARROW = "[pyarrow]"
_SPARSE = re.compile(r"Sparse\[(.+), ([^,]+)\]")
_CATEGORY = re.compile(r"category\[(.+)\]")
_OBJECT = re.compile(r"object(?:\[(nan|NA|NaT)\])?")


def storage_of(dtype: Any) -> str:
    """Write a pandas dtype as text (that of a categorical without its categories)."""
    kind = type(dtype).__name__
    if kind == "StringDtype":
        return _string_storage(dtype)
    if kind == "ArrowDtype":
        from model_envelope.runtime.codec.arrow.types import write_type

        text = write_type(dtype.pyarrow_dtype)
        return str(dtype) if text is None else f"{'utf8' if text == 'string' else text}{ARROW}"
    return str(dtype)


def _string_storage(dtype: Any) -> str:
    import pandas as pd

    if str(dtype) == "str":
        return "str" if dtype == _str_dtype() else f"str[{dtype.storage}]"
    return "string" if dtype == pd.StringDtype() else f"string[{dtype.storage}]"


def _str_dtype(storage: str | None = None) -> Any:
    import pandas as pd

    try:
        return pd.StringDtype(storage, na_value=float("nan"))
    except TypeError:
        raise ImportError("pandas 3 or newer is needed, which has the dtype `str`", name="pandas") from None


@lru_cache(maxsize=1024)
def dtype_of(storage: str) -> Any:
    """Give the pandas dtype that a text names.

    Raises :class:`TypeError` or :class:`ValueError` where it names none, :class:`ImportError` where it names one that
    this version of pandas does not have.
    """
    import pandas as pd

    name, _, inner = storage.rstrip("]").partition("[")
    if storage in {"str", "str[python]", "str[pyarrow]"}:
        return _str_dtype(inner or None)
    if name == "string":
        return pd.StringDtype(inner or None)
    if is_arrow(storage):
        from model_envelope.runtime.codec.arrow.types import read_type
        from model_envelope.runtime.codec.tables.storages import read_storage

        return pd.ArrowDtype(read_type(read_storage(arrow_storage(storage))))
    if sparse := _SPARSE.fullmatch(storage):
        import numpy as np

        subtype = dtype_of(sparse[1])
        bools = {"True": True, "False": False}
        return pd.SparseDtype(subtype, bools[sparse[2]] if sparse[2] in bools else np.dtype(subtype).type(sparse[2]))
    if missing_of(storage) is not None:
        import numpy as np

        return np.dtype(object)
    if storage == "category" or _CATEGORY.fullmatch(storage):
        return pd.CategoricalDtype()
    return pd.api.types.pandas_dtype(storage)


def arrow_storage(storage: str) -> str:
    """Give the storage that tables of pyarrow have for a dtype ``...[pyarrow]``."""
    text = storage.removesuffix(ARROW)
    return "string" if text == "utf8" else text


def is_arrow(storage: str) -> bool:
    """Say whether a storage is one of the dtypes that pandas borrows from Arrow."""
    return storage.endswith(ARROW) and storage not in {"string[pyarrow]", "str[pyarrow]"}


def categories_storage(storage: str) -> str | None:
    """Give the storage of the categories, or None where pandas infers it from their values."""
    found = _CATEGORY.fullmatch(storage)
    return found[1] if found else None


def missing_of(storage: str) -> tuple[Any] | None:
    """Give how an object column says that a value is missing; None where the storage is no objects."""
    found = _OBJECT.fullmatch(storage)
    if not found:
        return None
    if found[1] is None:
        return (None,)
    if found[1] == "nan":
        return (float("nan"),)
    import pandas as pd

    return (pd.NA if found[1] == "NA" else pd.NaT,)
