"""Structured arrays of NumPy, which are tables of their fields, and arrays of objects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrays.leaves import NOT_A_TIME, counts_of, objects
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe, list_names
from model_envelope.runtime.codec.tables.cell_tables import CellSeries, CellTable, ColumnCodec, PathOf
from model_envelope.runtime.codec.tables.cells import Cells
from model_envelope.runtime.codec.tables.storages import Storage, read_storage, word
from model_envelope.runtime.errors import InvalidSignature, Problems


def write_fields(dtype: Any) -> dict[str, str]:
    """Write the dtype of each field of a structured one, with its place where the fields are not packed.

    Nested ones are ``struct(...)``, fields of several values ``array(dtype, sizes)``.
    """
    import numpy as np

    packed = np.dtype([(name, dtype.fields[name][0]) for name in dtype.names]) == dtype
    found = {}
    for name in dtype.names:
        inner, offset = dtype.fields[name][:2]
        found[name] = _write(inner) if packed else f"at({offset}, {dtype.itemsize}, {word(_write(inner))})"
    return found


def _write(dtype: Any) -> str:
    if dtype.subdtype is not None:
        base, sizes = dtype.subdtype
        return f"array({word(_write(base))}, {', '.join(map(str, sizes))})"
    if dtype.names is not None:
        fields = write_fields(dtype)
        return f"struct({', '.join(f'{word(name)}: {word(text)}' for name, text in fields.items())})"
    return str(dtype.str)


def read_fields(storages: Mapping[str, str]) -> Any:
    """Make a structured dtype of what :func:`write_fields` wrote."""
    import numpy as np

    formats, offsets, size = [], [], None
    for text in storages.values():
        placed = read_storage(text) if text.startswith("at(") else None
        if placed:
            offsets.append(int(placed.parts[0][1].name))
            size = int(placed.parts[1][1].name)
        formats.append(_read(placed.parts[2][1].name if placed else text))
    if size is None:
        return np.dtype(list(zip(storages, formats, strict=True)))
    return np.dtype({"names": list(storages), "formats": formats, "offsets": offsets, "itemsize": size})


def _read(text: str) -> Any:
    import numpy as np

    if text.startswith("array("):
        base, *sizes = [part.name for _, part in read_storage(text).parts]
        return np.dtype((_read(base), tuple(map(int, sizes))))
    if text.startswith("struct("):
        return read_fields({name or "": part.name for name, part in read_storage(text).parts})
    try:
        return np.dtype(text)
    except TypeError:
        raise InvalidSignature(f"NumPy has no dtype {text[:80]!r}", code="signature.storage") from None


def _column(kind: s.Type, dtype: Any, definitions: Definitions) -> ColumnCodec:
    if dtype.names is not None:
        return NestedField(kind, dtype, definitions)
    if dtype.subdtype is not None or dtype.kind == "O":
        return EachField(kind, dtype, definitions)
    return PlainField(kind, dtype, definitions)


class PlainField:
    """A field of one value."""

    def __init__(self, kind: s.Type, dtype: Any, definitions: Definitions) -> None:
        import numpy as np

        self.kind = kind
        self.dtype = dtype
        self.cells = Cells(kind, None, definitions)
        self.width = dtype.itemsize // (4 if dtype.kind == "U" else 1) if dtype.kind in "US" else None
        self.moments = dtype.kind in "mM"
        self.dash: Any = NOT_A_TIME if self.moments else math.nan
        self.native: Any = np.int64 if self.moments else dtype

    @property
    def expected(self) -> str:
        """Say what a value has to be."""
        return self.cells.expected

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Build the array, or note every value that does not belong in it."""
        import numpy as np

        before = problems.count
        plain = self.cells.decode(values, path_of, problems)
        if self.width is not None and problems.count == before:
            for at, value in enumerate(plain):
                if len(value) > self.width or value[-1:] in {"\0", b"\0"}:
                    expected = f"at most {self.width} of them, without NUL at the end"
                    problems.add(path_of(at), describe(values[at]), expected, "payload.length")
        if problems.count > before:
            return None
        if self.dtype.kind == "c":
            plain = [complex(*parts) for parts in plain]
        elif self.kind.nullable:
            plain = [self.dash if value is None else value for value in plain]
        array = np.array(plain, dtype=self.native)
        return array.view(self.dtype.newbyteorder("=")).astype(self.dtype) if self.moments else array

    def encode(self, array: Any, path_of: PathOf, problems: Problems) -> list[Any]:
        """Write the values as JSON."""
        plain = counts_of(array) if self.moments else array.tolist()
        if self.dtype.kind == "c":
            plain = [[value.real, value.imag] for value in plain]
        elif self.dtype.kind == "f" and self.kind.nullable:
            plain = [None if math.isnan(value) else value for value in plain]
        return self.cells.encode(plain, path_of, problems)


