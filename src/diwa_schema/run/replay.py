"""Running revisions one after the other: the only part of a run that needs Alembic."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from alembic.runtime.migration import MigrationContext

from diwa_schema.database import ledger, version
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.failures import connection_lost, explain, is_driver_error
from diwa_schema.database.lock import AdvisoryLock, fenced, lost
from diwa_schema.errors import ROLLED_BACK, DiwaSchemaError, MigrationFailed, MigrationLockLost, command
from diwa_schema.migrations.manifest import load as load_manifest
from diwa_schema.migrations.revisions import ONE_AT_A_TIME, load, operations
from diwa_schema.migrations.steps.pace import PACE, STEPS
from diwa_schema.run.adopt import ecto
from diwa_schema.run.pace import Pace, describe_error
from diwa_schema.run.plan import Plan
from diwa_schema.run.settings import Applied

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.database.lock import MigrationLock
    from diwa_schema.migrations.manifest import Revision
    from diwa_schema.run.session import Runner


class Replay:
    """Applies or reverses the revisions of a plan on one connection.

    Args:
        runner: What every run works with.
        link: The connection that changes are made on.
        held: The migration lock.
        state: Where the database stands.
        run: What the ledger's entries have in common.
    """

    def __init__(
        self, runner: Runner, link: Link, held: MigrationLock, state: version.State, run: ledger.Run
    ) -> None:
        self._runner = runner
        self._link = link
        # The ledger's "started" is committed apart from the revision, so that it survives a rollback.
        self._journal = held.link if isinstance(held, AdvisoryLock) else link
        self._held = held
        self._schema = state.schema
        self._keeper = ecto.Keeper.of(state)
        self._run = run
        self._shown = runner.target.shown
        self._progress = runner.progress

    def run(self, plan: Plan) -> tuple[Applied, ...]:
        """Run the plan's revisions, each in its own transaction with its version row and ledger entry.

        Raises:
            DiwaSchemaError: A revision failed; those before it stay applied, the failed one is rolled back.
        """
        done = []
        with (
            ONE_AT_A_TIME,
            connection_over(self._link) as connection,
            operations(connection, {}) as context,
        ):
            for number, revision in enumerate(plan.revisions, 1):
                self._progress.revision(f"{revision.revision} {revision.slug}", number, len(plan.revisions))
                pace = self._runner.pace(self._link, self._held, self._schema, connection)
                done.append(self._one(plan, revision, context, pace))
                self._progress.done(f"{revision.revision} {revision.slug}", done[-1].milliseconds)
        return tuple(done)

    def _one(self, plan: Plan, revision: Revision, context: MigrationContext, pace: Pace) -> Applied:
        entry = self._started(revision)
        began = time.monotonic()
        try:
            module = load(revision)
            work = module.upgrade if plan.direction == "upgrade" else module.downgrade
            if revision.transactional:
                pace.short(lambda _: self._whole(plan, revision, work, entry, began, pace))
            else:
                _single_step(revision, context, work, module.upgrade, pace)
                pace.short(lambda _: self._record(plan, revision, entry, began, pace))
        except Exception as error:
            self._journal_failure(entry, error, pace.lock_waits)
            raise self._explained(error, revision) from error
        return Applied(revision.revision, revision.slug, _since(began), pace.lock_waits)

    def _started(self, revision: Revision) -> int:
        try:
            return ledger.started(self._journal, self._run, revision.revision, revision.sha256)
        except Exception as error:
            if isinstance(self._held, AdvisoryLock) and is_driver_error(error) and connection_lost(error):
                raise lost(self._shown) from error
            raise

    def _whole(
        self,
        plan: Plan,
        revision: Revision,
        work: Callable[[], None],
        entry: int,
        began: float,
        pace: Pace,
    ) -> None:
        work()
        if not fenced(self._link, self._schema):
            raise MigrationFailed(
                f"Revision {revision.revision} ({revision.slug}) ended the transaction that it runs in.",
                untouched="Its version row was not written; what it had committed by then is there.",
                next_step="Take COMMIT or autocommit_block out of the revision, and what it left out of"
                f" {self._shown}.",
                revision=revision.revision,
            )
        self._record(plan, revision, entry, began, pace)

    def _record(self, plan: Plan, revision: Revision, entry: int, began: float, pace: Pace) -> None:
        up = plan.direction == "upgrade"
        before, after = revision.down_revision, revision.revision
        if not up:
            before, after = revision.revision, revision.down_revision  # type: ignore[assignment]
        if not version.advance(self._link, before, after, load_manifest().floor(after)):
            raise MigrationLockLost(
                f"The version row of {self._shown} is not at {before or 'base'} any more:"
                " another run has moved it.",
                untouched=f"Revision {revision.revision} was rolled back.",
                next_step=f"Run: {command('status')}",
            )
        self._keeper.record(self._link, revision.revision, applied=up)
        ledger.applied(self._link, entry, _since(began), pace.lock_waits)

    def _journal_failure(self, entry: int, error: BaseException, lock_waits: int) -> None:
        name, state = describe_error(error)
        try:
            ledger.failed(self._journal, entry, name, state, lock_waits)
        except Exception as second:
            # The entry stays at "started", which says the same; the first error is the one to report.
            if not is_driver_error(second):
                raise

    def _explained(self, error: Exception, revision: Revision) -> DiwaSchemaError:
        doing = f"revision {revision.revision} ({revision.slug})"
        if isinstance(error, DiwaSchemaError):
            return error
        if is_driver_error(error) and not connection_lost(error):
            return explain(error, self._shown, doing, ROLLED_BACK)
        reason = "the connection ended" if is_driver_error(error) else f"{type(error).__name__}: {error}"
        return MigrationFailed(
            f"In {doing} on {self._shown}: {reason}.",
            untouched="The revision was rolled back; those before it stay applied.",
            next_step="Run the same command again: it goes on from there.",
            revision=revision.revision,
        )


def _single_step(
    revision: Revision,
    context: MigrationContext,
    work: Callable[[], None],
    upgrade: Callable[[], None],
    pace: Pace,
) -> None:
    # On the way back there may be nothing to do.
    steps: list[str] = []
    context.opts |= {PACE: pace, STEPS: steps}
    try:
        work()
    finally:
        del context.opts[PACE], context.opts[STEPS]
    if len(steps) > 1 or (work is upgrade and not steps):
        raise MigrationFailed(
            f"Revision {revision.revision} is declared as not transactional and ran {len(steps)} steps, not one.",
            untouched="Its version row was not written; running it again finishes it.",
            next_step="Split the revision, one step each.",
        )


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
