"""Connections that a process of a fleet uses for one target after the other.

A new connection costs a process of the server, and that process first loads much of the system's catalog: for six
revisions of a small tenant, a quarter of the server's time. A run must still find the connection of a single command:
no lock, no setting, no temporary table and no transaction of the target before. The server itself frees everything
that a session holds (DISCARD ALL), in the moment in which a run closes its connection, so the migration lock is free
as early as before. If that fails, the connection is closed.

Behind a pooler, the server process may be another client's by then: such a connection is never used again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from diwa_schema.database.failures import is_driver_error

_MOST = 50  # uses of a connection: its process remembers each table that it has seen
_NO_TRANSACTION = 0  # of libpq's states


class _Idle(NamedTuple):
    raw: Any
    used: int


class Reused:
    """The idle connections of a process, all to one database. Each borrower gives its connection a new name."""

    def __init__(self) -> None:
        self._database: Any = None
        self._idle: list[_Idle] = []
        self._one = threading.Lock()  # a run's second thread opens connections as well

    def lend(self, database: Any, name: str, opened: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """Return an idle connection or a new one, and the function that ends its use.

        Args:
            database: The parameters of the connection. Idle connections to another database are closed.
            name: Its application_name.
            opened: Opens a new one with this name.
        """
        found = self._taken(database, name)
        if found is None:
            found = _Idle(opened(), 0)
            if not _answers(found.raw, name):
                return found.raw, found.raw.close
        raw, used = found
        lent = [raw]

        def close() -> None:
            if lent:  # a link may be closed twice, and somebody else has the connection by then
                self._give(lent.pop(), used + 1, database)

        return raw, close

    def close(self) -> None:
        """Close the idle connections."""
        with self._one:
            for one in self._idle:
                one.raw.close()
            self._idle.clear()

    def _taken(self, database: Any, name: str) -> _Idle | None:
        if self._database != database:
            self.close()
            self._database = database
        while True:
            with self._one:
                if not self._idle:
                    return None
                found = self._idle.pop()
            if _answers(found.raw, name):
                return found
            found.raw.close()

    def _give(self, raw: Any, used: int, database: Any) -> None:
        kept = False
        try:
            if used < _MOST and self._database == database and _freed(raw):
                with self._one:
                    self._idle.append(_Idle(raw, used))
                kept = True
        finally:
            if not kept:
                raw.close()


def _answers(raw: Any, name: str) -> bool:
    """Name a connection, and return whether the process that accepted it answers.

    A time limit of the server may have ended that process. Behind a pooler another one answers, which may serve another
    client next, so it gets no name.
    """
    accepted = raw.info.backend_pid
    ask = (
        "SELECT CASE pg_backend_pid() WHEN %s THEN set_config('application_name', %s, false) END IS NOT NULL"
    )
    try:
        direct = raw.execute(ask, (accepted, name)).fetchone()[0]
    except Exception as error:
        if not is_driver_error(error):
            raise
        direct = False
    return bool(direct)


def _freed(raw: Any) -> bool:
    """Free everything that the session holds; return whether that was possible."""
    if raw.closed or raw.info.transaction_status != _NO_TRANSACTION:
        return False
    try:
        raw.execute("DISCARD ALL")
    except Exception as error:
        if not is_driver_error(error):
            raise
        return False
    return True
