"""One connection to a database for all that a job writes there: output, quarantine and log.

What is open together is committed together. SQLite has one writer at a time, so two sinks of a job on one file could
not do otherwise; elsewhere it means that rows and their quarantine appear in the same moment.
"""

from __future__ import annotations

import threading

from model_envelope.scoring.databases import Connection, connect
from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import CannotWrite

_open: dict[str, Session] = {}
_guard = threading.Lock()


def join(location: Location) -> Session:
    """Give the session of a database, a new one where this process has none."""
    with _guard:
        session = _open.get(location.url)
        if session is None:
            session = _open[location.url] = Session(location.url, connect(location, write=True))
        session.users += 1
        return session


class Session:
    """A connection, and the transaction that its users are in."""

    def __init__(self, url: str, connection: Connection) -> None:
        self.connection = connection
        self.users = 0
        self._url = url
        self._inside: set[object] = set()
        self._failed = False
        self._locked: set[str] = set()

    def lock(self, name: str) -> bool:
        """Take an output; False where another job has it, in this process or elsewhere."""
        if name in self._locked or not self.connection.lock(name):
            return False
        self._locked.add(name)
        return True

    def enter(self, user: object) -> None:
        """Join the transaction; the first begins it."""
        if not self._inside:
            self.connection.begin(write=True)
            self._failed = False
        self._inside.add(user)

    def leave(self, user: object, *, well: bool) -> None:
        """Leave the transaction. The last commits it, or undoes it where one of them failed.

        Raises :class:`CannotWrite` (``output.failed``) where the rows of this one go with those of another.
        """
        if user not in self._inside:
            return
        self._inside.discard(user)
        self._failed = self._failed or not well
        if self._inside:
            return
        if not self._failed:
            self.connection.commit()
            return
        self.connection.rollback()
        if well:
            raise CannotWrite(
                "nothing was written: another output of the same job in the same database failed",
                code="output.failed",
                hint="run the job again",
            )

    def end(self) -> None:
        """Let go of the connection; the last user closes it."""
        with _guard:
            self.users -= 1
            if not self.users:
                _open.pop(self._url, None)
                self.connection.close()
