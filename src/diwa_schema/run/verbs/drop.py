"""Dropping the tables of the models and the package's additional tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from diwa_schema.database.state import refuse_unknown
from diwa_schema.errors import SchemaForeign
from diwa_schema.migrations.manifest import KEPT, load
from diwa_schema.models import inherited, searched
from diwa_schema.models.filled import FILLINGS
from diwa_schema.names import qualified, quoted
from diwa_schema.run import losses, preflight
from diwa_schema.run.adopt import ecto
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Report

if TYPE_CHECKING:
    from diwa_schema.run.change import Change


def drop(session: Session, confirm: str | None) -> Report:
    """Drop the tables of the models and those set aside or kept beside them; the ledger stays and records it.

    Raises:
        UsageError: The tables have rows and their loss was not confirmed.
        DatabaseRefused: The tables are not this package's, or others refer to them.
    """
    history = load()

    def decide(look: Look) -> tuple[str, ...] | None:
        refuse_unknown(look.state, history, look.shown)
        there = losses.tables(look)
        kept = sorted(name for name in there if name.startswith(KEPT) or name in history.leftovers)
        ours = [name for name in reversed(history.tables) if name in there]
        dropped = tuple(dict.fromkeys([*kept, *ours]))
        if not dropped:
            return None
        preflight.refuse_without_rights(look, dropped)
        losses.confirm(look, {name: losses.count(look, name) for name in dropped}, confirm)
        refuse_references(look, dropped)
        return dropped

    def work(change: Change, tables: tuple[str, ...]) -> Written:
        def drop_all() -> None:
            names = [qualified(change.state.schema, table) for table in tables]
            # One statement, because the tables refer to each other; SQLite drops one at a time without a check.
            for listed in names if change.link.dialect == "sqlite" else [", ".join(names)]:
                change.link.execute(f"DROP TABLE {listed}")
            for statement in _beside(change.link.dialect, change.state.schema):
                change.link.execute(statement)
            keeper = ecto.Keeper.of(change.books, change.state)
            for step in history:
                keeper.record(step.revision, applied=False)
            keeper.release()

        change.at_once(drop_all, after=None)
        change.tell_lodging()
        return Written(None, 1)

    return session.change(Verb("drop", "downgrade"), decide, work)


def _beside(dialect: str, schema: str) -> Iterator[str]:
    """Yield the statements that drop the objects beside the tables."""
    if dialect == "sqlite":
        yield from searched.drop()
        return
    for filling in FILLINGS:
        yield filling.drop_function(f"{quoted(schema)}.")
    yield f"DROP FUNCTION IF EXISTS {qualified(schema, inherited.FUNCTION)}()"


def refuse_references(look: Look, tables: tuple[str, ...]) -> None:
    """Raise an error if a foreign table refers to a table of the schema."""
    if look.link.dialect == "sqlite":
        return
    foreign = look.link.rows(
        "SELECT DISTINCT c.conrelid::regclass::text FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid"
        " JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_class r ON r.oid = c.conrelid"
        " WHERE c.contype = 'f' AND n.nspname = %s AND t.relname = ANY(%s)"
        " AND NOT (r.relnamespace = t.relnamespace AND r.relname = ANY(%s)) ORDER BY 1",
        (look.state.schema, list(tables), list(tables)),
    )
    if foreign:
        names = ", ".join(row[0] for row in foreign)
        raise SchemaForeign(
            f"Foreign keys of other tables refer to these tables: {names}.",
            next_step="Drop these foreign keys first, with the application that owns them.",
            tables=[row[0] for row in foreign],
        )
