"""What a location says of a table of a database: its name, taken apart, and options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from model_envelope.scoring.databases import OPTIONS
from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import InvalidJob

_NAME = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def table_name(text: str) -> tuple[str, ...]:
    """Take ``schema.table`` apart; a name with a dot stands in double quotes.

    Raises :class:`InvalidJob` (``job.location``) where that is no name.
    """
    names, at = [], 0
    while True:
        found = _NAME.match(text, at)
        if found is None:
            break
        names.append(found[1].replace('""', '"') if found[1] else found[2])
        at = found.end()
        if at == len(text) and len(names) <= 3:
            return tuple(names)
        if text[at : at + 1] != ".":
            break
        at += 1
    raise InvalidJob(
        f"`{text}` is no name of a table" if text else "no table is named",
        code="job.location",
        hint='write it after the URL: postgresql://host/db#schema.table; a name with a dot stands in quotes, #"a.b"',
    )


def check_options(location: Location, known: Sequence[str]) -> None:
    """Raise :class:`InvalidJob` (``job.option``) for options that are not known, nor this kind of database's own."""
    known = (*known, *OPTIONS.get(urlsplit(location.url).scheme, ()))
    strange = sorted(location.options.keys() - set(known))
    if strange:
        raise InvalidJob(
            f"a database has no option {', '.join(strange)} here",
            code="job.option",
            hint=f"it has {', '.join(known)}",
        )
