"""Rows that outlive their referenced row: the reference becomes NULL instead of blocking the deletion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from diwa_schema.migrations.steps import lookup, rebuild
from diwa_schema.migrations.steps.aside import kept_name
from diwa_schema.migrations.steps.constraints import set_not_null
from diwa_schema.migrations.steps.pace import dialect, ground, offline, step
from diwa_schema.names import amount

_IDENTITY = "REPLICA IDENTITY FULL"
_ACTIONS = {"SET NULL": "n", "NO ACTION": "a"}


@dataclass(frozen=True, slots=True)
class Outliving:
    """A reference that becomes NULL when the referenced row is deleted.

    Args:
        table: The table whose rows stay.
        column: The referring column.
        referent: The referenced table; the column refers to its id.
        items: On SQLite, a function that returns all columns and keys of the table; its argument says whether the
            reference may be NULL.
        beside: On SQLite, a function that returns the SQL of its indexes and triggers.
    """

    table: str
    column: str
    referent: str
    items: Callable[[bool], Sequence[SchemaItem]]
    beside: Callable[[], Sequence[str]]

    @property
    def key(self) -> str:
        """The foreign key, named in Ecto's way."""
        return f"{self.table}_{self.column}_fkey"


@step
def outlive(one: Outliving) -> None:
    """Let rows outlive their referenced row: no row is written, and existing rows are checked afterwards.

    Rows that `be_outlived` has set aside are restored.
    """
    if dialect() == "sqlite":
        rebuild.replace(one.table, one.items(True), one.beside())
    else:
        _exchange_key(one, "SET NULL", f"ALTER COLUMN {lookup.quoted(one.column)} DROP NOT NULL")
    _bring_back(one)


@step
def be_outlived(one: Outliving) -> None:
    """Forbid the deletion of referenced rows again.

    Rows with a NULL reference, which the older table cannot hold, are set aside in a separate table.
    """
    if dialect() == "postgresql":
        _exchange_key(one, "NO ACTION")
    _set_aside(one)
    if dialect() == "sqlite":
        rebuild.replace(one.table, one.items(False), one.beside())
    else:
        set_not_null(one.table, one.column)


def _exchange_key(one: Outliving, on_delete: str, *further: str) -> None:
    """Replace one foreign key by another in one transaction, so that there is always a key.

    Each change is a separate statement: Citus refuses a new constraint beside another change.
    """
    key = lookup.quoted(one.key)
    added = (
        f"ADD CONSTRAINT {key} FOREIGN KEY ({lookup.quoted(one.column)})"
        f" REFERENCES {lookup.quoted(one.referent)} (id) ON DELETE {on_delete}"
    )
    if offline():
        for change in (f"DROP CONSTRAINT IF EXISTS {key}", added, *further):
            op.execute(f"ALTER TABLE {lookup.quoted(one.table)} {change}")
        return
    on = ground()
    there = sa.text(
        "SELECT confdeltype, convalidated FROM pg_constraint"
        f" WHERE conrelid = {lookup.oid(one.table)} AND conname = {lookup.literal(one.key)}"
    )
    found = on.pace.look(lambda connection: connection.execute(there).first())
    done = found is not None and found[0] == _ACTIONS[on_delete]
    if not done:
        unchecked = " NOT VALID" if on.live else ""

        def exchange(connection: sa.Connection) -> None:
            table = lookup.qualified(connection, one.table)
            for change in (f"DROP CONSTRAINT IF EXISTS {key}", f"{added}{unchecked}", *further):
                connection.execute(sa.text(f"ALTER TABLE {table} {change}"))

        on.pace.short(exchange)
    if on.live and not (done and found is not None and found[1]):
        on.pace.long(
            lambda connection: connection.execute(
                sa.text(f"ALTER TABLE {lookup.qualified(connection, one.table)} VALIDATE CONSTRAINT {key}")
            )
        )


def _set_aside(one: Outliving) -> None:
    """Move the rows whose reference is NULL to a table with the same columns; without such rows, create no table."""
    kept, table, where = kept_name(one.table), one.table, f"{lookup.quoted(one.column)} IS NULL"
    if offline():
        # SQLite cannot decide that in a script: with such rows the copy fails and changes nothing.
        if dialect() == "postgresql":
            op.execute(
                f"DO $do$ BEGIN IF EXISTS (SELECT FROM {lookup.quoted(table)} WHERE {where}) THEN"
                f" CREATE TABLE {lookup.quoted(kept)} AS SELECT * FROM {lookup.quoted(table)} WHERE {where};"
                f" ALTER TABLE {lookup.quoted(kept)} {_IDENTITY};"
                f" DELETE FROM {lookup.quoted(table)} WHERE {where}; END IF; END $do$"
            )
        return
    on = ground()
    rows = sa.text(f"SELECT count(*) FROM {lookup.quoted(table)} WHERE {where}")
    count = int(on.pace.long(lambda connection: connection.scalar(rows)) or 0)
    if not count:
        return

    def create(connection: sa.Connection) -> None:
        like = f"SELECT * FROM {lookup.quoted(table)} LIMIT 0"
        connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS {lookup.quoted(kept)} AS {like}"))
        _identify(connection, kept)

    on.pace.short(create)
    _move(table, kept, where, count)
    on.pace.say(f"kept in {kept}: {amount(count, 'row')} of {table} whose {one.column} is NULL")


def _identify(connection: sa.Connection, kept: str) -> None:
    """Allow deletions from a table without a key while a publication covers all tables."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"ALTER TABLE {lookup.qualified(connection, kept)} {_IDENTITY}"))


def _bring_back(one: Outliving) -> None:
    kept, table = kept_name(one.table), one.table
    if offline():
        if dialect() == "postgresql":
            op.execute(
                f"DO $do$ BEGIN IF {lookup.oid(kept)} IS NOT NULL THEN INSERT INTO {lookup.quoted(table)}"
                f" SELECT * FROM {lookup.quoted(kept)}; DROP TABLE {lookup.quoted(kept)}; END IF; END $do$"
            )
        return
    on = ground()
    if on.pace.look(lambda connection: lookup.table_exists(connection, kept)):
        on.pace.short(lambda connection: _identify(connection, kept))
        _move(kept, table, "true", None)
        on.pace.short(lambda connection: connection.execute(sa.text(f"DROP TABLE {lookup.quoted(kept)}")))


def _move(source: str, target: str, where: str, total: int | None) -> None:
    """Move rows from one table to another in batches, with the columns that both have."""
    place = "rowid" if dialect() == "sqlite" else "ctid"

    def batch(connection: sa.Connection, size: int) -> int:
        old, new = (lookup.column_types(connection, name) for name in (source, target))
        names = ", ".join(lookup.quoted(name) for name in old if name in new)
        some = f"SELECT {place} FROM {lookup.quoted(source)} WHERE {where} LIMIT {size}"
        rows = f"FROM {lookup.quoted(source)} WHERE {place} IN ({some})"
        if dialect() == "postgresql":
            # A single statement, so that it moves exactly the rows that it has read.
            moved = f"WITH moved AS (DELETE {rows} RETURNING {names})"
            return connection.execute(
                sa.text(f"{moved} INSERT INTO {lookup.quoted(target)} ({names}) SELECT {names} FROM moved")
            ).rowcount
        connection.execute(sa.text(f"INSERT INTO {lookup.quoted(target)} ({names}) SELECT {names} {rows}"))
        return connection.execute(sa.text(f"DELETE {rows}")).rowcount

    ground().pace.batches(batch, total, f"{source}: moved to {target}")
