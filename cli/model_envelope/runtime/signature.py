"""The grammar of a signature: what the methods of a model take and give.

A signature names methods; a method has Python parameters, each of a :data:`Type`, and returns a :data:`Type`. The
classes here are pure data. :mod:`model_envelope.runtime.signature_document` writes and reads them as
``signature.json``, :mod:`model_envelope.runtime.codec` moves values through them, and ``inference`` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any as Anything
from typing import ClassVar


class Kind(Enum):
    """How a parameter is passed, as in :class:`inspect.Parameter`."""

    POSITIONAL = "positional"
    NORMAL = "positional-or-keyword"
    VARIADIC = "variadic"
    KEYWORD = "keyword-only"
    VARIADIC_KEYWORD = "variadic-keyword"


class Answer(Enum):
    """Whether something is so: the probe found out, or could not."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Closeness(Enum):
    """How near an answer must come to the sealed one: the tolerance class of a method."""

    EXACT = "exact"
    CLOSE = "close"
    SHAPE = "shape-only"


class Flavor(Enum):
    """What library's object the model takes or gives."""

    PYTHON = "python"
    PANDAS = "pandas"
    POLARS = "polars"
    PYARROW = "pyarrow"
    NUMPY = "numpy"
    SCIPY = "scipy"
    TORCH = "torch"


@dataclass(frozen=True)
class Tolerance:
    """Two answers agree when they are equal, or when ``|a - b| <= atol + rtol * |b|`` (as in ``numpy.isclose``)."""

    closeness: Closeness = Closeness.EXACT
    rtol: float = 0.0
    atol: float = 0.0


@dataclass(frozen=True)
class Scalar:
    """One value.

    ``dtype`` is one of :data:`SCALARS`. ``unit`` (s, ms, us, ns) and ``timezone`` (an IANA name, or ``""`` for "any
    offset") belong to datetimes and timedeltas. ``non_finite`` admits NaN and the infinities where null does not stand
    for NaN already.
    """

    kind: ClassVar[str] = "scalar"
    dtype: str
    nullable: bool = False
    unit: str | None = None
    timezone: str | None = None
    non_finite: bool = False


@dataclass(frozen=True)
class Choice:
    """One of ``values`` (JSON scalars): a Literal, an Enum (``enum`` is ``module:qualname``) or a categorical."""

    kind: ClassVar[str] = "choice"
    values: tuple[Anything, ...]
    nullable: bool = False
    ordered: bool = False
    enum: str | None = None


@dataclass(frozen=True)
class List:
    """A sequence of any length. ``flavor`` is the Python class that the model wants (``list``)."""

    kind: ClassVar[str] = "list"
    item: Type
    nullable: bool = False


@dataclass(frozen=True)
class Set:
    """A set of distinct items; a JSON array. ``frozen`` tells a frozenset."""

    kind: ClassVar[str] = "set"
    item: Type
    nullable: bool = False
    frozen: bool = False


@dataclass(frozen=True)
class Tuple:
    """A sequence of fixed length; a JSON array."""

    kind: ClassVar[str] = "tuple"
    items: tuple[Type, ...]
    nullable: bool = False


@dataclass(frozen=True)
class Map:
    """A mapping. A JSON object where the keys are strings, else an array of ``[key, value]`` pairs."""

    kind: ClassVar[str] = "map"
    key: Type
    value: Type
    nullable: bool = False


@dataclass(frozen=True)
class Field:
    """One field of a :class:`Record`."""

    name: str
    type: Type
    required: bool = True
    default: Anything = None


@dataclass(frozen=True)
class Record:
    """An object with named fields. ``cls`` is the ``module:qualname`` of its class, or None for a plain dict."""

    kind: ClassVar[str] = "record"
    fields: tuple[Field, ...]
    nullable: bool = False
    cls: str | None = None


@dataclass(frozen=True)
class Union:
    """One of several types that JSON can tell apart."""

    kind: ClassVar[str] = "union"
    options: tuple[Type, ...]
    nullable: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table.

    ``name`` is how JSON spells it; ``key`` is the name in Python where that is not the same string (the integer 0 is
    spelled "0"). ``storage`` is the dtype as the table's library writes it (``Int64``, ``category``, ``str``).
    """

    name: str
    type: Type
    storage: str
    key: Anything = None


@dataclass(frozen=True)
class Table:
    """A data frame. In JSON: rows ``[{...}]`` as written, columns ``{name: [...]}`` or split ``{columns, data}``."""

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    index: tuple[Column, ...] = ()
    flavor: Flavor = Flavor.PANDAS
    nullable: bool = False


@dataclass(frozen=True)
class Series:
    """One column by itself; a JSON array. ``name`` is the series' own name."""

    kind: ClassVar[str] = "series"
    item: Type
    storage: str
    name: str | None = None
    flavor: Flavor = Flavor.PANDAS
    nullable: bool = False


@dataclass(frozen=True)
class Tensor:
    """An array of one dtype; nested JSON arrays. ``shape`` has None for a free dimension, ``batch`` names its axis."""

    kind: ClassVar[str] = "tensor"
    dtype: str
    shape: tuple[int | None, ...]
    batch: int | None = None
    flavor: Flavor = Flavor.NUMPY
    nullable: bool = False
    non_finite: bool = False


@dataclass(frozen=True)
class Reference:
    """A type defined by name in :attr:`Signature.definitions`: how a type contains itself."""

    kind: ClassVar[str] = "reference"
    name: str
    nullable: bool = False


@dataclass(frozen=True)
class Any:
    """Whatever JSON can say, passed through unchanged."""

    kind: ClassVar[str] = "any"
    nullable: bool = True


Type = Scalar | Choice | List | Set | Tuple | Map | Record | Union | Table | Series | Tensor | Reference | Any
"""Every type of the grammar."""

SCALARS: Mapping[str, str] = MappingProxyType(
    {
        "null": "null",
        "bool": "true or false",
        **{f"int{bits}": f"an integer of {bits} bits" for bits in (8, 16, 32, 64)},
        **{f"uint{bits}": f"an integer of {bits} bits, zero or more" for bits in (8, 16, 32, 64)},
        **{f"float{bits}": f"a number ({bits} bits)" for bits in (16, 32, 64)},
        "decimal": "a decimal number, as a string",
        "string": "a string",
        "bytes": "bytes, as a base64 string",
        "date": "a date (YYYY-MM-DD)",
        "time": "a time of day (HH:MM:SS)",
        "datetime": "a date and time (ISO 8601)",
        "timedelta": "a duration in seconds",
        "uuid": "a UUID",
    }
)
"""Each dtype of a :class:`Scalar`, and how a person would call it."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method. ``default`` is a JSON value, and counts only where ``required`` is false."""

    name: str
    type: Type
    kind: Kind = Kind.NORMAL
    required: bool = True
    default: Anything = None


@dataclass(frozen=True)
class Method:
    """What one method takes and gives, and what the probe found out about it."""

    parameters: tuple[Parameter, ...]
    returns: Type
    is_async: bool = False
    row_wise: Answer = Answer.UNKNOWN
    deterministic: Answer = Answer.UNKNOWN
    tolerance: Tolerance = field(default_factory=Tolerance)


@dataclass(frozen=True)
class Signature:
    """All methods of a model, by name, and the named types that they refer to."""

    methods: Mapping[str, Method]
    definitions: Mapping[str, Type] = field(default_factory=dict)


def with_nullable(kind: Type, nullable: bool = True) -> Type:
    """Give the same type that admits null (or does not)."""
    return kind if kind.nullable == nullable else replace(kind, nullable=nullable)
