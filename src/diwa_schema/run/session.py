"""The common sequence of every change of a database; a verb adds only its decision and its work.

    rehearse → connect → look → decide → lock → look → decide → Alembic's lock → work → ledger → prove → report

*Rehearse*: if the SQLite file does not exist yet, an empty database in memory takes its place, so that a refusal leaves
no file behind.
*Look and decide twice*: the first decision avoids the lock if there is nothing to do, and refuses early. Only the
second decision counts, because another run may change the state until the lock is held.
*Work* happens in short pieces (`run/pace.py`). A change of the state, the version row and the ledger's entry are one
transaction, so a killed run leaves either all of them or none.
*Prove*: a separate connection reads back what was written. A foreign transaction, a proxy or a pooler can lose a commit
without an error.

Most runs have nothing to do. Modules that only a change needs are loaded only for a change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from diwa_schema.database import bookkeeping
from diwa_schema.database.bookkeeping import Bookkeeping
from diwa_schema.database.failures import connection_lost, explain, is_driver_error
from diwa_schema.database.ledger import Run, how
from diwa_schema.database.spelling import mask
from diwa_schema.database.state import LEDGER, State, refuse_elsewhere
from diwa_schema.errors import (
    RESUMES,
    ROLLED_BACK,
    DatabaseProtected,
    DatabaseReadOnly,
    DatabaseUnreachable,
    DiwaSchemaError,
    MigrationFailed,
    NotPersisted,
    command,
)
from diwa_schema.run import interruption
from diwa_schema.run.settings import Applied, Progress, Report, Settings

if TYPE_CHECKING:
    import psycopg

    from diwa_schema.database.link import Link
    from diwa_schema.database.lock import MigrationLock
    from diwa_schema.database.target import Target
    from diwa_schema.guard import Verdict
    from diwa_schema.run.change import Change

_RECONNECT = 2.0  # seconds


class Look(NamedTuple):
    """One reading of a database, on which a verb decides.

    Args:
        link: The connection for the changes.
        state: The state of the database.
    """

    link: Link
    state: State

    @property
    def books(self) -> Bookkeeping:
        """The package's own tables of the schema."""
        return Bookkeeping(self.link, self.state.schema)

    @property
    def shown(self) -> str:
        """The masked URL, for messages."""
        return self.link.shown

    def left(self, kind: str) -> bool:
        """Return whether the last run of a kind did not record its end; there may be nothing left to do but that."""
        if LEDGER not in self.state.tables:
            return False
        last = self.books.ledger.latest((kind,)).get(kind)
        return last is not None and last["outcome"] != "applied"


class Verb(NamedTuple):
    """One kind of change, as the ledger names it.

    Args:
        kind: Its name.
        direction: upgrade or downgrade.
        forced: Whether a check was overridden.
        anywhere: Whether it may begin without the schema, or if another schema has the version table.
        tables: Whether it changes tables, so that Ecto's migrator is kept out. A change of only their owner must not
            keep it out: it would wait for the lock on Ecto's list that this same run holds.
    """

    kind: str
    direction: str = "upgrade"
    forced: bool = False
    anywhere: bool = False
    tables: bool = True


class Written(NamedTuple):
    """The result of a verb's work.

    Args:
        after: The present revision of the version row; None for base.
        entries: The number of this run's entries in the ledger.
        applied: The revisions, for the report.
        notes: The sentences for the end of the run, for the report.
    """

    after: str | None
    entries: int
    applied: tuple[Applied, ...] = ()
    notes: tuple[str, ...] = ()


D = TypeVar("D")


