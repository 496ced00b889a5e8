"""Adding constraints to a table that is in use: first for new rows, then checked for the old ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations, Operations
from sqlalchemy.exc import IntegrityError

from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.pace import Ground, dialect, ground, offline, operations, step
from diwa_schema.migrations.steps.rebuild import rebuild
from diwa_schema.migrations.temporary import not_null

Add = Callable[[Operations, bool], None]


@step
def add_foreign_key(
    name: str, table: str, columns: Sequence[str], referent: str, *, ondelete: str | None = None
) -> None:
    """Add a foreign key to the column `id` of another table; only validate it if it already exists.

    Args:
        name: The constraint.
        table: The table that gets it.
        columns: The referencing column.
        referent: The referenced table.
        ondelete: The action on the rows when the referenced one is deleted.

    Raises:
        sqlalchemy.exc.IntegrityError: Rows break it; the constraint is dropped again.
        MigrationFailed: The same on SQLite.
        DatabaseRefused: On SQLite, the connection enforces foreign keys, so that the table cannot be rebuilt.
    """

    def add(to: Operations, unchecked: bool) -> None:
        to.create_foreign_key(
            name, table, referent, list(columns), ["id"], ondelete=ondelete, **_not_valid(unchecked)
        )

    if dialect() == "sqlite" and not offline():
        rebuild(
            table, lambda to: to.create_foreign_key(name, referent, list(columns), ["id"], ondelete=ondelete)
        )
    else:
        _add(name, table, add)


@step
def add_check(name: str, table: str, condition: str) -> None:
    """Add a check; only validate it if it already exists.

    Args:
        name: The constraint.
        table: The table that gets it.
        condition: SQL that must not be false for any row.

    Raises:
        sqlalchemy.exc.IntegrityError: Rows break it; the constraint is dropped again.
        DatabaseRefused: On SQLite, the connection enforces foreign keys, so that the table cannot be rebuilt.
    """
    if dialect() == "sqlite" and not offline():
        rebuild(table, lambda to: to.create_check_constraint(name, sa.text(condition)))
    else:
        _add(name, table, lambda to, unchecked: _check(to, name, table, condition, unchecked=unchecked))


@step
def set_not_null(table: str, column: str) -> None:
    """Make a column refuse NULL; if it already does, nothing happens.

    A validated check comes first, so that no strong lock is held while the rows are read; it is dropped again.

    Args:
        table: The table.
        column: Its column.

    Raises:
        sqlalchemy.exc.IntegrityError: Rows have NULL there; the column stays unchanged.
        DatabaseRefused: On SQLite, the connection enforces foreign keys, so that the table cannot be rebuilt.
    """
    if offline():
        op.alter_column(table, column, nullable=False)
    elif dialect() == "sqlite":
        rebuild(table, lambda to: to.alter_column(column, nullable=False))
    else:
        _set_not_null(ground(), table, column)


@step
def drop_not_null(table: str, column: str) -> None:
    """Let a column accept NULL; if it already does, nothing changes.

    Args:
        table: The table.
        column: Its column.

    Raises:
        DatabaseRefused: On SQLite, the connection enforces foreign keys, so that the table cannot be rebuilt.
    """
    _alter(
        table,
        lambda to: to.alter_column(table, column, nullable=True),
        lambda to: to.alter_column(column, nullable=True),
    )


@step
def set_default(table: str, column: str, default: sa.TextClause | None) -> None:
    """Give a column another default, or none; existing rows stay as they are.

    Args:
        table: The table.
        column: Its column.
        default: The value for new rows that omit the column; None for NULL.

    Raises:
        DatabaseRefused: On SQLite, the connection enforces foreign keys, so that the table cannot be rebuilt.
    """
    _alter(
        table,
        lambda to: to.alter_column(table, column, server_default=default),
        lambda to: to.alter_column(column, server_default=default),
    )


@step
def drop_constraint(name: str, table: str, kind: Literal["check", "foreignkey"]) -> None:
    """Drop a check or a foreign key; if it is absent, nothing happens.

    Args:
        name: The constraint.
        table: Its table.
        kind: Its kind, in Alembic's terms.

    Raises:
        DatabaseRefused: On SQLite, the connection enforces foreign keys, so that the table cannot be rebuilt.
    """
    if dialect() == "sqlite" and not offline():
        if name in ground().pace.look(lambda connection: _names(connection, table)):
            rebuild(table, lambda to: to.drop_constraint(name, type_=kind))
        return
    drop = f"ALTER TABLE {lookup.quoted(table)} DROP CONSTRAINT IF EXISTS {lookup.quoted(name)}"
    if offline():
        op.execute(drop)
    else:
        ground().pace.short(lambda connection: connection.execute(sa.text(drop)))


def _names(connection: sa.Connection, table: str) -> set[str | None]:
    """Return the names of a table's checks and foreign keys."""
    found = sa.inspect(connection)
    return {one["name"] for one in (*found.get_check_constraints(table), *found.get_foreign_keys(table))}


def _alter(
    table: str, plainly: Callable[[Operations], None], in_copy: Callable[[BatchOperations], None]
) -> None:
    """Change a table: on PostgreSQL only in the catalog, on SQLite by a copy of the table."""
    if offline():
        plainly(op)  # type: ignore[arg-type]  # the module offers what the class does
    elif dialect() == "sqlite":
        rebuild(table, in_copy)
    else:
        ground().pace.short(lambda connection: plainly(operations(connection)))


def _set_not_null(on: Ground, table: str, column: str) -> None:
    there = sa.text(
        f"SELECT attnotnull FROM pg_attribute WHERE attrelid = {lookup.oid(table)}"
        f" AND attname = {lookup.literal(column)}"
    )
    if on.pace.look(lambda connection: connection.scalar(there)):
        return
    name = not_null(column)
    _add(
        name,
        table,
        lambda to, unchecked: _check(
            to, name, table, f"{lookup.quoted(column)} IS NOT NULL", unchecked=unchecked
        ),
    )

    def turn(connection: sa.Connection) -> None:
        to = operations(connection)
        to.alter_column(table, column, nullable=False)
        to.drop_constraint(name, table)

    on.pace.short(turn)


def _add(name: str, table: str, add: Add) -> None:
    """Add a constraint without checking the rows, then validate it; drop it again if rows break it."""
    if offline():
        add(op, False)  # type: ignore[arg-type]  # the module offers what the class does
        return
    on = ground()
    there = sa.text(
        f"SELECT convalidated FROM pg_constraint WHERE conrelid = {lookup.oid(table)}"
        f" AND conname = {lookup.literal(name)}"
    )
    valid = on.pace.look(lambda connection: connection.scalar(there))
    if valid is None:
        on.pace.short(lambda connection: add(operations(connection), on.live))
    if valid or (valid is None and not on.live):
        return

    def validate(connection: sa.Connection) -> None:
        where = lookup.qualified(connection, table)
        connection.execute(sa.text(f"ALTER TABLE {where} VALIDATE CONSTRAINT {lookup.quoted(name)}"))

    try:
        on.pace.long(validate)
    except IntegrityError:
        if on.live:
            on.pace.short(lambda connection: operations(connection).drop_constraint(name, table))
        raise


def _check(to: Operations, name: str, table: str, condition: str, *, unchecked: bool) -> None:
    to.create_check_constraint(name, table, sa.text(condition), **_not_valid(unchecked))


def _not_valid(unchecked: bool) -> dict[str, Any]:
    return {"postgresql_not_valid": True} if unchecked else {}
