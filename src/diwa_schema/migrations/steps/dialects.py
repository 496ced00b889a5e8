"""Differences between databases that no type hides: PostgreSQL, SQLite, with pgvector or without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from diwa_schema.migrations import pgvector
from diwa_schema.migrations.steps.lookup import literal, oid, quoted, table_exists
from diwa_schema.migrations.steps.pace import dialect, offline
from diwa_schema.migrations.steps.upstream import made_by_ecto, unless_made_by_ecto
from diwa_schema.names import LONGEST

SHADOW = "shadow"


def only_on_postgresql(function: Callable[[], None]) -> Callable[[], None]:
    """Declare an `upgrade` or `downgrade` that does nothing on SQLite."""

    def here() -> None:
        if dialect() == "postgresql":
            function()

    return here


def index_name(name: str) -> str:
    """Return the actual name of an index with this full name: PostgreSQL keeps 63 bytes, SQLite all.

    Ecto's long names exist in the server's cut, so this function cuts like the server and not like `names`.
    """
    if dialect() != "postgresql":
        return name
    return name.encode()[:LONGEST].decode(errors="ignore")


def add_reference(table: str, column: str, kind: TypeEngine[Any], referent: str, *, ondelete: str) -> None:
    """Add a column that refers to another table's `id`, with a foreign key named in Ecto's way.

    SQLite accepts a named key only inside ADD COLUMN, in a form that PostgreSQL also accepts.
    """
    op.execute(
        f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)} {kind.compile(dialect=op.get_context().dialect)}"
        f" CONSTRAINT {quoted(f'{table}_{column}_fkey')}"
        f" REFERENCES {quoted(referent)} (id) ON DELETE {ondelete}"
    )


def create_index_on_postgresql(name: str, table: str, columns: list[str], *, using: str) -> None:
    """Create an index of a kind that SQLite does not have; on SQLite nothing happens."""
    if dialect() == "postgresql":
        op.create_index(name, table, columns, postgresql_using=using)


def add_column_with_first_value(table: str, column: sa.Column[Any], value: str) -> None:
    """Add a column without a default and give all existing rows a value.

    PostgreSQL writes no rows, because it remembers the first default of a column; SQLite cannot remove a default and
    updates the rows.

    Args:
        table: The table.
        column: The column, without a default.
        value: A constant, as SQL.
    """
    if dialect() == "sqlite":
        op.add_column(table, column)
        op.execute(f"UPDATE {quoted(table)} SET {quoted(column.name)} = {value}")
        return
    column.server_default = sa.DefaultClause(sa.text(value))
    op.add_column(table, column)
    op.alter_column(table, column.name, server_default=None)


def create_vector_extension() -> None:
    """Install pgvector in this database if the server offers it and the role may; otherwise nothing happens.

    Nothing happens on SQLite, in a shadow, which must leave nothing behind, or in a database that Ecto created, whose
    code may bind embeddings as bytes.
    """
    if dialect() == "sqlite" or op.get_context().opts.get(SHADOW):
        return
    if offline():
        op.execute(f"""DO $guard$
DECLARE
  found boolean := false;
BEGIN
  {unless_made_by_ecto(f"EXECUTE {literal(pgvector.CREATE)};")}
END
$guard$""")
    elif not made_by_ecto():
        op.execute(pgvector.CREATE)


def add_embedding(table: str) -> None:
    """Add the column `embedding` to a table without rows: a vector if pgvector is installed, else bytes.

    The database itself decides when the statement runs, so printed SQL is also correct.
    """
    if dialect() == "sqlite":
        op.add_column(table, sa.Column("embedding", sa.LargeBinary()))
        return
    op.execute(f"""DO $do$
BEGIN
  EXECUTE 'ALTER TABLE {quoted(table)} ADD COLUMN embedding '
    || coalesce(({pgvector.TYPE}) || '({pgvector.DIMENSIONS})', 'bytea');
END
$do$""")


def drop_table_if_there(*tables: str) -> None:
    """Drop tables of the current schema, which may refer to each other; tables elsewhere on the path stay.

    Args:
        tables: The tables; on SQLite each is dropped before the ones it refers to.
    """
    if dialect() == "sqlite":
        for table in tables:
            op.drop_table(table, if_exists=True)
        return
    listed = ", ".join(map(literal, tables))
    op.execute(f"""DO $do$
DECLARE
  there text;
BEGIN
  SELECT string_agg(quote_ident(nspname) || '.' || quote_ident(relname), ', ') INTO there
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname IN ({listed});
  IF there IS NOT NULL THEN EXECUTE 'DROP TABLE ' || there; END IF;
END
$do$""")


def drop_table_unless_filled(table: str) -> None:
    """Drop a table if it is empty; a table with rows stays.

    On SQLite, printed SQL keeps the table.
    """
    if dialect() == "postgresql":
        op.execute(f"""DO $do$
BEGIN
  IF {oid(table)} IS NULL THEN RETURN; END IF;
  LOCK TABLE {quoted(table)} IN ACCESS EXCLUSIVE MODE;
  IF NOT EXISTS (SELECT FROM {quoted(table)}) THEN DROP TABLE {quoted(table)}; END IF;
END
$do$""")
    elif not offline() and table_exists(op.get_bind(), table):
        filled = op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT 1 FROM {quoted(table)})"))
        if not filled:
            op.drop_table(table)
