"""The migration lock: one runner at a time on one database, and the check that the runner still holds it."""

from __future__ import annotations

import math
import random
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from diwa_schema.database.failures import is_driver_error, lost
from diwa_schema.database.link import Link
from diwa_schema.database.state import VERSION
from diwa_schema.errors import MigrationLockBusy

if TYPE_CHECKING:
    from diwa_schema.database.target import Target

Tell = Callable[[str], None]

_FIRST_PAUSE = 0.025
_LONGEST_PAUSE = 1.0
_SILENCE = 0.5  # seconds


class Attempted(Protocol):
    """A lock that is polled for, and never waited for."""

    def attempt(self) -> bool:
        """Take the lock if it is free."""

    def holder(self) -> str:
        """Describe its holder."""


class MigrationLock(Protocol):
    """The lock of a runner during a change of a database."""

    def prove(self) -> None:
        """Raise MigrationLockLost unless this run still holds the lock."""

    def release(self) -> None:
        """Release the lock."""


def keys(schema: str) -> tuple[int, int]:
    """Return the advisory keys of the run and of the fence, derived from the version table's name."""
    return _key("migrate", schema), _key("fence", schema)


def _key(purpose: str, schema: str) -> int:
    digest = sha256(f"diwa-schema/{purpose}/v1\0{schema}\0{VERSION}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def holder_name() -> str:
    """Return the displayed name of the holder: a role without pg_read_all_stats cannot see the start of a session."""
    return f"diwa-schema migrate since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def acquire(
    target: Target, schema: str, wait: float, tell: Tell, *, check: Callable[[Link], None] | None = None
) -> MigrationLock:
    """Take the migration lock of a database, after another runner if there is one.

    Args:
        target: The database.
        schema: The schema of the version table.
        wait: The longest wait, in seconds; 0 does not wait.
        tell: Called with a line for people while waiting.
        check: A check of the lock's own connection before the first attempt; it raises an error if the connection
            cannot hold a lock.

    Raises:
        MigrationLockBusy: Another runner held it all the time.
    """
    if target.in_memory:
        return NoLock()
    if target.dialect == "sqlite":
        from diwa_schema.database.lock_sqlite import FileLock

        lock: Any = FileLock(target.url.file or target.url.driver)
    else:
        lock = AdvisoryLock(target.connect(holder_name()), schema)
    try:
        if check is not None and isinstance(lock, AdvisoryLock):
            check(lock.link)
        poll(
            lock,
            wait,
            tell,
            waiting="the migration lock, held by",
            busy=f"Another run holds the migration lock of {target.shown}",
        )
    except BaseException:
        lock.release()
        raise
    return lock  # type: ignore[no-any-return]


def poll(lock: Attempted, wait: float, tell: Tell, *, waiting: str, busy: str) -> None:
    """Try to take a lock until it is free, at growing intervals, and report its holder.

    Args:
        lock: The lock.
        wait: The longest time for attempts, in seconds; 0 tries once.
        tell: Called with a line for people while waiting.
        waiting: The text about the wait; the holder's name follows it.
        busy: The obstacle, for the error; the holder's name follows it.

    Raises:
        MigrationLockBusy: Another session held it all the time.
    """
    deadline = time.monotonic() + wait
    pause = _FIRST_PAUSE
    told = ""
    while not lock.attempt():
        holder = lock.holder()
        if time.monotonic() >= deadline:
            raise MigrationLockBusy(
                f"{busy}: {holder}. Waited {wait:g} s.",
                next_step="Let it finish, or wait longer with --lock-wait SECONDS.",
                holder=holder,
            )
        if holder != told:
            tell(f"waiting for {waiting} {holder}")
            told = holder
        time.sleep(min(pause * random.uniform(0.5, 1.0), max(deadline - time.monotonic(), 0)))  # noqa: S311 - jitter
        pause = min(pause * 2, _LONGEST_PAUSE)


class NoLock:
    """For a database that only this process can see."""

    def prove(self) -> None:
        """Nobody else can see the database, so nobody can take the lock."""

    def release(self) -> None:
        """Do nothing: there is no lock."""


