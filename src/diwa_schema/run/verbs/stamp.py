"""Recording a revision without running it, after looking whether the database can be there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from diwa_schema.database import ledger, version
from diwa_schema.drift import check
from diwa_schema.errors import DatabaseRefused, UsageError, command
from diwa_schema.migrations.manifest import load
from diwa_schema.run.adopt import ecto
from diwa_schema.run.session import create_bookkeeping
from diwa_schema.run.settings import Applied, Report

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.run.session import Runner


def stamp(runner: Runner, name: str, *, force: bool) -> Report:
    """Record a revision in the version table and the ledger, one entry for each revision it stands for.

    Raises:
        DatabaseRefused: Tables or columns of the revision are missing, and `force` is not set.
        UnknownRevision: The history has no such revision.
    """
    history = load()

    def decide(state: version.State, link: Link) -> str:
        revision = history.resolve(name, state.revision if state.revision in history else None)
        if revision is None:
            raise UsageError(
                "A database cannot be stamped as base.", next_step=f"Run: {command('downgrade base')}"
            )
        missing = _missing(link, revision)
        if missing and not force:
            raise _refusal(link.shown, revision, missing)
        return revision

    runner.rehearse(decide)
    with runner.explained(), runner.target.work() as link:
        state = runner.look(link)
        revision = decide(state, link)
        with runner.locked(link, state.schema) as held:
            state = runner.look(link)
            if state.revision == revision:
                return Report(link.shown, revision, revision)
            create_bookkeeping(link, state)
            run = runner.ledger_run("stamp", forced=force)
            steps = history.until(revision)
            began, clock = ledger.now(), time.monotonic()

            def work(_: object) -> None:
                link.execute(f"DELETE FROM {version.VERSION}")
                version.advance(link, None, revision, history.floor(revision))
                keeper = ecto.Keeper.of(state)
                for step in history:
                    keeper.record(link, step.revision, applied=step.revision <= revision)
                entries = [(step.revision, step.sha256) for step in steps]
                ledger.record(link, run, entries, began, round((time.monotonic() - clock) * 1000))

            runner.pace(link, held, state.schema).short(work)
        runner.prove(link, state.schema, run, revision, len(steps))
        applied = tuple(Applied(step.revision, step.slug, 0) for step in steps)
        return Report(link.shown, state.revision, revision, run.kind, applied, run.bypass, run.run_id)


def _missing(link: Link, revision: str) -> list[str]:
    """Return the tables and columns of a revision that the database does not have."""
    found = check.compare_at(link, revision)
    return [
        f"{one.kind} {f'{one.table}.' if one.kind == 'column' else ''}{one.object}"
        for one in found
        if one.problem == "missing" and one.kind in ("table", "column")
    ]


def _refusal(shown: str, revision: str, missing: list[str]) -> DatabaseRefused:
    listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")  # noqa: PLR2004 - as many as fit a line
    return DatabaseRefused(
        f"{shown} is not at revision {revision}: it has no {listed}.",
        next_step=f"Run {command('upgrade')} to apply the revisions; --force records it all the same.",
        revision=revision,
        missing=missing,
    )
