"""The record of work that is not one transaction: its start, committed before it, and its end.

A kill ends such work in the middle. The entry of the start then tells the next run, `status`, `check` and `doctor` what
was interrupted. Work in one transaction needs no such entry: a kill leaves nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from diwa_schema.database.failures import cause, connection_lost, is_driver_error, lost, sqlstate
from diwa_schema.database.lock import AdvisoryLock
from diwa_schema.run.interruption import cause_of

if TYPE_CHECKING:
    from diwa_schema.database.bookkeeping import Bookkeeping
    from diwa_schema.database.ledger import Run
    from diwa_schema.database.link import Link
    from diwa_schema.database.lock import MigrationLock


class Journal:
    """The ledger of a change, on a connection on which a rollback of the work undoes nothing.

    That is the lock's connection, which has no transaction. SQLite has one writer, so there an entry is written before
    the work begins.

    Args:
        books: The package's own tables, on the connection of the work.
        held: The migration lock.
    """

    def __init__(self, books: Bookkeeping, held: MigrationLock) -> None:
        self._work: Link = books.link
        self._link = held.link if isinstance(held, AdvisoryLock) else books.link
        self._ledger = books.on(self._link).ledger

    @contextmanager
    def begun(
        self, run: Run, revision: str | None, checksum: str | None, lock_waits: Callable[[], int]
    ) -> Iterator[int]:
        """Record the start of the block's work, and its end unless the block records that it was applied.

        Args:
            run: The common facts of the run's entries.
            revision: The revision of the work; None for work without one.
            checksum: The checksum of the revision.
            lock_waits: Returns the number of further attempts for a table lock so far.

        Yields:
            The entry's id.
        """
        entry = self._started(run, revision, checksum)
        try:
            yield entry
        except BaseException as error:
            self._ended(entry, error, lock_waits())
            raise

    def _started(self, run: Run, revision: str | None, checksum: str | None) -> int:
        try:
            return self._ledger.started(run, revision, checksum)
        except Exception as error:
            if self._link is not self._work and is_driver_error(error) and connection_lost(error):
                raise lost(self._work.shown) from error
            raise

    def _ended(self, entry: int, error: BaseException, lock_waits: int) -> None:
        origin = cause(error) if is_driver_error(error) else error
        outcome = "failed" if isinstance(error, Exception) else "interrupted"
        try:
            self._ledger.failed(entry, outcome, cause_of(origin), sqlstate(origin), lock_waits)
        except Exception as second:
            # The entry stays at "started", and the next run closes it; the first error is the one to report.
            if not is_driver_error(second):
                raise
