"""Taking a table away that may be absent, or that may be needed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps.lookup import table_exists
from diwa_schema.migrations.steps.pace import dialect, offline


def drop_table_if_there(table: str) -> None:
    """Drop a table of the current schema; one of its name elsewhere on the search path stays."""
    if dialect() == "sqlite":
        op.drop_table(table, if_exists=True)
        return
    op.execute(f"""DO $do$
BEGIN
  IF to_regclass(quote_ident(current_schema()) || '.{table}') IS NOT NULL THEN DROP TABLE {table}; END IF;
END
$do$""")


def drop_table_unless_filled(table: str) -> None:
    """Drop a table that has no rows; one that has some, or is absent, is left as it is.

    On SQLite, SQL that is written to be run later leaves the table.
    """
    if dialect() == "postgresql":
        op.execute(f"""DO $do$
BEGIN
  IF to_regclass(quote_ident(current_schema()) || '.{table}') IS NULL THEN RETURN; END IF;
  LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
  IF NOT EXISTS (SELECT FROM {table}) THEN DROP TABLE {table}; END IF;
END
$do$""")
    elif not offline() and not _filled_or_absent(op.get_bind(), table):
        op.drop_table(table)


def _filled_or_absent(connection: sa.Connection, table: str) -> bool:
    if not table_exists(connection, table):
        return True
    return bool(connection.scalar(sa.text(f'SELECT EXISTS (SELECT 1 FROM "{table}")')))
