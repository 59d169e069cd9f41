"""The Arrow types of what stands in the first lines of a JSON Lines file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from model_envelope.runtime.codec.text import parse_json
from model_envelope.runtime.errors import InvalidPayload

_KINDS: Mapping[type, str] = {bool: "bool", int: "int", float: "float", str: "text", list: "list", dict: "object"}
_PLAIN: Mapping[frozenset[str], pa.DataType] = {
    frozenset(): pa.string(),
    frozenset({"bool"}): pa.bool_(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
    frozenset({"text"}): pa.string(),
}


class Kinds:
    """What was seen in one place."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.least = self.most = 0
        self.items: Kinds | None = None
        self.fields: dict[str, Kinds] = {}

    def add(self, value: Any) -> None:
        """Note a value."""
        if value is None:
            return
        self.kinds.add(_KINDS[type(value)])
        if type(value) is int:
            self.least, self.most = min(self.least, value), max(self.most, value)
        elif isinstance(value, list):
            self.items = self.items or Kinds()
            for item in value:
                self.items.add(item)
        elif isinstance(value, dict):
            for name, item in value.items():
                self.fields.setdefault(name, Kinds()).add(item)

    def type(self) -> pa.DataType | None:
        """Give the type that holds all of them; None where there is none."""
        kinds = frozenset(self.kinds)
        if kinds == {"int"}:
            if self.least >= -(2**63) and self.most < 2**63:
                return pa.int64()
            return pa.uint64() if self.least == 0 and self.most < 2**64 else None
        if kinds == {"list"}:
            item = self.items.type() if self.items else None
            return None if item is None else pa.list_(item)
        if kinds == {"object"}:
            found = {name: field.type() for name, field in self.fields.items()}
            if not found or any(type_ is None for type_ in found.values()):
                return None
            return pa.struct([pa.field(name, type_) for name, type_ in found.items()])
        return _PLAIN.get(kinds)


class Seen:
    """What was seen in the lines of a table."""

    def __init__(self) -> None:
        self.lines = 0
        self._columns = Kinds()

    @property
    def strange(self) -> bool:
        """Tell whether there are lines, and none is a JSON object."""
        return self.lines > 0 and not self._columns.kinds

    def add_line(self, line: bytes) -> None:
        """Note a line; what is no object is told when it is read."""
        self.lines += bool(line.strip())
        try:
            value = parse_json(line) if line.strip() else None
        except InvalidPayload:
            return
        if isinstance(value, dict):
            self._columns.add(value)

    def fields(self) -> dict[str, pa.DataType]:
        """Give the columns, in the order in which they came."""
        return {name: kinds.type() or pa.string() for name, kinds in self._columns.fields.items()}

    def mixed(self) -> frozenset[str]:
        """Name the columns whose values no type holds all of: they are text, the JSON of each."""
        return frozenset(name for name, kinds in self._columns.fields.items() if kinds.type() is None)
