"""What `bench-batch` measures, each in a process of its own: ``python batch_runs.py KIND MODEL ENVELOPE TABLE OUTPUT``.

One thread for numeric libraries and for Arrow's own work. Prints one line of JSON: seconds of the work itself (packages
imported and the model loaded before), seconds of the processor, and the peak memory in MB.
"""

import json
import os
import pickle
import resource
import shutil
import sys
import time
from pathlib import Path

ROWS = 65_536


def by_hand(model: Path, _: Path, table: Path, output: Path) -> float:
    """Score as a good engineer would by hand: batch by batch, no more columns than are needed."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    one_thread(pa)
    loaded = pickle.loads(model.read_bytes())
    began = time.perf_counter()
    writer = None
    for batch in pq.ParquetFile(table).iter_batches(batch_size=ROWS):
        frame = batch.to_pandas()
        answers = loaded.predict(frame.drop(columns="id"))
        scored = pa.Table.from_pandas(pd.DataFrame({"id": frame["id"], "predict": answers}), preserve_index=False)
        writer = writer or pq.ParquetWriter(output, scored.schema)
        writer.write_table(scored)
    writer.close()
    return time.perf_counter() - began


def limit(model: Path, _: Path, table: Path, output: Path) -> float:
    """Predict alone on frames that are ready, then copy a table of the output's columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    one_thread(pa)
    loaded = pickle.loads(model.read_bytes())
    frames = [batch.to_pandas().drop(columns="id") for batch in pq.ParquetFile(table).iter_batches(batch_size=ROWS)]
    began = time.perf_counter()
    for frame in frames:
        loaded.predict(frame)
    kept = pa.schema([("id", pa.int64()), ("predict", pa.int64())])
    with pq.ParquetWriter(output, kept) as writer:
        for batch in pq.ParquetFile(table).iter_batches(batch_size=ROWS):
            writer.write_batch(pa.RecordBatch.from_arrays([batch["id"], batch["month"]], schema=kept))
    return time.perf_counter() - began


def batch(_: Path, envelope: Path, table: Path, output: Path, workers: int = 1) -> float:
    """Score with the python engine."""
    import pyarrow as pa

    from model_envelope.runtime.predicting import Predictor
    from model_envelope.scoring import engine
    from model_envelope.scoring.job import Job
    from model_envelope.scoring.location import read_location
    from model_envelope.scoring.sinks import files  # noqa: F401  imported before, as all that the others need
    from model_envelope.scoring.sources import parquet  # noqa: F401

    one_thread(pa)
    places = {"input": read_location(str(table)), "output": read_location(str(output))}
    job = Job(envelope=envelope, **places, keep=("id",), workers=workers)
    report = engine.score(job, Predictor.open(envelope))
    if "PHASES" in os.environ:
        sys.stderr.write(report.text() + "\n")
    return report.total_seconds


def two(model: Path, envelope: Path, table: Path, output: Path) -> float:
    """Score with the python engine and two workers."""
    return batch(model, envelope, table, output, workers=2)


def one_thread(arrow: object) -> None:
    """Have Arrow compute with one thread."""
    arrow.set_cpu_count(1)
    arrow.set_io_thread_count(1)


KINDS = {"by-hand": by_hand, "limit": limit, "batch": batch, "two": two}


def main() -> None:
    """Run one, and print what it took."""
    kind, *places = sys.argv[1:]
    model, envelope, table, output = map(Path, places)
    seconds = KINDS[kind](model, envelope, table, output)
    own = resource.getrusage(resource.RUSAGE_SELF)
    found = {"seconds": seconds, "cpu": own.ru_utime + own.ru_stime, "megabytes": own.ru_maxrss / 1024}
    sys.stdout.write(json.dumps(found) + "\n")
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink()


if __name__ == "__main__":
    main()
