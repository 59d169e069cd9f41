"""``python -m model_envelope.serving ENVELOPE``: the entry of images and of local processes.

Standard output carries one JSON line: ``{"event": "ready", "url": ..., "digest": ...}`` when the service is ready, or
with ``--supervised`` ``{"event": "failed", "error": {...}}`` where it cannot begin. What the model prints, and the log,
go to standard error; a supervised service ends with its standard input.

Exit codes: 0 when it was told to end and finished everything; 1 where it could not begin (the port is in use, the model
cannot be loaded), had to cut requests off at the end, or gave up a model that does not come back; 2 for settings that
make no sense; 3 where the model does not answer its samples as it was sealed.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from model_envelope.runtime.errors import EnvelopeError, ExitCode
from model_envelope.runtime.replay import claim_stdout
from model_envelope.serving.binding import bind, url_of
from model_envelope.serving.settings import Settings, add_options, read_settings
from model_envelope.serving.threads import limit_threads

log = logging.getLogger("model_envelope.serving")


def main() -> None:
    """Parse the arguments, serve, and tell an error as the command line tool does."""
    arguments = _parser().parse_args()
    announce = claim_stdout()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what the model prints belongs between the lines of the log
    worker: dict[str, Any] | None = arguments.worker
    supervised = arguments.supervised or worker is not None
    try:
        shared = {"metrics_folder": Path(worker["folder"]), "supervisor": os.getppid()} if worker else {}
        settings = read_settings(arguments, os.environ, **shared)
        if supervised:
            _end_with_the_starter(settings)
        # The libraries of the model read this once, when they are imported.
        threads = limit_threads(settings.workers, os.environ)
        from model_envelope.serving.logs import configure

        configure(settings.log_level, settings.log_format)
        if worker is not None:
            _work(arguments.envelope, settings, worker, announce)
        if settings.workers > 1:
            _supervise(arguments, settings, announce)
        log.info("threads for the libraries of the model: %d", threads)
        _serve(arguments, settings, announce)
    except EnvelopeError as error:
        if supervised:
            announce({"event": "failed", "error": error.to_document()})
        else:
            print(f"error[{error.code}]: {error}", file=sys.stderr)  # noqa: T201
        sys.stderr.flush()
        os._exit(error.exit_code)  # the model's thread may hang, and nobody waits for it
    except Exception:
        log.exception("the service ended unexpectedly")
        os._exit(ExitCode.BUG)


def _end_with_the_starter(settings: Settings) -> None:
    """End as on SIGTERM when standard input ends: whoever started this has died without saying so."""
    held = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a model that reads standard input must not take it for the signal
    os.close(nothing)

    def wait() -> None:
        while os.read(held, 1024):
            continue
        if settings.metrics_folder is not None:
            shutil.rmtree(settings.metrics_folder, ignore_errors=True)  # nobody else does it any more
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(settings.grace + 5)
        os._exit(ExitCode.FAILED)

    threading.Thread(target=wait, name="starter", daemon=True).start()


def _serve(arguments: argparse.Namespace, settings: Settings, announce: Callable[[Any], None]) -> NoReturn:
    listening = bind(arguments.host, arguments.port)
    _run(arguments.envelope, settings, announce, listening=listening, url=url_of(arguments.host, listening))


def _work(envelope: Path, settings: Settings, worker: dict[str, Any], announce: Callable[[Any], None]) -> NoReturn:
    listening = socket.socket(fileno=worker["listening"])
    _run(envelope, settings, announce, listening=listening, url=worker["url"], shared=True, early=worker["early"])


def _run(envelope: Path, settings: Settings, announce: Callable[[Any], None], **place: Any) -> NoReturn:
    try:
        from model_envelope.serving.server import Place, leave, serve
        from model_envelope.serving.service import Service
    except ModuleNotFoundError as error:
        raise EnvelopeError(
            f"the service needs `{error.name}`, which {sys.executable} does not have",
            code="serve.missing",
            hint="install `httptools`, `starlette` and `uvicorn` there, and `uvloop` to make it faster",
        ) from None
    service = Service.open(envelope, extra_columns=settings.extra_columns)
    leave(serve(service, settings, Place(**place), announce), service)


def _supervise(arguments: argparse.Namespace, settings: Settings, announce: Callable[[Any], None]) -> NoReturn:
    from model_envelope.serving.supervisor import Supervisor

    listening = bind(arguments.host, arguments.port)
    # The way in which this process was started, whatever it was: with -m, or from source that is carried along.
    command = [sys.executable, *sys.orig_argv[1:]]
    code = Supervisor(command, listening, url_of(arguments.host, listening), settings, announce).run()
    logging.shutdown()
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_envelope.serving",
        description="Serve the model of an envelope over HTTP.",
        epilog="Each setting is also read from an environment variable: --max-body from ENVELOPE_MAX_BODY.",
    )
    parser.add_argument("envelope", type=Path, help="the folder of the envelope")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on, 0 for any free one (%(default)s)")
    add_options(parser)
    parser.add_argument(
        "--supervised", action="store_true", help="tell errors on standard output, end with standard input"
    )
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