class AdvisoryLock:
    """A PostgreSQL session lock on a separate connection.

    It is polled for, never waited for: a waiting `pg_advisory_lock` holds a snapshot, and a `CREATE INDEX
    CONCURRENTLY` of the holder would wait for that snapshot, a deadlock.

    Args:
        link: The lock's own connection; it is closed with the lock.
        schema: The schema of the version table.
    """

    def __init__(self, link: Link, schema: str) -> None:
        self.link = link
        self.key, self.fence = keys(schema)
        self._answered = -math.inf

    def attempt(self) -> bool:
        """Take the lock if it is free, and no former holder has an open transaction."""
        # The fence only together with the lock: the holder would take a single attempt for a second runner.
        free = self.link.value(
            "SELECT CASE WHEN pg_try_advisory_lock(%s::bigint) THEN pg_try_advisory_xact_lock(%s::bigint) END",
            (self.key, self.fence),
        )
        if free is False:
            self.link.value("SELECT pg_advisory_unlock(%s::bigint)", (self.key,))
        return bool(free)

    def holder(self) -> str:
        """Describe the holder of the lock."""
        return holder(self.link, self.key, self.fence) or "a run that is just ending"

    def prove(self) -> None:
        """Raise MigrationLockLost unless this same session still holds the key.

        A session lock lives as long as its session, and only this class could unlock it. Without a pooler, an answer
        on the connection is therefore the proof, and a server that ends a session sends that at once: a connection
        that has answered a moment ago and is silent since needs no further question. A pooler can answer from another
        session, so the locks are read; the server collects all of them for that.
        """
        try:
            if self.link.direct:
                if time.monotonic() - self._answered < _SILENCE and not _spoke(self.link.raw):
                    return
                held = self.link.value("SELECT true")
                self._answered = time.monotonic()
            else:
                held = self.link.value(_MINE, _halves(self.key))
        except Exception as error:
            if not is_driver_error(error):
                raise
            held = None
        if not held:
            raise lost(self.link.shown)

    def release(self) -> None:
        """Close the lock's connection, which frees the lock."""
        self.link.close()


def _spoke(raw: Any) -> bool:
    """Return whether a server has sent something on an idle connection, such as the end of the session."""
    with selectors.DefaultSelector() as selector:
        selector.register(raw.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


def holder(link: Link, *keys: int) -> str | None:
    """Describe the holder of one of these advisory keys in a database, the first key first; None if there is none."""
    held = " OR ".join([_HELD] * len(keys))
    row = link.row(
        "SELECT l.pid, a.usename::text, a.application_name FROM pg_locks l"
        " LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
        f" WHERE l.granted AND l.pid <> pg_backend_pid() AND ({held})"
        # The connection of the lock before the other one, which is inside a revision.
        f" ORDER BY {_HELD} DESC LIMIT 1",
        [half for key in (*keys, keys[0]) for half in _halves(key)],
    )
    if row is None:
        return None
    return session(*row)


def session(pid: int, user: str | None, application: str | None) -> str:
    """Describe a session of the server for people; hidden facts are unknown."""
    return f"pid {pid}, user {user or 'unknown'}, application '{application or 'unnamed'}'"


def running(link: Link, schema: str) -> bool:
    """Return whether a run holds the migration lock of a database now."""
    if link.dialect == "postgresql":
        return holder(link, *keys(schema)) is not None
    from diwa_schema.database.lock_sqlite import FileLock

    file = link.value("SELECT file FROM pragma_database_list WHERE name = 'main'")
    return bool(file) and FileLock(file).held()


# pg_locks shows the upper and lower half of a bigint key, and 1 for "one key of 64 bits".
_HELD = (
    "(l.locktype = 'advisory' AND l.classid::bigint = %s AND l.objid::bigint = %s AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)

_MINE = f"SELECT true FROM pg_locks l WHERE l.granted AND l.pid = pg_backend_pid() AND {_HELD}"


def _halves(key: int) -> tuple[int, int]:
    unsigned = key & 0xFFFFFFFFFFFFFFFF
    return unsigned >> 32, unsigned & 0xFFFFFFFF


@contextmanager
def fence(link: Link, schema: str, *calls: str) -> Iterator[None]:
    """Run the block in a transaction that has the fence; a second runner cannot pass it.

    Args:
        link: The connection of the transaction.
        schema: The schema of the version table.
        calls: Further calls in its first round trip, as SQL.

    Raises:
        MigrationLockLost: Another runner is inside such a transaction.
    """
    if link.dialect == "sqlite":
        with link.transaction():  # BEGIN IMMEDIATE is the fence
            yield
        return
    take = ", ".join((f"pg_try_advisory_xact_lock('{keys(schema)[1]}')", *calls))
    with link.transaction(f"SELECT {take}") as row:
        if not row[0]:
            raise lost(link.shown)
        yield


def fenced(link: Link, schema: str) -> bool:
    """Return whether the transaction with the fence is still open; its own statements can have ended it."""
    if link.dialect == "sqlite":
        return bool(link.raw.in_transaction)
    return bool(link.value(_MINE, _halves(keys(schema)[1])))
