"""Values that a column of today's type cannot hold, and the buffer of tool operations, whose ids become uuids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps.dialects import drop_table_unless_filled
from diwa_schema.migrations.steps.lookup import literal
from diwa_schema.migrations.steps.pace import dialect
from diwa_schema.models.types import LongText, ShortText, Timestamp, UniqueId

BUFFER = "tala_operations"
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
    op.execute(f"LOCK TABLE {BUFFER} IN ACCESS EXCLUSIVE MODE")
    for column in IDS:
        op.execute(
            f"INSERT INTO {KEPT} SELECT '{BUFFER}', id, {literal(column)}, {column},"
            f" 'not a uuid in its usual spelling', now() AT TIME ZONE 'utc'"
            f" FROM {BUFFER} WHERE {column} !~ '{_UUID}' ON CONFLICT DO NOTHING"
        )
    changes = [
        f"ALTER {column} TYPE uuid USING CASE WHEN {column} ~* '{_UUID}' THEN {column}::uuid END"
        for column in IDS
    ]
    op.execute(f"ALTER TABLE {BUFFER} {', '.join(changes)}")


def make_ids_texts() -> None:
    """Turn the ids of the buffer into texts again, with the values that were kept.

    A kept value comes back only where the column still is what `make_ids_uuids` left: the uuid that the text was
    another spelling of, or else NULL. Where the application has written since, the later value stands.
    """
    if dialect() == "sqlite":
        return
    op.execute(f"LOCK TABLE {BUFFER} IN ACCESS EXCLUSIVE MODE")
    changes = [f"ALTER {column} TYPE varchar(255)" for column in IDS]
    op.execute(f"ALTER TABLE {BUFFER} {', '.join(changes)}")
    for column in IDS:
        mine = f"k.table_name = '{BUFFER}' AND k.column_name = '{column}'"
        left = f"CASE WHEN k.value ~* '{_UUID}' THEN lower(k.value) END"
        op.execute(
            f"UPDATE {BUFFER} t SET {column} = k.value FROM {KEPT} k"
            f" WHERE {mine} AND k.row_id = t.id AND t.{column} IS NOT DISTINCT FROM {left}"
        )
        op.execute(f"DELETE FROM {KEPT} k WHERE {mine}")
