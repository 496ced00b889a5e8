"""The sessions that block a revision and those that it blocks, seen from a second connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

from diwa_schema.database.failures import connection_lost, is_driver_error
from diwa_schema.database.lock import session
from diwa_schema.run.overtime import Overtime

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

_QUERY = """
SELECT b.pid, a.usename::text, a.application_name, a.state, extract(epoch FROM now() - a.xact_start)::float,
       EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = b.pid)
FROM unnest(pg_blocking_pids(%s)) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid
"""


# Only Citus sees a wait on a worker, with a query to all nodes. Node and number identify a process.
_ON_CITUS = """
SELECT citus_pid_for_gpid(w.blocking_gpid), a.usename::text, a.application_name, a.state,
       extract(epoch FROM now() - a.xact_start)::float, false, n.nodename::text || ':' || n.nodeport
FROM citus_lock_waits w
LEFT JOIN citus_stat_activity a ON a.global_pid = w.blocking_gpid AND a.is_worker_query IS NOT TRUE
LEFT JOIN pg_dist_node n ON n.nodeid = w.blocking_nodeid AND n.groupid <> 0
WHERE citus_pid_for_gpid(w.waiting_gpid) = %s
  AND citus_nodeid_for_gpid(w.waiting_gpid) = citus_nodeid_for_gpid(citus_backend_gpid())
"""


class Blocker(NamedTuple):
    """A blocking session. Facts that the role may not see are None.

    Args:
        pid: Its process id.
        user: Its role.
        application: Its application_name.
        state: Its state.
        age: The age of its transaction, in seconds.
        vacuum: Whether it is vacuuming.
        node: Its worker of Citus; None for the server of the run itself.
    """

    pid: int
    user: str | None
    application: str | None
    state: str | None
    age: float | None
    vacuum: bool
    node: str | None = None

    @property
    def autovacuum(self) -> bool:
        """Whether this is an autovacuum worker: it vacuums and has no role."""
        return self.vacuum and self.user is None

    def __str__(self) -> str:
        who = "autovacuum" if self.autovacuum else f"user {self.user or 'unknown'}"
        parts = [f"pid {self.pid}{f' on {self.node}' if self.node else ''}", who]
        if self.application:
            parts.append(f"application '{self.application}'")
        if self.state:
            parts.append(self.state)
        if self.age is not None:
            parts.append(f"transaction open for {self.age:.1f} s")
        return ", ".join(parts)


def blocking(link: Link, pid: int) -> tuple[Blocker, ...]:
    """Return the sessions that block a backend now."""
    return tuple(Blocker(*row) for row in link.rows(_QUERY, (pid,)))


def blocking_anywhere(link: Link, pid: int) -> tuple[Blocker, ...]:
    """Return the sessions that block a backend now, on all nodes of Citus, which takes about a tenth of a second."""
    found = blocking(link, pid)
    if found or not link.citus:
        return found
    try:
        return tuple(Blocker(*row) for row in link.rows(_ON_CITUS, (pid,)))
    except Exception as error:
        if not is_driver_error(error) or connection_lost(error):
            raise
        return ()  # Citus before 11 does not know the node of a process


class Watch:
    """A repeated check for the sessions that block a backend, on a separate connection.

    Args:
        link: The connection of the check; it is closed at the end.
        pid: The backend that may be blocked.
        interval: The time between two checks, in seconds.
    """

    def __init__(self, link: Link, pid: int, interval: float) -> None:
        self._link = link
        self._pid = pid
        self._interval = interval
        self._seen: dict[tuple[str | None, int], Blocker] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="diwa-schema-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._link.close()

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """All blocking sessions that were seen."""
        return tuple(self._seen.values())

    def _look(self) -> None:
        while not self._over.wait(self._interval):
            try:
                found = blocking_anywhere(self._link, self._pid)
                self._seen |= {(blocker.node, blocker.pid): blocker for blocker in found}
            except Exception as error:
                if not is_driver_error(error):
                    raise
                return


_BYSTANDERS = """
SELECT w.pid, a.usename::text, a.application_name,
       CASE w.locktype WHEN 'advisory' THEN 'an advisory lock' ELSE coalesce(w.relation::regclass::text, 'a row') END
FROM pg_locks w LEFT JOIN pg_stat_activity a ON a.pid = w.pid
WHERE NOT w.granted AND w.waitstart < clock_timestamp() - %s * interval '1 ms'
  AND %s = ANY(pg_blocking_pids(w.pid))
  AND NOT EXISTS (SELECT FROM pg_locks m WHERE m.pid = %s AND NOT m.granted)
"""


class Bystanders:
    """The protection of others: it stops a piece of work that makes a session wait for longer than the stall allows.

    A lock_timeout limits the wait of the work for a table, and of the sessions queued behind it. It does not limit
    the time for which the work then holds the table: a default computed for every row, or a type changed in place,
    would stop everybody until its end. This time cannot be known beforehand. Waiting sessions are therefore watched
    during the work, and after too long a wait the work is cancelled and its transaction rolled back.

    Most pieces of work end before the first check, which opens a connection. While the work itself waits for a table,
    nothing is done, because that wait is limited already. A piece of work that has just waited gets half a stall
    more; otherwise the check would stop work that is about to end.

    Args:
        connect: The function that opens the connection of the check.
        pid: The backend of the work.
        stall: The longest allowed wait of a session, in seconds.
    """

    def __init__(self, connect: Callable[[], Link | None], pid: int, stall: float) -> None:
        self._connect = connect
        self._pid = pid
        self._stall = stall
        self._deciding = threading.Lock()
        self._beside = Overtime(stall / 2, self._watch, "diwa-schema-bystanders")
        self.waiting: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        self._beside.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        # After the end of the work, no cancellation is sent: it would hit the next piece.
        with self._deciding:
            self._beside.over.set()
        self._beside.end()

    def _watch(self) -> None:
        link = self._connect()
        if link is None:
            return
        with link:
            try:
                self._look(link)
            except Exception as error:
                if not is_driver_error(error):
                    raise

    def _look(self, link: Link) -> None:
        seen_since: float | None = None
        while not self._beside.over.wait(self._stall / 8):
            waiting = link.rows(_BYSTANDERS, (self._stall * 500, self._pid, self._pid))
            if not waiting:
                seen_since = None
                continue
            seen_since = seen_since or time.monotonic()
            if time.monotonic() - seen_since < self._stall / 2:
                continue
            with self._deciding:
                if self._beside.over.is_set():
                    return
                self.waiting = tuple(
                    f"{session(pid, user, name)}, for {what}" for pid, user, name, what in waiting
                )
                link.value("SELECT pg_cancel_backend(%s)", (self._pid,))
