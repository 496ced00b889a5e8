"""The access of a run to the tables of a live database: short attempts, no long waits, no partial changes."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeVar

from diwa_schema.database import citus
from diwa_schema.database.failures import DEADLOCK, LOCK_TIMEOUT, STATEMENT_TIMEOUT, is_driver_error, sqlstate
from diwa_schema.database.lock import MigrationLock, fence
from diwa_schema.errors import (
    ROLLED_BACK,
    ApplicationStalled,
    DatabaseUnreachable,
    MigrationLockLost,
    TableLockBusy,
)
from diwa_schema.names import quoted
from diwa_schema.run import rhythm
from diwa_schema.run.blockers import Bystanders, Watch, blocking, blocking_anywhere
from diwa_schema.run.building import building
from diwa_schema.run.overtime import Overtime
from diwa_schema.run.settings import Progress, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from diwa_schema.database.link import Link
    from diwa_schema.database.target import Target
    from diwa_schema.run.blockers import Blocker

T = TypeVar("T")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
_SHORTEST_WAIT = 10  # milliseconds
_LOOK_AGAIN = 0.5
_ATTEND = 1.0
_SELDOM = 10  # checks, one of which asks all nodes of Citus


class Patience:
    """The limits of a session for long statements: set before the first one, and reset at the end of the run.

    Short pieces set limits of their own for their transaction, and reads in between wait for nobody.

    Args:
        link: The connection of the changes.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._before: dict[str, str] = {}

    def begin(self, statement: float) -> None:
        """Let statements wait for locks without a limit, and run for so many milliseconds."""
        if self._before:
            return
        limits = {"lock_timeout": 0.0, "statement_timeout": statement}
        # The server evaluates the list from left to right.
        looks = [f"current_setting('{name}')" for name in limits]
        found = self._link.row(f"SELECT {', '.join([*looks, *_calls(limits, local=False)])}") or ()
        self._before = dict(zip(limits, found, strict=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A caller's connection is returned with its original settings.
        if self._before and not self._link.raw.closed:
            self._link.set(self._before)


class Pace:
    """Runs pieces of work on one connection under the run's settings.

    Args:
        target: The database, for a second connection that watches for blocking sessions.
        link: The connection of the changes.
        connection: SQLAlchemy's view of the same connection; None if the work needs none.
        lock: The migration lock, checked before every piece of work.
        schema: The schema of the version table.
        settings: The timeouts and safety limits of the run.
        progress: The receiver of progress reports.
        patience: The limits of the session for long statements.
    """

    first_batch = rhythm.FIRST

    def __init__(
        self,
        target: Target,
        link: Link,
        connection: sa.Connection | None,
        lock: MigrationLock,
        schema: str,
        settings: Settings,
        progress: Progress,
        patience: Patience,
    ) -> None:
        self._target = target
        self._link = link
        self._connection: Any = connection
        self._lock = lock
        self._schema = schema
        self._settings = settings
        self._progress = progress
        self._deadlock_timeout = False
        self._long_try: float | None = None
        self._patience = patience
        self.lock_waits = 0

    def short(
        self, work: Callable[[sa.Connection], T], *, timeout: float | None = None, unseen: bool = False
    ) -> T:
        """Run work in one short transaction, and repeat it as a whole if a table is in use.

        Args:
            work: The work; its argument is SQLAlchemy's view of the connection.
            timeout: The longest time of one statement, in seconds; by default that of strong locks.
            unseen: Whether it only creates tables, for which nobody can wait before the commit.

        Raises:
            TableLockBusy: The tables stayed in use for the whole budget.
            MigrationLockLost: The migration lock is gone.
        """
        if self._link.dialect == "sqlite":
            return self._once(work, 0, timeout, unseen=unseen)
        deadline = time.monotonic() + self._settings.lock_budget
        attempt = 0
        while True:
            with ExitStack() as stack:
                watch = self._watch() if attempt else None
                stack.enter_context(watch or nullcontext())
                try:
                    return self._once(work, attempt, timeout, unseen=unseen)
                except Exception as error:
                    if sqlstate(error) not in (LOCK_TIMEOUT, DEADLOCK):
                        raise
                    failure = error
            self.lock_waits += 1
            blockers = watch.blockers if watch else ()
            self._meet_autovacuum(blockers, failure)
            pause = _pause(attempt)
            if time.monotonic() + pause > deadline:
                raise self._busy(blockers, failure) from failure
            if attempt:
                self._progress.say(_waiting(blockers, pause))
            time.sleep(pause)
            attempt += 1

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work outside a transaction and without a lock_timeout: index builds, validations and counts only.

        Such a statement waits and makes nobody else wait; a lock_timeout would leave an invalid index.
        """
        self._lock.prove()
        if self._link.dialect == "sqlite":
            return work(self._connection)
        self._patience.begin(self._settings.build_timeout * 1000)
        with self._attended():
            return work(self._connection)

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        """Read facts for a step: nobody waits for a read, and it needs no check of the lock."""
        return work(self._connection)

    def wait(self, reason: Callable[[sa.Connection], str | None]) -> None:
        """Repeat a check until there is no reason to wait; the migration lock is checked each time.

        Raises:
            TableLockBusy: There was a reason for longer than an index build may take.
            MigrationLockLost: The migration lock is gone.
        """
        deadline = time.monotonic() + self._settings.build_timeout
        told = None
        while (said := reason(self._connection)) is not None:
            self._lock.prove()
            if time.monotonic() > deadline:
                raise TableLockBusy(
                    f"{said[:1].upper()}{said[1:]}. Waited {self._settings.build_timeout:g} s for it.",
                    untouched="The committed steps of this run stay. The next run resumes there.",
                    next_step="End that session or let it finish, then run the command again.",
                    reason=said,
                )
            if said != told:
                self._progress.say(f"{said}; waiting for it")
                told = said
            time.sleep(_LOOK_AGAIN)

    def batches(
        self, work: Callable[[sa.Connection, int], int], total: int | None, label: str, *, before: int = 0
    ) -> int:
        """Run work in short transactions of limited size until no rows are left.

        Args:
            work: Called with the connection and the number of rows to take at most; returns how many it took.
            total: The approximate number of rows, for the progress; None if it is unknown.
            label: The name of the step, for the progress.
            before: The number of rows from an earlier run, for the progress.

        Returns:
            The number of rows taken.
        """
        size, done, began = self.first_batch, 0, 0.0

        def batch(connection: sa.Connection) -> int:
            # The attempts before the successful one, and the pauses between them, kept no row from anybody.
            nonlocal began
            began = time.monotonic()
            return work(connection, size)

        self.progress(label, before, total)
        while True:
            taken = self.short(batch)
            took = time.monotonic() - began
            if not taken:
                return done
            done += taken
            self.progress(label, before + done, total)
            size = rhythm.following(size, took, self._settings.max_stall)
            time.sleep(rhythm.rest(took))

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Report the progress of a step."""
        self._progress.step(label, done, total)

    def say(self, line: str) -> None:
        """Report a message for people."""
        self._progress.say(line)

    def _once(
        self, work: Callable[[sa.Connection], T], attempt: int, timeout: float | None, *, unseen: bool
    ) -> T:
        self._lock.prove()
        if self._link.dialect == "sqlite":
            with fence(self._link, self._schema):
                return work(self._connection)
        lock = self._lock_timeout(attempt)
        limits = self._limits(lock, timeout or self._settings.strong_timeout)
        with fence(self._link, self._schema, *_calls(limits, local=True)):
            if self._link.citus:
                for statement in (*citus.OPENING, *citus.heard({"lock_timeout": lock})):
                    self._link.execute(statement)
            with self._one_stall(lock), nullcontext() if unseen else self._nobody_waits():
                return work(self._connection)

    def _limits(self, lock: float, timeout: float) -> dict[str, float]:
        limits = {"lock_timeout": lock, "statement_timeout": timeout * 1000}
        if self._deadlock_timeout:
            limits["deadlock_timeout"] = lock * 0.4
        return limits

    def _lock_timeout(self, attempt: int) -> float:
        """Return milliseconds: half of the stall at first, later at most the stall, more only if allowed."""
        if self._long_try is not None:
            allowed, self._long_try = self._long_try, None
            return allowed
        return min(self._settings.max_stall, self._settings.max_stall * (0.5 + 0.1 * attempt))

    @contextmanager
    def _one_stall(self, lock: float) -> Iterator[None]:
        """Limit the sum of a transaction's waits to one stall, because its locked tables wait with it."""
        if self._connection is None or self._settings.allow_stall:
            yield
            return
        began = time.monotonic()

        def shorten() -> None:
            left = self._settings.max_stall - (time.monotonic() - began) * 1000
            if left < lock:
                limits = {"lock_timeout": max(left, min(lock, _SHORTEST_WAIT))}
                self._link.row(f"SELECT {', '.join(_calls(limits, local=True))}")
                if self._link.citus:
                    for statement in citus.heard(limits):
                        self._link.execute(statement)

        # A listener for each transaction would take as long as one of its statements.
        kept = self._connection.info
        if _BEFORE not in kept:
            from sqlalchemy import event

            event.listen(self._connection, "before_cursor_execute", _before)
        kept[_BEFORE] = shorten
        try:
            yield
        finally:
            kept[_BEFORE] = None

    @contextmanager
    def _nobody_waits(self) -> Iterator[None]:
        """Stop the block after somebody has waited for its locks for a whole stall."""
        if self._settings.allow_stall:
            yield
            return
        pid = self._link.server_process
        watch = Bystanders(self._second_connection, pid, self._settings.max_stall / 1000)
        try:
            with watch:
                yield
        except Exception as error:
            if not watch.waiting or sqlstate(error) != STATEMENT_TIMEOUT:
                raise
            raise ApplicationStalled(
                f"This change of {self._target.shown} kept other sessions waiting for longer than"
                f" {self._settings.max_stall:g} ms, so the run stopped it. Waiting:"
                f" {'; '.join(watch.waiting)}.",
                untouched=ROLLED_BACK,
                next_step="Choose a quiet hour and add --allow-stall, or allow a longer wait: --max-stall MS.",
                waiting=list(watch.waiting),
            ) from error

    @contextmanager
    def _attended(self) -> Iterator[None]:
        """Report the progress of a long statement and the sessions it waits for; end it if the migration lock is lost.

        A concurrent build waits for every older transaction of the database, even without a connection to the table.
        """
        lost = list[MigrationLockLost]()
        pid = self._link.server_process
        beside = Overtime(_ATTEND, lambda: self._attend(pid, beside.over, lost), "diwa-schema-attend")
        try:
            with beside:
                yield
        except Exception as error:
            if lost:
                raise lost[0] from error
            raise

    def _attend(self, pid: int, over: threading.Event, lost: list[MigrationLockLost]) -> None:
        told = ""
        link = self._second_connection()
        if link is None:
            return
        try:
            with link:
                for looks in count():
                    if over.is_set():
                        break
                    self._lock.prove()
                    if (build := building(link, pid)) is not None:
                        self._progress.step(*build)
                    seldom = blocking_anywhere if looks % _SELDOM == 0 else blocking
                    names = "; ".join(str(blocker) for blocker in seldom(link, pid))
                    if names and names != told:
                        self._progress.say(f"waiting for {names} to end")
                        told = names
                    over.wait(_ATTEND)
        except MigrationLockLost as error:
            lost.append(error)
            self._link.raw.cancel()
        except Exception as error:
            if not is_driver_error(error):
                raise

    def _watch(self) -> Watch | None:
        link = self._second_connection()
        if link is None:
            return None
        return Watch(link, self._link.server_process, self._settings.max_stall / 1000 / 8)

    def _second_connection(self) -> Link | None:
        try:
            return self._target.connect("diwa-schema watch")
        except DatabaseUnreachable:
            return None  # no connection is left for the role: the run continues without the check

    def _meet_autovacuum(self, blockers: tuple[Blocker, ...], failure: Exception) -> None:
        """Let the next attempt interrupt autovacuum, which gives way only after deadlock_timeout."""
        workers = [blocker for blocker in blockers if blocker.autovacuum]
        if not workers or self._deadlock_timeout:
            return
        if self._link.value(_MAY_SET_DEADLOCK_TIMEOUT):
            self._progress.say(f"asking autovacuum to give way ({workers[0]})")
            self._deadlock_timeout = True
        elif self._settings.allow_stall:
            self._progress.say(
                f"waiting longer than the stall allows for autovacuum to give way ({workers[0]})"
            )
            self._long_try = 2000 * float(self._link.value(_DEADLOCK_TIMEOUT))
        else:
            role = self._link.value("SELECT current_user")
            raise TableLockBusy(
                f"Autovacuum works on a table that the run has to change ({workers[0]}). It gives way only"
                f" after deadlock_timeout, and role {role} may not lower that.",
                untouched=ROLLED_BACK,
                next_step="As a superuser: GRANT SET ON PARAMETER deadlock_timeout"
                f" TO {quoted(str(role))}; or add --allow-stall.",
                blockers=[str(worker) for worker in workers],
            ) from failure

    def _busy(self, blockers: tuple[Blocker, ...], failure: Exception) -> TableLockBusy:
        names = "; ".join(str(blocker) for blocker in blockers) or "a session that has ended meanwhile"
        return TableLockBusy(
            f"A table of {self._target.shown} stayed in use for {self._settings.lock_budget:g} s. In the way: {names}.",
            untouched=ROLLED_BACK,
            next_step="End that session or wait for it, then run the command again.",
            blockers=[str(blocker) for blocker in blockers],
            sqlstate=sqlstate(failure),
        )


_DEADLOCK_TIMEOUT = "SELECT setting::int / 1000.0 FROM pg_settings WHERE name = 'deadlock_timeout'"

# has_parameter_privilege and the grant exist since PostgreSQL 15.
_MAY_SET_DEADLOCK_TIMEOUT = "SELECT has_parameter_privilege('deadlock_timeout', 'SET')"


_BEFORE = "diwa_schema_before_a_statement"


def _before(connection: sa.Connection, *_: object) -> None:
    if (before := connection.info.get(_BEFORE)) is not None:
        before()


def _calls(limits: dict[str, float], *, local: bool) -> list[str]:
    # Rounded up, because 0 means "no limit" to the server.
    return [
        f"set_config('{name}', '{math.ceil(value)}ms', {str(local).lower()})"
        for name, value in limits.items()
    ]


def _pause(attempt: int) -> float:
    """Return seconds: full jitter above a minimum, so that attempts take a small part of the time."""
    return 0.1 + random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - jitter


def _waiting(blockers: tuple[Blocker, ...], pause: float) -> str:
    names = "; ".join(str(blocker) for blocker in blockers) or "somebody"
    return f"a table is in use by {names}; trying again in {pause:.1f} s"
