"""``--workers N``: processes that share one listening socket, each with a model of its own.

The supervisor loads nothing: it binds, starts the workers, replaces those that end, and ends them all. A worker is this
same program with the option ``--worker``; it says on its standard output when it is ready, or why it cannot be,
and ends when its standard input does, so that none outlives the supervisor.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from model_envelope.runtime.errors import EnvelopeError, ExitCode, from_document
from model_envelope.serving.binding import AGAIN, BACKLOG, SETTLE, refuse_new
from model_envelope.serving.settings import Settings

log = logging.getLogger("model_envelope.serving")

FIRST_DELAY = 0.5
"""Seconds until a worker that ended is replaced; twice as many with each that ends soon after."""

LONGEST_DELAY = 30.0

GOOD_RUN = 60.0
"""Seconds after which a worker that ends is no sign of those to come."""

LAST_WAIT = 2.0
"""Seconds beyond the grace until workers that have not ended are killed."""


@dataclass
class Worker:
    """One of the workers, in whichever process it runs at the moment."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    said: bytearray = field(default_factory=bytearray)
    ready: bool = False
    early: bool = False
    began: float = 0.0
    deaths: int = 0
    """How many of its processes ended one soon after the other."""
    due: float | None = None
    """When its next process is to be started, by the monotonic clock."""


