"""Processes that answer beside each other, for methods whose rows are independent; and whether they pay.

One of the workers is the process that began the job: it has the model already, and answers from the first moment on,
while the others start. Each of those loads the model once. Batches and answers travel as Arrow IPC through pipes, and
answers come back in the order of the batches. A process that dies is an error that says so: what killed it would kill
the next one too.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from model_envelope.runtime.errors import EnvelopeError, ModelFailed
from model_envelope.runtime.predicting import Predictor
from model_envelope.scoring.job import Job
from model_envelope.scoring.memory import keep_freed
from model_envelope.scoring.plan import make_scorer
from model_envelope.scoring.quarantine import Answered, Answering

START = 4.0
"""Seconds that it may take until workers have loaded the model, where nobody has measured it."""
GAIN = 0.2
"""The share of the time that workers have to save to be worth their memory."""
LEAST = 2.0
"""Seconds that they have to save."""
_END = 5.0
"""Seconds that a worker has to end by itself."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors() -> int:
    """Count the processors that this process may use: by its affinity, and by the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        count = min(count, max(1, int(quota) // int(period)))
    return count


class Advice:
    """Says how many workers to start: as many as were asked for, or, for 0, once measurements say that they pay.

    ``total`` are the rows of the job; where nobody knows them, as many are taken to be left as were seen.
    """

    def __init__(self, asked: int, total: int | None, *, start: float = START, cores: int | None = None) -> None:
        self.asked = asked
        self.total = total
        self.start = start
        self.cores = processors() if cores is None else cores
        self.reason = f"{asked} workers, as asked" if asked > 1 else ""
        self._batches = 0
        self._rows = 0
        self._next = 2
        self._predicting: float | None = None
        self._shipping: float | None = None

    def learn(self, data: pa.RecordBatch, answered: Answered) -> None:
        """Take in what a batch cost. What it would cost to ship it is measured once."""
        if self.asked or not data.num_rows:
            return
        self._batches += 1
        self._rows += data.num_rows
        seconds = answered.seconds / data.num_rows
        # The first batch warms up; the best is what the model can do.
        self._predicting = seconds if self._predicting is None else min(seconds, self._predicting)
        if self._shipping is None and self._batches > 1:
            began = time.perf_counter()
            for batch in (data, answered.answers):
                unpacked(packed(batch))
            self._shipping = 2 * (time.perf_counter() - began) / data.num_rows

    def now(self) -> int:
        """Give how many workers to start before the next batch, 0 for none yet."""
        if self.asked:
            return self.asked if self.asked > 1 else 0
        if self._shipping is None or self._predicting is None or self._batches < self._next:
            return 0
        self._next *= 2
        left = self._rows if self.total is None else max(0, self.total - self._rows)
        alone = left * self._predicting
        together = self.start + left * max(self._predicting / self.cores, self._shipping)
        told = f"predicting the {left:,} rows that are left takes about {alone:,.1f} s in one process"
        if self.total is None:
            told = f"predicting takes {self._predicting * 1e6:.1f} µs a row"
        if self.cores < 2:
            self.reason = f"one process: {told}, and there is one processor"
            return 0
        if alone - together < max(LEAST, GAIN * alone):
            self.reason = f"one process: {told}, and {together:,.1f} s in {self.cores}"
            return 0
        self.reason = f"{self.cores} workers: {told}, and {together:,.1f} s in {self.cores}"
        return self.cores


def packed(batch: pa.RecordBatch) -> pa.Buffer:
    """Write a batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def unpacked(raw: Any) -> pa.RecordBatch:
    """Read a batch that :func:`packed` wrote, without copying it."""
    return pa.ipc.open_stream(raw).read_next_batch()


class Workers:
    """This process and others with the model of a job; a context manager that ends those.

    ``count`` is that of all, ``ahead`` is how many batches keep them busy.
    """

    def __init__(self, count: int, job: Job) -> None:
        self.count = count
        self.ahead = 2 * count
        self.job = job
        self._processes: list[SpawnProcess] = []
        self._free: SimpleQueue[tuple[SpawnProcess, Connection]] = SimpleQueue()
        self._connections: list[Connection] = []
        self._threads = ThreadPoolExecutor(count - 1, thread_name_prefix="worker")

    def __enter__(self) -> Self:
        context = get_context("spawn")
        with _threads_shared(self.count):
            for number in range(1, self.count):
                here, there = context.Pipe()
                process = context.Process(target=serve, args=(there, self.job), name=f"worker-{number}")
                process.start()
                there.close()
                self._processes.append(process)
                self._connections.append(here)
                self._free.put((process, here))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            for process in self._processes:
                process.terminate()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(_END)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()

    def submit(self, data: pa.RecordBatch) -> Future[Answered]:
        """Have the next free process answer a batch. What none has begun can be cancelled, and answered here."""
        return self._threads.submit(self._ask, data)

    def _ask(self, data: pa.RecordBatch) -> Answered:
        process, connection = self._free.get()
        try:
            connection.send_bytes(packed(data))
            told = pickle.loads(connection.recv_bytes())
            if isinstance(told, EnvelopeError):
                raise told
            good, bad, seconds = told
            return Answered(unpacked(connection.recv_bytes()), good, bad, seconds)
        except (EOFError, OSError):
            process.join(_END)
            raise _died(process) from None
        finally:
            self._free.put((process, connection))


def _died(process: SpawnProcess) -> ModelFailed:
    code = process.exitcode
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}" if code is not None else "closed its pipe"
    memory = code == -signal.SIGKILL
    return ModelFailed(
        f"a worker process {how} while it answered",
        code="workers.died",
        hint="each worker holds the model and a batch in memory: use fewer --workers or fewer --batch-rows"
        if memory
        else "run the job with `--workers 1` to see what the model does",
    )


@contextmanager
def _threads_shared(count: int) -> Iterator[None]:
    """Let each process that is started now have its share of the processors for its numeric libraries."""
    name = "OMP_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(max(1, processors() // count))
    try:
        yield
    finally:
        del os.environ[name]


def serve(connection: Connection, job: Job) -> None:
    """Load the model and answer batch after batch, until the other end is closed: what a worker runs."""
    # Ctrl-C goes to all processes of a terminal; the one that began the job ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    keep_freed()
    answering: Answering | None = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            data = unpacked(connection.recv_bytes())
            try:
                if answering is None:
                    scorer, _ = make_scorer(job, Predictor.open(job.envelope))
                    answering = Answering(scorer, salvage=job.on_bad_row == "quarantine")
                answered = answering.answer(data)
            except EnvelopeError as error:
                connection.send_bytes(pickle.dumps(error))
                continue
            connection.send_bytes(pickle.dumps((answered.good, dict(answered.bad), answered.seconds)))
            connection.send_bytes(packed(answered.answers))
