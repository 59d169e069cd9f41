"""Where tables are written to; a module a kind."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from model_envelope.scoring.location import Format, Location, refuse_catalogue
from model_envelope.scoring.tables import Sink

_MODULES: dict[Format, str] = {
    "parquet": "files",
    "csv": "files",
    "jsonl": "files",
    "arrow": "files",
    "delta": "delta",
    "sql": "sql",
}


def open_sink(location: Location, *, partition_by: Sequence[str] = ()) -> Sink:
    """Give the sink of a location; nothing is written or taken before :meth:`Sink.open`.

    Raises ``InvalidJob`` for options or partitions that it does not know, and (``job.extra``) where a library is not
    installed.
    """
    refuse_catalogue(location)
    sink: Sink = import_module(f"{__name__}.{_MODULES[location.format]}").open_sink(
        location, partition_by=tuple(partition_by)
    )
    return sink
