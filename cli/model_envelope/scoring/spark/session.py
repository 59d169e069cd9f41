"""The session of Spark that a job runs in, and what is sent to its workers."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import site
import sys
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.scoring.spark.errors import SparkFailed
from model_envelope.scoring.spark.names import give_names
from model_envelope.scoring.spark.types import ZONE

IMAGE = Path("/opt/model/envelope")
"""Where an image of a job has its envelope."""
PACKAGE = Path(__file__).parents[2]
CARRIED = ("runtime", "scoring")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip file can say."""
_ENVIRONMENT = "MODEL_ENVELOPE_DIGEST"


@contextmanager
def session() -> Iterator[Any]:
    """Give the session that is there, or start one and stop it at the end.

    The master is what ``spark-submit`` or Spark's own configuration say, else ``SPARK_MASTER``, else all cores of this
    machine. Workers run the Python of the driver unless ``PYSPARK_PYTHON`` names another.

    Raises :class:`SparkFailed` (``spark.session``) where Spark cannot be started.
    """
    with _quiet():
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    give_names()
    # Its bar would be drawn over ours, and over the lines of those who read a log.
    builder = SparkSession.builder.appName("model-envelope").config("spark.ui.showConsoleProgress", "false")
    if os.environ.get("SPARK_MASTER"):
        builder = builder.master(os.environ["SPARK_MASTER"])
    handler = signal.getsignal(signal.SIGINT)
    try:
        started = builder.getOrCreate()
    except (PySparkException, Py4JError, OSError) as error:
        raise SparkFailed(
            f"Spark cannot be started: {str(error).strip().splitlines()[0]}",
            code="spark.session",
            detail=str(error),
            hint="Spark 4 needs Java 17 or newer (JAVA_HOME), and a master that answers (SPARK_MASTER)",
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)  # pyspark has put its own there
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def settings(spark: Any, batch_rows: int, digest: str) -> Iterator[None]:
    """Have the session as a job needs it: moments in UTC, batches of its size, Python workers of its envelope alone."""
    wanted: Mapping[str, str] = {
        "spark.sql.session.timeZone": ZONE,
        "spark.sql.execution.arrow.useLargeVarTypes": "false",
        # Spark's own way to write moments, of 96 bits, is read by others as moments without a zone.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(batch_rows),
    }
    environment: dict[str, str] = spark.sparkContext.environment
    before = {name: spark.conf.get(name, None) for name in wanted}
    variables = {_ENVIRONMENT: digest}
    if is_here(spark) and str(PACKAGE.parent) not in site.getsitepackages():
        # A clean room has this package on the path of the driver alone.
        paths = [str(PACKAGE.parent), environment.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    told = {name: environment.get(name) for name in variables}
    try:
        for name, value in wanted.items():
            spark.conf.set(name, value)
        environment |= variables
        with _quiet():
            yield
    finally:
        for name, said in told.items():
            if said is None:
                environment.pop(name, None)
            else:
                environment[name] = said
        for name, value in before.items():
            if value is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, value)


def send(spark: Any, envelope: EnvelopeFiles) -> str:
    """Send the workers the code of this package, and the envelope unless they run from its image too.

    Gives what the envelope is sent as, empty where it is not. Workers on this machine have both.
    """
    context = spark.sparkContext
    if is_here(spark):
        return ""
    package = zipped_package()
    if not _sent(context.listFiles, package.name):
        context.addPyFile(str(package))
    if envelope.path == IMAGE:
        return ""
    name = f"envelope-{envelope.short_digest}"
    archive = _scratch() / f"{name}.zip"
    if not archive.exists():
        _zip(archive, envelope.path, [path for path in envelope.path.rglob("*") if path.is_file()])
    if not _sent(context.listArchives, archive.name):
        context.addArchive(f"{archive}#{name}")
    return name


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Spark says of pandas: no row goes through it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


def is_here(spark: Any) -> bool:
    """Tell whether the workers are processes of this machine alone, which share its files."""
    master: str = spark.sparkContext.master
    return master == "local" or master.startswith("local[")


def zipped_package() -> Path:
    """Put the code that workers need into a zip file, named by its content: the same code makes the same bytes."""
    files = [PACKAGE / "__init__.py"]
    for part in CARRIED:
        files += [
            path
            for path in (PACKAGE / part).rglob("*")
            if path.is_file() and path.suffix != ".pyc" and path.parent.name != "__pycache__"
        ]
    made = _scratch() / "package.zip"
    _zip(made, PACKAGE.parent, files)
    return made.replace(made.with_name(f"model-envelope-{sha256(made.read_bytes()).hexdigest()[:16]}.zip"))


def _zip(into: Path, root: Path, files: list[Path]) -> None:
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _sent(urls: list[str], name: str) -> bool:
    return any(url.partition("#")[0].rpartition("/")[2] == name for url in urls)


@cache
def _scratch() -> Path:
    """Give a folder that lasts as long as this process: Spark asks for what is in it when a worker comes later."""
    folder = Path(tempfile.mkdtemp(prefix="model-envelope-spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
