"""Recording a revision without running it, after a check of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diwa_schema.database.state import LEDGER
from diwa_schema.drift import check
from diwa_schema.errors import DatabaseRefused, UsageError, command
from diwa_schema.migrations.manifest import Revision, load
from diwa_schema.run.adopt import ecto
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Applied, Report

if TYPE_CHECKING:
    from diwa_schema.run.change import Change

_SHOWN = 5


def stamp(session: Session, name: str, *, force: bool) -> Report:
    """Record a revision in the version table and the ledger, one entry for each revision that they did not have.

    Raises:
        DatabaseRefused: Tables or columns of the revision are missing, and `force` is not set.
        UnknownRevision: The history has no such revision.
    """
    history = load()

    def decide(look: Look) -> str | None:
        state = look.state
        revision = history.resolve(name, state.revision if state.revision in history else None)
        if revision is None:
            raise UsageError(
                "The command stamp cannot record base.", next_step=f"Run: {command('downgrade base')}"
            )
        if [revision] == [found for found, _ in state.versions]:
            return None
        if not force:
            _refuse_missing(look, revision)
        return revision

    def work(change: Change, revision: str) -> Written:
        steps = _unrecorded(change, revision)

        def record() -> None:
            keeper = ecto.Keeper.of(change.books, change.state)
            for step in history:
                keeper.record(step.revision, applied=step.revision <= revision)

        entries = [(step.revision, step.sha256) for step in steps]
        change.at_once(record, after=revision, entries=entries)
        applied = tuple(Applied(step.revision, step.slug, 0) for step in steps)
        return Written(revision, len(steps), applied, _meaning(change.state.revision, revision))

    return session.change(Verb("stamp", forced=force), decide, work)


def _unrecorded(change: Change, revision: str) -> Sequence[Revision]:
    """Return the revisions to record: those that the ledger does not hold yet as a part of this schema.

    The checksum of a revision that was applied stays as it is: a stamp applies nothing. On the way back nothing is new,
    and the entry is that of the stamped revision.
    """
    before, steps = change.state.revision, load().until(revision)
    if before is None or before not in load():
        return steps
    held = change.books.ledger.checksums() if LEDGER in change.state.tables else {}
    return [one for one in steps if one.revision > before or one.revision not in held] or steps[-1:]


def _meaning(before: str | None, revision: str) -> tuple[str, ...]:
    """Return what the recorded revision means for the next run, and the way back."""
    history = load()
    if before not in history or history.position(revision) >= history.position(before):
        return ("The command ran no revision and changed no table of the models.",)
    return (
        "The command ran no revision and changed no table. The next upgrade runs the later revisions again.",
        f"To return, run: {command(f'stamp {before}')}",
    )


def _refuse_missing(look: Look, revision: str) -> None:
    missing = [
        f"{one.kind} {f'{one.table}.' if one.kind == 'column' else ''}{one.object}"
        for one in check.compare_at(look.link, revision)
        if one.problem == "missing" and one.kind in ("table", "column")
    ]
    if not missing:
        return
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    raise DatabaseRefused(
        f"{look.shown} is not at revision {revision}: it has no {', '.join(missing[:_SHOWN])}{more}.",
        next_step=f"To apply the revisions, run: {command('upgrade')}. To record the revision anyway, add --force",
        revision=revision,
        missing=missing,
    )
