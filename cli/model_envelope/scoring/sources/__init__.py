"""Where tables are read from; a module a kind."""

from __future__ import annotations

from importlib import import_module

from model_envelope.scoring.location import Format, Location, refuse_catalogue
from model_envelope.scoring.tables import Source

_MODULES: dict[Format, str] = {
    "parquet": "parquet",
    "csv": "csv",
    "jsonl": "jsonl",
    "arrow": "arrow_ipc",
    "delta": "delta",
    "sql": "sql",
}


def open_source(location: Location) -> Source:
    """Give the source of a location; nothing is read but what tells its columns and parts.

    Raises ``InvalidTable`` where there is no such table, or none that can be read, ``InvalidJob`` for options that
    it does not know, and (``job.extra``) where a library is not installed.
    """
    refuse_catalogue(location)
    source: Source = import_module(f"{__name__}.{_MODULES[location.format]}").open_source(location)
    return source
