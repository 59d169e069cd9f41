"""Sources and sinks in memory that keep the protocols, for tests of what lies between them."""

import hashlib
import threading
from contextlib import contextmanager

import pyarrow as pa

from model_envelope.scoring.tables import Batch, CannotWrite, Part, Written


class Table:
    """A source of some parts; ``broken`` are bad rows by part and place. ``fails`` raises at a part."""

    def __init__(self, *parts: pa.RecordBatch | pa.Table, name="memory", broken=None, fails=None) -> None:
        self.tables = [part if isinstance(part, pa.Table) else pa.Table.from_batches([part]) for part in parts]
        self.name = name
        self.version = "1"
        self.broken = broken or {}
        self.fails = fails or {}
        self.asked = []
        self.threads = set()

    def schema(self):
        return self.tables[0].schema

    def parts(self):
        return [Part(at, f"part {at}", table.num_rows) for at, table in enumerate(self.tables)]

    def state(self):
        return {"version": self.version}

    def batches(self, part, wanted):
        self.threads.add(threading.get_ident())
        self.asked.append((part.index, tuple(wanted.types)))
        table = self.tables[part.index].select(list(wanted.types)).combine_chunks()
        if wanted.where is not None:
            table = table.filter(wanted.where).combine_chunks()
        first = 0
        for number, data in enumerate(table.to_batches(max_chunksize=wanted.rows)):
            if number == self.fails.get(part.index):
                raise OSError("the disk is gone")
            broken = tuple(self.broken.get((part.index, number), ()))
            yield Batch(data, first, broken)
            first += data.num_rows + len(broken)


class Shelf:
    """A sink that keeps parts in memory over several runs, as one that stages them on a disk does."""

    def __init__(self, name="shelf", dies_at=None) -> None:
        self.name = name
        self.guarantee = "All rows appear at once."
        self.staged = {}
        self.identity = None
        self.committed = None
        self.dies_at = dies_at
        self.begun = []
        self.events = []
        self.schema = None

    def open(self, run, schema, mode):
        if self.identity not in {None, run.identity}:
            self.staged, self.committed = {}, None
        self.identity, self.schema, self.run, self.mode = run.identity, schema, run, mode
        self.events.append("open")
        return frozenset(self.staged)

    @contextmanager
    def part(self, part):
        rows = []
        self.begun.append(part.index)

        class Writer:
            def write(_, batch):
                if self.dies_at == (part.index, len(rows)):
                    raise CannotWrite("no room", code="output.no-space")
                assert batch.schema.equals(self.schema), (batch.schema, self.schema)
                rows.append(batch)

        yield Writer()
        self.staged[part.index] = pa.Table.from_batches(rows, self.schema)
        self.events.append(f"staged {part.index}")

    def commit(self):
        assert len(self.staged) == self.run.parts
        self.events.append("commit")
        self.committed = self.staged
        rows = sum(table.num_rows for table in self.staged.values())
        return Written(rows, {"part": hashlib.sha256(repr(self.rows()).encode()).hexdigest()})

    def close(self):
        self.events.append("close")

    def table(self):
        assert self.committed is not None, "nothing was committed"
        return pa.concat_tables([self.committed[at] for at in sorted(self.committed)])

    def rows(self):
        return pa.concat_tables([self.staged[at] for at in sorted(self.staged)]).to_pylist()
