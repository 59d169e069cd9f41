"""Tells what databases and their drivers say, without what opens them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote, urlsplit

from model_envelope.runtime.errors import EnvelopeError
from model_envelope.scoring.databases import Connection
from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import CannotWrite, InvalidTable, MissingPackage, Unreachable

_FULL = re.compile(
    r"disk (?:is )?full|No space left|disk I/O error|could not extend file|File too large", re.IGNORECASE
)
_BUSY = (
    "another program writes there: wait until it ends. A SQLite file that is read and written by one job needs "
    "`PRAGMA journal_mode = WAL`"
)
_SECRET = re.compile(r"pass|pwd|secret|token|key|sslcert", re.IGNORECASE)


def scrubbed(text: str, location: Location) -> str:
    """Take the user, the password and other secrets of a URL out of a text."""
    text = text.strip().replace(location.url, location.shown)
    parts = urlsplit(location.url)
    userinfo = parts.netloc.rpartition("@")[0]
    secrets = {userinfo, userinfo.partition(":")[2]}
    secrets |= {value for name, value in parse_qsl(parts.query) if _SECRET.search(name)}
    secrets |= {value for name, value in location.options.items() if _SECRET.search(name) and name != "key"}
    for secret in sorted(secrets | {unquote(secret) for secret in secrets}, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "***")
    return text


@contextmanager
def telling(
    location: Location, connection: Connection, kind: type[EnvelopeError], code: str, what: str, hint: str
) -> Iterator[None]:
    """Make of the errors of a driver what a user is told: ``kind``, or :class:`Unreachable` where the database is gone.

    A full disk is told with the code of its own, ``output.full``.
    """
    try:
        yield
    except connection.errors as error:
        detail = scrubbed(str(error), location)
        if not connection.alive():
            raise Unreachable(
                f"the database of {location.shown} went away: {what}",
                code="database.gone",
                detail=detail,
                hint="what was not committed is gone too; run the job again once the database answers",
            ) from None
        axis = code.partition(".")[0]
        if axis == "output" and _FULL.search(detail):
            code, hint = "output.full", "make room and run the job again; nothing of what failed was kept"
        if "Out of Memory" in detail:
            hint = f"--{axis if axis == 'output' else 'input'}-option memory_limit=2GB lets DuckDB have more memory"
        if "database is locked" in detail:
            code, hint = f"{axis}.busy", _BUSY
        raise kind(f"{location.shown}: {what}", code=code, detail=detail, hint=hint) from None


def taken(location: Location, detail: str, *, write: bool) -> EnvelopeError:
    """Tell that another process has the file of a database for itself."""
    kind, code = (CannotWrite, "output.busy") if write else (InvalidTable, "table.busy")
    return kind(
        f"{location.shown} is in use by another process", code=code, detail=scrubbed(detail, location), hint=_BUSY
    )


def unreachable(location: Location, error: Exception) -> Unreachable:
    """Tell that a database could not be opened."""
    return Unreachable(
        f"the database of {location.shown} cannot be opened",
        code="database.unreachable",
        detail=scrubbed(str(error), location),
        hint="look at host, port, user and password; the driver's own variables (PGPASSWORD, ...) hold too",
    )


def missing(package: str, what: str) -> MissingPackage:
    """Tell which package reads a database."""
    return MissingPackage(
        f"{what} is read and written by {package}, which is not installed",
        code="job.extra",
        hint=f"pip install {package}; a batch image has it with the option `sql`",
    )
