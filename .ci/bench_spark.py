"""Measure the Spark engine beside a job of ``mapInArrow`` that was written by hand, in one session and in turns.

Parquet to Parquet, a logistic regression on made-up flights, on two cores of this machine, one thread for numeric
libraries. What is compared is the time of the job that scores and writes; a ratio is the median of the rounds' ratios.
Starting Spark, and the first run of both, which loads the model in each worker, are no part of it.
"""

import argparse
import os
import pickle
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bench_models import flights, pack_flights
from bench_service import Goal, Table

from model_envelope.scoring.job import BATCH_ROWS, Job
from model_envelope.scoring.location import Location
from model_envelope.scoring.spark import score

GOAL = Goal(1.15, at_most=True)
CHUNK = 250_000
SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
}


def main() -> int:
    """Print one line, and fail where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    table = Table()
    with tempfile.TemporaryDirectory() as scratch:
        model, envelope = pack_flights(Path(scratch) / "model")
        source = Path(scratch) / "in.parquet"
        write_table(source, asked.rows)
        spark = start()
        try:
            by_hand, ours = turns(spark, model, envelope, source, asked.rounds)
        finally:
            spark.stop()
    ratio = statistics.median(mine / theirs for theirs, mine in zip(by_hand, ours, strict=True))
    print(f"| {'':50} | {'written by hand':>17} | {'engine `spark`':>17} | {'ratio':>6} | {'goal':>7} | reached |")
    print(f"|{'-' * 52}|{'-' * 18}:|{'-' * 18}:|{'-' * 7}:|{'-' * 8}:|{'-' * 9}|", flush=True)
    table.line(
        f"Spark, {asked.rows:,} rows, Parquet to Parquet",
        f"{statistics.median(by_hand):.2f} s",
        f"{statistics.median(ours):.2f} s",
        ratio,
        GOAL,
    )
    return 1 if table.missed else 0


def write_table(path: Path, rows: int) -> None:
    """Write made-up flights, with an id that is kept."""
    writer = None
    for first in range(0, rows, CHUNK):
        frame = flights(min(CHUNK, rows - first), seed=first + 1)
        piece = pa.Table.from_pandas(frame, preserve_index=False)
        piece = piece.append_column("id", pa.array(range(first, first + len(frame)), pa.int64()))
        writer = writer or pq.ParquetWriter(path, piece.schema)
        writer.write_table(piece)
    if writer is not None:
        writer.close()


def start() -> Any:
    """Start Spark with two cores of this machine."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("bench")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    started = builder.getOrCreate()
    started.sparkContext.setLogLevel("ERROR")
    return started


def turns(spark: Any, model: Path, envelope: Path, source: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Measure both in turns; what comes first changes."""
    by_hand: list[float] = []
    ours: list[float] = []
    output = source.with_name("out")
    write_by_hand = handwritten(spark, model, source)

    def theirs() -> None:
        began = time.perf_counter()
        write_by_hand(output)
        by_hand.append(time.perf_counter() - began)

    def mine() -> None:
        report = score(Job(envelope, Location("parquet", str(source)), Location("parquet", str(output)), keep=("id",)))
        ours.append(report.seconds["scoring"])

    for turn in range(rounds + 1):
        for one in (theirs, mine) if turn % 2 else (mine, theirs):
            one()
            shutil.rmtree(output)
    return by_hand[1:], ours[1:]


def handwritten(spark: Any, model: Path, source: Path) -> Callable[[Path], None]:
    """Give the job as one writes it by hand: the model is loaded once in each worker."""
    columns = [name for name in pq.read_schema(source).names if name != "id"]

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:

        cache = sys.modules.setdefault("bench_models_loaded", type(sys)("bench_models_loaded"))
        if not hasattr(cache, "model"):
            cache.model = pickle.loads(Path(str(model)).read_bytes())
        for batch in batches:
            answers = cache.model.predict(batch.select(columns).to_pandas())
            yield pa.RecordBatch.from_arrays([batch.column("id"), pa.array(answers)], names=["id", "predict"])

    def write(output: Path) -> None:
        frame = spark.read.parquet(str(source)).select("id", *columns)
        frame.mapInArrow(predict, "id long, predict long").write.parquet(str(output))

    return write


if __name__ == "__main__":
    sys.exit(main())
