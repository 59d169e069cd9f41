"""Rows as the lines of CSV and JSON Lines, with the very text that the codec writes.

Arrow's own functions spell what they spell as JSON does, column by column; the rest is spelled value by value: floats
of unusual size, durations, decimals, bytes, moments in time zones, nested values. What Arrow tells apart stays apart:
null is null, and NaN and the infinities are `NaN`, `Infinity` and `-Infinity` (strings in JSON Lines).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from model_envelope.runtime.codec.arrow.types import plain_values
from model_envelope.runtime.codec.csv import quoted
from model_envelope.runtime.codec.text import dump_json
from model_envelope.runtime.codec.values import moments, texts

Spell = Callable[[Any], Any]

_DATES = (-719_162, 2_932_896)
"""The days since 1970 of the first and the last date of four digits."""
_EVEN = (1e-4, 1e10)
"""Between these sizes Arrow writes a float as Python does, but for a `.0`."""
_TO_ESCAPE = r'["\\\x00-\x1f]'
_FRACTION = r"(\.(?:\d{3})*?)(?:000)*$"


class CsvLines:
    """RFC 4180 as the codec writes it: lines end with CR LF, null is empty, an empty string is quoted."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._special = rf'^$|^\x{{feff}}|["\r\n\x{{{ord(delimiter):x}}}]'

    def header(self, names: list[str]) -> bytes:
        """Write the names of the columns."""
        return (self._delimiter.join(self._quoted(name) for name in names) + "\r\n").encode()

    def rows(self, batch: pa.RecordBatch) -> pa.Buffer:
        """Write rows."""
        pieces: list[Any] = []
        for at, array in enumerate(batch.columns):
            pieces += [pa.scalar(self._delimiter)] if at else []
            text, literal = plain_text(array)
            pieces.append(text if literal else self._fields(text))
        return _joined([*pieces, pa.scalar("\r\n")], "")

    def _quoted(self, text: str) -> str:
        return quoted(text) if self._delimiter not in text else '"' + text.replace('"', '""') + '"'

    def _fields(self, text: pa.Array) -> pa.Array:
        special = pc.fill_null(pc.match_substring_regex(text, self._special), False)
        if not pc.any(special).as_py():
            return text
        doubled = pc.replace_substring(text, '"', '""')
        return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), text)


class JsonLines:
    """A JSON object a line, with all columns in their order."""

    def header(self, names: list[str]) -> bytes:  # noqa: ARG002  each line has them
        """Write nothing."""
        return b""

    def rows(self, batch: pa.RecordBatch) -> pa.Buffer:
        """Write rows."""
        pieces: list[Any] = []
        for at, (name, array) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
            pieces.append(pa.scalar(("," if at else "{") + dump_json(name).decode() + ":"))
            if nested(array.type):
                spell = speller(array.type)
                values = [None if value is None else dump_json(spell(value)).decode() for value in plain_values(array)]
                pieces.append(pa.array(values, pa.string()))
            else:
                text, literal = plain_text(array)
                pieces.append(_not_finite_quoted(text, array) if literal else _strings(text))
        return _joined([*pieces, pa.scalar("}\n")], "null")


