"""Running revisions one after the other: the only part of a run that needs Alembic."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

from diwa_schema.database.failures import connection_lost, explain, is_driver_error
from diwa_schema.database.lock import fenced
from diwa_schema.errors import (
    RESUMES,
    ROLLED_BACK,
    DiwaSchemaError,
    MigrationFailed,
    MigrationLockLost,
    command,
)
from diwa_schema.migrations.manifest import Revision
from diwa_schema.migrations.revisions import load
from diwa_schema.names import amount
from diwa_schema.run import interruption
from diwa_schema.run.adopt import ecto
from diwa_schema.run.log import span
from diwa_schema.run.plan import Plan
from diwa_schema.run.session import Written
from diwa_schema.run.settings import Applied

if TYPE_CHECKING:
    from diwa_schema.run.change import Change


class Replay:
    """The work that applies or reverses the revisions of a plan.

    Args:
        change: The change of the work.
        plan: The plan.
    """

    def __init__(self, change: Change, plan: Plan) -> None:
        self._change = change
        self._plan = plan
        self._keeper = ecto.Keeper.of(change.books, change.state)
        self._shown = change.look.shown
        self._done = 0

    def run(self) -> Written:
        """Run the plan's revisions, each in its own transaction with its version row and ledger entry.

        Raises:
            DiwaSchemaError: A revision failed and was rolled back; the revisions before it stay applied.
        """
        change, revisions = self._change, self._plan.revisions
        change.create_books()
        progress, done = change.session.progress, []
        with change.op():
            for number, revision in enumerate(revisions, 1):
                name = f"{revision.revision} {revision.slug}"
                progress.revision(name, number, len(revisions))
                with span(
                    f"diwa_schema revision {revision.revision}",
                    revision=revision.revision,
                    slug=revision.slug,
                ):
                    self._done = number - 1
                    self._at(revision)
                    done.append(self._one(revision))
                    self._done = number
                    interruption.at("between two revisions", self._finished(), RESUMES)
                progress.done(name, done[-1].milliseconds)
        return Written(self._plan.after, len(done), tuple(done))

    def _at(self, revision: Revision) -> None:
        """Say that the run is inside a revision."""
        what = (
            "The run rolled the revision back."
            if revision.transactional
            else "The finished parts of the revision stay, and the next run finishes it."
        )
        interruption.at(
            f"in revision {revision.revision} ({revision.slug})",
            f"{what} {self._finished()}".rstrip(),
            RESUMES,
        )

    def _finished(self) -> str:
        """Return the fate of the revisions that this run has finished."""
        if not self._done:
            return ""
        state = "applied" if self._plan.direction == "upgrade" else "reversed"
        return f"{amount(self._done, 'revision', 'stays')} {state}."

    def _one(self, revision: Revision) -> Applied:
        pace = self._change.new_pace()
        began = time.monotonic()
        try:
            with self._change.begun(revision.revision, revision.sha256) as entry:

                def record() -> None:
                    self._record(revision, entry, _since(began), pace.lock_waits)

                module = load(revision)
                if revision.transactional:
                    pace.short(partial(self._whole, revision, self._function(module), record))
                else:
                    self._single_step(revision, module)
                    pace.short(lambda _: record())
        except Exception as error:
            raise self._explained(error, revision) from error
        return Applied(revision.revision, revision.slug, _since(began), pace.lock_waits)

    def _function(self, module: ModuleType) -> Callable[[], None]:
        return module.upgrade if self._plan.direction == "upgrade" else module.downgrade  # type: ignore[no-any-return]

    def _whole(
        self, revision: Revision, work: Callable[[], None], record: Callable[[], None], _: object
    ) -> None:
        self._at(revision)
        work()
        if not fenced(self._change.link, self._change.state.schema):
            raise MigrationFailed(
                f"Revision {revision.revision} ({revision.slug}) ended the transaction of the run.",
                untouched="The run did not write the version row. The committed steps stay.",
                next_step=(
                    "Remove COMMIT or autocommit_block from the revision, and remove its remains from"
                    f" {self._shown}."
                ),
                revision=revision.revision,
            )
        record()

    def _single_step(self, revision: Revision, module: ModuleType) -> None:
        work = self._function(module)
        with self._change.steps() as ran:
            work()
        # A downgrade may have nothing to do.
        if len(ran) > 1 or (work is module.upgrade and not ran):
            raise MigrationFailed(
                f"Revision {revision.revision} is declared as not transactional, and it ran {amount(len(ran), 'step')}"
                " instead of one.",
                untouched="The run did not write the version row. The next run finishes the revision.",
                next_step="Split the revision into revisions of one step each.",
            )

    def _record(self, revision: Revision, entry: int, took: int, lock_waits: int) -> None:
        up = self._plan.direction == "upgrade"
        before, after = revision.down_revision, revision.revision
        if not up:
            before, after = revision.revision, revision.down_revision  # type: ignore[assignment]
        if not self._change.books.advance(before, after):
            raise MigrationLockLost(
                f"The version row of {self._shown} is no longer at {before or 'base'}:"
                " another run has moved it.",
                untouched=f"The run rolled revision {revision.revision} back.",
                next_step=f"Run: {command('status')}",
            )
        self._keeper.record(revision.revision, applied=up)
        if after is None:
            self._keeper.release()
        elif before is None:
            self._keeper.keep()
        self._change.books.ledger.applied(entry, took, lock_waits)
        interruption.at_commit(f"revision {revision.revision} is")

    def _explained(self, error: Exception, revision: Revision) -> DiwaSchemaError:
        doing = f"Revision {revision.revision} ({revision.slug})"
        if isinstance(error, DiwaSchemaError):
            return error
        if is_driver_error(error) and not connection_lost(error):
            return explain(error, self._shown, doing, ROLLED_BACK)
        reason = "the connection ended" if is_driver_error(error) else f"{type(error).__name__}: {error}"
        return MigrationFailed(
            f"{doing} failed on {self._shown}: {reason}.",
            untouched="The run rolled the revision back. The revisions before it stay applied.",
            next_step="Run the command again; it resumes there.",
            revision=revision.revision,
        )


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
