"""``python -m model_envelope.serving ENVELOPE``: the entry of images and of local processes.

Standard output carries one JSON line: ``{"event": "ready", "url": ..., "digest": ...}`` when the service is ready, or
with ``--supervised`` ``{"event": "failed", "error": {...}}`` where it cannot begin. What the model prints, and the log,
go to standard error; a supervised service ends with its standard input.

Exit codes: 0 when it was told to end, 1 where it could not begin (the port is in use, the model cannot be loaded), 3
where the model does not answer its samples as it was sealed.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_envelope.runtime.errors import EnvelopeError, ExitCode
from model_envelope.runtime.replay import claim_stdout
from model_envelope.serving.logs import configure


def main() -> None:
    """Parse the arguments, serve, and tell an error as the command line tool does."""
    arguments = _parser().parse_args()
    configure(arguments.log_level, arguments.log_format)
    announce = claim_stdout()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what the model prints belongs between the lines of the log
    if arguments.supervised:
        _end_with_the_starter()
    try:
        _serve(arguments, announce)
    except EnvelopeError as error:
        if arguments.supervised:
            announce({"event": "failed", "error": error.to_document()})
        else:
            print(f"error[{error.code}]: {error}", file=sys.stderr)  # noqa: T201
        sys.stderr.flush()
        os._exit(error.exit_code)  # the model's thread may hang, and nobody waits for it
    except Exception:
        logging.getLogger(__name__).exception("the service ended unexpectedly")
        os._exit(ExitCode.BUG)


def _end_with_the_starter() -> None:
    """End as on SIGTERM when standard input ends: whoever started this has died without saying so."""
    held = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a model that reads standard input must not take it for the signal
    os.close(nothing)

    def wait() -> None:
        while os.read(held, 1024):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="starter", daemon=True).start()


def _serve(arguments: argparse.Namespace, announce: Callable[[Any], None]) -> None:
    try:
        from model_envelope.serving.server import leave, serve
        from model_envelope.serving.service import Service
        from model_envelope.serving.settings import Settings
    except ModuleNotFoundError as error:
        raise EnvelopeError(
            f"the service needs `{error.name}`, which {sys.executable} does not have",
            code="serve.missing",
            hint="install `starlette` and `uvicorn` there",
        ) from None
    service = Service.open(arguments.envelope, extra_columns=arguments.extra_columns)
    code = serve(
        service,
        host=arguments.host,
        port=arguments.port,
        settings=Settings(max_body=arguments.max_body, log_format=arguments.log_format),
        grace=arguments.grace,
        announce=announce,
    )
    leave(code, service)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_envelope.serving", description="Serve the model of an envelope over HTTP."
    )
    parser.add_argument("envelope", type=Path, help="the folder of the envelope")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on, 0 for any free one (%(default)s)")
    parser.add_argument(
        "--max-body", type=int, default=64_000_000, metavar="BYTES", help="largest request body (%(default)s)"
    )
    parser.add_argument(
        "--extra-columns",
        choices=["refuse", "ignore"],
        default="refuse",
        help="what is done with columns that the signature does not know (%(default)s)",
    )
    parser.add_argument(
        "--grace", type=float, default=25.0, metavar="SECONDS", help="time to finish requests at the end (%(default)s)"
    )
    parser.add_argument(
        "--supervised", action="store_true", help="tell errors on standard output, end with standard input"
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument(
        "--log-format", default="json", choices=["json", "text"], help="how the log is written (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    main()
