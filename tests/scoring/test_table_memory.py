"""What a process takes to write and to read a table does not grow with its rows, for each kind of table."""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

FEW, MANY = 250_000, 2_000_000
JOB = """
    import json, sys
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

    from model_envelope.scoring.location import read_location
    from model_envelope.scoring.memory import keep_freed
    from model_envelope.scoring.sinks import open_sink
    from model_envelope.scoring.sources import open_source
    from model_envelope.scoring.tables import Part, Run, Wanted

    BATCH = 50_000

    def batch(at):
        rng = np.random.default_rng(at)
        columns = {name: rng.normal(size=BATCH) for name in "abc"}
        columns["id"] = np.arange(at * BATCH, (at + 1) * BATCH)
        columns["text"] = [f"row {number} {at}" for number in range(BATCH)]
        return pa.record_batch(columns)

    def write(location, rows):
        sink = open_sink(location)
        sink.open(Run("job", "run", 1), batch(0).schema, "error")
        with sink.part(Part(0, "all")) as writer:
            for at in range(rows // BATCH):
                writer.write(batch(at))
        sink.commit()
        sink.close()

    def read(location, rows):
        source = open_source(location)
        found = 0
        for part in source.parts():
            for piece in source.batches(part, Wanted(dict.fromkeys(source.schema().names))):
                found += piece.data.num_rows
        assert found == rows

    keep_freed()
    do, text, options, rows = sys.argv[1:]
    {"write": write, "read": read}[do](read_location(text, json.loads(options)), int(rows))
    # The peak of getrusage may be the parent's.
    said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(said["VmHWM"].split()[0]) // 1024)
"""


def megabytes(do, location, options, rows):
    arguments = [sys.executable, "-c", textwrap.dedent(JOB), do, location, options, str(rows)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "arrow", "delta", "duckdb", "sqlite", "postgresql"])
def test_memory_does_not_grow_with_the_table(kind, tmp_path, request):
    options = "{}"
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        places = [f"{server.url()}#t{rows}" for rows in (FEW, MANY)]
    elif kind in {"duckdb", "sqlite"}:
        places = [f"{kind}:///{tmp_path}/{rows}.db#t" for rows in (FEW, MANY)]
        # DuckDB keeps what it has room for, so give it less than these rows would fill.
        options = '{"memory_limit": "24MB"}' if kind == "duckdb" else options
    else:
        places = [
            f"delta:{tmp_path}/{rows}" if kind == "delta" else f"{tmp_path}/{rows}.{kind}" for rows in (FEW, MANY)
        ]
    # The writers of Delta's library fill up with the first row groups.
    most = 1.5 if kind == "delta" else 1.3
    for do in ("write", "read"):
        few, many = (megabytes(do, place, options, rows) for place, rows in zip(places, (FEW, MANY), strict=True))
        assert many < most * few, f"{do} {kind}: {few} MB for {FEW} rows, {many} MB for {MANY}"