class EachField:
    """A field of several values, or of objects: cell by cell."""

    def __init__(self, kind: s.Type, dtype: Any, definitions: Definitions) -> None:
        self.dtype = dtype
        self.item = codec_for(kind, definitions)
        self.expected = str(getattr(self.item, "expected", kind.kind))

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Read each."""
        import numpy as np

        before = problems.count
        found = [self.item.decode(value, path_of(at), problems) for at, value in enumerate(values)]
        if problems.count > before:
            return None
        if self.dtype.kind == "O":
            return objects(found)
        base, sizes = self.dtype.subdtype
        return np.array(found, dtype=base).reshape(len(found), *sizes)

    def encode(self, array: Any, path_of: PathOf, problems: Problems) -> list[Any]:
        """Write each."""
        return [self.item.encode(value, path_of(at), problems) for at, value in enumerate(array)]


class NestedField:
    """A field that has fields itself."""

    def __init__(self, kind: s.Type, dtype: Any, definitions: Definitions) -> None:
        assert isinstance(kind, s.Record)
        self.dtype = dtype
        self.fields = {field.name: _column(field.type, dtype[field.name], definitions) for field in kind.fields}
        self.expected = f"an object with {', '.join(self.fields)}"

    def decode(self, values: Sequence[Any], path_of: PathOf, problems: Problems) -> Any:
        """Read field by field."""
        import numpy as np

        before = problems.count
        for at, value in enumerate(values):
            if type(value) is not dict or value.keys() != self.fields.keys():
                told = describe(value) if type(value) is not dict else f"an object with {list_names(value)}"
                problems.add(path_of(at), told, self.expected, "payload.type")
        if problems.count > before:
            return None
        found = {
            name: column.decode([value[name] for value in values], _below(path_of, name), problems)
            for name, column in self.fields.items()
        }
        if problems.count > before:
            return None
        array = np.empty(len(values), dtype=self.dtype)
        for name, column in found.items():
            array[name] = column
        return array

    def encode(self, array: Any, path_of: PathOf, problems: Problems) -> list[Any]:
        """Write field by field."""
        columns = [
            column.encode(array[name], _below(path_of, name), problems) or [] for name, column in self.fields.items()
        ]
        return [dict(zip(self.fields, row, strict=True)) for row in zip(*columns, strict=True)]


def _below(path_of: PathOf, name: str) -> PathOf:
    return lambda at: f"{path_of(at)}.{name}"


class NumPy:
    """How structured arrays and arrays of objects are made and taken apart."""

    def column(self, kind: s.Type, storage: str, definitions: Definitions) -> ColumnCodec:
        """Make the codec of a field."""
        placed: Storage | None = read_storage(storage) if storage.startswith("at(") else None
        return _column(kind, _read(placed.parts[2][1].name if placed else storage), definitions)

    def table(self, kind: s.Table, arrays: Mapping[str, Any]) -> Any:
        """Make a structured array."""
        import numpy as np

        dtype = read_fields({column.name: column.storage for column in kind.columns})
        table = np.zeros(len(next(iter(arrays.values()), ())), dtype=dtype)
        for name, array in arrays.items():
            table[name] = array
        return table.view(np.recarray) if kind.cls == "recarray" else table

    def columns(self, kind: s.Table, value: Any) -> list[tuple[Any, Any]] | None:
        """Give the fields of a structured array of this dtype."""
        import numpy as np

        if not isinstance(value, np.ndarray) or value.dtype.names is None or value.ndim != 1:
            return None
        if write_fields(value.dtype) != {column.name: column.storage for column in kind.columns}:
            return None
        plain = value.view(np.ndarray)
        return [(name, plain[name]) for name in value.dtype.names]

    def series(self, kind: s.Series, array: Any) -> Any:  # noqa: ARG002
        """Give the array itself."""
        return array

    def array(self, kind: s.Series, value: Any) -> Any:  # noqa: ARG002
        """Give an array of objects itself."""
        import numpy as np

        return value if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim == 1 else None

    def called(self, kind: s.Table | s.Series) -> str:
        """Name what the model wants."""
        if isinstance(kind, s.Series):
            return "a numpy.ndarray of objects"
        fields = ", ".join(f"{column.name}: {column.storage}" for column in kind.columns)
        return f"a structured numpy.ndarray ({fields})"


def table_codec(kind: s.Table, definitions: Definitions) -> Codec:
    """Make the codec of a structured array."""
    return CellTable(kind, definitions, NumPy())


def series_codec(kind: s.Series, definitions: Definitions) -> Codec:
    """Make the codec of an array of objects."""
    return CellSeries(kind, definitions, NumPy())
