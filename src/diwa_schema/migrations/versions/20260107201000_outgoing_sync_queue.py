"""Create the queue of rows to synchronize with the cloud."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Count, Document, LongText, ShortText, Timestamp, UniqueId

revision = "20260107201000"
down_revision = "20260107200000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("sync_queue",)


def upgrade() -> None:
    op.create_table(
        "sync_queue",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("type", ShortText(), nullable=False),
        sa.Column("payload", Document(), nullable=False),
        sa.Column("status", ShortText(), server_default="pending"),
        sa.Column("priority", Count(), server_default=sa.text("0")),
        sa.Column("attempts", Count(), server_default=sa.text("0")),
        sa.Column("last_error", LongText()),
        sa.Column("scheduled_at", Timestamp(6)),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="sync_queue_pkey"),
    )
    op.create_index(
        "sync_queue_status_priority_scheduled_at_index", "sync_queue", ["status", "priority", "scheduled_at"]
    )


def downgrade() -> None:
    op.drop_table("sync_queue")
