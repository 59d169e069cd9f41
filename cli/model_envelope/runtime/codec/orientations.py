"""The columns of a table out of JSON: rows ``[{...}]``, columns ``{name: [...]}`` or split ``{columns, data}``.

Whatever library's table is made of them: this part is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model_envelope.runtime.codec.base import Definitions, describe
from model_envelope.runtime.errors import Problems


def extra_columns(definitions: Definitions) -> str:
    """Say what becomes of unknown columns: ``refuse`` or ``ignore``."""
    return str(getattr(definitions, "extra_columns", "refuse"))


class Orientations:
    """Takes the columns of one table out of whichever orientation came.

    ``expected`` says for each column, by its JSON name, what its values have to be. ``extra`` says what becomes of
    unknown ones: ``refuse`` or ``ignore``.
    """

    def __init__(self, expected: Mapping[str, str], extra: str = "refuse") -> None:
        self.expected = expected
        self.extra = extra

    def take(
        self, value: Any, path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        """Take the columns out of whichever orientation came, and say how the path of a cell is written in it."""
        if type(value) is list:
            return self._from_rows(value, path, problems)
        if type(value) is dict:
            if value.keys() == {"columns", "data"} and "data" not in self.expected:
                return self._from_split(value, path, problems)
            return self._from_columns(value, path, problems)
        expected = "a table: an array of rows, or an object of columns"
        problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
        return None

    def _from_rows(
        self, rows: list[Any], path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        names = self.expected.keys()
        width = len(names)
        try:
            arrays = {name: [row[name] for row in rows] for name in names}
            if set(map(type, rows)) <= {dict} and (self.extra == "ignore" or all(len(row) == width for row in rows)):
                return arrays, lambda name, at: f"{path}[{at}].{name}"
        except (KeyError, TypeError, IndexError):
            arrays = {}
        self._explain_rows(rows, path, problems)
        return None

    def _explain_rows(self, rows: list[Any], path: str, problems: Problems) -> None:
        """Name what is wrong with the rows: columns that all of them lack once, the rest row by row."""
        odd = [at for at, row in enumerate(rows) if type(row) is not dict]
        for at in odd:
            problems.add(f"{path}[{at}]", describe(rows[at]), "an object: one row", "payload.type")
        objects = [(at, row) for at, row in enumerate(rows) if type(row) is dict]
        for name in self.expected:
            lacking = [at for at, row in objects if name not in row]
            if lacking and len(lacking) == len(objects):
                problems.add(f"{path}[*].{name}", "nothing", self._wanted(name), "payload.missing")
                continue
            for at in lacking:
                problems.add(f"{path}[{at}].{name}", "nothing", self._wanted(name), "payload.missing")
        unknown: dict[str, list[int]] = {}
        for at, row in () if self.extra == "ignore" else objects:
            for name in row.keys() - self.expected.keys():
                unknown.setdefault(name, []).append(at)
        for name, places in sorted(unknown.items()):
            where = "*" if len(places) == len(objects) else str(places[0])
            problems.add(f"{path}[{where}].{name}", "an unknown column", self._known(), "payload.unknown")

    def _from_columns(
        self, value: dict[str, Any], path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        before = len(problems.items) + problems.dropped
        self._compare_names(value.keys(), path, problems)
        for name in self.expected.keys() & value.keys():
            if type(value[name]) is not list:
                problems.add(f"{path}.{name}", describe(value[name]), "an array: one column", "payload.type")
        if len(problems.items) + problems.dropped > before:
            return None
        lengths = {len(value[name]) for name in self.expected}
        if len(lengths) > 1:
            found = ", ".join(f"{len(value[name])} in {name}" for name in self.expected)
            problems.add(path, f"columns of different lengths ({found})", "columns of one length", "payload.ragged")
            return None
        return value, lambda name, at: f"{path}.{name}[{at}]"

    def _from_split(
        self, value: dict[str, Any], path: str, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]] | None:
        names, data = value["columns"], value["data"]
        if type(names) is not list or not all(type(name) is str for name in names):
            problems.add(f"{path}.columns", describe(names), "an array of column names", "payload.type")
            return None
        if type(data) is not list:
            problems.add(f"{path}.data", describe(data), "an array of rows", "payload.type")
            return None
        before = len(problems.items) + problems.dropped
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.add(f"{path}.columns", f'"{name}" twice', "distinct column names", "payload.duplicate")
        self._compare_names(names, f"{path}.columns", problems)
        for at, row in enumerate(data):
            if type(row) is not list or len(row) != len(names):
                problems.add(f"{path}.data[{at}]", describe(row), f"an array of {len(names)}", "payload.type")
        if len(problems.items) + problems.dropped > before:
            return None
        place = {name: at for at, name in enumerate(names)}
        arrays = {name: [row[place[name]] for row in data] for name in self.expected}
        return arrays, lambda name, at: f"{path}.data[{at}][{place[name]}]"

    def _compare_names(self, names: Any, path: str, problems: Problems) -> None:
        present = set(names)
        for name in self.expected:
            if name not in present:
                problems.add(f"{path}.{name}", "nothing", self._wanted(name), "payload.missing")
        for name in () if self.extra == "ignore" else sorted(present - self.expected.keys()):
            problems.add(f"{path}.{name}", "an unknown column", self._known(), "payload.unknown")

    def _wanted(self, name: str) -> str:
        return f"a column of {self.expected[name]}"

    def _known(self) -> str:
        return f"one of {', '.join(self.expected)}"
