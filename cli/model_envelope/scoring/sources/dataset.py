"""What all tables that are made of files have in common: columns, parts, partitions, filters, batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import pyarrow as pa

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.filtering import columns_of, mask_of
from model_envelope.scoring.location import Location
from model_envelope.scoring.sources.cells import Column
from model_envelope.scoring.sources.cutting import Piece, cut
from model_envelope.scoring.sources.files import Store, TableFile, check_options, mixed
from model_envelope.scoring.tables import Batch, InvalidTable, Part, Wanted

_FEW_ROWS = 8_192
"""Pieces are not made smaller than this: batches are cut out of them."""


@dataclass(frozen=True)
class Unit:
    """What a part is made of: a file, or some row groups of one."""

    file: TableFile
    rows: int | None = None
    groups: tuple[int, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Plan:
    """What is read: ``schema`` is that of the batches, ``needed`` are the columns of the files, the filter's too."""

    schema: pa.Schema
    needed: pa.Schema
    partitions: Mapping[str, pa.DataType]
    where: object | None
    asks: tuple[str, ...]
    """The columns that the filter asks for."""
    free: frozenset[str]
    """Those whose type the job leaves to the source."""
    rows: int
    """So many rows a piece may well have."""


class FileSource:
    """A table that files make up. The kinds say what columns a file has, and read pieces of it."""

    options: ClassVar[tuple[str, ...]] = ("partitions",)
    typed: ClassVar[bool] = True
    """Whether the files say of which types their columns are."""

    def __init__(self, location: Location) -> None:
        check_options(location, self.options)
        self.location = location
        self.name = location.shown
        self.store = Store(location)
        self.files = self.store.find()
        self.partitions = partition_types(self.files, self.name)
        self.columns = self._columns()
        """The columns in the files."""
        both = [name for name in self.columns.names if name in self.partitions]
        if both:
            raise InvalidTable(
                f"{self.name} has {', '.join(both)} as a column and in the names of its folders",
                code="table.duplicate",
                hint="the option partitions=none leaves the names of the folders alone",
            )

    def schema(self) -> pa.Schema:
        """Give the columns of the files, and then those that folders name."""
        return pa.schema([*self.columns, *(pa.field(name, type_) for name, type_ in self.partitions.items())])

    def parts(self) -> Sequence[Part]:
        """Give the parts: a file each, or some row groups of one."""
        units = enumerate(self.units)
        return [Part(at, unit.file.shown + unit.label, unit.rows) for at, unit in units]

    def state(self) -> Mapping[str, str]:
        """Tell size and time of each file as it is now."""
        return self.store.state()

    def batches(self, part: Part, wanted: Wanted) -> Iterator[Batch]:
        """Read a part: wanted columns only, in their order. Raises :class:`InvalidTable` with the file."""
        plan = self.plan(wanted)
        return cut(self._pieces(self.units[part.index], plan), wanted.rows, plan.schema)

    @cached_property
    def units(self) -> Sequence[Unit]:
        """What the parts are made of."""
        return self._units()

    def plan(self, wanted: Wanted) -> Plan:
        """Find what has to be read. Raises :class:`InvalidTable` (``table.columns``) for what there is not."""
        schema = self.schema()
        missing = [name for name in wanted.types if name not in schema.names]
        if missing:
            raise InvalidTable(
                f"{self.name} has no column {', '.join(missing)}",
                code="table.columns",
                hint=f"it has {', '.join(schema.names[:50])}",
            )
        types = self._typed_by(schema, wanted.types)
        asks = () if wanted.where is None else columns_of(wanted.where, types)
        names = list(dict.fromkeys([*wanted.types, *asks]))
        return Plan(
            pa.schema([types.field(name) for name in wanted.types]),
            pa.schema([types.field(name) for name in names if name not in self.partitions]),
            {name: types.field(name).type for name in names if name in self.partitions},
            wanted.where,
            asks,
            frozenset(name for name in names if wanted.types.get(name) is None),
            wanted.rows if wanted.rows >= _FEW_ROWS else 65_536,
        )

    def _typed_by(self, schema: pa.Schema, types: Mapping[str, pa.DataType | None]) -> pa.Schema:
        if self.typed:
            return schema
        return pa.schema([pa.field(field.name, types.get(field.name) or field.type) for field in schema])

    def _pieces(self, unit: Unit, plan: Plan) -> Iterator[Piece]:
        """Read a unit: add what folders name, filter, and leave out what only the filter asks for."""
        constants = {
            name: _constant(unit.file, name, type_, self.partitions[name]) for name, type_ in plan.partitions.items()
        }
        if plan.where is not None and plan.asks and set(plan.asks) <= constants.keys():
            one = pa.RecordBatch.from_arrays([constants[name] for name in plan.asks], names=list(plan.asks))
            if not mask_of(plan.where, one, unit.file.shown)[0].as_py():
                return
        for piece in self.read(unit, plan):
            yield _finished(piece, constants, plan, unit.file.shown)

    def read(self, unit: Unit, plan: Plan) -> Iterator[Piece]:
        """Read the needed columns of a unit, in pieces as they come."""
        raise NotImplementedError

    def column_schema(self, file: TableFile) -> pa.Schema:
        """Give the columns of one file."""
        raise NotImplementedError

    def _columns(self) -> pa.Schema:
        return unify(self.name, [(file, self.column_schema(file)) for file in self.files])

    def _units(self) -> Sequence[Unit]:
        return [Unit(file) for file in self.files]


