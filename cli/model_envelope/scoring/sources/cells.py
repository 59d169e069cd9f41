"""Cells of text files as values of Arrow types, by the rules of the codec: ``3.7`` is no integer, ``True`` no boolean.

A cell is read quickly where a regular expression proves that Arrow reads it as the codec does; every other one by the
codec itself, which also says what is wrong with it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.types import write_type
from model_envelope.runtime.codec.base import Definitions, under
from model_envelope.runtime.codec.csv import field_reader
from model_envelope.runtime.codec.tables.cells import Cells, cell_for
from model_envelope.runtime.codec.tables.storages import read_storage
from model_envelope.runtime.codec.values.scalars import LARGEST
from model_envelope.runtime.errors import Problem, Problems
from model_envelope.scoring.sources.cutting import ROW
from model_envelope.scoring.tables import InvalidTable

Bad = dict[int, tuple[Problem, ...]]
"""What is wrong with cells, by their place."""

_WHOLE = r"^-?(?:0|[1-9][0-9]{0,17})$"
# A zero with a minus and no point is the integer 0 to the codec, and -0.0 to Arrow.
_NUMBER = r"^(?:0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]{1,3})?|[eE][+-]?[0-9]{1,3}))$"
_DECIMAL = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"
_DAY = r"(?:1[7-9]|2[01])[0-9]{2}-(?:0[1-9]|1[0-2])-[0-3][0-9]"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_OFFSET = r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
_DIGITS = {"s": "", "ms": r"(?:\.[0-9]{1,3})?", "us": r"(?:\.[0-9]{1,6})?", "ns": r"(?:\.[0-9]{1,9})?"}


class Column:
    """Makes cells of one column what they are to be.

    Raises :class:`InvalidTable` (``table.type``) for a type that has no JSON.
    """

    def __init__(self, name: str, type_: pa.DataType) -> None:
        storage = write_type(type_.value_type if pa.types.is_dictionary(type_) else type_)
        if storage is None:
            raise InvalidTable(
                f"the column {name} is to be {type_}, which text cannot say",
                code="table.type",
                hint="keep the table in Parquet or Arrow, which have such values",
            )
        self.name = name
        self.type = type_
        self.path = under("$", name) + ROW
        self.plain = type_.value_type if pa.types.is_dictionary(type_) else type_
        self.kind = kind_of(self.plain)
        self._cells = Cells(self.kind, read_storage(storage), Definitions())
        self._cell = cell_for(self.kind, read_storage(storage), Definitions())
        self.read = field_reader(self.kind)
        self._pattern = _pattern(self.plain)
        self.json_type = _json_type(self.plain)
        """What Arrow reads of JSON without leave for anything that the codec refuses; None where there is no such."""

    def texts(self, array: pa.Array) -> tuple[pa.Array, Bad]:
        """Read the fields of a CSV file (or texts of JSON that stand for days and times). A bad one becomes null.

        Raises :class:`InvalidTable` (``table.type``) for a type that no field can say.
        """
        if self.read is None:
            raise InvalidTable(
                f"the column {self.name} is to be {self.type}, which a field of CSV cannot say",
                code="table.type",
                hint="keep the table in JSON Lines, Parquet or Arrow, which have lists and structs",
            )
        if pa.types.is_string(self.plain) or pa.types.is_large_string(self.plain):
            return self._dressed(array), {}
        right = self._surely(array)
        quick = None if right is None else self._cast(array, right)
        if right is None or quick is None:
            found, bad = self._slowly(array, range(len(array)))
            return self._dressed(found), bad
        slow = pc.and_(pc.invert(right), array.is_valid())
        if not slow.true_count:
            return self._dressed(quick), {}
        found, bad = self._slowly(array.filter(slow), pc.indices_nonzero(slow).to_pylist())
        return self._dressed(pc.replace_with_mask(quick, slow, found)), bad

    def json_array(self, array: pa.Array) -> tuple[pa.Array, Bad] | None:
        """Read what Arrow has read of JSON as :attr:`json_type`; None where the codec has to look at each value."""
        if self.json_type == pa.string():
            return self.texts(array)
        if pa.types.is_floating(self.plain):
            if self._too_large(array):
                return None
            array = array.cast(self.plain, safe=False)
        return self._dressed(array), {}

    def values(self, values: Sequence[Any]) -> tuple[pa.Array, Bad]:
        """Read JSON values. A bad one becomes null."""
        problems = Problems(limit=1)
        found = self._cells.decode(values, lambda _at: self.path, problems)
        if not problems:
            return self._dressed(self._built(found)), {}
        bad: Bad = {}
        plain = []
        for at, value in enumerate(values):
            problems = Problems()
            item = self._cell.decode(value, self.path, problems)
            if problems:
                bad[at] = tuple(problems.items)
            plain.append(None if problems else item)
        return self._dressed(self._built(plain)), bad

    def _surely(self, array: pa.Array) -> pa.BooleanArray | None:
        """Tell which cells Arrow reads as the codec does."""
        if pa.types.is_boolean(self.plain):
            return pc.is_in(array, pa.array(["true", "false"]))
        if self._pattern is None:
            return None
        return pc.fill_null(pc.match_substring_regex(array, self._pattern), fill_value=False)

    def _cast(self, array: pa.Array, right: pa.BooleanArray) -> pa.Array | None:
        """Let Arrow read the cells that are right, the others being null; None where it cannot read one."""
        known = array if not right.false_count else pc.if_else(right, array, None)
        try:
            if not pa.types.is_floating(self.plain):
                return known.cast(self.plain)
            wide = known.cast(pa.float64())
        except pa.ArrowException:
            return None
        return None if self._too_large(wide) else wide.cast(self.plain, safe=False)

    def _too_large(self, array: pa.Array) -> bool:
        largest = min(LARGEST[f"float{self.plain.bit_width}"], sys.float_info.max)
        return bool(pc.any(pc.invert(pc.less_equal(pc.abs(array), largest))).as_py())

    def _slowly(self, array: pa.Array, places: Sequence[int]) -> tuple[pa.Array, Bad]:
        """Ask the codec, once for each distinct text. ``places`` are those of the cells."""
        assert self.read is not None
        encoded = array.dictionary_encode()
        plain, wrong = [], {}
        for at, text in enumerate(encoded.dictionary.to_pylist()):
            problems = Problems()
            plain.append(self._cell.decode(self.read(text), self.path, problems))
            if problems:
                plain[-1] = None
                wrong[at] = problems.items
        found = self._built(plain).take(encoded.indices)
        if not wrong:
            return found, {}
        return found, {
            place: tuple(wrong[index])
            for place, index in zip(places, encoded.indices.to_pylist(), strict=True)
            if index in wrong
        }

    def _built(self, plain: Sequence[Any]) -> pa.Array:
        return pa.array(plain, type=self.plain)

    def _dressed(self, array: pa.Array) -> pa.Array:
        if not pa.types.is_dictionary(self.type):
            return array if array.type == self.type else array.cast(self.type)
        found = array.dictionary_encode()
        indices = found.indices.cast(self.type.index_type)
        values = found.dictionary.cast(self.type.value_type)
        return pa.DictionaryArray.from_arrays(indices, values, ordered=self.type.ordered)


def _pattern(type_: pa.DataType) -> str | None:
    """Give the expression of texts that Arrow's cast and the codec read alike."""
    types = pa.types
    if types.is_integer(type_):
        return _WHOLE
    if types.is_floating(type_):
        return _NUMBER
    if types.is_decimal(type_):
        return _DECIMAL
    if types.is_date32(type_):
        return f"^{_DAY}$"
    if types.is_timestamp(type_):
        return f"^{_DAY}[T ]{_CLOCK}{_DIGITS[type_.unit]}{'' if type_.tz is None else _OFFSET}$"
    return None


