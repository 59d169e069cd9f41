import time
from collections.abc import Iterator
from typing import Annotated

import typer

from model_envelope.commands.options import Json
from model_envelope.commands.output import Line, command
from model_envelope.foundation.files import human_size
from model_envelope.workflows import cache as workflow


def cache(
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Remove what was not used for that long: 30d, 12h.", show_default=False),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Remove what was not used for longest, until that much is left.", show_default=False
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything that nobody uses now.")] = False,
    json: Json = False,
) -> None:
    """List the clean rooms that are kept, and remove some.

    Each is listed with its size, when it was used last, and the envelopes that it served. All of it can be made again:
    what is removed costs time at the next proof, and nothing else. Sizes count all files of a room; installers may
    share some of them with caches of their own.
    """
    with command("cache", json=json) as out:
        out.finish(workflow.cache(older_than=older_than, max_size=max_size, clear=clear), text=_text)


def _text(result: workflow.CacheResult) -> Iterator[Line]:
    now = time.time()
    for room in result.rooms:
        what = f"{room.packages} packages, {room.python}" if room.finished else "unfinished: its process was ended"
        what += " (conda)" if room.kind == "conda" else ""
        whose = ", ".join(room.belongs_to)
        used = "in use" if room.in_use else f"used {_age(now - room.last_used)} ago"
        yield f"{room.name[:12]}  {human_size(room.size):>9}  {used:<18}  {what}" + (f"  {whose}" if whose else "")
    if result.removed:
        yield f"removed {_count(len(result.removed))}, {human_size(result.freed)}"
    if result.kept_in_use:
        yield f"{_count(len(result.kept_in_use))} in use: kept"
    yield f"{_count(len(result.rooms))}, {human_size(result.size)} in {result.folder}"


def _count(number: int) -> str:
    return f"{number} clean room{'' if number == 1 else 's'}"


def _age(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {name}"
    return f"{max(seconds, 0):.0f} seconds"