def nested(kind: pa.DataType) -> bool:
    """Tell whether a column holds lists, maps or records, or what only they can say."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return nested(kind.value_type)
    return bool(pa.types.is_nested(kind))


def plain_text(array: pa.Array) -> tuple[pa.Array, bool]:
    """Give the text of plain values, without quotes; and whether it is a JSON literal (a number, true) as it stands.

    Raises :class:`ValueError` for a moment beyond the years of four digits.
    """
    kind, is_ = array.type, pa.types
    if is_.is_dictionary(kind):
        return plain_text(array.dictionary_decode())
    if is_.is_run_end_encoded(kind):
        return plain_text(pc.run_end_decode(array))
    if is_.is_null(kind) or is_.is_integer(kind) or is_.is_boolean(kind):
        return array.cast(pa.string()), True
    if is_.is_floating(kind):
        return _floats(array.cast(pa.float64())), True
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return array.cast(pa.string()), False
    if is_.is_date(kind):
        array = array.cast(pa.date32())
        _within(array.cast(pa.int32()), *_DATES)
        return array.cast(pa.string()), False
    if is_.is_timestamp(kind) and kind.tz in {None, "UTC"}:
        return _moments(array), False
    if is_.is_time(kind):
        return _without_zeros(array.cast(pa.string())), False
    return _one_by_one(array), False


def _floats(array: pa.Array) -> pa.Array:
    size = pc.abs(array)
    even = pc.or_(
        pc.and_(pc.greater_equal(size, _EVEN[0]), pc.less(size, _EVEN[1])),
        pc.equal(size, 0.0),
    )
    text = array.cast(pa.string())
    whole = pc.invert(pc.match_substring(text, "."))
    if pc.any(whole).as_py():
        text = pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text)
    odd = pc.fill_null(pc.invert(even), False)
    if not pc.any(odd).as_py():
        return text
    found = [_float(value) for value in array.filter(odd).to_pylist()]
    return pc.replace_with_mask(text, odd, pa.array(found, pa.string()))


def _float(value: float) -> str:
    if math.isfinite(value):
        return json.dumps(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _not_finite_quoted(text: pa.Array, array: pa.Array) -> pa.Array:
    values = pa.types.is_dictionary(array.type) or pa.types.is_run_end_encoded(array.type)
    if not pa.types.is_floating(array.type.value_type if values else array.type):
        return text
    odd = pc.fill_null(pc.match_substring_regex(text, "N|I"), False)
    if not pc.any(odd).as_py():
        return text
    return pc.if_else(odd, pc.binary_join_element_wise('"', text, '"', ""), text)


def _moments(array: pa.Array) -> pa.Array:
    zoned = array.type.tz is not None
    day = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}[array.type.unit]
    counts = array.cast(pa.int64())
    if array.type.unit != "ns":
        _within(counts, _DATES[0] * day, (_DATES[1] + 1) * day - 1)
    text = counts.cast(pa.timestamp(array.type.unit)).cast(pa.string())
    text = pc.replace_substring(text, " ", "T")
    if array.type.unit != "s":
        text = _without_zeros(text)
    return pc.binary_join_element_wise(text, "+00:00", "") if zoned else text


def _without_zeros(text: pa.Array) -> pa.Array:
    """Shorten a fraction by threes of zeros, and leave none that is zero."""
    return pc.replace_substring_regex(pc.replace_substring_regex(text, _FRACTION, r"\1"), r"\.$", "")


def _within(counts: pa.Array, first: int, last: int) -> None:
    found = pc.min_max(counts).as_py()
    if found["min"] is not None and (found["min"] < first or found["max"] > last):
        raise ValueError("a date whose year has not four digits, which ISO 8601 cannot say")


def _one_by_one(array: pa.Array) -> pa.Array:
    """Spell each value that there is once."""
    spell = speller(array.type)
    if isinstance(array.type, pa.BaseExtensionType):
        return pa.array([None if value is None else spell(value) for value in plain_values(array)], pa.string())
    encoded = array.dictionary_encode()
    spelled = pa.array([spell(value) for value in plain_values(encoded.dictionary)], pa.string())
    return spelled.take(encoded.indices)


def _strings(text: pa.Array) -> pa.Array:
    """Write texts as JSON strings."""
    special = pc.fill_null(pc.match_substring_regex(text, _TO_ESCAPE), False)
    quoted_ = pc.binary_join_element_wise('"', text, '"', "")
    if not pc.any(special).as_py():
        return quoted_
    escaped = [json.dumps(value, ensure_ascii=False) for value in text.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted_, special, pa.array(escaped, pa.string()))


def _joined(pieces: list[Any], null: str) -> pa.Buffer:
    """Put the pieces of each row together, and the rows: that is how Arrow holds them."""
    lines = pc.binary_join_element_wise(*pieces, "", null_handling="replace", null_replacement=null)
    return lines.buffers()[2] or pa.py_buffer(b"")


def speller(kind: pa.DataType) -> Spell:
    """Give what makes JSON of a plain value (of :func:`plain_values`) that is not null, as the codec would.

    Raises :class:`ValueError` for a type that JSON has no word for.
    """
    is_ = pa.types
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return speller(kind.value_type)
    if is_.is_map(kind):
        return _map(kind)
    if is_.is_struct(kind):
        spells = {field.name: speller(field.type) for field in kind}
        return lambda value: {name: None if item is None else spells[name](item) for name, item in value.items()}
    if is_.is_nested(kind) and hasattr(kind, "value_type"):
        item = speller(kind.value_type)
        return lambda values: [None if value is None else item(value) for value in values]
    if is_.is_floating(kind):
        return lambda value: value if math.isfinite(value) else _float(value)
    unit, zone = str(getattr(kind, "unit", "")), getattr(kind, "tz", None)
    known: tuple[tuple[bool, Spell], ...] = (
        (is_.is_null(kind) or is_.is_integer(kind) or is_.is_boolean(kind), lambda value: value),
        (is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind), lambda value: value),
        (is_.is_date(kind), lambda value: value.isoformat()),
        (is_.is_time(kind), lambda count: moments.time_text(count, unit)),
        (is_.is_duration(kind), lambda count: moments.duration_text(count, unit)),
        (is_.is_timestamp(kind), lambda count: moments.datetime_text(count, unit, zone)),
        (is_.is_decimal(kind), str),
        (kind == pa.uuid(), lambda value: str(UUID(bytes=value))),
        (bool(re.search("binary", str(kind))) and not is_.is_nested(kind), texts.write_bytes),
    )
    for fits, spell in known:
        if fits:
            return spell
    raise ValueError(f"text cannot say a column of {kind}")


def _map(kind: pa.DataType) -> Spell:
    key, item = speller(kind.key_type), speller(kind.item_type)
    named = pa.types.is_string(kind.key_type) or pa.types.is_large_string(kind.key_type)

    def spell(pairs: list[Any]) -> Any:
        found = [[key(one), None if other is None else item(other)] for one, other in pairs]
        if not named:
            return found
        if len(dict(found)) != len(found):
            raise ValueError("a key stands twice in a map")
        return dict(found)

    return spell
