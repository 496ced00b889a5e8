"""Building the word index of memories on SQLite; PostgreSQL already has its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.pace import dialect, ground, offline, step
from diwa_schema.models import searched


@step
def keep_words() -> None:
    """Index the words of all memories in SQLite's FTS5, in one transaction; PostgreSQL does not change.

    A build of SQLite without FTS5 gets plain tables instead, with a message; printed SQL is for a build with FTS5.
    """
    if dialect() != "sqlite":
        return
    if offline():
        for statement in (*searched.create(possible=True), *searched.fill()):
            op.execute(lookup.verbatim(statement))
        return
    pace = ground().pace
    possible = pace.look(lambda connection: bool(connection.scalar(sa.text(searched.is_possible()))))

    def keep(connection: sa.Connection) -> None:
        if not lookup.table_exists(connection, searched.KEYS):
            for statement in (
                *searched.create(possible=possible),
                *(searched.fill() if possible else ()),
            ):
                connection.execute(sa.text(lookup.verbatim(statement)))

    pace.short(keep)
    if not possible:
        pace.say(
            "this SQLite has no FTS5, or does not trust its schema: words are looked for in the memories themselves, as"
            " before; run by one that has it, `diwa-schema check` prints what puts them where they are found at once"
        )


@step
def forget_words() -> None:
    """Drop SQLite's word index; the memories still contain all words."""
    if dialect() != "sqlite":
        return
    if offline():
        for statement in searched.drop():
            op.execute(statement)
        return

    def forget(connection: sa.Connection) -> None:
        for statement in searched.drop():
            connection.execute(sa.text(statement))

    ground().pace.short(forget)
