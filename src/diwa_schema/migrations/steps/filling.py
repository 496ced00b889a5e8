"""Creating and dropping the triggers that fill columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.pace import dialect, ground, offline
from diwa_schema.models.filled import FILLINGS, Filling
from diwa_schema.names import quoted


def place(filling: Filling) -> None:
    """Make the database fill a column of every row that is written from now on.

    The table is locked for a moment. All earlier writers have ended by then, so a later reader sees the last row that
    was not filled.
    """
    _send(filling.create_on_sqlite(), filling.create)


def take_away(filling: Filling) -> None:
    """Stop filling a column; an absent object is skipped."""
    _send(filling.drop_on_sqlite(), filling.drop)


def of(table: str, column: str) -> Filling:
    """Return the filling of a column."""
    return next(one for one in FILLINGS if (one.table, one.column) == (table, column))


def own_schema(connection: sa.Connection) -> str:
    """Return the schema of the steps, quoted and with its dot; empty on SQLite."""
    return f"{quoted(lookup.current_schema(connection))}." if connection.dialect.name == "postgresql" else ""


def _send(lite: Iterable[str], statements: Callable[[str], Iterable[str]]) -> None:
    if offline():
        for statement in lite if dialect() == "sqlite" else statements(""):
            op.execute(lookup.verbatim(statement))
        return

    def work(connection: sa.Connection) -> None:
        here = lite if dialect() == "sqlite" else statements(own_schema(connection))
        for statement in here:
            connection.execute(sa.text(lookup.verbatim(statement)))

    ground().pace.short(work)
