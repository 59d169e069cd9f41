"""The cells themselves: see :mod:`codec.tables.cells`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Codec, Definitions, codec_for, describe, under
from model_envelope.runtime.codec.values.scalars import expected
from model_envelope.runtime.errors import InvalidSignature, Problems

Parse = Callable[[str], Any]
Write = Callable[[Any], str]


class TextCell:
    """A value that JSON has as text."""

    def __init__(self, wanted: str, read: Parse, write: Write) -> None:
        self.wanted = wanted
        self.read = read
        self.write = write

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read the text."""
        if type(value) is str:
            try:
                return self.read(value)
            except ValueError:
                pass  # said below, with what was found
        problems.add(path, describe(value), self.wanted, "payload.null" if value is None else "payload.type")
        return None

    def encode(self, value: Any, path: str, problems: Problems) -> str | None:
        """Write the value."""
        if value is not None:
            try:
                return self.write(value)
            except (ValueError, OverflowError):
                pass  # said below
        problems.add(path, describe(value), self.wanted, "answer.type")
        return None


class DecimalCell:
    """A decimal of so many digits, so many of them after the point."""

    def __init__(self, kind: s.Scalar, precision: int, scale: int, definitions: Definitions) -> None:
        self.inner = codec_for(s.with_nullable(kind, nullable=False), definitions)
        self.digits = precision
        self.scale = scale
        self.wanted = f"{expected(kind)}, of at most {precision} digits, {scale} of them after the point"

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read the text; digits that would be cut off are refused."""
        before = problems.count
        found = self.inner.decode(value, path, problems)
        if problems.count > before:
            return None
        if not self._fits(found):
            problems.add(path, describe(value), self.wanted, "payload.type")
            return None
        return found

    def _fits(self, value: Decimal) -> bool:
        if not value.is_finite():
            return False
        _, digits, exponent = value.as_tuple()
        least = len(digits) - len("".join(map(str, digits)).rstrip("0")) + int(exponent)
        return not value or (-least <= self.scale and len(digits) + int(exponent) <= self.digits - self.scale)

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write the decimal as text."""
        return self.inner.encode(value, path, problems)


class WideCell:
    """Bytes of a fixed number."""

    def __init__(self, kind: s.Scalar, width: int, definitions: Definitions) -> None:
        self.inner = codec_for(s.with_nullable(kind, nullable=False), definitions)
        self.width = width

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read the bytes and count them."""
        found = self.inner.decode(value, path, problems)
        if isinstance(found, bytes) and len(found) != self.width:
            problems.add(path, f"{len(found)} bytes", f"{self.width} bytes, as a base64 string", "payload.length")
            return None
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write the bytes."""
        return self.inner.encode(value, path, problems)


class ChoiceCell:
    """A choice whose values stand for others: dates, decimals."""

    def __init__(self, known: Codec, inner: Codec) -> None:
        self.known = known
        self.inner = inner

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Admit a known spelling, and read it."""
        before = problems.count
        self.known.decode(value, path, problems)
        return None if problems.count > before else self.inner.decode(value, path, problems)

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write the value, and hold it against the known ones."""
        written = self.inner.encode(value, path, problems)
        before = problems.count
        self.known.decode(written, path, problems)
        return None if problems.count > before else written


class ListCell:
    """A list, of ``size`` items where that is fixed."""

    def __init__(self, item: Codec, size: int | None) -> None:
        self.item = item
        self.size = size
        self.wanted = "an array" if size is None else f"an array of {size}"

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read each item."""
        if type(value) is not list:
            problems.add(path, describe(value), self.wanted, "payload.null" if value is None else "payload.type")
            return None
        if self.size is not None and len(value) != self.size:
            problems.add(path, describe(value), self.wanted, "payload.length")
            return None
        return [self.item.decode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write each item."""
        if not isinstance(value, list) or (self.size is not None and len(value) != self.size):
            problems.add(path, describe(value), self.wanted, "answer.type")
            return None
        return [self.item.encode(item, f"{path}[{at}]", problems) for at, item in enumerate(value)]


class MapCell:
    """A mapping, as pairs; JSON has an object where the keys are text."""

    def __init__(self, key: Codec, value: Codec, *, by_name: bool) -> None:
        self.key = key
        self.value = value
        self.by_name = by_name

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read each key and value."""
        if self.by_name:
            if type(value) is not dict:
                problems.add(path, describe(value), "an object", "payload.null" if value is None else "payload.type")
                return None
            return [(key, self.value.decode(item, f"{path}.{key}", problems)) for key, item in value.items()]
        if type(value) is not list or not all(type(pair) is list and len(pair) == 2 for pair in value):
            wanted = "an array of [key, value] pairs"
            problems.add(path, describe(value), wanted, "payload.null" if value is None else "payload.type")
            return None
        found = [
            (self.key.decode(key, f"{path}[{at}][0]", problems), self.value.decode(item, f"{path}[{at}][1]", problems))
            for at, (key, item) in enumerate(value)
        ]
        self._distinct([repr(key) for key, _ in found], path, problems, "payload.duplicate")
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write each key and value."""
        if not isinstance(value, list):
            problems.add(path, describe(value), "a map", "answer.type")
            return None
        pairs = [
            [self.key.encode(key, f"{path}[{at}][0]", problems), self.value.encode(item, f"{path}[{at}][1]", problems)]
            for at, (key, item) in enumerate(value)
        ]
        self._distinct([repr(key) for key, _ in pairs], path, problems, "answer.duplicate")
        return {key: item for key, item in pairs} if self.by_name else pairs  # noqa: C416  pairs are lists

    @staticmethod
    def _distinct(keys: list[str], path: str, problems: Problems, code: str) -> None:
        if len(set(keys)) != len(keys):
            problems.add(path, "a key that stands twice", "distinct keys", code)


class RecordCell:
    """An object with named fields. Columns know no missing field: one that may be missing and is, is null there."""

    def __init__(self, kind: s.Record, cells: Mapping[str, Codec]) -> None:
        self.fields = {field.name: (field, cells[field.name]) for field in kind.fields}
        if kind.cls is not None:
            raise InvalidSignature(
                f"a column cannot hold objects of {kind.cls}",
                code="signature.storage",
                hint="let the column hold plain structs",
            )

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Read each field; unknown and missing ones are refused."""
        if type(value) is not dict:
            problems.add(path, describe(value), "an object", "payload.null" if value is None else "payload.type")
            return None
        for name in sorted(value.keys() - self.fields.keys()):
            problems.add(under(path, name), "an unknown field", f"one of {', '.join(self.fields)}", "payload.unknown")
        found = {}
        for name, (field, cell) in self.fields.items():
            if name in value:
                found[name] = cell.decode(value[name], f"{path}.{name}", problems)
            elif field.required:
                problems.add(f"{path}.{name}", "nothing", "a value", "payload.missing")
        return found

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write each field."""
        if not isinstance(value, dict):
            problems.add(path, describe(value), "an object", "answer.type")
            return None
        found = {}
        for name, (field, cell) in self.fields.items():
            item = value.get(name)
            if item is None and not field.required and not field.type.nullable:
                continue
            found[name] = cell.encode(item, f"{path}.{name}", problems)
        return found
