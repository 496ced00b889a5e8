"""The table of values that a column of today's type cannot hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps.dialects import drop_table_unless_filled
from diwa_schema.migrations.steps.pace import dialect
from diwa_schema.models.types import LongText, ShortText, Timestamp, UniqueId

KEPT = "diwa_schema_kept_values"


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
