from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

from model_envelope.commands.options import Arrow, BaseImage, EnvelopeArgument, Json, Python, Trust
from model_envelope.commands.output import Line, command
from model_envelope.commands.translation import Misuse
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.sizes import read_size
from model_envelope.runtime.codec import ExtraColumns
from model_envelope.workflows import serve as workflow

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["json", "text"]


def _size(word: str) -> int:
    try:
        return read_size(word, "--max-body", code="usage.size")
    except InvalidInput as error:
        raise Misuse(error.message, code=error.code, hint=error.hint) from None


def _workers(word: str) -> str:
    if word != "auto" and not (word.isdecimal() and int(word) > 0):
        raise Misuse(f"--workers is {word[:40]!r}, expected a number of at least 1, or auto", code="usage.workers")
    return word


def _setting(name: str, help: str, **more: Any) -> Any:  # noqa: A002
    """Make an option of the service: what is not said here is said by its variable, or left to the service."""
    variable = f"ENVELOPE_{name.removeprefix('--').partition('/')[0].replace('-', '_').upper()}"
    return typer.Option(name, envvar=variable, show_envvar=False, show_default=False, help=help, **more)


def serve(
    envelope: EnvelopeArgument,
    place: Annotated[
        workflow.Place, typer.Option("--in", help="In a local process, or in the built container.")
    ] = workflow.Place.PROCESS,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes any free one.")] = 8080,
    python: Python = None,
    trust: Trust = False,
    arrow: Arrow = False,
    base_image: BaseImage = None,
    extra_columns: Annotated[
        ExtraColumns | None,
        _setting("--extra-columns", "What is done with columns that the signature does not know. Default: refuse."),
    ] = None,
    max_body: Annotated[
        int | None,
        _setting("--max-body", "Largest body of a request. Default: 64MB.", metavar="SIZE", parser=_size),
    ] = None,
    max_rows: Annotated[
        int | None, _setting("--max-rows", "Most rows of one request. Default: 1000000.", metavar="N", min=1)
    ] = None,
    time_limit: Annotated[
        float | None,
        _setting("--time-limit", "Time for the answer to a request. Default: 60.", metavar="SECONDS", min=0.001),
    ] = None,
    body_timeout: Annotated[
        float | None,
        _setting("--body-timeout", "Time for a body to arrive. Default: 30.", metavar="SECONDS", min=0.001),
    ] = None,
    queue: Annotated[
        int | None, _setting("--queue", "Requests that may wait for the model. Default: 1024.", metavar="N", min=1)
    ] = None,
    workers: Annotated[
        str | None,
        _setting(
            "--workers",
            "Processes, each with its own model; auto: one a CPU. Default: 1.",
            metavar="N",
            parser=_workers,
        ),
    ] = None,
    batching: Annotated[
        bool | None,
        _setting(
            "--batching/--no-batching",
            "Answer requests that wait together by one call. Default: yes.",
        ),
    ] = None,
    batch_rows: Annotated[
        int | None,
        _setting("--batch-rows", "Most rows of such a call. Default: 4096.", metavar="N", min=1),
    ] = None,
    check_every: Annotated[
        int | None,
        _setting(
            "--check-every",
            "One in so many answers of such calls is checked. Default: 1000.",
            metavar="N",
            min=1,
        ),
    ] = None,
    grace: Annotated[
        float | None,
        _setting("--grace", "Time to finish at the end. Default: 10.", metavar="SECONDS", min=0.001),
    ] = None,
    drain_delay: Annotated[
        float | None,
        _setting(
            "--drain-delay",
            "Part of it in which new requests are taken. Default: 0.",
            metavar="SECONDS",
            min=0,
        ),
    ] = None,
    show_values: Annotated[
        bool | None,
        _setting("--show-values/--no-show-values", "Show values in problems and the log. Default: no."),
    ] = None,
    log_level: Annotated[Level | None, _setting("--log-level", "Least level of the log. Default: info.")] = None,
    log_format: Annotated[Form | None, _setting("--log-format", "How a line is written. Default: text.")] = None,
    inference_log: Annotated[
        str | None,
        _setting("--inference-log", "Folder that requests and answers go to. Default: none.", metavar="FOLDER"),
    ] = None,
    log_without: Annotated[
        str | None,
        _setting("--log-without", "Columns, with commas between, left out of it. Default: none.", metavar="NAMES"),
    ] = None,
    log_hashed: Annotated[
        str | None,
        _setting("--log-hashed", "Columns of which it has but sha256 sums. Default: none.", metavar="NAMES"),
    ] = None,
    log_fraction: Annotated[
        float | None,
        _setting("--log-fraction", "Share of the requests that are in it. Default: 1.", metavar="SHARE", min=0, max=1),
    ] = None,
    json: Json = False,
) -> None:
    """Serve an envelope over HTTP on this machine.

    The app is that of the image; it runs in an environment made from the lock, or in the interpreter of --python. Its
    address is printed when it is ready; Ctrl-C ends it. Limits and how it runs are the same for a process and a
    container, and read from variables too (ENVELOPE_MAX_BODY).
    """
    settings = {
        "extra-columns": extra_columns,
        "max-body": max_body,
        "max-rows": max_rows,
        "time-limit": time_limit,
        "body-timeout": body_timeout,
        "queue": queue,
        "workers": workers,
        "batching": batching,
        "batch-rows": batch_rows,
        "check-every": check_every,
        "grace": grace,
        "drain-delay": drain_delay,
        "show-values": show_values,
        "log-level": log_level,
        "log-format": log_format,
        "inference-log": inference_log,
        "log-without": log_without,
        "log-hashed": log_hashed,
        "log-fraction": log_fraction,
    }
    with command("serve", json=json) as out:
        workflow.serve(
            envelope,
            place=place,
            host=host,
            port=port,
            python=python,
            trust=trust,
            base_image=base_image,
            arrow=arrow,
            settings={name: value for name, value in settings.items() if value is not None},
            ready=lambda result: out.finish(result, text=_text),
            log=out.say,
            report=out.report,
        )


def _text(result: workflow.ServeResult) -> Iterator[Line]:
    yield result.url
