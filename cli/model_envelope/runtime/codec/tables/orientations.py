"""The columns of a table out of JSON: rows ``[{...}]``, columns ``{name: [...]}`` or split ``{columns, data}``.

Whatever library's table is made of them: this part is the same for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from model_envelope.runtime.codec.base import Definitions, describe, under
from model_envelope.runtime.errors import Problems

Check = Callable[[Sequence[Any], Callable[[int], str], Problems], Any]
"""Decodes values of one column for the sake of the problems that it notes."""

Taken = tuple[Mapping[str, Sequence[Any]], Callable[[str, int], str]]
"""The values of each column, and how the path of a cell is written in the orientation that came."""


def extra_columns(definitions: Definitions) -> str:
    """Say what becomes of unknown columns: ``refuse`` or ``ignore``."""
    return "ignore" if definitions.ignore_columns else "refuse"


class Orientations:
    """Takes the columns of one table out of whichever orientation came.

    ``expected`` says for each column, by its JSON name, what its values have to be. ``extra`` says what becomes of
    unknown ones: ``refuse`` or ``ignore``. ``checks`` look at the values that are there in a table that lacks others,
    so that all of its problems are told at once.
    """

    def __init__(
        self, expected: Mapping[str, str], extra: str = "refuse", checks: Mapping[str, Check] | None = None
    ) -> None:
        self.expected = expected
        self.extra = extra
        self.checks = checks or {}

    def take(self, value: Any, path: str, problems: Problems) -> Taken | None:
        """Take the columns out; None, with every problem noted, where they are not all there."""
        if type(value) is list:
            return self._from_rows(value, path, problems)
        if type(value) is dict:
            if value.keys() == {"columns", "data"} and "data" not in self.expected:
                return self._from_split(value, path, problems)
            return self._from_columns(value, path, problems)
        expected = "a table: an array of rows, or an object of columns"
        problems.add(path, describe(value), expected, "payload.null" if value is None else "payload.type")
        return None

    def _from_rows(self, rows: list[Any], path: str, problems: Problems) -> Taken | None:
        if set(map(type, rows)) <= {dict} and (self.extra == "ignore" or set(map(len, rows)) <= {len(self.expected)}):
            try:
                arrays = {name: [row[name] for row in rows] for name in self.expected}
            except KeyError:
                pass  # told below
            else:
                return arrays, lambda name, at: under(f"{path}[{at}]", name)
        self._explain_rows(rows, path, problems)
        return None

    def _explain_rows(self, rows: list[Any], path: str, problems: Problems) -> None:
        """Name what is wrong with the rows: columns that all of them lack once, the rest row by row."""
        for at, row in enumerate(rows):
            if type(row) is not dict:
                problems.add(f"{path}[{at}]", describe(row), "an object: one row", "payload.type")
        objects = [(at, row) for at, row in enumerate(rows) if type(row) is dict]
        for name in self.expected:
            lacking = [at for at, row in objects if name not in row]
            if lacking and len(lacking) == len(objects):
                problems.add(under(f"{path}[*]", name), "nothing", self._wanted(name), "payload.missing")
                continue
            for at in lacking:
                problems.add(under(f"{path}[{at}]", name), "nothing", self._wanted(name), "payload.missing")
            self._check(
                name, [(row[name], under(f"{path}[{at}]", name)) for at, row in objects if name in row], problems
            )
        unknown: Counter[str] = Counter()
        first: dict[str, int] = {}
        for at, row in () if self.extra == "ignore" else objects:
            for name in row.keys() - self.expected.keys():
                unknown[name] += 1
                first.setdefault(name, at)
        for name, times in sorted(unknown.items()):
            where = "*" if times == len(objects) else str(first[name])
            problems.add(under(f"{path}[{where}]", name), "an unknown column", self._known(), "payload.unknown")

    def _from_columns(self, value: dict[str, Any], path: str, problems: Problems) -> Taken | None:
        before = len(problems.items) + problems.dropped
        self._compare_names(value.keys(), path, problems)
        for name in self.expected:
            if name in value and type(value[name]) is not list:
                problems.add(under(path, name), describe(value[name]), "an array: one column", "payload.type")
        there = [name for name in self.expected if type(value.get(name)) is list]
        lengths = {len(value[name]) for name in there}
        if len(lengths) > 1:
            found = ", ".join(f"{len(value[name])} in {name}" for name in there[:20])
            problems.add(path, f"columns of different lengths ({found})", "columns of one length", "payload.ragged")
        if len(problems.items) + problems.dropped == before:
            return value, lambda name, at: f"{under(path, name)}[{at}]"
        for name in there:
            self._check(name, [(item, f"{under(path, name)}[{at}]") for at, item in enumerate(value[name])], problems)
        return None

    def _from_split(self, value: dict[str, Any], path: str, problems: Problems) -> Taken | None:
        names, data = value["columns"], value["data"]
        if type(names) is not list or not all(type(name) is str for name in names):
            problems.add(f"{path}.columns", describe(names), "an array of column names", "payload.type")
            return None
        if type(data) is not list:
            problems.add(f"{path}.data", describe(data), "an array of rows", "payload.type")
            return None
        before = len(problems.items) + problems.dropped
        for name, times in Counter(names).items():
            if times > 1:
                problems.add(f"{path}.columns", f'"{name[:40]}" twice', "distinct column names", "payload.duplicate")
        self._compare_names(names, f"{path}.columns", problems)
        width = len(names)
        if not (set(map(type, data)) <= {list} and set(map(len, data)) <= {width}):
            for at, row in enumerate(data):
                if type(row) is not list or len(row) != width:
                    problems.add(f"{path}.data[{at}]", describe(row), f"an array of {width}", "payload.type")
        place = {name: at for at, name in enumerate(names)}
        if len(problems.items) + problems.dropped == before:
            arrays = {name: [row[place[name]] for row in data] for name in self.expected}
            return arrays, lambda name, at: under(f"{path}.data[{at}]", name)
        whole = [(at, row) for at, row in enumerate(data) if type(row) is list and len(row) == width]
        for name in self.expected.keys() & place.keys():
            cells = [(row[place[name]], under(f"{path}.data[{at}]", name)) for at, row in whole]
            self._check(name, cells, problems)
        return None

    def _compare_names(self, names: Collection[str], path: str, problems: Problems) -> None:
        present = set(names)
        for name in self.expected:
            if name not in present:
                problems.add(under(path, name), "nothing", self._wanted(name), "payload.missing")
        for name in () if self.extra == "ignore" else sorted(present - self.expected.keys()):
            problems.add(under(path, name), "an unknown column", self._known(), "payload.unknown")

    def _check(self, name: str, cells: Sequence[tuple[Any, str]], problems: Problems) -> None:
        if name in self.checks:
            self.checks[name]([value for value, _ in cells], lambda at: cells[at][1], problems)

    def _wanted(self, name: str) -> str:
        return f"a column of {self.expected[name]}"

    def _known(self) -> str:
        names = list(self.expected)
        return f"one of {', '.join(names[:20])}{', …' if len(names) > 20 else ''}"
