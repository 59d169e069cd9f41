"""Errors of Spark itself, and those of its workers, which come back as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from model_envelope.runtime.errors import EnvelopeError, ExitCode, from_document
from model_envelope.scoring.tables import InvalidTable

_MARK = "model-envelope-error:"
_TOLD = re.compile(re.escape(_MARK) + r" (\{.*\})")
_SHOWN = 2000


class SparkFailed(EnvelopeError):
    """Spark cannot be started, or a job of it failed for reasons of its own."""

    exit_code = ExitCode.TOOL


class Told(Exception):
    """An error on its way from a worker to the driver: Spark carries no more of it than its text."""

    def __init__(self, error: EnvelopeError) -> None:
        super().__init__(f"{error}\n{_MARK} {json.dumps(error.to_document())}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Make errors of this project of what Spark raises.

    Raises what a worker told, :class:`InvalidTable` for what Spark says before it begins (``table.read``: there is no
    such path, a column is of another type), :class:`SparkFailed` for the rest.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import AnalysisException, PySparkException

    try:
        yield
    except AnalysisException as error:
        raise InvalidTable(f"Spark refuses {doing}: {_first_line(error)}", code="table.read") from error
    except (PySparkException, Py4JError) as error:
        text = str(error)
        told = _TOLD.search(text)
        if told:
            raise from_document(json.loads(told[1])) from None
        raise SparkFailed(
            f"Spark failed while {doing}: {_first_line(error)}",
            code="spark.failed",
            detail=text[-_SHOWN:],
            hint="the logs of the driver and of the executors tell more",
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_SHOWN]