def _finished(piece: Piece, constants: Mapping[str, pa.Array], plan: Plan, name: str) -> Piece:
    data = piece.data
    if constants:
        zeros = pa.repeat(pa.scalar(0, pa.int32()), data.num_rows)
        added = {name: value.take(zeros) for name, value in constants.items()}
        data = pa.RecordBatch.from_arrays([*data.columns, *added.values()], names=[*data.schema.names, *added])
    broken = piece.broken
    if plan.where is not None:
        mask = mask_of(plan.where, data, name)
        if mask.true_count < len(mask):
            # A broken row is told behind the rows before it that are kept.
            before = [mask.slice(0, item.row - at).true_count + at for at, item in enumerate(broken)]
            broken = tuple(replace(item, row=row) for item, row in zip(broken, before, strict=True))
            data = data.filter(mask)
    arrays = [data.column(name) for name in plan.schema.names]
    return Piece(pa.RecordBatch.from_arrays(arrays, schema=plan.schema), broken)


def unify(name: str, schemas: Sequence[tuple[TableFile, pa.Schema]]) -> pa.Schema:
    """Give the columns that all files have, in the order of the first one.

    A column of nulls in one file goes with any type in others: there is nothing in it.

    Raises :class:`InvalidTable`: ``table.duplicate`` for a name that stands twice in a file, and ``table.mixed`` with
    each file that lacks a column, or has it of another type.
    """
    types: dict[str, tuple[pa.DataType, TableFile]] = {}
    for file, schema in schemas:
        refuse_twice(file, schema.names)
        for field in schema:
            known = types.get(field.name)
            if known is None or pa.types.is_null(known[0]):
                types[field.name] = (field.type, file)
    problems = []
    for file, schema in schemas:
        found = dict(zip(schema.names, schema.types, strict=True))
        for column, (type_, first) in types.items():
            here = found.get(column)
            if here is None:
                expected = f"the column {column}, which {first.shown} has"
                problems.append(Problem(file.shown, "no such column", expected, "table.columns"))
            elif here != type_ and not pa.types.is_null(here):
                expected = f"{type_}, as in {first.shown}"
                problems.append(Problem(file.shown, f"{column} of type {here}", expected, "table.type"))
    if problems:
        raise mixed(name, problems)
    return pa.schema([pa.field(column, type_) for column, (type_, _) in types.items()])


def refuse_twice(file: TableFile, names: Sequence[str]) -> None:
    """Raise :class:`InvalidTable` (``table.duplicate``) for names of columns that stand more than once."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InvalidTable(
            f"{file.shown} has more than one column {', '.join(twice[:20])}",
            code="table.duplicate",
            hint="give each column its own name",
        )


def partition_types(files: Sequence[TableFile], name: str) -> dict[str, pa.DataType]:
    """Give the columns that folders name, with their types: integers where all values are some, else text.

    Raises :class:`InvalidTable` (``table.mixed``) where files lie in folders of other names.
    """
    first = [column for column, _ in files[0].partition]
    problems = [
        Problem(file.shown, ", ".join(found) or "no such folder", f"folders of {', '.join(first) or 'no column'}")
        for file in files
        if (found := [column for column, _ in file.partition]) != first
    ]
    if problems:
        raise mixed(name, problems)
    refuse_twice(files[0], first)
    values = {column: {dict(file.partition)[column] for file in files} - {None} for column in first}
    return {
        column: pa.int64() if found and all(map(_is_whole, found)) else pa.string() for column, found in values.items()
    }


def _is_whole(text: str | None) -> bool:
    digits = (text or "").removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19


def _constant(file: TableFile, name: str, type_: pa.DataType, found: pa.DataType) -> pa.Array:
    """Give the one value of a column that a folder names."""
    text = dict(file.partition)[name]
    if text is not None and pa.types.is_int64(found) and type_ != pa.string():
        text = str(int(text))
    array, bad = Column(name, type_).texts(pa.array([text], pa.string()))
    if bad:
        raise InvalidTable(
            f"the folder of {file.shown} says {name}={text}, which is no {type_}",
            code="table.type",
            problems=bad[0],
            hint="rename the folder, or read it with partitions=none",
        )
    return array
