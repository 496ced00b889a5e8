"""A running change: what a verb's work uses under the migration lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from diwa_schema.database.bookkeeping import Bookkeeping
from diwa_schema.database.ledger import Run, now
from diwa_schema.database.state import LEDGER, State
from diwa_schema.run import interruption
from diwa_schema.run.journal import Journal
from diwa_schema.run.pace import Pace, Patience

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.runtime.migration import MigrationContext

    from diwa_schema.database.ledger import Entry
    from diwa_schema.database.link import Link
    from diwa_schema.database.lock import MigrationLock
    from diwa_schema.run.session import Look, Session


class Change:
    """A running change: the argument of a verb's work, under the lock.

    Args:
        session: The environment of the run.
        look: The look of the decision under the lock.
        held: The migration lock.
        run: The common facts of the ledger's entries.
    """

    def __init__(self, session: Session, look: Look, held: MigrationLock, run: Run) -> None:
        self.session = session
        self.look = look
        self.held = held
        self.run = run
        self.connection: sa.Connection | None = None
        self.context: MigrationContext | None = None
        self.began = now()
        self.entry: int | None = None
        self.clock = time.monotonic()
        self.patience = Patience(look.link)
        self.new_pace()  # without a connection of SQLAlchemy, which most verbs do not need

    @contextmanager
    def op(self) -> Iterator[None]:
        """Bind Alembic's `op` to the connection for the block; other threads of the process wait."""
        from diwa_schema.database.alchemy import connection_over
        from diwa_schema.migrations.revisions import operations
        from diwa_schema.migrations.steps import lookup

        with connection_over(self.link) as connection, operations(connection, {}) as context:
            if self.link.dialect == "postgresql":
                lookup.remember_schema(connection, self.state.schema)
            self.connection, self.context = connection, context
            self.new_pace()
            try:
                yield
            finally:
                self.connection = self.context = None
                self.new_pace()

    @property
    def link(self) -> Link:
        """The connection of the changes."""
        return self.look.link

    @property
    def state(self) -> State:
        """The state of the database before the work."""
        return self.look.state

    @property
    def books(self) -> Bookkeeping:
        """The package's own tables."""
        return self.look.books

    def tell_lodging(self) -> None:
        """Report an extension of the embeddings that a tenant's drop would drop, with the statement that moves it."""
        from diwa_schema.migrations import pgvector

        said = None if self.link.dialect == "sqlite" else pgvector.warning(self.link)
        if said:
            self.session.progress.say(said)

    @property
    def paced(self) -> Pace:
        """The pace of work in pieces; the ledger has the start of that work."""
        assert self.entry is not None  # noqa: S101 - a kill between two pieces would leave no trace
        return self._pace

    @contextmanager
    def begun(self, revision: str | None = None, checksum: str | None = None) -> Iterator[int]:
        """Record the start of the block's work in pieces, and its end if it fails.

        `at_once` in the block records that it was applied.

        Args:
            revision: The revision of the work; None for work without one.
            checksum: The checksum of the revision.

        Yields:
            The id of the ledger's entry.
        """
        self.create_books(LEDGER)
        with self._journal.begun(self.run, revision, checksum, lambda: self._pace.lock_waits) as entry:
            self.entry = entry
            if revision is None:
                interruption.at("in its work", interruption.PARTS_STAY, interruption.AGAIN)
            try:
                yield entry
            finally:
                self.entry = None

    def create_books(self, *only: str) -> None:
        """Create the package's own tables, by default all of them, in a transaction before the work."""
        missing = self.books.missing(self.state, only)
        if not missing:
            return
        with self.link.transaction():
            self.books.create(self.state, missing)
        there = self.state._replace(tables=self.state.tables | set(missing))
        self.look = self.look._replace(state=there)

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self.books, self.held)

    def new_pace(self) -> Pace:
        """Return a pace for the next pieces of work, with its own count of lock waits."""
        session = self.session
        self._pace = Pace(
            session.target,
            self.link,
            self.connection,
            self.held,
            self.state.schema,
            session.settings,
            session.progress,
            self.patience,
        )
        return self._pace

    @contextmanager
    def steps(self) -> Iterator[list[str]]:
        """Let the steps of a revision work in pieces within the block; yield the names of executed steps."""
        from diwa_schema.migrations.steps.pace import PACE, STEPS

        assert self.context is not None  # noqa: S101 - steps call `op`, so this is inside its block
        ran: list[str] = []
        self.context.opts |= {PACE: self.paced, STEPS: ran}
        try:
            yield ran
        finally:
            del self.context.opts[PACE], self.context.opts[STEPS]

    def at_once(
        self,
        work: Callable[[], object],
        *,
        after: str | None,
        entries: Sequence[Entry] = ((None, None),),
        timeout: float | None = None,
        record: bool = True,
        unseen: bool = False,
        first: Callable[[], object] = lambda: None,
    ) -> int:
        """Do the work in one short transaction, together with the version row and the ledger's entries.

        Args:
            work: The work; it is repeated as a whole if a table is in use.
            after: The new revision of the version row.
            entries: Its entries in the ledger.
            timeout: The longest time of one statement, in seconds; by default that of strong locks.
            record: Whether to write version row and entries; otherwise only the work is done. The entry of a start
                becomes the entry without a revision.
            unseen: Whether the work only creates tables, for which nobody can wait before the commit.
            first: The work before the creation of the package's own tables.

        Returns:
            Its duration, in milliseconds.
        """

        def transaction(_: object) -> int:
            if not record:
                work()
                return self.milliseconds()
            if self.entry is None:
                interruption.at("in its only transaction", "The run rolled it back: nothing was changed.")
            first()
            self.books.create(self.state)
            work()
            if after != self.state.revision or len(self.state.versions) > 1:
                self.books.set_version(after)
            self._record(entries)
            interruption.at_commit("the change is")
            return self.milliseconds()

        return self._pace.short(transaction, timeout=timeout, unseen=unseen)

    def _record(self, entries: Sequence[Entry]) -> None:
        ledger, took = self.books.ledger, self.milliseconds()
        if self.entry is not None:
            ledger.applied(self.entry, took, self._pace.lock_waits)
            entries = [one for one in entries if one != (None, None)]
        if entries:
            ledger.record(self.run, entries, self.began, took)

    def milliseconds(self) -> int:
        """Return the duration of the work so far."""
        return round((time.monotonic() - self.clock) * 1000)
