"""Changing an SQLite table beyond its ALTER TABLE: the table is copied, with its declared types."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import UserDefinedType
from sqlalchemy.util import OrderedSet

from diwa_schema.errors import ROLLED_BACK, DatabaseRefused, MigrationFailed
from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.pace import ground, offline, operations
from diwa_schema.migrations.temporary import reshaped


class Declared(UserDefinedType[Any]):
    """A type with the exact name from the table's declaration."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """Return the name."""
        return self.name


def rebuild(table: str, change: Callable[[BatchOperations], None]) -> None:
    """Change an SQLite table by a copy in one transaction, including its indexes and triggers.

    Args:
        table: The table.
        change: A function that makes the change on Alembic's batch operations.

    Raises:
        DatabaseRefused: The connection enforces foreign keys: dropping the old table would delete the rows
            that refer to it.
        MigrationFailed: A new foreign key does not hold.
    """

    def work(connection: sa.Connection) -> None:
        _refuse_enforcement(connection, table)
        declared = lookup.column_types(connection, table)

        def keep_type(_: Any, reflected: sa.Table, column: dict[str, Any]) -> None:
            column["type"] = Declared(declared[column["name"]])
            # Otherwise Alembic would create the indexes in the order of their addresses, another one in each process.
            if not isinstance(reflected.indexes, OrderedSet):
                reflected.indexes = OrderedSet(reflected.indexes)

        dangling = _dangling(connection, table)
        before = _beside(connection, table)
        with warnings.catch_warnings(), _by_name(connection):
            # SQLAlchemy warns about objects that it cannot read and does not copy: triggers, and indexes on an
            # expression.
            warnings.filterwarnings("ignore", "Skipped unsupported reflection", sa.exc.SAWarning)
            with operations(connection).batch_alter_table(
                table, recreate="always", reflect_kwargs={"listeners": [("column_reflect", keep_type)]}
            ) as batch:
                change(batch)
        there = _beside(connection, table)
        for name, sql in before.items():
            if name not in there:
                connection.exec_driver_sql(sql)
        _refuse_dangling(connection, table, dangling)

    ground().pace.short(work)


def replace(table: str, items: Sequence[SchemaItem], beside: Sequence[str]) -> None:
    """Replace a table without references to it by one of another shape, with all its rows and columns.

    No row is deleted, even on a connection that enforces foreign keys.

    Args:
        table: The table.
        items: Its columns and keys; additional columns of the table stay.
        beside: The SQL of its indexes and triggers, for printed SQL; otherwise the existing ones stay.

    Raises:
        DatabaseRefused: A table refers to it, and the connection enforces foreign keys.
        MigrationFailed: A foreign key does not hold.
    """
    if offline():
        columns = [item.name for item in items if isinstance(item, sa.Column)]
        op.execute("PRAGMA legacy_alter_table = ON")
        _replace(op.execute, op.create_table, table, items, columns)
        op.execute("PRAGMA legacy_alter_table = OFF")
        for statement in beside:
            op.execute(statement)
        return

    def work(connection: sa.Connection) -> None:
        if _referring(connection, table):
            _refuse_enforcement(connection, table)
        dangling, before = _dangling(connection, table), _beside(connection, table)
        shape = connection.execute(
            sa.text(f"SELECT name, type, dflt_value FROM pragma_table_info({lookup.literal(table)})")
        ).all()
        known = {item.name for item in items if isinstance(item, sa.Column)}
        own = [
            sa.Column(name, Declared(kind), server_default=None if default is None else sa.text(default))
            for name, kind, default in shape
            if name not in known
        ]
        with _by_name(connection):
            _replace(
                lambda sql: connection.execute(sa.text(sql)),
                operations(connection).create_table,
                table,
                [*items, *own],
                [row.name for row in shape],
            )
        for sql in before.values():
            connection.exec_driver_sql(sql)
        _refuse_dangling(connection, table, dangling)

    ground().pace.short(work)


def _replace(
    execute: Callable[[str], object],
    create_table: Callable[..., object],
    table: str,
    items: Sequence[SchemaItem],
    columns: Sequence[str],
) -> None:
    new, old, names = (
        lookup.quoted(reshaped(table)),
        lookup.quoted(table),
        ", ".join(map(lookup.quoted, columns)),
    )
    create_table(reshaped(table), *items)
    execute(f"INSERT INTO {new} ({names}) SELECT {names} FROM {old}")
    execute(f"DROP TABLE {old}")
    execute(f"ALTER TABLE {new} RENAME TO {old}")


def _referring(connection: sa.Connection, table: str) -> int:
    query = (
        "SELECT count(*) FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f"
        " WHERE m.type = 'table' AND lower(f.\"table\") = lower(:table)"
    )
    return int(connection.scalar(sa.text(query), {"table": table}) or 0)


@contextmanager
def _by_name(connection: sa.Connection) -> Iterator[None]:
    """Keep references to the table by its name: otherwise SQLite checks views and triggers while it is absent."""
    before = connection.scalar(sa.text("PRAGMA legacy_alter_table"))
    connection.execute(sa.text("PRAGMA legacy_alter_table = ON"))
    try:
        yield
    finally:
        connection.execute(sa.text(f"PRAGMA legacy_alter_table = {before}"))


def _beside(connection: sa.Connection, table: str) -> dict[str, str]:
    """Return the SQL that creates the indexes and triggers of a table, by their names."""
    listed = (
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = :table AND type <> 'table' AND sql IS NOT NULL"
    )
    found = connection.execute(sa.text(listed), {"table": table})
    return {row.name: row.sql for row in found}


def _dangling(connection: sa.Connection, table: str) -> int:
    check = f"PRAGMA foreign_key_check({lookup.quoted(table)})"
    return len(connection.execute(sa.text(check)).all())


def _refuse_dangling(connection: sa.Connection, table: str, before: int) -> None:
    if _dangling(connection, table) > before:
        raise MigrationFailed(
            f"Rows of {table} refer to missing rows.",
            untouched="The table is unchanged.",
            next_step=f"Run: PRAGMA foreign_key_check({lookup.quoted(table)})",
            table=table,
            sqlstate="SQLITE_CONSTRAINT_FOREIGNKEY",
        )


def _refuse_enforcement(connection: sa.Connection, table: str) -> None:
    if connection.scalar(sa.text("PRAGMA foreign_keys")):
        raise DatabaseRefused(
            f"Table {table} has to be rebuilt, and this connection enforces foreign keys: dropping the old"
            " table would delete the rows that refer to it.",
            untouched=ROLLED_BACK,
            next_step="Run it on a connection with PRAGMA foreign_keys = OFF.",
            table=table,
        )
