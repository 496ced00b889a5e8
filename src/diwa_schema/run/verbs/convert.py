"""What is done to a database when somebody asks for it, apart from its revisions: vectors and optional indexes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from diwa_schema.database import ledger, version
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.version import State
from diwa_schema.drift.optional import OPTIONAL, OptionalIndex
from diwa_schema.drift.postgresql.write import Writer
from diwa_schema.errors import DatabaseRefused, PermissionMissing, UsageError, command
from diwa_schema.migrations import pgvector, steps
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.revisions import ONE_AT_A_TIME, operations
from diwa_schema.migrations.steps.indexes import build_index
from diwa_schema.migrations.steps.pace import PACE, ground
from diwa_schema.run.settings import Report

if TYPE_CHECKING:
    import sqlalchemy as sa

    from diwa_schema.database.link import Link
    from diwa_schema.run.session import Runner

_EMBEDDINGS = ("memories", "embedding_cache")


def enable_vector(runner: Runner) -> Report:
    """Turn the embeddings of a database into vectors, now that it has pgvector; none is lost.

    Raises:
        DatabaseRefused: It has no pgvector and cannot get it, or is not at head.
    """

    def work(link: Link) -> None:
        link.execute(pgvector.CREATE)
        if pgvector.embedding_type(link) == "bytea":
            raise DatabaseRefused(
                f"{link.shown} has no pgvector, and this role cannot create it.",
                next_step="Install pgvector on the server; then, as a superuser: CREATE EXTENSION vector;",
            )
        for table in _EMBEDDINGS:
            steps.retype_embedding(table, to="vector")

    return _run(runner, work)


def enable_index(runner: Runner, name: str) -> Report:
    """Build an optional index while its table is in use; one that is there stays.

    Raises:
        UsageError: There is no optional index of that name.
        PermissionMissing: Its extension is absent, and the role cannot create it.
    """
    wanted = _optional(name)

    def work(link: Link) -> None:
        _need_extension(link, wanted)
        writer = Writer(str(link.value("SELECT current_schema()")))

        def build(connection: sa.Connection, concurrently: bool) -> None:
            connection.exec_driver_sql(writer.index(wanted.table, wanted.index, concurrently=concurrently))

        build_index(ground(), wanted.index.name, build)

    return _run(runner, work)


def disable_index(runner: Runner, name: str) -> Report:
    """Drop an optional index while its table is in use; where it is absent, nothing happens.

    Raises:
        UsageError: There is no optional index of that name.
    """
    wanted = _optional(name)
    return _run(runner, lambda _: steps.drop_index_concurrently(wanted.index.name, wanted.table))


def _optional(name: str) -> OptionalIndex:
    found = next((one for one in OPTIONAL if one.index.name == name), None)
    if found is None:
        names = ", ".join(one.index.name for one in OPTIONAL)
        raise UsageError(f"'{name}' is no optional index.", next_step=f"The optional indexes are: {names}.")
    return found


def _need_extension(link: Link, wanted: OptionalIndex) -> None:
    there = "SELECT 1 FROM pg_extension WHERE extname = %s"
    if link.value(there, (wanted.extension,)):
        return
    raise PermissionMissing(
        f"{wanted.index.name} needs the extension {wanted.extension}, which {link.shown} does not have.",
        next_step=f"As a superuser, in that database: CREATE EXTENSION {wanted.extension};",
    )


def _run(runner: Runner, work: Callable[[Link], None]) -> Report:
    """Run work under the migration lock and record it."""
    with runner.explained(), runner.target.work() as link:
        _refuse(runner, runner.look(link))
        with runner.locked(link, runner.look(link).schema) as held:
            state = runner.look(link)
            run = runner.ledger_run("convert")
            began, clock = ledger.now(), time.monotonic()
            with ONE_AT_A_TIME, connection_over(link) as connection:
                pace = runner.pace(link, held, state.schema, connection)
                with operations(connection, {PACE: pace}):
                    work(link)
                took = round((time.monotonic() - clock) * 1000)
                pace.short(lambda _: ledger.record(link, run, [(None, None)], began, took))
        runner.prove(link, state.schema, run, state.revision, 1)
        return Report(
            link.shown, state.revision, state.revision, run.kind, bypass=run.bypass, run_id=run.run_id
        )


def _refuse(runner: Runner, state: State) -> None:
    shown = runner.target.shown
    if runner.target.dialect == "sqlite":
        raise UsageError(f"{shown} is SQLite, which has neither vectors nor these indexes.")
    version.refuse_unknown(state, load(), shown)
    if state.revision != load().head:
        raise DatabaseRefused(
            f"{shown} is at {state.revision or 'base'}, not at head.", next_step=f"Run: {command('upgrade')}"
        )
