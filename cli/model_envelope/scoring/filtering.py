"""Filters, as ``--where`` says them: Python's words for comparisons, against the columns of a table.

``year >= 2013 and carrier in ("UA", "AA") and not (origin == "JFK" or delay is None)``. A column whose name is no
word stands in backticks. Days, moments, times, durations and decimals are text as in JSON: ``day < "2013-06-01"``. As
in SQL a comparison with null is neither true nor false, and a row is kept where the whole is true.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from model_envelope.runtime.codec.values import moments, texts
from model_envelope.scoring.tables import InvalidJob, InvalidTable

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?P<name>[^`]+)`", re.DOTALL)
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: lambda one, other: one == other,
    ast.NotEq: lambda one, other: one != other,
    ast.Lt: lambda one, other: one < other,
    ast.LtE: lambda one, other: one <= other,
    ast.Gt: lambda one, other: one > other,
    ast.GtE: lambda one, other: one >= other,
}
_MIRRORED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq,
}  # fmt: skip


class Words(Protocol):
    """What a filter is said in. Conditions go together by ``&``, ``|`` and ``~``, and are null beside a null."""

    def column(self, name: str, plain: pa.DataType | None = None) -> Any:
        """Give a column; as its ``plain`` values where it has categories or runs of them."""
        ...

    def cast(self, column: Any, type_: pa.DataType) -> Any:
        """Give the values of a column as floats of 64 bits, or as decimals; what does not fit exactly is rounded."""
        ...

    def value(self, scalar: pa.Scalar) -> Any:
        """Give what a column is compared with."""
        ...

    def compare(self, op: type[ast.cmpop], one: Any, other: Any) -> Any:
        """Give the condition that two of these compare so."""
        ...

    def among(self, column: Any, values: pa.Array) -> Any:
        """Give the condition that a column is one of some values."""
        ...

    def is_null(self, column: Any) -> Any:
        """Give the condition that there is no value."""
        ...


class ArrowWords:
    """Filters as expressions of Arrow."""

    def column(self, name: str, plain: pa.DataType | None = None) -> Any:
        """Give a field."""
        return ds.field(name) if plain is None else ds.field(name).cast(plain)

    def cast(self, column: Any, type_: pa.DataType) -> Any:
        """Cast as Arrow does."""
        return column.cast(type_, safe=False)

    def value(self, scalar: pa.Scalar) -> Any:
        """Give the value itself."""
        return scalar

    def compare(self, op: type[ast.cmpop], one: Any, other: Any) -> Any:
        """Compare as Arrow does."""
        return _COMPARE[op](one, other)

    def among(self, column: Any, values: pa.Array) -> Any:
        """Look the values up; what is null is neither among them nor not."""
        return pc.if_else(column.is_valid(), column.isin(values), pa.scalar(None, pa.bool_()))

    def is_null(self, column: Any) -> Any:
        """Ask for nulls."""
        return column.is_null()


ARROW = ArrowWords()


def read_filter(
    text: str, schema: pa.Schema, types: Mapping[str, pa.DataType | None] | None = None, words: Words = ARROW
) -> Any:
    """Make the expression of a filter for a table of these columns, one of Arrow or in other words.

    ``types`` are those that the job makes of text (``Wanted.types``): they stand for columns that ``schema`` has as
    text.

    Raises :class:`InvalidJob` (``job.where``) with the place: what is no such expression, a column that there is not,
    and a value that is not of its column's type.
    """
    known = {
        field.name: (types or {}).get(field.name) or field.type if pa.types.is_string(field.type) else field.type
        for field in schema
    }
    return _Reader(text, known, words).read()


def columns_of(where: Any, schema: pa.Schema) -> tuple[str, ...]:
    """Name the columns that an expression asks for.

    Raises :class:`InvalidTable` (``table.where``) where it does not go with the columns.
    """
    said = str(where)
    candidates = [field for field in schema if field.name in said]
    _evaluated(where, pa.schema(candidates).empty_table().to_batches(), pa.schema(candidates), "the table")
    found = []
    for field in candidates:
        rest = pa.schema([other for other in candidates if other.name != field.name])
        try:
            _evaluated(where, [], rest, "the table")
        except InvalidTable:
            found.append(field.name)
    return tuple(found)


def mask_of(where: Any, batch: pa.RecordBatch, name: str) -> pa.BooleanArray:
    """Tell which rows of a batch are kept; null for neither yes nor no.

    Raises :class:`InvalidTable` (``table.where``) where that cannot be told.
    """
    return _evaluated(where, [batch], batch.schema, name)


def _evaluated(where: Any, batches: list[pa.RecordBatch], schema: pa.Schema, name: str) -> Any:
    try:
        scanner = ds.Scanner.from_batches(batches, schema=schema, columns={"kept": where}, use_threads=False)
        found = scanner.to_table().column(0)
        return pa.concat_arrays(found.chunks).cast(pa.bool_()) if found.num_chunks else pa.array([], pa.bool_())
    except (pa.ArrowException, TypeError, KeyError) as error:
        raise InvalidTable(
            f"the filter does not go with {name}: {' '.join(str(error).split())[:300]}",
            code="table.where",
            hint="compare each column with values of its type",
        ) from None


class _Reader:
    """Reads one filter."""

    def __init__(self, text: str, types: Mapping[str, pa.DataType], words: Words) -> None:
        self.text = text
        self.types = types
        self.words = words
        self._quoted: dict[str, str] = {}
        self._start = 0
        self._bytes = b""

    def read(self) -> Any:
        plain = _TOKEN.sub(self._unquoted, self.text).replace("\n", " ").replace("\r", " ")
        try:
            tree = ast.parse(plain.strip(), mode="eval") if plain.strip() else None
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            # No place stands for the end.
            at = self._lead(plain) + (getattr(error, "offset", None) or len(plain.strip()) + 1) - 1
            raise self._refused(
                at, f"it is no expression: {getattr(error, 'msg', error)}", 'write it as x > 3 and y == "a"'
            ) from None
        if tree is None:
            raise self._refused(0, "it says nothing", "leave it out, or say which rows are kept: x > 3")
        self._start = self._lead(plain)
        self._bytes = plain.strip().encode()
        return self._condition(tree.body)

    @staticmethod
    def _lead(plain: str) -> int:
        return len(plain) - len(plain.lstrip())

    def _unquoted(self, found: re.Match[str]) -> str:
        """Put a word of the same length for a name in backticks, and remember what it stands for."""
        name = found["name"]
        if name is None:
            return found[0]
        word = f"_{len(self._quoted)}_".ljust(len(found[0]), "_")
        self._quoted[word] = name
        return word

    def _condition(self, node: ast.expr) -> Any:
        match node:
            case ast.BoolOp(op=op, values=values):
                found = [self._condition(value) for value in values]
                whole = found[0]
                for one in found[1:]:
                    whole = (whole & one) if isinstance(op, ast.And) else (whole | one)
                return whole
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self._condition(operand)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                lefts = [left, *rights[:-1]]
                found = [self._comparison(*one) for one in zip(lefts, ops, rights, strict=True)]
                whole = found[0]
                for one in found[1:]:
                    whole &= one
                return whole
        name = self._column(node)
        if name is not None:
            if not pa.types.is_boolean(self.types[name]):
                raise self._refused(
                    node, f"{name} alone is no condition: it is {self.types[name]}", f"compare it: {name} > 0"
                )
            return self.words.column(name)
        raise self._refused(node, "it is no condition", "use comparisons, `and`, `or`, `not`, `in` and `is None`")

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        name, other = self._column(left), self._column(right)
        if name is not None and other is not None and type(op) in _COMPARE:
            return self._between(left, name, op, other)
        if name is None and other is not None and type(op) in _MIRRORED:
            return self._comparison(right, _MIRRORED[type(op)](), left)
        if name is None:
            raise self._refused(left, "one side has to be a column", f"there are {', '.join([*self.types][:50])}")
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._refused(right, "`is` goes with None alone", "compare with ==")
            null = self.words.is_null(self.words.column(name))
            return null if isinstance(op, ast.Is) else ~null
        field, type_ = self._field(name, left)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise self._refused(right, "`in` goes with a list of values", f'write {name} in ("a", "b")')
            values = [self._value(item, name, type_) for item in right.elts]
            if pa.types.is_integer(type_):
                values = [value for value in values if pa.types.is_integer(value.type)]
            among = self.words.among(field, pa.array([value.as_py() for value in values], type=_common(values, type_)))
            return ~among if isinstance(op, ast.NotIn) else among
        value = self._value(right, name, type_)
        if pa.types.is_integer(type_) and pa.types.is_floating(value.type):
            return self._beside(field, type(op), math.floor(value.as_py()))
        return self.words.compare(type(op), field, self.words.value(value))

    def _beside(self, field: Any, op: type[ast.cmpop], below: int) -> Any:
        """Compare integers with a number that is none, and lies between ``below`` and the next one."""
        least = self.words.value(pa.scalar(below))
        greater = self.words.compare(ast.Gt, field, least)
        if op in {ast.Gt, ast.GtE}:
            return greater
        less = self.words.compare(ast.LtE, field, least)
        if op in {ast.Lt, ast.LtE}:
            return less
        return (greater & less) if op is ast.Eq else (greater | less)

    def _between(self, node: ast.expr, name: str, op: ast.cmpop, other: str) -> Any:
        one, first = self._field(name, node)
        two, second = self._field(other, node)
        if first != second and not (_is_number(first) and _is_number(second)):
            raise self._refused(node, f"{name} is {first}, and {other} {second}", "compare columns of one type")
        if first != second:
            # What both are compared as: no value may be too large for it.
            whole = pa.types.is_integer(first) and pa.types.is_integer(second)
            common = pa.decimal128(20) if whole else pa.float64()
            one, two = self.words.cast(one, common), self.words.cast(two, common)
        return self.words.compare(type(op), one, two)

    def _field(self, name: str, node: ast.expr) -> tuple[Any, pa.DataType]:
        type_ = self.types[name]
        if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
            return self.words.column(name, type_.value_type), type_.value_type
        if pa.types.is_nested(type_) or pa.types.is_null(type_) or isinstance(type_, pa.BaseExtensionType):
            raise self._refused(
                node, f"{name} is {type_}, which has no order", f"only `{name} is None` can be asked of it"
            )
        return self.words.column(name), type_

    def _column(self, node: ast.expr) -> str | None:
        """Give the column that is named, None for anything else."""
        name = _dotted(node)
        if name is None:
            return None
        name = self._quoted.get(name, name)
        if name in self.types:
            return str(name)
        alike = get_close_matches(str(name), self.types, 3, 0.6)
        there = f"did you mean {' or '.join(alike)}?" if alike else f"there are {', '.join([*self.types][:50])}"
        raise self._refused(node, f"the table has no column {name}", there)

    def _value(self, node: ast.expr, name: str, type_: pa.DataType) -> pa.Scalar:
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -1 if isinstance(node.op, ast.USub) else 1
            inner: ast.expr = node.operand
        else:
            inner = node
        value = inner.value if isinstance(inner, ast.Constant) else ...
        signed = inner is not node
        if value is ... or isinstance(value, bytes | complex) or (signed and type(value) not in {int, float}):
            raise self._refused(node, f"{name} has to be compared with a value", 'numbers are 3 or -2.5, texts "a"')
        if value is None:
            raise self._refused(node, "nothing is equal to None", f"write `{name} is None` or `{name} is not None`")
        try:
            return _scalar(sign * value if signed else value, type_)
        except (ValueError, ArithmeticError, pa.ArrowException):
            what = f"{name} is {type_}, and {value!r} is {_article(value)}"
            raise self._refused(node, what, _hint(value, type_)) from None

    def _refused(self, where: ast.expr | int, what: str, hint: str) -> InvalidJob:
        at = where if isinstance(where, int) else self._start + len(self._bytes[: where.col_offset].decode())
        at = max(0, min(at, len(self.text)))
        return InvalidJob(
            f"--where at position {at + 1}: {what}",
            code="job.where",
            hint=hint,
            detail=f"{_flat(self.text)}\n{' ' * at}^",
        )


def _flat(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ")


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def _scalar(value: Any, type_: pa.DataType) -> pa.Scalar:
    """Give a literal as a value that goes with a column. Raises :class:`ValueError` for one that does not."""
    types, kind = pa.types, type(value)
    if types.is_boolean(type_) or kind is bool:
        return _need(value, bool, types.is_boolean(type_), type_)
    if types.is_integer(type_):
        if kind is float and not value.is_integer():
            return pa.scalar(value, pa.float64())
        wide = pa.uint64() if types.is_uint64(type_) else pa.int64()
        return pa.scalar(int(_checked(value, kind in {int, float})), wide)
    if types.is_floating(type_):
        return pa.scalar(float(_checked(value, kind in {int, float})), pa.float64())
    if types.is_decimal(type_):
        found = texts.read_decimal(value) if kind is str else Decimal(repr(value))
        return pa.scalar(found, type_)
    text = str(_checked(value, kind is str))
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return pa.scalar(text, type_)
    if types.is_date(type_):
        return pa.scalar(texts.read_date(text), type_)
    if types.is_timestamp(type_):
        return _moment(text, type_)
    if types.is_time(type_):
        count = pa.scalar(moments.time_count(text, type_.unit), pa.int64())
        return count.cast(pa.int32()).cast(type_) if types.is_time32(type_) else count.cast(type_)
    if types.is_duration(type_):
        return pa.scalar(moments.duration_count(text, type_.unit), pa.int64()).cast(type_)
    return pa.scalar(texts.read_bytes(text), type_)


def _moment(text: str, type_: pa.DataType) -> pa.Scalar:
    """Read a moment; a day alone is its midnight, in the zone of the column."""
    if len(text) == 10:
        day = texts.read_date(text)
        naive = pa.array([day], pa.date32()).cast(pa.timestamp(type_.unit))
        return (naive if type_.tz is None else pc.assume_timezone(naive, type_.tz))[0]
    return pa.scalar(moments.datetime_count(text, type_.unit, zoned=type_.tz is not None), pa.int64()).cast(type_)


def _need(value: Any, kind: type, fits: bool, type_: pa.DataType) -> pa.Scalar:
    return pa.scalar(_checked(value, fits and type(value) is kind), type_)


def _checked(value: Any, fits: bool) -> Any:
    if not fits:
        raise ValueError(value)
    return value


def _common(values: list[pa.Scalar], type_: pa.DataType) -> pa.DataType:
    kinds = {value.type for value in values}
    return kinds.pop() if len(kinds) == 1 else pa.float64() if kinds else type_


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _article(value: Any) -> str:
    return {bool: "a boolean", int: "a number", float: "a number", str: "a text"}[type(value)]


def _hint(value: Any, type_: pa.DataType) -> str:
    types = pa.types
    if types.is_string(type_):
        return f'compare with a text ("{value}"); of a text file, types=COLUMN:int64 among its options says otherwise'
    examples = [
        (types.is_date, 'a day in quotes: "2013-01-31"'),
        (types.is_timestamp, 'a moment in quotes: "2013-01-31T05:00:00"'),
        (types.is_time, 'a time in quotes: "05:00:00"'),
        (types.is_duration, 'a duration in quotes: "PT1H30M"'),
        (types.is_boolean, "True or False"),
        (types.is_binary, "base64 in quotes"),
    ]
    fit = next((words for test, words in examples if test(type_)), "a number that it can hold, without quotes")
    more = ", with its offset (Z or +01:00)" if types.is_timestamp(type_) and type_.tz is not None else ""
    return f"compare with {fit}{more}"
