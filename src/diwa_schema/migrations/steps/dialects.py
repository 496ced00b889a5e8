"""Where PostgreSQL and SQLite differ in what a revision does, and a type cannot hide it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from diwa_schema.migrations.steps.pace import dialect

_LONGEST_NAME = 63  # bytes; PostgreSQL cuts what is longer, SQLite does not


def only_on_postgresql(function: Callable[[], None]) -> Callable[[], None]:
    """Declare an `upgrade` or `downgrade` that leaves SQLite as it is."""

    def here() -> None:
        if dialect() == "postgresql":
            function()

    return here


def index_name(name: str) -> str:
    """Return the name that an index of this full name has: PostgreSQL keeps 63 bytes of it, SQLite all."""
    return name[:_LONGEST_NAME] if dialect() == "postgresql" else name


def add_reference(table: str, column: str, kind: TypeEngine[Any], referent: str, *, ondelete: str) -> None:
    """Add a column that refers to another table's `id`, its key named as Ecto names it.

    SQLite takes a named key only inside ADD COLUMN, in a form that PostgreSQL takes as well.
    """
    bound = op.get_context().dialect
    quote = bound.identifier_preparer.quote
    op.execute(
        f"ALTER TABLE {quote(table)} ADD COLUMN {quote(column)} {kind.compile(dialect=bound)}"
        f" CONSTRAINT {quote(f'{table}_{column}_fkey')}"
        f" REFERENCES {quote(referent)} (id) ON DELETE {ondelete}"
    )


def create_index_on_postgresql(name: str, table: str, columns: list[str], *, using: str) -> None:
    """Create an index of a kind that SQLite does not have; there nothing happens."""
    if dialect() == "postgresql":
        op.create_index(name, table, columns, postgresql_using=using)


def add_column_with_first_value(table: str, column: sa.Column[Any], value: str) -> None:
    """Add a column without a default in which all rows that are there have a value.

    Nothing is written row by row on PostgreSQL, which remembers the first default of a column; SQLite cannot
    take a default back and updates the rows.

    Args:
        table: The table.
        column: The column, without a default.
        value: A constant, as SQL.
    """
    if dialect() == "sqlite":
        op.add_column(table, column)
        op.execute(f"UPDATE {table} SET {column.name} = {value}")
        return
    column.server_default = sa.DefaultClause(sa.text(value))
    op.add_column(table, column)
    op.alter_column(table, column.name, server_default=None)
