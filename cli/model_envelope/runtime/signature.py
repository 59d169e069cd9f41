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


class Style(Enum):
    """How the class of a record is made of its fields, and its fields read."""

    DICT = "dict"
    DATACLASS = "dataclass"
    ATTRS = "attrs"
    PYDANTIC = "pydantic"
    NAMEDTUPLE = "namedtuple"
    INTERVAL = "interval"
    OBJECT = "object"
    REGISTERED = "registered"


@dataclass(frozen=True)
class Tolerance:
    """Two answers agree when they are equal, or when ``|a - b| <= atol + rtol * |b|`` (as in ``numpy.isclose``)."""

    closeness: Closeness = Closeness.EXACT
    rtol: float = 0.0
    atol: float = 0.0


@dataclass(frozen=True)
class Scalar:
    """One value.

    ``dtype`` is one of :data:`SCALARS`. ``unit`` is s, ms, us or ns of datetimes and timedeltas and the frequency of
    periods (``M``); ``timezone`` of datetimes is an IANA name, or ``""`` for "any offset". ``non_finite`` admits NaN
    and the infinities where null does not stand for NaN already.
    """

    kind: ClassVar[str] = "scalar"
    dtype: str
    nullable: bool = False
    unit: str | None = None
    timezone: str | None = None
    non_finite: bool = False
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of ``values``: a Literal, an Enum (``enum`` is ``module:qualname``) or a categorical.

    Values are JSON scalars. Where they stand for others (dates, bytes), ``dtype`` is the scalar type that they spell.
    """

    kind: ClassVar[str] = "choice"
    values: tuple[Anything, ...]
    nullable: bool = False
    ordered: bool = False
    enum: str | None = None
    dtype: str | None = None
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class List:
    """A sequence of any length; a JSON array. ``variadic`` tells a ``tuple[T, ...]`` from a list."""

    kind: ClassVar[str] = "list"
    item: Type
    nullable: bool = False
    variadic: bool = False
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Set:
    """A set of distinct items; a JSON array. ``frozen`` tells a frozenset."""

    kind: ClassVar[str] = "set"
    item: Type
    nullable: bool = False
    frozen: bool = False
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Tuple:
    """A sequence of fixed length; a JSON array."""

    kind: ClassVar[str] = "tuple"
    items: tuple[Type, ...]
    nullable: bool = False
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Map:
    """A mapping. A JSON object where the keys are strings, else an array of ``[key, value]`` pairs."""

    kind: ClassVar[str] = "map"
    key: Type
    value: Type
    nullable: bool = False
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Field:
    """One field of a :class:`Record`."""

    name: str
    type: Type
    required: bool = True
    default: Anything = None


@dataclass(frozen=True)
class Record:
    """An object with named fields. ``cls`` is the ``module:qualname`` of its class, or None for a plain dict.

    ``style`` says how that class is made and read.
    """

    kind: ClassVar[str] = "record"
    fields: tuple[Field, ...]
    nullable: bool = False
    cls: str | None = None
    style: Style = Style.DICT
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Union:
    """One of several types.

    Where JSON can tell the options apart the value stands as it is. Else ``tags`` names each option, and a value is
    written as ``{"type": tag, "value": value}``.
    """

    kind: ClassVar[str] = "union"
    options: tuple[Type, ...]
    nullable: bool = False
    tags: tuple[str, ...] = ()
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column of a table.

    ``name`` is how JSON spells it, and no two columns share one. ``key`` is the name in Python where that is another
    (the integer 0, a tuple, a second column of the same name), written as :mod:`codec.values.keys` says. ``storage`` is
    the dtype as the table's library writes it (``Int64``, ``category``, ``str``).
    """

    name: str
    type: Type
    storage: str
    key: Anything = None


