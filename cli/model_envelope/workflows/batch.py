"""Scores a table on this machine: the same job as in the image, in a local process or in the container itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.foundation import carrying, process
from model_envelope.foundation.errors import ToolFailed
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.progress import Counted, Done, Note, Report, Started, silent
from model_envelope.runtime.errors import EnvelopeError, ExitCode, from_document
from model_envelope.store import trust as store_trust
from model_envelope.targets.target import Target, find_target
from model_envelope.workflows.render import verified
from model_envelope.workflows.running import program_for

ENTRY = "model_envelope.scoring.__main__"
GRACE = 25.0
"""Seconds that a job has to stop in good order; it gives itself a little less."""
_TARGETS = {"python": "batch", "spark": "spark"}
_DRAWN = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The option of the target that a file system needs, by the scheme of its URLs."""

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class BatchResult:
    """A table that was scored: where the answers are, the run's report as a document, and as people read it."""

    output: str
    quarantine: str | None
    digest: str
    report: Mapping[str, Any]
    text: str


def batch(
    envelope: Path | None = None,
    *,
    settings: Settings,
    python: Path | None = None,
    trust: bool = False,
    options: Iterable[str] = (),
    report: Report = silent,
    log: Callable[[str], None] = lambda _: None,
) -> BatchResult:
    """Score a table with the model of an envelope, to the end.

    ``settings`` are those of the job by name (``input``, ``output``, ``batch-rows``: ``python -m
    model_envelope.scoring --help`` lists them), as words or as a job file holds them; what they leave out, variables
    and the file that ``job`` names may say. All of it is checked before anything takes time. The job runs in
    a clean room made from the envelope's lock merged with the pins of its target, or in ``python``, an interpreter that
    has what both need; the envelope must have been sealed by this user here, or be trusted explicitly. ``options`` are
    those of the target (``delta``), beside what the spelling of the tables asks for. ``log`` is called with each line
    that the model writes.

    Raises what the job failed with, with its exit code: settings that make no sense (2), a column that is missing, an
    output that exists, too many bad rows (1), a database or a package that is not there (4).
    """
    given = {**settings} | ({} if envelope is None else {"envelope": str(envelope)})
    with scratch_folder(prefix="envelope-batch-") as scratch:
        home = carrying.link(scratch / "carried", ["runtime", "scoring"])
        asked = _check(home, given)
        files = verified(Path(asked["envelope"]), report)
        target = _target(asked, options)
        store_trust.require(files, trusted=trust)
        words = carrying.arguments(home, ENTRY, "--supervised", isolated=python is None)
        program = program_for(files, target, words, python=python, report=report)
        report(Started("batch", "Loading the model"))
        # It ends when its standard input does, so that it cannot outlive this process.
        child = process.start(program.command, env=program.variables, stdin=subprocess.PIPE)
        with child:  # closes its pipes
            return _Attending(child, report, log).attend(given, files.digest)


def score_table(
    envelope: str | Path,
    input: str | Path,  # noqa: A002  it is called so everywhere
    output: str | Path,
    *,
    python: str | Path | None = None,
    trust: bool = False,
    options: Sequence[str] = (),
    report: Report = silent,
    **settings: Any,
) -> BatchResult:
    """Score a table with a sealed envelope: what ``envelope batch`` does, from a script or a notebook.

    ``settings`` are its options (``method="predict_proba"``, ``keep=["id"]``, ``rename={"age": "years"}``,
    ``batch_rows=10_000``, ``mode="overwrite"``); ``options`` is ``--with``. The rest is as in :func:`batch`.
    """
    given = {"input": str(input), "output": str(output), **{key: value for key, value in settings.items() if value}}
    chosen = None if python is None else Path(python)
    return batch(Path(envelope), settings=given, python=chosen, trust=trust, options=options, report=report)


def _check(home: Path, given: Settings) -> Mapping[str, Any]:
    """Let the job's own code read the settings, here and at once; it says what its environment is made by."""
    words = carrying.arguments(home, ENTRY, "--supervised", "--check", isolated=False)
    done = process.run([sys.executable, *words], stdin=_line(given), timeout=60)
    event = _event(done.stdout)
    if "job" in event:
        return event["job"]  # type: ignore[no-any-return]
    raise (
        _failed(event, done.returncode)
        if "error" in event
        else process.failed(done, "the settings of the job cannot be read", code="batch.settings")
    )


