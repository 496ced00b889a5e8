"""Giving the buffer of tool operations one shape: its ids are uuids, as the agent's code binds them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import aside
from diwa_schema.migrations.steps.lookup import table_exists
from diwa_schema.migrations.steps.pace import dialect, offline
from diwa_schema.migrations.steps.tables import drop_table_unless_filled
from diwa_schema.models.types import LongText, ShortText, Timestamp, UniqueId

TABLE = "tala_operations"
KEPT = "diwa_schema_kept_values"
IDS = ("session_id", "context_id")

_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def create_kept_values() -> None:
    """Create the table of values that a column of another type cannot hold, where it is absent."""
    op.create_table(
        KEPT,
        sa.Column("table_name", ShortText(63), nullable=False),
        sa.Column("row_id", UniqueId(), nullable=False),
        sa.Column("column_name", ShortText(63), nullable=False),
        sa.Column("value", LongText(), nullable=False),
        sa.Column("reason", LongText(), nullable=False),
        sa.Column("kept_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "row_id", "column_name", name=f"{KEPT}_pkey"),
        if_not_exists=True,
    )


def drop_kept_values() -> None:
    """Drop the table of kept values while there is nothing in it; on SQLite there never is."""
    if dialect() == "sqlite":
        op.drop_table(KEPT)
    else:
        drop_table_unless_filled(KEPT)


def make_ids_uuids() -> None:
    """Turn the ids of the buffer into uuids; a text that is none is kept as a value. SQLite holds both as text.

    The buffer holds what waits for the end of a session, so it is small and is rewritten at once; a revision
    that does so declares it in `rewrites`.
    """
    if dialect() == "sqlite":
        return
    op.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    for column in IDS:
        op.execute(
            f"INSERT INTO {KEPT} SELECT '{TABLE}', id, '{column}', {column}, 'not a uuid in its usual spelling',"
            f" now() AT TIME ZONE 'utc' FROM {TABLE} WHERE {column} !~ '{_UUID}' ON CONFLICT DO NOTHING"
        )
    changes = [
        f"ALTER {column} TYPE uuid USING CASE WHEN {column} ~* '{_UUID}' THEN {column}::uuid END"
        for column in IDS
    ]
    op.execute(f"ALTER TABLE {TABLE} {', '.join(changes)}")


def make_ids_texts() -> None:
    """Turn the ids of the buffer into texts again, with the values that were kept."""
    if dialect() == "sqlite":
        return
    op.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    changes = [f"ALTER {column} TYPE varchar(255)" for column in IDS]
    op.execute(f"ALTER TABLE {TABLE} {', '.join(changes)}")
    for column in IDS:
        mine = f"k.table_name = '{TABLE}' AND k.column_name = '{column}'"
        op.execute(f"UPDATE {TABLE} t SET {column} = k.value FROM {KEPT} k WHERE {mine} AND k.row_id = t.id")
        op.execute(f"DELETE FROM {KEPT} k WHERE {mine}")


def copy_kept_rows(table: str, columns: tuple[str, ...]) -> None:
    """Copy the rows of a table that was set aside into the one that took its name; those that are there stay."""
    kept, listed = aside.kept_name(table), ", ".join(columns)
    copy = f"INSERT INTO {table} ({listed}) SELECT {listed} FROM {kept} WHERE true ON CONFLICT DO NOTHING"
    if dialect() == "postgresql":
        op.execute(f"""DO $do$
BEGIN
  IF to_regclass(quote_ident(current_schema()) || '.{kept}') IS NOT NULL THEN
    {copy};
  END IF;
END
$do$""")
    elif not offline() and aside.is_kept(table):
        op.execute(copy)


def make_room(table: str) -> None:
    """Set a table aside that already has the name of one that is about to be made; its rows stay in it."""
    if not offline() and table_exists(op.get_bind(), table):
        aside.set_aside(table)


def drop_or_bring_back(table: str) -> None:
    """Drop a table; where another of its name was set aside for it, that one gets its name back."""
    op.drop_table(table)
    if not offline() and aside.is_kept(table):
        aside.bring_back(table)
