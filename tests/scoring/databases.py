"""What tests of databases share: one place of each kind, and a job that writes rows as the engine does."""

import pyarrow as pa

from model_envelope.scoring.location import read_location
from model_envelope.scoring.sinks import open_sink
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import Part, Run, Wanted


class Place:
    """A database of one kind."""

    def __init__(self, kind, url):
        self.kind = kind
        self.url = url

    def source(self, table="t", **options):
        return open_source(read_location(f"{self.url}#{table}" if table else self.url, options))

    def sink(self, table="t", **options):
        return open_sink(read_location(f"{self.url}#{table}", options))

    def sql(self, statement):
        from model_envelope.scoring.databases import connect

        connection = connect(read_location(self.url), write=True)
        try:
            connection.begin(write=True)
            rows = connection.execute(statement)
            connection.commit()
        finally:
            connection.close()
        return rows

    def read(self, table="t", **options):
        return read(self.source(table, **options))


def read(source, wanted=None):
    wanted = wanted or Wanted(dict.fromkeys(source.schema().names))
    batches = [batch.data for part in source.parts() for batch in source.batches(part, wanted)]
    return pa.Table.from_batches(batches, pa.schema([source.schema().field(name) for name in wanted.types]))


def run(identity="job-1", parts=1):
    return Run(identity, f"run of {identity}", parts, {"envelope": "sha256:1"})


def write(sink, rows, *, job=None, mode="error", until=None):
    """Write the rows, cut into the parts of the job; ``until`` stops before a part, as a job that is killed."""
    job = job or run()
    size = -(-rows.num_rows // job.parts) or 1
    try:
        done = sink.open(job, rows.schema, mode)
        for index in range(job.parts):
            if index == until:
                return sorted(done)
            if index not in done:
                with sink.part(Part(index, f"part {index}")) as writer:
                    for batch in rows.slice(index * size, size).to_batches(max_chunksize=max(7, size // 20)):
                        writer.write(batch)
        return sink.commit()
    finally:
        sink.close()