def _target(asked: Mapping[str, Any], options: Iterable[str]) -> Target:
    """Give the target whose packages the job needs, with what its tables need beside them."""
    target = find_target(_TARGETS[asked["engine"]])
    needed = {_option(table) for table in asked["tables"].values()} & target.offered.keys()
    return target.with_options(*sorted({*needed, *options}))


def _option(table: Mapping[str, str]) -> str:
    if table["format"] == "delta":
        return "delta"
    if table["format"] == "sql":
        return "duckdb" if table["scheme"].startswith("duckdb") else "sql"
    return _DRAWN.get(table["scheme"], "")


class _Attending:
    """Stays with a job that was started, tells what it says, and ends it with this process."""

    def __init__(self, child: subprocess.Popen[bytes], report: Report, log: Callable[[str], None]) -> None:
        self._child = child
        self._report = report
        self._log = log
        self._said: list[str] = []
        self._told: Mapping[str, Any] = {}
        self._last: Mapping[str, Any] = {}

    def attend(self, given: Settings, digest: str) -> BatchResult:
        """Give the job its settings and wait for its end."""
        child = self._child
        assert child.stdin is not None
        reader = threading.Thread(target=self._read_log, daemon=True)
        reader.start()
        try:
            with suppress(BrokenPipeError):
                child.stdin.write(_line(given))
                child.stdin.flush()
            try:
                self._follow()
                child.wait()
            except KeyboardInterrupt:
                self._end()
        finally:
            process.stop(child)
            reader.join(process.GRACE)
        if self._last.get("event") == "done":
            return _result(self._told, digest)
        if "error" in self._last:
            raise _failed(self._last, child.returncode)
        raise self._lost(child.returncode)

    def _follow(self) -> None:
        """Tell each event that the job writes, until it writes no more."""
        for raw in self._child.stdout or ():
            event = _event(raw)
            match event.get("event"):
                case "started":
                    self._report(Started("batch", f"Scoring {event['input']}"))
                case "progress":
                    remark = f"{event['refused']:,} refused" if event.get("refused") else ""
                    self._report(
                        Counted("batch", event["rows"], event["total"], "rows", event["rate"], event["left"], remark)
                    )
                case "note":
                    self._report(Note(event["text"]))
                case "report":
                    self._told = event
                case "done":
                    self._last = event
                    nothing = event["parts_resumed"] == event["parts"] and not event["rows_read"]
                    self._report(
                        Done("batch", "Nothing was left" if nothing else f"Scored {event['rows_scored']:,} rows")
                    )
                case "failed":
                    self._last = event

    def _end(self) -> None:
        """Let the job stop in good order; a second interrupt ends it at once."""
        limit = threading.Timer(GRACE, self._child.kill)
        limit.start()
        try:
            with suppress(KeyboardInterrupt):
                self._child.terminate()
                self._follow()
                self._child.wait()
        finally:
            limit.cancel()
        if self._last.get("event") != "done":
            self._last = self._last or {"error": {"message": "interrupted", "code": "interrupted"}}

    def _read_log(self) -> None:
        for raw in self._child.stderr or ():
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self._said.append(line)
            del self._said[:-200]
            self._log(line)

    def _lost(self, code: int) -> ToolFailed:
        killed = code == -9
        return ToolFailed(
            f"the job ended {f'by signal {-code}' if code < 0 else f'with {code}'} without saying why",
            code="batch.ended",
            detail="\n".join(self._said[-20:]),
            hint="the system ends what takes too much memory: fewer rows at a time (--batch-rows), fewer --workers"
            if killed
            else "run it again: it goes on after the last part that is finished, or starts over with a single file",
        )


def _result(told: Mapping[str, Any], digest: str) -> BatchResult:
    outputs = told["report"]["outputs"]
    quarantine = outputs.get("quarantine", {}).get("name")
    return BatchResult(outputs["output"]["name"], quarantine, digest, told["report"], told["text"])


def _failed(event: Mapping[str, Any], code: int) -> EnvelopeError:
    """Make the error that the job told, of the same name and with its exit code."""
    found = from_document(event["error"])
    stopped = code in {128 + signal.SIGTERM, 128 + signal.SIGINT} or code < 0
    known = ExitCode.INTERRUPTED if stopped else ExitCode(code) if code in set(ExitCode) else ExitCode.FAILED
    kind = type(event["error"].get("type", "EnvelopeError"), (EnvelopeError,), {"exit_code": known})
    return kind(  # type: ignore[no-any-return]
        found.message, code=found.code, hint=found.hint, problems=found.problems, detail=found.detail
    )


def _line(given: Settings) -> bytes:
    return json.dumps(given, default=str).encode() + b"\n"


def _event(raw: bytes | str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