class Supervisor:
    """Keeps the workers of a service. ``command`` starts one; ``announce`` gets one document when all are ready."""

    def __init__(
        self,
        command: list[str],
        listening: socket.socket,
        url: str,
        settings: Settings,
        announce: Callable[[Any], None],
    ) -> None:
        self.command = command
        self.listening = listening
        self.url = url
        self.settings = settings
        self.announce = announce
        self.workers = [Worker(number) for number in range(settings.workers)]
        self.folder = _metrics_folder()
        self.announced = False
        self.told: float | None = None
        """When it was told to end, by the monotonic clock."""
        self.code = ExitCode.OK
        self._refusing = False
        self._signals: list[int] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> ExitCode:
        """Stay until told to end; ``FAILED`` where workers had to be killed, or cut requests off.

        Raises what a worker failed with where not all became ready the first time.
        """
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        self._selector.register(woken, selectors.EVENT_READ)
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda number, _: self._signals.append(number))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        try:
            self.listening.listen(BACKLOG)
            for worker in self.workers:
                # Somebody has to answer probes while the models are loaded.
                self._start(worker, early=worker.number == 0)
            while self._goes_on():
                for key, _ in self._selector.select(self._until_next()):
                    if key.data is None:
                        os.read(woken, 4096)
                    else:
                        self._listen(key.data)
        finally:
            for worker in self.workers:
                if worker.process is not None:
                    worker.process.kill()
                    worker.process.wait()
            signal.set_wakeup_fd(-1)
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.code

    def _goes_on(self) -> bool:
        now = time.monotonic()
        for number in self._signals:
            self._end(number, now)
        self._signals.clear()
        for worker in self.workers:
            if worker.process is not None and (code := worker.process.poll()) is not None:
                self._ended(worker, code, now)
            if worker.due is not None and worker.due <= now:
                accepting = any(other.process is not None and (other.ready or other.early) for other in self.workers)
                self._start(worker, early=not accepting)
        if self.told is None:
            return True
        return self._draining(now, self.told)

    def _draining(self, now: float, told: float) -> bool:
        delay = self.settings.drain_delay
        if now >= told + delay and not self._refusing:
            self._refusing = True
            refuse_new(self.listening)
        if now >= told + delay + SETTLE:
            self.listening.close()
        left = [worker for worker in self.workers if worker.process is not None]
        if left and now >= told + self.settings.grace + LAST_WAIT:
            log.error("killing what has not ended: %s", ", ".join(_name(worker) for worker in left))
            self.code = ExitCode.FAILED
            return False
        return bool(left)

    def _until_next(self) -> float | None:
        """Give the seconds until something is to be done that nobody wakes this up for."""
        due = [worker.due for worker in self.workers if worker.due is not None]
        if self.told is not None:
            given_up = self.told + self.settings.drain_delay
            due.append(self.told + self.settings.grace + LAST_WAIT)
            due += [] if self._refusing else [given_up]
            due += [given_up + SETTLE] if self.listening.fileno() >= 0 else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start(self, worker: Worker, *, early: bool) -> None:
        worker.due, worker.ready, worker.early = None, False, early
        worker.began, worker.said = time.monotonic(), bytearray()
        place = place_options(worker.number, self.listening.fileno(), self.folder, self.url, early=early)
        # A group of its own: Ctrl-C in a terminal is the supervisor's, who tells the workers.
        worker.process = subprocess.Popen(
            [*self.command, *place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self.listening.fileno(),),
            process_group=0,
        )
        assert worker.process.stdout is not None
        os.set_blocking(worker.process.stdout.fileno(), False)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        self._pid_file(worker).write_text(f"{worker.process.pid}\n")

    def _listen(self, worker: Worker) -> bool:
        """Read what a worker says: one document, then nothing any more. False where there is nothing to be read."""
        assert worker.process is not None
        assert worker.process.stdout is not None
        try:
            chunk = os.read(worker.process.stdout.fileno(), 65536)
        except BlockingIOError:
            return False
        if chunk:
            worker.said += chunk
            return True
        self._selector.unregister(worker.process.stdout)
        event = _event(worker.said)
        if event.get("event") == "ready":
            worker.ready = True
            log.info("%s is ready", _name(worker))
            if not self.announced and all(other.ready for other in self.workers):
                self.announced = True
                log.info("listening on %s with %d workers", self.url, len(self.workers))
                self.announce({"event": "ready", "url": self.url, "digest": event["digest"]})
        return False

    def _ended(self, worker: Worker, code: int, now: float) -> None:
        """Note that a worker has ended, and when another is to take its place."""
        process, name = worker.process, _name(worker)
        assert process is not None
        assert process.stdout is not None
        assert process.stdin is not None
        if process.stdout in self._selector.get_map():
            while self._listen(worker):
                continue
        if process.stdout in self._selector.get_map():  # what the model started may hold it open
            self._selector.unregister(process.stdout)
        process.stdout.close()
        process.stdin.close()
        was_ready = worker.ready
        worker.process, worker.ready, worker.early = None, False, False
        self._pid_file(worker).unlink(missing_ok=True)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if self.told is not None:
            if code not in {0, -signal.SIGTERM}:
                log.error("%s %s", name, how)
                self.code = ExitCode.FAILED
            return
        event = _event(worker.said)
        error = from_document(event["error"]) if event.get("event") == "failed" else None
        if not self.announced and not was_ready:
            raise error or EnvelopeError(
                f"{name} {how} before it was ready",
                code="serve.worker",
                hint="the log above has what it said; a process that is killed most often took too much memory, "
                "and each worker has a model of its own",
            )
        worker.deaths = 1 if now - worker.began > GOOD_RUN else worker.deaths + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(worker.deaths - 1, 10))
        worker.due = now + delay
        log.error("%s %s; another takes its place in %g s%s", name, how, delay, f": {error}" if error else "")

    def _end(self, number: int, now: float) -> None:
        """Tell all workers to end; at once where this was told before."""
        name = signal.Signals(number).name
        if self.told is not None:
            if now - self.told > AGAIN:
                log.warning("%s again: ending at once", name)
                self._leave(128 + number)
            return
        log.info("%s: finishing what is under way", name)
        self.told = now
        if not self.settings.drain_delay:
            self._refusing = True
            refuse_new(self.listening)
        for worker in self.workers:
            worker.due = None
            if worker.process is not None:
                worker.process.terminate()

    def _leave(self, code: int) -> NoReturn:
        for worker in self.workers:
            if worker.process is not None:
                worker.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)

    def _pid_file(self, worker: Worker) -> Path:
        return self.folder / f"worker-{worker.number}.pid"


def place_options(number: int, listening: int, folder: Path, url: str, *, early: bool) -> list[str]:
    """Give the options that make this program a worker: who it is, and what it shares with the others."""
    place = {"number": number, "listening": listening, "folder": str(folder), "url": url, "early": early}
    return ["--worker", json.dumps(place)]


def _metrics_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="envelope-workers-"))
    except OSError as error:
        raise EnvelopeError(
            f"several workers need a folder for what they count, and none can be made: {error.strerror}",
            code="serve.metrics-folder",
            hint="let TMPDIR name a folder that can be written to; in a read-only container mount one at /tmp",
        ) from None


def _event(said: bytes | bytearray) -> dict[str, Any]:
    try:
        document = json.loads(said)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _name(worker: Worker) -> str:
    return f"worker {worker.number} (pid {worker.process.pid if worker.process else '?'})"
