"""One column of a pandas table: a list of JSON values to an array in one go, and back.

The fast road looks at the set of the types in the column once. Only where that set, or building the array, says that
something is wrong is each value decoded by itself, to name every bad row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for
from model_envelope.runtime.codec.scalars import INTEGERS, LARGEST, NON_FINITE, Refused, choices, expected
from model_envelope.runtime.errors import Problems

PathOf = Callable[[int], str]
_NONE = type(None)


class ColumnCodec:
    """The values of one column. ``storage`` is the pandas dtype that the model saw when it was sealed."""

    def __init__(self, kind: s.Type, storage: str, definitions: Definitions) -> None:
        self.kind = kind
        self.storage = storage
        self.item: Codec = codec_for(kind, definitions)
        self._build = _builder(kind, storage)
        self._write = _writer(kind)

    @property
    def expected(self) -> str:
        """Say what a value has to be."""
        if isinstance(self.kind, s.Scalar):
            return expected(self.kind)
        if isinstance(self.kind, s.Choice):
            return choices(self.kind)
        return self.kind.kind

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Build the array, or note every value that does not belong in it."""
        try:
            return self._build(values)
        except (Refused, TypeError, ValueError, KeyError, OverflowError):
            before = len(problems.items) + problems.dropped
            for at, value in enumerate(values):
                self.item.decode(value, path_of(at), problems)
            if len(problems.items) + problems.dropped == before:
                raise
            return None

    def encode(self, series: Any, path_of: PathOf, problems: Problems) -> list[Any]:
        """Write the values of a series or index as a list of JSON values."""
        values = self._write(series)
        if values is not None:
            return values
        missing = series.isna().tolist()
        return [
            self.item.encode(None if null else value, path_of(at), problems)
            for at, (value, null) in enumerate(zip(series.tolist(), missing, strict=True))
        ]


def _allow(values: Sequence[Any], kind: s.Type, *types: type) -> bool:
    """Check the set of types in a column; say whether null is among them."""
    found = set(map(type, values))
    null = _NONE in found
    if null and not kind.nullable:
        raise Refused("null")
    if not found <= {*types, _NONE}:
        raise Refused("type")
    return null


def _builder(kind: s.Type, storage: str) -> Callable[[Sequence[Any]], Any]:
    if isinstance(kind, s.Choice):
        return _choice_builder(kind, storage)
    if isinstance(kind, s.Scalar):
        if kind.dtype in INTEGERS:
            return _integer_builder(kind, storage)
        if kind.dtype in LARGEST:
            return _float_builder(kind, storage)
        if kind.dtype == "bool":
            return _bool_builder(kind, storage)
        if kind.dtype == "string":
            return _string_builder(kind, storage)
        if kind.dtype == "datetime":
            return _datetime_builder(kind, storage)
    return _object_builder(kind, storage)


def _integer_builder(kind: s.Scalar, storage: str) -> Callable[[Sequence[Any]], Any]:
    least, most = INTEGERS[kind.dtype]
    narrow = kind.dtype != "int64"

    def build(values: Sequence[Any]) -> Any:
        import numpy as np

        null = _allow(values, kind, int)
        filled = [0 if value is None else value for value in values] if null else values
        if narrow and filled and not (least <= min(filled) and max(filled) <= most):
            raise Refused("range")
        array = np.array(filled, dtype=kind.dtype)
        if storage[0] in "IU":
            import pandas as pd

            mask = (
                np.array([value is None for value in values], dtype=bool) if null else np.zeros(len(values), dtype=bool)
            )
            return pd.arrays.IntegerArray(array, mask)
        return _stored(np.array(values, dtype=object) if null else array, storage)

    return build


def _float_builder(kind: s.Scalar, storage: str) -> Callable[[Sequence[Any]], Any]:
    most = LARGEST[kind.dtype]

    def build(values: Sequence[Any]) -> Any:
        import numpy as np

        types = (int, float, str) if kind.non_finite else (int, float)
        null = _allow(values, kind, *types)
        if kind.non_finite and str in set(map(type, values)):
            values = [NON_FINITE[value] if type(value) is str else value for value in values]
        wide = np.array(values, dtype=np.float64)
        if not kind.non_finite:
            finite = np.isfinite(wide)
            if null:
                finite |= np.array([value is None for value in values], dtype=bool)
            if not finite.all():
                raise Refused("not finite")
        if kind.dtype != "float64" and (np.abs(wide[np.isfinite(wide)]) > most).any():
            raise Refused("range")
        array = wide.astype(kind.dtype, copy=False)
        if storage[0] == "F":
            import pandas as pd

            mask = np.array([value is None for value in values], dtype=bool)
            return pd.arrays.FloatingArray(array, mask)
        return _stored(array, storage)

    return build


