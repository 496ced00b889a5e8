"""A run from beginning to end: look, lock, look again, change, prove."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diwa_schema.database import ledger, lock, version
from diwa_schema.database.failures import connection_lost, explain, is_driver_error
from diwa_schema.errors import (
    ROLLED_BACK,
    DatabaseUnreachable,
    DiwaSchemaError,
    MigrationFailed,
    NotPersisted,
    command,
)
from diwa_schema.migrations import manifest as manifests
from diwa_schema.run import integrity, pooler, stalls
from diwa_schema.run import plan as planning
from diwa_schema.run.settings import Applied, Progress, Report, Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from diwa_schema.database.link import Link
    from diwa_schema.database.target import Target
    from diwa_schema.guard import Verdict
    from diwa_schema.run.pace import Pace
    from diwa_schema.run.plan import Plan

Decide = Callable[[version.State, "Link"], "Plan"]

_RECONNECT = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Runner:
    """What every kind of run works with.

    Args:
        target: The database.
        verdict: The guard's permission, recorded in the ledger.
        settings: How patient the run is.
        progress: Who is told.
    """

    target: Target
    verdict: Verdict
    settings: Settings
    progress: Progress

    def upgrade(self, revision: str) -> Report:
        """Bring the database up to a revision."""
        history = manifests.load()
        installed = integrity.installed(history)

        def decide(state: version.State, link: Link) -> Plan:
            decided = planning.upgrade(
                state, history, revision, self.target.shown, replay=self.settings.replay
            )
            integrity.verify(link, state, history, installed)
            return self._within_stall(decided, link, state)

        return self._run(decide)

    def downgrade(self, revision: str, confirm: str | None = None) -> Report:
        """Reverse revisions down to one; where rows would be lost, `confirm` must be the database's name."""
        from diwa_schema.run import losses

        history = manifests.load()

        def decide(state: version.State, link: Link) -> Plan:
            decided = planning.downgrade(state, history, revision, self.target.shown)
            losses.confirm(link, losses.of(link, state, decided.revisions), confirm, self.target.shown)
            return self._within_stall(decided, link, state)

        return self._run(decide)

    def _within_stall(self, decided: Plan, link: Link, state: version.State) -> Plan:
        noted = stalls.noted(decided, link, state, self.settings.max_stall)
        if not self.settings.allow_stall:
            stalls.refuse(noted)
        return noted

    def _run(self, decide: Decide) -> Report:
        self.rehearse(decide)
        with self.explained(), self.target.work() as link:
            state = self.look(link)
            before = state.revision
            decided = decide(state, link)
            if not decided.revisions:
                return Report(self.target.shown, before, before)
            with self.locked(link, state.schema) as held:
                state = self.look(link)
                decided = decide(state, link)
                if not decided.revisions:
                    self.progress.say("another run has already done it")
                    return Report(self.target.shown, before, state.revision)
                run = self.ledger_run("snapshot" if decided.snapshot else "migrate", decided.direction)
                applied = self._change(decided, link, held, state, run)
            self.prove(link, state.schema, run, decided.after, len(applied))
            bypass = run.bypass
            return Report(
                self.target.shown, decided.before, decided.after, run.kind, applied, bypass, run.run_id
            )

    def rehearse(self, decide: Callable[[version.State, Link], object]) -> None:
        """Decide once beforehand where SQLite has no file yet: a refusal is not to leave an empty one behind."""
        if self.target.absent:
            with self.target.connect(create=False) as link:
                decide(self.look(link), link)

    def look(self, link: Link) -> version.State:
        """Read where the database stands, and refuse what the bypass may not reach."""
        state = version.read(link)
        planning.refuse_protected(state, self.verdict, self.target.shown)
        return state

    def ledger_run(self, kind: str, direction: str = "upgrade", *, forced: bool = False) -> ledger.Run:
        """Return what the ledger's entries of this run have in common."""
        from diwa_schema import __version__

        bypass = self.verdict.bypass
        return ledger.Run(
            package_version=__version__,
            kind=kind,
            direction=direction,
            repository=self.verdict.repository,
            repository_role=str(self.verdict.role),
            bypass=bypass.source if bypass else None,
            bypass_reason=bypass.reason if bypass else None,
            forced=forced,
        )

    @contextmanager
    def locked(self, link: Link, schema: str) -> Iterator[lock.MigrationLock]:
        """Hold the migration lock for the block.

        Raises:
            MigrationLockBusy: Another run held it for longer than the settings wait.
            TransactionPooler: The connection is one that cannot hold a lock.
        """
        # A lock that was tried for through a pooler would stay in one of its sessions, and keep everybody out.
        held = lock.acquire(
            self.target,
            schema,
            self.settings.lock_wait,
            self.progress.say,
            check=lambda own: self._keep(own, link),
        )
        try:
            yield held
        finally:
            held.release()

    def _keep(self, own: Link, link: Link) -> None:
        pooler.refuse(own, link, self.target.shown)
        # Both are idle for long: one while the other works, the other while it waits for another run.
        for kept in [own] if self.target.connection is not None else [own, link]:
            kept.execute("SET idle_session_timeout = 0")

    def pace(
        self, link: Link, held: lock.MigrationLock, schema: str, connection: sa.Connection | None = None
    ) -> Pace:
        """Return what runs pieces of work on a connection under this run's settings."""
        from diwa_schema.run.pace import Pace

        return Pace(self.target, link, connection, held, schema, self.settings, self.progress)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn a driver's error in the block into one of this package."""
        try:
            yield
        except DiwaSchemaError:
            raise
        except Exception as error:
            if not is_driver_error(error):
                raise
            if connection_lost(error):
                raise MigrationFailed(
                    f"The connection to {self.target.shown} ended.",
                    untouched=ROLLED_BACK,
                    next_step="Run the same command again: it goes on from where this run stopped.",
                ) from error
            raise explain(error, self.target.shown, "the run", ROLLED_BACK) from error

    def prove(self, link: Link, schema: str, run: ledger.Run, after: str | None, entries: int) -> None:
        """Read version and ledger back on a fresh connection.

        Raises:
            DatabaseUnreachable: No fresh connection could be made.
            NotPersisted: The database does not hold what the run wrote.
        """
        with self._fresh(link) as fresh:
            revision = fresh.value(f'SELECT version_num FROM "{schema}".{version.VERSION}')
            count = fresh.value(
                f'SELECT count(*) FROM "{schema}".{ledger.LEDGER} WHERE run_id = %s AND outcome = %s',
                (run.run_id, "applied"),
            )
        if (revision, count) != (after, entries):
            raise NotPersisted(
                f"A fresh connection to {self.target.shown} sees revision {revision or 'base'} with {count} ledger"
                f" entries of this run, where {after or 'base'} with {entries} were written.",
                untouched="What is there now is unknown.",
                next_step=f"Run: {command('status')}, then {command('check')}",
            )

    @contextmanager
    def _fresh(self, link: Link) -> Iterator[Link]:
        if self.target.in_memory:
            yield link
            return
        with self._reconnect() as fresh:
            yield fresh

    def _reconnect(self) -> Link:
        # The lock's connection was closed a moment ago: where a role may have few, the server still counts it.
        deadline = time.monotonic() + _RECONNECT
        while True:
            try:
                return self.target.connect()
            except DatabaseUnreachable as error:
                if time.monotonic() > deadline:
                    raise DatabaseUnreachable(
                        f"What this run has done is committed, but cannot be read back: {error.what}",
                        untouched="Nothing of it was undone.",
                        next_step=f"When the server can be reached again, run: {command('status')}",
                        **error.facts,
                    ) from error
                time.sleep(0.05)

    def _change(
        self, decided: Plan, link: Link, held: lock.MigrationLock, state: version.State, run: ledger.Run
    ) -> tuple[Applied, ...]:
        if decided.snapshot:
            from diwa_schema.run import snapshot

            return snapshot.apply(self, link, held, decided, state, run)
        from diwa_schema.run.replay import Replay

        create_bookkeeping(link, state)
        return Replay(self, link, held, state, run).run(decided)


def create_bookkeeping(link: Link, state: version.State) -> None:
    """Create the version table and the ledger where they are absent."""
    if {version.VERSION, ledger.LEDGER} <= state.tables:
        return
    with link.transaction():
        ledger.create(link)
        if version.VERSION not in state.tables:
            version.create(link)
