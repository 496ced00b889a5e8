"""Dropping the tables of the models, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from diwa_schema.database import ledger, version
from diwa_schema.errors import SchemaForeign
from diwa_schema.migrations.manifest import load
from diwa_schema.names import quoted
from diwa_schema.run import losses
from diwa_schema.run.session import create_bookkeeping
from diwa_schema.run.settings import Report

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.run.session import Runner


def drop(runner: Runner, confirm: str | None) -> Report:
    """Drop the tables of the models in one transaction; the ledger stays and records it.

    Raises:
        UsageError: The tables have rows and their loss was not confirmed.
        DatabaseRefused: The tables are not this package's.
    """
    history = load()
    with runner.explained(), runner.target.work() as link:
        state = runner.look(link)
        version.refuse_unknown(state, history, link.shown)
        with runner.locked(link, state.schema) as held:
            state = runner.look(link)
            tables = [table for table in reversed(history.tables) if table in state.tables]
            if not tables:
                return Report(link.shown, state.revision, state.revision)
            lost = {table: losses.rows(link, state, table) for table in tables}
            losses.confirm(link, {name: count for name, count in lost.items() if count}, confirm, link.shown)
            _refuse_references(link, state, tables)
            create_bookkeeping(link, state)
            run = runner.ledger_run("drop", "downgrade")
            began, clock = ledger.now(), time.monotonic()

            def work(_: object) -> None:
                for table in tables:
                    link.execute(f"DROP TABLE {quoted(state.schema)}.{quoted(table)}")
                if state.revision is not None:
                    version.advance(link, state.revision, None, None)
                ledger.record(link, run, [(None, None)], began, round((time.monotonic() - clock) * 1000))

            runner.pace(link, held, state.schema).short(work)
        runner.prove(link, state.schema, run, None, 1)
        return Report(link.shown, state.revision, None, run.kind, run_id=run.run_id)


def _refuse_references(link: Link, state: version.State, tables: list[str]) -> None:
    """Raise when a table that is not ours points at one of ours."""
    if link.dialect == "sqlite":
        return
    foreign = link.rows(
        "SELECT DISTINCT c.conrelid::regclass::text FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid"
        " JOIN pg_class r ON r.oid = c.conrelid"
        " WHERE c.contype = 'f' AND t.relnamespace = %s::regnamespace AND t.relname = ANY(%s)"
        " AND NOT (r.relnamespace = t.relnamespace AND r.relname = ANY(%s)) ORDER BY 1",
        (quoted(state.schema), tables, tables),
    )
    if foreign:
        names = ", ".join(row[0] for row in foreign)
        raise SchemaForeign(
            f"Other tables refer to the ones that would be dropped: {names}.",
            next_step="Drop their foreign keys first, in the application they belong to.",
            tables=[row[0] for row in foreign],
        )