def _json_type(type_: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_floating(type_):
        return pa.float64()
    if types.is_boolean(type_) or types.is_integer(type_):
        return type_
    if types.is_list(type_):
        plain = type_.value_type
        return type_ if plain == pa.string() or types.is_boolean(plain) or types.is_integer(plain) else None
    nested = types.is_nested(type_) or types.is_null(type_) or isinstance(type_, pa.BaseExtensionType)
    return None if nested else pa.string()


def kind_of(type_: pa.DataType) -> s.Type:
    """Give the type of a signature that has the values of an Arrow type: null and NaN are for the model to refuse."""
    types = pa.types
    scalars: Mapping[str, bool] = {
        "string": types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_),
        "bytes": types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_)
        or types.is_binary_view(type_),
        "date": types.is_date(type_),
        "decimal": types.is_decimal(type_),
        "null": types.is_null(type_),
        "uuid": isinstance(type_, pa.BaseExtensionType),
    }  # fmt: skip
    for dtype, fits in scalars.items():
        if fits:
            return s.Scalar(dtype, nullable=True)
    if types.is_timestamp(type_):
        return s.Scalar("datetime", nullable=True, unit=type_.unit, timezone=type_.tz)
    if types.is_time(type_) or types.is_duration(type_):
        return s.Scalar("time" if types.is_time(type_) else "timedelta", nullable=True, unit=type_.unit)
    if types.is_floating(type_):
        return s.Scalar(f"float{type_.bit_width}", nullable=True, non_finite=True)
    if types.is_map(type_):
        return s.Map(s.with_nullable(kind_of(type_.key_type), nullable=False), kind_of(type_.item_type), nullable=True)
    if types.is_fixed_size_list(type_):
        return s.Tuple((kind_of(type_.value_type),) * type_.list_size, nullable=True)
    if types.is_struct(type_):
        fields = [type_.field(at) for at in range(type_.num_fields)]
        kinds = [s.with_nullable(kind_of(item.type), nullable=item.nullable) for item in fields]
        both = zip(fields, kinds, strict=True)
        return s.Record(tuple(s.Field(item.name, kind, not item.nullable) for item, kind in both), nullable=True)
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return kind_of(type_.value_type)
    if types.is_boolean(type_) or types.is_integer(type_):
        return s.Scalar(str(type_), nullable=True)
    return s.List(kind_of(type_.value_type), nullable=True)
