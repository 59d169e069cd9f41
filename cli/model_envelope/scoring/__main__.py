"""``python -m model_envelope.scoring ENVELOPE --input TABLE --output TABLE``: the entry of images and local processes.

Standard output carries JSON lines: what begins, how far it is, notes, and as the last line ``{"event": "done", ...}``
or ``{"event": "failed", "error": {...}}``, for a scheduler to act on. What the model prints goes to standard error,
which says the same for people. A supervised job (``envelope batch``) gets its options as a JSON object in the first
line of standard input, and ends with that.

Exit codes: 0 done; 1 something that can be cured (bad rows above the limit, a column is missing, the output exists);
2 settings that make no sense; 4 a database, an engine or a package is missing; 70 a bug; 130 after Ctrl-C, 143 after
SIGTERM. What is staged stays then, and the same job goes on after it.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import threading
import traceback
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from model_envelope.runtime.ending import leave
from model_envelope.runtime.errors import EnvelopeError, ExitCode
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import refuse_missing
from model_envelope.scoring.settings import add_options, nearest, read_job
from model_envelope.scoring.tables import InvalidJob
from model_envelope.scoring.telling import Lines, Telling

if TYPE_CHECKING:
    from model_envelope.scoring.report import RunReport

GRACE = 20.0
"""Seconds that a job has to stop in good order; containers are killed 10 or 30 s after they were told to end."""
_ENGINES = {"python": "engine", "spark": "spark"}
_CURABLE = {
    errno.ENOSPC: ("system.no-space", "free some space there, or name another place"),
    errno.EDQUOT: ("system.no-space", "the quota there is used up: free some space, or name another place"),
    errno.EACCES: ("system.no-permission", "change the permissions, or name another place"),
    errno.EPERM: ("system.no-permission", "change the permissions, or name another place"),
    errno.EROFS: ("system.read-only", "that file system is mounted read-only: name another place"),
    errno.EMFILE: ("system.open-files", "too many files are open: raise the limit, `ulimit -n 4096`"),
}


class Stopped(KeyboardInterrupt):
    """The job was told to end."""


class Stopping:
    """Ends the job in good order on SIGTERM and Ctrl-C: at once on the second, and where that takes too long."""

    def __init__(self, lines: Lines) -> None:
        self.sign: int | None = None
        self._lines = lines

    def install(self) -> None:
        """Take both signals."""
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, self._stop)

    def _stop(self, sign: int, _: FrameType | None) -> None:
        if self.sign is not None:
            os._exit(128 + sign)
        self.sign = sign
        limit = threading.Timer(GRACE, self._leave, (sign,))
        limit.daemon = True
        limit.start()
        raise Stopped

    def _leave(self, sign: int) -> None:
        self._lines.write({"event": "failed", "error": _ended(sign).to_document()})
        os._exit(128 + sign)


def main() -> int:
    """Parse the settings, do the job, and tell what came of it; see the module."""
    try:
        arguments: argparse.Namespace | InvalidJob = _parser().parse_args()
    except InvalidJob as error:
        arguments = error
    supervised = "--supervised" in sys.argv
    lines = Lines()
    telling, stopping = Telling(lines, supervised=supervised), Stopping(lines)
    stopping.install()
    try:
        job, check = _read(arguments, supervised=supervised)
        if check:
            if job.engine == "python":  # Spark may take a plain path for one of its cluster
                refuse_missing(job.input)
            lines.write({"event": "checked", "job": _described(job)})
            return ExitCode.OK
        with telling:
            report = _score(job, telling)
    except BaseException as error:  # noqa: BLE001  whatever it is, the last line says it
        told, code = _translate(error, stopping.sign)
        lines.write({"event": "failed", "error": told.to_document()})
        telling.say(f"error[{told.code}]: {told}")
        return code
    if supervised:
        lines.write({"event": "report", "report": report.to_document(), "text": report.text()})
    telling.say(report.text())
    lines.write({"event": "done", **report.summary()})
    return ExitCode.OK


def _read(arguments: argparse.Namespace | InvalidJob, *, supervised: bool) -> tuple[Job, bool]:
    """Give the job, and whether it is only to be checked."""
    if isinstance(arguments, InvalidJob):
        raise arguments
    if supervised:
        _take_options(arguments, stay=not arguments.check)
    return read_job(arguments, os.environ), arguments.check


def _score(job: Job, telling: Telling) -> RunReport:
    """Do the job with its engine. What is imported here takes seconds."""
    try:
        engine = import_module(f"model_envelope.scoring.{_ENGINES[job.engine]}")
    except ModuleNotFoundError as error:
        raise EnvelopeError(
            f"the job needs `{error.name}`, which {sys.executable} does not have",
            code="job.extra",
            hint="install `pyarrow` there" + (", and `pyspark`" if job.engine == "spark" else ""),
        ) from None
    telling.report(
        {
            "event": "started",
            "envelope": str(job.envelope),
            "input": job.input.shown,
            "output": job.output.shown,
            "engine": job.engine,
        }
    )
    report: RunReport = engine.score(job, report=telling.report)
    return report


def _ended(sign: int) -> EnvelopeError:
    how = "by Ctrl-C" if sign == signal.SIGINT else f"by {signal.Signals(sign).name}"
    hint = "run the same job again: it goes on after the last part that is finished, or starts over with a single file"
    return EnvelopeError(f"the job was ended {how}", code="interrupted", hint=hint)


def _translate(error: BaseException, sign: int | None) -> tuple[EnvelopeError, int]:
    """Give the error that is told, and the exit code."""
    if sign is not None:  # whatever the model or a library made of it
        return _ended(sign), 128 + sign
    if isinstance(error, EnvelopeError):
        return error, ExitCode.TOOL if error.code == "job.extra" else error.exit_code
    if isinstance(error, MemoryError):
        hint = "ask the model for fewer rows at a time with --batch-rows, or use fewer workers"
        return EnvelopeError("there is not enough memory", code="system.memory", hint=hint), ExitCode.FAILED
    if isinstance(error, OSError) and error.errno in _CURABLE:
        code, hint = _CURABLE[error.errno]
        where = f": `{error.filename}`" if error.filename else ""
        return EnvelopeError(f"{os.strerror(error.errno)}{where}", code=code, hint=hint), ExitCode.FAILED
    said = "".join(traceback.format_exception_only(error)).strip()
    bug = EnvelopeError(
        f"this is a bug in model-envelope: {said}",
        code="bug",
        detail="".join(traceback.format_exception(error)),
        hint="please report it with the traceback",
    )
    return bug, ExitCode.BUG


def _described(job: Job) -> dict[str, Any]:
    """Say of a job what its environment is made by; no credentials are in it."""
    tables = {"input": job.input, "output": job.output, "quarantine": job.quarantine, "log": job.log}
    return {
        "envelope": str(job.envelope),
        "engine": job.engine,
        "tables": {
            name: {"format": table.format, "scheme": _scheme(table.url), "name": table.shown}
            for name, table in tables.items()
            if table is not None
        },
    }


def _scheme(url: str) -> str:
    return urlsplit(url).scheme if "://" in url else ""


def _take_options(arguments: argparse.Namespace, *, stay: bool) -> None:
    """Read the options that the starter gives; to ``stay``, end as on SIGTERM when it has died without a word."""
    held = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a model that reads standard input must not take it for the signal
    os.close(nothing)
    given = os.fdopen(held, "rb")
    for name, value in json.loads(given.readline() or b"{}").items():
        if not hasattr(arguments, key := name.replace("-", "_")):
            raise InvalidJob(f"a job has no setting `{name}`", code="job.unknown", hint=nearest(name))
        setattr(arguments, key, value)

    def wait() -> None:
        while given.read(1024):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    if stay:
        threading.Thread(target=wait, name="starter", daemon=True).start()


class _Parser(argparse.ArgumentParser):
    """Raises where the command line makes no sense, so that this is told as all else is."""

    def error(self, message: str) -> NoReturn:
        """Raise :class:`InvalidJob` (``usage``)."""
        raise InvalidJob(message, code="usage", hint="`--help` lists the settings")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m model_envelope.scoring",
        description="Score a table with the model of an envelope.",
        epilog="Each setting is also a variable (--batch-rows: ENVELOPE_BATCH_ROWS) and a name of the job file; "
        "options win over variables, and these over the file. A variable holds several values as JSON or with commas "
        "between.",
        allow_abbrev=False,
    )
    add_options(parser)
    parser.add_argument("--check", action="store_true", help="read the settings, say what the job would be, and end")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    leave(main())
