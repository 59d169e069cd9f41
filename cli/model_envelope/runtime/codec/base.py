"""What every codec of a type offers, and the table from types to codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from itertools import islice
from typing import Any, Protocol

from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import Found, Problems


class Definitions(dict[str, s.Type]):
    """The named types of a signature, and what its tables do with columns that they do not know.

    ``ignore_columns`` is true where unknown columns are left out silently, and false where they are refused.
    """

    def __init__(self, types: Mapping[str, s.Type] | None = None, *, ignore_columns: bool = False) -> None:
        super().__init__(types or {})
        self.ignore_columns = ignore_columns


class Codec(Protocol):
    """Moves values of one type between JSON and Python.

    Both directions note what is wrong in ``problems`` (the caller raises once everything was seen) and then give
    a value that must not be used.
    """

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make the Python object of a JSON value."""
        ...

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make the JSON value of a Python object."""
        ...


_HOMES: Mapping[type, tuple[str, str]] = {
    s.Scalar: ("values.scalars", "scalar_codec"),
    s.Choice: ("values.choices", "choice_codec"),
    s.Any: ("values.choices", "any_codec"),
    s.List: ("values.containers", "ListCodec"),
    s.Set: ("values.containers", "SetCodec"),
    s.Tuple: ("values.containers", "TupleCodec"),
    s.Map: ("values.containers", "MapCodec"),
    s.Record: ("values.records", "RecordCodec"),
    s.Union: ("values.unions", "UnionCodec"),
    s.Reference: ("values.unions", "ReferenceCodec"),
    s.Tensor: ("arrays.tensors", "tensor_codec"),
    s.Table: ("tables.flavors", "table_codec"),
    s.Series: ("tables.flavors", "series_codec"),
}
"""Where the codec of each type lives: imported when the first one is made; a plain model loads no table code."""


def codec_for(kind: s.Type, definitions: Mapping[str, s.Type]) -> Codec:
    """Make the codec of a type. ``definitions`` are the named types of its signature."""
    if not isinstance(definitions, Definitions):
        definitions = Definitions(definitions)
    make = _factory(_HOMES[type(kind)])
    codec = make(kind, definitions)
    return Nullable(codec) if kind.nullable and not isinstance(kind, s.Any) else codec


@cache
def _factory(home: tuple[str, str]) -> Callable[[Any, Definitions], Codec]:
    module, name = home
    factory: Callable[[Any, Definitions], Codec] = getattr(import_module(f"{__package__}.{module}"), name)
    return factory


class Nullable:
    """Admits null before another codec."""

    def __init__(self, inner: Codec) -> None:
        self.inner = inner

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make None of null."""
        return None if value is None else self.inner.decode(value, path, problems)

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make null of None."""
        return None if value is None else self.inner.encode(value, path, problems)


def under(path: str, name: object) -> str:
    """Give the path of a named part; a name that came with a payload may be of any length, and is cut."""
    text = str(name)
    return f"{path}.{text[:40]}{'…' if len(text) > 40 else ''}"


def describe(value: Any) -> Found:
    """Say what a JSON value is, shortly: ``the string "abc"``, ``null``, ``an object``."""
    match value:
        case None:
            return _plain("null")
        case bool():
            return Found("true" if value else "false", "a boolean")
        case int() if value.bit_length() > 256:
            return _plain(f"an integer of {value.bit_length()} bits")
        case int() | float():
            return Found(f"{value!r}", "an integer" if isinstance(value, int) else "a number")
        case str():
            shown = f'the string "{value[:40]}{"…" if len(value) > 40 else ""}"'
            return Found(shown, f"a string of {len(value):,} character{'' if len(value) == 1 else 's'}")
        case list():
            return _plain(f"an array of {len(value)}")
        case dict():
            return _plain("an object")
    return _plain(f"a {type(value).__module__}.{type(value).__qualname__}")


def _plain(text: str) -> Found:
    return Found(text, text)


def list_names(names: Iterable[Any]) -> str:
    """List names that came with a payload: the first few, each no longer than is good."""
    shown = [f"{str(name)[:40]}{'…' if len(str(name)) > 40 else ''}" for name in islice(names, 21)]
    return ", ".join([*shown[:20], "…"] if len(shown) > 20 else shown)
