"""Who keeps a table from a revision: seen from a second connection while the revision waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from diwa_schema.database.failures import is_driver_error

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

_QUERY = """
SELECT b.pid, a.usename::text, a.application_name, a.state, extract(epoch FROM now() - a.xact_start)::float,
       EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = b.pid)
FROM unnest(pg_blocking_pids(%s)) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session in the way. What the role may not see is None.

    Args:
        pid: Its process id.
        user: Its role.
        application: Its application_name.
        state: What it is doing.
        age: How long its transaction is open, in seconds.
        vacuum: Whether it is vacuuming.
    """

    pid: int
    user: str | None
    application: str | None
    state: str | None
    age: float | None
    vacuum: bool

    @property
    def autovacuum(self) -> bool:
        """Whether this is an autovacuum worker: it vacuums and has no role."""
        return self.vacuum and self.user is None

    def __str__(self) -> str:
        who = "autovacuum" if self.autovacuum else f"user {self.user or 'unknown'}"
        parts = [f"pid {self.pid}", who]
        if self.application:
            parts.append(f"application '{self.application}'")
        if self.state:
            parts.append(self.state)
        if self.age is not None:
            parts.append(f"transaction open for {self.age:.1f} s")
        return ", ".join(parts)


def blocking(link: Link, pid: int) -> tuple[Blocker, ...]:
    """Return who blocks a backend now."""
    return tuple(Blocker(*row) for row in link.rows(_QUERY, (pid,)))


class Watch:
    """Looks every few milliseconds who blocks a backend, from a connection of its own.

    Args:
        link: The connection to look from; it is closed at the end.
        pid: The backend that may be blocked.
        interval: The time between two looks, in seconds.
    """

    def __init__(self, link: Link, pid: int, interval: float) -> None:
        self._link = link
        self._pid = pid
        self._interval = interval
        self._seen: dict[int, Blocker] = {}
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
        """Everyone who was seen in the way."""
        return tuple(self._seen.values())

    def _look(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self._seen |= {blocker.pid: blocker for blocker in blocking(self._link, self._pid)}
            except Exception as error:
                if not is_driver_error(error):
                    raise
                return
