"""What may stand where an annotation leaves something to the samples: the rules of its holes."""

from __future__ import annotations

import math
import re
import sys
import typing
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from model_envelope.inference.holes import Hole, Rule, complex_hole, decimal_hole, float_hole
from model_envelope.inference.plain_classes import how_to_register
from model_envelope.inference.values import unify_all
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.values.scalars import ScalarCodec
from model_envelope.runtime.errors import InvalidSignature, Problems

LIBRARIES = frozenset({"pandas", "numpy", "polars", "pyarrow", "torch", "scipy"})
"""Libraries whose objects only samples can describe."""

_BARE: typing.Mapping[type, s.Type] = {
    list: s.List(s.Any()),
    tuple: s.List(s.Any(), variadic=True),
    set: s.Set(s.Any()),
    frozenset: s.Set(s.Any(), frozen=True),
    dict: s.Map(s.Scalar("string"), s.Any()),
}


def anything() -> Hole:
    """Give the hole of Any: samples say what it is."""
    return Hole(rule=Rule("anything", s.Any()))


def bare(cls: type) -> Hole:
    """Give the hole of a container whose items have no annotation."""
    known = cls if cls in _BARE else set
    return Hole(rule=Rule(f"a {known.__name__}", _BARE[known], lambda value: isinstance(value, known)))


def scalar_hole(annotation: Any) -> Hole | None:
    """Give the hole of a scalar of which samples say a little more: NaN, or an offset."""
    if annotation is float:
        return float_hole()
    if annotation is complex:
        return complex_hole()
    if annotation is Decimal:
        return decimal_hole()
    if annotation is datetime:
        return _datetime_hole(None, _is_datetime)
    if getattr(annotation, "__module__", "").startswith("pydantic.") and isinstance(annotation, type):
        if annotation.__name__ == "AwareDatetime":
            return _datetime_hole("", lambda value: _is_datetime(value) and value.tzinfo is not None)
        if annotation.__name__ == "NaiveDatetime":
            return _datetime_hole(None, lambda value: _is_datetime(value) and value.tzinfo is None)
    return None


def _datetime_hole(zone: str | None, accepts: Any) -> Hole:
    rule = Rule("a datetime", s.Scalar("datetime", timezone=zone), accepts, _narrow_datetime, _read_datetime)
    return Hole(rule=rule)


def _is_datetime(value: Any) -> bool:
    return isinstance(value, datetime)


def _narrow_datetime(values: Sequence[Any], path: str) -> s.Type:
    moments = [value for value in values if _is_datetime(value)]
    kinds = [s.Scalar("datetime", timezone=None if moment.tzinfo is None else "") for moment in moments]
    if len(set(kinds)) > 1:
        raise InvalidSignature(
            f"{path} has datetimes with offset and without",
            code="signature.mixed-types",
            hint="give all of them a time zone, or none",
        )
    return unify_all(kinds, path) if kinds else s.Scalar("datetime")


def _read_datetime(value: Any) -> Any:
    problems = Problems()
    for zone in (None, ""):
        found = ScalarCodec(s.Scalar("datetime", timezone=zone)).decode(value, "$", problems)
        if found is not None:
            return found
    return value


def is_array_like(annotation: Any) -> bool:
    """Tell whether an annotation is NumPy's ``ArrayLike``: a union of nearly everything."""
    typing_module = sys.modules.get("numpy.typing")
    return typing_module is not None and annotation == typing_module.ArrayLike


def library_hole(cls: type, arguments: Sequence[Any]) -> s.Type | None:
    """Give the hole of a class that samples have to describe; a scalar of NumPy describes itself."""
    if getattr(cls, "_is_protocol", False):
        return anything()
    if cls.__module__ == "numbers":
        return Hole(rule=Rule(f"a {cls.__name__}", s.Any(), lambda value: isinstance(value, cls)))
    library = cls.__module__.partition(".")[0]
    if library not in LIBRARIES:
        return None
    if library == "numpy" and (scalar := _numpy_scalar(cls)):
        return scalar
    dtype = _dtype_argument(arguments)
    return Hole(rule=Rule(_expected(cls, dtype), None, _accepts(cls, dtype), None, _maker(cls, dtype)))


def _numpy_scalar(cls: Any) -> s.Type | None:
    import numpy as np

    if cls not in {np.dtype(code).type for code in np.typecodes["All"]}:  # np.number, np.integer
        return None
    name = np.dtype(cls).name
    return s.Scalar(name) if name in s.SCALARS else None


def _dtype_argument(arguments: Sequence[Any]) -> Any:
    """Give the scalar class of ``NDArray[np.float64]``, where it names one dtype."""
    for argument in arguments:
        inner = typing.get_args(argument)
        if getattr(typing.get_origin(argument), "__name__", "") == "dtype" and inner and isinstance(inner[0], type):
            return inner[0]
    return None


def _expected(cls: type, dtype: Any) -> str:
    name = f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"
    return f"{name} of {dtype.__name__}" if dtype else name


def _accepts(cls: type, dtype: Any) -> Any:
    def accepts(value: Any) -> bool:
        if not isinstance(value, cls):
            return False
        return dtype is None or issubclass(value.dtype.type, dtype)  # type: ignore[attr-defined]

    return accepts


def _maker(cls: Any, dtype: Any) -> Any:
    """Make what makes an object of a library of JSON."""
    name = f"{cls.__module__.partition('.')[0]}.{cls.__name__}"

    def make(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if name == "numpy.ndarray":
            import numpy as np

            try:
                return np.asarray(value, dtype=dtype)
            except TypeError:  # an abstract dtype
                return np.asarray(value)
        if name == "pyarrow.Table":
            return cls.from_pylist(value) if isinstance(value, list) else cls.from_pydict(value)
        if name == "torch.Tensor":
            import torch

            return torch.tensor(value)
        return cls(value)

    return make


def unsayable(annotation: Any, path: str) -> Hole:
    """Give the hole of a class that a signature cannot say: nothing fills it, and the refusal says what to do."""
    name = f"{annotation.__module__}.{annotation.__qualname__}" if isinstance(annotation, type) else repr(annotation)
    refusal = InvalidSignature(
        f"{path} is annotated as `{name}`, and a signature has no type for it",
        code="signature.unknown-type",
        hint="annotate with plain types, dataclasses, TypedDicts, NumPy arrays or pandas tables"
        if not isinstance(annotation, type) or annotation.__module__ in sys.stdlib_module_names
        else how_to_register(annotation),
    )
    return Hole(rule=Rule(name, None, lambda _value: False, refusal=refusal))


def notes(metadata: Iterable[Any]) -> tuple[Any, ...]:
    """Give the metadata of Annotated as texts and numbers, the same in every process."""
    found: list[Any] = []
    for item in metadata:
        if type(item).__name__ == "FieldInfo":  # what pydantic's Field() makes
            found += notes([*([item.description] if item.description else []), *item.metadata])
        elif item is None or isinstance(item, str | bool | int) or (isinstance(item, float) and math.isfinite(item)):
            found.append(item)
        else:
            text = repr(item)
            found.append(type(item).__qualname__ if re.search(r" at 0x[0-9a-f]+>", text) else text)
    return tuple(found)