class Session(NamedTuple):
    """The environment of a run.

    Args:
        target: The database, and the schema in it.
        verdict: The guard's permission, recorded in the ledger.
        settings: The timeouts and safety limits of the run.
        progress: The receiver of progress reports.
        renew: The role whose idle sessions are ended after a change; None for nobody's.
    """

    target: Target
    verdict: Verdict
    settings: Settings
    progress: Progress
    renew: str | None = None

    def change(
        self, verb: Verb, decide: Callable[[Look], D | None], work: Callable[[Change, D], Written]
    ) -> Report:
        """Change the database with the common sequence of the module.

        Args:
            verb: The kind of the change.
            decide: Returns the plan for a look, or raises an error; called before and under the lock.
            work: Does the work, and returns its result.

        Raises:
            DiwaSchemaError: See its class; unfinished work is rolled back.
        """
        interruption.at("before the run changed anything")
        if self.target.absent and not self._rehearsed(verb, decide):
            return Report(self.target.url.shown, None, None)
        with self._explained(), self.target.work() as link, self._heard(link):
            look = self._look(verb, link)
            before = look.state.revision
            if self.renew is not None:
                from diwa_schema.run import connections

                connections.refuse_role(link, self.renew)
            if decide(look) is None:
                return self._unchanged(link, before, before)
            from diwa_schema.run import connections
            from diwa_schema.run.adopt import ecto
            from diwa_schema.run.change import Change
            from diwa_schema.run.log import logged_run
            from diwa_schema.run.plan import Plan

            self._refuse_read_only(link)
            migrator = ecto.MigratorKeptOut(
                self.target, look.books, look.state, self.settings.lock_wait, self.progress, self._waits
            )
            with (
                self._locked(link, look.state.schema) as held,
                migrator if verb.tables else nullcontext(),
            ):
                interruption.at("before the run changed anything")
                look = self._look(verb, link)
                decided = decide(look)
                if decided is None:
                    self.progress.say("another run has already finished this")
                    return self._unchanged(link, before, look.state.revision)
                self._close_unfinished(look)
                change = Change(self, look, held, self._run(verb))
                with (
                    connections.TypeWatch(
                        look,
                        self.progress,
                        back=verb.direction == "downgrade",
                        idle=isinstance(decided, Plan) and decided.keeps_types,
                    ) as watch,
                    logged_run(look.shown, look.state.schema, look.state.revision, change.run),
                    change.patience,
                ):
                    interruption.at_work()
                    written = work(change, decided)
                    interruption.at(
                        "after the last change", "The change is complete.", f"Run: {command('status')}"
                    )
                migrator.settle(written.after)
            run = change.run
            self._prove(look, run, written)
            report = Report(
                self.target.url.shown,
                look.state.revision,
                written.after,
                run.kind,
                written.applied,
                run.bypass,
                run.run_id,
                schema=self.target.schema,
                notes=written.notes,
            )
            return connections.told(report, link, self.renew, watch.seen(written.after))

    @contextmanager
    def _heard(self, link: Link) -> Iterator[None]:
        """Pass on the server's message about embeddings that stay bytes, once."""
        if link.dialect == "sqlite":
            yield
            return
        told: set[str] = set()

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            from diwa_schema.migrations import pgvector

            text = mask(notice.message_primary or "")
            if pgvector.BYTES in text and text not in told:
                told.add(text)
                self.progress.say(text)

        link.raw.add_notice_handler(hear)
        try:
            yield
        finally:
            link.raw.remove_notice_handler(hear)

    def _unchanged(self, link: Link, before: str | None, after: str | None) -> Report:
        report = Report(self.target.url.shown, before, after, schema=self.target.schema)
        if self.renew is None:
            return report
        from diwa_schema.run import connections

        return connections.told(report, link, self.renew)

    def _rehearsed(self, verb: Verb, decide: Callable[[Look], object]) -> bool:
        """If there is no file yet, decide on an empty database in memory; return whether there is work."""
        with self.target.connect(create=False) as link:
            return decide(self._look(verb, link)) is not None

    def _look(self, verb: Verb, link: Link) -> Look:
        state = bookkeeping.look(link)
        if not verb.anywhere:
            refuse_elsewhere(state, self.target.shown)
        if state.protected and self.verdict.bypass is not None:
            raise DatabaseProtected(
                f"{self.target.shown} is protected, and the bypass ({self.verdict.bypass.source}) does not open it.",
                next_step="Run the command in the diwa-cloud repository: cd ../diwa-cloud",
            )
        return Look(link, state)

    def _refuse_read_only(self, link: Link) -> None:
        """Raise an error if nothing can be written, before the attempt for a lock, which a replica cannot give."""
        if link.dialect == "sqlite":
            return  # the rights of the file show at the first write
        from diwa_schema.database import citus

        citus.refuse_worker(link)
        replica, setting = link.rows("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")[
            0
        ]
        if replica:
            raise DatabaseReadOnly(
                f"{self.target.shown} is a replica and can only be read.",
                next_step="Name the primary server.",
            )
        if setting == "on":
            raise DatabaseReadOnly(
                f"{self.target.shown} can only be read by this role: default_transaction_read_only is on.",
                next_step="Connect as another role. If this role is to write:"
                " ALTER ROLE ... RESET default_transaction_read_only; or ALTER DATABASE ... RESET ...;",
            )

    def _run(self, verb: Verb) -> Run:
        import uuid

        from diwa_schema import __version__

        bypass = self.verdict.bypass
        return Run(
            run_id=str(uuid.uuid4()),
            package_version=__version__,
            kind=verb.kind,
            direction=verb.direction,
            repository=self.verdict.repository,
            repository_role=str(self.verdict.role),
            bypass=bypass.source if bypass else None,
            bypass_reason=bypass.reason if bypass else None,
            forced=verb.forced,
        )

    @contextmanager
    def _locked(self, link: Link, schema: str) -> Iterator[MigrationLock]:
        from diwa_schema.database import lock

        # A lock taken through a pooler would stay in one of its sessions, and keep everybody out.
        held = lock.acquire(
            self.target,
            schema,
            self.settings.lock_wait,
            self._waits,
            check=lambda own: self._keep(own, link),
        )
        try:
            yield held
        finally:
            held.release()

    def _waits(self, line: str) -> None:
        """Report that the run waits for another one."""
        interruption.at_waiting(line)
        self.progress.say(line)

    def _keep(self, own: Link, link: Link) -> None:
        """Refuse a pooler that changes server processes; both connections are then known to keep theirs."""
        from diwa_schema.run import pooler

        through_pooler = not link.direct
        pooler.refuse(own, link, self.target.shown)
        for kept in (own, link):
            if through_pooler:
                kept.settle(pooled=True)

    def _close_unfinished(self, look: Look) -> None:
        """Report the end of the last run, and record it if that run could not; the lock excludes other runs."""
        if LEDGER not in look.state.tables:
            return
        ledger = look.books.ledger
        unfinished = ledger.unfinished()
        for entry in unfinished:
            self._tell_end(entry, "ended")
        if unfinished:
            ledger.close_unfinished()
        elif last := ledger.ended():
            self._tell_end(last, how(last))

    def _tell_end(self, entry: Mapping[str, Any], ended: str) -> None:
        since, revision = str(entry["started_at"])[:19], entry["revision"]
        inside = f" inside revision {revision}" if revision else f" inside its work ({entry['kind']})"
        finish = (
            "the server rolled the revision back, or this run finishes it"
            if revision
            else "the same command continues there"
        )
        self.progress.say(
            f"an earlier run of {entry['os_user']} on {entry['host']}, begun at {since}, {ended}{inside}; {finish}"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Translate a driver's error in the block into one of this package."""
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
                    next_step=RESUMES,
                ) from error
            raise explain(error, self.target.shown, "the run", ROLLED_BACK) from error

    def _prove(self, look: Look, run: Run, written: Written) -> None:
        if not written.entries:
            return
        with nullcontext(look.link) if self.target.in_memory else self._reconnect() as fresh:
            books = look.books.on(fresh)
            revision, count = fresh.rows(
                f"SELECT (SELECT min(version_num) FROM {books.version}), count(*) FROM {books.ledger.table}"
                " WHERE run_id = %s AND outcome = %s",
                (run.run_id, "applied"),
            )[0]
        if (revision, count) != (written.after, written.entries):
            raise NotPersisted(
                f"A fresh connection to {self.target.shown} sees revision {revision or 'base'} and a ledger"
                f" with {count} of this run's entries. The run wrote {written.after or 'base'} with {written.entries}.",
                untouched="The state of the database is unknown.",
                next_step=f"Run: {command('status')}, then {command('check')}",
            )

    def _reconnect(self) -> Link:
        # The lock's connection was closed a moment ago; the server may still count it against a role's limit.
        deadline = time.monotonic() + _RECONNECT
        while True:
            try:
                return self.target.connect()
            except DatabaseUnreachable as error:
                if time.monotonic() > deadline:
                    raise DatabaseUnreachable(
                        f"The run committed its changes and could not read them back: {error.what}",
                        untouched="The run undid nothing.",
                        next_step=f"When the server can be reached again, run: {command('status')}",
                        **error.facts,
                    ) from error
                time.sleep(0.05)
