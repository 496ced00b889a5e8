"""Columns that the database fills for writers that omit them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations.steps import filling, kept_values, lookup
from diwa_schema.migrations.steps.batches import backfill
from diwa_schema.migrations.steps.pace import dialect, ground, offline, operations, step
from diwa_schema.models.filled import NOW, RANDOM_ID, filling_trigger, trigger_name
from diwa_schema.names import amount

_LOOKED_UP = 50_000  # rows


@step
def add_filled_column(table: str, column: sa.Column[Any], *, first: str) -> None:
    """Add a column with the arrival time of a row, for every writer.

    PostgreSQL gets a default, added after the column, so that no existing row is rewritten. SQLite does not accept such
    a default for a new column and gets a trigger that copies another column. Existing rows get the value of that
    column, batch by batch. Existing parts of the column stay as they are.

    Args:
        table: The table.
        column: The new column, a nullable time without a default.
        first: The column whose value existing rows get.
    """
    if offline():
        op.add_column(table, column)
        _fill_new_rows(op.execute, table, column.name, first)
    else:

        def add(connection: sa.Connection) -> None:
            if column.name not in lookup.column_types(connection, table):
                operations(connection).add_column(table, column)
                _fill_new_rows(lambda sql: connection.execute(sa.text(sql)), table, column.name, first)

        ground().pace.short(add)
    name = lookup.quoted(column.name)
    backfill(table, f"{name} = {lookup.quoted(first)}", f"{name} IS NULL")


def _fill_new_rows(execute: Any, table: str, column: str, first: str) -> None:
    if dialect() == "sqlite":
        execute(lookup.verbatim(filling_trigger(table, column, first)))
    else:
        execute(
            f"ALTER TABLE {lookup.quoted(table)} ALTER COLUMN {lookup.quoted(column)}"
            f" SET DEFAULT {lookup.verbatim(NOW)}"
        )


@step
def drop_filled_column(table: str, column: str) -> None:
    """Drop a column that the database fills, and its default or trigger.

    Args:
        table: The table.
        column: The column.
    """

    def drop(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            # SQLite refuses to drop a column that a trigger names.
            name = lookup.quoted(trigger_name(table, column))
            connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}"))
        if column in lookup.column_types(connection, table):
            operations(connection).drop_column(table, column)

    if offline():
        if dialect() == "sqlite":
            op.execute(f"DROP TRIGGER {lookup.quoted(trigger_name(table, column))}")
        op.drop_column(table, column)
        return
    ground().pace.short(drop)


@step
def add_derived_column(table: str, column: sa.Column[Any], value: str) -> None:
    """Add a column that a trigger of `models/filled.py` fills from other rows, and fill it for existing rows.

    Existing parts of the column stay as they are.

    Args:
        table: The table.
        column: The new column, nullable and without a default.
        value: The value for an existing row, as SQL.
    """

    def add(connection: sa.Connection) -> None:
        if column.name not in lookup.column_types(connection, table):
            operations(connection).add_column(table, column)

    if offline():
        op.add_column(table, column)
    else:
        ground().pace.short(add)
    filling.place(filling.of(table, column.name))
    name = lookup.quoted(column.name)
    backfill(table, f"{name} = {value}", f"{name} IS NULL")


@step
def drop_derived_column(table: str, column: str) -> None:
    """Drop a column that a trigger of `models/filled.py` fills, and the trigger.

    Args:
        table: The table.
        column: The column.
    """

    def drop(connection: sa.Connection) -> None:
        if column in lookup.column_types(connection, table):
            operations(connection).drop_column(table, column)

    # SQLite refuses to drop a column that a trigger names.
    filling.take_away(filling.of(table, column))
    if offline():
        op.drop_column(table, column)
    else:
        ground().pace.short(drop)


@step
def fill_by_trigger(table: str, column: str, *, order: str, reason: str) -> None:
    """Let a trigger of `models/filled.py` fill a column, including existing rows without a value.

    The trigger fills NULLs, so one rule serves new and existing rows. The filled values are recorded, so that
    `empty_again` recognises them.

    Args:
        table: The table, whose key is the uuid `id`. A row without one, which SQLite allows, stays as it is.
        column: The column.
        order: The columns that determine the order of filling.
        reason: The reason for the record of the values.

    Raises:
        MigrationFailed: An object in the database prevents a write of rows; earlier rows have their values.
    """
    filling.place(filling.of(table, column))
    name, rows = lookup.quoted(column), lookup.quoted(table)
    empty = f"UPDATE {rows} SET {name} = NULL WHERE {name} IS NULL"
    if offline():
        found = f"(SELECT id AS row_id, {name} AS old FROM {rows}) AS r"
        op.execute(kept_values.keep(kept_values.KEPT, dialect(), table, column, reason, found=found))
        op.execute(lookup.verbatim(kept_values.forget(table, column, f"value <> '{kept_values.NONE}'")))
        op.execute(empty)
        op.execute(lookup.verbatim(kept_values.note(table, column)))
        return

    # Rows in that order have no index to be found by, so each look sorts the table: it serves for many batches.
    waiting: list[Any] = []

    def batch(connection: sa.Connection, size: int) -> int:
        rows, kept = (lookup.qualified(connection, one) for one in (table, kept_values.KEPT))
        without = f"SELECT id FROM {rows} WHERE {name} IS NULL AND id IS NOT NULL"

        def still_empty(ids: list[Any]) -> list[Any]:
            given: Any = ids
            among = "id = ANY(CAST(:ids AS uuid[]))"
            if dialect() == "sqlite":
                given, among = json.dumps(ids), "id IN (SELECT value FROM json_each(:ids))"
            empty = set(connection.scalars(sa.text(f"{without} AND {among}"), {"ids": given}))
            return [one for one in ids if one in empty]

        # A batch that was rolled back is repeated: its rows leave the list once another look finds them filled.
        while waiting and not (taken := still_empty(waiting[:size])):
            del waiting[:size]
        if not waiting:
            waiting.extend(
                connection.scalars(sa.text(f"{without} ORDER BY {order} LIMIT {max(size, _LOOKED_UP)}"))
            )
            taken = waiting[:size]
        if not taken:
            return 0
        given = [{"id": one} for one in taken]
        connection.execute(sa.text(f"UPDATE {rows} SET {name} = NULL WHERE id = :id"), given)
        one = f"(SELECT id AS row_id, {name} AS old FROM {rows} WHERE id = :id) AS r"
        connection.execute(
            sa.text(kept_values.keep(kept, dialect(), table, column, reason, found=one)), given
        )
        if unchanged := still_empty(taken):
            raise MigrationFailed(
                f"{amount(len(unchanged), 'row')} of {table} got no value in {column}: a trigger of that table stops"
                " updates.",
                untouched="Rows that were filled before keep their values.",
                next_step=f"Disable that trigger (psql shows it: \\d {table}), then run the command again.",
                table=table,
            )
        return len(taken)

    ground().pace.batches(batch, None, f"{table}: {column}")


@step
def empty_again(table: str, column: str) -> None:
    """Stop filling a column, and remove the values of `fill_by_trigger` that nobody has changed."""
    filling.take_away(filling.of(table, column))
    kept_values.give_back(table, column, "NULL", f"{lookup.quoted(column)} = kept")


@step
def set_id_defaults(*tables: str) -> None:
    """Let PostgreSQL generate the ids that a client omits, replacing older defaults; SQLite does not change.

    Args:
        tables: The tables, whose key is the uuid ``id``. Each is locked for a moment, in a separate transaction.
    """
    _alter_ids(tables, f"SET DEFAULT {RANDOM_ID}")


@step
def drop_id_defaults(*tables: str) -> None:
    """Stop generating ids that clients omit.

    Args:
        tables: The tables, as for `set_id_defaults`.
    """
    _alter_ids(tables, "DROP DEFAULT")


@step
def set_defaults_on_postgresql(defaults: Mapping[tuple[str, str], str | None]) -> None:
    """Give columns other defaults, or none, on PostgreSQL; existing rows stay as they are.

    SQLite does not change: a new default would require a copy of each table.

    Args:
        defaults: The new default by table and column, as SQL, or None for NULL. Each table is locked for a moment, in a
            separate transaction.
    """
    if dialect() == "sqlite":
        return
    for (table, column), default in defaults.items():
        _alter_column(table, column, f"SET DEFAULT {lookup.verbatim(default)}" if default else "DROP DEFAULT")


def _alter_ids(tables: tuple[str, ...], action: str) -> None:
    if dialect() == "sqlite":
        return
    for table in tables:
        _alter_column(table, "id", action)


def _alter_column(table: str, column: str, action: str) -> None:
    statement = f"ALTER TABLE {lookup.quoted(table)} ALTER COLUMN {lookup.quoted(column)} {action}"
    if offline():
        op.execute(statement)
    else:
        ground().pace.short(partial(_send, statement))


def _send(statement: str, connection: sa.Connection) -> None:
    connection.execute(sa.text(statement))
