"""Adding the organization of its rows' contexts to a table in use; the database keeps it correct.

No written row can miss the change: column, trigger and foreign key come in one transaction, the key not yet validated.
From then on the database fills the column for writers that omit it, and a moved context takes its rows along. Existing
rows are then filled in batches, each of which locks the contexts of its rows.

A database may already have the column: Ecto's newest code reads one of `memories` that no migration creates. The step
keeps it. A value that contradicts its context goes to the table of kept values, and the downgrade restores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.batches import backfill
from diwa_schema.migrations.steps.indexes import create_index_concurrently, drop_index_concurrently
from diwa_schema.migrations.steps.kept_values import KEPT
from diwa_schema.migrations.steps.pace import Pace, dialect, ground, offline, operations, step
from diwa_schema.migrations.temporary import keys_beside
from diwa_schema.models import inherited
from diwa_schema.models.inherited import COLUMN, CONTEXT, CONTEXTS, FUNCTION
from diwa_schema.models.types import Timestamp, UniqueId

_OF_CONTEXTS = f"{CONTEXTS}_id_{COLUMN}_index"
_BOTH: dict[str, Any] = {"onupdate": "CASCADE", "ondelete": "CASCADE", "match": "FULL"}

# The row of the kept values for the owner of the column; no row of a table has this id.
_NOBODY = UUID(int=0)


@step
def add_organization(table: str) -> None:
    """Add the organization of its rows' contexts to a table, as a column that the database fills and keeps correct.

    PostgreSQL enforces it with the foreign key to contexts, which covers both columns from now on, and SQLite with
    triggers.

    Args:
        table: The table, which has a column ``context_id`` with a foreign key named in Ecto's way.

    Raises:
        MigrationFailed: Another object has that name, or a context has no organization. Nothing was done.
        sqlalchemy.exc.IntegrityError: A row's context is absent.
    """
    names = _Names(table)
    if offline():
        _add_offline(names)
        return
    pace = ground().pace
    pace.look(names.refuse_others)
    if dialect() == "postgresql":
        create_index_concurrently(_OF_CONTEXTS, CONTEXTS, ["id", COLUMN], unique=True)
    pace.short(names.begin)
    if pace.look(names.was_there):
        pace.say(f"{table}.{COLUMN} was there before this revision and is taken over")
        pace.long(names.keep)
    _fill(table)
    if dialect() == "postgresql":
        pace.long(names.validate)
        pace.short(names.exchange)
        names.settle(pace, names.new)
    create_index_concurrently(names.index, table, [COLUMN])


@step
def drop_organization(table: str) -> None:
    """Remove the organization of its rows' contexts from a table; an older column stays, with its values.

    Args:
        table: The table.
    """
    names = _Names(table)
    if offline():
        _drop_offline(names)
        return
    pace = ground().pace
    was_there = pace.look(names.was_there)
    if not was_there:
        drop_index_concurrently(names.index, table)
    if dialect() == "postgresql":
        pace.short(names.prepare_return)
        pace.long(names.validate_return)
    pace.short(lambda connection: names.end(connection, column=not was_there))
    if dialect() == "postgresql":
        names.settle(pace, names.old)
    if was_there:
        pace.long(names.put_back)
        pace.short(names.forget)
    if dialect() == "postgresql":
        drop_index_concurrently(_OF_CONTEXTS, CONTEXTS)


def drop_organization_function() -> None:
    """Drop the function that fills the column, if an interrupted run left it without the column."""
    if dialect() == "postgresql":
        op.execute(lookup.verbatim(inherited.no_function()))


class _Names:
    """The objects of the column on one table, and the parts of the work on it.

    Args:
        table: The table.
    """

    def __init__(self, table: str) -> None:
        self.table = table
        self.index = f"{table}_{COLUMN}_index"
        # The key has this name before, after and on the way back, because Ecto's changesets use it.
        self.key = f"{table}_{CONTEXT}_fkey"
        self.new, self.old = keys_beside(table, CONTEXT, COLUMN)

    def refuse_others(self, connection: sa.Connection) -> None:
        """Raise an error if an object of that name is not from this step."""
        columns = lookup.column_types(connection, self.table)
        if self._begun(connection, columns):
            return
        kind = columns.get(COLUMN, "uuid").lower()
        lite = connection.dialect.name == "sqlite"
        # On SQLite the ids are texts; on PostgreSQL no key can lead from a text to a uuid.
        if kind != "uuid" and not (lite and kind == "text"):
            raise _other(f"{self.table}.{COLUMN} is there and is {kind}", f"Rename column {COLUMN}")
        if lite:
            return
        if default := connection.scalar(
            sa.text(
                "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a"
                " ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
                f" WHERE d.adrelid = {lookup.oid(self.table)} AND a.attname = {lookup.literal(COLUMN)}"
            )
        ):
            # A writer that omits the column would get that value, which equals the context's value only by chance.
            raise _other(
                f"{self.table}.{COLUMN} is there and has the default {default}",
                f"Drop it (ALTER TABLE {self.table} ALTER COLUMN {COLUMN} DROP DEFAULT)",
            )
        source = connection.scalar(
            sa.text(
                "SELECT prosrc FROM pg_proc WHERE pronamespace = CAST(quote_ident(current_schema()) AS regnamespace)"
                f" AND proname = {lookup.literal(FUNCTION)}"
            )
        )
        if source not in (None, inherited.with_schema(inherited.BODY, lookup.current_schema(connection))):
            raise _other(f"There is another function {FUNCTION}", f"Rename function {FUNCTION}")
        if connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {CONTEXTS} WHERE {COLUMN} IS NULL)")):
            raise _other(
                f"A row of {CONTEXTS} has no {COLUMN}, so that its rows of {self.table} could have none",
                f"Give each context an organization (SELECT id FROM {CONTEXTS} WHERE {COLUMN} IS NULL)",
            )

    def begin(self, connection: sa.Connection) -> None:
        """Make sure that each row written from now on has its organization."""
        columns = lookup.column_types(connection, self.table)
        if self._begun(connection, columns):
            return
        lite = connection.dialect.name == "sqlite"
        keys = {} if lite else self._keys(connection)
        # The key shows that an interrupted run began, and that somebody has dropped a trigger since.
        again = self.new in keys or keys.get(self.key, 0) > 1
        if not lite:
            for trigger in inherited.names(self.table):
                table = lookup.qualified(connection, self.table)
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {trigger} ON {table}"))
        if COLUMN not in columns:
            operations(connection).add_column(self.table, sa.Column(COLUMN, UniqueId()))
        elif not again:
            nobody = f"'{_NOBODY}'" if lite else f"CAST('{_NOBODY}' AS uuid)"
            self._note(connection, f"SELECT :table, {nobody}, :column, 'there', :reason, :now WHERE true")
        if lite:
            for statement in inherited.on_sqlite(self.table).values():
                connection.execute(sa.text(lookup.verbatim(statement)))
            return
        for statement in (inherited.function(), inherited.triggers(self.table)):
            connection.execute(sa.text(lookup.verbatim(statement)))
        if again:
            return
        operations(connection).create_foreign_key(
            self.new,
            self.table,
            CONTEXTS,
            [CONTEXT, COLUMN],
            ["id", COLUMN],
            postgresql_not_valid=True,
            **_BOTH,
        )

    def was_there(self, connection: sa.Connection) -> bool:
        """Return whether the column existed before this history added it."""
        return lookup.table_exists(connection, KEPT) and (
            connection.scalar(sa.text(f"SELECT 1 FROM {KEPT} WHERE {self._mine} AND row_id = '{_NOBODY}'"))
            is not None
        )

    def keep(self, connection: sa.Connection) -> None:
        """Record the values that contradict their context."""
        self._note(
            connection,
            f"SELECT :table, m.id, :column, CAST(m.{COLUMN} AS text), :reason, :now"
            f" FROM {lookup.quoted(self.table)} m JOIN {CONTEXTS} c ON c.id = m.{CONTEXT}"
            f" WHERE m.{COLUMN} <> c.{COLUMN} AND m.id IS NOT NULL",
        )

    def validate(self, connection: sa.Connection) -> None:
        """Check the rows that are older than the key."""
        if self.new in self._keys(connection):
            self._alter(connection, f"VALIDATE CONSTRAINT {self.new}")

    def exchange(self, connection: sa.Connection) -> None:
        """Give the new key the name of the old one."""
        keys = self._keys(connection)
        if self.old in keys:
            self._alter(connection, f"DROP CONSTRAINT {self.old}")
        if self.new in keys:
            self._take_name(connection, self.new, [CONTEXT, COLUMN], ["id", COLUMN], **_BOTH)

    def settle(self, pace: Pace, beside: str) -> None:
        """Check the rows for the key that could not take the name of another one, and drop that other one."""
        if beside in pace.look(self._keys):
            pace.long(lambda connection: self._alter(connection, f"VALIDATE CONSTRAINT {self.key}"))
            pace.short(lambda connection: self._alter(connection, f"DROP CONSTRAINT {beside}"))

    def prepare_return(self, connection: sa.Connection) -> None:
        """Add the original key again, beside the one over both columns."""
        keys = self._keys(connection)
        if keys.get(self.key, 0) > 1 and self.old not in keys:
            operations(connection).create_foreign_key(
                self.old,
                self.table,
                CONTEXTS,
                [CONTEXT],
                ["id"],
                ondelete="CASCADE",
                postgresql_not_valid=True,
            )

    def validate_return(self, connection: sa.Connection) -> None:
        """Check the rows for the original key."""
        if self.old in self._keys(connection):
            self._alter(connection, f"VALIDATE CONSTRAINT {self.old}")

    def end(self, connection: sa.Connection, *, column: bool) -> None:
        """Drop all objects that keep the column correct, and the column itself if it belongs to this history."""
        if connection.dialect.name == "sqlite":
            for name in inherited.on_sqlite(self.table):
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            on = lookup.qualified(connection, self.table)
            for name in inherited.names(self.table):
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {name} ON {on}"))
            connection.execute(sa.text(lookup.verbatim(inherited.no_function())))
            self._alter(connection, f"DROP CONSTRAINT IF EXISTS {self.new}")
            if self.old in self._keys(connection):
                self._take_name(connection, self.old, [CONTEXT], ["id"], ondelete="CASCADE")
        if column and COLUMN in lookup.column_types(connection, self.table):
            operations(connection).drop_column(self.table, COLUMN)

    def put_back(self, connection: sa.Connection) -> None:
        """Restore the kept values of a column that existed before this history added it."""
        value = "k.value" if connection.dialect.name == "sqlite" else "CAST(k.value AS uuid)"
        name = lookup.qualified(connection, self.table)
        connection.execute(
            sa.text(
                f"UPDATE {name} SET {COLUMN} = {value} FROM {KEPT} k WHERE k.{self._mine}"
                f" AND k.row_id = {lookup.quoted(self.table)}.id"
            )
        )

    def forget(self, connection: sa.Connection) -> None:
        """Delete the records."""
        connection.execute(sa.text(f"DELETE FROM {KEPT} WHERE {self._mine}"))

    @property
    def _mine(self) -> str:
        return f"table_name = {lookup.literal(self.table)} AND column_name = {lookup.literal(COLUMN)}"

    def _note(self, connection: sa.Connection, rows: str) -> None:
        reason = "the column was there before, and this contradicts the context"
        bound: list[sa.BindParameter[Any]] = [
            sa.bindparam("table", self.table, sa.String()),
            sa.bindparam("column", COLUMN, sa.String()),
            sa.bindparam("reason", reason, sa.String()),
            sa.bindparam("now", datetime.now(UTC), Timestamp(6)),
        ]
        connection.execute(
            sa.text(
                f"INSERT INTO {KEPT} (table_name, row_id, column_name, value, reason, kept_at)"
                f" {rows} ON CONFLICT DO NOTHING"
            ).bindparams(*bound)
        )

    def _begun(self, connection: sa.Connection, columns: Mapping[str, str]) -> bool:
        own = inherited.names(self.table)
        there = f"SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = {lookup.literal(own[0])}"
        if COLUMN not in columns:
            return False
        if connection.dialect.name == "postgresql":
            there = (
                "SELECT true FROM pg_trigger"
                f" WHERE tgrelid = {lookup.oid(self.table)} AND tgname IN ({', '.join(map(lookup.literal, own))})"
                f" HAVING count(*) = {len(own)}"
            )
        return connection.scalar(sa.text(there)) is not None

    def _keys(self, connection: sa.Connection) -> dict[str, int]:
        """Return the foreign keys of the table, each with its number of columns."""
        found = connection.execute(
            sa.text(
                "SELECT conname, cardinality(conkey) FROM pg_constraint"
                f" WHERE conrelid = {lookup.oid(self.table)} AND contype = 'f'"
            )
        )
        return {name: int(columns) for name, columns in found}

    def _take_name(
        self, connection: sa.Connection, beside: str, columns: list[str], referred: list[str], **options: Any
    ) -> None:
        """Replace the old key by the one beside it: by a rename or, on Citus, by a new key of the same form."""
        self._alter(connection, f"DROP CONSTRAINT IF EXISTS {self.key}")
        if lookup.renames_constraints(connection):
            self._alter(connection, f"RENAME CONSTRAINT {beside} TO {self.key}")
            return
        operations(connection).create_foreign_key(
            self.key, self.table, CONTEXTS, columns, referred, postgresql_not_valid=True, **options
        )

    def _alter(self, connection: sa.Connection, action: str) -> None:
        connection.execute(sa.text(f"ALTER TABLE {lookup.qualified(connection, self.table)} {action}"))


def _fill(table: str) -> None:
    backfill(table, inherited.right(table, locked=dialect() == "postgresql"), inherited.wrong(table))


def _other(what: str, do: str) -> MigrationFailed:
    return MigrationFailed(
        f"{what}.",
        untouched="The run changed nothing for this revision.",
        next_step=f"{do}, then run the command again.",
    )


def _add_offline(names: _Names) -> None:
    on_postgresql = dialect() == "postgresql"
    if on_postgresql:
        op.create_index(_OF_CONTEXTS, CONTEXTS, ["id", COLUMN], unique=True)
    op.add_column(names.table, sa.Column(COLUMN, UniqueId()))
    statements = (
        (inherited.function(), inherited.triggers(names.table))
        if on_postgresql
        else inherited.on_sqlite(names.table).values()
    )
    for statement in statements:
        op.execute(lookup.verbatim(statement))
    _fill(names.table)
    if on_postgresql:
        op.drop_constraint(names.key, names.table, type_="foreignkey")
        op.create_foreign_key(names.key, names.table, CONTEXTS, [CONTEXT, COLUMN], ["id", COLUMN], **_BOTH)
    op.create_index(names.index, names.table, [COLUMN])


def _drop_offline(names: _Names) -> None:
    op.drop_index(names.index, names.table)
    if dialect() == "sqlite":
        for name in inherited.on_sqlite(names.table):
            op.execute(f"DROP TRIGGER {name}")
        op.drop_column(names.table, COLUMN)
        return
    for name in inherited.names(names.table):
        op.execute(f"DROP TRIGGER {name} ON {lookup.quoted(names.table)}")
    drop_organization_function()
    op.drop_constraint(names.key, names.table, type_="foreignkey")
    op.create_foreign_key(names.key, names.table, CONTEXTS, [CONTEXT], ["id"], ondelete="CASCADE")
    op.drop_column(names.table, COLUMN)
    op.drop_index(_OF_CONTEXTS, CONTEXTS)