def _bool_builder(kind: s.Scalar, storage: str) -> Callable[[Sequence[Any]], Any]:
    def build(values: Sequence[Any]) -> Any:
        import numpy as np

        null = _allow(values, kind, bool)
        if storage == "boolean":
            import pandas as pd

            data = np.array([bool(value) for value in values], dtype=bool)
            mask = np.array([value is None for value in values], dtype=bool)
            return pd.arrays.BooleanArray(data, mask)
        return _stored(np.array(values, dtype=object if null else bool), storage)

    return build


def _string_builder(kind: s.Scalar, storage: str) -> Callable[[Sequence[Any]], Any]:
    def build(values: Sequence[Any]) -> Any:
        import pandas as pd

        _allow(values, kind, str)
        if storage == "object":
            return _objects(values)
        return pd.array(values, dtype=storage)

    return build


def _choice_builder(kind: s.Choice, storage: str) -> Callable[[Sequence[Any]], Any]:
    lookup = {(type(value), value): at for at, value in enumerate(kind.values)}
    codes: dict[Any, int] = {None: -1} if kind.nullable else {}
    codes |= {value: at for at, value in enumerate(kind.values)}
    types = tuple({type(value) for value in kind.values})
    mixed = len(types) > 1
    made: list[Any] = []

    def build(values: Sequence[Any]) -> Any:
        import numpy as np
        import pandas as pd

        _allow(values, kind, *types)
        if mixed:
            taken = [-1 if value is None else lookup[type(value), value] for value in values]
        else:
            taken = [codes[value] for value in values]
        if storage != "category":
            return _stored(_objects([None if at < 0 else kind.values[at] for at in taken]), storage)
        if not made:
            made.append(pd.CategoricalDtype(pd.Index(list(kind.values)), ordered=kind.ordered))
        return pd.Categorical.from_codes(np.array(taken, dtype=np.intp), dtype=made[0])

    return build


def _datetime_builder(kind: s.Scalar, storage: str) -> Callable[[Sequence[Any]], Any]:
    def build(values: Sequence[Any]) -> Any:
        import pandas as pd

        _allow(values, kind, str)
        for value in values:
            if value is not None and (
                len(value) < 16 or (datetime.fromisoformat(value).tzinfo is None) != (kind.timezone is None)
            ):
                raise Refused("datetime")
        moments = pd.to_datetime(list(values), format="ISO8601", utc=kind.timezone is not None)
        return moments.astype(storage)

    return build


def _object_builder(kind: s.Type, storage: str) -> Callable[[Sequence[Any]], Any]:
    codec = codec_for(kind, {})

    def build(values: Sequence[Any]) -> Any:
        problems = Problems()
        found = [codec.decode(value, "$", problems) for value in values]
        if problems:
            raise Refused("value")
        return _stored(_objects(found), storage)

    return build


def _objects(values: Sequence[Any]) -> Any:
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _stored(array: Any, storage: str) -> Any:
    if str(array.dtype) == storage:
        return array
    import pandas as pd

    return pd.array(array, dtype=storage) if storage != "object" else array.astype(object)


def _writer(kind: s.Type) -> Callable[[Any], list[Any] | None]:
    """Give the fast road out of a column: a list, or None where each value has to be looked at."""
    if isinstance(kind, s.Scalar) and (kind.dtype in INTEGERS or kind.dtype in LARGEST or kind.dtype == "bool"):
        letters = "iu" if kind.dtype in INTEGERS else "f" if kind.dtype in LARGEST else "b"

        def write(series: Any) -> list[Any] | None:
            dtype = series.dtype
            if getattr(dtype, "kind", "") in letters and not series.hasnans and dtype.name.lower() == kind.dtype:
                values: list[Any] = series.tolist()
                if letters != "f" or not _has_infinity(series):
                    return values
            return None

        return write
    return lambda _series: None


def _has_infinity(series: Any) -> bool:
    import numpy as np

    return bool(np.isinf(series.to_numpy()).any())