@dataclass(frozen=True)
class Table:
    """A data frame. In JSON: rows ``[{...}]`` as written, columns ``{name: [...]}`` or split ``{columns, data}``.

    ``levels`` names the levels of the column names (keys as in :class:`Column`), where they have names; one whose dtype
    does not follow from the names is ``{"name": key, "storage": dtype}``. A structured array of NumPy is a table of
    that flavor. ``cls`` names the class where the library has several (``RecordBatch``).
    """

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    index: tuple[Column, ...] = ()
    flavor: Flavor = Flavor.PANDAS
    nullable: bool = False
    levels: tuple[Anything, ...] = ()
    cls: str | None = None
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Series:
    """One column by itself; a JSON array. ``name`` is the series' own name, ``key`` as in :class:`Column`.

    Where it has an ``index`` that says something, it travels as a table of that index and of itself (``value`` where it
    has no name). ``cls`` names the class where the library has several (``ChunkedArray``).
    """

    kind: ClassVar[str] = "series"
    item: Type
    storage: str
    name: str | None = None
    flavor: Flavor = Flavor.PANDAS
    nullable: bool = False
    cls: str | None = None
    metadata: tuple[Anything, ...] = ()
    index: tuple[Column, ...] = ()
    key: Anything = None


@dataclass(frozen=True)
class Tensor:
    """An array of one dtype; nested JSON arrays. ``shape`` has None for a free dimension, ``batch`` is the rows' axis.

    ``layout`` is the format of a sparse matrix (``csr``), which JSON may also spell as ``{shape, row, col, data}``. In
    float arrays NaN travels as null, where ``non_finite`` admits it; so do NaT, and None among objects. ``storage`` is
    the dtype as the library writes it where ``dtype`` does not say it all: ``<U5``, ``datetime64[us]``, ``bfloat16``;
    of a sparse matrix its class (``csr_array``).
    """

    kind: ClassVar[str] = "tensor"
    dtype: str
    shape: tuple[int | None, ...]
    batch: int | None = None
    flavor: Flavor = Flavor.NUMPY
    nullable: bool = False
    non_finite: bool = False
    layout: str | None = None
    storage: str | None = None
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Reference:
    """A type defined by name in :attr:`Signature.definitions`: how a type contains itself."""

    kind: ClassVar[str] = "reference"
    name: str
    nullable: bool = False
    metadata: tuple[Anything, ...] = ()


@dataclass(frozen=True)
class Any:
    """Whatever JSON can say, passed through unchanged."""

    kind: ClassVar[str] = "any"
    nullable: bool = True
    metadata: tuple[Anything, ...] = ()


Type = Scalar | Choice | List | Set | Tuple | Map | Record | Union | Table | Series | Tensor | Reference | Any
"""Every type of the grammar."""

SCALARS: Mapping[str, str] = MappingProxyType(
    {
        "null": "null",
        "bool": "true or false",
        **{f"int{bits}": f"an integer of {bits} bits" for bits in (8, 16, 32, 64)},
        **{f"uint{bits}": f"an integer of {bits} bits, zero or more" for bits in (8, 16, 32, 64)},
        **{f"float{bits}": f"a number ({bits} bits)" for bits in (16, 32, 64)},
        "complex64": "a complex number [real, imaginary] (2 x 32 bits)",
        "complex128": "a complex number [real, imaginary] (2 x 64 bits)",
        "decimal": "a decimal number, as a string",
        "string": "a string",
        "bytes": "bytes, as a base64 string",
        "date": "a date (YYYY-MM-DD)",
        "time": "a time of day (HH:MM:SS)",
        "datetime": "a date and time (ISO 8601)",
        "timedelta": "a duration (ISO 8601, such as P1DT2H30M)",
        "period": "a period of time, as a string",
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


def dtypes(kind: Type) -> list[str]:
    """List the dtypes of the numbers and texts in a type; ``any`` where anything may be there."""
    match kind:
        case Scalar() | Tensor():
            return [kind.dtype]
        case List() | Set():
            return dtypes(kind.item)
        case Tuple():
            return [dtype for item in kind.items for dtype in dtypes(item)]
        case Map():
            return dtypes(kind.key) + dtypes(kind.value)
        case Record():
            return [dtype for item in kind.fields for dtype in dtypes(item.type)]
        case Union():
            return [dtype for option in kind.options for dtype in dtypes(option)]
        case Table():
            return [dtype for column in kind.columns for dtype in dtypes(column.type)]
        case Series():
            return dtypes(kind.item)
        case Any():
            return ["any"]
    return []
